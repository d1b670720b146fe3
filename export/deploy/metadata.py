"""The key-value pairs inside every artifact, so that a file explains itself.

In: the spec and the identity of the checkpoint. Out: plain strings, since no format stores more.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pipeline.model_spec import ModelSpec


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
    rule = spec.resize
    return {
        "architecture": spec.architecture,
        "checkpoint_sha256": checkpoint_sha256,
        "input": f"uint8 RGB pixels, {spec.side} x {spec.side}; resize: {rule['mode']}, "
        f"{rule['filter']}{', antialiased' if rule['antialias'] else ''}; "
        "normalisation and softmax are inside",
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
