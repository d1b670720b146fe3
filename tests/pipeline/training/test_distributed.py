from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from pipeline.checkpoint import open_checkpoint
from pipeline.data.dataset import read_dataset
from pipeline.errors import BadInput, MissingDependency
from pipeline.models.networks import load_network
from pipeline.shortcuts.inference import read_out
from pipeline.training.distributed import (
    alone,
    check_launch,
    first_alone,
    first_until_done,
    process_count,
    rank,
    share_of,
)
from tests.conftest import LABELS, write_images
from tests.pipeline.training.trained_folder import FILES, rows

ROOT = Path(__file__).parents[3]
TORCHRUN = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
ACCELERATE = [
    *("-m", "accelerate.commands.launch", "--multi_gpu", "--num_processes", "2"),
    *("--num_machines", "1", "--main_process_port", "0"),
]
needs_accelerate = pytest.mark.skipif(
    find_spec("accelerate") is None, reason="accelerate is not installed (extra `distributed`)"
)


@pytest.fixture(autouse=True)
def _not_launched(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("WORLD_SIZE", "RANK", "MASTER_ADDR", "ACCELERATE_MIXED_PRECISION"):
        monkeypatch.delenv(name, raising=False)


def run(*arguments: object) -> subprocess.CompletedProcess[str]:
    """Python with these arguments, at the repository's root."""
    return subprocess.run(
        [sys.executable, *map(str, arguments)],
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )


# --- the shares


def test_the_shares_of_all_processes_are_the_batches_of_one():
    order = list(range(100, 132))
    shares = [share_of(order, 8, rank, 4) for rank in range(4)]
    for step in range(4):
        together = [image for share in shares for image in share[2 * step : 2 * step + 2]]
        assert together == order[8 * step : 8 * step + 8]


@pytest.mark.parametrize(("images", "count"), [(27, 2), (9, 4), (1, 4), (8, 1), (16, 8)])
def test_every_image_is_someones_and_all_shares_are_of_one_size(images, count):
    order = list(np.random.default_rng(0).permutation(images))
    shares = [share_of(order, 8, rank, count) for rank in range(count)]
    assert {image for share in shares for image in share} == set(range(images))
    assert len({len(share) for share in shares}) == 1
    assert sum(map(len, shares)) - images < count  # no more than needed is seen twice


# --- the launch


def launched(monkeypatch: pytest.MonkeyPatch, environment: Mapping[str, str]) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)


def test_without_a_launcher_one_process_trains():
    assert (process_count(), rank()) == (1, 0)
    check_launch(7)
    with first_alone():
        pass


@pytest.mark.parametrize(("batch", "count", "way_out"), [(7, 2, 8), (16, 3, 15), (1, 4, 4)])
def test_a_batch_that_cannot_be_shared_evenly_is_refused(monkeypatch, batch, count, way_out):
    monkeypatch.setattr("pipeline.training.distributed.require", lambda *_, what: None)
    launched(monkeypatch, {"WORLD_SIZE": str(count), "RANK": "0"})
    with pytest.raises(BadInput, match=f"by {count} processes; give --batch-size {way_out}$"):
        check_launch(batch)
    check_launch(way_out)


def test_a_launcher_that_started_one_process_of_several_is_found_out(monkeypatch):
    launched(monkeypatch, {"ACCELERATE_MIXED_PRECISION": "no", "MASTER_ADDR": "127.0.0.1"})
    with pytest.raises(BadInput, match=r"has started one .* use: accelerate launch --multi_gpu"):
        check_launch(16)


def test_several_processes_need_accelerate(monkeypatch):
    monkeypatch.setattr("pipeline.errors.missing_modules", lambda _: ["accelerate"])
    launched(monkeypatch, {"WORLD_SIZE": "2", "RANK": "0"})
    with pytest.raises(MissingDependency, match=r"needs accelerate, .*\.\[distributed\]"):
        check_launch(16)


def test_alone_hides_the_other_processes_for_a_while(monkeypatch):
    launched(monkeypatch, {"WORLD_SIZE": "2", "RANK": "1"})
    with alone():
        assert (process_count(), rank()) == (1, 0)
    assert (process_count(), rank()) == (2, 1)


@pytest.mark.parametrize(("number", "order"), [("0", ["work", "wait"]), ("1", ["wait", "work"])])
def test_the_first_process_goes_ahead_where_only_one_may(monkeypatch, number, order):
    launched(monkeypatch, {"WORLD_SIZE": "2", "RANK": number})
    done: list[str] = []
    monkeypatch.setattr("pipeline.training.distributed._wait_for_all", lambda: done.append("wait"))
    with first_alone():
        done.append("work")
    assert done == order


@pytest.mark.parametrize(("number", "is_first"), [("0", True), ("1", False)])
def test_all_wait_until_the_first_process_is_done(monkeypatch, number, is_first):
    launched(monkeypatch, {"WORLD_SIZE": "2", "RANK": number})
    done: list[str] = []
    monkeypatch.setattr("pipeline.training.distributed._wait_for_all", lambda: done.append("wait"))
    with first_until_done() as first:
        done.append(f"{first}")
    assert done == [str(is_first), "wait"]


