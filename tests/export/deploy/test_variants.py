"""Compressed checkpoints as PyTorch models: where they are, whose they are, what they round."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from export.deploy.graph import DeployGraph
from export.deploy.layer_order import called_modules, network_layers
from export.deploy.layers import Layer
from export.deploy.variants import VARIANTS, missing_variant, variant_checkpoint, variant_graph
from export.formats.register import FORMATS
from pipeline.checkpoint import SPEC_FILE, open_checkpoint, write_checkpoint
from pipeline.errors import BadInput
from pipeline.models.networks import load_network
from tests.conftest import make_spec
from tests.export.conftest import Model, write_sensitive_network

COMPRESSED = [variant for variant, source in VARIANTS.items() if source.folder]
each_variant = pytest.mark.parametrize("variant", COMPRESSED)


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint that nobody has compressed."""
    return write_sensitive_network(tmp_path_factory.mktemp("plain") / "tiny", make_spec(), seed=1)


@pytest.fixture
def copied(checkpoint: Path, tmp_path: Path) -> Path:
    """A copy of the checkpoint and its variants, to be damaged."""
    return Path(shutil.copytree(checkpoint, tmp_path / "copy"))


def pixels(model: Model) -> torch.Tensor:
    """The hard images as the network takes them, normalised."""
    graph = model.graph.pixels
    planes = torch.from_numpy(model.images.pixels).permute(0, 3, 1, 2).float()
    return (planes - graph.mean) / graph.std


def layers_by_name(model: Model, graph: DeployGraph) -> dict[str, Layer]:
    """A variant's layers by the names of the network it came from; fusing them changes names."""
    names = [layer.name for layer in network_layers(model.graph.pixels, model.spec.side)]
    return dict(zip(names, network_layers(graph.pixels, model.spec.side), strict=True))


# --- which there are ---------------------------------------------------------------------------


def test_every_variant_that_a_format_is_made_from_is_known() -> None:
    for name, facts in FORMATS.items():
        assert {p.variant for p in facts.precisions.values()} <= VARIANTS.keys(), name


def test_a_checkpoint_that_was_compressed_has_every_variant(checkpoint: Path) -> None:
    assert {
        variant: missing_variant(open_checkpoint(checkpoint), variant) for variant in VARIANTS
    } == dict.fromkeys(VARIANTS, "")


@each_variant
def test_a_missing_variant_says_what_makes_it(variant: str, plain: Path) -> None:
    said = missing_variant(open_checkpoint(plain), variant)
    assert f"{plain} is not compressed to {VARIANTS[variant].folder}" in said
    compress = f"python -m pipeline compress {plain}"
    precision = f"--precisions {VARIANTS[variant].folder}"
    assert f"`{compress} {precision}` does it, given the images it was trained on" in said
    said = missing_variant(open_checkpoint(plain), variant, Path("my images"))
    assert said.endswith(f"`{compress} --data 'my images' {precision}` does it")


@pytest.mark.parametrize("architecture", ["resnet34", "densenet169", "mobilenet_v2"])
def test_a_network_with_batch_norms_can_be_compressed(architecture: str, tmp_path: Path) -> None:
    write_checkpoint(tmp_path, make_spec(architecture=architecture), {"x": torch.zeros(1)})
    said = missing_variant(open_checkpoint(tmp_path), "w4")
    assert "python -m pipeline compress" in said


def test_a_variant_that_cannot_be_made_says_why_and_not_how(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "export.deploy.variants.refusal_of", lambda _: "body.0 is a ConvTranspose2d, which cannot"
    )
    write_checkpoint(tmp_path, make_spec(architecture="resnet34"), {"x": torch.zeros(1)})
    said = missing_variant(open_checkpoint(tmp_path), "w4")
    assert "is not compressed to w4, and cannot be: body.0 is a ConvTranspose2d" in said
    assert "python -m" not in said


def test_the_checkpoint_itself_is_never_a_missing_variant(plain: Path) -> None:
    own = open_checkpoint(plain)
    assert missing_variant(own, "fp32") == ""
    assert variant_checkpoint(own, "fp32") is own


@each_variant
def test_a_variant_that_is_not_there_is_bad_input(variant: str, plain: Path) -> None:
    with pytest.raises(BadInput, match=f"no checkpoint at .*{VARIANTS[variant].folder}"):
        variant_graph(open_checkpoint(plain), variant)


