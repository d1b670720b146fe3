"""Two ways to write one thing compute the same and are the same; a near miss is not."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import fx

from pipeline.program import arithmetic_rules
from pipeline.program.builder import VALUE, Builder
from pipeline.program.comparison import compare
from pipeline.program.program import Program, runnable
from tests.pipeline.program.small_networks import SIDE, pixels

Written = Callable[[Builder], fx.Node]
HEIGHT, WIDTH = SIDE
DRAWS = torch.Generator().manual_seed(0)


def draw(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=DRAWS)


KERNEL, BIAS, FACTOR = draw(4, 3, 3, 3), draw(4), draw(4)
MATRIX = draw(WIDTH, 5)


def program(written: Written) -> Program:
    build = Builder(SIDE, images=(1, 1))
    build.graph.output(build.node(written(build)))
    for node in build.graph.nodes:
        node.meta.pop(VALUE, None)
    return Program(runnable(build.graph, build.tensors), SIDE, dict.fromkeys(build.tensors, ()), ())


def conv(b: Builder, x: Any = None, bias: Any = None, pad: int = 0, kernel: Any = KERNEL) -> Any:
    x = b.pixels if x is None else x
    return b.add("conv2d", x, kernel, bias, [1, 1], [pad, pad], [1, 1], 1)


def pool(b: Builder, kind: str, x: Any, *args: Any) -> Any:
    return b.add(kind, x, [2, 2], [2, 2], *args)


def erf(b: Builder, scale: float = math.sqrt(2)) -> Any:
    return b.add("add.Tensor", b.add("erf", b.add("div.Tensor", b.pixels, scale)), 1.0)


def times(b: Builder, x: Any, y: Any) -> Any:
    return b.add("mul.Tensor", x, y)


def rows(b: Builder) -> Any:
    return b.add("reshape", b.pixels, [3 * HEIGHT, WIDTH])


def rounded(b: Builder, x: Any, zero_point: int = 0, scale: float = 0.02) -> Any:
    return arithmetic_rules.rounded(b, x, scale, zero_point)


def turned(b: Builder, x: Any, *axes: int) -> Any:
    return b.add("permute", x, list(axes or (0, 2, 3, 1)))


def turned_back(b: Builder, x: Any) -> Any:
    return turned(b, x, 0, 3, 1, 2)


def square(b: Builder) -> Any:
    return b.add("slice.Tensor", b.pixels, 3, 0, HEIGHT, 1)


PLANE, PLACES, PICTURE = draw(1, 3, 1, 1), draw(WIDTH), draw(1, 3, HEIGHT, WIDTH)


def padded_pool(b: Builder, x: Any) -> Any:
    around = b.add("constant_pad_nd", x, [4, 4, 4, 4], -math.inf)
    return pool(b, "max_pool2d", around, [0, 0], [1, 1], False)


SAME: dict[str, tuple[Written, Written]] = {
    "silu": (
        lambda b: b.add("silu", b.pixels),
        lambda b: times(b, b.add("sigmoid", b.pixels), b.pixels),
    ),
    "hardswish": (
        lambda b: b.add("hardswish", b.pixels),
        lambda b: times(b, b.pixels, b.add("hardsigmoid", b.pixels)),
    ),
    "mish": (
        lambda b: b.add("mish", b.pixels),
        lambda b: times(b, b.pixels, b.add("tanh", b.add("softplus", b.pixels))),
    ),
    "gelu": (
        lambda b: b.add("gelu", b.pixels),
        lambda b: times(b, times(b, b.pixels, erf(b)), 0.5),
    ),
    "gelu in another order": (
        lambda b: b.add("gelu", b.pixels),
        lambda b: times(b, erf(b), times(b, b.pixels, 0.5)),
    ),
    "relu": (lambda b: b.add("relu", b.pixels), lambda b: b.add("clamp", b.pixels, 0.0, None)),
    "minus zeros": (
        lambda b: b.add("relu", b.pixels),
        lambda b: b.add("relu", b.add("sub.Tensor", b.pixels, torch.zeros(1, 3, 1, 1))),
    ),
    "padding": (
        lambda b: conv(b, pad=2),
        lambda b: conv(b, b.add("constant_pad_nd", b.pixels, [1, 1, 1, 1], 0.0), pad=1),
    ),
    "padding of a pool": (
        lambda b: pool(b, "max_pool2d", b.pixels, [1, 1], [1, 1], False),
        lambda b: pool(
            b,
            "max_pool2d",
            b.add("constant_pad_nd", b.pixels, [1, 1, 1, 1], -math.inf),
            [0, 0],
            [1, 1],
            False,
        ),
    ),
    "bias": (
        lambda b: conv(b, bias=BIAS),
        lambda b: b.add("add.Tensor", conv(b), BIAS.reshape(1, 4, 1, 1)),
    ),
    "bias of a matrix": (
        lambda b: b.add("linear", b.pixels, MATRIX.t(), torch.ones(5)),
        lambda b: b.add("add.Tensor", b.add("matmul", b.pixels, MATRIX), torch.ones(5)),
    ),
    "scale": (
        lambda b: conv(b, bias=BIAS * FACTOR, kernel=KERNEL * FACTOR.reshape(-1, 1, 1, 1)),
        lambda b: times(b, conv(b, bias=BIAS), FACTOR.reshape(4, 1, 1)),
    ),
    "rows of a matrix": (
        lambda b: b.add("linear", b.pixels, MATRIX.t(), None),
        lambda b: b.add("reshape", b.add("linear", rows(b), MATRIX.t(), None), [1, 3, HEIGHT, 5]),
    ),
    "rows of numbers": (
        lambda b: b.add("relu", b.pixels),
        lambda b: b.add("reshape", b.add("relu", rows(b)), [1, 3, HEIGHT, WIDTH]),
    ),
    "factor of a product": (
        lambda b: times(b, b.add("matmul", b.pixels, b.add("permute", b.pixels, [0, 1, 3, 2])), 6),
        lambda b: b.add(
            "matmul",
            times(b, b.pixels, 2.0),
            times(b, b.add("permute", b.pixels, [0, 1, 3, 2]), 3.0),
        ),
    ),
    "kept axes": (
        lambda b: b.add("mean.dim", b.pixels, [2, 3], False),
        lambda b: b.add("reshape", b.add("mean.dim", b.pixels, [2, 3], True), [1, 3]),
    ),
    "a mean of one number": (
        lambda b: b.add("reshape", b.add("amax", b.pixels, [2, 3], True), [1, 3]),
        lambda b: b.add("mean.dim", b.add("amax", b.pixels, [2, 3], True), [2, 3], False),
    ),
    "one place": (
        lambda b: b.add("select.int", b.pixels, 1, 2),
        lambda b: b.add("reshape", b.add("slice.Tensor", b.pixels, 1, 2, 3, 1), [1, HEIGHT, WIDTH]),
    ),
    "axes of length 1": (
        lambda b: b.add("permute", b.add("amax", b.pixels, [2, 3], True), [0, 2, 3, 1]),
        lambda b: b.add("reshape", b.add("amax", b.pixels, [2, 3], True), [1, 1, 1, 3]),
    ),
    "joined twice": (
        lambda b: b.add("cat", [b.pixels, b.pixels, b.pixels], 1),
        lambda b: b.add("cat", [b.pixels, b.add("cat", [b.pixels, b.pixels], 1)], 1),
    ),
    "one window": (
        lambda b: b.add("amax", b.pixels, [2, 3], True),
        lambda b: b.add("max_pool2d", b.pixels, SIDE, SIDE, [0, 0], [1, 1], True),
    ),
    "one window of means": (
        lambda b: b.add("mean.dim", b.pixels, [2, 3], True),
        lambda b: b.add("avg_pool2d", b.pixels, SIDE, SIDE, [0, 0], False, False),
    ),
    "a bias that is added to a bias": (
        lambda b: conv(b, bias=BIAS + FACTOR),
        lambda b: b.add("add.Tensor", conv(b, bias=BIAS), FACTOR.reshape(4, 1, 1)),
    ),
    "axes from the end": (
        lambda b: b.add("amax", b.pixels, [2, 3], True),
        lambda b: b.add("amax", b.pixels, [-1, -2], True),
    ),
    "a constant with its axes in another order": (
        lambda b: b.add("sub.Tensor", b.pixels, PICTURE),
        lambda b: turned_back(
            b, b.add("sub.Tensor", turned(b, b.pixels), PICTURE.permute(0, 2, 3, 1))
        ),
    ),
    "a constant before values in another order": (
        lambda b: b.add("cat", [PICTURE, b.pixels], 1),
        lambda b: turned_back(
            b, b.add("cat", [PICTURE.permute(0, 2, 3, 1), turned(b, b.pixels)], 3)
        ),
    ),
    "a softmax of axes in another order": (
        lambda b: b.add("softmax.int", b.pixels, 1),
        lambda b: turned_back(b, b.add("softmax.int", turned(b, b.pixels), 3)),
    ),
    "values and themselves turned": (
        lambda b: b.add("add.Tensor", square(b), turned(b, square(b), 0, 1, 3, 2)),
        lambda b: b.add("add.Tensor", turned(b, square(b), 0, 1, 3, 2), square(b)),
    ),
    "a sum with its axes in another order": (
        lambda b: b.add("add.Tensor", conv(b, pad=1), b.add("relu", conv(b, pad=1))),
        lambda b: turned_back(
            b,
            b.add(
                "add.Tensor",
                turned(b, conv(b, pad=1)),
                b.add("relu", turned(b, conv(b, pad=1))),
            ),
        ),
    ),
    "a sum with one side in another order": (
        lambda b: b.add(
            "add.Tensor", b.pixels, turned_back(b, b.add("softmax.int", turned(b, b.pixels), 3))
        ),
        lambda b: turned_back(
            b,
            b.add("add.Tensor", turned(b, b.pixels), b.add("softmax.int", turned(b, b.pixels), 3)),
        ),
    ),
    "a factor with its axes in another order": (
        lambda b: times(b, b.pixels, PLANE),
        lambda b: turned_back(b, times(b, turned(b, b.pixels), PLANE.reshape(3))),
    ),
    "parts with their axes in another order": (
        lambda b: b.add("cat", [b.pixels, b.add("relu", b.pixels)], 1),
        lambda b: turned_back(
            b, b.add("cat", [turned(b, b.pixels), b.add("relu", turned(b, b.pixels))], 3)
        ),
    ),
    "a mean over axes in another order": (
        lambda b: b.add("mean.dim", b.pixels, [2, 3], True),
        lambda b: turned_back(b, b.add("mean.dim", turned(b, b.pixels), [1, 2], True)),
    ),
    "a slice of axes in another order": (
        lambda b: turned(b, b.add("slice.Tensor", b.pixels, 1, 1, 3, 1)),
        lambda b: b.add("slice.Tensor", turned(b, b.pixels), 3, 1, 3, 1),
    ),
    "axes taken apart and in another order": (
        lambda b: turned(b, b.add("reshape", b.pixels, [1, 3, 4, 4, 6, 4]), 0, 3, 2, 5, 1, 4),
        lambda b: turned(
            b, b.add("reshape", turned(b, b.pixels), [1, 4, 4, 6, 4, 3]), 0, 2, 1, 4, 5, 3
        ),
    ),
    "a factor that stretches rows": (
        lambda b: times(b, b.add("amax", b.pixels, [1], True), PLANE),
        lambda b: b.add(
            "reshape",
            times(
                b,
                b.add("reshape", b.add("amax", b.pixels, [1], True), [1, 1, HEIGHT * WIDTH, 1]),
                PLANE,
            ),
            [1, 3, HEIGHT, WIDTH],
        ),
    ),
    "a factor of rows": (
        lambda b: times(b, b.pixels, PLANE),
        lambda b: b.add(
            "reshape",
            times(b, b.add("reshape", b.pixels, [1, 3, HEIGHT * WIDTH, 1]), PLANE),
            [1, 3, HEIGHT, WIDTH],
        ),
    ),
    "a ReLU before a grid from 0 on": (
        lambda b: rounded(b, b.pixels),
        lambda b: rounded(b, b.add("relu", b.pixels)),
    ),
    "a clamp beyond the ends of a grid": (
        lambda b: rounded(b, b.pixels),
        lambda b: rounded(b, b.add("hardtanh", b.pixels, 0.0, 5.2)),
    ),
    "a rounding twice": (
        lambda b: rounded(b, b.pixels, 9),
        lambda b: rounded(b, rounded(b, b.pixels, 9), 9),
    ),
    "a rounding of what was moved": (
        lambda b: turned(b, rounded(b, b.pixels, 9)),
        lambda b: rounded(b, turned(b, rounded(b, b.pixels, 9)), 9),
    ),
    "windows that are whole": (
        lambda b: pool(b, "avg_pool2d", b.pixels, [0, 0], True, False),
        lambda b: pool(b, "avg_pool2d", b.pixels, [0, 0], False, True),
    ),
}
ANOTHER: dict[str, tuple[Written, Written]] = {
    "the gate of something else": (
        lambda b: b.add("silu", b.pixels),
        lambda b: times(b, b.add("sigmoid", b.add("relu", b.pixels)), b.pixels),
    ),
    "gelu with another root": (
        lambda b: b.add("gelu", b.pixels),
        lambda b: times(b, times(b, b.pixels, erf(b, 1.5)), 0.5),
    ),
    "gelu turned round": (
        lambda b: b.add("gelu", b.pixels),
        lambda b: times(b, times(b, b.pixels, erf(b, -math.sqrt(2))), 0.5),
    ),
    "a mean and a maximum over the last axis": (
        lambda b: b.add("mean.dim", b.pixels, [-1], False),
        lambda b: b.add("amax", b.pixels, [-1], False),
    ),
    "integers with the bytes of a number": (
        lambda b: times(b, b.pixels, torch.full((1,), 2.0)),
        lambda b: times(b, b.pixels, torch.full((1,), 0x40000000, dtype=torch.int32)),
    ),
    "a grid that 0 is not on": (
        lambda b: b.add("relu", rounded(b, b.pixels, 300)),
        lambda b: rounded(b, b.add("relu", rounded(b, b.pixels, 300)), 300),
    ),
    "a pool of padding alone": (
        lambda b: padded_pool(b, rounded(b, b.pixels, 9)),
        lambda b: rounded(b, padded_pool(b, rounded(b, b.pixels, 9)), 9),
    ),
    "a clamp at half a code": (
        lambda b: rounded(b, b.pixels),
        lambda b: rounded(b, b.add("hardtanh", b.pixels, 0.0, 5.09)),
    ),
    "gelu with another half": (
        lambda b: b.add("gelu", b.pixels),
        lambda b: times(b, times(b, b.pixels, erf(b)), 0.6),
    ),
    "padding with ones": (
        lambda b: conv(b, pad=1),
        lambda b: conv(b, b.add("constant_pad_nd", b.pixels, [1, 1, 1, 1], 1.0)),
    ),
    "padding of a maximum with zeros": (
        lambda b: pool(b, "max_pool2d", b.pixels, [1, 1], [1, 1], False),
        lambda b: pool(
            b,
            "max_pool2d",
            b.add("constant_pad_nd", b.pixels, [1, 1, 1, 1], 0.0),
            [0, 0],
            [1, 1],
            False,
        ),
    ),
    "padding that does not count": (
        lambda b: pool(b, "avg_pool2d", b.pixels, [1, 1], False, True),
        lambda b: pool(b, "avg_pool2d", b.pixels, [1, 1], False, False),
    ),
    "a window that is a part": (
        lambda b: b.add("max_pool2d", b.pixels, [5, 5], [5, 5], [0, 0], [1, 1], True),
        lambda b: b.add("max_pool2d", b.pixels, [5, 5], [5, 5], [0, 0], [1, 1], False),
    ),
    "a bias along another axis": (
        lambda b: conv(b, bias=BIAS),
        lambda b: b.add("add.Tensor", conv(b), BIAS.reshape(1, 4, 1, 1) + torch.zeros(14, 1)),
    ),
    "parts joined along another axis": (
        lambda b: b.add("cat", [b.pixels, b.pixels, b.pixels, b.pixels], 1),
        lambda b: b.add("cat", [b.add("cat", [b.pixels, b.pixels], 1)] * 2, 2),
    ),
    "another factor": (
        lambda b: times(b, b.add("matmul", b.pixels, b.add("permute", b.pixels, [0, 1, 3, 2])), 6),
        lambda b: b.add(
            "matmul", times(b, b.pixels, 2.0), b.add("permute", b.pixels, [0, 1, 3, 2])
        ),
    ),
    "a ReLU before a grid with numbers below 0": (
        lambda b: rounded(b, b.pixels, 9),
        lambda b: rounded(b, b.add("relu", b.pixels), 9),
    ),
    "a clamp within a grid": (
        lambda b: rounded(b, b.pixels),
        lambda b: rounded(b, b.add("hardtanh", b.pixels, 0.0, 5.0)),
    ),
    "a rounding to two grids": (
        lambda b: rounded(b, b.pixels, 9),
        lambda b: rounded(b, rounded(b, b.pixels, 9, 0.03), 9),
    ),
    "a factor along another axis": (
        lambda b: times(b, b.pixels, PLACES[:HEIGHT].reshape(HEIGHT, 1)),
        lambda b: turned_back(b, times(b, turned(b, b.pixels), PLACES.reshape(WIDTH, 1))),
    ),
    "axes that are not of length 1": (
        lambda b: b.add("permute", b.pixels, [0, 1, 3, 2]),
        lambda b: b.add("reshape", b.pixels, [1, 3, WIDTH, HEIGHT]),
    ),
}


@pytest.mark.parametrize("name", SAME)
def test_what_is_the_same_is_told_to_be_so(name: str) -> None:
    one, other = map(program, SAME[name])
    x = pixels(1)
    torch.testing.assert_close(one.network(x), other.network(x), rtol=1e-5, atol=1e-5)
    assert compare(one, other) == []
    assert compare(other, one) == []


def table(nudge: float) -> Written:
    """A row that is computed from two tensors, and added."""

    def written(b: Builder) -> fx.Node:
        one, other = b.hold("a", torch.ones(4, WIDTH)), b.hold("b", torch.ones(WIDTH, 1) + nudge)
        row = b.add("matmul", b.hold("c", torch.ones(1, 4)), b.add("matmul", one, other))
        return b.add("add.Tensor", b.pixels, row)

    return written


def test_a_small_number_that_is_computed_is_not_measured_by_a_large_one() -> None:
    def written(least: float) -> Written:
        row = torch.full((WIDTH,), least)
        row[0] = 1e6

        def added(b: Builder) -> fx.Node:
            total = b.add("add.Tensor", b.hold("a", row), b.hold("b", torch.zeros(WIDTH)))
            return b.add("add.Tensor", b.pixels, total)

        return added

    assert len(compare(program(written(0.1)), program(written(0.9)))) == 1


def test_images_of_another_size_are_another_program() -> None:
    def of(side: tuple[int, int]) -> Program:
        build = Builder(side, images=(1, 1))
        build.graph.output(build.add("mean.dim", build.add("relu", build.pixels), [2, 3], True))
        for node in build.graph.nodes:
            node.meta.pop(VALUE, None)
        return Program(runnable(build.graph, {}), side, {}, ())

    assert compare(of((6, 5)), of((6, 5))) == []
    assert compare(of((6, 5)), of((9, 4))) != []


def test_a_grid_without_a_scale_is_left_as_it_is() -> None:
    one = program(lambda b: rounded(b, b.add("relu", b.pixels), scale=math.nan))
    assert compare(one, one) == []


def test_what_is_computed_from_tensors_may_be_summed_in_another_order_and_no_more() -> None:
    assert compare(program(table(0)), program(table(3e-7))) == []
    assert len(compare(program(table(0)), program(table(1e-5)))) == 1


@pytest.mark.parametrize("name", ANOTHER)
def test_a_near_miss_is_told(name: str) -> None:
    one, other = map(program, ANOTHER[name])
    assert compare(one, other) != []
    assert compare(other, one) != []
