"""Core ML (.mlpackage): an ML Program, a classifier that takes the image itself.

fp32, fp16 and int8 are for iOS 16; w4 and w3, of 4 and 3 bits a weight, need iOS 18. The weights of
int8, w4 and w3 are on grids, whose codes and scales the file stores; arithmetic is in fp16.

Core ML models convert anywhere but run on macOS only: elsewhere `load` raises CannotRunHere.
"""

from __future__ import annotations

import json
import sys
import uuid
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from export.deploy.outputs import EVIDENCE, PROBS, gathered
from export.errors import CannotRunHere, ConversionFailed, Unreadable
from export.formats.base import Description, Port, Runner
from export.formats.coreml.compact_program import compact_program
from export.formats.coreml.evaluator import runner as coreml_evaluator
from export.formats.coreml.evaluator.package import (
    Package,
    quiet,
    read_package,
    read_specification,
    specification_path,
)
from export.formats.coreml.evidence_output import FLOAT32, give_out_evidence
from export.formats.coreml.facts import FACTS
from export.formats.coreml.fp32_places import stays_in_fp32
from export.formats.coreml.traced_sizes import read_traced_sizes
from export.formats.coreml.weight_blobs import WeightFile
from export.formats.coreml.weight_encoding import affine_weight, blockwise_weight, encode_weights

if TYPE_CHECKING:
    from coremltools.proto.Model_pb2 import FeatureDescription, Model
    from numpy.typing import NDArray

    from export.deploy.graph import DeployGraph
    from export.deploy.layers import Layer, LayerTrace
    from export.deploy.outputs import Answers
    from pipeline.model_spec import ModelSpec
    from pipeline.program.program import Program

RUN_BY: Final = "run by Core ML"
ALSO: Final[tuple[Runner, ...]] = (coreml_evaluator,)
GRIDS: Final = ("int8", "w4", "w3")  # weights as codes and scales
TARGETS: Final = {"fp32": "iOS16", "fp16": "iOS16", "int8": "iOS16", "w4": "iOS18", "w3": "iOS18"}
# They would change weights. What can be folded is folded before, by one rule for every format, and
# weights are compared with that; a layer's scale stays an operation of its own. The last would make
# a batch norm of a scale and a shift, whose epsilon of 1e-5 makes the scale smaller.
FOLDING_PASSES: Final = {
    "common::fuse_conv_batchnorm",
    "common::fuse_conv_scale",
    "common::fuse_elementwise_to_batchnorm",
}
# Constants of at most this size stay in a compact program: scales and biases of 512 channels.
IMMEDIATE_BYTES: Final = 1024

PORTS: Final = (
    "Most probable label",
    "Probability of each label",
    "Where evidence for each class was seen: logits, classes x rows x columns; research only",
)
ARRAY: Final = "multiArrayType"
ARRAY_DTYPES: Final = {FLOAT32: "float32", 65552: "float16", 65600: "float64"}  # as there


