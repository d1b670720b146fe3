"""Arguments of an operation as entries take them, and what an entry says that has none for a case.

Numbers and nodes are at hand already (`export.formats.coreml.lifting.lift`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeAlias

from torch import fx

from export.errors import CannotRunHere
from export.formats.coreml.evaluator.operations.arguments import integers
from pipeline.program.builder import Builder, axis_of, shape_of
from pipeline.program.shape_rules import reshaped_by

if TYPE_CHECKING:
    import numpy as np

Arguments: TypeAlias = Mapping[str, Any]
Entry: TypeAlias = Callable[[Builder, Arguments], fx.Node | tuple[fx.Node, ...]]


def unknown_use(operation: str, what: str) -> CannotRunHere:
    """The error of an operation that is known here, but not used like this."""
    return CannotRunHere(f"operation {operation} of Core ML with {what} is not known here")


def axes_from_front(arguments: Arguments, x: fx.Node) -> list[int]:
    """The argument `axes`; without it all axes."""
    given: np.ndarray[Any, Any] | None = arguments.get("axes")
    chosen = range(len(shape_of(x))) if given is None else integers(given)
    return sorted(axis_of(x, axis) for axis in chosen)


def sizes_of(x: fx.Node) -> list[int]:
    """The shape of a value, for one image."""
    return [size for size in shape_of(x) if isinstance(size, int)]


def reshaped_to(build: Builder, x: fx.Node, shape: list[int]) -> fx.Node:
    """A value in another shape, of which one length may be -1."""
    made: fx.Node = reshaped_by(lambda values: values.reshape(shape))(build, x)
    return made
