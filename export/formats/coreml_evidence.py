"""The second output of a Core ML classifier: the evidence, beside label and probabilities.

In: a document whose program coremltools wrote, with the outputs of a classifier. Out: the same
program, which also gives out what its mean takes: a value that it has anyway, in float32 also where
arithmetic is in fp16. So it costs nothing, and neither label nor probability changes.

coremltools 9.0 cannot write it: told the type of a further output, its exporter counts a
classifier's own two outputs among those it was told of (converters/mil/backend/mil/load.py,
`get_func_output`); untold, the output of an fp16 program is fp16.
"""

from __future__ import annotations

from typing import Any, Final

from export.answers import EVIDENCE
from export.coreml_evaluator.values import tensor_shape, type_name
from export.errors import ConversionFailed

FLOAT32: Final = 65568  # FeatureTypes.proto, ArrayFeatureType.ArrayDataType


def give_out_evidence(document: Any, shape: tuple[int, ...]) -> None:
    """Rewrite a `Model_pb2.Model` in place.

    Args:
        document: of a program in which nothing is renamed yet, constants being operations.
        shape: that the evidence has, (1, K, h, w).

    Raises:
        ConversionFailed: no mean over a float32 value of that shape makes the probabilities.
    """
    (function,) = document.mlProgram.functions.values()
    block = function.block_specializations[function.opset]
    value = _averaged(block)
    kind = value.type.tensorType
    found = type_name(kind.dataType), tensor_shape(kind)
    if found != ("FLOAT32", shape):
        raise ConversionFailed(f"the program averages {found} where evidence is FLOAT32 {shape}")
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


def _averaged(block: Any) -> Any:
    """The value whose mean goes through softmax into the classification."""
    made_by = {value.name: (op, value) for op in block.operations for value in op.outputs}
    means = []
    for operation in block.operations:
        if operation.type == "softmax":
            mean, _ = made_by[operation.inputs["x"].arguments[0].name]
            if mean.type == "reduce_mean":
                means.append(made_by[mean.inputs["x"].arguments[0].name][1])
    if len(means) != 1:
        raise ConversionFailed(f"{len(means)} means go through softmax in the program, not one")
    return means[0]
