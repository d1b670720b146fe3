"""Any module becomes a program that computes the same and is written as converters like it."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pipeline.adopt.any_learner.learner_program import learner_program
from pipeline.errors import BadInput
from pipeline.models.networks import with_evidence
from pipeline.models.program_network import program_network
from pipeline.program.operations import operation_of
from tests.pipeline.program.small_networks import KINDS, SIDE, drawn, pixels, small


def operations(model: nn.Module, classes: int = 5) -> list[str]:
    return [str(operation_of(n)) for n in learner_program(model, SIDE, classes).operations()]


def assert_the_same(model: nn.Module, classes: int = 5) -> None:
    """In float64, where folding rounds to nothing."""
    program = learner_program(model, SIDE, classes)
    with torch.no_grad():
        expected = model.double()(pixels(3).double())
        found = program_network(program).double()(pixels(3).double())
    assert torch.allclose(found, expected, atol=1e-5 * float(expected.abs().max()))


@pytest.mark.parametrize("kind", KINDS)
def test_a_module_of_any_kind_computes_the_same(kind: str) -> None:
    assert_the_same(small(kind))


@pytest.mark.parametrize("activation", [nn.GELU, nn.Mish, nn.SiLU, nn.Hardswish, nn.LeakyReLU])
def test_norms_before_dense_layers_of_a_head_are_folded(activation: type[nn.Module]) -> None:
    head = [nn.BatchNorm1d(4), nn.Dropout(0.3), nn.Linear(4, 6, bias=False), activation()]
    model = nn.Sequential(
        nn.Conv2d(3, 4, 3, 2),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        *head,
        nn.BatchNorm1d(6),
        nn.Linear(6, 5),
        nn.BatchNorm1d(5),  # bn_final
    )
    drawn(model)
    assert "batch_norm" not in operations(model)
    assert_the_same(model)


def test_a_norm_that_another_operation_reads_too_stays() -> None:
    class Read(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.norm, self.dense = nn.BatchNorm1d(3), nn.Linear(3, 3)

        def forward(self, x: Tensor) -> Tensor:
            x = self.norm(x.amax((2, 3)))
            return x + self.dense(x)

    model = drawn(Read())
    assert "batch_norm" in operations(model, 3)
    assert_the_same(model, 3)


class Scaled(nn.Module):
    """Constants before and behind layers, in either order."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.dense = nn.Conv2d(3, 4, 3, bias=False), nn.Linear(4, 5)
        self.scale = nn.Parameter(torch.rand(4, 1, 1))
        self.shift = nn.Parameter(torch.rand(1, 4, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        x = self.scale * self.conv(x) - self.shift
        return (self.dense(F.gelu(x).amax((2, 3))) * 0.5 + 1) / 3


def test_constants_for_each_channel_become_part_of_the_layer() -> None:
    model = drawn(Scaled())
    found = operations(model)
    assert not {"mul.Tensor", "add.Tensor", "sub.Tensor", "div.Tensor"} & set(found)
    program = learner_program(model, SIDE, 5)
    assert {"conv.weight", "scale"} == set(program.sources["conv.weight"])
    assert_the_same(model)


def test_constants_that_are_not_of_a_channel_stay() -> None:
    class Wide(Scaled):
        def __init__(self) -> None:
            super().__init__()
            self.row = nn.Parameter(torch.ones(SIDE[1] - 2))

        def forward(self, x: Tensor) -> Tensor:
            return self.dense((self.conv(x) * self.row).amax((2, 3)))

    model = drawn(Wide())
    assert "mul.Tensor" in operations(model)
    assert_the_same(model)


@pytest.mark.parametrize("pool", [nn.AdaptiveAvgPool2d(1), None])
def test_one_dense_layer_behind_the_mean_has_a_map_of_evidence(pool: nn.Module | None) -> None:
    class Mean(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.dense = nn.Conv2d(3, 4, 3), nn.Linear(4, 5)

        def forward(self, x: Tensor) -> Tensor:
            x = F.relu(self.conv(x))
            return self.dense(x.mean((2, 3)) if pool is None else pool(x).flatten(1))

    model = drawn(Mean())
    network = program_network(learner_program(model, SIDE, 5))
    with torch.no_grad():
        logits, evidence = with_evidence(network)(pixels())
        assert evidence.shape[:2] == (2, 5)
        assert torch.allclose(evidence.mean((2, 3)), model(pixels()), atol=1e-5)
        assert torch.equal(logits, network(pixels()))


class Bare(nn.Module):
    """Weights without layers, one under a name that no file holds."""

    def __init__(self) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.randn(8, 3, 3, 3))
        self.größe = nn.Parameter(torch.randn(2, 8))

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(F.conv2d(x, self.w, stride=2).amax((2, 3)), self.größe)


def test_weights_without_layers_get_names_that_tell_the_layer() -> None:
    program = learner_program(Bare().eval(), SIDE, 2)
    assert sorted(program.tensors()) == ["conv2d.weight", "linear.weight"]
    assert program.sources["conv2d.weight"] == ("w",)
    kinds = {type(module) for module in program_network(program).modules()}
    assert {nn.Conv2d, nn.Linear} <= kinds
    assert_the_same(Bare().eval(), 2)


class Answers(nn.Module):
    def __init__(self, answer: object) -> None:
        super().__init__()
        self.conv, self.answer = nn.Conv2d(3, 2, 3), answer

    def forward(self, x: Tensor) -> object:
        return self.answer(self.conv(x))  # type: ignore[operator]


REFUSED = {
    "2 outputs, and there are 5 labels": lambda y: y.mean((2, 3)),
    "answers a tensor of (2, 2, 14, 22)": lambda y: y,
    "answers several tensors": lambda y: (y.mean((2, 3)), y),
    "its forward decides by what is in an image": lambda y: (
        y.mean((2, 3)) if y.sum() > 0 else y.amax((2, 3))
    ),
    "cannot express": lambda y: torch.fft.fft(y.mean((2, 3))).real,
}


@pytest.mark.parametrize("said", REFUSED)
def test_what_is_no_classifier_is_refused_by_what_it_answers(
    said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(BadInput) as caught:
        learner_program(Answers(REFUSED[said]).eval(), SIDE, 5)
    assert said in str(caught.value)
    assert capsys.readouterr() == ("", "")
