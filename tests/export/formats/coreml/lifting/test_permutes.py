"""Where a permute stands makes no difference; what it does, does."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from export.formats.coreml.lifting.permutes import with_late_permutes
from pipeline.program.capture import capture
from pipeline.program.comparison import compare
from pipeline.program.program import Program

Function = Callable[[Tensor, Tensor], Tensor]
LAST, SECOND = (0, 2, 3, 1), (0, 3, 1, 2)


class Computes(nn.Module):
    """A network that is one function of its input and of a number a channel."""

    def __init__(self, function: Function) -> None:
        super().__init__()
        self.function = function
        self.scale = nn.Parameter(torch.tensor([2.0, 3.0, 5.0]))

    def forward(self, x: Tensor) -> Tensor:
        return torch.softmax(self.function(x, self.scale).flatten(1), 1)


def program_of(function: Function) -> Program:
    return capture(Computes(function).eval(), (4, 6))


def column(scale: Tensor) -> Tensor:
    return scale.reshape(3, 1, 1)


SAME: dict[str, tuple[Function, Function]] = {
    "there and back": (
        lambda x, s: F.relu(x) * column(s),
        lambda x, s: F.relu(x.permute(LAST)).permute(SECOND) * column(s),
    ),
    "a scale of what stands last": (
        lambda x, s: F.relu(x.permute(LAST) * s).permute(SECOND),
        lambda x, s: F.relu(x * column(s)),
    ),
    "a sum of two": (
        lambda x, s: x.permute(LAST) * s + F.silu(x.permute(LAST)),
        lambda x, s: (x * column(s) + F.silu(x)).permute(LAST),
    ),
    "a concatenation": (
        lambda x, s: torch.cat([x.permute(LAST), F.relu(x.permute(LAST) + s)], 3),
        lambda x, s: torch.cat([x, F.relu(x + column(s))], 1).permute(LAST),
    ),
    "a mean": (
        lambda x, s: (x.permute(LAST) * s).mean((1, 2)),
        lambda x, s: (x * column(s)).mean((2, 3)),
    ),
    "a mean that keeps its axes": (
        lambda x, s: (x.permute(LAST) * s).mean(3, keepdim=True),
        lambda x, s: (x * column(s)).mean(1, keepdim=True).permute(LAST),
    ),
}


@pytest.mark.parametrize("case", SAME)
def test_where_a_permute_stands_makes_no_difference(case: str) -> None:
    one, other = (program_of(function) for function in SAME[case])
    late = with_late_permutes(one), with_late_permutes(other)
    assert compare(*late) == []
    x = torch.randn(1, 3, 4, 6, generator=torch.Generator().manual_seed(0))
    for before, after in zip((one, other), late, strict=True):
        torch.testing.assert_close(after.network(x), before.network(x))


@pytest.mark.parametrize(
    "other",
    [
        lambda x, s: F.relu(x.permute(LAST) * s).permute(0, 3, 2, 1),
        lambda x, s: F.relu(x.permute(LAST) * (s + 1)).permute(SECOND),
        lambda x, s: F.relu(x * column(s)).permute(LAST),
    ],
)
def test_another_order_is_told(other: Function) -> None:
    one, _ = SAME["a scale of what stands last"]
    assert compare(with_late_permutes(program_of(one)), with_late_permutes(program_of(other)))


def test_the_program_that_was_given_does_not_change() -> None:
    one, _ = SAME["a scale of what stands last"]
    before = program_of(one)
    with_late_permutes(before)
    assert before.tensors()["scale"].shape == (3,)
    assert compare(before, program_of(one)) == []
