"""The weights of a Core ML program as the codes and scales of their grids.

In: a program converted in fp16, and the grids (`pipeline.quantization_grid`) of its network. Out:
the program with ``constexpr_*`` operations instead of its weights, which Core ML decompresses to
the same fp16 numbers. Codes and scales are the checkpoint's, not coremltools' choice: so the file
has exactly the weights of its PyTorch variant.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from export.errors import ConversionFailed
from export.formats.coreml.evaluator.values import read_value, type_name
from export.formats.coreml.weight_blobs import WeightFile, replace_operations, typed_value

if TYPE_CHECKING:
    from coremltools.proto.MIL_pb2 import NamedValueType, Operation, Value
    from numpy.typing import NDArray

    from export.formats.coreml.evaluator.package import Package
    from pipeline.quantization_grid import Grid

WEIGHTED: Final = ("conv", "linear")
TABLE_BITS: Final = (2, 3)  # there is no int2 or int3 to scale: indices into a table of integers
Encoder = Callable[["Grid", "NamedValueType", WeightFile], "list[Operation]"]


def encode_weights(
    package: Package, grids: Mapping[str, Grid], encoder: Encoder, file: WeightFile
) -> None:
    """Replace each weight of a program by the codes of its grid, whose scales are exact in fp16.

    Args:
        package: the program, changed in place, and its weight.bin so far.
        grids: by weight name; every weight must be on one.
        encoder: `affine_weight` for iOS 16, `blockwise_weight` for iOS 18.
        file: stores the constants.

    Raises:
        ConversionFailed: a weight without grid, or a grid without weight.
    """
    (function,) = package.document.mlProgram.functions.values()
    block = function.block_specializations[function.opset]
    weights = {
        operation.inputs["weight"].arguments[0].name
        for operation in block.operations
        if operation.type in WEIGHTED
    }
    used: set[str] = set()
    made: list[Operation] = []
    for operation in block.operations:
        name = operation.outputs[0].name
        if operation.type == "const" and name in weights:
            found = _grids_of(name, read_value(operation.attributes["val"], package), grids)
            used.update(found)
            made += encoder(grids[found[0]], operation.outputs[0], file)
        else:
            _move_constant(operation, package, file)
            made.append(operation)
    unused = sorted(grids.keys() - used)
    if unused:
        raise ConversionFailed(f"no weight of the program lies on the grid of {', '.join(unused)}")
    replace_operations(block, made)


def affine_weight(grid: Grid, output: NamedValueType, file: WeightFile) -> list[Operation]:
    """IOS 16: int8 codes and a scale per channel, stored as attributes."""
    axis = typed_value((), "INT32")
    axis.immediateValue.tensor.ints.values.append(0)
    attributes = {
        "quantized_data": file.record(grid.codes, "INT8"),
        "scale": file.store(grid.scale.astype(np.float16), "FLOAT16"),
        "zero_point": file.store(np.zeros(len(grid.scale), np.int8), "INT8"),
        "axis": axis,
    }
    return [_operation("constexpr_affine_dequantize", output, attributes=attributes)]


def blockwise_weight(grid: Grid, output: NamedValueType, file: WeightFile) -> list[Operation]:
    """IOS 18: int4 or int8 codes times a scale per channel; codes of fewer bits from a table."""
    scale = grid.scale_like(grid.codes).astype(np.float16)
    by_scale = {"scale": {"value": file.store(scale, "FLOAT16")}}
    if grid.bits not in TABLE_BITS:
        codes = file.record(grid.codes, "INT4" if grid.bits <= 4 else "INT8")
        inputs = {"data": {"value": codes}, **by_scale}
        return [_operation("constexpr_blockwise_shift_scale", output, inputs)]
    lowest = -(1 << grid.bits - 1)
    table = np.arange(lowest, -lowest, dtype=np.int8).reshape(*[1] * grid.codes.ndim, -1, 1)
    indices = file.record(grid.codes - lowest, f"UINT{grid.bits}")
    code_type = typed_value(grid.codes.shape, "INT8").type
    codes = type(output)(name=f"{output.name}_codes", type=code_type)
    from_table = {"indices": {"value": indices}, "lut": {"value": file.store(table, "INT8")}}
    return [
        _operation("constexpr_lut_to_dense", codes, from_table),
        _operation(
            "constexpr_blockwise_shift_scale", output, {"data": {"name": codes.name}, **by_scale}
        ),
    ]


def _grids_of(name: str, stored: NDArray[Any], grids: Mapping[str, Grid]) -> list[str]:
    """The grids that a weight is on: one, or those of several equal layers.

    A converter may reorder the branches of a block, so weights are matched by their numbers.
    """
    found = [
        key
        for key, grid in grids.items()
        if grid.codes.shape == stored.shape
        and np.array_equal(grid.weights().astype(stored.dtype), stored)
    ]
    if not found:
        raise ConversionFailed(f"the weight {name} of shape {stored.shape} lies on no grid")
    return found


def _move_constant(operation: Operation, package: Package, file: WeightFile) -> None:
    """Store an operation's constant in weight.bin again."""
    for value in operation.attributes.values():
        if value.WhichOneof("value") == "blobFileValue":
            data_type = type_name(value.type.tensorType.dataType)
            value.CopyFrom(file.store(read_value(value, package), data_type))


def _operation(
    kind: str,
    output: NamedValueType,
    inputs: Mapping[str, Mapping[str, Any]] | None = None,
    attributes: Mapping[str, Value] | None = None,
) -> Operation:
    """A `MIL_pb2.Operation` with one output, named after it; each input is a name or a value."""
    from coremltools.proto import MIL_pb2

    name = typed_value((), "STRING")
    name.immediateValue.tensor.strings.values.append(output.name)
    arguments = {
        key: MIL_pb2.Argument(arguments=[MIL_pb2.Argument.Binding(**binding)])
        for key, binding in (inputs or {}).items()
    }
    return MIL_pb2.Operation(
        type=kind,
        inputs=arguments,
        outputs=[output],
        attributes={"name": name, **(attributes or {})},
    )
