"""Planted faults in compressed files: wrong by a code or a scale, or of another twin; all found.

Every file is made by the real converter from a twin with one fault, under the twin's own identity
unless that is the fault.
"""

from __future__ import annotations

import copy
import re
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from export.deploy.graph import DeployGraph, PixelGraph
from export.deploy.metadata import model_metadata
from export.formats import FORMATS
from export.parity.check import ParityResult, check_artifact
from export.run.convert import artifact_name
from pipeline.model_spec import ModelSpec
from pipeline.quantization_grid import Grid, short_scale
from tests.conftest import make_spec
from tests.export.conftest import (
    COMPRESSED,
    Artifacts,
    Model,
    convert,
    read_model,
    write_sensitive_network,
    write_twins,
)
from tests.export.test_parity_faults import (
    ChannelsSwapped,
    Mirrored,
    OutputsSwapped,
    SoftmaxMissing,
)

pytestmark = pytest.mark.slow

LAYER = "body.6.squeeze.weight"  # of the twins' coarsest levels


every_compressed = pytest.mark.parametrize(("name", "precision"), COMPRESSED)


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Model:
    """Another training, compressed as well."""
    folder = tmp_path_factory.mktemp("other") / "tiny"
    write_twins(write_sensitive_network(folder, make_spec(), seed=1))
    return read_model(folder)


def plant(
    model: Model,
    name: str,
    precision: str,
    folder: Path,
    graph: DeployGraph | None = None,
    metadata: dict[str, str] | None = None,
    spec: ModelSpec | None = None,
) -> ParityResult:
    """Convert with one thing other than it should be, and check."""
    held = model.held_for(name, precision)
    path = folder / artifact_name(held.spec.name, name, precision)
    said = metadata or model_metadata(held.spec, held.checkpoint_sha256)
    FORMATS[name].convert(graph or held.graph, spec or held.spec, said, precision, path)
    return check_artifact(name, precision, path, held)


def assert_fails(result: ParityResult, part: str, said: str) -> None:
    assert result.status == "fail"
    assert re.search(said, result.parts[part]), result.parts


def regridded(model: Model, name: str, precision: str, grid: Grid) -> DeployGraph:
    """The twin with `LAYER` on another grid, its weights with it."""
    graph = copy.deepcopy(model.held_for(name, precision).graph)
    old = graph.grids[LAYER].weights()
    (weight,) = [
        (module, module.weight)
        for module in graph.modules()
        if isinstance(getattr(module, "weight", None), torch.Tensor)
        and module.weight.shape == old.shape
        and np.array_equal(module.weight.detach().numpy(), old)
    ]
    rescaled = grid.scale != graph.grids[LAYER].scale
    with torch.no_grad():
        weight[1].copy_(torch.from_numpy(grid.weights()))
        weight[0].bias[torch.from_numpy(rescaled)] = 0  # in int8 a multiple of the old scale
    graph.grids[LAYER] = grid
    return graph


def test_the_fixture_tells_its_checkpoints_and_their_twins_apart(
    model: Model, other: Model
) -> None:
    for twin in ("int8", "w8", "w4", "w3"):
        own, foreign = (m.references.of(twin) for m in (model, other))
        assert own.checkpoint_sha256 != foreign.checkpoint_sha256
        assert np.abs(own.probs - foreign.probs).max() > 0.1


@every_compressed
def test_one_code_off_by_one_is_found(
    name: str, precision: str, model: Model, tmp_path: Path
) -> None:
    grid = model.held_for(name, precision).graph.grids[LAYER]
    codes = grid.codes.copy()
    codes[3, 5] += -1 if codes[3, 5] > 0 else 1
    graph = regridded(model, name, precision, replace(grid, codes=codes))
    result = plant(model, name, precision, tmp_path, graph)
    assert_fails(result, "weights", r"1 of \d+ values are not the checkpoint's, first at \[3, 5, 0")


@every_compressed
def test_the_scale_of_one_channel_off_by_its_last_bit_is_found(
    name: str, precision: str, model: Model, tmp_path: Path
) -> None:
    grid = model.held_for(name, precision).graph.grids[LAYER]
    scale = grid.scale.copy()
    while scale[2] == grid.scale[2]:
        scale[2] = short_scale(scale[2:3] * np.float32(1 + 2**-8 + 2**-12))[0]
    graph = regridded(model, name, precision, replace(grid, scale=scale))
    result = plant(model, name, precision, tmp_path, graph)
    assert_fails(result, "weights", r"values are not the checkpoint's, first at \[2, ")


