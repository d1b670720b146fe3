from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from pipeline.data.dataset import Sample
from pipeline.images import read_image
from pipeline.models.networks import build_network
from pipeline.shortcuts.evidence_figure import plot_evidence
from pipeline.shortcuts.evidence_maps import MOST_GROUPS, border_share, choose_tiles, measure_border
from pipeline.shortcuts.inference import Readout, read_out
from tests.conftest import LABELS, SIDE, make_spec

NAN = float("nan")


@pytest.fixture(scope="module")
def samples(tmp_path_factory: pytest.TempPathFactory) -> list[Sample]:
    """Five noisy images, two of them of the label covid19."""
    folder = tmp_path_factory.mktemp("images")
    rng = np.random.default_rng(0)
    made = []
    for i, label in enumerate([LABELS[0], LABELS[1], LABELS[0], LABELS[1], LABELS[1]]):
        path = folder / f"{i}.png"
        Image.fromarray(rng.integers(0, 255, (80, 70), dtype=np.uint8)).save(path)
        made.append(Sample(path, path.name, label))
    return made


def network(classes: int = 2) -> nn.Module:
    torch.manual_seed(0)
    made = build_network("squeezenet1_1", classes).eval()
    nn.init.normal_(
        made.head[1].weight, std=0.5
    )  # otherwise all images get nearly the same outputs
    return made


# --- what the network makes of the images


@pytest.mark.parametrize("positive", LABELS)
def test_the_mean_of_the_contrast_is_what_the_decision_comes_from(samples, positive):
    found = read_out(network(), samples, make_spec(positive=positive))
    log_probs = np.log(found.probs)
    c = LABELS.index(positive)
    expected = log_probs[:, c] - log_probs[:, 1 - c]
    assert np.ptp(expected) > 1e-3
    assert found.contrast.mean(axis=(1, 2)) == pytest.approx(expected, abs=1e-4)


def test_of_three_labels_the_contrast_is_the_own_label_against_the_mean_of_the_others(samples):
    labels = ("covid19", "non_covid19", "third")
    spec = make_spec(labels=labels, positive=None, threshold=None)
    found = read_out(network(3), samples, spec)
    log_probs = np.log(found.probs)
    for i, sample in enumerate(samples):
        c = labels.index(sample.label)
        expected = log_probs[i, c] - np.delete(log_probs[i], c).mean()
        assert found.contrast[i].mean() == pytest.approx(expected, abs=1e-4)


def test_features_and_probabilities_are_those_of_the_network(samples):
    spec, net = make_spec(), network()
    found = read_out(net, samples, spec)
    images = np.stack([read_image(s.path, SIDE) for s in samples])
    pixels = torch.from_numpy(images).permute(0, 3, 1, 2).float() / 255
    mean, std = (torch.tensor(v).reshape(1, 3, 1, 1) for v in (spec.mean, spec.std))
    with torch.inference_mode():
        answers = net((pixels - mean) / std).softmax(1).numpy()
        features = net.body((pixels - mean) / std).mean((2, 3)).numpy()
    assert found.probs == pytest.approx(answers, abs=1e-5)
    assert found.features == pytest.approx(features, abs=1e-4)
    assert found.features.shape == (5, 512)
    assert not net.body._forward_hooks  # nothing is left behind in the network


def test_a_head_without_a_map_still_has_features_and_probabilities(samples):
    class Plain(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body = nn.Conv2d(3, 4, 3)
            self.head = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2))

        def forward(self, pixels: torch.Tensor) -> torch.Tensor:
            return self.head(self.body(pixels))

    found = read_out(Plain(), samples, make_spec())
    assert found.contrast is None
    assert found.features.shape == (5, 4)
    assert found.probs.sum(axis=1) == pytest.approx(1)


def test_a_network_without_a_body_still_has_probabilities(samples):
    plain = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 2))
    found = read_out(plain, samples, make_spec())
    assert (found.features, found.contrast) == (None, None)
    assert found.probs.shape == (5, 2)


# --- the border


def test_even_evidence_has_the_share_of_the_area_at_the_border():
    for size in (2, 7, 10, 13):
        even = np.full((1, size, size + 1), -2.0, dtype=np.float32)
        assert border_share(even) == pytest.approx(0.36)


def test_the_border_by_hand():
    maps = np.zeros((4, 5, 5), dtype=np.float32)
    maps[0, 2, 2] = 3  # in the middle
    maps[1, 0, 2] = -1  # a cell of a fifth at the edge: half of it is border
    maps[2, 0, 0] = 1  # a corner: a quarter of it is inside
    maps[3, 2, 2], maps[3, 0, 2] = 3, -1  # signs do not cancel
    assert border_share(maps) == pytest.approx([0, 0.5, 0.75, 0.125])


def test_a_map_of_nothing_has_no_share_and_is_left_out_of_the_mean():
    maps = np.zeros((3, 10, 10), dtype=np.float32)
    maps[0, 5, 5] = maps[1, 0, 0] = 1
    assert border_share(maps) == pytest.approx([0, 1, NAN], nan_ok=True)
    found = measure_border(maps, ["a", "b", "c"])
    assert found.share.value == pytest.approx(0.5)
    assert (found.share.low, found.share.high) == pytest.approx((0, 1))
    assert found.expected == pytest.approx(0.36)


