"""A tensor that is changed in place is read as changed, under each of its names."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import pytest
import torch
from torch import Tensor, fx, nn
from torch.nn import functional as F

from pipeline.program.in_place import write_beside
from tests.pipeline.program.small_networks import SIDE, Headed, drawn, pixels, program_of


def activation(x: Tensor) -> Tensor:
    return F.relu_(x)


def read_before_and_after(x: Tensor) -> Tensor:
    before = x * 2
    F.relu_(x)
    return x + before


def the_old_name_read_afterwards(x: Tensor) -> Tensor:
    y = F.hardtanh_(x, -0.5, 0.5)
    y += x
    return F.silu(x, inplace=True) + y


def sum_with_a_shortcut(x: Tensor) -> Tensor:
    y = torch.sigmoid(x)
    y += x
    return F.relu_(y).mul_(3)


def view_read_before(x: Tensor) -> Tensor:
    rows = x.transpose(2, 3).mean(dim=3, keepdim=True)
    return F.relu_(x) + rows.transpose(2, 3)


def view_changed_last(x: Tensor) -> Tensor:
    return (x * 1).permute(0, 2, 3, 1).add_(0.25).permute(0, 3, 1, 2)


def nothing_dropped(x: Tensor) -> Tensor:
    return F.dropout(F.dropout(x, 0.5, False), 0.5, False, inplace=True)


def view_read_afterwards(x: Tensor) -> Tensor:
    rows = x.transpose(2, 3)
    F.relu_(x)
    return x + rows.transpose(2, 3)


def part_of_a_split_changed(x: Tensor) -> Tensor:
    one, other = x.chunk(2, dim=1)
    return torch.cat([F.relu_(one), other], 1)


def whole_read_after_its_part_was_changed(x: Tensor) -> Tensor:
    x = x * 1
    x[:, 2:5] *= -2
    return x


def what_dropout_passes_on_read_afterwards(x: Tensor) -> Tensor:
    same = F.dropout(x, 0.5, False)
    F.relu_(x)
    return x + same


BESIDE = (
    activation,
    read_before_and_after,
    the_old_name_read_afterwards,
    sum_with_a_shortcut,
    view_read_before,
    view_changed_last,
    nothing_dropped,
    what_dropout_passes_on_read_afterwards,
)
BY_TORCH = (
    view_read_afterwards,
    part_of_a_split_changed,
    whole_read_after_its_part_was_changed,
)
WRITTEN: Mapping[Callable[[Tensor], Tensor], bool] = {
    **dict.fromkeys(BESIDE, True),
    **dict.fromkeys(BY_TORCH, False),
}


def network(between: Callable[[Tensor], Tensor]) -> nn.Module:
    made = Headed()
    made.between = between  # type: ignore[method-assign]
    return drawn(made)


def exported(module: nn.Module) -> fx.Graph:
    with torch.no_grad():
        return torch.export.export(module, (torch.zeros(2, 3, *SIDE),), strict=False).graph


@pytest.mark.parametrize("between", WRITTEN, ids=lambda f: f.__name__)
def test_the_program_computes_what_the_network_does(between: Callable[[Tensor], Tensor]) -> None:
    module = network(between)
    with torch.no_grad():
        found, expected = program_of(module).network(pixels(4)), module(pixels(4))
    assert torch.allclose(found, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("between", WRITTEN, ids=lambda f: f.__name__)
def test_torch_is_asked_only_where_another_view_is_read_afterwards(
    between: Callable[[Tensor], Tensor],
) -> None:
    graph = exported(network(between))
    assert any("_." in str(node.target) for node in graph.nodes)
    assert write_beside(graph) == WRITTEN[between]
    assert any("_." in str(node.target) for node in graph.nodes) == (not WRITTEN[between])
    graph.lint()


def test_a_network_that_changes_the_images_themselves_is_left_to_torch() -> None:
    class Changing(Headed):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x.mul_(2))

    assert not write_beside(exported(drawn(Changing())))
