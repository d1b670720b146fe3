"""Small TorchScript-lite files: what is packed comes back; a file with anything else is caught."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from export.deploy.graph import DeployGraph, PixelGraph, reference_probs
from export.deploy.layer_order import network_layers, normalisation_layer
from export.deploy.layers import Layer
from export.errors import ConversionFailed, Unreadable
from export.formats.torchscript import format as lite
from export.formats.torchscript.bit_packing import (
    Packed,
    PackedLayer,
    digits_in_word,
    join,
    pack_layer,
    table_of,
    unpack_layers,
)
from export.formats.torchscript.lite_file.archive import compact
from export.formats.torchscript.lite_file.safe_unpickler import read_pickle
from export.formats.torchscript.unpack_at_load import PackedLayers
from export.parity.weights import weight_violations
from pipeline.compress.activation_quantization import calibrate, int8_variant
from pipeline.model_spec import ModelSpec
from pipeline.quantization_grid import Grid, short_scale
from tests.conftest import make_spec

SPEC = make_spec(side=32)
PACKED = ("fp16", "w4", "w3")
# Of an integer file's records, in bytes: strides and paddings, and the normalisation of a row of
# pixels. The outputs prove these.
NO_WEIGHTS = {"int8": {22, 4 * 3 * SPEC.side}}
LEVELS = {"w4": 7, "w3": 3}


class Plain(nn.Module):
    """Convolutions without padding, a pooling that rounds up, a concatenation."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 8, 3, stride=2)
        self.pool = nn.MaxPool2d(2, ceil_mode=True)
        self.left = nn.Conv2d(8, 8, 1)
        self.right = nn.Conv2d(8, 8, 3, padding=1, groups=2)
        self.relu = nn.ReLU(inplace=True)
        self.drop = nn.Dropout()
        self.last = nn.Conv2d(16, 2, 1)

    def forward(self, pixels: Tensor) -> Tensor:
        x = self.pool(self.relu(self.first(pixels)))
        both = torch.cat([self.relu(self.left(x)), self.relu(self.right(x))], 1)
        return torch.mean(self.last(self.drop(both)), dim=(2, 3))


class Residual(nn.Module):
    """Padding at the first layer, a layer without bias, a sum of paths, ReLU6, linear layers."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1, stride=2), nn.ReLU6())
        self.path = nn.Conv2d(8, 8, 3, padding=2, dilation=2, bias=False)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.hidden = nn.Sequential(nn.Linear(8, 6), nn.ReLU())
        self.last = nn.Linear(6, 2)
        with torch.no_grad():
            self.first[0].weight *= 4  # beyond the 6

    def forward(self, pixels: Tensor) -> Tensor:
        x = self.first(pixels)
        y = self.path(x)
        x = torch.relu(torch.relu(y) + x - y)  # y is wanted with its ReLU and without
        return self.last(self.hidden(torch.flatten(self.pool(x), 1)))


class Offset(nn.Module):
    """Adds 1; its other attributes make it another type."""

    def __init__(self, more: bool) -> None:
        super().__init__()
        self.register_buffer("more", torch.zeros(1) if more else None)
        self.register_buffer("number", torch.ones(1))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.number


class Normed(nn.Module):
    """A batch norm after a convolution."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU())
        self.last = nn.Conv2d(8, 2, 1)

    def forward(self, pixels: Tensor) -> Tensor:
        return torch.mean(self.last(self.features(pixels)), dim=(2, 3))


