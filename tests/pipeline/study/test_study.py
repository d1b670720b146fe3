from __future__ import annotations

import csv
import json
import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from pipeline import errors
from pipeline.checkpoint import open_checkpoint
from pipeline.cli import main as cli
from pipeline.config import TrainConfig
from pipeline.data.dataset import read_dataset
from pipeline.errors import BadInput, MissingDependency
from pipeline.metrics import classification as metrics
from pipeline.models.networks import build_network, load_network
from pipeline.study import trial
from pipeline.study.documents import AccuracyTarget, TrialEpoch
from pipeline.study.engine import Engine
from pipeline.study.protocols import apply_protocol, make_pool
from pipeline.study.request import Study
from pipeline.study.study import run_study
from pipeline.training.train import train_on
from tests.conftest import LABELS, SIDE, write_images

pytestmark = pytest.mark.slow("trains by the dozen")

RECIPE = TrainConfig(
    side=SIDE, batch_size=8, frozen_epochs=1, finetune_epochs=2, weights="none", threads=1
)
STUDY = Study(
    topologies=("squeezenet1_1",),
    protocols=("paper", "strict"),
    seeds=(2,),
    config=RECIPE,
    positive="covid19",
)
NAMES = ["squeezenet1_1-paper-seed2", "squeezenet1_1-strict-seed2"]
FILES = [
    "checkpoint.json", "curves.png", "frozen_predictions.csv", "history.csv", "model.safetensors",
    "predictions.csv", "trial.json",
]  # fmt: skip


def write_table(root: Path) -> Path:
    """20 images a label, two of each patient; 5 of the negatives are of the positives' source."""
    lines = ["file,label,patient,source"]
    for label in LABELS:
        write_images(root, label, 20)
        for i in range(20):
            source = "north" if label == "covid19" or i < 5 else "south"
            lines.append(f"{label}/{label}-{i:03}.jpg,{label},{label}-{i // 2},{source}")
    (root / "metadata.csv").write_text("\n".join(lines))
    return root


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_table(tmp_path_factory.mktemp("data") / "xrays")


