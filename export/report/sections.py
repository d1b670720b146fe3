"""What a run found beyond its verdicts, as documents for the report.

In: the outcomes of a run and the references that they were held against. Out: parts of report.json.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from export.formats import FORMATS
from export.manifest.manifest import read_manifest
from export.report.accuracy import classification
from export.report.differences import Answered, differences, worst_images
from pipeline.json_files import JsonObject, plain

if TYPE_CHECKING:
    from pathlib import Path

    from export.parity.outcome import Outcome
    from export.parity.reference import References
    from pipeline.checkpoint import ModelSpec

# Of a manifest's entry, what stands in the report as well.
FILE_FACTS: Final = (
    "path",
    "zipped_bytes",
    "files",
    "inputs",
    "outputs",
    "requires",
    "session",
)


def details(outcome: Outcome, references: References) -> dict[str, Any]:
    """What the answers of one artifact amount to; nothing of one that gave none."""
    probs = outcome.parity.probs
    if probs is None:
        return {}
    reference = references.of(FORMATS[outcome.key[0]].TWINS[outcome.key[1]])
    truth = np.array(references.images.truth, dtype=np.int64)
    return {
        "differences": differences(probs, reference.probs),
        "classification": classification(truth, probs, reference.spec) if len(truth) else None,
    }


def worst_of_all(done: Sequence[Outcome], references: References) -> list[dict[str, Any]]:
    """The worst-agreeing images of all artifacts that were run."""
    answered = [
        Answered(
            " ".join(outcome.key),
            FORMATS[outcome.key[0]].TWINS[outcome.key[1]],
            outcome.parity.probs,
            FORMATS[outcome.key[0]].TOLERANCES[outcome.key[1]].max_abs_diff,
        )
        for outcome in done
        if outcome.parity.probs is not None
    ]
    held = {twin: references.of(twin).probs for twin in ("fp32", *(a.twin for a in answered))}
    return worst_images(answered, held, references.images, references.of("fp32").spec.labels)


def published_files(folders: Sequence[Path]) -> dict[tuple[str, str], JsonObject]:
    """(format, precision) -> what an app must know of the published file, as its manifest says."""
    return {
        (entry.format, entry.precision): {name: plain(entry)[name] for name in FILE_FACTS}
        for folder in folders
        for entry in read_manifest(folder).artifacts
    }


def model_document(spec: ModelSpec, identity: str) -> dict[str, Any]:
    """What the artifacts are made from; `identity` is the checkpoint's hash."""
    return {
        "name": spec.name,
        "version": spec.version,
        "checkpoint_sha256": identity,
        "architecture": spec.architecture,
        "labels": list(spec.labels),
        "positive": spec.positive,
        "threshold": spec.threshold,
        "side": spec.side,
        "metrics": dict(spec.metrics),
        "data": dict(spec.data),
        "intended_use": spec.intended_use,
    }
