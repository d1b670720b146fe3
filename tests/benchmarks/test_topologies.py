from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from benchmarks import process_tree, topologies
from benchmarks.cli import main
from benchmarks.drawn_network import drawn_network
from benchmarks.process_tree import run_watched, tree_mib
from export.deploy.graph import DeployGraph, reference_probs
from export.images.stress_images import stress_images
from export.parity.check import ParityResult
from export.parity.evidence import EvidenceAgreement
from export.report.document import VerdictRow, report_of
from export.report.report import write_report
from tests.conftest import make_spec, write_network
from tests.export.conftest import tree

pytestmark = pytest.mark.slow("starts processes, and draws whole topologies")

ROOT = Path(__file__).parents[2]
HOLD = (
    "import pathlib, time\nheld = bytearray(b'x' * (%d << 20))\n"
    "while not pathlib.Path(%r).exists(): time.sleep(0.01)"
)
linux = pytest.mark.skipif(sys.platform != "linux", reason="/proc is Linux's")


def test_memory_of_a_process_and_all_below_it_adds_up_and_nobody_elses(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    below = {10: 1, 11: 10, 12: 11, 20: 1}  # process -> parent
    for number, parent in below.items():
        folder = tmp_path / str(number)
        folder.mkdir()
        (folder / "stat").write_text(f"{number} (a ) name) S {parent} 0 0")
        pages = f"Rss: 999999 kB\nPss: {number * 1024} kB\nPss_Dirty: 999999 kB\n"
        (folder / "smaps_rollup").write_text(pages)
    (tmp_path / "13").mkdir()  # ended between two readings
    monkeypatch.setattr(process_tree, "PROC", tmp_path)
    assert tree_mib(10) == 10 + 11 + 12
    assert tree_mib(20) == 20


@linux
def test_the_peak_is_of_a_child_and_its_child(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both hold what they have until it was seen."""
    seen = tmp_path / "seen"

    def look(root: int) -> float:
        found = tree_mib(root)
        if found > 140:
            seen.touch()
        return found

    monkeypatch.setattr(process_tree, "tree_mib", look)
    below = f"subprocess.run([sys.executable, '-c', {HOLD % (80, str(seen))!r}])"
    child = f"import subprocess, sys; held = bytearray(b'x' * (60 << 20)); {below}"
    used = run_watched([sys.executable, "-c", child], tmp_path / "log", dict(os.environ))
    assert used.code == 0
    assert used.peak_mib > 140
    assert used.seconds > 0
    assert used.cpu_seconds > 0


@linux
def test_what_a_command_prints_and_its_exit_code_are_kept(tmp_path: Path) -> None:
    command = [sys.executable, "-c", "print('said'); raise SystemExit(3)"]
    used = run_watched(command, tmp_path / "log", dict(os.environ))
    assert (used.code, used.output) == (3, "said\n")


@linux
def test_a_process_that_is_gone_takes_nothing() -> None:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    assert tree_mib(process.pid) == 0


@pytest.mark.parametrize("architecture", ["squeezenet1_1", "resnet34"])
def test_outputs_of_random_weights_vary_and_are_not_saturated(architecture: str) -> None:
    spec = make_spec(architecture=architecture)
    pixels = np.stack(list(stress_images(spec.side).values()))
    probs = reference_probs(DeployGraph(drawn_network(spec), spec).eval(), pixels)[:, 0]
    assert probs.std() > 0.1
    assert np.median(np.abs(probs - 0.5)) < 0.45


def test_one_seed_draws_one_network() -> None:
    first, second, other = (drawn_network(make_spec(), seed).state_dict() for seed in (0, 0, 1))
    assert all(torch.equal(first[key], second[key]) for key in first)
    assert not torch.equal(first["body.0.weight"], other["body.0.weight"])


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--only", "resnet35"], "no architecture 'resnet35'"),
        (["--side", "0"], "at least 1"),
        (["--data", "xrays"], "--data needs --checkpoints"),
        (["--checkpoints", "nowhere"], "nowhere"),
        (["--only", "resnet34", "--checkpoints", "nowhere"], "--only chooses among drawn networks"),
    ],
)
def test_a_bad_request_is_refused_before_anything_is_written(
    arguments: list[str], told: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["topologies", *arguments, "--out", str(tmp_path / "out")]) == 2
    assert told in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def leave_report(command: Any) -> None:
    """What `export all` would leave, of one artifact."""
    evidence = EvidenceAgreement(2e-6, (1, 2, 3, 3), "hard/red")
    parity = ParityResult("pass", images=1, max_abs_diff=1e-6, evidence=evidence)
    build = Path(command[command.index("--build") + 1])
    build.mkdir()
    rows = [VerdictRow("onnx", "fp32", "", parity, size_bytes=5)]
    write_report(build / "report.json", report_of("all", rows, "1 image"))


def test_an_export_without_a_report_is_a_failure_and_the_others_are_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    ran: list[str] = []

    def run(command: Any, log: Path, variables: Any) -> Any:
        ran.append(log.parent.name)
        if len(ran) > 1:
            leave_report(command)
        return SimpleNamespace(code=int(len(ran) == 1), seconds=1.0, cpu_seconds=1.0, peak_mib=9.0)

    monkeypatch.setattr(topologies, "run_watched", run)
    monkeypatch.chdir(ROOT)
    options = ["--only", "squeezenet1_1,resnet34", "--side", "32", "--images", "2"]
    assert main(["topologies", *options, "--out", str(tmp_path)]) == 1
    assert ran == ["squeezenet1_1", "resnet34"]
    assert "no report, exit code 1" in capsys.readouterr().out
    rows = json.loads((tmp_path / "topologies.json").read_text())["rows"]
    assert [row["verdicts"] for row in rows] == [{}, {"pass": 1}]
    assert rows[1]["artifacts"][0]["size_bytes"] == 5
    released = ROOT / "docs" / "results" / "topologies.json"
    (row, *_) = json.loads(released.read_text(encoding="utf-8"))["rows"]
    assert rows[1].keys() == row.keys()
    assert rows[1]["artifacts"][0].keys() == row["artifacts"][0].keys()


def test_trained_checkpoints_are_exported_as_they_are_with_their_own_images(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folders = [write_network(tmp_path / name, make_spec(), seed=i) for i, name in enumerate("ab")]
    before = [tree(folder) for folder in folders]
    asked: list[Any] = []

    def run(command: Any, log: Path, variables: Any) -> Any:
        asked.append(command)
        leave_report(command)
        return SimpleNamespace(code=0, seconds=1.0, cpu_seconds=1.0, peak_mib=9.0)

    monkeypatch.setattr(topologies, "run_watched", run)
    out, data = tmp_path / "out", tmp_path / "xrays"
    options = ["--checkpoints", *map(str, folders), "--data", str(data), "--out", str(out)]
    assert main(["topologies", *options]) == 0
    document = json.loads((out / "topologies.json").read_text())
    assert [row["name"] for row in document["rows"]] == ["a", "b"]
    assert {row["side"] for row in document["rows"]} == {make_spec().side}
    assert document["settings"]["weights"] == "trained"
    assert document["settings"]["data"] == "xrays"
    assert document["rows"][0]["artifacts"][0]["evidence_diff"] == 2e-6
    for command, folder in zip(asked, folders, strict=True):
        assert command[command.index("--checkpoint") + 1] == folder
        assert command[command.index("--data") + 1] == data
    assert [tree(folder) for folder in folders] == before


def test_two_checkpoints_of_one_name_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folders = [write_network(tmp_path / name / "same", make_spec()) for name in ("a", "b")]
    assert main(["topologies", "--checkpoints", *map(str, folders), "--out", str(tmp_path)]) == 2
    assert "two checkpoints are named same" in capsys.readouterr().err


def test_a_checkpoint_that_would_be_replaced_is_refused_and_stays(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = write_network(tmp_path / "topologies" / "mine", make_spec())
    before = tree(folder)
    assert main(["topologies", "--checkpoints", str(folder), "--out", str(tmp_path)]) == 2
    assert "which is replaced; give another --out" in capsys.readouterr().err
    assert tree(folder) == before