# --- whose they are ----------------------------------------------------------------------------


@each_variant
def test_a_variant_of_another_checkpoint_is_bad_input_that_names_both(
    variant: str, checkpoint: Path, plain: Path, tmp_path: Path
) -> None:
    """Trained again, not compressed again."""
    other = Path(shutil.copytree(plain, tmp_path / "other"))
    precision = VARIANTS[variant].folder
    shutil.copytree(checkpoint / precision, other / precision)
    with pytest.raises(BadInput, match="compressed from another checkpoint") as caught:
        variant_graph(open_checkpoint(other), variant)
    for identity in (open_checkpoint(checkpoint).sha256, open_checkpoint(other).sha256):
        assert identity[:12] in str(caught.value)


def test_a_plain_checkpoint_in_the_place_of_a_variant_is_bad_input(
    plain: Path, copied: Path
) -> None:
    shutil.rmtree(copied / "w4")
    shutil.copytree(plain, copied / "w4")
    with pytest.raises(BadInput, match=r"compressed from another checkpoint \(none\)"):
        variant_graph(open_checkpoint(copied), "w4")


def test_damaged_codes_are_bad_input(copied: Path) -> None:
    content = bytearray((copied / "w3" / "model.safetensors").read_bytes())
    content[-1] ^= 1
    (copied / "w3" / "model.safetensors").write_bytes(content)
    with pytest.raises(BadInput, match="is damaged"):
        variant_graph(open_checkpoint(copied), "w3")


def test_a_code_beyond_its_levels_is_bad_input(copied: Path) -> None:
    folder = copied / "w4"
    opened = open_checkpoint(folder)
    spec, grids = opened.spec, opened.grids()
    name = next(name for name, grid in grids.items() if grid.levels == 7)
    grids[name].codes.flat[0] = 8
    write_checkpoint(folder, spec, load_network(opened).state_dict(), grids)
    with pytest.raises(BadInput, match="beyond the 7 levels"):
        variant_graph(open_checkpoint(copied), "w4")


def test_an_int8_variant_without_a_scale_for_each_place_is_bad_input(copied: Path) -> None:
    folder = copied / "int8"
    opened = open_checkpoint(folder)
    spec, grids = opened.spec, opened.grids()
    *kept, lost = spec.compression.activations
    fewer = {name: spec.compression.activations[name] for name in kept}
    spec_without = replace(spec, compression=replace(spec.compression, activations=fewer))
    write_checkpoint(folder, spec_without, load_network(opened).state_dict(), grids)
    with pytest.raises(BadInput, match=f"no scale for '{lost}'; compress again"):
        variant_graph(open_checkpoint(copied), "int8")
    variant_graph(open_checkpoint(copied), "w8")  # which needs none


# --- what they say -----------------------------------------------------------------------------


@each_variant
def test_the_spec_of_a_variant_is_its_parents_and_says_how_it_came_about(
    variant: str, model: Model
) -> None:
    spec = variant_checkpoint(model.checkpoint, variant).spec
    assert replace(spec, compression=None) == model.spec
    assert spec.compression.precision == VARIANTS[variant].folder
    assert spec.compression.parent_sha256 == model.identity


@each_variant
def test_a_variant_has_an_identity_of_its_own(variant: str, model: Model) -> None:
    identity = model.references.of(variant).checkpoint_sha256
    content = (model.folder / VARIANTS[variant].folder / SPEC_FILE).read_bytes()
    assert identity == open_checkpoint(model.folder / VARIANTS[variant].folder).sha256
    assert identity != model.identity
    assert json.loads(content)["schema"] == 2  # which no version before compression reads


def test_the_checkpoint_is_its_own_fp32_variant(model: Model) -> None:
    graph = variant_graph(model.checkpoint)
    assert graph.grids == {}
    for name, tensor in model.graph.state_dict().items():
        assert torch.equal(graph.state_dict()[name], tensor)


def test_the_checkpoint_is_its_own_fp16_variant_with_every_weight_rounded(model: Model) -> None:
    assert variant_checkpoint(model.checkpoint, "fp16") is model.checkpoint
    assert missing_variant(model.checkpoint, "fp16") == ""
    graph = variant_graph(model.checkpoint, "fp16")
    assert graph.grids == {}
    own = model.graph.pixels.network.state_dict()
    for name, tensor in graph.pixels.network.state_dict().items():
        assert torch.equal(tensor, own[name].half().float()), name
    assert torch.equal(graph.pixels.mean, model.graph.pixels.mean)


