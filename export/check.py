"""``python -m export check``: is what is published whole, of this checkpoint, and in agreement?

Nothing is converted. In: the asset folders and a checkpoint. Out: a row per artifact.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from export.assets import FOLDERS, LABELS_FILE
from export.formats import FORMATS
from export.manifest import MANIFEST_FILE, file_sha256, read_manifest
from export.parity import ParityResult, check_artifact
from export.report import Row
from pipeline.errors import BadInput

if TYPE_CHECKING:
    from export.reference import Reference
    from pipeline.checkpoint import ModelSpec

BESIDE = {MANIFEST_FILE, LABELS_FILE, "README.md"}


def check_published(
    root: Path, checkpoint: Path, data: Path | None, image_limit: int
) -> tuple[list[Row], str]:
    """Check both asset folders below `root`; return the rows and what was compared on.

    Raises:
        BadInput: a manifest is missing or damaged, or checkpoint or data are bad.

    """
    manifests = {platform: read_manifest(root / name) for platform, name in FOLDERS.items()}

    from export.reference import build_reference

    reference = build_reference(checkpoint, data, image_limit)
    rows = []
    for platform, manifest in manifests.items():
        folder = root / FOLDERS[platform]
        stale = _stale(folder, manifest, reference.spec, reference.checkpoint_sha256)
        for artifact in manifest["artifacts"]:
            rows.append(_check(platform, folder, artifact, stale, reference))
    return rows, reference.images.source


def _check(
    platform: str,
    folder: Path,
    artifact: Mapping[str, Any],
    stale: str,
    reference: Reference,
) -> Row:
    key = (str(artifact["format"]), str(artifact["precision"]))
    if key[0] not in FORMATS or key[1] not in FORMATS[key[0]].TOLERANCES:
        raise BadInput(f"{folder / MANIFEST_FILE} lists {key[0]} {key[1]}, unknown to this version")
    damage = stale or damaged_files(folder, artifact)
    if damage:
        tolerance = FORMATS[key[0]].TOLERANCES[key[1]]
        parity = ParityResult("fail", damage, tolerance=tolerance)
    else:
        path = folder / str(artifact["path"])
        parity = check_artifact(*key, path, reference)
    return Row(
        *key, platform, parity, size_bytes=artifact["size_bytes"], latency=artifact["latency_ms"]
    )


def damaged_files(folder: Path, artifact: Mapping[str, Any]) -> str:
    """What is wrong with the files of one artifact, against its manifest entry; empty: nothing."""
    listed = {entry["path"]: entry for entry in artifact["files"]}
    root = folder / str(artifact["path"])
    present = (
        {p.relative_to(folder).as_posix() for p in root.rglob("*") if p.is_file()}
        if root.is_dir()
        else {root.name} & {p.name for p in folder.iterdir()}
    )
    faults = [f"{path} is missing" for path in sorted(listed.keys() - present)]
    faults += [f"{path} is not in the manifest" for path in sorted(present - listed.keys())]
    for path in sorted(present & listed.keys()):
        size = (folder / path).stat().st_size
        if size != listed[path]["size_bytes"]:
            faults.append(f"{path} has {size} bytes, not {listed[path]['size_bytes']}")
        elif file_sha256(folder / path) != listed[path]["sha256"]:
            faults.append(f"{path} has changed: its SHA-256 is not the manifest's")
    return "; ".join(faults)


def _stale(folder: Path, manifest: Mapping[str, Any], spec: ModelSpec, identity: str) -> str:
    """What makes the whole folder wrong: another checkpoint, other labels, stray files."""
    model = manifest["model"]
    if model["checkpoint_sha256"] != identity:
        return (
            f"made from another checkpoint ({model['name']} {model['version']}, "
            f"{model['checkpoint_sha256'][:12]}), not from {spec.name} {spec.version} "
            f"({identity[:12]}); export again, or name it with --checkpoint"
        )
    try:
        labels = (folder / LABELS_FILE).read_text(encoding="utf-8").splitlines()
    except OSError:
        return f"{LABELS_FILE} is missing"
    except UnicodeDecodeError:
        return f"{LABELS_FILE} is damaged: not UTF-8"
    if tuple(labels) != spec.labels or tuple(model["labels"]) != spec.labels:
        return f"{LABELS_FILE} or manifest names other labels than the checkpoint"
    known = BESIDE | {artifact["path"] for artifact in manifest["artifacts"]}
    strays = sorted(p.name for p in folder.iterdir() if p.name not in known)
    return f"{', '.join(strays)} is not in the manifest" if strays else ""
