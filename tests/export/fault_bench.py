"""The fault bench: files and asset folders that are wrong in one known way, as data.

`FAULTS` must each be caught by `export.parity.check` or `export.run.check_published`; `CONTROLS`
change bytes and nothing else, and must pass. Every one is a real artifact of a tiny checkpoint, in
every format that can have the fault. ``python -m tests.export.fault_bench`` prints what caught what
as JSON.
"""

from __future__ import annotations

import copy
import json
import os
import shutil
import sys
import tempfile
import types
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from export.deploy.graph import DeployGraph, Outputs, PixelGraph
from export.deploy.metadata import model_metadata
from export.deploy.outputs import EVIDENCE
from export.formats import FORMATS
from export.formats.coreml.evaluator.package import (
    RECORD_BYTES,
    read_specification,
    specification_path,
)
from export.formats.coreml.weight_blobs import replace_operations, typed_value
from export.manifest.manifest import MANIFEST_FILE, read_manifest
from export.parity.check import ParityResult, check_artifact
from export.parity.quality_gate import Promotion
from export.publish.assets import FOLDERS, publish
from export.publish.build_manifest import Published, file_entries
from export.run.check_published import check_published, damaged_files
from pipeline.checkpoint import open_checkpoint, write_checkpoint
from pipeline.model_spec import ModelSpec
from pipeline.models.networks import load_network
from tests.conftest import LABELS, make_spec, write_images
from tests.export.conftest import Model, read_model, write_sensitive_network

Artifact = tuple[str, str]  # format, precision
FP32: tuple[Artifact, ...] = (
    ("onnx", "fp32"),
    ("ort", "fp32"),
    ("torchscript", "fp32"),
    ("coreml", "fp32"),
)
ALL: tuple[Artifact, ...] = (*FP32, ("coreml", "fp16"))
COREML: tuple[Artifact, ...] = (("coreml", "fp32"), ("coreml", "fp16"))
FILES = FP32[:3]  # one file each; Core ML has a folder
ONNX = FP32[:1]
HALF = COREML[1:]
REFUSED = ("outputs", "structure", "weights")  # by whatever reads weights
PASSED = ParityResult("pass", "", 13, 0.0, 0.0, 0, 0, "hard/red")
SIDE_OF_CEIL_MODE = 66  # where a partial window is left; at 64 and 224 none is


# --- the checkpoints --------------------------------------------------------------------------


def write_bench_checkpoint(folder: Path, spec: ModelSpec, seed: int = 0) -> Path:
    """`write_sensitive_network` with biases: fresh ones are zero, and swapping them no fault."""
    write_sensitive_network(folder, spec, seed)
    network = load_network(open_checkpoint(folder))
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for convolution in convolutions(network)[:-1]:
            convolution.bias.normal_(std=0.1, generator=generator)
    return _written(folder, spec, network)


def write_overflowing_checkpoint(folder: Path, spec: ModelSpec) -> Path:
    """The same function in fp32; in fp16 the first layer's outputs are beyond 65504."""
    write_bench_checkpoint(folder, spec)
    network = load_network(open_checkpoint(folder))
    with torch.no_grad():
        network.body[0].weight *= 2.0**16
        network.body[0].bias *= 2.0**16
        network.body[3].squeeze.weight *= 2.0**-16
    return _written(folder, spec, network)


def _written(folder: Path, spec: ModelSpec, network: nn.Module) -> Path:
    write_checkpoint(folder, spec, network.state_dict())
    return folder


def convolutions(network: nn.Module) -> list[nn.Conv2d]:
    return [module for module in network.modules() if isinstance(module, nn.Conv2d)]


