"""Batch norms folded in a program: the same function, and the bits of the export's own folding."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn

from export.deploy.batch_norm_folding import folded_network, norm_scale_and_shift
from pipeline.program.batch_norm_folding import folded, scale_and_shift
from pipeline.program.operations import operation_of
from pipeline.program.program import Program, place_of
from tests.pipeline.program.small_networks import (
    KINDS,
    drawn,
    pixels,
    program_of,
    small,
)


class Norms(nn.Module):
    """Five batch norms that can be folded, and four that must not be."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 4, 3, bias=False)
        self.folds = nn.BatchNorm2d(4, eps=1e-3)
        self.depthwise = nn.Conv2d(4, 8, 3, groups=4)
        self.folds_too = nn.BatchNorm2d(8, affine=False)
        self.back = nn.Conv2d(8, 4, 1)
        self.shared = nn.Conv2d(4, 4, 1)
        self.after_relu = nn.BatchNorm2d(4)
        self.twice = nn.Conv2d(4, 4, 1)
        self.after_twice = nn.BatchNorm2d(4)
        self.after_shared = nn.BatchNorm2d(4)
        self.linear = nn.Linear(4, 5)
        self.after_linear = nn.BatchNorm1d(5)
        self.along = nn.Linear(5, 5)
        self.after_along = nn.BatchNorm1d(7)

    def forward(self, x: Tensor) -> Tensor:
        x = self.back(self.folds_too(self.depthwise(self.folds(self.first(x)))))
        y = self.shared(x)
        x = self.after_relu(torch.relu(x))
        z = self.after_twice(self.twice(self.twice(x)))
        x = self.after_linear(self.linear((z + y + self.after_shared(y)).mean((2, 3))))
        x = self.after_along(self.along(x[:, None].expand(-1, 7, -1)))
        return x.mean(1)


def norms(program: Program) -> list[str]:
    return [place_of(n) for n in program.operations() if operation_of(n) == "batch_norm"]


@pytest.fixture(scope="module")
def network() -> nn.Module:
    return drawn(Norms())


@pytest.fixture(scope="module")
def program(network: nn.Module) -> Program:
    return program_of(network)


def test_a_batch_norm_that_alone_takes_a_layer_is_folded(program: Program) -> None:
    made = folded(program)
    assert norms(made) == ["after_relu", "after_twice", "after_shared", "after_along"]
    assert len(norms(program)) == 7  # a copy was folded
    exact = [copy.deepcopy(each.network).double()(pixels().double()) for each in (made, program)]
    assert (exact[0] - exact[1]).abs().max() < 1e-5  # folded weights are float32


@pytest.mark.parametrize("kind", ["residual", "dense", "depthwise"])
def test_the_numbers_are_those_of_the_exports_folding_bit_for_bit(kind: str) -> None:
    network = small(kind)
    wanted = folded_network(network).state_dict()
    found = folded(program_of(network)).tensors()
    assert sorted(found) == sorted(n for n in wanted if not n.endswith("num_batches_tracked"))
    assert all(torch.equal(found[name], wanted[name]) for name in found)


def test_what_a_folded_weight_was_made_of_is_told(program: Program) -> None:
    made = folded(program)
    assert made.sources["first.weight"] == ("first.weight", "folds.weight", "folds.running_var")
    assert made.sources["first.bias"] == tuple(
        f"folds.{part}" for part in ("weight", "bias", "running_mean", "running_var")
    )
    told = {name for names in made.sources.values() for name in names} | {*made.unused}
    assert told == {name for names in program.sources.values() for name in names} | {
        *program.unused
    }


def test_a_batch_norm_that_stays_is_a_scale_and_a_shift(network: Norms, program: Program) -> None:
    (norm,) = (n for n in program.operations() if place_of(n) == "after_relu")
    for found, wanted in zip(
        scale_and_shift(program, norm), norm_scale_and_shift(network.after_relu), strict=True
    ):
        assert (found == wanted).all()


def test_an_activation_inside_a_batch_norm_stays() -> None:
    class NormAct(nn.BatchNorm2d):
        """As timm's BatchNormAct2d."""

        def forward(self, x: Tensor) -> Tensor:
            return torch.relu(super().forward(x))

    network = drawn(nn.Sequential(nn.Conv2d(3, 4, 1), NormAct(4), nn.Flatten(), nn.Linear(1536, 2)))
    made = folded(program_of(network))
    assert [operation_of(n) for n in made.operations()] == ["conv2d", "relu", "reshape", "linear"]
    torch.testing.assert_close(made.network(pixels()), network(pixels()), rtol=1e-5, atol=1e-4)


def test_a_folded_program_learns() -> None:
    made = folded(program_of(drawn(KINDS["residual"]())))
    made.network(pixels()).sum().backward()
    assert all(p.grad is not None for p in made.network.parameters())