def quantise(network: nn.Module, levels: int) -> dict[str, Grid]:
    """Puts all weights on grids and all biases on half floats; the last layer gets 8 bits."""
    grids = {}
    layers = [(n, m) for n, m in network.named_modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    for name, layer in layers:
        most = 127 if name == layers[-1][0] else levels
        weight = layer.weight.detach().numpy()
        largest = np.abs(weight).reshape(len(weight), -1).max(axis=1)
        scale = short_scale(largest / most)
        codes = np.round(weight / scale.reshape(-1, *[1] * (weight.ndim - 1)))
        grid = Grid(np.clip(codes, -most, most).astype(np.int8), scale, most)
        with torch.no_grad():
            layer.weight.copy_(torch.from_numpy(grid.weights()))
            if layer.bias is not None:
                layer.bias.copy_(layer.bias.half().float())
        grids[f"{name}.weight"] = grid
    return grids


def make_graph(network: Callable[[], nn.Module], precision: str) -> DeployGraph:
    """The variant that a file of `precision` is made from."""
    torch.manual_seed(1)
    made = network().eval()
    normalised = PixelGraph(nn.Identity(), SPEC)
    floats = torch.from_numpy(pixels()).permute(0, 3, 1, 2).float()
    floats = (floats - normalised.mean) / normalised.std
    with torch.no_grad():  # logits that spread by 1 around 0: saturated outputs hide every fault
        made.last.bias.zero_()
        logits = made(floats)
        made.last.weight /= logits.std(dim=0).reshape(-1, *[1] * (made.last.weight.ndim - 1))
        made.last.bias -= logits.mean(dim=0) / logits.std(dim=0)
    if precision in LEVELS:
        return DeployGraph(made, SPEC, quantise(made, LEVELS[precision])).eval()
    if precision == "int8":
        grids = quantise(made, 127)
        variant = int8_variant(made, calibrate(made, [floats]), grids)
        return DeployGraph(variant, SPEC, grids).eval()
    return DeployGraph(made, SPEC).eval()


def pixels(count: int = 6, spec: ModelSpec = SPEC) -> np.ndarray:
    shape = (count, spec.side, spec.side, 3)
    return np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)


def write(graph: DeployGraph, precision: str, path: Path) -> Path:
    lite.convert(graph, SPEC, {"labels": '["a", "b"]'}, precision, path)
    return path


def expected_layers(graph: DeployGraph) -> list[Layer]:
    return [normalisation_layer(graph.pixels), *network_layers(graph.pixels, SPEC.side)]


def with_changed_record(source: Path, record: str, position: int, target: Path) -> Path:
    """The archive with the lowest bit of one byte of one record changed."""
    reader = torch._C.PyTorchFileReader(str(source))
    writer = torch._C.PyTorchFileWriter(str(target))
    for name in reader.get_all_records():
        if name in ("version", "byteorder", ".data/serialization_id"):
            continue
        content = bytearray(reader.get_record(name))
        if name == record:
            content[position] ^= 1
        writer.write_record(name, bytes(content), len(content))
    writer.write_end_of_file()
    return target


def caught(path: Path, graph: DeployGraph) -> bool:
    """Whether the weights of a file are seen not to be the graph's."""
    try:
        return bool(weight_violations(lite.stored_layers(path), expected_layers(graph)))
    except Unreadable:
        return True


def random_layer(
    levels: int, shape: tuple[int, ...]
) -> tuple[PackedLayer, Packed, Grid, np.ndarray]:
    rng = np.random.default_rng(levels)
    codes = rng.integers(-levels, levels + 1, shape).astype(np.int8)
    grid = Grid(codes, short_scale(rng.uniform(1e-6, 1, shape[0])), levels)
    bias = rng.normal(size=shape[0]).astype(np.float16).astype(np.float32)
    return PackedLayer(levels, *shape), pack_layer(grid.weights(), bias, grid), grid, bias


@pytest.mark.parametrize("levels", [1, 3, 7, 127])
@pytest.mark.parametrize("shape", [(5, 7, 3, 3), (4, 9), (1, 1, 1, 1)])
def test_codes_scales_and_biases_come_back_bit_equal(levels: int, shape: tuple[int, ...]) -> None:
    row, packed, grid, bias = random_layer(levels, shape)
    (layer,) = unpack_layers(packed, table_of([row]))
    assert layer.kind == ("conv" if len(shape) == 4 else "linear")
    assert np.array_equal(layer.tensors["weight"], grid.weights())
    assert np.array_equal(layer.tensors["bias"], bias)


@pytest.mark.parametrize(("levels", "bits"), [(1, 1.7), (3, 2.95), (7, 4.01), (127, 9.2)])
def test_a_code_takes_little_more_than_its_information(levels: int, bits: float) -> None:
    row, packed, *_ = random_layer(levels, (64, 64, 3, 3))
    assert packed.words.nbytes * 8 <= bits * np.prod(row.shape)
    assert (2 * levels + 1) ** digits_in_word(levels) < 2**63


