"""The graph of a file: nodes in order, constants and ports, whichever way the file stores them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Arrays = Mapping[str, NDArray[Any]]


@dataclass(frozen=True)
class Node:
    """A node.

    Attributes:
        operation: its name; with its domain before it and a dot, if it is not of ONNX itself.
        name: of the node, for messages; may be empty.
        inputs: names of values; empty where an optional one is left out.
        outputs: names of the values that it makes.
        attributes: integers, floats, strings, lists of these, or tensors as ONNX stores them.
    """

    operation: str
    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: Mapping[str, Any]

    @property
    def place(self) -> str:
        """For messages."""
        return f"{self.operation} {self.name or self.outputs[0]}"


@dataclass(frozen=True)
class Graph:
    """A graph.

    Attributes:
        nodes: each after those whose values it takes.
        constants: name -> numbers.
        input: name of its one input.
        input_type: numpy dtype of it.
        input_shape: of it, with one image.
        outputs: names, in order.
        opset: version of ONNX's operations.
    """

    nodes: tuple[Node, ...]
    constants: Arrays
    input: str
    input_type: np.dtype[Any]
    input_shape: tuple[int, ...]
    outputs: tuple[str, ...]
    opset: int
