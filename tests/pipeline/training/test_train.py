from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from pipeline import errors
from pipeline.checkpoint import open_checkpoint
from pipeline.cli.show import print_spec
from pipeline.config import TrainConfig
from pipeline.data import phantom
from pipeline.data.dataset import read_dataset
from pipeline.data.owners_words import OwnersWords
from pipeline.data.sources import checkpoint_images
from pipeline.errors import BadInput, MissingDependency
from pipeline.images import read_image
from pipeline.metrics import classification as metrics
from pipeline.model_spec import Example, Owner
from pipeline.models.networks import build_network, load_network
from pipeline.training.learner import EpochFigures, Fit
from pipeline.training.train import train
from tests.conftest import LABELS, SIDE, write_images
from tests.pipeline.training.trained_folder import FILES, OWN_FILES, rows

pytestmark = [pytest.mark.slow("trains"), pytest.mark.usefixtures("empty_folder")]

RECIPE = TrainConfig(
    side=SIDE, batch_size=8, frozen_epochs=1, finetune_epochs=1, weights="none", threads=1
)


@pytest.fixture(scope="module")
def trained(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One real training of a second."""
    return train(RECIPE, data, tmp_path_factory.mktemp("trained") / "model", model_version="1.2.3")


@pytest.fixture
def quick_fit(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[TrainConfig]]:
    """Nothing is trained and nothing analysed; the requested recipes are kept."""
    asked: list[TrainConfig] = []

    def fit(network: torch.nn.Module, dataset, positive: int | None, config: TrainConfig) -> Fit:
        asked.append(config)
        classes = len(dataset.labels)
        truth = np.array([dataset.labels.index(sample.label) for sample in dataset.valid])
        probs = np.random.default_rng(0).dirichlet(np.ones(classes), len(truth))
        epoch = EpochFigures("frozen", 0.7, 0.6, 0.5, 0.5, 0.5)
        return Fit([epoch], truth, probs.astype(np.float32))

    monkeypatch.setattr("pipeline.training.learner.fit", fit)
    monkeypatch.setattr("pipeline.training.train._add_shortcuts", lambda *_: None)
    return asked


def body(weights: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {name: tensor for name, tensor in weights.items() if name.startswith("body.")}


def same(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def before_training(seed: int) -> dict[str, torch.Tensor]:
    """The random weights that a training with this seed starts from."""
    torch.manual_seed(seed)
    return build_network("squeezenet1_1", 2).state_dict()


# --- what a training leaves behind


def test_a_training_writes_its_files_and_nothing_else(trained):
    assert sorted(path.name for path in trained.iterdir()) == FILES
    assert list(trained.parent.iterdir()) == [trained]
    assert list(Path.cwd().iterdir()) == []


def test_a_training_says_what_its_model_could_score_by(trained, data):
    document = json.loads((trained / "shortcuts.json").read_text())
    assert document["checkpoint_sha256"] == open_checkpoint(trained).sha256
    assert document["same_images"] is True
    assert document["no_sources"].startswith("the data name no source")
    predictions = {row["file"]: row for row in rows(trained / "predictions.csv")}
    assert len(document["tiles"]) == 6
    for tile in document["tiles"]:
        expected = float(predictions[tile["file"]][open_checkpoint(trained).spec.positive])
        assert tile["prob"] == pytest.approx(expected, abs=1e-5)
    metrics = open_checkpoint(trained).spec.metrics
    assert document["auroc"]["value"] == pytest.approx(metrics["auroc"]["value"])


def test_shortcuts_are_left_alone_if_not_asked_for(data, tmp_path, capsys):
    out = train(RECIPE, data, tmp_path / "out", shortcuts=False)
    assert sorted(path.name for path in out.iterdir()) == OWN_FILES
    assert "score by" not in capsys.readouterr().out


def test_a_failure_to_look_for_shortcuts_does_not_cost_the_model(
    data, tmp_path, monkeypatch, capsys
):
    def fail(*_: object) -> None:
        raise MemoryError("no room for features")

    monkeypatch.setattr("pipeline.shortcuts.analysis.find_shortcuts", fail)
    out = train(RECIPE, data, tmp_path / "out")
    assert sorted(path.name for path in out.iterdir()) == OWN_FILES
    said = capsys.readouterr()
    assert "MemoryError: no room for features" in said.err
    assert "shortcuts: failed" in said.out


def test_a_training_leaves_no_pickle_anywhere(data, tmp_path):
    train(RECIPE, data)  # to the default place, below the working directory
    (out,) = (tmp_path / "here" / "build" / "checkpoints").iterdir()
    assert out.name == "squeezenet1_1_xrays"
    everything = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert sorted(path.name for path in everything) == FILES
    for path in everything:
        assert not path.read_bytes().startswith((b"\x80", b"PK")), path  # pickle, torch's zip


def test_the_checkpoint_records_what_it_was_made_from(trained, data):
    spec = open_checkpoint(trained).spec
    assert (spec.name, spec.version) == ("squeezenet1_1_xrays", "1.2.3")
    assert (spec.architecture, spec.labels, spec.side) == ("squeezenet1_1", LABELS, SIDE)
    assert (spec.mean, spec.std) == (RECIPE.mean, RECIPE.std)
    assert spec.training["initial_weights"] == "random, as asked for"
    assert spec.training["seed"] == RECIPE.seed
    assert spec.training["finetune_lr"] == RECIPE.finetune_lr
    assert spec.data["images"] == {
        "train": dict.fromkeys(LABELS, 12),
        "valid": dict.fromkeys(LABELS, 6),
    }
    assert spec.data["fingerprint"] == read_dataset(data).fingerprint()
    assert spec.data["split"] == "by folder"
    assert torch.__version__.startswith(spec.tools["torch"])
    assert {"fastai", "torchvision", "numpy", "python"} <= spec.tools.keys()
    assert spec.intended_use.startswith("Research only")


def test_the_history_has_a_row_for_every_epoch(trained):
    history = rows(trained / "history.csv")
    assert [(row["epoch"], row["stage"]) for row in history] == [
        ("1", "frozen"),
        ("2", "fine-tuned"),
    ]
    for row in history:
        assert 0 < float(row["train_loss"]) < 5
        assert 0 < float(row["valid_loss"]) < 5
        assert all(0 <= float(row[name]) <= 1 for name in ("accuracy", "recall", "auroc"))


def test_the_curves_are_a_picture(trained):
    with Image.open(trained / "curves.png") as picture:
        assert picture.format == "PNG"
        assert min(picture.size) > 200


def test_the_predictions_are_those_of_the_checkpoint_on_the_valid_images(trained, data):
    spec = open_checkpoint(trained).spec
    network = load_network(open_checkpoint(trained))
    predictions = rows(trained / "predictions.csv")
    assert [row["file"] for row in predictions] == sorted(
        path.relative_to(data).as_posix() for path in (data / "valid").rglob("*.jpg")
    )
    spread = []
    for row in predictions:
        assert row["label"] == Path(row["file"]).parent.name
        pixels = read_image(data / row["file"], spec.resize) / 255
        normalised = torch.from_numpy((pixels - spec.mean) / spec.std).float().permute(2, 0, 1)
        with torch.no_grad():
            probs = network(normalised[None]).softmax(1)[0].tolist()
        written = [float(row[label]) for label in spec.labels]
        assert written == pytest.approx(probs, abs=2e-6)
        spread.append(probs[0])
    assert max(spread) - min(spread) > 1e-4  # or any checkpoint would pass


def test_threshold_and_figures_are_those_of_the_predictions(trained):
    spec = open_checkpoint(trained).spec
    predictions = rows(trained / "predictions.csv")
    truth = np.array([spec.labels.index(row["label"]) for row in predictions])
    probs = np.array([[float(row[label]) for label in spec.labels] for row in predictions])
    index = spec.positive_index
    assert spec.threshold == pytest.approx(metrics.youden_threshold(truth, probs, index), abs=1e-4)
    expected = metrics.evaluate(truth, probs, index, spec.threshold, resamples=2)
    assert spec.metrics.keys() == expected.keys() | {"calibration_error"}
    error = metrics.expected_calibration_error(truth, probs)
    assert spec.metrics["calibration_error"] == pytest.approx(error, abs=1e-6)
    for name in expected:
        figure = spec.metrics[name]
        assert figure["value"] == pytest.approx(expected[name].value), name
        assert figure["low"] <= figure["value"] <= figure["high"], name


def test_temperature_and_both_figures_are_kept_and_shown(trained, capsys):
    spec = open_checkpoint(trained).spec
    found = spec.calibration
    assert found is not None
    assert found.temperature == spec.training["temperature"]
    assert found.images == len(rows(trained / "predictions.csv"))
    assert found.after.nll <= found.before.nll
    assert found.after.error <= found.before.error
    assert spec.metrics["calibration_error"] <= found.before.error + 1e-6
    print_spec(trained)
    told = capsys.readouterr().out
    for sentence in found.sentences():
        assert sentence in told
    assert "too few validation images" in told


def test_a_network_learns_what_a_child_sees(data, tmp_path):
    longer = replace(RECIPE, frozen_epochs=1, finetune_epochs=4, finetune_lr=3e-3)
    history = rows(train(longer, data, tmp_path / "out", shortcuts=False) / "history.csv")
    assert float(history[-1]["auroc"]) > 0.95  # covid19 is drawn darker
    assert float(history[-1]["valid_loss"]) < float(history[0]["valid_loss"])


# --- reproducible, and in two stages


def test_the_same_seed_gives_the_same_weights_bit_for_bit(trained, data, tmp_path):
    torch.rand(7)  # whatever happened before in the process
    again = train(RECIPE, data, tmp_path / "again", model_version="1.2.3")
    for name in FILES:
        if name != "curves.png":
            assert (again / name).read_bytes() == (trained / name).read_bytes(), name


def test_another_seed_gives_other_weights(trained, data, tmp_path):
    other = train(replace(RECIPE, seed=3), data, tmp_path / "other", shortcuts=False)
    assert not same(open_checkpoint(other).weights(), open_checkpoint(trained).weights())


def test_the_frozen_stage_teaches_the_head_and_leaves_the_body(data, tmp_path):
    frozen = replace(RECIPE, finetune_epochs=0)
    weights = open_checkpoint(train(frozen, data, tmp_path / "frozen", shortcuts=False)).weights()
    start = before_training(RECIPE.seed)
    assert same(body(weights), body(start))
    assert not torch.equal(weights["head.1.weight"], start["head.1.weight"])


@pytest.mark.parametrize("frozen_epochs", [0, 1])
def test_the_second_stage_changes_every_tensor(data, tmp_path, frozen_epochs):
    tuned = replace(RECIPE, frozen_epochs=frozen_epochs)
    weights = open_checkpoint(train(tuned, data, tmp_path / "tuned", shortcuts=False)).weights()
    start = before_training(RECIPE.seed)
    assert [name for name in start if torch.equal(weights[name], start[name])] == []
    assert rows(tmp_path / "tuned" / "history.csv")[-1]["stage"] == "fine-tuned"


# --- what is never lost


@pytest.mark.usefixtures("quick_fit")
def test_an_existing_folder_is_refused_without_overwrite(data, trained, tmp_path):
    out = shutil.copytree(trained, tmp_path / "out")
    with pytest.raises(BadInput, match="exists; give --overwrite"):
        train(RECIPE, data, out)
    assert (out / "checkpoint.json").read_bytes() == (trained / "checkpoint.json").read_bytes()
    train(RECIPE, data, out, overwrite=True, model_version="9.9.9")
    assert open_checkpoint(out).spec.version == "9.9.9"
    assert sorted(path.name for path in out.iterdir()) == OWN_FILES


@pytest.mark.parametrize(
    "step", ["pipeline.training.learner.fit", "pipeline.training.curves.plot_curves"]
)
def test_an_interrupted_training_leaves_the_old_checkpoint(
    data, trained, tmp_path, monkeypatch, quick_fit, step
):
    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    out = shutil.copytree(trained, tmp_path / "place" / "out")
    monkeypatch.setattr(step, stop)
    with pytest.raises(KeyboardInterrupt):
        train(RECIPE, data, out, overwrite=True, model_version="9.9.9")
    assert [path.name for path in out.parent.iterdir()] == ["out"]
    for name in FILES:
        assert (out / name).read_bytes() == (trained / name).read_bytes(), name


def test_an_interrupted_first_training_leaves_nothing(data, tmp_path, monkeypatch):
    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("pipeline.training.curves.plot_curves", stop)
    with pytest.raises(KeyboardInterrupt):
        train(RECIPE, data, tmp_path / "place" / "out")
    assert list((tmp_path / "place").iterdir()) == []


def test_overwrite_replaces_a_checkpoint_and_no_other_folder(data, tmp_path, quick_fit):
    home = tmp_path / "home"
    home.mkdir()
    (home / "thesis.tex").write_text("three years")
    with pytest.raises(BadInput):
        train(RECIPE, data, home, overwrite=True)
    assert (home / "thesis.tex").exists()


# --- what is refused before time is spent


@pytest.fixture
def never_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "pipeline.training.learner.fit", lambda *_: pytest.fail("the training began")
    )


@pytest.mark.usefixtures("never_fit")
def test_a_damaged_image_stops_the_run_before_it_starts(image_folder, tmp_path):
    (image_folder / "valid" / "covid19" / "covid19-002.jpg").write_bytes(b"\xff\xd8\xff")
    with pytest.raises(BadInput, match=r"covid19-002\.jpg"):
        train(RECIPE, image_folder, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.usefixtures("never_fit")
def test_an_unknown_positive_label_is_refused_with_the_known_ones(data, tmp_path):
    with pytest.raises(BadInput, match="--positive flu: the labels are covid19, non_covid19"):
        train(RECIPE, data, tmp_path / "out", positive="flu")


@pytest.mark.usefixtures("never_fit")
def test_an_unknown_architecture_is_refused(data, tmp_path):
    with pytest.raises(BadInput, match="unknown architecture"):
        train(replace(RECIPE, architecture="resnet9000"), data, tmp_path / "out")


@pytest.mark.usefixtures("never_fit")
def test_without_fastai_the_command_that_installs_it_is_named(data, tmp_path, monkeypatch):
    monkeypatch.setattr(errors, "find_spec", lambda name: None if name == "fastai" else object())
    with pytest.raises(MissingDependency, match=r"training needs fastai.*\.\[train\]"):
        train(RECIPE, data, tmp_path / "out")


@pytest.mark.usefixtures("never_fit")
@pytest.mark.parametrize("name", ["my model", "../model", "modèle", "2x"])
def test_a_name_that_no_checkpoint_may_have_is_refused(data, name):
    with pytest.raises(BadInput):
        train(RECIPE, data, name=name)


@pytest.mark.usefixtures("never_fit")
def test_a_file_in_the_way_is_refused(data, tmp_path):
    (tmp_path / "out").write_text("a thesis")
    with pytest.raises(BadInput):
        train(RECIPE, data, tmp_path / "out", overwrite=True)


@pytest.mark.filterwarnings("ignore:All-NaN slice")
def test_a_training_that_diverged_is_refused_with_the_way_out(data, tmp_path, monkeypatch):
    def diverge(_: object, dataset, *__: object) -> Fit:
        truth = np.array([dataset.labels.index(sample.label) for sample in dataset.valid])
        nothing = float("nan")
        epoch = EpochFigures("frozen", nothing, nothing, 0.5, 0.5, nothing)
        return Fit([epoch], truth, np.full((len(truth), 2), nothing, dtype=np.float32))

    monkeypatch.setattr("pipeline.training.learner.fit", diverge)
    with pytest.raises(BadInput, match="learning rates"):
        train(RECIPE, data, tmp_path / "out")


# --- labels


@pytest.fixture
def make_folder(tmp_path: Path) -> Callable[..., Path]:
    def make(**counts: int) -> Path:
        root = tmp_path / "made"
        for label, count in counts.items():
            write_images(root / "train", label, count)
            write_images(root / "valid", label, 4, seed=1)
        return root

    return make


@pytest.mark.usefixtures("quick_fit")
@pytest.mark.parametrize(
    ("counts", "positive"),
    [
        ({"a": 3, "b": 5}, "a"),
        ({"a": 5, "b": 3}, "b"),
        ({"a": 4, "b": 4}, "b"),  # the last in alphabetical order
    ],
)
def test_the_positive_label_is_the_rarer_one(make_folder, tmp_path, counts, positive):
    spec = open_checkpoint(train(RECIPE, make_folder(**counts), tmp_path / "out")).spec
    assert spec.positive == positive
    assert 0 < spec.threshold < 1


@pytest.mark.usefixtures("quick_fit")
def test_the_positive_label_can_be_chosen(make_folder, tmp_path):
    spec = open_checkpoint(
        train(RECIPE, make_folder(a=3, b=5), tmp_path / "out", positive="b")
    ).spec
    assert spec.positive == "b"


def test_three_labels_are_trained_without_a_positive_one(make_folder, tmp_path):
    spec = open_checkpoint(train(RECIPE, make_folder(a=4, b=4, covid19=4), tmp_path / "out")).spec
    assert spec.labels == ("a", "b", "covid19")
    assert (spec.positive, spec.threshold) == (None, None)
    assert spec.metrics.keys() == {"accuracy", "auroc", "calibration_error", "recall"}
    assert len(open_checkpoint(tmp_path / "out").weights()["head.1.bias"]) == 3
    for row in rows(tmp_path / "out" / "predictions.csv"):
        assert sum(float(row[label]) for label in spec.labels) == pytest.approx(1, abs=1e-5)


@pytest.mark.usefixtures("never_fit")
def test_a_positive_label_of_three_is_refused(make_folder, tmp_path):
    with pytest.raises(BadInput, match="--positive needs two labels; the data have 3"):
        train(RECIPE, make_folder(a=4, b=4, c=4), tmp_path / "out", positive="a")


# --- data


@pytest.mark.usefixtures("quick_fit")
def test_without_data_phantoms_are_drawn_once(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("pipeline.data.sources.PHANTOMS", (6, 4))
    recipe = replace(RECIPE, seed=5)
    spec = open_checkpoint(train(recipe, None, tmp_path / "out")).spec
    assert spec.labels == ("synthetic_clear", "synthetic_opacities")
    assert spec.data["images"]["train"] == dict.fromkeys(spec.labels, 3)
    assert "drawing 10 synthetic X-ray phantoms" in capsys.readouterr().out
    assert (spec.intended_use, spec.owner) == (phantom.INTENDED_USE, phantom.OWNER)
    drawn = sorted(Path("build/phantoms").rglob("*.png"))
    assert len(drawn) == 10

    again = open_checkpoint(train(recipe, None, tmp_path / "again")).spec
    assert "drawing" not in capsys.readouterr().out
    assert again.data == spec.data


def test_the_seed_and_the_share_reach_the_split(tmp_path, quick_fit):
    write_images(tmp_path / "flat", "covid19", 8)
    write_images(tmp_path / "flat", "non_covid19", 8)
    recipe = replace(RECIPE, seed=5, valid_fraction=0.5)
    spec = open_checkpoint(train(recipe, tmp_path / "flat", tmp_path / "out")).spec
    assert spec.data["split"] == "at random by image, 1 of 2 valid, seed 5"
    assert spec.data["images"]["valid"] == dict.fromkeys(LABELS, 4)
    assert quick_fit == [recipe]


@pytest.mark.usefixtures("quick_fit")
def test_the_owners_words_and_pictures_are_beside_the_checkpoint(data, tmp_path):
    shown = data / "valid" / "covid19" / "covid19-000.jpg"
    words = OwnersWords("Sorts toys.", "photos", "balls", (shown,))
    out = train(RECIPE, data, tmp_path / "out", shortcuts=False, words=words)
    spec = open_checkpoint(out).spec
    assert spec.intended_use == "Sorts toys."
    examples = (Example("examples/1.jpg", "covid19"),)
    assert spec.owner == Owner("photos", "balls", examples=examples)
    with Image.open(out / "examples" / "1.jpg") as picture:
        assert picture.size == (48, 40)


@pytest.mark.usefixtures("never_fit")
def test_an_example_of_the_training_images_is_refused_before_the_first_epoch(data, tmp_path):
    shown = data / "train" / "covid19" / "covid19-000.jpg"
    with pytest.raises(BadInput, match="is a training image"):
        train(RECIPE, data, tmp_path / "out", words=OwnersWords(examples=(shown,)))
    assert not (tmp_path / "out").exists()


@pytest.mark.usefixtures("quick_fit")
def test_a_named_group_is_recorded_and_read_again_by_what_follows(tmp_path):
    lines = ["file,label,scene"]
    for label in LABELS:
        write_images(tmp_path / "t", label, 12)
        lines += [f"{label}/{label}-{i:03}.jpg,{label},{label}-{i // 2}" for i in range(12)]
    table = tmp_path / "t" / "t.csv"
    table.write_text("\n".join(lines))
    out = train(RECIPE, table, tmp_path / "out", shortcuts=False, group_column="scene")
    spec = open_checkpoint(out).spec
    assert spec.data["group_column"] == "scene"
    assert spec.data["split"].startswith("at random by scene")
    again = checkpoint_images(table, spec)
    assert again.group_column == "scene"
    assert again.fingerprint() == spec.data["fingerprint"]


@pytest.mark.usefixtures("never_fit")
def test_a_group_column_without_a_table_is_refused(data, tmp_path):
    with pytest.raises(BadInput, match="--group-column scene is of a table"):
        train(RECIPE, None, tmp_path / "out", group_column="scene")
    with pytest.raises(BadInput, match="folders do not say which scene"):
        train(RECIPE, data, tmp_path / "out", group_column="scene")


@pytest.mark.usefixtures("quick_fit")
def test_the_intervals_are_drawn_by_patient_where_the_table_names_them(tmp_path):
    root = tmp_path / "xrays"
    lines, patients = ["file,label,split,patient"], []
    for label in LABELS:
        write_images(root, label, 20)
        for i in range(20):
            split = "train" if i < 4 else "valid"
            patient = f"{label}-{split}-{i % 3}"
            lines.append(f"{label}/{label}-{i:03}.jpg,{label},{split},{patient}")
            patients += [patient] * (split == "valid")
    (root / "t.csv").write_text("\n".join(lines))
    spec = open_checkpoint(train(RECIPE, root / "t.csv", tmp_path / "out", shortcuts=False)).spec

    predictions = rows(tmp_path / "out" / "predictions.csv")
    truth = np.array([spec.labels.index(row["label"]) for row in predictions])
    probs = np.array([[float(row[label]) for label in spec.labels] for row in predictions])
    question = truth, probs, spec.positive_index, spec.threshold
    by_patient = metrics.evaluate(*question, patients)
    by_image = metrics.evaluate(*question)
    for name in by_patient:
        figure = spec.metrics[name]
        assert figure["low"] == pytest.approx(by_patient[name].low), name
        assert figure["high"] == pytest.approx(by_patient[name].high), name
        assert figure["low"] != pytest.approx(by_image[name].low), name
