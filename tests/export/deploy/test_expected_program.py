"""What a file must compute: captured once for all variants of a network, each with its numbers."""

from __future__ import annotations

import copy
import pickle

import pytest
import torch
from torch import fx, nn

from export.deploy import expected_program as module
from export.deploy.expected_program import Captures, expected_program, with_outputs
from export.deploy.graph import PixelGraph
from pipeline.program.comparison import compare
from pipeline.program.operations import operation_of
from pipeline.resize.notation import resize_by
from tests.conftest import make_spec
from tests.pipeline.program.small_networks import Residual, drawn

SIDE = (16, 24)
SPEC = make_spec(resize=resize_by("squish", (24, 16)))


class Mapped(nn.Module):
    """Logits, and the map that they are the mean of."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 5, 3)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        found = self.conv(x)
        return found.mean((2, 3)), found


def graph(network: nn.Module) -> PixelGraph:
    return PixelGraph(network, SPEC).eval()


@pytest.fixture
def captured(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The networks that were captured."""
    names: list[str] = []

    def noted(given: PixelGraph, side: tuple[int, int]) -> object:
        names.append(type(given.network).__name__)
        return capture(given, side)

    capture = module.capture
    monkeypatch.setattr(module, "capture", noted)
    return names


def test_networks_of_the_same_modules_are_captured_once_with_their_own_numbers(
    captured: list[str],
) -> None:
    first, second = graph(drawn(Residual())), graph(drawn(Residual(), seed=1))
    captures = Captures()
    expected_program(first, SIDE, captures)
    given = pickle.loads(pickle.dumps(captures))  # noqa: S301 - as another process is given it
    found = expected_program(second, SIDE, given)
    assert captured == ["Residual"]
    again = expected_program(second, SIDE, Captures())
    assert compare(again, found) == []
    x = torch.rand(2, 3, *SIDE) * 255
    torch.testing.assert_close(found.network(x), second(x))
    assert found.sources == again.sources


def test_another_module_a_shape_or_a_side_is_captured_anew(captured: list[str]) -> None:
    captures, network = Captures(), drawn(Residual())
    other = copy.deepcopy(network)
    other.relu = nn.ReLU6()
    for made, side in ((network, SIDE), (other, SIDE), (network, (16, 16)), (network, SIDE)):
        captures.of(graph(made), side)
    assert len(captured) == 3


def test_graphs_that_call_the_same_modules_in_another_order_are_captured_each(
    captured: list[str],
) -> None:
    network = nn.Sequential(nn.Conv2d(3, 3, 1), nn.Conv2d(3, 3, 1), nn.AvgPool2d(16), nn.Flatten())
    one, other = fx.symbolic_trace(drawn(network)), fx.symbolic_trace(drawn(network))
    first, second, *_ = (node for node in other.graph.nodes if node.op == "call_module")
    first.target, second.target = second.target, first.target
    other.recompile()
    captures = Captures()
    programs = [captures.of(graph(made), (16, 16)) for made in (one, other, one)]
    assert len(captured) == 2
    assert compare(programs[0], programs[1]) != []
    assert compare(programs[0], programs[2]) == []


def test_a_program_may_be_asked_for_its_first_output_alone() -> None:
    whole = expected_program(graph(drawn(Mapped())), SIDE, Captures())
    assert len(whole.outputs()) == 2
    alone = with_outputs(whole, 1)
    assert [operation_of(node) for node in alone.outputs()] == ["softmax.int"]
    x = torch.rand(1, 3, *SIDE)
    torch.testing.assert_close(alone.network(x), whole.network(x)[0])
    assert with_outputs(whole, 2) is whole