class Bench:
    """Checkpoints and clean artifacts, each made when it is first asked for."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.model = cache(self._model)
        self.clean = cache(self._clean)
        self.data = cache(self._data)

    def _model(self, name: str = "tiny") -> Model:
        write = {
            "tiny": lambda folder: write_bench_checkpoint(folder, make_spec()),
            "other": lambda folder: write_bench_checkpoint(folder, make_spec(), seed=1),
            "odd": lambda folder: write_bench_checkpoint(folder, make_spec(side=SIDE_OF_CEIL_MODE)),
            "overflowing": lambda folder: write_overflowing_checkpoint(folder, make_spec()),
        }[name]
        return read_model(write(self.folder / "checkpoints" / name))

    def _clean(self, artifact: Artifact, model: str = "tiny") -> Path:
        folder = self.folder / "clean" / model
        folder.mkdir(parents=True, exist_ok=True)
        return convert(self.model(model), artifact, folder)

    def _data(self) -> Path:
        root = self.folder / "xrays"
        for split in ("train", "valid"):
            for label in LABELS:
                write_images(root / split, label, 2, len(split))
        return root


def convert(
    model: Model,
    artifact: Artifact,
    folder: Path,
    *,
    graph: DeployGraph | None = None,
    spec: ModelSpec | None = None,
    metadata: Mapping[str, str] | None = None,
) -> Path:
    """An artifact by the real converter, with one thing other than it should be."""
    name, precision = artifact
    path = folder / f"tiny_{precision}{FORMATS[name].SUFFIX}"
    FORMATS[name].convert(
        graph or model.graph, spec or model.spec, metadata or model.metadata, precision, path
    )
    return path


# --- faults, as data --------------------------------------------------------------------------

Plant = Callable[[Bench, Artifact, Path], Path]  # bench, artifact, empty folder -> artifact


@dataclass(frozen=True)
class Fault:
    """One way to be wrong, or (among `CONTROLS`) one way to be merely different.

    Attributes:
        name: in words.
        plant: makes the artifact; or, for `published`, damages an asset folder.
        artifacts: which formats have it.
        by: parts that must catch it in each of them, by format where they differ.
        published: judged by `check_published` and not by `check_artifact`.
        model: the checkpoint that it is held against.
        converts: planted before conversion, which takes Core ML's a second each.

    """

    name: str
    plant: Plant
    artifacts: tuple[Artifact, ...]
    by: tuple[str, ...] = ()
    published: bool = False
    model: str = "tiny"
    converts: bool = False


@dataclass(frozen=True)
class Verdict:
    """What became of it: the parts of the check that did not pass, and the whole reason."""

    caught_by: tuple[str, ...]
    reason: str


def judge(bench: Bench, fault: Fault, artifact: Artifact, folder: Path) -> Verdict:
    """Plant the fault in an empty folder and check the result as a user would."""
    model = bench.model(fault.model)
    path = fault.plant(bench, artifact, folder)
    if fault.published:
        return _judge_published(bench, model, artifact, path)
    result = check_artifact(*artifact, path, model.held)
    return Verdict(_caught_by(result), result.reason)


def _caught_by(result: ParityResult) -> tuple[str, ...]:
    if result.status == "pass":
        return ()
    parts = tuple(sorted(part for part, verdict in result.parts.items() if verdict != "pass"))
    return parts or ("reading",)


def _judge_published(bench: Bench, model: Model, artifact: Artifact, root: Path) -> Verdict:
    rows, _ = check_published(root, model.folder, bench.data(), 4)
    place = FORMATS[artifact[0]].PLATFORMS[0]
    (row,) = [r for r in rows if (r.format, r.precision, r.place) == (*artifact, place)]
    folder = root / FOLDERS[place]
    manifest = read_manifest(folder)
    (entry,) = [a for a in manifest.artifacts if (a.format, a.precision) == artifact]
    caught = _caught_by(row.parity)
    if caught == ("reading",) and not row.parity.parts:
        if damaged_files(folder, entry):
            caught = ("files",)
        elif row.parity.reason.startswith("made from another checkpoint"):
            caught = ("manifest",)
    return Verdict(caught, row.parity.reason)


# --- faults of the graph ----------------------------------------------------------------------

Compute = Callable[[PixelGraph, Tensor], Outputs]


class Computing(PixelGraph):
    """A pixel graph that computes something else."""

    def __init__(self, network: nn.Module, spec: ModelSpec, compute: Compute) -> None:
        super().__init__(network, spec)
        self.compute = compute

    def forward(self, pixels: Tensor) -> Outputs:
        return self.compute(self, pixels)


def normalised(graph: PixelGraph, pixels: Tensor) -> Tensor:
    return (pixels - graph.mean) / graph.std


def answered(graph: PixelGraph, values: Tensor) -> Outputs:
    return graph.answer(values)


def logits(graph: PixelGraph, pixels: Tensor, change: Callable[[Tensor], Tensor]) -> Outputs:
    """Something else than softmax after the network."""
    found, evidence = graph.network(normalised(graph, pixels))
    return change(found), evidence.contiguous()


def seen(change: Callable[[Tensor], Tensor]) -> Compute:
    """The right probabilities, and evidence in another way."""

    def compute(graph: PixelGraph, pixels: Tensor) -> Outputs:
        probs, evidence = answered(graph, normalised(graph, pixels))
        return probs, change(evidence).contiguous()

    return compute


COMPUTES: dict[str, Compute] = {
    "channels read as BGR": lambda g, x: answered(g, normalised(g, x.flip(1))),
    "normalisation dropped": lambda g, x: answered(g, x),
    "normalisation doubled": lambda g, x: answered(
        g, (normalised(g, x) - g.mean / 255) / (g.std / 255)
    ),
    "pixels divided by 255 and no more": lambda g, x: answered(g, x / 255),
    "means in the order BGR": lambda g, x: answered(g, (x - g.mean.flip(1)) / g.std),
    "standard deviations in the order BGR": lambda g, x: answered(g, (x - g.mean) / g.std.flip(1)),
    "means of pixels / 255 taken from pixels": lambda g, x: answered(g, (x - g.mean / 255) / g.std),
    "softmax missing": lambda g, x: logits(g, x, lambda found: found),
    "softmax doubled": lambda g, x: logits(g, x, lambda found: found.softmax(1).softmax(1)),
    "softmax over the batch": lambda g, x: logits(g, x, lambda found: found.softmax(0)),
    "sigmoid for softmax": lambda g, x: logits(g, x, torch.sigmoid),
    "outputs swapped": lambda g, x: logits(g, x, lambda found: found.softmax(1).flip(1)),
    "image mirrored": lambda g, x: answered(g, normalised(g, x.flip(3))),
    "image transposed": lambda g, x: answered(g, normalised(g, x.transpose(2, 3))),
}
# Core ML's evidence is what its mean takes, whatever the graph gives out: `seen_otherwise` has its.
EVIDENCES: dict[str, Compute] = {
    "evidence of swapped classes": seen(lambda found: found.flip(1)),
    "evidence transposed": seen(lambda found: found.transpose(2, 3)),
    "evidence mirrored": seen(lambda found: found.flip(3)),
    "evidence upside down": seen(lambda found: found.flip(2)),
    "evidence in another layout": seen(lambda found: found.permute(0, 2, 3, 1)),
    "evidence without what is negative": seen(torch.relu),
    "evidence as shares of the classes": seen(lambda found: found.softmax(1)),
    "evidence moved to an average of zero": seen(lambda f: f - f.mean(dim=(2, 3), keepdim=True)),
    "evidence a thousandth larger": seen(lambda found: found * 1.001),
    "evidence at half the resolution": seen(lambda found: found[:, :, ::2, ::2]),
    "evidence missing": lambda g, x: answered(g, normalised(g, x))[0],
}
# Of Core ML in fp16 those that leave the operations as they are; the rest add nothing to fp32.
COMPUTES_IN_HALF = {
    "means in the order BGR",
    "standard deviations in the order BGR",
    "normalisation dropped",
    "softmax over the batch",
}


def computing(compute: Compute) -> Plant:
    def plant(bench: Bench, artifact: Artifact, folder: Path) -> Path:
        model = bench.model()
        graph = copy.deepcopy(model.graph)
        graph.pixels = Computing(graph.pixels.network, model.spec, compute)
        return convert(model, artifact, folder, graph=graph.eval())

    return plant


def pad_one_side(network: nn.Module) -> None:
    """1,1,1,1 -> 0,2,0,2: the same shape, moved by a pixel."""
    fire = network.body[12]
    fire.expand3x3.padding = (0, 0)
    fire.expand3x3 = nn.Sequential(nn.ZeroPad2d((0, 2, 0, 2)), fire.expand3x3)


def dilate(network: nn.Module) -> None:
    convolution = network.body[9].expand3x3
    convolution.dilation, convolution.padding = (2, 2), (2, 2)


def drop_relu(network: nn.Module) -> None:
    network.body[7].squeeze_activation = nn.Identity()


def swap_branches(network: nn.Module) -> None:
    def forward(self: Any, x: Tensor) -> Tensor:
        x = self.squeeze_activation(self.squeeze(x))
        small = self.expand1x1_activation(self.expand1x1(x))
        return torch.cat([self.expand3x3_activation(self.expand3x3(x)), small], 1)

    network.body[10].forward = types.MethodType(forward, network.body[10])


def average_for_maximum(network: nn.Module) -> None:
    network.body[5] = nn.AvgPool2d(3, 2)


def floor_pools(network: nn.Module) -> None:
    for module in network.modules():
        if isinstance(module, nn.MaxPool2d):
            module.ceil_mode = False


def swap_biases(network: nn.Module) -> None:
    one, two = network.body[11].expand1x1.bias, network.body[12].expand1x1.bias
    _swap(one, two)


def swap_layers(network: nn.Module) -> None:
    """The same places, the same shapes: only the order tells."""
    one, two = network.body[9].expand1x1, network.body[10].expand1x1
    _swap(one.weight, two.weight)
    _swap(one.bias, two.bias)


def _swap(one: Tensor, two: Tensor) -> None:
    kept = one.clone()
    one.copy_(two)
    two.copy_(kept)


def scale_layer(network: nn.Module) -> None:
    network.body[6].squeeze.weight *= 1.01


def zero_channel(network: nn.Module) -> None:
    network.body[4].expand3x3.weight[5] = 0
    network.body[4].expand3x3.bias[5] = 0


def drop_bias(network: nn.Module) -> None:
    network.body[9].squeeze.bias.zero_()


def transpose_kernel(network: nn.Module) -> None:
    weight = network.body[0].weight
    weight.copy_(weight.transpose(2, 3).clone())


def flip_first_channels(network: nn.Module) -> None:
    network.body[0].weight.copy_(network.body[0].weight.flip(1))


def swap_output_rows(network: nn.Module) -> None:
    for tensor in network.head[1].parameters():
        tensor.copy_(tensor.flip(0))


def round_to_half(network: nn.Module) -> None:
    for tensor in network.parameters():
        tensor.copy_(tensor.half().float())


def round_to_8_bits(network: nn.Module) -> None:
    for convolution in convolutions(network):
        step = convolution.weight.abs().max() / 127
        convolution.weight.copy_((convolution.weight / step).round() * step)


def add_to_one_weight(network: nn.Module) -> None:
    network.body[0].weight[20, 1, 1, 1] *= 1.001


STRUCTURES: dict[str, Callable[[nn.Module], None]] = {
    "padding 1,1,1,1 made 0,2,0,2 in one 3x3 convolution": pad_one_side,
    "dilation 2 in one 3x3 convolution": dilate,
    "one ReLU removed": drop_relu,
    "branches of one concat swapped": swap_branches,
    "one pool averages": average_for_maximum,
}
WEIGHTS: dict[str, Callable[[nn.Module], None]] = {
    "biases of two convolutions of one shape swapped": swap_biases,
    "two layers of one shape swapped": swap_layers,
    "one layer times 1.01": scale_layer,
    "one channel zeroed": zero_channel,
    "one bias dropped": drop_bias,
    "the first kernel transposed": transpose_kernel,
    "channels swapped in the weights": flip_first_channels,
    "outputs swapped in the weights": swap_output_rows,
    "one weight a thousandth larger": add_to_one_weight,
    "weights rounded to 8 bits": round_to_8_bits,
}


def edited(change: Callable[[nn.Module], None], model: str = "tiny") -> Plant:
    """The checkpoint's own graph with one module or weight changed, converted."""

    def plant(bench: Bench, artifact: Artifact, folder: Path) -> Path:
        graph = copy.deepcopy(bench.model(model).graph)
        with torch.no_grad():
            change(graph.pixels.network)
        return convert(bench.model(model), artifact, folder, graph=graph)

    return plant


