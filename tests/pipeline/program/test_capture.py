"""Any network becomes a program that computes the same, with every entry of its state."""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Callable, Mapping

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pipeline.errors import BadInput
from pipeline.program.operations import OPERATIONS, arguments_of, operation_of
from pipeline.program.program import Program, place_of
from tests.pipeline.program.small_networks import (
    KINDS,
    SIDE,
    drawn,
    pixels,
    program_of,
    small,
    small_program,
)


def operations(program: Program) -> Counter[str | None]:
    return Counter(operation_of(node) for node in program.operations())


def program_by(function: object) -> Program:
    class Network(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return function(x)  # type: ignore[operator, no-any-return]

    return program_of(Network().eval())


@pytest.mark.parametrize("kind", KINDS)
def test_a_program_computes_what_its_network_does_for_any_number_of_images(kind: str) -> None:
    network, program = small(kind), small_program(kind)
    for images in (1, 2, 5):
        with torch.inference_mode():
            wanted, found = network(pixels(images)), program.network(pixels(images))
        assert wanted.std() > 1e-3
        torch.testing.assert_close(found, wanted, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_every_entry_of_the_state_is_used_or_listed(kind: str) -> None:
    network, program = small(kind), small_program(kind)
    told = [name for names in program.sources.values() for name in names] + [*program.unused]
    assert sorted(told) == sorted(network.state_dict())
    assert all(name.endswith("num_batches_tracked") for name in program.unused)
    for name, names in program.sources.items():
        if names:
            assert torch.equal(program.tensors()[name], network.state_dict()[name])


def test_a_batch_norm_is_one_operation_and_what_does_nothing_is_gone() -> None:
    found = operations(small_program("residual"))
    assert found == Counter(
        {"conv2d": 3, "batch_norm": 1, "relu": 2, "add.Tensor": 1}
        | {"mean.dim": 1, "reshape": 1, "linear": 1}
    )


def test_parts_of_what_was_put_together_are_not_cut_out_again() -> None:
    found = operations(small_program("shuffle"))
    assert found["slice.Tensor"] == 5  # two halves; x[:, :3], x[:, 3:6] and what is left
    assert found["cat"] == 2


def test_a_parameter_that_nothing_uses_and_one_with_two_names_are_told() -> None:
    class Network(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.one, self.two, self.spare = (nn.Linear(3, 3) for _ in range(3))
            self.two.weight = self.one.weight

        def forward(self, x: Tensor) -> Tensor:
            return self.two(self.one(x.mean((2, 3))))  # type: ignore[no-any-return]

    program = program_of(Network().eval())
    assert program.unused == ("spare.weight", "spare.bias")
    assert program.sources["one.weight"] == ("one.weight", "two.weight")
    assert sorted(program.tensors()) == ["one.bias", "one.weight", "two.bias"]


def test_an_operation_names_the_module_that_it_comes_from() -> None:
    places = {operation_of(n): place_of(n) for n in small_program("residual").operations()}
    assert places["batch_norm"] == "norm"
    assert places["linear"] == "head"
    assert places["add.Tensor"] == "add"  # of the network itself: the node's own name


def test_what_is_outside_the_list_is_refused_with_its_name_and_place() -> None:
    class Sorts(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return torch.cummax(x, 1).values

    network = nn.Sequential(nn.Conv2d(3, 4, 1), Sorts())
    with pytest.raises(BadInput, match=r"express the operation aten\.cummax\.default, in 1;"):
        program_of(network)


def test_what_torch_cannot_follow_is_refused_in_its_words() -> None:
    def looks(x: Tensor) -> Tensor:
        return x if x.sum().item() > 0 else -x

    with pytest.raises(BadInput, match=r"torch\.export cannot follow Network at 16x24: "):
        program_by(looks)


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda x: x + torch.rand(3, 1, 1), "random numbers of aten.rand.default"),
        (lambda x: x / len(x), "a number that changes with the number of images"),
        (lambda x: x[: len(x) - 1], "a choice among the images"),
        (lambda x: x.reshape(1, -1) + torch.ones(len(x)).sum(), "number of images"),
        (lambda x: x * 2 if len(x) == 3 else x, "other things with 2 images than with 3"),
        (lambda x: x.double().mean((2, 3)).float(), "a cast from torch.float32 to torch.float64"),
        (lambda x: F.pad(x, [1, 1, 1, 1], mode="reflect"), "padding with mode 'reflect'"),
        (lambda x: (x, x, x), "answers 3 tensors, not logits and evidence"),
    ],
)
def test_what_is_not_a_function_of_one_image_is_refused(function: object, message: str) -> None:
    with pytest.raises(BadInput, match=message):
        program_by(function)


# Each way to write something, and the operations that it comes down to.
SAME = {
    "split": (lambda x: torch.cat(x.split(2, 3)[::-1], 3), "cat slice.Tensor"),
    "unbind": (lambda x: x.unbind(1)[2], "select.int"),
    "stack": (lambda x: torch.stack([x, x.neg()], 2).flatten(1, 2), "cat neg reshape"),
    "roll": (lambda x: x.roll((1, -2), (2, 3)), "cat slice.Tensor"),
    "squeeze": (lambda x: x.mean((2, 3), True).squeeze(-1).squeeze(2), "mean.dim reshape"),
    "clamp": (lambda x: x.clamp(-1, 2), "hardtanh"),
    "clamp below": (lambda x: x.clamp_min(0.1), "clamp"),
    "taken from": (lambda x: 3 - x, "add.Tensor neg"),
    "scaled": (lambda x: torch.add(x, x, alpha=0.5), "add.Tensor mul.Tensor"),
    "a number as a tensor": (lambda x: torch.tensor(0.1) * x, "mul.Tensor"),
    "computed constants": (lambda x: x + torch.arange(24).float().sin().cumsum(0), "add.Tensor"),
    "rows for images, joined": (
        lambda x: torch.cat([x, torch.zeros(len(x), 3, 1, 24).add(2)], 2),
        "cat expand",
    ),
    "rows for images": (lambda x: x + torch.zeros(len(x), 3, 1, 24).add(2), "add.Tensor"),
    "new zeros": (lambda x: torch.cat([x, x.new_zeros(len(x), 1, 16, 24)], 1), "cat expand"),
    "two permutes": (lambda x: x.permute(0, 2, 3, 1).transpose(1, 3), "permute"),
    "largest": (lambda x: F.adaptive_max_pool2d(x, 1), "amax"),
    "equal windows": (lambda x: F.adaptive_avg_pool2d(x, (4, 6)), "avg_pool2d"),
    "uneven windows": (lambda x: F.adaptive_avg_pool2d(x, (3, 5)), "adaptive_avg_pool2d"),
    "mean of all": (lambda x: x.flatten(1).mean(-1, True), "mean.dim reshape"),
    "matrix product": (lambda x: torch.bmm(x[:, 0], x[:, 1].mT), "matmul permute select.int"),
    "unit length": (lambda x: F.normalize(x, dim=1), "clamp div.Tensor expand linalg_vector_norm"),
    "upsampled": (lambda x: F.interpolate(x, scale_factor=2.0), "upsample_nearest2d.vec"),
}


class Way(nn.Module):
    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x)