def test_arrays_and_a_table_that_do_not_fit_are_refused() -> None:
    row, packed, *_ = random_layer(3, (4, 30))
    with pytest.raises(ValueError, match="more than their table lists"):
        unpack_layers(join([packed, packed]), table_of([row]))
    with pytest.raises(ValueError, match="values, 0 are left"):
        unpack_layers(packed, table_of([row, row]))


def test_torchscript_unpacks_what_numpy_unpacks() -> None:
    parts = [random_layer(levels, (8, 4, 3, 3)) for levels in (1, 3, 7, 127)]
    words, scales, halves = (torch.from_numpy(array) for array in join([p[1] for p in parts]))
    one, table = torch.ones(1, 4, 1, 1), table_of([p[0] for p in parts])
    layers = torch.jit.script(
        PackedLayers(words, scales.to(torch.bfloat16), halves, one, one, table)
    )
    layers.__setstate__(layers.__getstate__())
    for context, (_, _, grid, bias) in zip(layers.convolutions, parts, strict=True):
        weight, found_bias, *_ = context.__getstate__()[0]
        assert np.array_equal(weight.numpy(), grid.weights())
        assert np.array_equal(found_bias.numpy(), bias)


def test_what_does_not_fit_is_refused_with_the_number() -> None:
    _, _, grid, bias = random_layer(3, (4, 9))
    weight = grid.weights()
    with pytest.raises(ConversionFailed, match="code 3 does not fit a grid of 2 levels"):
        pack_layer(weight, bias, Grid(grid.codes, grid.scale, 2))
    with pytest.raises(ConversionFailed, match="not codes times scale"):
        pack_layer(weight * 1.5, bias, grid)
    with pytest.raises(ConversionFailed, match="bias is not exact in half floats"):
        pack_layer(weight, bias + np.float32(1e-6), grid)
    with pytest.raises(ConversionFailed, match="1e\\+06 does not fit a half float"):
        pack_layer(weight + np.float32(1e6), bias, None)
    long = Grid(grid.codes, grid.scale * np.float32(1.001), 3)
    with pytest.raises(ConversionFailed, match="more significant bits"):
        pack_layer(long.weights(), bias, long)


def test_a_network_without_grids_is_refused_in_few_bits(tmp_path: Path) -> None:
    with pytest.raises(ConversionFailed, match=r"first: its weight lies on no grid"):
        write(make_graph(Plain, "fp16"), "w4", tmp_path / "x.ptl")
    with pytest.raises(ConversionFailed, match="made from an int8 variant"):
        write(make_graph(Plain, "fp16"), "int8", tmp_path / "x.ptl")


# In few bits there is no batch norm: a compressed network has it folded already.
@pytest.mark.parametrize(
    ("network", "precision"),
    [(n, p) for n in (Plain, Residual) for p in PACKED] + [(Normed, "fp16")],
)
def test_a_packed_file_holds_the_networks_weights_and_gives_its_outputs(
    network: type[nn.Module], precision: str, tmp_path: Path
) -> None:
    graph = make_graph(network, precision)
    path = write(graph, precision, tmp_path / "x.ptl")
    layers = lite.stored_layers(path)
    assert weight_violations(layers, expected_layers(graph)) == []
    assert any(layer.kind == "normalise" for layer in layers) == (network is not Residual)
    assert {layer.tensors["weight"].dtype for layer in layers if layer.kind != "normalise"} == {
        np.dtype(np.float16 if precision == "fp16" else np.float32)
    }
    wanted = reference_probs(graph, pixels())
    assert wanted[:, 0].std() > 0.02
    diff = np.abs(lite.run(lite.load(path), pixels()).probs - wanted).max()
    assert diff <= (2e-3 if precision == "fp16" else 2e-6)


def test_an_int8_file_holds_the_variants_weights_and_gives_nearly_its_outputs(
    tmp_path: Path,
) -> None:
    graph = make_graph(Plain, "int8")
    path = write(graph, "int8", tmp_path / "x.ptl")
    layers = lite.stored_layers(path)
    assert weight_violations(layers, expected_layers(graph)) == []
    for layer, grid in zip(layers, graph.grids.values(), strict=True):
        assert np.array_equal(layer.tensors["weight"], grid.weights())
    wanted = reference_probs(graph, pixels())
    assert wanted[:, 0].std() > 0.02
    assert np.abs(lite.run(lite.load(path), pixels()).probs - wanted).max() <= 3e-2


