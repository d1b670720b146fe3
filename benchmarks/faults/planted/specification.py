"""Faults edited into the specification of a Core ML package, because no converter writes them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from benchmarks.faults.bench import Artifact, Bench
from benchmarks.faults.fault import DoesNotApply, Fault, Pair, Plant, formats
from benchmarks.faults.planted.files import copied
from export.deploy.outputs import EVIDENCE, PROBS
from export.formats.coreml.evaluator.package import read_specification, specification_path
from export.formats.coreml.evidence_output import FLOAT32
from export.formats.coreml.facts import FACTS as CORE_ML
from export.formats.coreml.weight_blobs import replace_operations, typed_value

if TYPE_CHECKING:
    from coremltools.proto.FeatureTypes_pb2 import FeatureDescription
    from coremltools.proto.MIL_pb2 import Block, Operation, TensorValue, Value
    from coremltools.proto.Model_pb2 import Model

Change = Callable[["Model"], None]
PACKAGE: Final = formats("no specification lies in it", CORE_ML.name)
FLOAT16: Final = 65552  # coremltools: ArrayFeatureType.ArrayDataType
BGR: Final = 30  # coremltools: ImageFeatureType.ColorSpace


def specified(change: Change) -> Plant:
    """A copy of the package with its specification edited."""

    def plant(bench: Bench, artifact: Artifact, folder: Path) -> Pair:
        document = read_specification(bench.clean(artifact))
        change(document)
        path = copied(bench.clean(artifact), folder)
        specification_path(path).write_bytes(document.SerializeToString())
        return Pair(path, bench.reference(artifact))

    return plant


# --- places -----------------------------------------------------------------------------------


def main_block(document: Model) -> Block:
    main = document.mlProgram.functions["main"]
    return main.block_specializations[main.opset]


def operations(document: Model, kind: str) -> list[Operation]:
    """At least one operation of a kind, in call order. Raises DoesNotApply."""
    found = [operation for operation in main_block(document).operations if operation.type == kind]
    if not found:
        raise DoesNotApply(f"no operation {kind} in it")
    return found


def constant(document: Model, operation: Operation, argument: str) -> TensorValue:
    """The tensor of a constant argument, given in place or by name."""
    binding = operation.inputs[argument].arguments[0]
    if binding.WhichOneof("binding") == "value":
        return binding.value.immediateValue.tensor
    (made,) = [o for o in operations(document, "const") if o.outputs[0].name == binding.name]
    return made.attributes["val"].immediateValue.tensor


def output_port(document: Model, name: str) -> FeatureDescription:
    """An output in the description. Raises DoesNotApply."""
    return document.description.output[_place(document, name)]


def _place(document: Model, name: str) -> int:
    found = [i for i, port in enumerate(document.description.output) if port.name == name]
    if not found:
        raise DoesNotApply(f"the file gives no {name}")
    return found[0]


# --- the program ------------------------------------------------------------------------------


def take_bgr(document: Model) -> None:
    document.description.input[0].type.imageType.colorSpace = BGR


def pad_one_side(document: Model) -> None:
    for convolution in operations(document, "conv"):
        pads = (
            constant(document, convolution, "pad").ints.values
            if "pad" in convolution.inputs
            else []
        )
        if list(pads) == [1, 1, 1, 1]:
            pads[:] = [0, 2, 0, 2]
            return
    raise DoesNotApply("no convolution pads by one pixel")


def softmax_over_the_batch(document: Model) -> None:
    (softmax,) = operations(document, "softmax")
    constant(document, softmax, "axis").ints.values[:] = [0]


def swap_branches(document: Model) -> None:
    arguments = operations(document, "concat")[0].inputs["values"].arguments
    one, two = arguments[0].name, arguments[1].name
    arguments[0].name, arguments[1].name = two, one


def bypass_relu(document: Model) -> None:
    relu = operations(document, "relu")[0]
    source, name = relu.inputs["x"].arguments[0].name, relu.outputs[0].name
    rename_arguments(document, name, source)


def rename_arguments(document: Model, before: str, after: str) -> None:
    for operation in main_block(document).operations:
        for argument in operation.inputs.values():
            for binding in argument.arguments:
                if binding.name == before:
                    binding.name = after


def swap_offsets(document: Model) -> None:
    """Two constants of one shape point to each other's place in weight.bin."""
    stored = [
        operation.attributes["val"]
        for operation in operations(document, "const")
        if operation.attributes["val"].WhichOneof("value") == "blobFileValue"
    ]
    alike = [(a, b) for a, b in combinations(stored, 2) if a.type == b.type]
    if not alike:
        raise DoesNotApply("no two constants of one shape in weight.bin")
    one, two = (value.blobFileValue for value in alike[0])
    one.offset, two.offset = two.offset, one.offset