# --- faults of what the file says -------------------------------------------------------------


def labels_swapped(bench: Bench, artifact: Artifact, folder: Path) -> Path:
    model = bench.model()
    spec = replace(model.spec, labels=model.spec.labels[::-1])
    return convert(
        model, artifact, folder, spec=spec, metadata=model_metadata(spec, model.identity)
    )


def labels_swapped_in_classify(bench: Bench, artifact: Artifact, folder: Path) -> Path:
    """In the operation alone: metadata keep the right order."""

    def change(document: Any) -> None:
        (classify,) = [o for o in operations(document) if o.type == "classify"]
        values = classify.inputs["classes"].arguments[0].value.immediateValue.list.values
        names = [value.immediateValue.tensor.strings.values[0] for value in values]
        for value, name in zip(values, reversed(names), strict=True):
            value.immediateValue.tensor.strings.values[0] = name

    return specified(change)(bench, artifact, folder)


def identity_of_another(bench: Bench, artifact: Artifact, folder: Path) -> Path:
    model = bench.model()
    metadata = model_metadata(model.spec, bench.model("other").identity)
    return convert(model, artifact, folder, metadata=metadata)


def another_threshold(bench: Bench, artifact: Artifact, folder: Path) -> Path:
    model = bench.model()
    return convert(model, artifact, folder, metadata={**model.metadata, "threshold": "0.5"})


