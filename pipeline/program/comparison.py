"""Do two programs compute the same, operation by operation and number by number?

In: the program that is expected and one that was found, such as a file lifted into a program. Out:
a sentence for each difference, with its place in the one expected; none if there is none. Nodes are
matched by what they compute, from the outputs backwards, never by name, order or shape: a pair of
nodes that computes the same is left alone, in any other the operation, the attributes and the
inputs are compared, and what differs further up is looked at in its turn.
"""

from __future__ import annotations

import operator
from collections import deque
from dataclasses import dataclass
from itertools import permutations
from typing import TYPE_CHECKING, Final

import numpy as np

from pipeline.program.expressions.expression import INPUT, Expression, Numbers, stored
from pipeline.program.expressions.writing import expressions
from pipeline.program.operations import COMMUTATIVE
from pipeline.program.program import MODULE, place_of

if TYPE_CHECKING:
    from torch import fx

    from pipeline.program.program import Program

COMPUTED: Final = 1e-6  # of a number; a sum of 100 in another order in fp32
COMPUTED_IN_HALF: Final = 4e-3  # four times the step of fp16
CANCELLED: Final = 0.1  # of the largest: what a small number may be the difference of
MOST_ORDERS: Final = 6  # inputs of which every order is tried


@dataclass(frozen=True)
class Difference:
    """One difference.

    Attributes:
        sentence: with its place.
        of_numbers: whether the operations are the same, and a tensor's numbers are not, or it is
            missing.
    """

    sentence: str
    of_numbers: bool = False


def compare(expected: Program, found: Program, *, half: bool = False) -> list[str]:
    """Sentences on what differs for one image, in the order of `expected`; empty if nothing does.

    Args:
        half: both programs' tensors are rounded to fp16 before they are compared.
    """
    return [each.sentence for each in differences(expected, found, half=half)]


def differences(expected: Program, found: Program, *, half: bool = False) -> list[Difference]:
    """The same with their kinds."""
    numbers = Numbers()
    ours = expressions(expected, numbers, half=half)
    theirs = expressions(found, numbers, half=half)
    if len(ours) != len(theirs):
        return [Difference(f"{len(theirs)} outputs, not {len(ours)}")]
    place = {node: i for i, node in enumerate(expected.network.graph.nodes)}
    waiting = list(zip(ours, theirs, strict=True))
    seen: set[tuple[int, int]] = set()
    said: dict[Difference, int] = {}
    while waiting:
        one, other = waiting.pop()
        if one.whole == other.whole or (one.whole, other.whole) in seen:
            continue
        seen.add((one.whole, other.whole))
        sentences, further = _difference(one, other, half)
        said.update(dict.fromkeys(sentences, place[one.node]))
        waiting += further
    return sorted(said, key=lambda each: said[each])


Pairs = list[tuple[Expression, Expression]]


def _difference(one: Expression, other: Expression, half: bool) -> tuple[list[Difference], Pairs]:
    """What is wrong between two expressions that are not the same, and where to look further."""
    if one.kind != other.kind:
        return _another_operation(one, other)
    if one.tensor is not None and other.tensor is not None:
        if _computed_alike(one, other, half):
            return [], []
        return [Difference(_numbers_differ(one, other, half), of_numbers=True)], []
    place, kind = _place(one.node), one.kind
    if kind == "input":
        return [Difference(f"images of {list(other.shape)}, not {list(one.shape)}")], []
    sentences = [
        _attribute_differs(f"{place}: {kind}", key, value, other.attributes.get(key))
        for key, value in one.attributes.items()
        if other.attributes.get(key) != value and not _follows(key, one, other)
    ]
    if len(one.inputs) != len(other.inputs):  # an attribute says which is there and which is not
        return sentences, [
            (a, b) for a, b in zip(one.inputs, other.inputs, strict=False) if a.likeness(b)
        ]
    order = _order(one, other)
    if order != list(range(len(order))) and kind not in COMMUTATIVE:
        sentences.append(Difference(f"{place}: {kind} takes its inputs in another order"))
    return sentences, [(a, other.inputs[i]) for a, i in zip(one.inputs, order, strict=True)]


def _place(node: fx.Node) -> str:
    """Its module; outside any, as in a variant for int8, its name and the last layer before it."""
    layer = "" if node.meta.get(MODULE) else _layer_before(node)
    return f"{place_of(node)} after {layer}" if layer else place_of(node)