@pytest.fixture(scope="module")
def whole(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One real comparison, of two trials."""
    out = tmp_path_factory.mktemp("whole") / "out"
    run_study(STUDY, data, out)
    return out


@pytest.fixture
def out(whole: Path, tmp_path: Path) -> Path:
    """A copy of it."""
    return shutil.copytree(whole, tmp_path / "out")


@pytest.fixture
def no_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.study.figures.write_figures", lambda *_: {})


Train = Callable[[trial.Trial], trial.Failure | None]


def noting(train: Train, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Trials are trained by `train`; their names, as they come."""
    names: list[str] = []

    def noted(asked: trial.Trial) -> trial.Failure | None:
        names.append(asked.name)
        return train(asked)

    monkeypatch.setattr("pipeline.study.study.run_trial", noted)
    return names


@pytest.fixture
def really_trained(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the trials that are trained."""
    return noting(trial.run_trial, monkeypatch)


@pytest.fixture
def trained(whole: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The same, where only the names matter: the results are copies of `whole`'s."""

    def copied(asked: trial.Trial) -> None:
        shutil.rmtree(asked.folder, ignore_errors=True)
        shutil.copytree(whole / "trials" / asked.name, asked.folder)
        file = asked.folder / trial.TRIAL_FILE
        said = {**json.loads(file.read_text()), "request": trial.request_of(asked)}
        file.write_text(json.dumps(said))

    return noting(copied, monkeypatch)


def document(out: Path) -> dict[str, Any]:
    read = json.loads((out / "comparison.json").read_text())
    assert isinstance(read, dict)
    return read


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as lines:
        return list(csv.DictReader(lines))


def probs_of(path: Path) -> tuple[np.ndarray, np.ndarray]:
    _, truth, probs = trial.read_predictions(path)
    return truth, probs


# --- what a comparison leaves behind


def test_a_comparison_leaves_whole_trials_and_its_report_and_nothing_else(whole):
    names = ["comparison.csv", "comparison.json", "comparison.md", "figures", "trials"]
    assert sorted(path.name for path in whole.iterdir()) == names
    assert sorted(path.name for path in (whole / "trials").iterdir()) == NAMES
    for name in NAMES:
        assert sorted(path.name for path in (whole / "trials" / name).iterdir()) == FILES


def test_a_trial_says_what_its_checkpoint_decides_by_its_own_threshold(
    data, tmp_path, monkeypatch, no_pictures
):
    """Besides the most probable label, which here is always right."""
    monkeypatch.setattr(
        "pipeline.training.train._threshold", lambda *_: 0.9999
    )  # nothing is as probable
    run_study(replace(STUDY, protocols=("strict",)), data, tmp_path / "out")
    (entry,) = document(tmp_path / "out")["trials"]
    assert entry["decision"]["threshold"] == 0.9999
    assert entry["decision"]["figures"]["recall"]["value"] == 0
    assert entry["decision"]["figures"]["specificity"]["value"] == 1
    assert entry["figures"]["fine-tuned"]["recall"]["value"] == 1


def test_every_trial_is_a_checkpoint_that_gives_its_recorded_predictions(whole, data):
    for name in NAMES:
        folder = whole / "trials" / name
        checkpoint = open_checkpoint(folder)
        spec = checkpoint.spec
        assert spec.name == name.replace("-", "_").replace("1_1_", "1_1_xrays_")
        network = load_network(checkpoint)
        first = rows(folder / "predictions.csv")[0]
        from pipeline.images import read_image

        pixels = (read_image(data / first["file"], SIDE) / 255 - spec.mean) / spec.std
        with torch.no_grad():
            probs = network(torch.from_numpy(pixels).float().permute(2, 0, 1)[None]).softmax(1)[0]
        assert [float(first[label]) for label in spec.labels] == pytest.approx(
            probs.tolist(), abs=2e-6
        )


def test_the_protocols_differ_in_their_images(whole):
    paper, strict = (open_checkpoint(whole / "trials" / name).spec.data for name in NAMES)
    assert paper["images"]["train"] == {"covid19": 15, "non_covid19": 11}
    assert sum(sum(counts.values()) for counts in paper["images"].values()) == 35
    assert sum(sum(counts.values()) for counts in strict["images"].values()) == 40
    assert "left out: 5 non_covid19 of north" in paper["split"]
    assert strict["split"] == "at random by patient, 1 of 4 valid, seed 2"


def test_a_trial_records_its_epochs_times_and_batches(whole):
    its = trial.read_trial(whole / "trials" / NAMES[0])
    history = rows(whole / "trials" / NAMES[0] / "history.csv")
    assert [epoch.batches for epoch in its.history] == [4, 8, 12]  # 26 images by 8
    assert its.batches_per_epoch == 4
    assert [epoch.stage for epoch in its.history] == ["frozen", "fine-tuned", "fine-tuned"]
    for kept, row in zip(its.history, history, strict=True):
        assert kept.valid_loss == float(row["valid_loss"])
        assert kept.accuracy == float(row["accuracy"])
    assert its.stage_s.keys() == {"frozen", "fine-tuned"}
    assert 0 < its.training_s < its.total_s
    assert its.parameters == sum(p.numel() for p in build_network("squeezenet1_1", 2).parameters())
    assert its.initial_weights == "random, as asked for"
    assert its.imagenet is False
    assert its.device == "cpu"
    assert its.checkpoint_sha256 == open_checkpoint(whole / "trials" / NAMES[0]).sha256


def test_figures_of_both_stages_are_those_of_their_predictions(whole, data):
    pool = make_pool(read_dataset(data / "metadata.csv"), "covid19", "xrays")
    for protocol, name in zip(("paper", "strict"), NAMES, strict=True):
        folder = whole / "trials" / name
        patients = [s.patient for s in apply_protocol(pool, protocol, 2, 0.25).dataset.valid]
        figures = trial.read_trial(folder).figures
        for stage, file in (("frozen", trial.FROZEN_FILE), ("fine-tuned", trial.FINAL_FILE)):
            truth, probs = probs_of(folder / file)
            expected = metrics.evaluate(truth, probs, 0, None, patients)
            for figure, found in expected.items():
                assert figures[stage][figure].value == pytest.approx(found.value), (
                    stage,
                    figure,
                )
                assert figures[stage][figure].low == pytest.approx(found.low), (stage, figure)
    within = trial.read_trial(whole / "trials" / NAMES[1]).figures["fine-tuned"]
    assert "auroc_within_north" in within


def test_the_frozen_figures_are_those_of_a_network_that_stops_there(whole, data, tmp_path):
    pool = make_pool(read_dataset(data / "metadata.csv"), "covid19", "xrays")
    dataset = apply_protocol(pool, "paper", 2, 0.25).dataset
    stopped = train_on(
        dataset,
        replace(RECIPE, finetune_epochs=0, calibrate=False),  # what is watched is not yet
        tmp_path / "m",
        name="m",
        positive="covid19",
    )
    _, there = probs_of(stopped / "predictions.csv")
    _, here = probs_of(whole / "trials" / NAMES[0] / trial.FROZEN_FILE)
    assert here == pytest.approx(there, abs=2e-6)
    _, final = probs_of(whole / "trials" / NAMES[0] / trial.FINAL_FILE)
    assert np.abs(final - here).max() > 1e-3


def test_to_be_watched_changes_no_training(whole, data, tmp_path):
    pool = make_pool(read_dataset(data / "metadata.csv"), "covid19", "xrays")
    dataset = apply_protocol(pool, "strict", 2, 0.25).dataset
    alone = train_on(
        dataset, RECIPE, tmp_path / "m", name="squeezenet1_1_xrays_strict_seed2", positive="covid19"
    )
    for file in ("model.safetensors", "predictions.csv", "history.csv", "checkpoint.json"):
        assert (alone / file).read_bytes() == (whole / "trials" / NAMES[1] / file).read_bytes(), (
            file
        )


# --- taken again, or trained again and why


def inodes(out: Path) -> dict[str, int]:
    return {name: (out / "trials" / name / "trial.json").stat().st_ino for name in NAMES}


@pytest.mark.usefixtures("no_pictures")
def test_the_same_request_takes_what_is_finished(out, data, trained, capsys):
    before = inodes(out)
    again = run_study(STUDY, data, out)
    assert trained == []
    assert inodes(out) == before
    assert "2 of 2 trials are finished already" in capsys.readouterr().out
    assert [entry.done.taken for entry in again.trials] == [True, True]


@pytest.mark.usefixtures("no_pictures")
def test_another_width_or_another_target_trains_nothing(out, data, trained):
    asked = replace(STUDY, engine=Engine(workers=2), target_accuracy=0.4)
    again = run_study(asked, data, out)
    assert trained == []
    assert {entry.done.target.accuracy for entry in again.trials} == {0.4}


@pytest.mark.usefixtures("no_pictures")
def test_again_trains_everything_again(out, data, trained):
    again = run_study(replace(STUDY, again=True), data, out)
    assert trained == NAMES
    assert [entry.done.taken for entry in again.trials] == [False, False]


@pytest.mark.usefixtures("no_pictures")
def test_a_changed_recipe_trains_again_and_says_why(out, data, really_trained, capsys):
    run_study(replace(STUDY, config=replace(RECIPE, finetune_lr=0.005)), data, out)
    assert really_trained == NAMES
    assert f"{NAMES[0]}: trained again: finetune_lr was 0.001, is 0.005" in capsys.readouterr().out
    assert open_checkpoint(out / "trials" / NAMES[0]).spec.training["finetune_lr"] == 0.005


@pytest.mark.usefixtures("no_pictures")
def test_another_image_in_the_data_trains_again_what_holds_it(out, data, tmp_path, trained, capsys):
    moved = shutil.copytree(data, tmp_path / "elsewhere" / "xrays")
    run_study(STUDY, moved, out)
    assert trained == []  # the place is not the content
    # One of the five that the paper protocol leaves out.
    shutil.copy(
        moved / "non_covid19/non_covid19-010.jpg", moved / "non_covid19/non_covid19-000.jpg"
    )
    run_study(STUDY, moved, out)
    assert trained == ["squeezenet1_1-strict-seed2"]
    assert "trained again: the images or their split differ" in capsys.readouterr().out


@pytest.mark.usefixtures("no_pictures")
@pytest.mark.parametrize("file", ["model.safetensors", "predictions.csv", "trial.json"])
def test_a_damaged_trial_is_trained_again(out, data, trained, file, capsys):
    path = out / "trials" / NAMES[1] / file
    path.write_bytes(path.read_bytes()[:-9])
    run_study(STUDY, data, out)
    assert trained == [NAMES[1]]
    assert f"{NAMES[1]}: trained again: " in capsys.readouterr().out


def test_other_packages_or_another_recipe_version_are_reported(out, data, monkeypatch):
    (asked,) = collected(replace(STUDY, protocols=("paper",)), data, out)
    assert trial.why_again(asked) == ""
    with monkeypatch.context() as patch:
        patch.setattr(trial, "version", lambda tool: "9" if tool == "fastai" else _version(tool))
        assert trial.why_again(asked).startswith("fastai was ")
        assert trial.why_again(asked).endswith(", is 9")
    monkeypatch.setattr(trial, "RECIPE_VERSION", trial.RECIPE_VERSION + 1)
    assert trial.why_again(asked) == "recipe_version was 2, is 3"


_version = trial.version


def collected(study: Study, data: Path, out: Path) -> list[trial.Trial]:
    """The trials that a study asks for."""
    from pipeline.study import study as module

    pool = make_pool(read_dataset(data / "metadata.csv"), "covid19", "xrays")
    rulings = {
        (protocol, seed): apply_protocol(pool, protocol, seed, 0.25)
        for protocol in study.protocols
        for seed in study.seeds
    }
    return module._trials(study, pool, rulings, out.resolve())


# --- failures and Ctrl-C


@pytest.fixture
def fail_strict(monkeypatch: pytest.MonkeyPatch) -> Callable[[BaseException | None], None]:
    """Make the training of 40 images fail (None: not any more); the other one has 35."""
    from pipeline.training import learner

    fit = learner.fit

    def fail(error: BaseException | None) -> None:
        def failing(network: Any, dataset: Any, *rest: Any) -> Any:
            if error is not None and len(dataset.train) + len(dataset.valid) == 40:
                raise error
            return fit(network, dataset, *rest)

        monkeypatch.setattr("pipeline.training.learner.fit", failing)

    return fail


def test_a_failed_trial_is_listed_and_the_others_go_on(data, tmp_path, fail_strict, no_pictures):
    out = tmp_path / "out"
    fail_strict(ZeroDivisionError("planted"))
    both = replace(STUDY, protocols=("strict", "paper"))
    found = run_study(both, data, out)
    assert [entry.name for entry in found.failed] == [NAMES[1]]
    (entry,) = found.failed
    assert entry.reason.startswith("ZeroDivisionError: planted (more in failures/")
    assert "Traceback" in (out / "failures" / f"{NAMES[1]}.txt").read_text()
    assert sorted(path.name for path in (out / "trials").iterdir()) == [NAMES[0]]
    assert f"- {NAMES[1]}: ZeroDivisionError: planted" in (out / "comparison.md").read_text()
    by_name = {(row["protocol"], row["status"]) for row in rows(out / "comparison.csv")}
    assert by_name == {("paper", "done"), ("strict", "failed")}


@pytest.mark.usefixtures("no_pictures")
def test_what_failed_is_trained_by_the_same_command(out, data, fail_strict, really_trained):
    shutil.rmtree(out / "trials" / NAMES[1])
    fail_strict(BadInput("training diverged"))
    found = run_study(STUDY, data, out)
    (entry,) = found.failed
    assert entry.reason == "training diverged"
    assert really_trained == [NAMES[1]]
    fail_strict(None)
    assert run_study(STUDY, data, out).failed == []
    assert really_trained == [NAMES[1]] * 2


def test_a_failed_trial_is_exit_1(data, tmp_path, fail_strict, no_pictures, capsys):
    fail_strict(RuntimeError("planted"))
    line = command(data, tmp_path / "out")
    assert cli.main(line) == 1
    printed = capsys.readouterr().out
    assert f"FAILED {NAMES[1]}: RuntimeError: planted" in " ".join(printed.split())


def command(data: Path, out: Path, *more: str) -> list[str]:
    return [
        "compare", "--data", str(data), "--out", str(out), "--topologies", "squeezenet1_1",
        "--weights", "none", "--threads", "1", "--side", str(SIDE), "--batch-size", "8",
        "--frozen-epochs", "1", "--finetune-epochs", "2", "--positive", "covid19", *more,
    ]  # fmt: skip


@pytest.mark.usefixtures("no_pictures")
def test_ctrl_c_leaves_what_is_finished_and_the_same_command_goes_on(
    data, tmp_path, fail_strict, capsys, whole
):
    out = tmp_path / "out"
    fail_strict(KeyboardInterrupt())
    assert cli.main(command(data, out)) == 130
    assert "finished trials are kept" in capsys.readouterr().err
    assert [path.name for path in (out / "trials").iterdir()] == [NAMES[0]]
    assert [path.name for path in out.iterdir()] == ["trials"]
    fail_strict(None)
    assert cli.main(command(data, out)) == 0
    assert "1 of 2 trials are finished already" in capsys.readouterr().out
    for name in NAMES:  # and it is as if nothing had happened
        there = whole / "trials" / name / "model.safetensors"
        assert (out / "trials" / name / "model.safetensors").read_bytes() == there.read_bytes()


# --- protocols that cannot be, places that cannot be


@pytest.mark.usefixtures("no_pictures")
def test_without_patients_strict_is_not_run_with_its_reason(image_folder, tmp_path, capsys):
    out = tmp_path / "out"
    assert cli.main(command(image_folder, out)) == 0
    assert "strict: not run: no image names its group" in " ".join(capsys.readouterr().out.split())
    found = document(out)
    status = {ruling["protocol"]: ruling["status"] for ruling in found["protocols"]}
    assert status == {"paper": "done", "strict": "not run"}
    assert "Not run: no image names its group" in (out / "comparison.md").read_text()
    assert ("strict", "not run") in {
        (row["protocol"], row["status"]) for row in rows(out / "comparison.csv")
    }


def test_strict_alone_without_patients_is_exit_2(image_folder, tmp_path, capsys):
    out = tmp_path / "out"
    assert cli.main(command(image_folder, out, "--protocol", "strict")) == 2
    assert "no image names its group" in capsys.readouterr().err
    assert not out.exists()


def test_a_folder_of_something_else_is_refused(data, tmp_path):
    (tmp_path / "thesis.tex").write_text("three years")
    with pytest.raises(BadInput, match=r"holds thesis\.tex, which is not part of a comparison"):
        run_study(STUDY, data, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"topologies": ("lenet",)}, "'lenet' is not one"),
        ({"topologies": ()}, "none is asked for"),
        ({"protocols": ("lenient",)}, "'lenient' is not one"),
        ({"seeds": ()}, "--seeds: at least one is needed"),
        ({"target_accuracy": 0.0}, "--target-accuracy 0.0 is not above 0 and at most 1"),
        ({"target_accuracy": 1.1}, "--target-accuracy 1.1 is not above 0 and at most 1"),
        ({"name": "my study"}, "letters, digits and underscores"),
    ],
)
def test_what_cannot_be_compared_is_refused(changes, message):
    with pytest.raises(BadInput, match=message):
        replace(STUDY, **changes)


