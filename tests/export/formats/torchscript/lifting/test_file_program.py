"""A file is the program that was converted, number by number; a fault in it has a sentence."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from export.deploy.graph import DeployGraph
from export.deploy.half_weights import halved_graph
from export.deploy.metadata import model_metadata
from export.deploy.variants import variant_graph
from export.formats.torchscript.format import as_written, convert, lifted
from pipeline.checkpoint import open_checkpoint
from pipeline.compress.activation_quantization import rounded_places
from pipeline.program.batch_norm_folding import folded
from pipeline.program.capture import capture
from pipeline.program.comparison import compare
from pipeline.program.program import Program
from tests.conftest import make_spec
from tests.export.conftest import nearest_grid
from tests.pipeline.program.small_networks import (
    KINDS,
    SIDE,
    Dense,
    Depthwise,
    Headed,
    LayerScale,
    Residual,
    drawn,
)

ROOT = Path(__file__).parents[5]
SPEC = make_spec(side=SIDE)
# torch.fx, which packs a network, does not follow these.
NOT_PACKED = ("shuffle", "same padding")


class Pooled(Headed):
    """Pools of both kinds that are split in two steps, and one that is not."""

    def make(self) -> None:
        self.pool = nn.MaxPool2d(2, 2)
        self.overlapping = nn.MaxPool2d(2, 1, ceil_mode=True)
        self.padded = nn.MaxPool2d(3, 2, padding=1)

    def between(self, x: Tensor) -> Tensor:
        return self.padded(self.overlapping(self.pool(x)))  # type: ignore[no-any-return]


class Branches(Headed):
    """Two convolutions of one shape beside each other, one without a bias."""

    def make(self) -> None:
        self.a = nn.Conv2d(8, 4, 3, padding=1)
        self.b = nn.Conv2d(8, 4, 3, padding=1, bias=False)

    def between(self, x: Tensor) -> Tensor:
        return torch.cat([F.relu(self.a(x)), torch.sigmoid(self.b(x))], 1)


ALL = {**KINDS, "pooled": Pooled, "branches": Branches}


def graph_of(network: nn.Module) -> DeployGraph:
    return DeployGraph(drawn(network), SPEC).eval()


@cache
def expected(kind: Callable[[], nn.Module]) -> Program:
    return as_written(folded(capture(graph_of(kind()).pixels, SIDE)))


def written(graph: DeployGraph, folder: Path, precision: str = "fp32") -> Path:
    path = folder / f"small_{precision}.ptl"
    convert(graph, SPEC, model_metadata(SPEC, "ab" * 32), precision, path)
    return path


@pytest.mark.slow("follows each network by torch.export")
@pytest.mark.parametrize("kind", ALL)
def test_an_fp32_file_is_the_program_of_its_network(kind: str, tmp_path: Path) -> None:
    found = lifted(written(graph_of(ALL[kind]()), tmp_path))
    assert compare(expected(ALL[kind]), found) == []


@pytest.mark.slow("follows each network by torch.export")
@pytest.mark.parametrize("kind", [kind for kind in ALL if kind not in NOT_PACKED])
def test_an_fp16_file_is_the_program_with_its_numbers_rounded(kind: str, tmp_path: Path) -> None:
    graph = halved_graph(graph_of(ALL[kind]()))
    found = lifted(written(graph, tmp_path, "fp16"))
    assert compare(expected(ALL[kind]), found, half=True) == []


def test_a_w4_file_is_the_program_with_weights_on_their_grids(tmp_path: Path) -> None:
    network = drawn(Branches())
    grids = {}
    with torch.no_grad():
        for name, weight in network.named_parameters():
            if name.endswith("weight"):
                grids[name] = nearest_grid(weight.numpy(), 7)
                weight.copy_(torch.from_numpy(grids[name].weights()))
            else:
                weight.copy_(weight.half())
    graph = DeployGraph(network, SPEC, grids).eval()
    found = lifted(written(graph, tmp_path, "w4"))
    assert compare(as_written(folded(capture(graph.pixels, SIDE))), found) == []


@pytest.mark.parametrize("precision", ["fp32", "fp16", "w4", "w3"])
def test_the_published_files_are_the_released_network(precision: str) -> None:
    checkpoint = open_checkpoint(ROOT / "pipeline" / "released" / "squeezenet_cxr")
    graph = variant_graph(checkpoint, precision)
    wanted = as_written(folded(capture(graph.pixels, checkpoint.spec.resize.size)))
    found = lifted(ROOT / "android_assets" / f"squeezenet_cxr_{precision}.ptl")
    assert compare(wanted, found) == []


class Rounded(nn.Module):
    """A place of an int8 variant that torch.export can follow."""

    def __init__(self, place: Any) -> None:
        super().__init__()
        self.register_buffer("scale", place.scale.reshape(1))
        self.register_buffer("zero_point", place.zero_point.int().reshape(1))

    def forward(self, x: Tensor) -> Tensor:
        return torch.fake_quantize_per_tensor_affine(x, self.scale, self.zero_point, 0, 255)


def test_the_published_int8_file_rounds_where_the_variant_does() -> None:
    checkpoint = open_checkpoint(ROOT / "pipeline" / "released" / "squeezenet_cxr")
    graph = variant_graph(checkpoint, "int8")
    network = graph.pixels.network
    places = {id(place): Rounded(place) for _, place in rounded_places(network)}
    for name, module in list(network.named_modules(remove_duplicate=False)):
        if id(module) in places:
            network.set_submodule(name, places[id(module)])
    found = lifted(ROOT / "android_assets" / "squeezenet_cxr_int8.ptl")
    side = checkpoint.spec.resize.size
    assert compare(as_written(folded(capture(graph.pixels, side))), found) == []
    list(places.values())[3].scale.mul_(1.01)
    (said,) = compare(as_written(folded(capture(graph.pixels, side))), found)
    assert ".scale: 1 of 1 values are not those expected" in said


def test_a_lifted_program_computes_what_its_network_does(tmp_path: Path) -> None:
    graph = graph_of(Depthwise())
    pixels = torch.rand(1, 3, *SIDE, generator=torch.Generator().manual_seed(0)) * 255
    with torch.inference_mode():
        found = lifted(written(graph, tmp_path)).network(pixels)
        torch.testing.assert_close(found, graph.pixels(pixels), rtol=1e-5, atol=1e-6)


# --- faults -----------------------------------------------------------------------------------


def nudge(name: str) -> Callable[[nn.Module], object]:
    def change(network: nn.Module) -> None:
        with torch.no_grad():
            network.get_parameter(name).view(-1)[3] += 0.25

    return change


def set_(module: str, attribute: str, value: object) -> Callable[[nn.Module], object]:
    return lambda network: setattr(network.get_submodule(module), attribute, value)


class Exchanged(Branches):
    def between(self, x: Tensor) -> Tensor:
        return torch.cat([torch.sigmoid(self.b(x)), F.relu(self.a(x))], 1)


class NoRelu(Residual):
    def between(self, x: Tensor) -> Tensor:
        return F.relu(self.second(self.norm(self.first(x))) + x)


class NoRelu6(Depthwise):
    def between(self, x: Tensor) -> Tensor:
        y = F.hardswish(self.depthwise(self.grown(self.grow(x))))
        gate = self.wide(F.silu(self.narrow(y.mean((2, 3), keepdim=True))))
        return x + self.shrink(y * F.hardsigmoid(gate))


class OtherWindow(Pooled):
    def make(self) -> None:
        super().make()
        self.pool = nn.MaxPool2d(2, 1)


NO_CHANGE = set_("stem", "training", False)
FAULTS: dict[str, tuple[type[nn.Module], type[nn.Module], Callable[[nn.Module], object], str]] = {
    "one weight": (
        Residual,
        Residual,
        nudge("second.weight"),
        "network.second.weight: 1 of 576 values are not those expected, first at [0, 0, 1, 0]",
    ),
    "a depthwise weight": (
        Depthwise,
        Depthwise,
        nudge("depthwise.weight"),
        "network.depthwise.weight: 1 of 144 values",
    ),
    "a layer scale": (
        LayerScale,
        LayerScale,
        nudge("scale"),
        "network.shrink.bias, network.scale: 1 of 8 values",
    ),
    "a batch norm that stays": (Dense, Dense, nudge("norm.bias"), "network.norm.shift: 1 of 8"),
    "the inputs of a concatenation": (
        Branches,
        Exchanged,
        NO_CHANGE,
        "network: cat takes its inputs in another order",
    ),
    "a dropped ReLU": (Residual, NoRelu, NO_CHANGE, "network.relu: no relu"),
    "a dropped ReLU6": (Depthwise, NoRelu6, NO_CHANGE, "network: no hardtanh"),
    "another stride": (
        Depthwise,
        Depthwise,
        set_("stem", "stride", (1, 1)),
        "network.stem: conv2d with stride [1, 1], not [2, 2]",
    ),
    "another window": (
        Pooled,
        OtherWindow,
        NO_CHANGE,
        "network.pool: max_pool2d with stride [1, 1], not [2, 2]",
    ),
    "another epsilon": (
        LayerScale,
        LayerScale,
        set_("norm", "eps", 1e-5),
        "network.norm: layer_norm with eps 9.9",
    ),
    "other pixels": (
        Branches,
        Branches,
        lambda network: None,
        "mean: 1 of 3 values are not those expected, first at [0, 1, 0, 0]",
    ),
}


@pytest.mark.slow("follows each network by torch.export")
@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_named_with_its_layer(fault: str, tmp_path: Path) -> None:
    kind, other, change, start = FAULTS[fault]
    network = drawn(other())
    change(network)
    graph = DeployGraph(network, SPEC).eval()
    if fault == "other pixels":
        graph.pixels.mean[0, 1] += 1
    said = compare(expected(kind), lifted(written(graph, tmp_path)))
    assert any(sentence.startswith(start) for sentence in said), said