# --- what they compute -------------------------------------------------------------------------


@each_variant
def test_every_weight_of_a_variant_is_a_code_times_the_scale_of_its_channel(
    variant: str, model: Model
) -> None:
    graph, held = (
        variant_graph(model.checkpoint, variant),
        variant_checkpoint(model.checkpoint, variant),
    )
    spec, expected = held.spec, held.grids()
    assert graph.grids.keys() == expected.keys() == spec.compression.levels.keys()
    layers = layers_by_name(model, graph)
    assert {f"{name}.weight" for name in layers} == expected.keys()
    for name, layer in layers.items():
        grid = expected[f"{name}.weight"]
        np.testing.assert_array_equal(layer.tensors["weight"], grid.weights())
        assert max(len(np.unique(c)) for c in grid.weights()) <= 2 * grid.levels + 1


def test_w3_w4_and_w8_differ_in_their_levels(model: Model) -> None:
    most = {
        variant: min(
            grid.levels for grid in variant_graph(model.checkpoint, variant).grids.values()
        )
        for variant in ("w3", "w4", "w8")
    }
    assert most == {"w3": 3, "w4": 7, "w8": 127}


def test_int8_and_w8_have_the_same_weights(model: Model) -> None:
    rounded, plain = (model.references.of(variant).layers for variant in ("int8", "w8"))
    assert rounded[-1].kind == "activation"
    for one, other in zip(rounded[:-1], plain, strict=True):
        assert (one.kind, one.shape) == (other.kind, other.shape)
        np.testing.assert_array_equal(one.tensors["weight"], other.tensors["weight"])


def test_int8_differs_from_w8_and_both_are_near_fp32(model: Model) -> None:
    int8, w8 = (model.references.of(variant).probs for variant in ("int8", "w8"))
    assert 1e-4 < np.abs(int8 - w8).max() < 0.2
    assert 0 < np.abs(w8 - model.reference).max() < 0.1


def weighted_inputs(model: Model, variant: str) -> dict[str, np.ndarray]:
    """What goes into each weighted layer of a variant, for the hard images."""
    network = variant_graph(model.checkpoint, variant).pixels.network
    found: dict[str, np.ndarray] = {}
    for name, module in called_modules(network, model.spec.side):
        module.register_forward_pre_hook(
            lambda _, inputs, name=name: found.update({name: inputs[0].numpy()})
        )
    with torch.inference_mode():
        network(pixels(model))
    return found


def test_int8_rounds_the_input_of_every_layer_to_one_of_256_numbers(model: Model) -> None:
    inputs = weighted_inputs(model, "int8")
    assert len(inputs) == 26  # the convolutions of SqueezeNet
    assert {name: len(np.unique(x)) for name, x in inputs.items() if len(np.unique(x)) > 256} == {}


def test_the_steps_of_int8_are_the_scales_that_the_checkpoint_names(model: Model) -> None:
    compression = model.checkpoint.variant("int8").spec.compression
    scales = [s for s, _ in compression.activations.values()]
    for name, x in weighted_inputs(model, "int8").items():
        codes = [x / np.float32(scale) for scale in scales]
        assert any(np.abs(c - c.round()).max() < 1e-3 for c in codes), name


def test_w8_rounds_no_activation(model: Model) -> None:
    counts = [len(np.unique(x)) for x in weighted_inputs(model, "w8").values()]
    assert min(counts) > 256


def test_the_biases_of_int8_are_multiples_of_input_scale_times_weight_scale(
    model: Model,
) -> None:
    """Integer kernels hold them so; a bias between two multiples would be rounded by each."""
    graph, held = (
        variant_graph(model.checkpoint, "int8"),
        variant_checkpoint(model.checkpoint, "int8"),
    )
    scales = np.array([s for s, _ in held.spec.compression.activations.values()])
    *integers, (_, last) = layers_by_name(model, graph).items()
    for name, layer in integers:
        scale = graph.grids[f"{name}.weight"].scale
        steps = (scales[:, None] * scale).astype(np.float32)  # by place, by channel
        codes = layer.tensors["bias"] / steps
        assert np.abs(codes - codes.round()).max(axis=1).min() < 1e-3, name
    own = model.references.of("w8").layers[-1].tensors["bias"]
    np.testing.assert_array_equal(last.tensors["bias"], own)  # it stays in floating point