@pytest.mark.parametrize(
    ("name", "precision", "instead"),
    [(n, p, "w4" if p == "w3" else "w3") for n, p in COMPRESSED if p in ("w3", "w4")],
)
def test_the_file_of_another_twin_under_this_name_is_found(
    name: str, precision: str, instead: str, model: Model, artifacts: Artifacts, tmp_path: Path
) -> None:
    path = tmp_path / artifacts[name, precision].name
    copy_of = shutil.copytree if artifacts[name, instead].is_dir() else shutil.copy
    copy_of(artifacts[name, instead], path)
    result = check_artifact(name, precision, path, model.held_for(name, precision))
    assert_fails(result, "contract", "checkpoint_sha256 in the file")
    assert_fails(result, "weights", "values are not the checkpoint's")


@every_compressed
def test_another_twins_weights_under_this_ones_identity_are_found(
    name: str, precision: str, model: Model, other: Model, tmp_path: Path
) -> None:
    graph = other.held_for(name, precision).graph
    result = plant(model, name, precision, tmp_path, graph)
    assert_fails(result, "weights", "values are not the checkpoint's")
    assert_fails(result, "outputs", r"max \|Δp\|")


@every_compressed
def test_the_file_of_another_checkpoints_twin_is_found(
    name: str, precision: str, model: Model, other: Model, tmp_path: Path
) -> None:
    path = convert(other, name, precision, tmp_path)
    result = check_artifact(name, precision, path, model.held_for(name, precision))
    assert_fails(result, "contract", "checkpoint_sha256 in the file")


@every_compressed
def test_a_file_that_says_it_is_the_checkpoint_itself_is_found(
    name: str, precision: str, model: Model, tmp_path: Path
) -> None:
    """A phone's tools tell files apart by this."""
    result = plant(model, name, precision, tmp_path, metadata=model.metadata)
    assert_fails(result, "contract", "checkpoint_sha256 in the file")
    assert result.parts["weights"] == result.parts["outputs"] == "pass"


@every_compressed
def test_swapped_labels_are_found(name: str, precision: str, model: Model, tmp_path: Path) -> None:
    held = model.held_for(name, precision)
    swapped = replace(held.spec, labels=held.spec.labels[::-1])
    metadata = model_metadata(swapped, held.checkpoint_sha256)
    result = plant(model, name, precision, tmp_path, metadata=metadata)
    assert_fails(result, "contract", "labels in the file")


def pixels_by(kind: type[PixelGraph], model: Model, name: str, precision: str) -> DeployGraph:
    held = model.held_for(name, precision)
    network = copy.deepcopy(held.graph.pixels.network)
    graph = DeployGraph(network, held.spec, held.graph.grids)
    graph.pixels = kind(network, held.spec)
    return graph.eval()


# The lite converter makes a pixel graph of its own, of the network and the spec.
AS_GIVEN = [artifact for artifact in COMPRESSED if artifact[0] != "torchscript"]
FAULTS = (ChannelsSwapped, Mirrored, OutputsSwapped, SoftmaxMissing)


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize(("name", "precision"), AS_GIVEN)
def test_the_right_weights_in_a_wrong_graph_are_found(
    name: str, precision: str, fault: type[PixelGraph], model: Model, tmp_path: Path
) -> None:
    graph = pixels_by(fault, model, name, precision)
    result = plant(model, name, precision, tmp_path, graph)
    assert_fails(result, "outputs", r"max \|Δp\|" + r"|is not known here" * (name == "coreml"))


NORMALISATIONS = {
    "none": {"mean": (1e-6,) * 3, "std": (1 / 255,) * 3},  # of zeros the file would have no step
    "means in another unit": {"mean": tuple(mean / 255 for mean in make_spec().mean)},
    "means as BGR": {"mean": make_spec().mean[::-1]},
}


@pytest.mark.parametrize("fault", NORMALISATIONS)
@every_compressed
def test_a_wrong_normalisation_is_found(
    name: str, precision: str, fault: str, model: Model, tmp_path: Path
) -> None:
    held = model.held_for(name, precision)
    spec = replace(held.spec, **NORMALISATIONS[fault])
    graph = DeployGraph(held.graph.pixels.network, spec, held.graph.grids).eval()
    result = plant(model, name, precision, tmp_path, graph, spec=spec)
    assert result.status == "fail"
    assert re.search(r"max \|Δp\||normalisation", result.reason), result.reason
