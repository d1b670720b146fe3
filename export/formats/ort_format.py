"""ORT format: the ONNX file with onnxruntime's graph optimisations done ahead, for smaller builds.

Optimised for Arm as the target, which leaves out the layouts of x86 processors: a file made on a
laptop is the file for a phone, and the same on every machine.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from export.errors import ConversionFailed, Unreadable
from export.formats import onnx_format
from export.formats.base import Description, Runner, Tolerance
from export.formats.onnxruntime_session import load_session, run_session, session_ports
from export.layers import Layer, LayerTrace
from export.metadata import labels_in

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from export.graph import DeployGraph
    from pipeline.checkpoint import ModelSpec

NAME: Final = "ort"
SUFFIX: Final = ".ort"
PLATFORMS: Final = ("android",)
METADATA_KEY: Final = "metadata"
LAYER_KINDS: Final = {"Conv": "conv", "FusedConv": "conv", "Gemm": "linear", "FusedGemm": "linear"}
DTYPES: Final = {1: np.float32, 10: np.float16}  # onnx.TensorProto.DataType
OLDEST_ONNXRUNTIME: Final = {6: "1.16"}  # 1.15.1 refuses version 6
RUN_BY: Final = "run by onnxruntime"
ALSO: Final[tuple[Runner, ...]] = ()
REQUIRES: Final = onnx_format.REQUIRES
RUNTIME: Final = "onnxruntime"
TOLERANCES: Final[Mapping[str, Tolerance]] = {
    "fp32": Tolerance(1e-4, 0.0, "as ONNX: the same kernels, fused ahead instead of at load"),
}
TWINS: Final[Mapping[str, str]] = {"fp32": "fp32"}
REFUSED: Final[Mapping[str, str]] = {}


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
        # One pair: onnxruntime writes several in an order that changes from run to run.
        one_pair = {METADATA_KEY: json.dumps(dict(metadata), sort_keys=True)}
        onnx_format.convert(graph, spec, one_pair, precision, source)
        convert_onnx_models_to_ort(
            source, optimization_styles=[OptimizationStyle.Fixed], target_platform="arm"
        )
        written = source.with_suffix(SUFFIX)
        if not written.is_file():
            raise ConversionFailed("onnxruntime's converter wrote no .ort file")
        shutil.move(written, path)


def load(path: Path, threads: int = 1) -> Any:
    """An onnxruntime session. Raises CannotRunHere or Unreadable."""
    return load_session(path, threads)


def run(session: Any, images: NDArray[np.uint8]) -> NDArray[np.float32]:
    """uint8 (N, H, W, 3) -> float32 (N, K), image by image."""
    return run_session(session, images)


def describe(path: Path) -> Description:
    """All as onnxruntime reads it back. Raises Unreadable or CannotRunHere."""
    session = load_session(path, threads=1)
    inputs, outputs = session_ports(session)
    pairs = session.get_modelmeta().custom_metadata_map
    metadata = json.loads(pairs.get(METADATA_KEY, "{}"))
    version = _format_version(path)
    requires: dict[str, str | int] = {"ort_format": version}
    if version in OLDEST_ONNXRUNTIME:
        requires["onnxruntime"] = OLDEST_ONNXRUNTIME[version]
    return Description(inputs, outputs, metadata, labels_in(metadata), requires)


def stored_layers(path: Path) -> list[Layer]:
    """Convolutions and matrix products, fused or not, from the initializers. Raises Unreadable."""
    graph = _flatbuffer(path).Model().Graph()
    stored = {}
    for i in range(graph.InitializersLength()):
        tensor = graph.Initializers(i)
        if tensor.DataType() in DTYPES:
            values = tensor.RawDataAsNumpy().view(DTYPES[tensor.DataType()])
            stored[tensor.Name()] = values.reshape(tensor.DimsAsNumpy())
    layers = []
    for i in range(graph.NodesLength()):
        node = graph.Nodes(i)
        kind = LAYER_KINDS.get(node.OpType().decode())
        if kind:
            names = [node.Inputs(j) for j in range(1, node.InputsLength())]
            tensors = dict(zip(("weight", "bias"), names, strict=False))
            present = {key: stored[name] for key, name in tensors.items() if name in stored}
            if "weight" not in present:
                raise Unreadable(f"{path.name}: {node.Name().decode()} has no weight of its own")
            layers.append(Layer(kind, node.Name().decode(), present))
    return layers


def trace_layers(path: Path, image: NDArray[np.uint8]) -> list[LayerTrace] | None:
    """The graph of an ORT file is fused and cannot be given more outputs."""
    return None


def _format_version(path: Path) -> int:
    return int(_flatbuffer(path).OrtVersion())


def _flatbuffer(path: Path) -> Any:
    """The root of the file by the reader that comes with onnxruntime's tools."""
    from onnxruntime.tools.ort_format_model.ort_flatbuffers_py.fbs import InferenceSession

    content = path.read_bytes()
    reader = InferenceSession.InferenceSession
    if not reader.InferenceSessionBufferHasIdentifier(content, 0):
        raise Unreadable(f"{path.name} is not an ORT format file")
    return reader.GetRootAsInferenceSession(content, 0)