def of_another_checkpoint(bench: Bench, artifact: Artifact, folder: Path) -> Path:
    return copied(bench.clean(artifact, "other"), folder)


def disguised(bench: Bench, artifact: Artifact, folder: Path) -> Path:
    """Another training's weights under this checkpoint's identity."""
    return convert(bench.model(), artifact, folder, graph=bench.model("other").graph)


def larger_input(bench: Bench, artifact: Artifact, folder: Path) -> Path:
    model = bench.model()
    graph = copy.deepcopy(model.graph)  # what a graph was simplified to is kept, whatever the side
    return convert(model, artifact, folder, graph=graph, spec=replace(model.spec, side=96))


# --- faults of the file -----------------------------------------------------------------------


def copied(artifact: Path, folder: Path) -> Path:
    copy_of = shutil.copytree if artifact.is_dir() else shutil.copy
    return Path(copy_of(artifact, folder / artifact.name))


def content_file(artifact: Path) -> Path:
    """Where the weights are."""
    if artifact.is_file():
        return artifact
    (file,) = artifact.rglob("weight.bin")
    return file


def operations(document: Any) -> Any:
    return main_block(document).operations


def place_of_weights(bench: Bench, path: Path, precision: str) -> int:
    """Offset of the 64 x 16 weights of the first expanding 1x1 convolution."""
    weight = bench.model().graph.pixels.network.body[3].expand1x1.weight.detach().numpy()
    stored = weight.astype(np.float16 if precision == "fp16" else np.float32).tobytes()
    place = content_file(path).read_bytes().find(stored)
    assert place >= 0, path
    return place


def bytes_changed(change: Callable[[bytearray, int], None]) -> Plant:
    """A copy with some bytes of one layer's weights changed in place."""

    def plant(bench: Bench, artifact: Artifact, folder: Path) -> Path:
        path = copied(bench.clean(artifact), folder)
        content = bytearray(content_file(path).read_bytes())
        change(content, place_of_weights(bench, path, artifact[1]))
        content_file(path).write_bytes(content)
        return path

    return plant


def flip_a_bit(content: bytearray, place: int) -> None:
    content[place + 400] ^= 1  # the lowest of a mantissa


def flip_a_byte(content: bytearray, place: int) -> None:
    content[place + 400] ^= 0xFF


def swap_two_weights(content: bytearray, place: int) -> None:
    content[place : place + 4], content[place + 4 : place + 8] = (
        content[place + 4 : place + 8],
        content[place : place + 4],
    )


def make_infinite(content: bytearray, place: int) -> None:
    """What a weight beyond 65504 becomes in fp16."""
    content[place : place + 2] = np.float16(np.inf).tobytes()


def make_not_a_number(content: bytearray, place: int) -> None:
    """All bits of two or one weights: NaN in either precision."""
    content[place : place + 4] = b"\xff" * 4


def damage_header(content: bytearray, place: int) -> None:
    """The first bytes; of weight.bin those of the first record, its header tells nothing."""
    start = RECORD_BYTES if content[4:8] == (2).to_bytes(4, "little") else 0
    content[start : start + 16] = bytes(16)


