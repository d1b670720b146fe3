"""ONNX: one file for onnxruntime on Android, iOS and the Web.

Opset 17 and IR 8 on purpose: every onnxruntime since 1.12 should load them, and apps seldom ship
the newest. torch's TorchScript-based exporter writes them; its dynamo exporter starts at opset 18.

Reduced precisions keep that promise: fp16, w4 and w3 are small in the file, and onnxruntime unpacks
them to fp32 once, at load (`packed_weights`); int8 has the QDQ form (`qdq`).
"""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from weakref import WeakKeyDictionary

import numpy as np

from export.deploy.layers import Layer, LayerTrace
from export.deploy.metadata import labels_in
from export.deploy.outputs import EVIDENCE, evidence_diff
from export.errors import ConversionFailed, Unreadable
from export.formats.base import Description, Runner
from export.formats.onnx.facts import FACTS
from export.formats.onnx.fold_normalisation import (
    NAMES,
    Normalisation,
    read_normalisation,
    take_in_normalisation,
)
from export.formats.onnx.graph_editor import (
    KINDS,
    constant_values,
    epsilon_of,
    with_rows_of_outputs,
)
from export.formats.onnx.packed_weights import store_grids, store_halves
from export.formats.onnx.qdq import drop_axes, store_integers
from export.formats.onnx.session import load_session, run_session, session_ports

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from onnx import ModelProto
    from onnxruntime import InferenceSession

    from export.deploy.graph import DeployGraph
    from export.deploy.outputs import Answers
    from pipeline.model_spec import ModelSpec
    from pipeline.program.program import Program
    from pipeline.resize.rule import Size

RUN_BY: Final = "run by onnxruntime"
ALSO: Final[tuple[Runner, ...]] = ()
OPSET: Final = 17
TENSORS: Final = ("weight", "bias", "mean", "variance")  # inputs of a layer, after the first
INSIDE: Final = (NAMES[0], NAMES[-1])  # weight and bias of a layer that also normalises
SIMPLIFIER_CHECKS: Final = 3  # onnxsim's own default is none, and its "ok" then says nothing
SIMPLIFIER_TOLERANCE: Final = 1e-6
# What it would multiply into weights, which are then no longer the checkpoint's nor on its grids.
INTO_WEIGHTS: Final = [
    "fuse_bn_into_conv",
    "fuse_matmul_into_conv",
    "fuse_mul_into_conv",
    "fuse_preceding_mul_into_conv",
    "fuse_reduce_sum_into_conv",
]
# Several precisions, and the ORT files, come from one graph.
SIMPLIFIED: WeakKeyDictionary[DeployGraph, tuple[Size, bytes]] = WeakKeyDictionary()


def convert(
    graph: DeployGraph, spec: ModelSpec, metadata: Mapping[str, str], precision: str, path: Path
) -> None:
    """Export, simplify, compare the simplified graph with the plain one, store small, write.

    Raises:
        ConversionFailed: the simplifier changed the outputs, or a weight is not on its grid.
    """
    model = build_model(graph, spec, precision)
    if precision != "int8":  # integer kernels need rounded pixels
        take_in_normalisation(model)
    write_model(model, spec, metadata, path)


def build_model(graph: DeployGraph, spec: ModelSpec, precision: str) -> ModelProto:
    """The graph in ONNX, with its weights stored in the precision."""
    import onnx

    model = onnx.load_from_string(_simplified(graph, spec))
    with_rows_of_outputs(model, products=precision == "fp16" or bool(graph.grids))
    if precision == "fp16":
        store_halves(model)
    elif precision == "int8":
        store_integers(model, graph.grids)
    elif graph.grids:
        store_grids(model, graph.grids)
    return model


def write_model(
    model: ModelProto, spec: ModelSpec, metadata: Mapping[str, str], path: Path
) -> None:
    """Add the model's metadata, check and write it."""
    import onnx

    onnx.helper.set_model_props(model, dict(metadata))
    model.doc_string = f"{spec.name} {spec.version}. {spec.intended_use}"
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, path)