@pytest.mark.parametrize("precision", ["w4", "w3", "fp16", "int8"])
def test_one_changed_bit_of_any_weight_scale_or_bias_is_caught(
    precision: str, tmp_path: Path
) -> None:
    graph = make_graph(Plain, precision)
    path = write(graph, precision, tmp_path / "x.ptl")
    reader = torch._C.PyTorchFileReader(str(path))
    names = [n for n in reader.get_all_records() if n.startswith(("data/", "constants/"))]
    sizes = {name: len(reader.get_record(name)) for name in names}
    silent = set()
    for name, size in sizes.items():
        # Of a little-endian number the last byte but one: its lowest bit moves any number read.
        if size > 8 and size not in NO_WEIGHTS.get(precision, ()):
            damaged = with_changed_record(path, name, size - 2, tmp_path / "damaged.ptl")
            if not caught(damaged, graph):
                silent.add(name)
    assert len(sizes) >= 5
    assert silent == set()


@pytest.mark.parametrize("precision", ["w4", "w3", "fp16", "int8"])
def test_equal_networks_give_equal_bytes_whatever_the_process_did_before(
    precision: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    contents = set()
    for engine in torch.backends.quantized.supported_engines:
        monkeypatch.setattr(torch.backends.quantized, "engine", engine)
        path = write(make_graph(Plain, precision), precision, tmp_path / f"{engine}.ptl")
        assert torch.backends.quantized.engine == engine
        contents.add(path.read_bytes())
        lite.load(path)
    assert len(contents) == 1
    reader = torch._C.PyTorchFileReader(str(path))
    assert b"mangle" not in reader.get_record("data.pkl") + reader.get_record("bytecode.pkl")


def test_types_of_one_name_stay_apart(tmp_path: Path) -> None:
    class Twice(nn.Module):
        """Two modules of one class and other attributes: two types of one name."""

        def __init__(self) -> None:
            super().__init__()
            self.first = Offset(more=False)
            self.second = Offset(more=True)

        def forward(self, x: Tensor) -> Tensor:
            return self.second(self.first(x))

    contents = []
    for i in range(2):
        scripted = torch.jit.script(Twice())
        scripted._save_for_lite_interpreter(str(tmp_path / f"{i}.ptl"))
        contents.append(compact(tmp_path / f"{i}.ptl"))
    assert contents[0] == contents[1]
    (tmp_path / "compact.ptl").write_bytes(contents[0])
    reader = torch._C.PyTorchFileReader(str(tmp_path / "compact.ptl"))
    parts = read_pickle(reader, "data.pkl", "compact.ptl").state
    assert parts["first"].name != parts["second"].name
    assert lite.load(tmp_path / "compact.ptl")(torch.zeros(1)).item() == 2


@pytest.mark.parametrize(("precision", "bits"), [("fp16", 16), ("w4", 4), ("w3", 2.95)])
def test_a_file_is_little_larger_than_its_weights(
    precision: str, bits: float, tmp_path: Path
) -> None:
    class Wide(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layers = nn.Sequential(*(nn.Conv2d(n, m, 3) for n, m in ((3, 64), (64, 192))))
            self.last = nn.Conv2d(192, 2, 1)

        def forward(self, x: Tensor) -> Tensor:
            return torch.mean(self.last(self.layers(x)), dim=(2, 3))

    graph = make_graph(Wide, precision)
    weights = sum(p.numel() for p in graph.parameters())
    size_bytes = write(graph, precision, tmp_path / "x.ptl").stat().st_size
    assert weights * bits / 8 < size_bytes < weights * bits / 8 + 10_000


@pytest.mark.parametrize("precision", ["fp16", "int8", "w4", "w3"])
def test_a_small_file_says_that_the_last_released_runtime_reads_it(
    precision: str, tmp_path: Path
) -> None:
    described = lite.describe(write(make_graph(Plain, precision), precision, tmp_path / "x.ptl"))
    assert described.requires["pytorch_lite"] == "2.1.0"
    assert described.inputs[0].shape == (1, SPEC.side, SPEC.side, 3)
    kernel = "quantized::conv2d" if precision == "int8" else "prepacked::conv2d_clamp_prepack"
    assert kernel in str(described.requires["operators"])