def swap_labels_of_the_classifier(document: Model) -> None:
    """In the operation alone: the metadata keep the right order."""
    (classify,) = operations(document, "classify")
    values = classify.inputs["classes"].arguments[0].value.immediateValue.list.values
    names = [value.immediateValue.tensor.strings.values[0] for value in values]
    for value, name in zip(values, reversed(names), strict=True):
        value.immediateValue.tensor.strings.values[0] = name


# --- evidence ---------------------------------------------------------------------------------


def seen_otherwise(operation: str, **arguments: NDArray[np.generic] | str) -> Change:
    """Pass the output `evidence` through one more `operation`."""

    def change(document: Model) -> None:
        block = main_block(document)
        found = [(o, v) for o in block.operations for v in o.outputs if v.name == EVIDENCE]
        if not found:
            raise DoesNotApply("the network gives no evidence")
        made, value = found[0]
        last = type(made)(type=operation)
        last.outputs.add().CopyFrom(value)
        last.inputs["x"].arguments.add().name = "seen"
        for name, given in arguments.items():
            last.inputs[name].arguments.add().value.CopyFrom(immediate(given))
        value.name = "seen"
        rename_arguments(document, EVIDENCE, "seen")
        replace_operations(block, [*block.operations, last])

    return change


def immediate(given: NDArray[np.generic] | str) -> Value:
    """A constant in the specification: an array of float32 or int32, or a string."""
    if isinstance(given, str):
        value = typed_value((), "STRING")
        value.immediateValue.tensor.strings.values.append(given)
        return value
    kind, field = {"float32": ("FLOAT32", "floats"), "int32": ("INT32", "ints")}[given.dtype.name]
    value = typed_value(given.shape, kind)
    getattr(value.immediateValue.tensor, field).values.extend(given.reshape(-1).tolist())
    return value


def swapped_by_a_convolution(document: Model) -> None:
    """Classes in reverse order, by one more convolution."""
    classes = output_port(document, EVIDENCE).type.multiArrayType.shape[1]
    seen_otherwise(
        "conv",
        weight=np.eye(classes, dtype=np.float32)[::-1].reshape(classes, classes, 1, 1),
        strides=np.ones(2, np.int32),
        dilations=np.ones(2, np.int32),
        groups=np.array(1, np.int32),
        pad_type="valid",
    )(document)


# --- the interface ----------------------------------------------------------------------------


def rename_input_of_the_function(document: Model) -> None:
    document.mlProgram.functions["main"].inputs[0].name = "picture"


def resize_input_of_the_function(document: Model) -> None:
    dimensions = document.mlProgram.functions["main"].inputs[0].type.tensorType.dimensions
    for dimension in dimensions[2:4]:
        dimension.constant.size += 32


def lose_outputs_of_the_function(document: Model) -> None:
    del main_block(document).outputs[:]


def give_out_the_logits(document: Model) -> None:
    (softmax,) = operations(document, "softmax")
    outputs = main_block(document).outputs
    logits = softmax.inputs["x"].arguments[0].name
    outputs[:] = [logits if name == PROBS else name for name in outputs]