def convert(
    graph: DeployGraph, spec: ModelSpec, metadata: Mapping[str, str], precision: str, path: Path
) -> None:
    """Trace after the input cast, convert, and write a package with reproducible bytes.

    Raises:
        ConversionFailed: the package does not have the promised specification version, or the
            graph's grids do not match its weights.
    """
    quiet()
    import coremltools as ct
    import torch

    from export.deploy.batch_norm_folding import folded_graph
    from export.deploy.graph import INPUT_NAME, ProbsAlone, output_shapes

    read_traced_sizes()
    size = (1, 3, *spec.resize.size)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # TorchScript, known and chosen
        traced = torch.jit.trace(  # type: ignore[no-untyped-call]
            ProbsAlone(folded_graph(graph).pixels),
            torch.zeros(size),
            check_trace=False,  # parity checks the file itself
        )
    passes = ct.PassPipeline()
    passes.remove_passes(FOLDING_PASSES)
    half = ct.transform.FP16ComputePrecision(lambda op: not stays_in_fp32(op))
    model = ct.convert(
        traced,
        inputs=[ct.ImageType(INPUT_NAME, size, color_layout=ct.colorlayout.RGB)],
        # fp16 stays as published, with probabilities rounded to fp16 once.
        outputs=[ct.TensorType(dtype=np.float32)] if precision in GRIDS else None,
        classifier_config=ct.ClassifierConfig(list(spec.labels), "label"),
        convert_to="mlprogram",
        minimum_deployment_target=ct.target[TARGETS[precision]],
        compute_precision=ct.precision.FLOAT32 if precision == "fp32" else half,
        pass_pipeline=passes,
        skip_model_load=True,
    )
    document = model.get_spec()
    ct.utils.rename_feature(document, document.description.predictedProbabilitiesName, PROBS)
    shapes = output_shapes(graph, spec)
    if EVIDENCE in shapes:
        give_out_evidence(document, shapes[EVIDENCE])
    _describe_model(document, spec, metadata)
    written = FACTS.least_runtime.versions.get(document.specificationVersion)
    if written is None or ct.target[TARGETS[precision]].value != document.specificationVersion:
        raise ConversionFailed(
            f"coremltools wrote specification version {document.specificationVersion} "
            f"for {TARGETS[precision]}"
        )
    if precision in GRIDS:
        _compress(document, Path(model.weights_dir) / "weight.bin", graph, precision)
    ct.models.MLModel(document, weights_dir=model.weights_dir, skip_model_load=True).save(str(path))
    _make_reproducible(path)


def load(path: Path, threads: int = 1) -> Any:
    """An `MLModel` on the CPU of a Mac. Raises CannotRunHere or Unreadable."""
    if reason := why_not_run():
        raise CannotRunHere(reason)
    quiet()
    import coremltools as ct

    try:
        return ct.models.MLModel(str(path), compute_units=ct.ComputeUnit.CPU_ONLY)
    except Exception as error:  # foreign code: its errors share no base
        raise Unreadable(f"Core ML cannot load {path.name}: {error}") from error


def run(session: Any, images: NDArray[np.uint8]) -> Answers:
    """Outputs for uint8 (N, H, W, 3), probabilities by label, not by position."""
    from PIL import Image

    labels = _labels(session.get_spec())
    outputs = []
    for image in images:
        found = session.predict({"image": Image.fromarray(image)})
        row = np.array([[found[PROBS][label] for label in labels]], dtype=np.float32)
        evidence = [np.asarray(found[EVIDENCE], np.float32)] if EVIDENCE in found else []
        outputs.append([row, *evidence])
    return gathered(outputs)


def describe(path: Path) -> Description:
    """Ports, labels and metadata from the specification in the package. Raises Unreadable."""
    document = read_package(path).document
    description = document.description
    if len(description.input) != 1 or description.input[0].type.WhichOneof("Type") != "imageType":
        raise Unreadable(f"{path.name} does not take one image")
    image = description.input[0].type.imageType
    space = {10: "grey", 20: "RGB", 30: "BGR"}.get(image.colorSpace, "unknown")
    labels = _labels(document)
    inputs = (Port(description.input[0].name, f"image {space}", (image.width, image.height)),)
    probs = Port(description.predictedProbabilitiesName, "label -> float64", (len(labels),))
    arrays = [port for port in description.output if port.type.WhichOneof("Type") == ARRAY]
    outputs = (probs, *(_array_port(port) for port in arrays))
    version = document.specificationVersion
    if version not in FACTS.least_runtime.versions:
        raise Unreadable(
            f"{path.name} has specification version {version}; the iOS promised reads "
            f"{', '.join(str(known) for known in FACTS.least_runtime.versions)}"
        )
    requires = {"specification_version": version, "ios": FACTS.least_runtime.versions[version]}
    return Description(inputs, outputs, dict(description.metadata.userDefined), labels, requires)


def stored_layers(path: Path) -> list[Layer]:
    """The layers, by the evaluator's reader. Raises CannotRunHere or Unreadable."""
    from export.formats.coreml.evaluator.evaluate import load_program
    from export.formats.coreml.evaluator.reference_network import stored_layers

    return stored_layers(load_program(path))


