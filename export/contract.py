"""What every file must say of itself: held against the checkpoint, field by field.

Swapped labels, a stale file or another model's file can agree in every probability and still be
wrong; these show here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from export.metadata import model_metadata

if TYPE_CHECKING:
    from export.formats.base import Description
    from pipeline.checkpoint import ModelSpec


def contract_violations(
    description: Description, spec: ModelSpec, checkpoint_sha256: str
) -> list[str]:
    """Sentences, one for each thing the file says that the checkpoint does not; empty: all well."""
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
        sizes = {("uint8", (1, spec.side, spec.side, 3)), ("image RGB", (spec.side, spec.side))}
        if (image.dtype, image.shape) not in sizes:
            violations.append(f"input is {image.dtype} {image.shape}, expected {spec.side} px RGB")
    outputs = [port for port in description.outputs if port.name == "probs"]
    if len(outputs) != 1:
        names = [port.name for port in description.outputs]
        violations.append(f"outputs {names}, expected probs")
    elif outputs[0].dtype not in ("float32", "label -> float64"):
        violations.append(f"probs is {outputs[0].dtype}, expected float32")
    elif outputs[0].shape is not None and outputs[0].shape[-1] != len(spec.labels):
        violations.append(f"probs has {outputs[0].shape[-1]} values for {len(spec.labels)} labels")
    return violations


def _short(value: str | None) -> str:
    if value is None:
        return "missing"
    return value if len(value) <= 40 else f"{value[:37]}..."