# --- two processes


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """26 and 20 images: two batches of validation, and a last one of training with two images."""
    root = tmp_path_factory.mktemp("data") / "xrays"
    for split, count, seed in (("train", 13, 1), ("valid", 10, 2)):
        for label in LABELS:
            write_images(root / split, label, count, seed)
    return root


@pytest.fixture(scope="module")
def fits(data: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """What each process has after a training by one and by two, without anything random."""
    folders = {}
    for name, launcher in (("one", []), ("two", TORCHRUN)):
        folders[name] = tmp_path_factory.mktemp(name)
        done = run(*launcher, "-m", "tests.pipeline.shared_fit", data, folders[name])
        assert done.returncode == 0, done.stderr
    return folders


@needs_accelerate
@pytest.mark.ci("trains by two processes")
def test_two_processes_compute_what_one_does(fits):
    assert sorted(path.name for path in fits["two"].glob("*.safetensors")) == [
        "0.safetensors",
        "1.safetensors",
    ]
    one, two = (load_file(fits[name] / "0.safetensors") for name in ("one", "two"))
    # Twelve steps, the same images in each: sums are rounded in another order, no more.
    assert max(np.abs(one[name] - two[name]).max() for name in one) < 1e-5
    figures = [np.load(fits[name] / "0.npz") for name in ("one", "two")]
    for name in ("probs", "truth", "losses"):
        assert figures[0][name].shape == figures[1][name].shape, name
        assert figures[1][name] == pytest.approx(figures[0][name], abs=1e-4), name


@needs_accelerate
@pytest.mark.ci("trains by two processes")
def test_both_processes_end_with_the_same_model_and_the_same_figures(fits):
    first, second = (load_file(fits["two"] / f"{rank}.safetensors") for rank in (0, 1))
    assert all(np.array_equal(first[name], second[name]) for name in first)
    figures = [np.load(fits["two"] / f"{rank}.npz") for rank in (0, 1)]
    assert all(np.array_equal(figures[0][name], figures[1][name]) for name in figures[0])


@needs_accelerate
@pytest.mark.ci("trains by two processes")
def test_what_is_random_differs_between_the_processes(fits):
    draws = [(fits["two"] / f"{rank}.draw").read_text() for rank in (0, 1)]
    assert draws[0] != draws[1]


def train_by_two(out: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    options = "--side 64 --batch-size 6 --frozen-epochs 1 --finetune-epochs 1 --threads 1"
    return run(
        *ACCELERATE,
        *("-m", "pipeline", "train", "--weights", "none", *options.split()),
        *("--out", out, *arguments),
    )


@needs_accelerate
@pytest.mark.ci("trains twice by two processes")
def test_a_whole_training_by_two_processes_is_reported_and_written_once(tmp_path):
    for split, count, seed in (("train", 13, 1), ("valid", 7, 2)):
        for label in LABELS:
            write_images(tmp_path / "x" / split, label, count, seed)
    write_images(tmp_path / "x" / "train", LABELS[0], 14, seed=3)  # 27: cannot be shared evenly
    outs = [tmp_path / "outs" / name for name in ("first", "again")]
    for out in outs:
        done = train_by_two(out, "--data", tmp_path / "x")
        assert done.returncode == 0, done.stderr
        for said in ("train: 14 covid19, 13 non_covid19", "what it could score by", "\nnext: "):
            assert done.stdout.count(said) == 1, said
    assert sorted(path.name for path in outs[0].parent.iterdir()) == ["again", "first"]
    assert sorted(path.name for path in outs[0].iterdir()) == FILES
    predictions = rows(outs[0] / "predictions.csv")
    spec, valid = open_checkpoint(outs[0]).spec, read_dataset(tmp_path / "x").valid
    assert [row["file"] for row in predictions] == [sample.file for sample in valid]
    probs = [[float(row[label]) for label in spec.labels] for row in predictions]
    answers = read_out(load_network(open_checkpoint(outs[0])), valid, spec).probs
    assert probs == pytest.approx(answers, abs=1e-5)
    assert len(rows(outs[0] / "history.csv")) == 2
    first, again = (open_checkpoint(out).weights() for out in outs)
    assert all(bool((first[name] == again[name]).all()) for name in first)  # the seed is in charge
    assert spec.metrics == open_checkpoint(outs[1]).spec.metrics


@needs_accelerate
@pytest.mark.ci("starts two processes that train")
def test_if_one_process_fails_all_end_and_nothing_is_left(data, tmp_path):
    (tmp_path / "place").mkdir()
    done = run(
        *TORCHRUN,
        *("-m", "tests.pipeline.failing_train", "train", "--data", data, "--side", "64"),
        *("--weights", "none", "--preset", "quick", "--out", tmp_path / "place" / "out"),
    )
    assert done.returncode != 0
    assert "error: process 1 of 2: the disk of process 1 is gone" in done.stderr
    assert "checkpoint:" not in done.stdout
    assert list((tmp_path / "place").iterdir()) == []
