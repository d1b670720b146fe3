"""Tensors that a file changes in place, as values that do not change.

Bytecode holds tensors that share memory: what is written into one shows in the others. Here a
tensor is a `Place` with the node that it now holds. A change of a slice is a change of what it was
cut from. Whether any other shares memory may depend on how it lies there, which is not known: after
a change in place the others cannot be read.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from export.errors import CannotRunHere

if TYPE_CHECKING:
    from torch import fx


@dataclass(eq=False)
class Place:
    """A tensor of the file.

    Attributes:
        node: what it holds.
        kin: all that may share its memory, itself among them.
        whole: what it is a slice of; None: it is none.
        with_part: what `whole` holds when this slice of it holds another node.
        stale: whether another may have changed it.
    """

    node: fx.Node
    kin: list[Place] = field(default_factory=list)
    whole: Place | None = None
    with_part: Callable[[fx.Node, fx.Node], fx.Node] | None = None
    stale: bool = False

    def __post_init__(self) -> None:
        self.kin.append(self)

    def read(self) -> fx.Node:
        """What it holds now. Raises CannotRunHere if that is not known."""
        if self.stale:
            raise CannotRunHere("a tensor whose memory another may have changed is not known here")
        return self.node

    def write(self, node: fx.Node) -> None:
        """Change it in place."""
        changed = self._changed(node)
        for place in self.kin:
            place.stale = True
        for place, now in changed:
            place.node, place.stale = now, False

    def _changed(self, node: fx.Node) -> list[tuple[Place, fx.Node]]:
        """It and what it is a slice of, with what they hold when it holds this node."""
        if self.whole is None or self.with_part is None:
            return [(self, node)]
        whole = self.with_part(self.whole.read(), node)
        return [(self, node), *self.whole._changed(whole)]