def test_the_interval_of_the_border_is_drawn_by_patient():
    rng = np.random.default_rng(0)
    few = rng.normal(size=(20, 6, 6)).astype(np.float32)
    many = np.repeat(few, 9, axis=0)
    width = {}
    for name, whose in (("patient", np.repeat(np.arange(20), 9)), ("image", np.arange(180))):
        share = measure_border(many, [str(i) for i in whose]).share
        width[name] = share.high - share.low
    assert width["patient"] > 2 * width["image"]


# --- which images are shown


def group(label: str, source: str | None, count: int) -> list[Sample]:
    return [
        Sample(Path("x"), f"{label}{source}{i}.png", label, source=source) for i in range(count)
    ]


def answered(positive: list[float]) -> Readout:
    probs = np.column_stack([positive, 1 - np.array(positive)]).astype(np.float32)
    return Readout(None, probs, None)


def test_of_each_label_and_source_the_surest_the_worst_and_one_at_random_are_shown():
    made = [*group(LABELS[1], "x", 4), *group(LABELS[0], "x", 4), *group(LABELS[0], "w", 1)]
    readout = answered([0.3, 0.1, 0.9, 0.2, 0.5, 0.95, 0.1, 0.6, 0.2])
    tiles, left_out = choose_tiles(made, readout, make_spec(threshold=0.4), seed=1)
    assert [
        (tile.group, tile.row, tile.choice, tile.right) for tile in tiles if tile.number != 7
    ] == [
        ("covid19 from w", 8, "least wrong", False),
        ("covid19 from x", 5, "surest", True),
        ("covid19 from x", 6, "most wrong", False),
        ("covid19 from x", tiles[3].row, "at random", True),
        ("non_covid19 from x", 1, "surest", True),
        ("non_covid19 from x", 2, "most wrong", False),
    ]
    assert tiles[3].row in (4, 7)
    assert tiles[6].row in (0, 3)
    assert [tile.number for tile in tiles] == list(range(1, 8))
    assert [tile.prob for tile in tiles][:3] == pytest.approx([0.2, 0.95, 0.1])
    assert left_out == []


def test_an_image_that_is_least_sure_but_right_is_not_called_wrong():
    tiles, _ = choose_tiles(group(LABELS[0], None, 2), answered([0.9, 0.41]), make_spec(), 0)
    assert [(tile.choice, tile.right) for tile in tiles] == [("surest", True), ("least sure", True)]
    assert tiles[0].group == "covid19"


def test_the_seed_draws_the_images_at_random():
    made, readout = group(LABELS[0], None, 40), answered(list(np.linspace(0.1, 0.9, 40)))
    rows = [choose_tiles(made, readout, make_spec(), seed)[0][2].row for seed in (1, 1, 2, 3)]
    assert rows[0] == rows[1]
    assert len(set(rows)) > 1


def test_groups_that_find_no_room_are_named():
    sizes = [3] * MOST_GROUPS + [1, 2]
    made = [s for i, n in enumerate(sizes) for s in group(LABELS[0], f"s{i}", n)]
    tiles, left_out = choose_tiles(made, answered([0.5] * len(made)), make_spec(), 0)
    assert len({tile.group for tile in tiles}) == MOST_GROUPS
    assert left_out == ["covid19 from s8", "covid19 from s9"]


# --- the picture


def test_the_picture_is_red_where_the_positive_label_is_seen_and_blue_where_the_other(
    tmp_path, samples
):
    dark = tmp_path / "dark.png"
    Image.new("L", (50, 50)).save(dark)
    sample = replace(samples[0], path=dark)
    contrast = np.zeros((1, 4, 4), dtype=np.float32)
    contrast[:, :, 0], contrast[:, :, 3] = 5, -5
    tiles, _ = choose_tiles([sample], answered([0.9]), make_spec(), 0)
    plot_evidence(tmp_path / "e.png", tiles, [sample], contrast, make_spec(), "a title")

    with Image.open(tmp_path / "e.png") as picture:
        assert picture.format == "PNG"
        pixels = np.asarray(picture.convert("RGB"), dtype=int)
    upper = pixels[: len(pixels) // 2]  # the colour scale is below
    red = np.argwhere(upper[..., 0] > upper[..., 2] + 60)[:, 1]
    blue = np.argwhere(upper[..., 2] > upper[..., 0] + 60)[:, 1]
    assert len(red) > 1000
    assert len(blue) > 1000
    assert red.max() < blue.min()


def test_a_row_is_drawn_for_each_group_and_one_for_the_means(tmp_path, samples):
    spec = make_spec()
    readout = read_out(network(), samples, spec)
    heights = []
    for sources in (["x"] * 5, ["x", "x", "y", "y", "z"]):
        made = [replace(s, source=source) for s, source in zip(samples, sources, strict=True)]
        tiles, _ = choose_tiles(made, readout, spec, 0)
        plot_evidence(tmp_path / "e.png", tiles, made, readout.contrast, spec, "a title")
        with Image.open(tmp_path / "e.png") as picture:
            heights.append((picture.height, len({tile.group for tile in tiles})))
    (few, few_rows), (many, many_rows) = heights
    assert (few_rows, many_rows) == (2, 5)
    row = (many - few) / 3
    assert few > 3 * row  # two groups, the means, title and scale


def test_three_labels_without_a_positive_one_have_a_picture_too(tmp_path, samples):
    spec = make_spec(labels=("covid19", "non_covid19", "third"), positive=None, threshold=None)
    readout = read_out(network(3), samples, spec)
    tiles, _ = choose_tiles(samples, readout, spec, 0)
    plot_evidence(tmp_path / "e.png", tiles, samples, readout.contrast, spec, "a title")
    with Image.open(tmp_path / "e.png") as picture:
        assert picture.width > 1000
