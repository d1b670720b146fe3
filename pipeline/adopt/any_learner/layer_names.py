"""Tensors of a layer as ``LAYER.weight`` and ``LAYER.bias``, however the module calls them.

In: a program. Out: the same with other names where they did not tell which layer a tensor is of, or
no file could hold them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from torch import fx

from pipeline.program.operations import arguments_of, operation_of
from pipeline.program.program import Program, runnable, tensor_nodes

LAYERS: Final = ("conv2d", "linear", "batch_norm")
READABLE: Final = re.compile(r"\w+(\.\w+)*", flags=re.ASCII)
UNREADABLE: Final = re.compile(r"[^A-Za-z0-9_ :/+.-]")  # pipeline/program/program.schema.json


def named_by_layer(program: Program) -> Program:
    """The program under names that tell the layer; itself if they do already."""
    taken = {name for name in program.sources if READABLE.fullmatch(name)}
    names: dict[str, str] = {}
    for node in program.operations():
        if operation_of(node) in LAYERS:
            held = _held(node)
            if not (taken.issuperset(held.values()) and all(map(_tells, held.values(), held))):
                for key, name in held.items():
                    names.setdefault(name, _free(node.name, key, taken))
    for name in program.sources.keys() - taken:
        names.setdefault(name, _free("tensor", "values", taken))
    return _renamed(program, names)


def _held(node: fx.Node) -> dict[str, str]:
    nodes = {key: v for key, v in arguments_of(node).items() if isinstance(v, fx.Node)}
    return {key: str(v.target) for key, v in nodes.items() if v.op == "get_attr"}


def _tells(name: str, key: str) -> bool:
    layer, _, last = name.rpartition(".")
    return bool(layer) and last == key


def _free(layer: str, key: str, taken: set[str]) -> str:
    """A name that is not taken, nor below one that is."""
    place, count = layer, 0
    while place in taken or f"{place}.{key}" in taken:
        count += 1
        place = f"{layer}_{count}"
    taken.add(f"{place}.{key}")
    return f"{place}.{key}"


def _renamed(program: Program, names: Mapping[str, str]) -> Program:
    graph = fx.Graph()
    graph.output(graph.graph_copy(program.network.graph, {}))
    for node in tensor_nodes(graph):
        node.target = names.get(str(node.target), str(node.target))
    tensors = program.network.state_dict(keep_vars=True)
    return replace(
        program,
        network=runnable(graph, {names.get(n, n): tensor for n, tensor in tensors.items()}),
        sources={names.get(n, n): _readable(of) for n, of in program.sources.items()},
        unused=_readable(program.unused),
    )


def _readable(names: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(UNREADABLE.sub("_", name) for name in names)