class Ways(nn.Module):
    """Every function on the same pixels; their results beside each other, flat."""

    def __init__(self, functions: Mapping[str, Callable[[Tensor], Tensor]]) -> None:
        super().__init__()
        self.ways = nn.ModuleDict({name: Way(each) for name, each in functions.items()})

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([way(x).flatten(1) for way in self.ways.values()], 1)


@pytest.fixture(scope="module")
def ways() -> Program:
    return program_of(Ways({name: function for name, (function, _) in SAME.items()}).eval())


@pytest.mark.parametrize(("way", "wanted"), [(way, wanted) for way, (_, wanted) in SAME.items()])
def test_what_torch_writes_in_many_ways_is_written_in_one(
    ways: Program, way: str, wanted: str
) -> None:
    nodes = [node for node in ways.operations() if place_of(node) == f"ways.{way}"]
    assert sorted({str(operation_of(node)) for node in nodes}) == wanted.split()


def test_what_is_written_in_one_way_computes_the_same(ways: Program) -> None:
    for images in (1, 4):
        x = pixels(images)
        wanted = torch.cat([function(x).flatten(1) for function, _ in SAME.values()], 1)
        torch.testing.assert_close(ways.network(x), wanted)


def test_activations_are_operations_of_their_own() -> None:
    functions = {
        name: getattr(F, name) for name in ("elu", "leaky_relu", "mish", "softplus", "sigmoid")
    } | {name: getattr(torch, name) for name in ("tanh", "exp", "abs")}
    program = program_of(Ways(functions).eval())
    assert operations(program) == Counter([*functions, *["reshape"] * len(functions), "cat"])
    wanted = torch.cat([function(pixels()).flatten(1) for function in functions.values()], 1)
    assert torch.equal(program.network(pixels()), wanted)


def test_a_network_with_evidence_answers_two_tensors() -> None:
    class Network(nn.Module):
        def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
            return x.mean((2, 3)), x

    program = program_of(Network().eval())
    logits, evidence = program.network(pixels())
    assert (logits.shape, evidence.shape) == ((2, 3), (2, 3, *SIDE))
    assert len(program.outputs()) == 2


def test_the_module_is_left_as_it_was() -> None:
    network = drawn(KINDS["residual"]()).train()
    network.norm.eval()
    before = copy.deepcopy(network.state_dict())
    program = program_of(network)
    with torch.no_grad():
        for tensor in program.network.parameters():
            tensor.add_(1)
    assert network.training
    assert not network.norm.training
    assert all(torch.equal(network.state_dict()[name], before[name]) for name in before)


def test_a_program_learns() -> None:
    program = small_program("attention")
    program.network(pixels()).square().sum().backward()
    assert {name: p.grad is not None for name, p in program.network.named_parameters()} == {
        name: True for name, sources in program.sources.items() if sources
    }


def test_a_copy_in_float64_computes_in_float64() -> None:
    program = small_program("attention")
    exact = copy.deepcopy(program.network).double()
    with torch.no_grad():
        wanted, found = exact(pixels().double()), program.network(pixels())
    assert wanted.dtype == torch.float64
    torch.testing.assert_close(found.double(), wanted, rtol=1e-4, atol=1e-5)


def test_attention_of_torch_is_the_same_with_or_without_its_fast_path() -> None:
    class Network(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.block = nn.TransformerEncoderLayer(24, 4, 32, batch_first=True)

        def forward(self, x: Tensor) -> Tensor:
            return self.block(x.flatten(1, 2)).mean(1)  # type: ignore[no-any-return]

    network = drawn(Network()).requires_grad_(False)
    program = program_of(network)
    torch.testing.assert_close(program.network(pixels()), network(pixels()), rtol=1e-4, atol=1e-5)
    assert operations(program)["softmax.int"] == 1


def test_every_argument_is_written() -> None:
    (node,) = program_by(F.gelu).operations()
    assert arguments_of(node) == {"self": node.args[0], "approximate": "none"}
    assert set(OPERATIONS) >= set(operations(small_program("plain")))
