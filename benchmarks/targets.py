"""What is timed: every published artifact once, and PyTorch eager."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from export.latency.measurement import Target
from export.manifest.manifest import read_manifest
from export.publish.assets import FOLDERS
from pipeline.checkpoint import open_checkpoint

# Precisions whose outputs are compared before timing (next to peers). The parity check judges the
# others, each by its own tolerance.
LIMITS: Final = {"fp32": 1e-3}


def published_targets(root: Path, checkpoint: Path) -> list[Target]:
    """The artifacts in the manifests below `root`, then PyTorch eager of `checkpoint`.

    A file that is published for several platforms is timed once.

    Raises:
        BadInput: a manifest is missing or damaged, or there is no such checkpoint.
    """
    side = open_checkpoint(checkpoint).spec.side
    targets: dict[tuple[str, str], Target] = {}
    for name in FOLDERS.values():
        for artifact in read_manifest(root / name).artifacts:
            key = (artifact.format, artifact.precision)
            path = root / name / artifact.path
            targets.setdefault(key, Target(*key, path, side, limit=LIMITS.get(key[1])))
    return [*targets.values(), Target("eager", "fp32", checkpoint, side, limit=LIMITS["fp32"])]
