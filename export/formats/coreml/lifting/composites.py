"""Activations that the writer takes apart, as the single steps that they were.

coremltools 9.0 (converters/mil/frontend/torch/ops.py) writes a hard-swish as
t clip(t / 6 + 1 / 2, 0, 1) with t = x where x >= -3, else 0. Where x < -3 that is 0, as is the
hard-swish; elsewhere t is x and it is the definition: the same function, exactly. Steps of another
form stay as they are, and are told as a difference, or as an operation that is not known.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Final

import numpy as np

from export.formats.coreml.evaluator.evaluate import Step, ValueReference, taken
from export.formats.coreml.evaluator.values import before_rounding
from export.formats.coreml.lifting.activations import is_sixth

if TYPE_CHECKING:
    from collections.abc import Callable

Made = Mapping[str, Step]


def with_composites(steps: Sequence[Step], answers: Iterable[str]) -> list[Step]:
    """The steps of `answers`, each group as one; a step that no answer needs is left out."""
    made: dict[str, Step] = {}
    written: list[Step] = []
    for step in steps:
        for operation, of in COMPOSITES.items():
            x = of(step, made)
            if x is not None:
                step = replace(step, operation=operation, arguments={"x": x})
                break
        made.update(dict.fromkeys(step.outputs, step))
        written.append(step)
    needed, kept = set(answers), []
    for step in reversed(written):
        if not needed.isdisjoint(step.outputs):
            needed |= taken(step.arguments)
            kept.append(step)
    return kept[::-1]


def _hard_swish(step: Step, made: Made) -> ValueReference | None:
    """What a product is a hard-swish of, if it is one."""
    for kept, gate in _factors(step, made):
        if kept.operation != "thresholded_relu" or gate.operation != "sigmoid_hard":
            continue
        numbers = _number(kept, "alpha"), _number(gate, "beta")
        alike = numbers == (-3, 0.5) and is_sixth(_number(gate, "alpha"))
        if alike and gate.arguments["x"] == ValueReference(kept.output):
            return _of(kept)
    return None


COMPOSITES: Final[Mapping[str, Callable[[Step, Made], ValueReference | None]]] = {
    "hardswish": _hard_swish,
}


def _factors(step: Step, made: Made) -> list[tuple[Step, Step]]:
    """The steps before a product, in both orders."""
    if step.operation != "mul":
        return []
    one, other = (_step(step.arguments[name], made) for name in ("x", "y"))
    return [(one, other), (other, one)] if one and other else []


def _step(argument: object, made: Made) -> Step | None:
    return made.get(argument.name) if isinstance(argument, ValueReference) else None


def _of(step: Step) -> ValueReference | None:
    x = step.arguments["x"]
    return x if isinstance(x, ValueReference) else None


def _number(step: Step, name: str) -> float:
    stored = step.arguments[name]
    return before_rounding(np.float16(stored)) if stored.dtype == np.float16 else float(stored)
