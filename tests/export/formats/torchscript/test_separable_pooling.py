"""Pools in two steps: the same numbers, and only where this is possible."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from export.deploy.graph import DeployGraph, example_input
from export.formats.torchscript.separable_pooling import RowsThenColumns, with_split_pools
from tests.conftest import make_spec

SIDE = 33


class Pooled(nn.Module):
    """A network of one pool whose logits distinguish all its places."""

    def __init__(self, pool: nn.Module) -> None:
        super().__init__()
        self.pool = pool

    def forward(self, pixels: Tensor) -> Tensor:
        places = self.pool(pixels)[:, 0].flatten(1)
        return torch.stack([(places * torch.linspace(-1, 1, places.shape[1])).sum(1)] * 2, dim=1)


def split(pool: nn.Module, side: int = SIDE) -> tuple[nn.Module, nn.Module]:
    """The pool, and its form in a deploy graph of that input size."""
    spec = make_spec(side=side)
    made = with_split_pools(DeployGraph(Pooled(pool), spec).eval(), spec)
    found = made.pixels.network.get_submodule("pool")
    return pool, found


@pytest.mark.parametrize("channels_last", [False, True])
@pytest.mark.parametrize(
    ("window", "stride", "ceil_mode", "side"),
    [
        (3, 2, True, 33),
        (3, 2, False, 33),
        (3, 2, False, 34),  # a row and a column are left over
        (2, 2, False, 33),
        (2, 2, True, 34),
        (3, 3, True, 33),
        (2, 1, True, 5),
        (4, 1, False, 4),  # one window
    ],
)
def test_a_split_pool_gives_the_same_numbers(
    window: int, stride: int, ceil_mode: bool, side: int, channels_last: bool
) -> None:
    pool, found = split(nn.MaxPool2d(window, stride, ceil_mode=ceil_mode), max(side, 32))
    if side < 32:
        found = RowsThenColumns(nn.MaxPool2d(window, stride, ceil_mode=ceil_mode), side, side)
    assert isinstance(found, RowsThenColumns)
    places = torch.randn(2, 5, side, side, generator=torch.Generator().manual_seed(0))
    if channels_last:
        places = places.contiguous(memory_format=torch.channels_last)
    assert torch.equal(found(places), pool(places))


def test_height_and_width_are_each_their_own() -> None:
    pool = nn.MaxPool2d(3, 2)
    places = torch.randn(1, 2, 33, 38)
    assert torch.equal(RowsThenColumns(pool, 33, 38)(places), pool(places))


def test_what_is_pooled_keeps_its_numbers() -> None:
    places = torch.randn(1, 2, SIDE, SIDE)
    before = places.clone()
    RowsThenColumns(nn.MaxPool2d(3, 2), SIDE, SIDE)(places)
    assert torch.equal(places, before)


def test_what_is_not_a_number_stays_so() -> None:
    places = torch.zeros(1, 1, 5, 5)
    places[0, 0, 2, 2] = float("nan")
    assert RowsThenColumns(nn.MaxPool2d(3, 2), 5, 5)(places).isnan().all()


@pytest.mark.parametrize(
    "pool",
    [
        pytest.param(nn.MaxPool2d(3, 2, padding=1), id="padded"),
        pytest.param(nn.MaxPool2d(3, 2, dilation=2), id="dilated"),
        pytest.param(nn.MaxPool2d((3, 2), 2), id="not square"),
        pytest.param(nn.MaxPool2d(2, 2, ceil_mode=True), id="the last window sticks out"),
        pytest.param(nn.MaxPool2d(1, 2), id="of single places"),
        pytest.param(nn.AvgPool2d(2), id="of averages"),
    ],
)
def test_other_pools_stay_whole(pool: nn.Module) -> None:
    before, found = split(pool)
    assert type(found) is type(before)


def test_the_graph_that_came_in_is_left_as_it_was() -> None:
    spec = make_spec(side=SIDE)
    graph = DeployGraph(Pooled(nn.MaxPool2d(3, 2)), spec).eval()
    made = with_split_pools(graph, spec)
    assert isinstance(graph.pixels.network.get_submodule("pool"), nn.MaxPool2d)
    assert torch.equal(made(example_input(spec)), graph(example_input(spec)))
