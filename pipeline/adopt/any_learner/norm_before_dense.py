"""Batch norms before a dense layer become part of it, as in fastai's heads.

In: a program. Out: the same function: W (s x + t) + b is W' x + b' with W' = W s, b' = b + W t,
computed in float64. `pipeline.program.batch_norm_folding` folds those behind a layer.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import torch
from torch import fx, nn

from pipeline.adopt.any_learner.own_tensors import bias_of, own_tensors
from pipeline.program.batch_norm_folding import scale_and_shift
from pipeline.program.operations import arguments_of, operation_of
from pipeline.program.program import Program, runnable, shapes, tensor_nodes

if TYPE_CHECKING:
    from torch import Tensor


def norms_into_dense(program: Program) -> Program:
    """A copy with each batch norm of rows folded into the one dense layer that reads it."""
    graph = fx.Graph()
    graph.output(graph.graph_copy(program.network.graph, {}))
    tensors = program.network.state_dict(keep_vars=True)
    sources = dict(program.sources)
    ranks = {node.name: len(shape) for node, shape in shapes(program).items()}
    for norm in reversed([n for n in graph.nodes if operation_of(n) == "batch_norm"]):
        dense = _only_reader(norm)
        if dense is None or ranks[norm.name] != 2:
            continue
        scale, shift = (torch.from_numpy(v).double() for v in scale_and_shift(program, norm))
        weight = arguments_of(dense)["weight"]
        assert isinstance(weight, fx.Node)
        name = str(weight.target)
        kernel, bias = tensors[name].detach().double(), bias_of(graph, dense)
        before = tensors[bias].detach().double() if bias in tensors else torch.zeros(len(kernel))
        of_norm = [s for held in norm.all_input_nodes[1:] for s in sources[str(held.target)]]
        tensors[name] = _rounded(kernel * scale)
        tensors[bias] = _rounded(before + kernel @ shift)
        sources[name] = (*sources[name], *of_norm)
        sources[bias] = (*sources.get(bias, ()), *of_norm)
        norm.replace_all_uses_with(norm.all_input_nodes[0])
        graph.erase_node(norm)
    graph.eliminate_dead_code()
    used = [str(node.target) for node in tensor_nodes(graph)]
    return replace(
        program,
        network=runnable(graph, {name: tensors[name] for name in used}),
        sources={name: sources[name] for name in used},
    )


def _only_reader(norm: fx.Node) -> fx.Node | None:
    """The dense layer that alone reads a batch norm, with a weight that nothing else has."""
    (reader, *more) = norm.users
    if more or operation_of(reader) != "linear" or arguments_of(reader)["input"] is not norm:
        return None
    return reader if own_tensors(reader) else None


def _rounded(values: Tensor) -> Tensor:
    return nn.Parameter(values.float())
