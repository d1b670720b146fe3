from __future__ import annotations

import json
import random
import shutil
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from pipeline import errors
from pipeline.checkpoint import (
    SPEC_FILE,
    WEIGHTS_FILE,
    Checkpoint,
    open_checkpoint,
    write_checkpoint,
)
from pipeline.compress import compress as compress_module
from pipeline.compress.activation_quantization import int8_variant
from pipeline.compress.compress import Judged, compress
from pipeline.compress.gptq import weighted_layers
from pipeline.compress.recipes import PRECISIONS, SMALL_LEVELS, SMALL_SHARE, Recipe, levels_of
from pipeline.compress.reduced_network import Reduced
from pipeline.config import TrainConfig
from pipeline.data.dataset import read_dataset
from pipeline.errors import BadInput, MissingDependency
from pipeline.images import read_image
from pipeline.metrics import classification as metrics
from pipeline.mixed_precision import chosen_arithmetic
from pipeline.models.networks import build_network, load_network
from pipeline.training.train import train
from tests.conftest import LABELS, SIDE, make_spec, write_images, write_network

RECIPE = TrainConfig(
    side=SIDE, batch_size=8, frozen_epochs=1, finetune_epochs=3, weights="none", threads=1
)
ROUNDED = {"epochs": 0, "threads": 1, "calibration_images": 8}  # a second each
TUNED = {**ROUNDED, "epochs": 1, "lr": 2e-3, "batch_size": 8}
FILES = [SPEC_FILE, WEIGHTS_FILE]

pytestmark = [
    pytest.mark.slow("compresses a network"),
    pytest.mark.usefixtures("empty_folder"),
]