def _layer_before(node: fx.Node) -> str:
    """The module of the nearest parameter that what it takes is computed with; empty: none."""
    waiting = deque(node.all_input_nodes)
    seen = set(waiting)
    while waiting:
        source = waiting.popleft()
        holder = str(source.target).rpartition(".")[0] if source.op == "get_attr" else ""
        if holder:
            return holder
        new = [each for each in source.all_input_nodes if each not in seen]
        waiting += new
        seen.update(new)
    return ""


def _follows(key: str, one: Expression, other: Expression) -> bool:
    """Whether a shape is another because what is reshaped has another, which is said there."""
    shapes = ([each.shape for each in side.inputs] for side in (one, other))
    return key == "shape" and operator.ne(*shapes)


def _attribute_differs(where: str, key: str, wanted: object, found: object) -> Difference:
    if (wanted, found) == (INPUT, None):
        return Difference(f"{where} lacks its {key}", of_numbers=True)
    if (wanted, found) == (None, INPUT):
        return Difference(f"{where} with a {key} that does not belong there", of_numbers=True)
    return Difference(f"{where} with {key} {_said(found)}, not {_said(wanted)}")


def _another_operation(one: Expression, other: Expression) -> tuple[list[Difference], Pairs]:
    """An operation is missing, or there is one more, or another stands in its place."""
    place = _place(one.node)
    missing = max(one.inputs, key=other.likeness, default=None)
    more = max(other.inputs, key=one.likeness, default=None)
    without = missing.likeness(other) if missing else 0
    beyond = more.likeness(one) if more else 0
    if missing and without > beyond:
        return [Difference(f"{place}: no {one.kind}")], [(missing, other)]
    if more and beyond:
        said = f"{place}: then a {other.kind} that does not belong there"
        return [Difference(said)], [(one, more)]
    further = list(zip(one.inputs, other.inputs, strict=False))
    return (
        [Difference(f"{place}: {_named(other)} in place of {_named(one)}")],
        [(a, b) for a, b in further if a.likeness(b)],
    )


def _order(one: Expression, other: Expression) -> list[int]:
    """Which inputs of `other` are most like those of `one`, in their order where it may be."""
    places = range(len(one.inputs))
    if len(places) > MOST_ORDERS:
        return _greedy(one, other)

    def likeness(order: list[int]) -> int:
        return sum(a.likeness(other.inputs[i]) for a, i in zip(one.inputs, order, strict=True))

    return max(map(list, permutations(places)), key=likeness)  # of the best, the first


def _greedy(one: Expression, other: Expression) -> list[int]:
    left = list(range(len(other.inputs)))
    order = []
    for i, a in enumerate(one.inputs):
        best = max(left, key=lambda j: (a.likeness(other.inputs[j]), j == i))
        left.remove(best)
        order.append(best)
    return order


def _computed_alike(one: Expression, other: Expression, half: bool) -> bool:
    """Whether numbers computed from several tensors differ by the order of sums alone."""
    computed = one.node.op == "call_function" and len(one.names) > 1
    if not computed or one.shape != other.shape:
        return False
    assert one.tensor is not None
    assert other.tensor is not None
    wanted, found = one.tensor.double(), other.tensor.double()
    allowed = (COMPUTED_IN_HALF if half else COMPUTED) * (
        wanted.abs() + CANCELLED * wanted.abs().max()
    )
    return bool(((wanted - found).abs() <= allowed).all())


def _numbers_differ(one: Expression, other: Expression, half: bool) -> str:
    assert one.tensor is not None
    assert other.tensor is not None
    wanted, found = (stored(each, half).numpy() for each in (one.tensor, other.tensor))
    name = ", ".join(one.names) or _place(one.node)
    if wanted.shape != found.shape:
        return f"{name}: shape {found.shape}, not {wanted.shape}"
    wrong = wanted != found
    if not wrong.any():
        return f"{name}: numbers of type {found.dtype}, not {wanted.dtype}"
    place = tuple(int(i) for i in np.argwhere(wrong)[0])
    return (
        f"{name}: {int(wrong.sum())} of {wrong.size} values are not those expected, first at "
        f"{list(place)}: {found[place]:.6g} for {wanted[place]:.6g}"
    )


def _named(expression: Expression) -> str:
    if expression.names:
        return f"{expression.kind} {', '.join(expression.names)}"
    return expression.kind


def _said(value: object) -> object:
    return list(value) if isinstance(value, tuple) else value