def test_without_fastai_the_command_that_installs_it_is_named(data, tmp_path, monkeypatch):
    monkeypatch.setattr(errors, "find_spec", lambda name: None if name == "fastai" else object())
    with pytest.raises(MissingDependency, match=r"comparing topologies needs fastai"):
        run_study(STUDY, data, tmp_path / "out")


# --- pure figures


def epochs(stage: str, *values: tuple[float, float]) -> list[TrialEpoch]:
    return [TrialEpoch(stage, 0, None, loss, accuracy, None, None) for loss, accuracy in values]


def test_the_target_is_reached_at_the_first_epoch_of_either_stage():
    history = [*epochs("frozen", (0.5, 0.7), (0.4, 0.9)), *epochs("fine-tuned", (0.3, 1.0))]
    history = [replace(epoch, batches=7 * n) for n, epoch in enumerate(history, start=1)]
    assert trial.reached(history, 0.9) == AccuracyTarget(0.9, 2, 14)
    assert trial.reached(history, 1.0) == AccuracyTarget(1.0, 3, 21)
    assert trial.reached(history[:2], 1.0) == AccuracyTarget(1.0, None, None)


def test_the_variance_does_not_count_the_step_between_the_stages():
    history = [*epochs("frozen", (1.0, 0), (1.2, 0)), *epochs("fine-tuned", (0.1, 0), (0.3, 0))]
    found = trial.loss_variance(history)
    assert found == pytest.approx({"frozen": 0.01, "fine-tuned": 0.01, "within_stages": 0.01})
    longer = [*history, *epochs("fine-tuned", (0.2, 0), (0.2, 0))]
    assert trial.loss_variance(longer)["within_stages"] == pytest.approx((0.02 + 0.02) / 6)


