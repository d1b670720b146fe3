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
from benchmarks.faults.explained import explained, planted_at
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


def test_a_fault_that_does_not_exist_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["faults", "--only", "one ReLU to many"]) == 2
    assert "no fault 'one ReLU to many'; docs/faults.md" in capsys.readouterr().err
