"""The expected program in the words of coremltools computes the same."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from export.formats.coreml.lifting.written import as_written
from pipeline.program.capture import capture
from pipeline.program.operations import arguments_of, operation_of
from pipeline.program.program import Program


class Computes(nn.Module):
    """A network that is one function of its input and its parameter."""

    def __init__(self, function: object, parameter: Tensor) -> None:
        super().__init__()
        self.function, self.parameter = function, nn.Parameter(parameter)

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x, self.parameter).mean((2, 3))


CHANNELS = torch.tensor([3.0, 7.0, 11.0]).reshape(1, 3, 1, 1)
# Function, parameter, and the operations as coremltools writes them.
WRITTEN = {
    "a division by a constant": (torch.div, CHANNELS, ["mul.Tensor"]),
    "a division by a number": (lambda x, p: x / 7 + p, CHANNELS, ["mul.Tensor", "add.Tensor"]),
    "an opposite": (lambda x, p: -x + p, CHANNELS, ["mul.Tensor", "add.Tensor"]),
    "one slope": (F.prelu, torch.tensor([0.25]), ["leaky_relu"]),
    "equal slopes": (F.prelu, torch.full((3,), 0.25), ["leaky_relu"]),
    "other slopes": (F.prelu, torch.tensor([0.25, 0.25, 0.5]), ["prelu"]),
    "padding of no axis": (
        lambda x, p: F.pad(x, (1, 0, 0, 0), value=2.0) + p,
        CHANNELS,
        ["constant_pad_nd", "add.Tensor"],
    ),
    "a learnt number": (torch.mul, torch.tensor([0.3]), ["mul.Tensor"]),
    "a division of two": (
        lambda x, p: x / (x * x + p),
        CHANNELS,
        ["mul.Tensor", "add.Tensor", "div.Tensor"],
    ),
}


def program_of(case: str) -> Program:
    function, parameter, _ = WRITTEN[case]
    return capture(Computes(function, parameter.clone()).eval(), (4, 6))


@pytest.mark.parametrize("case", WRITTEN)
def test_the_same_function_in_the_words_of_coremltools(case: str) -> None:
    before = program_of(case)
    after = as_written(before, half=False)
    found = [str(operation_of(node)) for node in after.operations()][:-1]
    assert found == WRITTEN[case][2]
    x = torch.randn(2, 3, 4, 6, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(after.network(x), before.network(x), rtol=1e-6, atol=1e-6)


def test_a_reciprocal_is_rounded_once_and_keeps_its_source() -> None:
    after = as_written(program_of("a division by a constant"), half=False)
    (held,) = after.tensors().values()
    assert held.flatten().tolist() == (1 / np.float32([3, 7, 11])).tolist()
    assert after.sources["parameter_reciprocal"] == ("parameter",)


def test_a_tensor_that_became_a_number_keeps_its_source() -> None:
    after = as_written(program_of("a learnt number"), half=False)
    assert not after.tensors()
    assert after.sources["parameter"] == ("parameter",)


def test_the_program_that_was_given_does_not_change() -> None:
    before = program_of("an opposite")
    as_written(before, half=True)
    assert operation_of(before.operations()[0]) == "neg"


@pytest.mark.parametrize(("half", "wanted"), [(False, 0.3), (True, 0.3), (True, 0.35355339)])
def test_numbers_of_an_fp16_program_are_read_as_the_file_stores_them(
    half: bool, wanted: float
) -> None:
    """0.3 is the simplest of its fp16; 0.35355339 has a shorter one, 0.3535."""
    network = Computes(lambda x, p: x * wanted + p, CHANNELS).eval()
    first, *_ = as_written(capture(network, (4, 6)), half=half).operations()
    found = arguments_of(first)["other"]
    assert isinstance(found, float)
    assert found == pytest.approx(wanted if wanted == 0.3 else 0.3535, abs=1e-9)
    assert np.float16(found) == np.float16(wanted)