def load(path: Path, threads: int = 1) -> InferenceSession:
    """An onnxruntime session. Raises CannotRunHere or Unreadable."""
    return load_session(path, threads)


def run(session: InferenceSession, images: NDArray[np.uint8]) -> Answers:
    """Outputs for uint8 (N, H, W, 3), image by image."""
    return run_session(session, images)


def describe(path: Path) -> Description:
    """Ports as onnxruntime sees them; opset and IR from the file itself. Raises Unreadable."""
    import onnx

    inputs, outputs = session_ports(load_session(path, threads=1))
    try:
        model = onnx.load(path, load_external_data=False)
    except Exception as error:
        raise Unreadable(f"onnx cannot read {path.name}: {error}") from error
    metadata = {pair.key: pair.value for pair in model.metadata_props}
    opset = next(entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx"))
    requires: dict[str, str | int] = {"ir_version": model.ir_version, "opset": opset}
    least = FACTS.least_runtime
    if opset in least.versions:
        requires[least.key] = least.versions[opset]
    return Description(inputs, outputs, metadata, labels_in(metadata), requires)


def stored_layers(path: Path) -> list[Layer]:
    """Convolutions and matrix products in graph order, with the weights that they will get.

    Raises:
        Unreadable: not an ONNX file, or a layer whose weight depends on more than constants.
    """
    import onnx

    try:
        model = onnx.load(path, load_external_data=False)
        nodes = [node for node in model.graph.node if node.op_type in KINDS]
        # As stored: before fp16 becomes fp32, and before the normalisation is folded in.
        sources = {n.output[0]: n.input[0] for n in model.graph.node if n.op_type == "Cast"}
        taken_in = read_normalisation(model)
        before = (
            dict(zip(INSIDE, (taken_in.weight, taken_in.bias), strict=True)) if taken_in else {}
        )
        wanted = {
            f"{i} {key}": sources.get(before.get(name, name), before.get(name, name))
            for i, node in enumerate(nodes)
            for key, name in zip(TENSORS, node.input[1:], strict=False)
        }
        values = constant_values(model, wanted)
    except KeyError as error:
        raise Unreadable(f"{path.name}: a layer has no weight of its own: {error}") from error
    except Exception as error:  # protobuf's and onnx's errors share no base
        raise Unreadable(f"onnx cannot read {path.name}: {error}") from error
    layers = [
        Layer(
            KINDS[node.op_type],
            node.name,
            {key: values[k] for key in TENSORS if (k := f"{i} {key}") in values} | epsilon_of(node),
        )
        for i, node in enumerate(nodes)
    ]
    return [*_normalisation(taken_in), *layers, *_activations(model)]


def _normalisation(taken_in: Normalisation | None) -> list[Layer]:
    """In the form of `normalisation_layer`; none if it is not separate from other arithmetic."""
    if taken_in is None:
        return []
    tensors: dict[str, NDArray[Any]] = {"weight": taken_in.mean, "bias": 1 / taken_in.std}
    return [Layer("normalise", "normalisation", tensors)]


def _activations(model: ModelProto) -> list[Layer]:
    """Scales and zero points of values rounded at run time, on either side of the rounding."""
    from onnx import numpy_helper

    from export.deploy.layer_order import layer_of_activations

    stored = {tensor.name: tensor for tensor in model.graph.initializer}
    return layer_of_activations(
        (values[0].item(), values[1].item())
        for node in model.graph.node
        if node.op_type in ("QuantizeLinear", "DequantizeLinear") and node.input[0] not in stored
        for values in [[numpy_helper.to_array(stored[name]) for name in node.input[1:]]]
    )


def trace_layers(path: Path, image: NDArray[np.uint8]) -> list[LayerTrace] | None:
    """Inputs and outputs of the layers' nodes, from a copy of the graph that outputs them.

    Raises Unreadable.
    """
    import onnx

    try:
        model = onnx.load(path, load_external_data=False)
    except Exception as error:  # protobuf's errors share no base with onnx's
        raise Unreadable(f"onnx cannot read {path.name}: {error}") from error
    nodes = [node for node in model.graph.node if node.op_type in KINDS]
    wanted = list(dict.fromkeys(name for n in nodes for name in (n.input[0], n.output[0])))
    del model.graph.output[:]
    model.graph.output.extend(onnx.ValueInfoProto(name=name) for name in wanted)
    with tempfile.TemporaryDirectory() as folder:
        watched = Path(folder) / "watched.onnx"
        onnx.save(model, watched)
        session = load_session(watched, threads=1)
        values = dict(
            zip(
                wanted,
                session.run(wanted, {session.get_inputs()[0].name: image[None]}),
                strict=True,
            )
        )
    taken_in = read_normalisation(model)
    if taken_in is not None:  # the layer's input as in PyTorch
        first = next(n for n in nodes if n.input[1] == INSIDE[0]).input[0]
        mean, std = (v.reshape(1, 3, 1, 1) for v in (taken_in.mean, taken_in.std))
        values[first] = (values[first] - mean) / std
    return [
        LayerTrace(KINDS[n.op_type], n.name, values[n.input[0]], values[n.output[0]]) for n in nodes
    ]


def lifted(path: Path) -> Program:
    """The file as a program with its own weights. Raises CannotRunHere or Unreadable."""
    from export.formats.onnx.lifting.lift import lifted_graph
    from export.formats.onnx.lifting.reading import read_graph

    return lifted_graph(read_graph(path))


def why_not_convert() -> str:
    """Empty: every machine with the packages can convert."""
    return ""


def why_not_run() -> str:
    """Empty: every machine with the packages can run."""
    return ""


def _simplified(graph: DeployGraph, spec: ModelSpec) -> bytes:
    """The graph in fp32, simplified and compared with the plain one; cached with the graph."""
    import onnx
    import onnxsim

    side, content = SIMPLIFIED.get(graph, (0, b""))
    if side == spec.side:
        return content

    with tempfile.TemporaryDirectory() as folder:
        plain = Path(folder) / "plain.onnx"
        _export(graph, spec, plain)
        exported = onnx.load(plain)
        if drop_axes(exported):
            onnx.save(exported, plain)
        model, equal = onnxsim.simplify(
            exported, check_n=SIMPLIFIER_CHECKS, skipped_optimizers=INTO_WEIGHTS
        )
        if not equal:
            raise ConversionFailed("onnxsim's own check found that the outputs changed")
        simplified = Path(folder) / "simplified.onnx"
        onnx.save(model, simplified)
        _compare(plain, simplified, spec.side)
    SIMPLIFIED[graph] = (spec.side, model.SerializeToString())
    return SIMPLIFIED[graph][1]


def _export(graph: DeployGraph, spec: ModelSpec, path: Path) -> None:
    import torch

    from export.deploy.batch_norm_folding import folded_graph
    from export.deploy.graph import INPUT_NAME, example_input, output_shapes

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # from the exporter that we chose
        torch.onnx.export(
            folded_graph(graph),
            (example_input(spec),),
            path,
            opset_version=OPSET,
            dynamo=False,
            input_names=[INPUT_NAME],
            output_names=list(output_shapes(graph, spec)),
        )


def _compare(before: Path, after: Path, side: Size) -> None:
    from export.images.stress_images import stress_images

    images = np.stack(list(stress_images(side).values()))
    plain, simplified = (run(load(path), images) for path in (before, after))
    diffs = [float(np.max(np.abs(plain.probs - simplified.probs)))]
    if plain.evidence is not None:
        if simplified.evidence is None:
            raise ConversionFailed(f"onnxsim lost the output {EVIDENCE}")
        diffs.append(float(evidence_diff(simplified.evidence, plain.evidence).max()))
    diff = float(np.max(diffs))  # a NaN stays one
    if not diff <= SIMPLIFIER_TOLERANCE:
        raise ConversionFailed(
            f"onnxsim changed the outputs by {diff:.1e} > {SIMPLIFIER_TOLERANCE:.0e} "
            "on the hard images"
        )
