"""A package as a function: images in, probabilities by label and evidence out.

Arithmetic is float32; every output that the program declares as FLOAT16 is rounded to it. torch's
own half kernels give the same, since they sum in float32.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import torch
from torch import Tensor

from export.deploy.outputs import EVIDENCE
from export.errors import CannotRunHere, Unreadable
from export.formats.coreml.evaluator.constants import CONSTEXPRS, decompress
from export.formats.coreml.evaluator.interface import check_interface
from export.formats.coreml.evaluator.operations import OPERATIONS, SELECTING, operate
from export.formats.coreml.evaluator.operations.arguments import tensor
from export.formats.coreml.evaluator.package import Package, read_package
from export.formats.coreml.evaluator.values import (
    before_rounding,
    read_value,
    tensor_shape,
    type_name,
)

if TYPE_CHECKING:
    from coremltools.proto.MIL_pb2 import Argument, Operation
    from numpy.typing import NDArray

RGB, BGR = 20, 30  # FeatureTypes.proto, ImageFeatureType.ColorSpace
Watch = Callable[[str, str, Tensor], None]


@dataclass(frozen=True)
class Step:
    """One operation that computes: its type, where its arguments come from, and its outputs.

    Attributes:
        arguments: name -> constant as stored, or `ValueReference`, or a list of references.
        prepared: the same, with constants in the form that `operations` use.
        unrounded: likewise, numbers as they were before fp16 rounded them (a hard-swish's 1/6).
        outputs: their names; all but `split` have one.
        half: whether they are declared FLOAT16.
        rounds: whether they must be rounded to it; a maximum of fp16 numbers is one already.
        shapes: declared, one for each output.
        spent: values that no later step uses.
    """

    operation: str
    arguments: Mapping[str, Any]
    prepared: Mapping[str, Any]
    unrounded: Mapping[str, Any]
    outputs: tuple[str, ...]
    half: bool
    rounds: bool
    shapes: tuple[tuple[int, ...], ...]
    spent: frozenset[str] = frozenset()

    @property
    def output(self) -> str:
        """Name of the only output, or of the first."""
        return self.outputs[0]


@dataclass(frozen=True)
class ValueReference:
    """The value of that name, computed by an earlier step."""

    name: str


@dataclass(frozen=True)
class Program:
    """A package, ready to run.

    Attributes:
        steps: in order.
        constants: name -> decompressed constant, to inspect weights.
        image: name of the input; `size` its (width, height); `colour` `RGB` or `BGR`.
        probabilities: name of the input of `classify`; `labels` its class names.
        evidence: name of the evidence output; empty if there is none.
    """

    name: str
    steps: tuple[Step, ...]
    constants: Mapping[str, Any]
    image: str
    size: tuple[int, int]
    colour: int
    probabilities: str
    labels: tuple[str, ...]
    evidence: str = ""


@dataclass(frozen=True, eq=False)
class Evaluation:
    """A program's outputs for an image: label -> probability, and evidence (1, K, h, w)."""

    by_label: Mapping[str, float]
    evidence: NDArray[np.float32] | None = None


def load_program(path: Path) -> Program:
    """Read and decompress a saved package.

    Raises:
        CannotRunHere: it has operations that the evaluator lacks; with all their names.
        Unreadable: damaged, or with a type or layout that is not supported here.
    """
    return _build(read_package(path))


def evaluate(
    program: Program,
    image: NDArray[np.uint8],
    *,
    round_half: bool = True,
    watch: Watch | None = None,
) -> Evaluation:
    """Run one image.

    Args:
        program: from `load_program`.
        image: uint8 (H, W, 3) RGB, as Core ML would get it.
        round_half: round outputs declared FLOAT16; without it, the structure alone is tested, with
            numbers other than weights as they were before they were rounded to fp16.
        watch: called with operation, output name and value after each step.

    Raises:
        Unreadable: the program does not fit together.
    """
    if image.shape != (program.size[1], program.size[0], 3):
        raise Unreadable(f"{program.name} takes {program.size} px, the image is {image.shape}")
    ordered = image[..., ::-1] if program.colour == BGR else image
    # Channels-last, which torch recognises by the strides, including the batch's: it computes the
    # first and largest convolution and pooling many times faster, with the same numbers.
    pixels = torch.from_numpy(ordered.astype(np.float32, order="C")[None]).permute(0, 3, 1, 2)
    values: dict[str, Tensor] = {program.image: pixels}
    with torch.inference_mode():
        for step in program.steps:
            prepared = step.prepared if round_half else step.unrounded
            arguments = {k: _resolve(v, values) for k, v in prepared.items()}
            made = operate(step.operation, arguments)
            made = made if isinstance(made, tuple) else (made,)
            if (shapes := tuple(tuple(value.shape) for value in made)) != step.shapes:
                found, declared = (", ".join(map(str, listed)) for listed in (shapes, step.shapes))
                raise Unreadable(f"{program.name}: {step.output} is {found}, declared {declared}")
            for name, value in zip(step.outputs, made, strict=True):
                if step.rounds and round_half:
                    value = value.to(torch.float16).to(torch.float32)
                values[name] = value
                if watch is not None:
                    watch(step.operation, name, value)
            for name in step.spent:  # reusing its memory saves half of the time
                del values[name]
    probs = values[program.probabilities].reshape(-1).tolist()
    if len(probs) != len(program.labels):
        raise Unreadable(f"{len(probs)} probabilities for {len(program.labels)} labels")
    evidence = values[program.evidence].numpy() if program.evidence else None
    return Evaluation(dict(zip(program.labels, probs, strict=True)), evidence)


def _build(package: Package) -> Program:
    functions = package.document.mlProgram.functions
    if list(functions) != ["main"]:
        raise Unreadable(f"{package.name}: functions {list(functions)}, expected main alone")
    blocks = functions["main"].block_specializations
    block = blocks[functions["main"].opset]
    description = package.document.description
    if len(description.input) != 1 or description.input[0].type.WhichOneof("Type") != "imageType":
        raise Unreadable(f"{package.name}: expected one input that is an image")
    image = description.input[0].type.imageType
    if image.colorSpace not in (RGB, BGR):
        raise Unreadable(f"{package.name}: colour space {image.colorSpace} is not supported here")
    constants: dict[str, Any] = {}
    steps: list[Step] = []
    halves: set[str] = set()
    probabilities, labels = "", ()
    unknown: set[str] = set()
    for operation in block.operations:
        arguments = _arguments(operation, constants, package)
        if operation.type == "const":
            constants[operation.outputs[0].name] = arguments["val"]
        elif operation.type in CONSTEXPRS:
            made = decompress(operation.type, arguments)
            for output, value in zip(operation.outputs, made, strict=True):
                constants[output.name] = value
        elif operation.type == "classify":
            check_interface(package, functions["main"], operation)
            reference = arguments["probabilities"]
            probabilities, labels = reference.name, tuple(arguments["classes"])
        elif operation.type not in OPERATIONS:
            unknown.add(operation.type)
        else:
            steps.append(_step(operation, arguments, halves))
            if steps[-1].half:
                halves.update(steps[-1].outputs)
    if not labels:
        raise Unreadable(f"{package.name} is not a classifier")
    if unknown:
        raise CannotRunHere(_what_is_lacking(package.name, sorted(unknown)))
    size = (image.width, image.height)
    evidence = EVIDENCE if EVIDENCE in block.outputs else ""
    return Program(
        package.name,
        _with_spent(steps, {probabilities, evidence}),
        constants,
        description.input[0].name,
        size,
        image.colorSpace,
        probabilities,
        labels,
        evidence,
    )


def _what_is_lacking(name: str, unknown: Sequence[str]) -> str:
    plural = "s" if len(unknown) > 1 else ""
    return (
        f"the evaluator of Core ML lacks the operation{plural} {', '.join(unknown)} of {name}; add "
        "each to a table in export/formats/coreml/evaluator/operations, with a test by hand"
    )


def _step(operation: Operation, arguments: Mapping[str, Any], halves: Set[str]) -> Step:
    """One operation that computes; `halves` are the FLOAT16 values before it."""
    declared = [output.type.tensorType for output in operation.outputs]
    kinds = sorted({type_name(one.dataType) for one in declared})
    if len(kinds) != 1:
        raise Unreadable(f"operation {operation.type} with outputs of {kinds}")
    half = kinds == ["FLOAT16"]
    selected = operation.type in SELECTING and taken(arguments) <= halves
    prepared = {name: _prepare(value) for name, value in arguments.items()}
    # A batch norm's epsilon is compared as it is stored, with its weights.
    numbers = {} if operation.type == "batch_norm" else _before_rounding(arguments)
    return Step(
        operation.type,
        arguments,
        prepared,
        {**prepared, **numbers},
        tuple(output.name for output in operation.outputs),
        half,
        half and not selected,
        tuple(tensor_shape(one) for one in declared),
    )


IGNORED: Final = {"name"}  # an operation's name, for people


def _arguments(
    operation: Operation, constants: Mapping[str, Any], package: Package
) -> dict[str, Any]:
    """Arguments of an operation: constants as they are, computed values as references."""
    arguments: dict[str, Any] = {
        name: read_value(value, package)
        for name, value in operation.attributes.items()
        if name not in IGNORED
    }
    for name, argument in operation.inputs.items():
        bound = [_bound(binding, constants, package) for binding in argument.arguments]
        is_list = name == "values"
        arguments[name] = bound if is_list else bound[0]
    return arguments


def _bound(binding: Argument.Binding, constants: Mapping[str, Any], package: Package) -> Any:
    if binding.WhichOneof("binding") == "value":
        return read_value(binding.value, package)
    return constants.get(binding.name, ValueReference(binding.name))


def _with_spent(steps: Sequence[Step], results: Set[str]) -> tuple[Step, ...]:
    """The steps, each with the values that it is the last to use, except `results`."""
    later = set(results)
    reversed_steps = []
    for step in reversed(steps):
        used = taken(step.arguments)
        reversed_steps.append(replace(step, spent=frozenset(used - later)))
        later |= used
    return tuple(reversed(reversed_steps))


def _prepare(argument: Any) -> Any:
    """A constant of floats as a tensor, made once, not per image; anything else unchanged."""
    if isinstance(argument, np.ndarray) and np.issubdtype(argument.dtype, np.floating):
        return tensor(argument)
    return argument


def _before_rounding(arguments: Mapping[str, Any]) -> dict[str, Tensor]:
    """The single numbers among arguments that are stored in fp16, as float32."""
    return {
        name: torch.tensor(before_rounding(np.float16(value)))
        for name, value in arguments.items()
        if isinstance(value, np.ndarray) and value.dtype == np.float16 and value.ndim == 0
    }


def taken(arguments: Mapping[str, Any]) -> set[str]:
    """Names of the computed values among arguments."""
    lists = (value if isinstance(value, list) else [value] for value in arguments.values())
    return {item.name for items in lists for item in items if isinstance(item, ValueReference)}


def _resolve(argument: Any, values: Mapping[str, Tensor]) -> Any:
    if isinstance(argument, list):
        return [_resolve(item, values) for item in argument]
    if isinstance(argument, ValueReference):
        if argument.name not in values:
            raise Unreadable(f"{argument.name} is used before it is computed")
        return values[argument.name]
    return argument
