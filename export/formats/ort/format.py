"""ORT format: the ONNX file with onnxruntime's graph optimisations done ahead, for smaller builds.

Optimised for Arm as the target, without the layouts of x86 processors: a file made on a laptop
suits phones, and is the same on every machine.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from export.deploy.layers import Layer, LayerTrace
from export.deploy.metadata import labels_in
from export.errors import ConversionFailed, Unreadable
from export.formats.base import Description, Runner
from export.formats.onnx import format as onnx_format
from export.formats.onnx.session import load_session, run_session, session_ports
from export.formats.ort.facts import FACTS
from export.formats.ort.node_order import in_call_order

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from onnxruntime import InferenceSession

    from export.deploy.graph import DeployGraph
    from export.deploy.outputs import Answers
    from pipeline.model_spec import ModelSpec
    from pipeline.program.program import Program

METADATA_KEY: Final = "metadata"
LAYER_KINDS: Final = {
    "Conv": "conv",
    "FusedConv": "conv",
    "Gemm": "linear",
    "FusedGemm": "linear",
    "BatchNormalization": "batch_norm",
}
TENSORS: Final = ("weight", "bias", "mean", "variance")  # inputs of a layer, after the first
# Operation -> the inputs with scale and zero point of an activation.
ROUNDINGS: Final = {
    "QuantizeLinear": ((1, 2),),
    "DequantizeLinear": ((1, 2),),
    "QLinearConv": ((1, 2), (6, 7)),
    "QGemm": ((1, 2), (7, 8)),
    "QLinearConcat": ((0, 1),),
}
INTEGER_KINDS: Final = {"QLinearConv": "conv", "QGemm": "linear"}
INTEGER_BIAS: Final = {"QLinearConv": 8, "QGemm": 6}  # its position among the inputs
# onnx.TensorProto.DataType
DTYPES: Final = {1: np.float32, 2: np.uint8, 3: np.int8, 6: np.int32, 10: np.float16}
RUN_BY: Final = "run by onnxruntime"
ALSO: Final[tuple[Runner, ...]] = ()


def convert(
    graph: DeployGraph, spec: ModelSpec, metadata: Mapping[str, str], precision: str, path: Path
) -> None:
    """Make the ONNX file, then let onnxruntime's converter optimise and rewrite it.

    Raises:
        ConversionFailed: the converter left no file, whatever it printed.
    """
    from onnxruntime.tools.convert_onnx_models_to_ort import (
        OptimizationStyle,
        convert_onnx_models_to_ort,
    )

    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "model.onnx"
        # A single pair: onnxruntime writes several in an order that changes from run to run.
        one_pair = {METADATA_KEY: json.dumps(dict(metadata), sort_keys=True)}
        # The normalisation stays separate: otherwise it would be folded into the weights for good.
        onnx_format.write_model(
            onnx_format.build_model(graph, spec, precision), spec, one_pair, source
        )
        convert_onnx_models_to_ort(
            source, optimization_styles=[OptimizationStyle.Fixed], target_platform="arm"
        )
        written = source.with_suffix(FACTS.suffix)
        if not written.is_file():
            raise ConversionFailed("onnxruntime's converter wrote no .ort file")
        shutil.move(written, path)


def load(path: Path, threads: int = 1) -> InferenceSession:
    """An onnxruntime session. Raises CannotRunHere or Unreadable."""
    return load_session(path, threads)


def run(session: InferenceSession, images: NDArray[np.uint8]) -> Answers:
    """Outputs for uint8 (N, H, W, 3), image by image."""
    return run_session(session, images)


def describe(path: Path) -> Description:
    """All as onnxruntime reads it back. Raises Unreadable or CannotRunHere."""
    session = load_session(path, threads=1)
    inputs, outputs = session_ports(session)
    pairs = session.get_modelmeta().custom_metadata_map
    metadata = json.loads(pairs.get(METADATA_KEY, "{}"))
    version = _format_version(path)
    requires: dict[str, str | int] = {"ort_format": version}
    least = FACTS.least_runtime
    if version in least.versions:
        requires[least.key] = least.versions[version]
    return Description(inputs, outputs, metadata, labels_in(metadata), requires)


def stored_layers(path: Path) -> list[Layer]:
    """Convolutions and matrix products, fused or in integers, in call order. Raises Unreadable."""
    from export.deploy.layer_order import layer_of_activations

    graph = _flatbuffer(path).Model().Graph()
    stored = {}
    for i in range(graph.InitializersLength()):
        tensor = graph.Initializers(i)
        if tensor.DataType() in DTYPES:
            values = tensor.RawDataAsNumpy()
            if not isinstance(values, int):  # an empty tensor
                shape = tensor.DimsAsNumpy() if tensor.DimsLength() else ()
                stored[tensor.Name()] = values.view(DTYPES[tensor.DataType()]).reshape(shape)
    layers, rounded = [], set()
    for node in in_call_order(graph):
        operation = node.OpType().decode()
        values = [stored.get(node.Inputs(j)) for j in range(node.InputsLength())]
        for place in ROUNDINGS.get(operation, ()):
            grid = [values[j] for j in place if j < len(values)]  # a QGemm may output fp32
            if len(grid) == len(place) and all(v is not None and v.size == 1 for v in grid):
                rounded.add(tuple(v.item() for v in grid))  # a weight has a scale for each channel
        if operation in LAYER_KINDS:
            kind = LAYER_KINDS[operation]
            count = 4 if kind == "batch_norm" else 2  # a fused convolution may also have a summand
            tensors = dict(zip(TENSORS[:count], values[1:], strict=False))
            tensors |= _epsilon(node) if kind == "batch_norm" else {}
        elif operation in INTEGER_KINDS:
            tensors, kind = _integer_tensors(node, values), INTEGER_KINDS[operation]
        else:
            continue
        present = {key: value for key, value in tensors.items() if value is not None}
        if "weight" not in present:
            raise Unreadable(f"{path.name}: {node.Name().decode()} has no weight of its own")
        layers.append(Layer(kind, node.Name().decode(), present))
    return layers + layer_of_activations(rounded)


def _integer_tensors(node: Any, values: list[Any]) -> dict[str, Any]:
    """Float values of the integers of a QLinearConv or QGemm; the inputs are as ONNX or its runtime
    documents them; a matrix may be transposed.
    """
    _, input_scale, _, weight, scale, zero_point, *_ = values
    if weight is None or input_scale is None or np.any(zero_point):
        return {}
    operation = node.OpType().decode()
    if operation == "QGemm" and not _attribute(node, b"transB"):
        weight = weight.T
    per_channel = scale.reshape(-1, *[1] * (weight.ndim - 1))
    step = (input_scale.astype(np.float64) * scale).astype(np.float32)
    place = INTEGER_BIAS[operation]
    bias = values[place] if len(values) > place else None
    return {
        "weight": weight.astype(np.float32) * per_channel,
        "bias": None if bias is None else bias.astype(np.float32) * step,
    }


def _attribute(node: Any, name: bytes) -> int:
    """An integer attribute, 0 if it is missing."""
    attributes = (node.Attributes(i) for i in range(node.AttributesLength()))
    return next((int(a.I()) for a in attributes if a.Name() == name), 0)


def _epsilon(node: Any) -> dict[str, NDArray[np.float32]]:
    """Of a batch norm; the file states it even if the ONNX node used the default."""
    for i in range(node.AttributesLength()):
        if node.Attributes(i).Name() == b"epsilon":
            return {"epsilon": np.array(node.Attributes(i).F(), np.float32)}
    return {}


def trace_layers(path: Path, image: NDArray[np.uint8]) -> list[LayerTrace] | None:
    """None: the graph of an ORT file is fused and cannot get more outputs."""
    return None


def lifted(path: Path) -> Program:
    """The file as a program with its own weights. Raises CannotRunHere or Unreadable."""
    from export.formats.onnx.lifting.lift import lifted_graph
    from export.formats.ort.lifting.entries import ENTRIES
    from export.formats.ort.lifting.graph import graph_of

    return lifted_graph(graph_of(_flatbuffer(path)), ENTRIES)


def why_not_convert() -> str:
    """Empty: every machine with the packages can convert."""
    return ""


def why_not_run() -> str:
    """Empty: every machine with the packages can run."""
    return ""


def _format_version(path: Path) -> int:
    return int(_flatbuffer(path).OrtVersion())


def _flatbuffer(path: Path) -> Any:
    """The root of the file, by the reader from onnxruntime's tools."""
    from onnxruntime.tools.ort_format_model.ort_flatbuffers_py.fbs import InferenceSession

    content = path.read_bytes()
    reader = InferenceSession.InferenceSession
    if not reader.InferenceSessionBufferHasIdentifier(content, 0):
        raise Unreadable(f"{path.name} is not an ORT format file")
    return reader.GetRootAsInferenceSession(content, 0)