def rename_output_of_classify(document: Model) -> None:
    operations(document, "classify")[0].outputs[1].name = "scores"


def rename_output_by_half(document: Model) -> None:
    """In the list of outputs; `predictedProbabilitiesName` still says probs."""
    output_port(document, PROBS).name = "scores"


def lose_label(document: Model) -> None:
    del document.description.output[_place(document, "label")]


def name_an_unknown_label(document: Model) -> None:
    document.description.predictedFeatureName = "nothing"


def key_by_number(document: Model) -> None:
    output_port(document, PROBS).type.dictionaryType.int64KeyType.SetInParent()


def be_of_before_ml_programs(document: Model) -> None:
    document.specificationVersion = 5


def lose_evidence(document: Model) -> None:
    """In the description alone."""
    del document.description.output[_place(document, EVIDENCE)]


def lose_evidence_of_the_function(document: Model) -> None:
    _place(document, EVIDENCE)
    main_block(document).outputs.remove(EVIDENCE)


def declare_evidence_in_half(document: Model) -> None:
    array = output_port(document, EVIDENCE).type.multiArrayType
    assert array.dataType == FLOAT32
    array.dataType = FLOAT16


def declare_evidence_of_another_shape(document: Model) -> None:
    output_port(document, EVIDENCE).type.multiArrayType.shape[1] += 1


# Each with the parts that must find it. The last ones concern Core ML's own loader and not the
# arithmetic, and any part may find them.
CHANGES: Final[Mapping[str, tuple[Change, tuple[str, ...]]]] = {
    "colour space BGR": (take_bgr, ("contract",)),
    "padding edited": (pad_one_side, ("structure",)),
    "softmax axis edited": (softmax_over_the_batch, ("structure",)),
    "concat edited": (swap_branches, ("structure",)),
    "ReLU bypassed": (bypass_relu, ("structure",)),
    "offsets of two constants swapped": (swap_offsets, ("weights",)),
    "labels swapped in classify alone": (swap_labels_of_the_classifier, ("contract",)),
    "evidence of swapped classes": (swapped_by_a_convolution, ("evidence",)),
    "evidence without what is negative": (seen_otherwise("relu"), ("evidence",)),
    "evidence a hundredth larger": (
        seen_otherwise("mul", y=np.array(1.01, np.float32)),
        ("structure",),
    ),
    "evidence lower by half a logit": (
        seen_otherwise("sub", y=np.array(0.5, np.float32)),
        ("evidence",),
    ),
    "evidence transposed": (
        seen_otherwise("transpose", perm=np.array([0, 1, 3, 2], np.int32)),
        ("evidence",),
    ),
    "evidence mirrored": (
        seen_otherwise("reverse", axes=np.array([3], np.int32)),
        ("evidence",),
    ),
    "input of the function renamed": (rename_input_of_the_function, ()),
    "input of the function resized": (resize_input_of_the_function, ()),
    "outputs of the function lost": (lose_outputs_of_the_function, ()),
    "output of the function is the logits": (give_out_the_logits, ()),
    "output of classify renamed": (rename_output_of_classify, ()),
    "output renamed by half": (rename_output_by_half, ()),
    "label output lost": (lose_label, ()),
    "label feature unknown": (name_an_unknown_label, ()),
    "probabilities keyed by number": (key_by_number, ()),
    "version of before ML Programs": (be_of_before_ml_programs, ()),
    "evidence lost": (lose_evidence, ()),
    "evidence of the function lost": (lose_evidence_of_the_function, ()),
    "evidence declared in fp16": (declare_evidence_in_half, ()),
    "evidence declared of another shape": (declare_evidence_of_another_shape, ()),
}
FAULTS: Final = tuple(
    Fault(f"{name} in the specification", specified(change), parts, PACKAGE)
    for name, (change, parts) in CHANGES.items()
)
