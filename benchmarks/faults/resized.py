"""A checkpoint at another side: the same weights and operations on fewer pixels, to save time."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from export.deploy.variants import VARIANTS
from pipeline.checkpoint import SPEC_FILE, open_checkpoint
from pipeline.json_files import to_json


def resized(checkpoint: Path, side: int, folder: Path) -> Path:
    """A copy of the checkpoint and of its compressed variants.

    Raises:
        BadInput: no checkpoint, or a damaged one.
    """
    open_checkpoint(checkpoint)
    shutil.copytree(checkpoint, folder)
    _rewrite(folder, side)
    identity = open_checkpoint(folder).sha256
    for name in sorted({variant.folder for variant in VARIANTS.values()} - {""}):
        if (folder / name / SPEC_FILE).is_file():
            _rewrite(folder / name, side, identity)
    return folder


def _rewrite(folder: Path, side: int, parent_sha256: str = "") -> None:
    document = json.loads((folder / SPEC_FILE).read_text(encoding="utf-8"))
    document["side"] = side
    if parent_sha256:
        document["compression"]["parent_sha256"] = parent_sha256
    (folder / SPEC_FILE).write_text(to_json(document), encoding="utf-8")
