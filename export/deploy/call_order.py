"""The order in which a program would call what a file only lists: runtimes reorder branches.

From the result backwards, inputs from first to last: the main path of a residual block comes before
its shortcut. This is PyTorch's own order if a block's branches are written in the order of their
sum or concatenation, as in torchvision's networks.
"""

from __future__ import annotations

from collections.abc import Sequence


def call_order(
    ends: Sequence[int], before: Sequence[Sequence[int]], summands: Sequence[Sequence[int]]
) -> list[int]:
    """Numbers of operations, in call order; no recursion, since a chain may exceed Python's stack.

    Args:
        ends: the operations that compute the results, then any others that must not be left out.
        before: for each operation those that it needs, in the order of its inputs. No cycles.
        summands: likewise those whose result it only adds to its own; they are called after it.
    """
    ordered: list[int] = []
    seen: set[int] = set()
    stack = [(end, False) for end in reversed(ends)]
    while stack:
        number, is_next = stack.pop()
        if is_next:
            ordered.append(number)
        elif number not in seen:
            seen.add(number)
            stack += [(i, False) for i in reversed(summands[number])]
            stack.append((number, True))
            stack += [(i, False) for i in reversed(before[number])]
    return ordered