def cut_in_half(content: bytearray, place: int) -> None:
    del content[len(content) // 2 :]


def specified(change: Callable[[Any], None]) -> Plant:
    """A copy of a Core ML package with its specification edited."""

    def plant(bench: Bench, artifact: Artifact, folder: Path) -> Path:
        path = copied(bench.clean(artifact), folder)
        document = read_specification(path)
        change(document)
        specification_path(path).write_bytes(document.SerializeToString())
        return path

    return plant


def takes_bgr(document: Any) -> None:
    document.description.input[0].type.imageType.colorSpace = 30


def first(document: Any, operation: str) -> Any:
    return next(o for o in operations(document) if o.type == operation)


def constant(document: Any, operation: Any, argument: str) -> Any:
    """The tensor of a constant argument, wherever it stands."""
    binding = operation.inputs[argument].arguments[0]
    if binding.WhichOneof("binding") == "value":
        return binding.value.immediateValue.tensor
    (made,) = [o for o in operations(document) if o.outputs and o.outputs[0].name == binding.name]
    return made.attributes["val"].immediateValue.tensor


def pads_one_side(document: Any) -> None:
    convolution = next(
        o
        for o in operations(document)
        if o.type == "conv" and list(constant(document, o, "pad").ints.values) == [1, 1, 1, 1]
    )
    constant(document, convolution, "pad").ints.values[:] = [0, 2, 0, 2]


def softmax_axis_0(document: Any) -> None:
    constant(document, first(document, "softmax"), "axis").ints.values[:] = [0]


def concat_swapped(document: Any) -> None:
    arguments = first(document, "concat").inputs["values"].arguments
    one, two = arguments[0].name, arguments[1].name
    arguments[0].name, arguments[1].name = two, one


def relu_bypassed(document: Any) -> None:
    relu = first(document, "relu")
    source, name = relu.inputs["x"].arguments[0].name, relu.outputs[0].name
    for operation in operations(document):
        for argument in operation.inputs["x"].arguments if "x" in operation.inputs else ():
            if argument.name == name:
                argument.name = source


def weight_of_another_layer(document: Any) -> None:
    """The specification points to the bias of another convolution of the same shape."""
    places = [
        o.attributes["val"].blobFileValue
        for o in operations(document)
        if o.type == "const"
        and o.outputs[0].name.replace("_to_fp16", "").endswith("expand1x1_bias")
    ]
    assert len(places) >= 2
    places[-1].offset, places[-2].offset = places[-2].offset, places[-1].offset


def main_block(document: Any) -> Any:
    main = document.mlProgram.functions["main"]
    return main.block_specializations[main.opset]


def input_of_the_function_renamed(document: Any) -> None:
    document.mlProgram.functions["main"].inputs[0].name = "picture"


def input_of_the_function_resized(document: Any) -> None:
    dimensions = document.mlProgram.functions["main"].inputs[0].type.tensorType.dimensions
    dimensions[2].constant.size = dimensions[3].constant.size = 96


def outputs_of_the_function_lost(document: Any) -> None:
    del main_block(document).outputs[:]


def output_of_the_function_is_logits(document: Any) -> None:
    outputs = main_block(document).outputs
    logits = first(document, "softmax").inputs["x"].arguments[0].name
    outputs[:] = [logits if name == "probs" else name for name in outputs]


def output_of_classify_renamed(document: Any) -> None:
    first(document, "classify").outputs[1].name = "scores"


def output_renamed_by_half(document: Any) -> None:
    """In the list of outputs; `predictedProbabilitiesName` still says probs."""
    (probs,) = [port for port in document.description.output if port.name == "probs"]
    probs.name = "scores"


def label_output_lost(document: Any) -> None:
    (place,) = [i for i, p in enumerate(document.description.output) if p.name == "label"]
    del document.description.output[place]


def label_feature_unknown(document: Any) -> None:
    document.description.predictedFeatureName = "nothing"


def probabilities_by_number(document: Any) -> None:
    (probs,) = [port for port in document.description.output if port.name == "probs"]
    probs.type.dictionaryType.int64KeyType.SetInParent()


def seen_otherwise(operation: str, **arguments: Any) -> Callable[[Any], None]:
    """The output `evidence` is what `operation` makes of it."""

    def change(document: Any) -> None:
        block = main_block(document)
        (made, value) = next(
            (o, v) for o in block.operations for v in o.outputs if v.name == EVIDENCE
        )
        last = type(made)(type=operation)
        last.outputs.add().CopyFrom(value)
        last.inputs["x"].arguments.add().name = "seen"
        for name, array in arguments.items():
            last.inputs[name].arguments.add().value.CopyFrom(immediate(array))
        value.name = "seen"
        for taker in block.operations:
            for argument in taker.inputs.values():
                for binding in argument.arguments:
                    if binding.name == EVIDENCE:
                        binding.name = "seen"
        replace_operations(block, [*block.operations, last])

    return change


def immediate(constant: Any) -> Any:
    """A constant in the specification: a numpy array, or a string."""
    if isinstance(constant, str):
        value = typed_value((), "STRING")
        value.immediateValue.tensor.strings.values.append(constant)
        return value
    kind, field = {"float32": ("FLOAT32", "floats"), "int32": ("INT32", "ints")}[
        constant.dtype.name
    ]
    value = typed_value(constant.shape, kind)
    getattr(value.immediateValue.tensor, field).values.extend(constant.reshape(-1).tolist())
    return value


def evidence_lost(document: Any) -> None:
    """In the description alone."""
    (place,) = [i for i, p in enumerate(document.description.output) if p.name == EVIDENCE]
    del document.description.output[place]


def evidence_of_the_function_lost(document: Any) -> None:
    main_block(document).outputs.remove(EVIDENCE)


def evidence_declared_in_half(document: Any) -> None:
    (port,) = [port for port in document.description.output if port.name == EVIDENCE]
    port.type.multiArrayType.dataType = 65552  # FLOAT16


def evidence_declared_of_another_shape(document: Any) -> None:
    (port,) = [port for port in document.description.output if port.name == EVIDENCE]
    port.type.multiArrayType.shape[1] += 1


def version_before_ml_programs(document: Any) -> None:
    document.specificationVersion = 5


# The interface that Core ML's own loader holds together; the arithmetic does not need it.
INTERFACES: dict[str, Callable[[Any], None]] = {
    "input of the function renamed": input_of_the_function_renamed,
    "input of the function resized": input_of_the_function_resized,
    "outputs of the function lost": outputs_of_the_function_lost,
    "output of the function is the logits": output_of_the_function_is_logits,
    "output of classify renamed": output_of_classify_renamed,
    "output renamed by half": output_renamed_by_half,
    "label output lost": label_output_lost,
    "label feature unknown": label_feature_unknown,
    "probabilities keyed by number": probabilities_by_number,
    "version of before ML Programs": version_before_ml_programs,
    "evidence lost": evidence_lost,
    "evidence of the function lost": evidence_of_the_function_lost,
    "evidence declared in fp16": evidence_declared_in_half,
    "evidence declared of another shape": evidence_declared_of_another_shape,
}
# How the program makes its evidence, and what must find it: the evaluator refuses operations that
# no network of ours has. Swapped classes are a convolution more, by a permutation.
SEEN: dict[str, tuple[Callable[[Any], None], tuple[str, ...]]] = {
    "of swapped classes": (
        seen_otherwise(
            "conv",
            weight=np.float32([[[[0]], [[1]]], [[[1]], [[0]]]]),
            strides=np.int32([1, 1]),
            dilations=np.int32([1, 1]),
            groups=np.int32(1),
            pad_type="valid",
        ),
        ("evidence",),
    ),
    "without what is negative": (seen_otherwise("relu"), ("evidence",)),
    "a hundredth larger": (seen_otherwise("mul", y=np.float32(1.01)), ("structure",)),
    "lower by half a logit": (seen_otherwise("sub", y=np.float32(0.5)), ("evidence",)),
    "transposed": (seen_otherwise("transpose", perm=np.int32([0, 1, 3, 2])), ("outputs",)),
    "mirrored": (seen_otherwise("reverse", axes=np.int32([3])), ("outputs",)),
}


def onnx_edited(change: Callable[[Any], None]) -> Plant:
    """A copy of the ONNX file with its graph edited."""

    def plant(bench: Bench, artifact: Artifact, folder: Path) -> Path:
        import onnx

        path = copied(bench.clean(artifact), folder)
        model = onnx.load(path)
        change(model)
        onnx.save(model, path)
        return path

    return plant


def onnx_pads_one_side(model: Any) -> None:
    for node in model.graph.node:
        for attribute in node.attribute:
            if attribute.name == "pads" and list(attribute.ints) == [1, 1, 1, 1]:
                attribute.ints[:] = [0, 0, 2, 2]  # begins, then ends
                return


def onnx_softmax_axis_0(model: Any) -> None:
    (node,) = [n for n in model.graph.node if n.op_type == "Softmax"]
    node.attribute[0].i = 0


def onnx_bias_lost(model: Any) -> None:
    node = [n for n in model.graph.node if n.op_type == "Conv"][3]
    del node.input[2]


def onnx_output_renamed(model: Any) -> None:
    model.graph.output[0].name = "output"
    for node in model.graph.node:
        node.output[:] = ["output" if name == "probs" else name for name in node.output]


# --- faults of an asset folder ----------------------------------------------------------------


def published(bench: Bench, artifact: Artifact, root: Path, model: str = "tiny") -> Path:
    """Asset folders with the clean artifact and, for the other platform, ONNX; its folder."""
    place = FORMATS[artifact[0]].PLATFORMS[0]
    by_platform = {
        platform: [_ready(bench, artifact if platform == place else ("onnx", "fp32"), model)]
        for platform in FOLDERS
    }
    held = bench.model(model)
    publish(root, held.spec, held.identity, by_platform)
    return root / FOLDERS[place]


def _ready(bench: Bench, artifact: Artifact, model: str) -> Published:
    path = bench.clean(artifact, model)
    described, identity = FORMATS[artifact[0]].describe(path), bench.model(model).identity
    promotion = None if artifact[1] == "fp32" else Promotion("parity", {})
    return Published(*artifact, path, described, PASSED, identity, promotion)


def replaced(plant: Plant, *, rehashed: bool) -> Plant:
    """Publish the clean artifact, then put a faulty one in its place.

    With `rehashed` the manifest is made to match, as by someone who knows where the hashes are.
    """

    def plant_published(bench: Bench, artifact: Artifact, root: Path) -> Path:
        folder = published(bench, artifact, root)
        (root / "faulty").mkdir()
        faulty = plant(bench, artifact, root / "faulty")
        target = folder / faulty.name
        if target.is_dir():
            shutil.rmtree(target)
        shutil.move(faulty, target)
        if rehashed:
            rehash(folder, target.name)
        return root

    return plant_published


def rehash(folder: Path, name: str) -> None:
    manifest = json.loads((folder / MANIFEST_FILE).read_text(encoding="utf-8"))
    (entry,) = [a for a in manifest["artifacts"] if a["path"] == name]
    files = [vars(file) for file in file_entries(folder, name)]
    entry.update(files=files, size_bytes=sum(file["size_bytes"] for file in files))
    (folder / MANIFEST_FILE).write_text(json.dumps(manifest), encoding="utf-8")


def of_an_older_training(bench: Bench, artifact: Artifact, root: Path) -> Path:
    """Trained again, not exported again: file and manifest belong together, and to the past."""
    published(bench, artifact, root, "other")
    return root


# --- controls ---------------------------------------------------------------------------------


def as_it_is(bench: Bench, artifact: Artifact, folder: Path) -> Path:
    return copied(bench.clean(artifact), folder)


def converted_again(bench: Bench, artifact: Artifact, folder: Path) -> Path:
    return convert(bench.model(), artifact, folder)


def metadata_in_another_order(bench: Bench, artifact: Artifact, folder: Path) -> Path:
    model = bench.model()
    backwards = dict(reversed(model.metadata.items()))
    return convert(model, artifact, folder, metadata=backwards)


def weights_in_another_layout(network: nn.Module) -> None:
    """Channels last: transposed in memory, equal in value."""
    network.to(memory_format=torch.channels_last)


def initializers_in_another_order(model: Any) -> None:
    backwards = list(reversed(model.graph.initializer))
    del model.graph.initializer[:]
    model.graph.initializer.extend(backwards)


def manifest_in_another_order(bench: Bench, artifact: Artifact, root: Path) -> Path:
    folder = published(bench, artifact, root)
    manifest = json.loads((folder / MANIFEST_FILE).read_text(encoding="utf-8"))
    backwards = dict(reversed(manifest.items()))
    (folder / MANIFEST_FILE).write_text(json.dumps(backwards), encoding="utf-8")
    return root


def published_whole(bench: Bench, artifact: Artifact, root: Path) -> Path:
    published(bench, artifact, root)
    return root


# --- the register -----------------------------------------------------------------------------

FAULTS: tuple[Fault, ...] = (
    *(
        Fault(
            name,
            computing(compute),
            ALL if name in COMPUTES_IN_HALF else FP32,
            ("outputs",),
            converts=True,
        )
        for name, compute in COMPUTES.items()
    ),
    *(
        Fault(
            name,
            computing(compute),
            FP32 if name == "evidence missing" else FILES,
            ("evidence",),
            converts=True,
        )
        for name, compute in EVIDENCES.items()
    ),
    *(
        Fault(f"evidence {name} in the specification", specified(change), COREML, by)
        for name, (change, by) in SEEN.items()
    ),
    *(
        Fault(name, edited(change), ALL, ("outputs",), converts=True)
        for name, change in STRUCTURES.items()
    ),
    Fault(
        "pools without ceil_mode where it matters",
        edited(floor_pools, "odd"),
        FP32,
        ("outputs",),
        model="odd",
        converts=True,
    ),
    *(
        Fault(name, edited(change), ALL, ("weights",), converts=True)
        for name, change in WEIGHTS.items()
    ),
    Fault("weights rounded to fp16", edited(round_to_half), FP32, ("weights",), converts=True),
    Fault("labels swapped", labels_swapped, ALL, ("contract",), converts=True),
    Fault("labels swapped in classify alone", labels_swapped_in_classify, COREML, ("contract",)),
    Fault("identity of another checkpoint", identity_of_another, ALL, ("contract",), converts=True),
    Fault("threshold of another checkpoint", another_threshold, ALL, ("contract",), converts=True),
    Fault("file of another checkpoint", of_another_checkpoint, ALL, ("contract", "weights")),
    Fault(
        "weights of another checkpoint under this identity",
        disguised,
        ALL,
        ("weights",),
        converts=True,
    ),
    Fault("an input of 96 px", larger_input, ALL, ("contract",), converts=True),
    Fault("one bit of a weight flipped", bytes_changed(flip_a_bit), ALL, ("weights",)),
    Fault("one byte of a weight flipped", bytes_changed(flip_a_byte), ALL, ("weights",)),
    Fault("two neighbouring weights swapped", bytes_changed(swap_two_weights), FP32, ("weights",)),
    Fault("a weight not a number", bytes_changed(make_not_a_number), ALL, ("outputs", "weights")),
    Fault("a weight beyond 65504", bytes_changed(make_infinite), HALF, ("outputs", "weights")),
    Fault("header damaged", bytes_changed(damage_header), FILES, ("reading",)),
    Fault("header of the weights damaged", bytes_changed(damage_header), COREML, REFUSED),
    Fault("cut in half", bytes_changed(cut_in_half), FILES, ("reading",)),
    Fault("weights cut in half", bytes_changed(cut_in_half), COREML, REFUSED),
    Fault(
        "activations beyond 65504",
        lambda bench, artifact, folder: copied(bench.clean(artifact, "overflowing"), folder),
        HALF,
        ("outputs",),
        model="overflowing",
    ),
    Fault("colour space BGR in the specification", specified(takes_bgr), COREML, ("contract",)),
    Fault("padding edited in the specification", specified(pads_one_side), COREML, ("structure",)),
    Fault(
        "softmax axis edited in the specification",
        specified(softmax_axis_0),
        COREML,
        ("structure",),
    ),
    Fault("concat edited in the specification", specified(concat_swapped), COREML, ("structure",)),
    Fault("ReLU bypassed in the specification", specified(relu_bypassed), COREML, ("structure",)),
    Fault(
        "offsets of two biases swapped in the specification",
        specified(weight_of_another_layer),
        COREML,
        ("weights",),
    ),
    *(
        Fault(f"{name} in the specification", specified(change), COREML[:1])
        for name, change in INTERFACES.items()
    ),
    Fault("padding edited in the graph", onnx_edited(onnx_pads_one_side), ONNX, ("outputs",)),
    Fault("softmax axis edited in the graph", onnx_edited(onnx_softmax_axis_0), ONNX, ("outputs",)),
    Fault("a bias cut off in the graph", onnx_edited(onnx_bias_lost), ONNX, ("weights",)),
    Fault("output renamed in the graph", onnx_edited(onnx_output_renamed), ONNX, ("contract",)),
    *(
        Fault(
            f"published, {name}", replaced(plant, rehashed=False), ALL, ("files",), published=True
        )
        for name, plant in {
            "one bit of a weight flipped": bytes_changed(flip_a_bit),
            "one byte of a weight flipped": bytes_changed(flip_a_byte),
            "header damaged": bytes_changed(damage_header),
            "cut in half": bytes_changed(cut_in_half),
            "an old file under a new manifest": of_another_checkpoint,
        }.items()
    ),
    *(
        Fault(f"published, {name}", replaced(plant, rehashed=True), ALL, by, published=True)
        for name, plant, by in (
            ("one bit of a weight flipped, hash renewed", bytes_changed(flip_a_bit), ("weights",)),
            (
                "one byte of a weight flipped, hash renewed",
                bytes_changed(flip_a_byte),
                ("weights",),
            ),
            ("an old file, hash renewed", of_another_checkpoint, ("contract", "weights")),
        )
    ),
    Fault(
        "published, file and manifest of an older training",
        of_an_older_training,
        ALL,
        ("manifest",),
        published=True,
    ),
)

CONTROLS: tuple[Fault, ...] = (
    Fault("a copy", as_it_is, ALL),
    Fault("converted again", converted_again, ALL, converts=True),
    Fault(
        "pools without ceil_mode where no window is partial",
        edited(floor_pools),
        ALL,
        converts=True,
    ),
    Fault("metadata in another order", metadata_in_another_order, ALL, converts=True),
    Fault(
        "weights transposed in memory, equal in value",
        edited(weights_in_another_layout),
        ALL,
        converts=True,
    ),
    Fault("saved again", onnx_edited(lambda model: None), ONNX),
    Fault("initializers in another order", onnx_edited(initializers_in_another_order), ONNX),
    Fault("specification saved again", specified(lambda document: None), COREML),
    Fault("published", published_whole, ALL, published=True),
    Fault("published, manifest in another order", manifest_in_another_order, ALL, published=True),
)


def cells(faults: tuple[Fault, ...]) -> Iterator[tuple[Fault, Artifact]]:
    for fault in faults:
        for artifact in fault.artifacts:
            yield fault, artifact


# --- the command ------------------------------------------------------------------------------


def results(kind: str, faults: tuple[Fault, ...], bench: Bench) -> list[dict[str, Any]]:
    """A row for each fault (or control) and format, sorted by both."""
    found = []
    for fault, artifact in cells(faults):
        with tempfile.TemporaryDirectory(dir=bench.folder) as folder:
            verdict = judge(bench, fault, artifact, Path(folder))
        caught_by = list(verdict.caught_by)
        found.append({kind: fault.name, "format": " ".join(artifact), "caught_by": caught_by})
    return sorted(found, key=lambda row: (row[kind], row["format"]))


@contextmanager
def silence() -> Iterator[None]:
    """Converters print to the standard output, some of them from C: that goes to the error one."""
    sys.stdout.flush()
    kept = os.dup(1)
    os.dup2(2, 1)
    try:
        yield
    finally:
        sys.stdout.flush()
        os.dup2(kept, 1)
        os.close(kept)


def main() -> None:
    torch.set_num_threads(1)
    with silence(), tempfile.TemporaryDirectory() as place:
        bench = Bench(Path(place))
        document = {
            "controls": results("control", CONTROLS, bench),
            "faults": results("fault", FAULTS, bench),
        }
    print(json.dumps(document, indent=2, sort_keys=True))


if __name__ == "__main__":
    main()