@pytest.fixture(scope="module")
def trained(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint that training wrote; not to be changed, see `parent`."""
    return train(RECIPE, data, tmp_path_factory.mktemp("trained") / "model", model_version="1.2.3")


@pytest.fixture
def parent(trained: Path, tmp_path: Path) -> Path:
    """A copy of it, to be compressed."""
    return shutil.copytree(trained, tmp_path / "place" / "model")


@pytest.fixture(scope="module")
def rounded(trained: Path, data: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Every precision of it without fine-tuning; not to be changed."""
    folder = shutil.copytree(trained, tmp_path_factory.mktemp("rounded") / "model")
    return {path.name: path for path in compress(folder, data, changes=ROUNDED)}


def keep_the_fine_tuned(patch: pytest.MonkeyPatch) -> None:
    """However good it is: an epoch over a few images may do harm, and would be undone."""
    patch.setattr(compress_module.Judged, "loss", property(lambda judged: -judged.reduced.epochs))


@pytest.fixture(scope="module")
def compressed(
    rounded: dict[str, Path], data: Path, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Path]:
    """Every precision of it, an epoch of fine-tuning where there is some; not to be changed."""
    folder = shutil.copytree(rounded["int8"].parent, tmp_path_factory.mktemp("tuned") / "model")
    with pytest.MonkeyPatch.context() as patch:
        keep_the_fine_tuned(patch)
        compress(folder, data, ["w4", "w3"], changes=TUNED, overwrite=True)
    return {precision: folder / precision for precision in rounded}


def tree(folder: Path) -> dict[str, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in sorted(files)}


def validation(data: Path, mean: Any, std: Any) -> tuple[np.ndarray, torch.Tensor]:
    """Classes and normalised pixels, made here a second time and another way."""
    samples = read_dataset(data).valid
    pixels = np.stack([read_image(sample.path, SIDE) / 255 for sample in samples])
    normalised = torch.from_numpy((pixels - np.array(mean)) / np.array(std)).float()
    return np.array([LABELS.index(s.label) for s in samples]), normalised.permute(0, 3, 1, 2)


def answers(folder: Path, data: Path) -> tuple[np.ndarray, np.ndarray]:
    """Truth and probabilities of a checkpoint as it is read back, int8 with its activations."""
    checkpoint = open_checkpoint(folder)
    spec, network = checkpoint.spec, load_network(checkpoint)
    if spec.compression is not None and spec.compression.activations:
        network = int8_variant(network, spec.compression.activations, checkpoint.grids())
    truth, pixels = validation(data, spec.mean, spec.std)
    with torch.no_grad():
        return truth, network(pixels).softmax(1).numpy()


# --- what a compression leaves behind


def test_every_precision_is_a_folder_inside_the_checkpoints(compressed):
    assert list(compressed) == list(PRECISIONS) == ["int8", "w4", "w3"]
    parent = compressed["int8"].parent
    for folder in compressed.values():
        assert sorted(path.name for path in folder.iterdir()) == FILES
    assert sorted(p.name for p in parent.iterdir() if p.is_dir()) == ["int8", "w3", "w4"]


def test_the_files_of_the_parent_are_unchanged_byte_for_byte(compressed, trained):
    parent = compressed["int8"].parent
    now = {name: content for name, content in tree(parent).items() if "/" not in name}
    assert now == tree(trained)


def test_nothing_is_written_next_to_the_checkpoint(parent, data):
    compress(parent, data, ["w4"], changes=ROUNDED)
    assert [path.name for path in parent.parent.iterdir()] == ["model"]
    assert not [path for path in parent.iterdir() if path.name.startswith(".")]
    assert list(Path.cwd().iterdir()) == []


@pytest.mark.parametrize("precision", PRECISIONS)
def test_a_compressed_checkpoint_says_where_it_came_from(compressed, trained, precision):
    spec, parent = open_checkpoint(compressed[precision]).spec, open_checkpoint(trained).spec
    assert json.loads((compressed[precision] / SPEC_FILE).read_text())["schema"] == 2
    assert spec.compression is not None
    assert spec.compression.precision == precision
    assert spec.compression.parent_sha256 == open_checkpoint(trained).sha256
    unchanged = ("name", "version", "architecture", "labels", "positive", "threshold", "side")
    for name in (*unchanged, "mean", "std", "resize", "intended_use", "data"):
        assert getattr(spec, name) == getattr(parent, name), name
    recipe = replace(PRECISIONS[precision], **(ROUNDED if precision == "int8" else TUNED))
    expected = {**asdict(recipe), "arithmetic": chosen_arithmetic(recipe.arithmetic)}
    assert spec.training == {**parent.training, "compression": expected}
    assert torch.__version__.startswith(spec.tools["torch"])


@pytest.mark.parametrize("precision", PRECISIONS)
def test_every_weight_lies_on_a_grid_of_the_levels_that_its_precision_gives_it(
    compressed, precision
):
    checkpoint = open_checkpoint(compressed[precision])
    spec, grids = checkpoint.spec, checkpoint.grids()
    network, recipe = build_network(spec.architecture, 2), PRECISIONS[precision]
    assert spec.compression is not None
    assert grids.keys() == {f"{name}.weight" for name in weighted_layers(network)}
    assert {name: grid.levels for name, grid in grids.items()} == spec.compression.levels
    if recipe.levels is None:
        bits = sum(grid.bits * grid.codes.size for grid in grids.values())
        mean_bits = bits / sum(grid.codes.size for grid in grids.values())
        assert recipe.mean_bits - 0.05 < mean_bits <= recipe.mean_bits
    else:
        least = SMALL_SHARE * sum(grid.codes.size for grid in grids.values())
        for name, grid in grids.items():
            small = grid.codes.size < least
            assert grid.levels == (SMALL_LEVELS if small else recipe.levels), name
    for name, tensor in open_checkpoint(compressed[precision]).weights().items():
        if name not in grids:
            assert torch.equal(tensor, tensor.half().float()), name  # biases, in fp16's numbers


def test_activations_are_in_the_int8_checkpoint_and_in_no_other(compressed):
    count = {p: len(open_checkpoint(f).spec.compression.activations) for p, f in compressed.items()}
    assert count["int8"] > 10
    assert (count["w4"], count["w3"]) == (0, 0)


@pytest.mark.parametrize("precision", PRECISIONS)
def test_figures_and_comparison_are_those_of_the_checkpoint_as_it_is_read_back(
    compressed, trained, data, precision
):
    spec = open_checkpoint(compressed[precision]).spec
    truth, probs = answers(compressed[precision], data)
    _, parent_probs = answers(trained, data)
    figures = metrics.evaluate(truth, probs, spec.positive_index, spec.threshold, resamples=2)
    assert spec.metrics.keys() == figures.keys()
    for name, figure in spec.metrics.items():
        assert figure["value"] == pytest.approx(figures[name].value), name
        assert figure["low"] <= figure["value"] <= figure["high"], name
    assert spec.compression is not None
    comparison = spec.compression.comparison
    assert comparison["images"] == len(truth) == 12
    assert comparison["auroc"] == pytest.approx(figures["auroc"].value)
    parent = open_checkpoint(trained).spec
    assert comparison["parent_auroc"] == pytest.approx(parent.metrics["auroc"]["value"])
    assert comparison["parent_recall"] == pytest.approx(parent.metrics["recall"]["value"])
    difference = np.abs(probs - parent_probs).max(axis=1)
    assert comparison["mean_abs_diff"] == pytest.approx(difference.mean(), abs=1e-5)
    assert comparison["max_abs_diff"] == pytest.approx(difference.max(), abs=1e-5)
    assert comparison["max_abs_diff"] > 1e-5  # or nothing was rounded
    decision = metrics.decide(probs, spec.positive_index, spec.threshold)
    parent_decision = metrics.decide(parent_probs, spec.positive_index, spec.threshold)
    assert comparison["label_flips"] == np.sum(decision != parent_decision)
    assert isinstance(comparison["broken_limits"], list)


def test_fewer_bits_of_the_weights_are_further_from_the_parent(rounded):
    distance = {
        precision: open_checkpoint(folder).spec.compression.comparison["mean_abs_diff"]
        for precision, folder in rounded.items()
    }
    assert distance["w4"] < distance["w3"]  # int8 rounds activations too: another distance


# --- what is said


def test_each_precision_is_reported_in_a_line_with_what_keeps_it_from_being_published(
    parent, data, monkeypatch, capsys
):
    monkeypatch.setattr(compress_module, "broken_limits", lambda _: ["it has a cold"])
    compress(parent, data, ["w4"], changes=ROUNDED)
    out = capsys.readouterr().out
    assert "note:" not in out
    comparison = open_checkpoint(parent / "w4").spec.compression.comparison
    told = f"{comparison['label_flips']} of 12 labels flip, AUROC {comparison['auroc']:.4f}"
    assert f"{parent / 'w4'}: {told}" in out
    assert comparison["broken_limits"] == ["it has a cold"]
    assert "  not fit to be published: it has a cold\n" in out


def test_other_images_than_those_of_the_training_are_used_with_a_note(parent, tmp_path, capsys):
    other = tmp_path / "other"
    for split in ("train", "valid"):
        for label in LABELS:
            write_images(other / split, label, 4, seed=7)
    compress(parent, other, ["w4"], changes=ROUNDED)
    assert "note: these are not exactly the images" in capsys.readouterr().out
    assert (
        open_checkpoint(parent / "w4").spec.data["fingerprint"] == read_dataset(other).fingerprint()
    )


# --- reproducible


def test_the_same_seed_gives_the_same_bytes(compressed, parent, data, monkeypatch):
    keep_the_fine_tuned(monkeypatch)
    torch.rand(7)  # whatever happened before in the process
    random.seed(7)
    compress(parent, data, ["int8"], changes=ROUNDED)
    compress(parent, data, ["w4"], changes=TUNED)  # alone: what else is asked for does not show
    for precision in ("int8", "w4"):
        assert tree(parent / precision) == tree(compressed[precision]), precision


def test_another_seed_gives_other_codes(compressed, parent, data, monkeypatch):
    keep_the_fine_tuned(monkeypatch)
    compress(parent, data, ["w3"], changes={**TUNED, "seed": 3})
    first, other = open_checkpoint(compressed["w3"]).grids(), open_checkpoint(parent / "w3").grids()
    assert any(not np.array_equal(first[name].codes, other[name].codes) for name in first)


def test_a_folder_without_a_split_is_split_as_it_was_for_the_training(tmp_path, capsys):
    flat = tmp_path / "flat"
    for label in LABELS:
        write_images(flat, label, 8)
    recipe = replace(RECIPE, seed=5, valid_fraction=0.5, finetune_epochs=0)
    parent = train(recipe, flat, tmp_path / "model")
    capsys.readouterr()
    compress(parent, flat, ["int8"], changes={**ROUNDED, "seed": 0})
    assert "note:" not in capsys.readouterr().out  # the fingerprint knows the split
    spec = open_checkpoint(parent / "int8").spec
    assert spec.data == open_checkpoint(parent).spec.data
    assert spec.data["split"] == "at random by image, 1 of 2 valid, seed 5"


def test_without_data_the_phantoms_of_the_trainings_seed_are_used(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("pipeline.data.sources.PHANTOMS", (8, 4))
    parent = train(replace(RECIPE, seed=5, finetune_epochs=0), None, tmp_path / "model")
    capsys.readouterr()
    compress(parent, None, ["int8"], changes=ROUNDED)
    out = capsys.readouterr().out
    assert "drawing" not in out
    assert "note:" not in out
    assert open_checkpoint(parent / "int8").spec.data == open_checkpoint(parent).spec.data


# --- recipes


def test_without_epochs_weights_are_rounded_and_nothing_is_fine_tuned(parent, data, monkeypatch):
    monkeypatch.setattr(
        "pipeline.compress.reduced_network.finetune_on_grids",
        lambda *_: pytest.fail("fine-tuning began"),
    )
    compress(parent, data, ["w4"], changes=ROUNDED)
    assert open_checkpoint(parent / "w4").spec.training["compression"]["epochs"] == 0
    assert {grid.levels for grid in open_checkpoint(parent / "w4").grids().values()} == {
        7,
        SMALL_LEVELS,
    }


def test_with_epochs_the_codes_are_other_ones(compressed, rounded):
    before, after = (
        open_checkpoint(rounded["w4"]).grids(),
        open_checkpoint(compressed["w4"]).grids(),
    )
    assert any(not np.array_equal(before[name].codes, after[name].codes) for name in before)


@pytest.mark.parametrize("broken", [[], ["it has a cold"]], ids=["fit", "not fit"])
def test_int8_is_fine_tuned_only_where_rounding_alone_is_not_fit(
    parent, data, rounded, monkeypatch, broken
):
    monkeypatch.setattr(compress_module, "broken_limits", lambda _: broken)
    keep_the_fine_tuned(monkeypatch)
    compress(parent, data, ["int8"], changes=TUNED)
    found, alone = open_checkpoint(parent / "int8"), open_checkpoint(rounded["int8"])
    assert found.spec.training["compression"]["epochs"] == (1 if broken else 0)
    same = [np.array_equal(g.codes, alone.grids()[n].codes) for n, g in found.grids().items()]
    assert all(same) == (not broken)
    # The scales that it was fine-tuned with stay.
    assert found.spec.compression.activations == alone.spec.compression.activations


@pytest.mark.parametrize(("used", "told"), [(1e-5, (1, 1e-5)), (0.0, (0, TUNED["lr"]))])
def test_the_learning_rate_that_was_used_is_recorded_and_none_is_no_fine_tuning(
    parent, data, monkeypatch, used, told
):
    monkeypatch.setattr(
        "pipeline.compress.reduced_network.finetune_on_grids",
        lambda student, grids, *_: (dict(grids), used),
    )
    keep_the_fine_tuned(monkeypatch)
    compress(parent, data, ["w4"], changes=TUNED)
    found = open_checkpoint(parent / "w4").spec.training["compression"]
    assert (found["epochs"], found["lr"]) == told


def test_a_fine_tuned_int8_is_compared_as_it_is_read_back(parent, data, trained, monkeypatch):
    monkeypatch.setattr(compress_module, "broken_limits", lambda _: ["it has a cold"])
    keep_the_fine_tuned(monkeypatch)
    compress(parent, data, ["int8"], changes=TUNED)
    (_, probs), (_, parent_probs) = answers(parent / "int8", data), answers(trained, data)
    comparison = open_checkpoint(parent / "int8").spec.compression.comparison
    difference = np.abs(probs - parent_probs).max(axis=1)
    assert comparison["mean_abs_diff"] == pytest.approx(difference.mean(), abs=1e-5)


def test_fine_tuning_that_does_harm_is_undone(parent, data, rounded, monkeypatch):
    verdicts = iter([[], ["it caught a cold"]])
    monkeypatch.setattr(compress_module, "broken_limits", lambda _: next(verdicts))
    compress(parent, data, ["w4"], changes=TUNED)
    found, alone = open_checkpoint(parent / "w4"), open_checkpoint(rounded["w4"])
    assert found.spec.compression.comparison == alone.spec.compression.comparison
    assert found.spec.training["compression"]["epochs"] == 0
    assert tree(parent / "w4")[WEIGHTS_FILE] == tree(rounded["w4"])[WEIGHTS_FILE]


def test_the_better_one_breaks_fewer_limits_and_of_as_many_is_nearer_to_its_parent():
    def loss(broken: list[str], distance: float) -> Any:
        comparison = {"broken_limits": broken, "mean_abs_diff": distance}
        return Judged(Reduced(torch.nn.Identity(), {}), np.empty((0, 2)), comparison).loss

    assert loss([], 0.2) < loss([], 0.3) < loss(["cold"], 0.1) < loss(["cold", "cough"], 0.1)


def test_in_a_log_an_epoch_of_fine_tuning_is_one_line_and_not_a_bar(parent, data, capsys):
    compress(parent, data, ["w4"], changes={**TUNED, "epochs": 2})
    said = capsys.readouterr().out
    assert "\r" not in said
    table = said[said.index("epoch ") :]
    names, first, second, *_ = (line.split() for line in table.splitlines())
    assert names == ["epoch", "train_loss", "valid_loss", "time"]
    assert (first[0], second[0]) == ("0", "1")


@pytest.mark.parametrize("count", [5, 1000])
def test_the_images_to_calibrate_with_are_spread_over_the_training_images(
    parent, data, monkeypatch, count
):
    asked: list[list[str]] = []
    real = compress_module._batches

    def look(samples: Any, spec: Any) -> Any:
        asked.append([sample.file for sample in samples])
        if len(asked) == 2:
            raise KeyboardInterrupt
        return real(samples, spec)

    monkeypatch.setattr(compress_module, "_batches", look)
    with pytest.raises(KeyboardInterrupt):
        compress(parent, data, ["int8"], changes={**ROUNDED, "calibration_images": count})
    dataset = read_dataset(data)
    files = [sample.file for sample in dataset.train]
    valid, chosen = asked
    assert valid == [sample.file for sample in dataset.valid]
    if count > len(files):
        assert chosen == files  # all there are
    else:
        assert len(chosen) == count
        assert chosen == [files[i] for i in (0, 6, 12, 17, 23)]


def test_images_are_augmented_as_they_were_for_the_training(parent, data, monkeypatch):
    path = parent / SPEC_FILE
    document = json.loads(path.read_text())
    document["training"] |= {"flip": False, "rotate_deg": 3.0}
    path.write_text(json.dumps(document))
    asked = []

    def look(_: Any, config: TrainConfig) -> Any:
        asked.append(config)
        raise KeyboardInterrupt

    monkeypatch.setattr("pipeline.data.loaders.build_loaders", look)
    with pytest.raises(KeyboardInterrupt):
        compress(parent, data, ["w4"], changes=TUNED)
    (config,) = asked
    assert (config.flip, config.rotate_deg, config.zoom) == (False, 3.0, RECIPE.zoom)
    assert (config.side, config.batch_size) == (SIDE, TUNED["batch_size"])


def test_three_labels_are_compressed_without_a_positive_one(tmp_path):
    labels = ("a", "b", "covid19")
    for split, seed in (("train", 1), ("valid", 2)):
        for label in labels:
            write_images(tmp_path / "xrays" / split, label, 4, seed)
    spec = make_spec(labels=labels, positive=None, threshold=None)
    parent = write_network(tmp_path / "model", spec)
    compress(parent, tmp_path / "xrays", ["int8"], changes=ROUNDED)
    found = open_checkpoint(parent / "int8").spec
    assert found.metrics.keys() == {"accuracy", "auroc", "recall"}
    assert found.compression is not None
    assert found.compression.comparison["images"] == 12


def test_a_handful_of_images_can_be_compressed_with(tmp_path):
    """Fewer than a batch to learn from, one of each label to compare on."""
    for split, count in (("train", 3), ("valid", 1)):
        for label in LABELS:
            write_images(tmp_path / "xrays" / split, label, count, seed=count)
    parent = write_network(tmp_path / "model", make_spec())
    for folder in compress(parent, tmp_path / "xrays", changes={"epochs": 1, "threads": 1}):
        comparison = open_checkpoint(folder).spec.compression.comparison
        assert comparison["images"] == 2
        assert np.isfinite(comparison["mean_abs_diff"])


def test_a_small_layer_keeps_eight_bits_and_a_large_one_does_not():
    network = build_network("squeezenet1_1", 2)
    names = weighted_layers(network)
    levels = levels_of(network, names, [], Recipe(levels=3))
    assert list(levels) == names
    assert (levels["body.0"], levels["head.1"], levels["body.12.expand3x3"]) == (127, 127, 3)
    assert levels_of(network, names, [], Recipe(levels=127)) == dict.fromkeys(names, 127)


@pytest.mark.parametrize(("images", "epochs"), [(76, 127), (459, 21), (3750, 3), (100_000, 1)])
def test_fine_tuning_takes_as_many_steps_for_few_images_as_for_many(images, epochs):
    assert PRECISIONS["w4"].epochs_over(images) == epochs
    assert replace(PRECISIONS["w4"], epochs=5).epochs_over(images) == 5
    assert replace(PRECISIONS["w4"], epochs=0).epochs_over(images) == 0


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"epochs": -1}, "epochs -1 is not between 0 and 10000"),
        ({"steps": -1}, "steps -1 is not between 0 and 1000000"),
        ({"lr": float("nan")}, "lr nan is not between"),
        ({"lr": -1e-3}, "lr -0.001 is not between"),
        ({"batch_size": 0}, "batch_size 0 is not between"),
        ({"calibration_images": 0}, "calibration_images 0 is not between"),
        ({"seed": -1}, "seed -1 is not between"),
        ({"threads": -1}, "threads -1 is not between"),
    ],
    ids=str,
)
def test_a_recipe_that_cannot_be_followed_is_refused(changes, message):
    with pytest.raises(BadInput, match=message):
        replace(PRECISIONS["w4"], **changes)


