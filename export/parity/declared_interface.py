"""What every file must declare about itself: compared with the checkpoint, field by field.

A file with swapped labels, a stale file or another model's file can agree in every probability and
still be wrong; this check finds them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from export.deploy.metadata import model_metadata
from export.deploy.outputs import EVIDENCE, PROBS

if TYPE_CHECKING:
    from export.formats.base import Description, Port
    from pipeline.model_spec import ModelSpec


def interface_violations(
    description: Description,
    spec: ModelSpec,
    checkpoint_sha256: str,
    evidence: tuple[int, ...] | None = None,
    needs_evidence: bool = True,
) -> list[str]:
    """A sentence for each difference between the file and the checkpoint; empty if there is none.

    Args:
        description: what the file declares.
        spec, checkpoint_sha256: of the checkpoint.
        evidence: shape of the network's evidence, (1, K, h, w); None if it has none.
        needs_evidence: whether the file must then have it too. Files published before there was
            evidence need not; those that have it are checked all the same.
    """
    violations = []
    if description.labels != spec.labels:
        violations.append(
            f"labels in the file {list(description.labels)}, in the checkpoint {list(spec.labels)}"
        )
    for key, expected in model_metadata(spec, checkpoint_sha256).items():
        found = description.metadata.get(key)
        if found != expected:
            violations.append(f"{key} in the file is {_short(found)}, not {_short(expected)}")
    if len(description.inputs) != 1 or description.inputs[0].name != "image":
        names = [port.name for port in description.inputs]
        violations.append(f"inputs {names}, expected one called image")
    else:
        image = description.inputs[0]
        height, width = spec.resize.size
        sizes = {("uint8", (1, height, width, 3)), ("image RGB", (width, height))}
        if (image.dtype, image.shape) not in sizes:
            expected = f"{spec.resize.pixels} px RGB"
            violations.append(f"input is {image.dtype} {image.shape}, expected {expected}")
    return violations + _output_violations(
        description.outputs, len(spec.labels), evidence, needs_evidence
    )


def _output_violations(
    outputs: Sequence[Port], classes: int, evidence: tuple[int, ...] | None, needs_evidence: bool
) -> list[str]:
    names = [port.name for port in outputs]
    full = [PROBS] if evidence is None else [PROBS, EVIDENCE]
    if names != full and (names != [PROBS] or needs_evidence):
        return [f"outputs {names}, expected {' and '.join(full)}"]
    violations = []
    probs = outputs[0]
    if probs.dtype not in ("float32", "label -> float64"):
        violations.append(f"probs is {probs.dtype}, expected float32")
    elif probs.shape and probs.shape[-1] != classes:
        violations.append(f"probs has {probs.shape[-1]} values for {classes} labels")
    for port in outputs[1:]:
        if (port.dtype, port.shape) != ("float32", evidence):
            violations.append(f"evidence is {port.dtype} {port.shape}, expected float32 {evidence}")
    return violations


def _short(value: str | None) -> str:
    if value is None:
        return "missing"
    return value if len(value) <= 40 else f"{value[:37]}..."
