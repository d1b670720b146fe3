"""`explain` names the place of a fault; where that is, the two networks tell."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn
from torchvision.models.shufflenetv2 import ShuffleNetV2

from benchmarks.cli.main import main
from benchmarks.faults import document
from benchmarks.faults.bench import Artifact, Bench
from benchmarks.faults.explained import ExplainedCell, explained, planted_at
from benchmarks.faults.fault import Fault
from benchmarks.faults.planted import structure, weights
from benchmarks.faults.planted.structure import in_structure
from benchmarks.faults.table import chosen
from export.formats.register import FORMATS
from pipeline.models.networks import Network
from tests.benchmarks.faults.conftest import bench_of
from tests.export.conftest import Model

WEIGHT, CONCAT = "one weight larger by a half", "branches of one concat swapped"
RELU, OTHER = "one ReLU removed", "one activation other than ReLU removed"
SCALE = "a parameter outside of all layers a hundredth larger"
PLACES = {
    "shuffle": {WEIGHT: "body.0.0", CONCAT: "body.2.0", RELU: "body.0.2"},
    "layer norm": {WEIGHT: "body.0.0", SCALE: "body.1.0", OTHER: "body.1.0.block.4"},
}
CASES = [(kind, fault) for kind, faults in PLACES.items() for fault in faults]


def shuffle() -> nn.Module:
    """Depthwise convolutions in branches that are put together, and shuffled."""
    whole = ShuffleNetV2([1, 1, 1], [8, 16, 24, 32, 48])
    stages = (whole.stage2, whole.stage3, whole.stage4)
    return Network(nn.Sequential(whole.conv1, whole.maxpool, *stages, whole.conv5), 48, 2)


@pytest.fixture(scope="session")
def bench(
    kinds: Callable[[str], Bench], tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str], Bench]:
    torch.manual_seed(0)
    made = bench_of(shuffle(), tmp_path_factory.mktemp("shuffle"))
    return lambda kind: made if kind == "shuffle" else kinds(kind)


def fault_named(name: str) -> Fault:
    ((fault,), _) = chosen([name])
    assert isinstance(fault, Fault)
    return fault


@pytest.mark.ci("a file is converted for each fault")
@pytest.mark.parametrize("artifact", [(name, "fp32") for name in FORMATS] + [("coreml", "fp16")])
@pytest.mark.parametrize(("kind", "fault"), CASES)
def test_the_place_of_a_fault_is_named(
    kind: str, fault: str, artifact: Artifact, bench: Callable[[str], Bench]
) -> None:
    cell = explained(fault_named(fault), bench(kind), artifact)
    if fault == SCALE and artifact[1] == "fp16":
        assert cell.excuse == "rounding may change outputs as much"
        return
    assert PLACES[kind][fault] in cell.places
    assert cell.caught_by
    assert cell.named, (cell.places, cell.sentences)


def test_where_a_fault_is_does_not_depend_on_what_is_said_of_it() -> None:
    def changed(change: Callable[[nn.Module], object]) -> nn.Module:
        other = copy.deepcopy(sound)
        with torch.no_grad():
            return change(other) or other  # type: ignore[return-value]

    torch.manual_seed(0)
    sound = shuffle().eval()
    assert planted_at(sound, changed(lambda network: None)) == set()
    assert planted_at(sound, changed(weights.add_to_one_weight)) == {"body.0.0"}
    assert planted_at(sound, changed(weights.change_epsilon)) == {"body.5.1"}
    without = planted_at(sound, changed(in_structure(structure.drop_relu)))
    assert {"body.0.1", "body.0.2"} <= without
    assert "body.2.0" in planted_at(sound, changed(in_structure(structure.swap_branches)))


def test_the_command_says_where_and_which_places_were_not_named(
    model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(document.run_explained, "__defaults__", ([("onnx", "fp32")],))
    written = tmp_path / "explained.json"
    arguments = ["faults", "--explain", "--checkpoint", str(model.folder), "--side", "48"]
    one, none = "one layer times 1.01", "variance of a batch norm a tenth larger"
    assert main([*arguments, "--only", one, none, "--json", str(written)]) == 0
    said = capfd.readouterr().out
    assert "body.9.squeeze" in said
    assert "NOT NAMED" not in said
    found = json.loads(written.read_text())
    (row,) = found["explained"]
    assert (row["fault"], row["artifact"], row["named"]) == (one, ["onnx", "fp32"], True)
    assert found["not_planted"][0]["reason"] == "the network has no batch norm"


def test_a_place_is_named_by_its_whole_name_in_what_is_said_first() -> None:
    def named(*sentences: str) -> bool:
        return ExplainedCell("a fault", ("onnx", "fp32"), (), ("body.1",), sentences).named

    assert named("first difference: in body.1 (weights)")
    assert named("it differs", "body.1.weight: 1 of 9 values are not the checkpoint's")
    assert named("cat after body.1: cat takes its inputs in another order")
    assert not named()
    assert not named("first difference: in body.10 (weights)", "head.body.1: no relu")
    assert not named("it differs", "body.2: no relu", "body.1: no relu")


@pytest.mark.parametrize(("caught", "said"), [((), "NOT CAUGHT"), (("weights",), "NOT NAMED")])
def test_what_is_not_caught_or_not_named_is_exit_1(
    caught: tuple[str, ...],
    said: str,
    model: Model,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    sentence = "body.2: no relu" if caught else "body.1: no relu"
    cell = ExplainedCell("one ReLU removed", ("onnx", "fp32"), caught, ("body.1",), (sentence,))
    monkeypatch.setattr(document, "run_explained", lambda *_: [cell])
    assert main(["faults", "--explain", "--checkpoint", str(model.folder), "--side", "48"]) == 1
    assert f"{said}: one ReLU removed, onnx fp32" in capsys.readouterr().out


def test_where_nothing_is_planted_nothing_is_proven(
    model: Model, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["faults", "--explain", "--checkpoint", str(model.folder), "--side", "48", "--only"]
    assert main([*arguments, "variance of a batch norm a tenth larger"]) == 2
    assert "nothing was planted: the network has no batch norm" in capsys.readouterr().err
    assert main([*arguments, "Manifest.json emptied"]) == 2
    assert "none of these faults is in the network itself" in capsys.readouterr().err


def test_a_fault_that_does_not_exist_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["faults", "--only", "one ReLU to many"]) == 2
    assert "no fault 'one ReLU to many'; docs/faults.md" in capsys.readouterr().err
