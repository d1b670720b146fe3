"""The second output of a Core ML classifier: the evidence, next to label and probabilities.

In: a document whose program coremltools wrote, with the outputs of a classifier. Out: the same
program, which also outputs the input of its mean: a value that exists anyway, in float32 even if
the arithmetic is in fp16. So it costs nothing, and neither label nor probability changes.

coremltools 9.0 cannot write it: given the type of a further output, its exporter counts a
classifier's own two outputs among those given (converters/mil/backend/mil/load.py,
`get_func_output`); without the type, the output of an fp16 program is fp16.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from export.deploy.outputs import EVIDENCE
from export.errors import ConversionFailed
from export.formats.coreml.evaluator.values import tensor_shape, type_name

if TYPE_CHECKING:
    from coremltools.proto.MIL_pb2 import Block
    from coremltools.proto.Model_pb2 import Model

FLOAT32: Final = 65568  # FeatureTypes.proto, ArrayFeatureType.ArrayDataType


def give_out_evidence(document: Model, shape: tuple[int, ...]) -> None:
    """Rewrite a `Model_pb2.Model` in place.

    Args:
        document: of a program before any renaming, with constants as operations.
        shape: of the evidence, (1, K, h, w).

    Raises:
        ConversionFailed: not exactly one mean is taken of a float32 value of that shape.
    """
    (function,) = document.mlProgram.functions.values()
    block = function.block_specializations[function.opset]
    value = _averaged(block, shape)
    before = value.name
    value.name = EVIDENCE
    for operation in block.operations:
        for argument in operation.inputs.values():
            for binding in argument.arguments:
                if binding.name == before:
                    binding.name = EVIDENCE
    block.outputs.append(EVIDENCE)
    port = document.description.output.add()
    port.name = EVIDENCE
    port.type.multiArrayType.dataType = FLOAT32
    port.type.multiArrayType.shape.extend(shape)


def _averaged(block: Block, shape: tuple[int, ...]) -> Any:
    """The only float32 value of this shape of which a mean is taken."""
    made = {value.name: value for operation in block.operations for value in operation.outputs}
    averaged = {
        operation.inputs["x"].arguments[0].name
        for operation in block.operations
        if operation.type == "reduce_mean"
    }
    found = {name: _kind(made[name]) for name in averaged if name in made}
    fitting = [name for name, kind in found.items() if kind == ("FLOAT32", shape)]
    if len(fitting) != 1:
        raise ConversionFailed(
            f"the program averages {sorted(found.values())}; evidence is FLOAT32 {shape}, once"
        )
    return made[fitting[0]]


def _kind(value: Any) -> tuple[str, tuple[int, ...]]:
    tensor = value.type.tensorType
    return type_name(tensor.dataType), tensor_shape(tensor)
