"""What a spelling is: a rule that one thing, written in several ways, is written in one.

Each is an equation of functions, whatever the numbers are; so a comparison that applies it on both
sides says neither more nor less.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, TypeAlias

from torch import Tensor, fx

from pipeline.program.expressions.expression import Expression


class Write(Protocol):
    """Writes expressions; each result is in the one form already."""

    def tensor(self, node: fx.Node, numbers: Tensor, names: tuple[str, ...]) -> Expression:
        """What does not depend on the input."""

    def stored(self, numbers: Tensor) -> Tensor:
        """Numbers as a file has them, before anything is computed of them."""

    def operation(
        self,
        node: fx.Node,
        kind: str,
        shape: tuple[int, ...],
        attributes: dict[str, object],
        inputs: tuple[Expression, ...],
    ) -> Expression:
        """An operation."""


# Another form of an expression that is not yet written; None: this is the one.
Spelling: TypeAlias = Callable[[Write, Expression], Expression | None]