def test_one_epoch_has_no_variance():
    one = [*epochs("frozen", (1.0, 0)), *epochs("fine-tuned", (0.1, 0))]
    assert set(trial.loss_variance(one).values()) == {None}
    more = [*one, *epochs("fine-tuned", (0.3, 0))]
    assert trial.loss_variance(more)["within_stages"] == pytest.approx(0.01)


# --- the same on any engine


@pytest.mark.ci("trains in processes of joblib and of Dask")
@pytest.mark.parametrize(
    "engine",
    [
        ("joblib", 2),
        pytest.param(
            ("dask", 2),
            marks=pytest.mark.skipif(
                bool(errors.missing_modules(("distributed",))),
                reason="distributed is not installed (the extra cluster)",
            ),
        ),
    ],
)
def test_two_workers_train_what_one_trains(engine, whole, data, tmp_path, monkeypatch):
    monkeypatch.undo()  # the block of conftest: a local cluster uses sockets of this machine
    found = run_study(replace(STUDY, engine=Engine(*engine)), data, tmp_path / "out")
    assert found.failed == []
    for name in NAMES:
        here, there = (place / "trials" / name for place in (tmp_path / "out", whole))
        for file in FILES:
            if file not in ("curves.png", "trial.json"):  # times are in the latter
                assert (here / file).read_bytes() == (there / file).read_bytes(), (name, file)
        figures = [trial.read_trial(place).figures for place in (here, there)]
        assert figures[0] == figures[1]


@pytest.mark.ci("trains in processes of joblib and of Dask")
def test_a_worker_that_is_killed_fails_its_trial_alone(data, tmp_path, monkeypatch, no_pictures):
    monkeypatch.setattr("pipeline.study.study.run_trial", _die_with_strict)
    found = run_study(
        replace(STUDY, engine=Engine(workers=2), seeds=(2, 3)), data, tmp_path / "out"
    )
    done = [entry.name for entry in found.trials if entry.status == "done"]
    assert "squeezenet1_1-paper-seed3" in done or "squeezenet1_1-paper-seed2" in done
    assert "squeezenet1_1-strict-seed2" in [entry.name for entry in found.failed]
    for entry in found.trials:
        assert entry.status == "done" or "the worker process ended" in entry.reason
    assert [path.name for path in (tmp_path / "out" / "trials").glob(".*")] == []


def _die_with_strict(asked: trial.Trial) -> trial.Failure | None:
    if asked.protocol == "strict":
        asked.progress.write_text("1")
        os._exit(9)
    return trial.run_trial(asked)