def trace_layers(path: Path, image: NDArray[np.uint8]) -> list[LayerTrace] | None:
    """By the evaluator, which rounds to fp16 as Core ML does. Raises CannotRunHere, Unreadable."""
    from export.formats.coreml.evaluator.evaluate import load_program
    from export.formats.coreml.evaluator.reference_network import trace_program

    return trace_program(load_program(path), image)


def lifted(path: Path) -> Program:
    """The file as a program of one image. Raises CannotRunHere or Unreadable."""
    from export.formats.coreml.lifting.lift import lifted

    return lifted(path)


def left_over(path: Path) -> list[str]:
    """What is in the package and not of its program. Raises CannotRunHere or Unreadable."""
    from export.formats.coreml.whole_package import left_over

    return left_over(path)


def as_written(program: Program, *, half: bool) -> Program:
    """The program that a file should be, as the writer writes it: `lifted` is compared with that.

    `half`: of a file whose arithmetic is in fp16.
    """
    from export.formats.coreml.lifting.written import as_written

    return as_written(program, half=half)


def why_not_convert() -> str:
    """Empty: coremltools converts wherever it can be installed."""
    return ""


def why_not_run() -> str:
    """Core ML is part of macOS."""
    return "" if sys.platform == "darwin" else "Core ML runs on macOS only"


def _array_port(port: FeatureDescription) -> Port:
    """An array output as the description declares it."""
    array = port.type.multiArrayType
    return Port(port.name, ARRAY_DTYPES.get(array.dataType, "unknown"), tuple(array.shape))


def _labels(document: Model) -> tuple[str, ...]:
    """The class names in the program's `classify` operation: the order of its probabilities."""
    for function in document.mlProgram.functions.values():
        for block in function.block_specializations.values():
            for operation in block.operations:
                if operation.type == "classify":
                    classes = operation.inputs["classes"].arguments[0].value.immediateValue
                    names = [value.immediateValue.tensor.strings for value in classes.list.values]
                    return tuple(name.values[0] for name in names)
    return ()


def _compress(document: Model, weights: Path, graph: DeployGraph, precision: str) -> None:
    """Replace weights by the codes of the graph's grids, in the program and in its weight.bin."""
    package = Package("the converted program", document, weights.read_bytes())
    if TARGETS[precision] == "iOS16":
        file = WeightFile(immediate_bytes=0)
        encode_weights(package, graph.grids, affine_weight, file)
    else:
        file = WeightFile(IMMEDIATE_BYTES)
        encode_weights(package, graph.grids, blockwise_weight, file)
        compact_program(document)
    weights.write_bytes(file.content())


def _describe_model(document: Model, spec: ModelSpec, metadata: Mapping[str, str]) -> None:
    description = document.description
    about = description.metadata
    about.shortDescription = f"{spec.name} ({spec.architecture}). {spec.intended_use}"
    about.versionString = spec.version
    for key in list(about.userDefined):
        if key.endswith("conversion_date"):  # would differ from day to day
            del about.userDefined[key]
    about.userDefined.update(metadata)
    description.input[0].shortDescription = f"RGB image, {metadata['input']}"
    for port, said in zip(description.output, PORTS, strict=False):
        port.shortDescription = said


def _make_reproducible(path: Path) -> None:
    """Make the bytes reproducible: fixed identifiers, sorted maps; readable by others.

    coremltools draws new UUIDs for `Manifest.json`, and protobuf writes maps in any order.
    """
    document, place = read_specification(path), specification_path(path)
    place.write_bytes(document.SerializeToString(deterministic=True))
    manifest = json.loads((path / "Manifest.json").read_text())
    entries, root = {}, manifest["rootModelIdentifier"]
    for identifier, entry in manifest["itemInfoEntries"].items():
        fixed = str(uuid.uuid5(uuid.NAMESPACE_URL, entry["path"]))
        entries[fixed] = entry
        root = fixed if identifier == manifest["rootModelIdentifier"] else root
    manifest.update(itemInfoEntries=entries, rootModelIdentifier=root)
    (path / "Manifest.json").write_text(json.dumps(manifest, indent=4, sort_keys=True) + "\n")
    for file in path.rglob("*"):
        file.chmod(0o755 if file.is_dir() else 0o644)
