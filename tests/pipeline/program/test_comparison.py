"""A planted fault is named with its place; what makes no difference makes none."""

from __future__ import annotations

import copy
from collections.abc import Callable
from functools import cache

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pipeline.program.batch_norm_folding import folded
from pipeline.program.comparison import compare
from pipeline.program.program import Program
from tests.pipeline.program.small_networks import (
    KINDS,
    Depthwise,
    Headed,
    LayerScale,
    Residual,
    drawn,
    program_of,
    small_program,
)


class Branches(Headed):
    """Two convolutions of one shape beside each other, twice."""

    def make(self) -> None:
        self.a, self.b, self.c, self.d = (nn.Conv2d(8, 4, 1) for _ in range(4))

    def between(self, x: Tensor) -> Tensor:
        x = torch.cat([F.relu(self.a(x)), F.relu(self.b(x))], 1)
        return torch.cat([self.c(x) * torch.sigmoid(self.d(x))] * 2, 1)


def found(
    kind: type[nn.Module], change: Callable[[nn.Module], object] = lambda network: None
) -> list[str]:
    """What a comparison says of a network that was changed, or that is written another way."""
    network = drawn(kind())
    change(network)
    return compare(faultless(next(b for b in kind.__mro__ if b in FAULTLESS)), program_of(network))


@cache
def faultless(kind: type[nn.Module]) -> Program:
    return program_of(drawn(kind()))


FAULTLESS = (Residual, Depthwise, LayerScale, Branches)


@pytest.mark.parametrize("kind", KINDS)
def test_a_program_is_the_same_as_itself(kind: str) -> None:
    program = small_program(kind)
    again = copy.deepcopy(program)
    assert compare(program, again) == []
    assert compare(folded(program), folded(again)) == []


class OtherWords(Residual):
    """The same, under other names and in another order, with identities between."""

    def make(self) -> None:
        super().make()
        self.unused = nn.Conv2d(8, 8, 1)

    def between(self, x: Tensor) -> Tensor:
        same = (x * 1 + 0).reshape(-1, 8, 96).reshape(x.shape)
        y = self.first(same.permute(0, 1, 2, 3))
        n = self.norm
        y = F.batch_norm(y, n.running_mean, n.running_var, n.weight, n.bias, eps=n.eps)
        y = F.relu(y).contiguous()
        return F.relu(x.clone() + self.second(y))


class FlatScale(LayerScale):
    """The scale stored flat and reshaped."""

    def between(self, x: Tensor) -> Tensor:
        y = self.norm(x.permute(0, 2, 3, 1))
        y = self.shrink(F.gelu(self.grow(y))).permute(0, 3, 1, 2)
        return y * self.scale.flatten().reshape(1, 8, 1, 1) + x


class Exchanged(Branches):
    def between(self, x: Tensor) -> Tensor:
        b, a = F.relu(self.b(x)), F.relu(self.a(x))
        x = torch.cat([a, b], 1)
        y = torch.sigmoid(self.d(x)) * self.c(x)
        return torch.cat([y, y], 1)


@pytest.mark.parametrize("kind", [OtherWords, Exchanged])
def test_names_order_and_identities_make_no_difference(kind: type[nn.Module]) -> None:
    assert found(kind) == []


def test_a_parameter_of_another_shape_for_the_same_numbers_is_the_same() -> None:
    assert found(FlatScale) == []


def nudge(name: str, index: int = 3) -> Callable[[nn.Module], object]:
    def change(network: nn.Module) -> None:
        with torch.no_grad():
            network.get_parameter(name).view(-1)[index] += 0.25

    return change


def set_(module: str, attribute: str, value: object) -> Callable[[nn.Module], object]:
    return lambda network: setattr(network.get_submodule(module), attribute, value)


def swap(one: str, other: str) -> Callable[[nn.Module], object]:
    def change(network: nn.Module) -> None:
        a, b = network.get_submodule(one), network.get_submodule(other)
        setattr(network, one, b)
        setattr(network, other, a)

    return change


FAULTS: dict[str, tuple[type[nn.Module], Callable[[nn.Module], object], list[str]]] = {
    "one weight": (
        Residual,
        nudge("first.weight"),
        ["first.weight: 1 of 576 values are not those expected, first at [0, 0, 1, 0]: "],
    ),
    "a statistic": (
        Residual,
        lambda network: network.norm.running_var[2].mul_(1.01),
        ["norm.running_var: 1 of 8 values"],
    ),
    "a layer scale": (  # its product with the layer before it
        LayerScale,
        nudge("scale"),
        ["shrink.weight, scale: 16 of 128 values", "shrink.bias, scale: 1 of 8 values"],
    ),
    "a depthwise weight": (Depthwise, nudge("depthwise.weight"), ["depthwise.weight: 1 of 144"]),
    "two weights": (
        Depthwise,
        lambda network: (nudge("stem.bias")(network), nudge("head.weight")(network)),
        ["stem.bias: 1 of 8 values", "head.weight: 1 of 40 values"],
    ),
    "epsilon": (
        Residual,
        set_("norm", "eps", 1e-5),
        ["norm: batch_norm with eps 9.999999747378752e-06, not 0.0010000000474974513"],
    ),
    "two branches of a concatenation": (
        Branches,
        swap("a", "b"),
        ["cat after a: cat takes its inputs in another order"],
    ),
    "a gate and what it gates": (
        Branches,
        swap("c", "d"),
        ["c.bias: 4 of 4", "c.weight: 32 of 32", "d.bias: 4 of 4", "d.weight: 32 of 32"],
    ),
}


