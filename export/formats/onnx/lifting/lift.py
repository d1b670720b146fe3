"""A graph as a program of what follows the pixels.

In: the graph of a file, uint8 (1, H, W, 3) -> its outputs. Out: a `Program` of one image, float32
(1, 3, H, W) 0..255, with the file's own numbers. Before it stands nothing but a cast and a
transpose, which is required. Every node is looked at, and each of its attributes and numbers: what
no output needs is an error, and what is not known here says so by its name.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import torch
from torch import Tensor, fx

from export.errors import CannotRunHere, Unreadable
from export.formats.onnx.lifting.call import Call, Coded, Value
from export.formats.onnx.lifting.constants import computed
from export.formats.onnx.lifting.entries import ENTRIES
from export.formats.onnx.lifting.normalisation import taken_out
from pipeline.errors import BadInput
from pipeline.program.builder import VALUE, Builder
from pipeline.program.program import Program, runnable, tensor_nodes

if TYPE_CHECKING:
    from export.formats.onnx.lifting.call import Entry
    from export.formats.onnx.lifting.graph import Graph, Node

PLANES: Final = [0, 3, 1, 2]
LEAST_OPSET: Final = 13  # before it Softmax takes all axes from one on as one
FLOAT: Final = 1  # onnx.TensorProto.DataType
CHANNELS: Final = 3


def lifted_graph(graph: Graph, entries: Mapping[str, Entry] = ENTRIES) -> Program:
    """The program of a graph.

    Raises:
        CannotRunHere: an operation or attribute that has no entry.
        Unreadable: the graph contradicts itself, or begins or ends in another way.
    """
    if graph.opset < LEAST_OPSET:
        raise CannotRunHere(f"opset {graph.opset} of ONNX is not known here")
    height, width = _side(graph)
    pixels, nodes = _after_pixels(graph)
    whole, graph = graph, taken_out(replace(graph, nodes=nodes), pixels)
    build = Builder((height, width), images=(1, 1))
    values: dict[str, Value] = {
        name: torch.from_numpy(np.array(array)) for name, array in graph.constants.items()
    }
    values[pixels] = build.pixels
    for node in graph.nodes:
        results = _results(build, node, values, graph.opset, entries)
        values.update(zip(node.outputs, results, strict=False))
    _refuse_unused(whole)
    found = [values.get(name) for name in graph.outputs]
    ends = [result for result in found if isinstance(result, fx.Node)]
    if len(ends) < len(found):
        raise Unreadable("an output does not depend on the image")
    build.graph.output(ends[0] if len(ends) == 1 else tuple(ends))
    build.graph.eliminate_dead_code()
    for made in build.graph.nodes:
        made.meta.pop(VALUE, None)
    names = [str(held.target) for held in tensor_nodes(build.graph)]
    return Program(
        runnable(build.graph, {name: build.tensors[name] for name in names}),
        (height, width),
        dict.fromkeys(names, ()),
        (),
    )


def _side(graph: Graph) -> tuple[int, int]:
    shape = graph.input_shape
    if graph.input_type != np.uint8 or len(shape) != 4 or (shape[0], shape[3]) != (1, CHANNELS):
        raise Unreadable(f"the input is {graph.input_type} {shape}, not uint8 (1, H, W, 3)")
    return shape[1], shape[2]


def _after_pixels(graph: Graph) -> tuple[str, tuple[Node, ...]]:
    """The name of the planes of float32, and the nodes but those two that make them."""
    wanted: dict[str, Mapping[str, Any]] = {"Transpose": {"perm": PLANES}, "Cast": {"to": FLOAT}}
    pixels, nodes = graph.input, graph.nodes
    while wanted:
        readers = [node for node in nodes if pixels in node.inputs]
        said = wanted.pop(readers[0].operation, None) if len(readers) == 1 else None
        if said is None or {k: _plain(v) for k, v in readers[0].attributes.items()} != said:
            raise Unreadable(
                "the image is not turned into planes of float32 before all else: "
                + (", ".join(node.place for node in readers) or "nothing reads it")
            )
        pixels = readers[0].outputs[0]
        nodes = tuple(node for node in nodes if node is not readers[0])
    return pixels, nodes


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, Sequence) and not isinstance(value, str) else value


def _results(
    build: Builder,
    node: Node,
    values: Mapping[str, Value],
    opset: int,
    entries: Mapping[str, Entry],
) -> Sequence[Value]:
    if missing := [name for name in node.inputs if name and name not in values]:
        raise Unreadable(f"{node.place} takes {missing[0]}, which nothing before it makes")
    inputs = [values[name] if name else None for name in node.inputs]
    constants = [each for each in inputs if each is None or isinstance(each, Tensor)]
    if len(constants) == len(inputs):
        return computed(node, constants, opset)
    call = Call(build, node, inputs)
    if node.operation not in entries:
        raise call.unknown()
    build.place = node.name
    try:
        made = entries[node.operation](call)
    except BadInput as error:
        raise CannotRunHere(f"{node.place} cannot be a part of a program: {error}") from error
    except (CannotRunHere, Unreadable):
        raise
    except Exception as error:  # whatever torch says of inputs that do not fit
        said = str(error).strip().splitlines() or [type(error).__name__]
        raise Unreadable(f"{node.place}: {said[0][:200]}") from error
    call.refuse_unread()
    return [made] if isinstance(made, fx.Node | Tensor | Coded) else list(made)


def _refuse_unused(graph: Graph) -> None:
    used = {name for node in graph.nodes for name in node.inputs} | set(graph.outputs)
    for node in graph.nodes:
        if not used & set(node.outputs):
            raise Unreadable(f"nothing uses the result of {node.place}")
    if unread := sorted(graph.constants.keys() - used):
        size = graph.constants[unread[0]].nbytes
        raise Unreadable(f"nothing reads the initializer {unread[0]}, {size} bytes")
