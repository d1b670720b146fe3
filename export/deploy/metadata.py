"""The key-value pairs inside every artifact, so that a file explains itself.

In: the spec and the identity of the checkpoint. Out: plain strings, since no format stores more.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Final

from pipeline.errors import BadInput
from pipeline.resize.notation import resize_by

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pipeline.model_spec import ModelSpec
    from pipeline.resize.rule import Resize

INPUT: Final = re.compile(r"uint8 RGB pixels, (\d+) x (\d+); resize: ([a-z0-9:]+), bilinear, ")


def model_metadata(spec: ModelSpec, checkpoint_sha256: str) -> dict[str, str]:
    """What goes into the file: sorted keys, values as text; lists as JSON."""
    positive = (
        {}
        if spec.positive is None
        else {
            "positive": spec.positive,
            "threshold": str(spec.threshold),
        }
    )
    return {
        "architecture": spec.architecture,
        "checkpoint_sha256": checkpoint_sha256,
        "input": f"uint8 RGB pixels, {spec.resize.pixels}; resize: {spec.resize.method}, "
        "bilinear, antialiased; normalisation and softmax are inside",
        "intended_use": spec.intended_use,
        "labels": json.dumps(spec.labels),
        "model": spec.name,
        **positive,
        "version": spec.version,
    }


def labels_in(metadata: Mapping[str, str]) -> tuple[str, ...]:
    """The class names in metadata read back from a file; empty if there are none."""
    try:
        labels = json.loads(metadata.get("labels", "[]"))
    except ValueError:
        return ()
    return tuple(labels) if isinstance(labels, list) else ()


def resize_in(metadata: Mapping[str, str]) -> Resize | None:
    """How an image becomes the input, by metadata read back from a file; None: it does not say."""
    said = INPUT.match(metadata.get("input", ""))
    if said is None:
        return None
    try:
        return resize_by(said[3], (int(said[2]), int(said[1])))
    except BadInput:
        return None