@pytest.mark.parametrize(("kind", "change", "wanted"), FAULTS.values(), ids=FAULTS)
def test_a_fault_in_tensors_or_attributes_is_named(
    kind: type[nn.Module], change: Callable[[nn.Module], object], wanted: list[str]
) -> None:
    said = found(kind, change)
    assert len(said) == len(wanted), said
    for sentence, start in zip(sorted(said), sorted(wanted), strict=True):
        assert sentence.startswith(start)


class NoBias(Residual):
    def between(self, x: Tensor) -> Tensor:
        y = F.conv2d(F.relu(self.norm(self.first(x))), self.second.weight, padding=1)
        return F.relu(y + x)


class NoRelu(Residual):
    def between(self, x: Tensor) -> Tensor:
        return F.relu(self.second(self.norm(self.first(x))) + x)


class NoLastRelu(Residual):
    def between(self, x: Tensor) -> Tensor:
        return self.second(F.relu(self.norm(self.first(x)))) + x


class OneRelu(Residual):
    def between(self, x: Tensor) -> Tensor:
        return F.relu(self.second(F.relu(self.norm(F.relu(self.first(x))))) + x)


class NoSum(Residual):
    def between(self, x: Tensor) -> Tensor:
        return F.relu(self.second(F.relu(self.norm(self.first(x)))))


class Sigmoid(Residual):
    def between(self, x: Tensor) -> Tensor:
        return F.relu(self.second(torch.sigmoid(self.norm(self.first(x)))) + x)


class WrongSum(Residual):
    """The sum takes the branch without its last convolution."""

    def between(self, x: Tensor) -> Tensor:
        return F.relu(F.relu(self.norm(self.first(x))) + x)


class Tanh(LayerScale):
    def between(self, x: Tensor) -> Tensor:
        y = self.norm(x.permute(0, 2, 3, 1))
        y = F.gelu(self.grow(y), approximate="tanh")
        return x + self.scale * self.shrink(y).permute(0, 3, 1, 2)


class NoGate(Depthwise):
    def between(self, x: Tensor) -> Tensor:
        y = F.hardswish(self.depthwise(F.relu6(self.grown(self.grow(x)))))
        return x + self.shrink(y)


class Relu(Depthwise):
    def between(self, x: Tensor) -> Tensor:
        y = F.hardswish(self.depthwise(F.relu(self.grown(self.grow(x)))))
        gate = self.wide(F.silu(self.narrow(y.mean((2, 3), keepdim=True))))
        return x + self.shrink(y * F.hardsigmoid(gate))


class Strided(Depthwise):
    def between(self, x: Tensor) -> Tensor:
        y = F.hardswish(self.depthwise(F.hardtanh(self.grown(self.grow(x)), 0.0, 6.5)))
        gate = self.wide(F.silu(self.narrow(y.mean((2, 3), keepdim=True))))
        return x + self.shrink(y * F.hardsigmoid(gate))


@pytest.mark.parametrize(
    ("kind", "wanted"),
    [
        (NoBias, ["second: conv2d lacks its bias"]),
        (NoRelu, ["relu: no relu"]),
        (NoLastRelu, ["relu: no relu"]),
        (OneRelu, ["first: then a relu that does not belong there"]),
        (NoSum, ["add after second: no add.Tensor"]),
        (WrongSum, ["second: no conv2d"]),
        (Sigmoid, ["relu: sigmoid in place of relu"]),
        (Relu, ["hardtanh after grown: relu in place of hardtanh"]),
        (Strided, ["hardtanh after grown: hardtanh with max_val 6.5, not 6.0"]),
        (Tanh, ["gelu after grow: gelu with approximate tanh, not none"]),
        (NoGate, ["mul after depthwise: no mul.Tensor"]),
    ],
)
def test_a_fault_in_the_structure_is_named(kind: type[nn.Module], wanted: list[str]) -> None:
    assert found(kind) == wanted


def test_a_dropped_activation_and_a_changed_weight_before_it_are_both_named() -> None:
    said = found(NoRelu, nudge("first.weight"))
    assert len(said) == 2
    assert "relu: no relu" in said


def test_the_stride_is_named() -> None:
    said = compare(_convolution(stride=1), _convolution(stride=2))
    assert said == ["0: conv2d with stride [2, 2], not [1, 1]"]


def _convolution(stride: int) -> Program:
    class Mean(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x.mean((2, 3))

    return program_of(drawn(nn.Sequential(nn.Conv2d(3, 4, 1, stride=stride), Mean())))


def test_rounding_to_fp16_is_forgiven_when_it_is_told_and_nothing_else_is() -> None:
    expected = small_program("attention")
    rounded = copy.deepcopy(expected)
    with torch.no_grad():
        for tensor in rounded.network.parameters():
            tensor.copy_(tensor.half().float())
    assert compare(expected, rounded, half=True) == []
    assert compare(expected, rounded) != []
    with torch.no_grad():
        rounded.network.get_parameter("qkv.bias")[4] *= 1.002
    (said,) = compare(expected, rounded, half=True)
    assert said.startswith("qkv.bias: 1 of 24 values are not those expected, first at [4]")


def test_another_number_of_outputs_is_told() -> None:
    class Evidence(nn.Module):
        def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
            return x.mean((2, 3)), x

    assert compare(_convolution(1), program_of(Evidence().eval())) == ["2 outputs, not 1"]
