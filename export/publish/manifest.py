"""The manifest: what an app developer's tools read. Sorted JSON, laid down in a JSON Schema.

In: the spec, and a `Published` record per artifact. Out: a document, and documents read back and
checked. The schema file is the one description of the fields; docs/manifest.md is made from it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from export.publish.zipped_size import zipped_bytes
from pipeline.errors import BadInput
from pipeline.file_hash import file_sha256

if TYPE_CHECKING:
    from export.formats.base import Description
    from export.parity.check import ParityResult
    from export.parity.evidence import EvidenceAgreement
    from export.parity.quality_gate import Promotion
    from pipeline.model_spec import ModelSpec

SCHEMA: Final = 3
READABLE: Final = (2, SCHEMA)
MANIFEST_FILE: Final = "manifest.json"
SUM_FILE: Final = f"{MANIFEST_FILE}.sha256"
SCHEMA_FILE: Final = Path(__file__).parent / "manifest.schema.json"
TOOLS: Final = ("coremltools", "numpy", "onnx", "onnxruntime", "onnxsim", "torch", "torchvision")
# What the app should set in its runtime; everything else at its default.
SESSIONS: Final[Mapping[str, Mapping[str, str | int]]] = {
    "onnx": {"intra_op_num_threads": 2, "graph_optimization_level": "ORT_ENABLE_ALL"},
    "ort": {"intra_op_num_threads": 2},
    "torchscript": {"num_threads": 1},
    "coreml": {"compute_units": "all"},
}


@dataclass(frozen=True)
class FileEntry:
    """One file of an artifact; `path` is relative to the asset folder, with forward slashes."""

    path: str
    size_bytes: int
    sha256: str


@dataclass(frozen=True)
class Published:
    """All that is known of an artifact when it is published."""

    format: str
    precision: str
    path: Path
    description: Description
    parity: ParityResult
    checkpoint_sha256: str
    promotion: Promotion | None = None
    latency: Mapping[str, Any] | None = None


def build_manifest(
    spec: ModelSpec,
    checkpoint_sha256: str,
    artifacts: Sequence[Published],
    rejected: Sequence[Published] = (),
) -> dict[str, Any]:
    """The manifest of one asset folder; `rejected` was kept back by the promotion gate.

    Only `files` is missing, which is for whoever writes the files beside the artifacts to add: some
    of them are made from this document.
    """
    return {
        "schema": SCHEMA,
        "model": {
            "name": spec.name,
            "version": spec.version,
            "architecture": spec.architecture,
            "labels": list(spec.labels),
            "positive": spec.positive,
            "threshold": spec.threshold,
            "input": {
                "name": "image",
                "dtype": "uint8",
                "layout": "NHWC",
                "channels": "RGB",
                "width": spec.side,
                "height": spec.side,
                "resize": dict(spec.resize),
            },
            "checkpoint_sha256": checkpoint_sha256,
            "metrics": dict(spec.metrics),
            "intended_use": spec.intended_use,
        },
        "artifacts": [_artifact(artifact) for artifact in artifacts],
        "rejected": [_rejected(artifact) for artifact in rejected],
        "tools": tool_versions(),
    }


def write_manifest(folder: Path, document: Mapping[str, Any]) -> None:
    """Write the document, after holding it against the schema: a wrong one is our own bug.

    Beside it goes its own SHA-256, as sha256sum writes it, so that damage to it shows as well.
    """
    _validate(document)
    text = json.dumps(document, indent=2, sort_keys=True, allow_nan=False, ensure_ascii=False)
    content = f"{text}\n".encode()
    (folder / MANIFEST_FILE).write_bytes(content)
    digest = hashlib.sha256(content).hexdigest()
    (folder / SUM_FILE).write_bytes(f"{digest}  {MANIFEST_FILE}\n".encode())


def read_manifest(folder: Path) -> dict[str, Any]:
    """Read the manifest of an asset folder, as it stands there.

    One of schema 2, of an earlier release, is read as well: it has no `files` and no
    `zipped_bytes`, all else is the same.

    Raises:
        BadInput: no manifest there, or one of another schema.
    """
    import jsonschema

    path = folder / MANIFEST_FILE
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise BadInput(
            f"no assets at {folder}: {MANIFEST_FILE}: {error.strerror}; "
            "`python -m export all` makes them"
        ) from error
    except ValueError as error:
        raise BadInput(f"{path} is not JSON: {error}") from error
    found = document.get("schema") if isinstance(document, dict) else None
    if isinstance(found, bool) or found not in READABLE:
        known = " and ".join(map(str, READABLE))
        raise BadInput(f"{path} has schema {found!r}, this version reads {known}; export again")
    assert isinstance(document, dict)
    try:
        _validate(document if found == SCHEMA else _as_current(document))
    except jsonschema.ValidationError as error:
        raise BadInput(f"{path} is damaged at {error.json_path}: {error.message}") from error
    return document


def file_entries(folder: Path, artifact: str) -> list[FileEntry]:
    """The files of the artifact `artifact` (a file or a folder in `folder`), in sorted order."""
    root = folder / artifact
    files = sorted(p for p in root.rglob("*") if p.is_file()) if root.is_dir() else [root]
    return [
        FileEntry(file.relative_to(folder).as_posix(), file.stat().st_size, file_sha256(file))
        for file in files
    ]


def tool_versions() -> dict[str, str]:
    """Versions of the packages that made the artifacts, those that are installed."""
    versions = {}
    for tool in TOOLS:
        try:
            versions[tool] = version(tool)
        except PackageNotFoundError:
            continue
    return versions


def parity_document(parity: ParityResult) -> dict[str, Any]:
    """A verdict as it stands in manifest and reports."""
    return {
        "status": parity.status,
        "reason": parity.reason,
        "images": parity.images,
        "max_abs_diff": parity.max_abs_diff,
        "mean_abs_diff": parity.mean_abs_diff,
        "label_flips": parity.label_flips,
        "how": parity.how,
        "parts": dict(parity.parts),
        "worst_image": parity.worst_image,
        "sets": {name: asdict(agreement) for name, agreement in parity.sets.items()},
        "tolerance": None if parity.tolerance is None else asdict(parity.tolerance),
        "evidence": None if parity.evidence is None else _evidence(parity.evidence),
    }


def _evidence(agreement: EvidenceAgreement) -> dict[str, Any]:
    return {**asdict(agreement), "shape": list(agreement.shape)}


def _artifact(artifact: Published) -> dict[str, Any]:
    entries = file_entries(artifact.path.parent, artifact.path.name)
    return {
        "format": artifact.format,
        "precision": artifact.precision,
        "path": artifact.path.name,
        "size_bytes": sum(entry.size_bytes for entry in entries),
        "zipped_bytes": zipped_bytes(artifact.path),
        "files": [asdict(entry) for entry in entries],
        "inputs": [_port(port) for port in artifact.description.inputs],
        "outputs": [_port(port) for port in artifact.description.outputs],
        "requires": dict(artifact.description.requires),
        "checkpoint_sha256": artifact.checkpoint_sha256,
        "parity": parity_document(artifact.parity),
        "accuracy": None if artifact.promotion is None else artifact.promotion.document(),
        "latency_ms": artifact.latency,
        "session": SESSIONS.get(artifact.format, {}),
    }


def _rejected(artifact: Published) -> dict[str, Any]:
    assert artifact.promotion is not None
    entries = file_entries(artifact.path.parent, artifact.path.name)
    return {
        "format": artifact.format,
        "precision": artifact.precision,
        "size_bytes": sum(entry.size_bytes for entry in entries),
        "accuracy": artifact.promotion.document(),
    }


def _port(port: Any) -> dict[str, Any]:
    return {"name": port.name, "dtype": port.dtype, "shape": list(port.shape or ())}


def _as_current(document: Mapping[str, Any]) -> dict[str, Any]:
    """A document of schema 2 with what schema 3 adds, so that one schema describes both."""
    artifacts = document.get("artifacts")
    if isinstance(artifacts, list):
        artifacts = [{"zipped_bytes": 1, **a} if isinstance(a, dict) else a for a in artifacts]
    added = {} if "artifacts" not in document else {"artifacts": artifacts}
    return {"files": [], **document, **added, "schema": SCHEMA}


def _validate(document: Mapping[str, Any]) -> None:
    import jsonschema

    schema = json.loads(SCHEMA_FILE.read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator(schema).validate(document)
