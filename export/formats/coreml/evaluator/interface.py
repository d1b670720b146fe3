"""Do the description of a package and its program have the same inputs and outputs?

An app sees the description, Core ML runs the program: if names, types or sizes differ between
the two, no app can use the file, however correct its arithmetic is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from export.errors import Unreadable
from export.formats.coreml.evaluator.values import tensor_shape, type_name

if TYPE_CHECKING:
    from coremltools.proto.FeatureTypes_pb2 import FeatureType
    from coremltools.proto.MIL_pb2 import Function, Operation, ValueType
    from coremltools.proto.Model_pb2 import FeatureDescription

    from export.formats.coreml.evaluator.package import Package

# Opset of a program -> the specification version that introduced it (coremltools, Model.proto).
OPSETS: Final = {"CoreML5": 6, "CoreML6": 7, "CoreML7": 8, "CoreML8": 9}
# FeatureTypes.proto, ArrayFeatureType.ArrayDataType -> MIL_pb2.DataType
ARRAY_TYPES: Final = {65568: "FLOAT32", 65552: "FLOAT16"}


def check_interface(package: Package, function: Function, classify: Operation) -> None:
    """Compare a classifier's description with its function `main` and its operation `classify`.

    Raises:
        Unreadable: they contradict each other.
    """
    document = package.document
    description = document.description
    image = description.input[0].type.imageType
    needed = OPSETS.get(function.opset)
    if needed is None or document.specificationVersion < needed:
        _refuse(
            package,
            f"a program of {function.opset} in specification version "
            f"{document.specificationVersion}",
        )
    inputs = [(i.name, *_tensor(i.type)) for i in function.inputs]
    wanted = [(description.input[0].name, "FLOAT32", (1, 3, image.height, image.width))]
    if inputs != wanted:
        _refuse(package, f"the program takes {inputs}, the description gives {wanted}")

    label, probs = description.predictedFeatureName, description.predictedProbabilitiesName
    declared = {output.name: _feature(output.type) for output in description.output}
    arrays = {name: kind for name, kind in declared.items() if kind == "multiArrayType"}
    if declared != {label: "stringType", probs: "stringKeyType", **arrays}:
        _refuse(
            package,
            f"outputs {declared}, expected a label {label!r}, probabilities {probs!r} and arrays",
        )
    for output in description.output:
        if output.name in arrays:
            _check_array(package, function, output)
    made = {output.name: _classified(output.type) for output in classify.outputs}
    if made != {label: "STRING", probs: "STRING"}:
        _refuse(package, f"classify gives {made}, the description names {label!r} and {probs!r}")
    returned = list(function.block_specializations[function.opset].outputs)
    if sorted(returned) != sorted(declared):
        _refuse(package, f"the program returns {returned}, the description names {list(declared)}")


def _check_array(package: Package, function: Function, output: FeatureDescription) -> None:
    """An array output: the program must compute it in the declared type and shape."""
    operations = function.block_specializations[function.opset].operations
    made = {v.name: v.type for operation in operations for v in operation.outputs}
    array = output.type.multiArrayType
    declared = ARRAY_TYPES.get(array.dataType, "unknown"), tuple(array.shape)
    if output.name not in made:
        _refuse(package, f"the program computes no {output.name!r}")
    if _tensor(made[output.name]) != declared:
        found = _tensor(made[output.name])
        _refuse(package, f"the program's {output.name} is {found}, the description says {declared}")


def _refuse(package: Package, reason: str) -> None:
    raise Unreadable(f"{package.name} contradicts itself: {reason}")


def _tensor(value_type: ValueType) -> tuple[str, tuple[int, ...]]:
    return type_name(value_type.tensorType.dataType), tensor_shape(value_type.tensorType)


def _feature(feature_type: FeatureType) -> str:
    """Type of an output in the description; for a dictionary the type of its keys."""
    kind = str(feature_type.WhichOneof("Type"))
    if kind == "dictionaryType":
        return str(feature_type.dictionaryType.WhichOneof("KeyType"))
    return kind


def _classified(value_type: ValueType) -> str:
    """Type of an output of `classify`; for a dictionary the type of its keys."""
    if value_type.WhichOneof("type") == "dictionaryType":
        return type_name(value_type.dictionaryType.keyType.tensorType.dataType)
    return type_name(value_type.tensorType.dataType)
