"""Publish: the asset folders that mobile developers pull, each put in place whole.

In: artifacts that did not fail, still in the build folder. Out: ``android_assets/`` and
``ios_assets/`` with the artifacts, ``labels.txt``, ``manifest.json`` and a README for the app
developer.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Final

from export.asset_readme import asset_readme
from export.manifest import MANIFEST_FILE, Published, build_manifest, write_manifest
from pipeline.errors import BadInput
from pipeline.placement import staged_folder

if TYPE_CHECKING:
    from pipeline.checkpoint import ModelSpec

FOLDERS: Final = {"android": "android_assets", "ios": "ios_assets"}
LABELS_FILE: Final = "labels.txt"


def refuse_foreign(root: Path, platforms: Iterable[str]) -> None:
    """Make sure that only asset folders of ours, or nothing, would be replaced below `root`.

    Raises:
        BadInput: a file is in the way, or a folder that holds something else.
    """
    for platform in platforms:
        folder = root / FOLDERS[platform]
        if folder.exists() and not folder.is_dir():
            raise BadInput(f"{folder} is a file where a folder is to be written; move it away")
        if folder.is_dir() and any(folder.iterdir()) and not (folder / MANIFEST_FILE).is_file():
            raise BadInput(
                f"{folder} has no {MANIFEST_FILE}, so it is not ours to replace; move it away or "
                "give another --out"
            )


def publish(
    root: Path,
    spec: ModelSpec,
    checkpoint_sha256: str,
    by_platform: Mapping[str, Sequence[Published]],
    rejected: Mapping[str, Sequence[Published]] | None = None,
) -> list[Path]:
    """Write the asset folders below `root`; return their paths.

    All of them are staged before the first is exchanged, so that a full disk or Ctrl-C while
    copying leaves every old folder as it was. A platform without artifacts keeps its old folder.
    What was `rejected` by the promotion gate is listed in the manifest and not copied.

    Raises:
        BadInput: `root` cannot be written, or holds a folder that is not ours.
    """
    refuse_foreign(root, by_platform)
    folders = []
    with ExitStack() as stack:
        for platform, artifacts in by_platform.items():
            if not artifacts:
                continue
            folder = root / FOLDERS[platform]
            staging = stack.enter_context(staged_folder(folder))
            for artifact in artifacts:
                _copy(artifact.path, staging / artifact.path.name)
            labels = "".join(f"{label}\n" for label in spec.labels)
            (staging / LABELS_FILE).write_text(labels, encoding="utf-8")
            kept_back = (rejected or {}).get(platform, ())
            document = build_manifest(spec, checkpoint_sha256, artifacts, kept_back)
            write_manifest(staging, document)
            readme = asset_readme(platform, document)
            (staging / "README.md").write_text(readme, encoding="utf-8")
            folders.append(folder)
    return folders


def _copy(source: Path, target: Path) -> None:
    if source.is_dir():
        shutil.copytree(source, target)
    else:
        shutil.copy(source, target)
