"""A checkpoint's predictions are its network's own outputs for the pixels of the resize rule."""

from __future__ import annotations

import shutil
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from pipeline.checkpoint import open_checkpoint, write_checkpoint
from pipeline.compress.activation_quantization import calibrate
from pipeline.data.preprocessing import normalise
from pipeline.errors import BadInput
from pipeline.images import read_image
from pipeline.metrics.calibration import Calibration, StatedProbabilities
from pipeline.model_spec import Compression
from pipeline.models.networks import load_network
from pipeline.predict.checkpoint_model import calibration_note, load_model
from pipeline.predict.predict import predictions
from pipeline.quantization_grid import Grid, short_scale
from pipeline.resize.notation import resize_by
from tests.conftest import make_spec, write_network
from tests.five_colours import FIVE, POOLED, five_spec, paint, write_pooled_network


@pytest.fixture(scope="module")
def colours(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint of five classes."""
    return write_network(tmp_path_factory.mktemp("colours") / "checkpoint", five_spec())


def probs_of(folder: Path, path: Path) -> np.ndarray:
    """What a checkpoint answers, computed here from its network."""
    checkpoint = open_checkpoint(folder)
    spec = checkpoint.spec
    pixels = normalise(read_image(path, spec.resize)[None], spec.mean, spec.std)
    with torch.inference_mode():
        return load_network(checkpoint)(pixels).softmax(1)[0].numpy()


def test_every_probability_is_the_networks_own(colours: Path, tmp_path: Path) -> None:
    images = paint(tmp_path)
    found = list(predictions(load_model(open_checkpoint(colours)), images, {}))
    assert [one.file for one in found] == images
    for one in found:
        expected = probs_of(colours, one.file)
        assert list(one.probs) == list(FIVE)
        np.testing.assert_allclose(list(one.probs.values()), expected, atol=1e-6)
        assert one.label == FIVE[int(expected.argmax())]
        assert one.heat_map is None


@pytest.mark.parametrize("method", ["crop", "pad:zeros", "squish:8", "centre"])
def test_an_image_is_resized_as_the_checkpoint_says(method: str, tmp_path: Path) -> None:
    """Rectangles too; the heat map has their shape."""
    (image,) = paint(tmp_path, "été")
    rule = resize_by(method, (40, 80))
    folder = write_network(tmp_path / "checkpoint", five_spec(resize=rule))
    places = {image: tmp_path / "map.png"}
    (found,) = predictions(load_model(open_checkpoint(folder)), [image], places)
    np.testing.assert_allclose(list(found.probs.values()), probs_of(folder, image), atol=1e-6)
    with Image.open(places[image]) as drawn:
        assert drawn.size[0] == 2 * drawn.size[1]


def test_the_threshold_of_the_checkpoint_decides(tmp_path: Path) -> None:
    (image,) = paint(tmp_path, "été")
    labels = {}
    for threshold in (0.01, 0.99):
        spec = make_spec(threshold=threshold)
        model = load_model(open_checkpoint(write_network(tmp_path / str(threshold), spec)))
        labels[threshold] = next(predictions(model, [image], {})).label
    assert labels == {0.01: "covid19", 0.99: "non_covid19"}


def test_a_heat_map_is_written_for_each_image(colours: Path, tmp_path: Path) -> None:
    images = paint(tmp_path)
    places = {path: tmp_path / "maps" / path.name for path in images}
    found = list(predictions(load_model(open_checkpoint(colours)), images, places))
    assert [one.heat_map for one in found] == list(places.values())
    for one in found:
        with Image.open(one.heat_map) as image:
            assert f"Evidence for {one.label}" in image.text["Description"]


def test_a_network_without_evidence_answers_and_writes_no_heat_map(tmp_path: Path) -> None:
    folder = write_pooled_network(tmp_path / "pooled", five_spec(head=POOLED))
    (image,) = paint(tmp_path, "赤")
    (found,) = predictions(
        load_model(open_checkpoint(folder)), [image], {image: tmp_path / "maps" / "a.png"}
    )
    np.testing.assert_allclose(list(found.probs.values()), probs_of(folder, image), atol=1e-6)
    assert found.heat_map is None
    assert not (tmp_path / "maps").exists()


def test_an_int8_checkpoint_answers_with_rounded_activations_and_keeps_its_evidence(
    colours: Path, tmp_path: Path
) -> None:
    (image,) = paint(tmp_path, "赤")
    parent = open_checkpoint(colours)
    network = load_network(parent)
    pixels = normalise(
        read_image(image, parent.spec.resize)[None], parent.spec.mean, parent.spec.std
    )
    coarse = {
        name: (scale * 8, zero) for name, (scale, zero) in calibrate(network, [pixels]).items()
    }
    name = "body.0.weight"
    weight = network.state_dict()[name].numpy()
    scale = short_scale(np.abs(weight.reshape(len(weight), -1)).max(axis=1) / 127)
    codes = np.round(weight / scale.reshape(-1, 1, 1, 1)).clip(-127, 127).astype(np.int8)
    compression = Compression("int8", parent.sha256, {name: 127}, coarse)
    (tmp_path / "int8").mkdir()
    spec = replace(parent.spec, compression=compression)
    grids = {name: Grid(codes, scale, 127)}
    write_checkpoint(tmp_path / "int8", spec, network.state_dict(), grids)

    model = load_model(open_checkpoint(tmp_path / "int8"))
    (found,) = predictions(model, [image], {image: tmp_path / "map.png"})
    unrounded = probs_of(tmp_path / "int8", image)  # the same weights, activations in fp32
    assert np.abs(np.array(list(found.probs.values())) - unrounded).max() > 1e-4
    assert found.heat_map == tmp_path / "map.png"


def test_an_image_that_cannot_be_read_is_raised_or_left_out_and_told(
    colours: Path, tmp_path: Path
) -> None:
    images = paint(tmp_path)
    images[1].write_bytes(b"no image")
    model = load_model(open_checkpoint(colours))
    with pytest.raises(BadInput, match=r"1\.png is not an image"):
        list(predictions(model, images, {}))
    told: list[BadInput] = []
    done: list[tuple[int, int]] = []
    found = list(predictions(model, images, {}, lambda n, of: done.append((n, of)), told.append))
    assert [one.file for one in found] == [images[0], images[2]]
    assert len(told) == 1
    assert done == [(1, 3), (2, 3), (3, 3)]


def test_weights_that_give_no_number_are_refused_with_the_images_name(
    colours: Path, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(colours, tmp_path / "nan"))
    checkpoint = open_checkpoint(folder)
    weights = checkpoint.weights()
    weights["head.1.bias"].fill_(float("nan"))
    write_checkpoint(folder, checkpoint.spec, weights)
    with pytest.raises(BadInput, match=r"1\.png: the probabilities are not finite"):
        list(predictions(load_model(open_checkpoint(folder)), paint(tmp_path, "été"), {}))


def test_what_is_known_about_calibration_is_said() -> None:
    assert "temperature 1.25" in calibration_note(make_spec(training={"temperature": 1.25}))
    for none in ({}, {"temperature": 1.0}):  # of weights that were adopted; of `calibrate=False`
        assert "records no calibration" in calibration_note(make_spec(training=none))
    own = StatedProbabilities(0.2, 0.1)
    found = Calibration(1.0, 20, own, own, refused="it would do harm")
    refused = {"temperature": 1.0, "calibration": asdict(found)}
    assert calibration_note(make_spec(training=refused)).endswith("gives them: it would do harm")