# --- what is never lost


def test_an_existing_precision_is_refused_without_overwrite(compressed, data, tmp_path):
    parent = shutil.copytree(compressed["int8"].parent, tmp_path / "model")
    before = tree(parent)
    with pytest.raises(BadInput, match=r"w4 exists; give --overwrite to compress again"):
        compress(parent, data, ["w4"], changes=ROUNDED)
    assert tree(parent) == before
    compress(parent, data, ["w4"], changes=ROUNDED, overwrite=True)
    assert open_checkpoint(parent / "w4").spec.training["compression"]["epochs"] == 0
    others = {name: content for name, content in before.items() if not name.startswith("w4/")}
    assert {n: c for n, c in tree(parent).items() if not n.startswith("w4/")} == others


def interrupt_second(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first precision is written whole, the second stops between its two files."""
    calls = []

    def write(folder: Path, *what: Any) -> Checkpoint:
        calls.append(folder)
        written = write_checkpoint(folder, *what)
        if len(calls) == 2:
            (folder / SPEC_FILE).unlink()
            raise KeyboardInterrupt
        return written

    monkeypatch.setattr(compress_module, "write_checkpoint", write)


def test_an_interrupted_run_leaves_what_was_finished_and_nothing_half_written(
    parent, data, trained, monkeypatch
):
    interrupt_second(monkeypatch)
    with pytest.raises(KeyboardInterrupt):
        compress(parent, data, ["int8", "w4"], changes=ROUNDED)
    assert sorted(p.name for p in parent.iterdir()) == sorted(
        ["int8", *(p.name for p in trained.iterdir())]
    )
    assert len(open_checkpoint(parent / "int8").grids()) == 26


def test_an_interrupted_run_leaves_the_old_precision(compressed, data, tmp_path, monkeypatch):
    parent = shutil.copytree(compressed["int8"].parent, tmp_path / "place" / "model")
    interrupt_second(monkeypatch)
    with pytest.raises(KeyboardInterrupt):
        compress(parent, data, ["int8", "w4"], changes={**ROUNDED, "seed": 9}, overwrite=True)
    assert tree(parent / "w4") == tree(compressed["w4"])
    assert tree(parent / "int8") != tree(compressed["int8"])
    assert [path.name for path in parent.parent.iterdir()] == ["model"]
    assert not [path for path in parent.iterdir() if path.name.startswith(".")]


def test_fine_tuning_that_diverged_is_refused_with_the_way_out(parent, data, trained, monkeypatch):
    def diverge(student: torch.nn.Module, grids: Any, *_: Any) -> Any:
        with torch.no_grad():
            student.get_submodule("body.0").weight.fill_(float("nan"))
        return grids, 1.0

    monkeypatch.setattr("pipeline.compress.reduced_network.finetune_on_grids", diverge)
    with pytest.raises(BadInput, match="w4 diverged: the network outputs NaN; lower --lr"):
        compress(parent, data, ["w4"], changes=TUNED)
    assert tree(parent) == tree(trained)


# --- what is refused before time is spent


@pytest.fixture
def never_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "pipeline.data.sources.training_images", lambda *_: pytest.fail("images were read")
    )


@pytest.mark.usefixtures("never_read")
def test_a_compressed_checkpoint_is_not_compressed_again(compressed, data):
    with pytest.raises(BadInput, match="is compressed already; name the checkpoint it came from"):
        compress(compressed["w4"], data, ["w3"])


@pytest.mark.usefixtures("never_read")
@pytest.mark.parametrize(
    ("precisions", "message"),
    [
        (["w4", "w2"], "precisions are int8, w4, w3; 'w2' is not one"),
        (["fp16"], "'fp16' is not one"),
        ([], "none is requested"),
    ],
)
def test_an_unknown_precision_is_refused_with_the_known_ones(parent, data, precisions, message):
    with pytest.raises(BadInput, match=message):
        compress(parent, data, precisions)


@pytest.mark.usefixtures("never_read")
def test_a_folder_with_something_else_is_never_replaced(parent, data):
    (parent / "w4").mkdir()
    (parent / "w4" / "thesis.tex").write_text("three years")
    with pytest.raises(BadInput, match="contains something other than a checkpoint; move it away"):
        compress(parent, data, ["int8", "w4"], overwrite=True)
    assert (parent / "w4" / "thesis.tex").read_text() == "three years"
    assert not (parent / "int8").exists()


@pytest.mark.usefixtures("never_read")
def test_a_file_in_the_way_is_refused(parent, data):
    (parent / "w3").write_text("a thesis")
    with pytest.raises(BadInput, match="w3 is a file, and a folder must be written there"):
        compress(parent, data, ["int8", "w3"], overwrite=True)
    assert not (parent / "int8").exists()


@pytest.mark.usefixtures("never_read")
def test_a_checkpoint_of_other_images_needs_them(parent):
    with pytest.raises(BadInput, match=r"phantoms .*; give the images it was trained on"):
        compress(parent, None)


@pytest.mark.usefixtures("never_read")
def test_a_folder_that_is_no_checkpoint_is_refused(tmp_path, data):
    with pytest.raises(BadInput, match="no checkpoint at"):
        compress(tmp_path / "nowhere", data)


@pytest.mark.usefixtures("never_read")
def test_a_recipe_is_checked_before_the_images_are(parent, data):
    with pytest.raises(BadInput, match="epochs -1"):
        compress(parent, data, changes={"epochs": -1})


@pytest.mark.usefixtures("never_read")
def test_without_fastai_the_command_that_installs_it_is_named(parent, data, monkeypatch):
    monkeypatch.setattr(errors, "find_spec", lambda name: None if name == "fastai" else object())
    with pytest.raises(MissingDependency, match=r"compressing needs fastai.*\.\[train\]"):
        compress(parent, data)


def test_images_of_other_labels_are_refused_with_both(parent, tmp_path, trained):
    for split in ("train", "valid"):
        for label in ("flu", "healthy"):
            write_images(tmp_path / "other" / split, label, 2)
    with pytest.raises(
        BadInput, match="labels 'flu', 'healthy', the checkpoint 'covid19', 'non_covid19'"
    ):
        compress(parent, tmp_path / "other")
    assert tree(parent) == tree(trained)


def test_a_damaged_image_stops_the_run_before_it_starts(parent, image_folder, trained):
    (image_folder / "valid" / "covid19" / "covid19-002.jpg").write_bytes(b"\xff\xd8\xff")
    with pytest.raises(BadInput, match=r"covid19-002\.jpg"):
        compress(parent, image_folder)
    assert tree(parent) == tree(trained)


def test_damaged_weights_of_the_parent_are_refused(parent, data):
    content = bytearray((parent / WEIGHTS_FILE).read_bytes())
    content[-1] ^= 1
    (parent / WEIGHTS_FILE).write_bytes(content)
    with pytest.raises(BadInput, match="is damaged or of another checkpoint"):
        compress(parent, data, ["int8"], changes=ROUNDED)
    assert not (parent / "int8").exists()
