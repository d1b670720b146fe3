"""A package as a program of one image, which is what a package takes.

In: a folder. Out: a `Program`, float32 (1, 3, H, W) 0..255 RGB -> probabilities, or probabilities
and evidence. The image input stands for these pixels: an ML Program has no scale or bias of its
own beside its operations. Casts between fp16 and fp32 are no operations here; how numbers are
rounded is the evaluator's business. A batch norm after a layer is folded into it, as it is in the
program of a network, and permutes stand as late as they can (`permutes`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from export.errors import CannotRunHere, Unreadable
from export.formats.coreml.evaluator.evaluate import RGB, ValueReference, load_program
from export.formats.coreml.evaluator.values import before_rounding
from export.formats.coreml.lifting.arithmetic import ARITHMETIC
from export.formats.coreml.lifting.composites import with_composites
from export.formats.coreml.lifting.entries import ENTRIES
from export.formats.coreml.lifting.permutes import with_late_permutes
from pipeline.errors import BadInput
from pipeline.program.batch_norm_folding import folded
from pipeline.program.builder import VALUE, Builder
from pipeline.program.program import Program, runnable, tensor_nodes

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from torch import fx

    from export.formats.coreml.evaluator.evaluate import Step


def lifted(path: Path) -> Program:
    """The program of a saved package.

    Raises:
        CannotRunHere: an operation that has no entry here, or is used in a way that has none.
        Unreadable: damaged, not for RGB, or operations that do not fit together.
    """
    held = load_program(path)
    if held.colour != RGB:
        raise Unreadable(f"{path.name} takes its image in another order of colours than RGB")
    width, height = held.size
    build = Builder((height, width), images=(1, 1))
    values: dict[str, Any] = {held.image: build.pixels}
    answers = [held.probabilities, *([held.evidence] if held.evidence else [])]
    for step in with_composites(held.steps, answers):
        lift_step(step, build, values, path.name)
    if lacking := [name for name in answers if name not in values]:
        raise Unreadable(f"{path.name} does not compute {lacking[0]}")
    nodes = [values[name] for name in answers]
    build.graph.output(nodes[0] if len(nodes) == 1 else tuple(nodes))
    build.graph.eliminate_dead_code()
    for node in build.graph.nodes:
        node.meta.pop(VALUE, None)
    names = [str(node.target) for node in tensor_nodes(build.graph)]
    tensors = {name: build.tensors[name] for name in names}
    sources = {name: (name,) for name in names}
    program = Program(runnable(build.graph, tensors), (height, width), sources, ())
    return with_late_permutes(folded(program))  # what the writer was given unfolded, or moved


def lift_step(step: Step, build: Builder, values: dict[str, Any], file: str) -> None:
    """Write one step; its results become values."""
    if step.operation not in ENTRIES:
        raise CannotRunHere(f"operation {step.operation} of Core ML is not known here")
    build.place = step.output
    arguments = {
        name: _argument(build, f"{step.output}.{name}", _plain(step, value), values)
        for name, value in step.arguments.items()
    }
    try:
        made = ENTRIES[step.operation](build, arguments)
    except KeyError as error:
        raise Unreadable(f"{file}: {step.operation} lacks its argument {error}") from error
    except (BadInput, RuntimeError, ValueError, IndexError, TypeError) as error:
        reason = f"{step.operation} {step.output} does not fit together: {error}"
        raise Unreadable(f"{file}: {reason}") from error
    nodes: tuple[fx.Node, ...] = made if isinstance(made, tuple) else (made,)
    shapes = tuple(tuple(node.meta[VALUE][0].shape) for node in nodes)
    if shapes != step.shapes:
        raise Unreadable(f"{file}: {step.output} is {shapes}, declared {step.shapes}")
    values.update(zip(step.outputs, nodes, strict=True))


def _plain(step: Step, value: Any) -> Any:
    """An argument; the writer stores a number of arithmetic with one axis too."""
    single = isinstance(value, np.ndarray) and value.shape == (1,)
    return value[0] if single and step.operation in ARITHMETIC else value


def _argument(build: Builder, name: str, value: Any, values: Mapping[str, Any]) -> Any:
    """A node for what is computed and for an array of floats; a number for a single float."""
    if isinstance(value, list):
        return [_argument(build, f"{name}_{i}", item, values) for i, item in enumerate(value)]
    if isinstance(value, ValueReference):
        if value.name not in values:
            raise Unreadable(f"{value.name} is used before it is computed")
        return values[value.name]
    numbers = isinstance(value, np.ndarray | np.generic)
    if not (numbers and np.issubdtype(value.dtype, np.floating)):
        return value
    if value.ndim:
        return build.hold(name, torch.from_numpy(value.astype(np.float32)))
    return before_rounding(np.float16(value)) if value.dtype == np.float16 else float(value)
