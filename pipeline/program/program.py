"""A network as a program: operations in a row, each naming what it takes and where it stood.

In: any network (`pipeline.program.capture`) or a document (`pipeline.program.document`). Out:
`Program.network`, an `fx.GraphModule` of one input, float32 (N, 3, H, W) normalised, that answers
logits (N, K), or logits and evidence. Its nodes are the input, the tensors (``get_attr``, under the
names that they had in the network), the calls of `pipeline.program.operations`, and the output. It
runs, is differentiated, copied and moved to another type as any module; batch norms stay in
evaluation mode whatever is called. H and W are those of the capture: padding and reshapes may hold
them as numbers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

import torch
from torch import Tensor, fx, nn

INPUT: Final = "pixels"
MODULE: Final = "module"  # in a node's `meta`: the name of the module that it comes from


@dataclass(frozen=True, eq=False)
class Program:
    """A network as one program.

    Attributes:
        network: see above.
        side: height and width of its input.
        sources: tensor -> the entries of the network's state that it was made of: its own name, the
            other names of a tied one, those of a batch norm folded into it; none of a constant.
        unused: entries of the network's state that no operation uses.
    """

    network: fx.GraphModule
    side: tuple[int, int]
    sources: Mapping[str, tuple[str, ...]]
    unused: tuple[str, ...]

    def operations(self) -> list[fx.Node]:
        """The calls, in order."""
        return [node for node in self.network.graph.nodes if node.op == "call_function"]

    def outputs(self) -> list[fx.Node]:
        """Of logits, and of evidence where there is one."""
        returned = self.network.graph.output_node().args[0]
        nodes = returned if isinstance(returned, tuple | list) else (returned,)
        return [node for node in nodes if isinstance(node, fx.Node)]

    @cached_property
    def lengths(self) -> Mapping[str, tuple[int, ...]]:
        """Name of every node -> the shape of its result for one image; found once."""
        return {node.name: shape for node, shape in shapes(self).items()}

    def tensors(self) -> dict[str, Tensor]:
        """Parameters, buffers and constants by name, detached; each is used by an operation."""
        return self.network.state_dict()


def place_of(node: fx.Node) -> str:
    """Where a node stands, for messages: its module, or its own name outside any."""
    return str(node.meta.get(MODULE) or node.name)


def runnable(graph: fx.Graph, tensors: Mapping[str, Tensor]) -> fx.GraphModule:
    """A graph with its tensors: those that are parameters stay such, others are buffers."""
    home = nn.Module()
    for name, tensor in tensors.items():
        *folders, last = name.split(".")
        module = home
        for folder in folders:
            if not hasattr(module, folder):
                module.add_module(folder, nn.Module())
            module = getattr(module, folder)
        if isinstance(tensor, nn.Parameter):
            module.register_parameter(last, tensor)
        else:
            module.register_buffer(last, tensor)
    return fx.GraphModule(home, graph, class_name="Program").eval()


def tensor_nodes(graph: fx.Graph) -> list[fx.Node]:
    """The nodes that hold a tensor, one for each."""
    return [node for node in graph.nodes if node.op == "get_attr"]


def shapes(program: Program, images: int = 1) -> dict[fx.Node, tuple[int, ...]]:
    """The shape of every node's result for so many images; () for the number of images.

    Nothing is computed. What torch raises where inputs do not fit has the place as a note.
    """
    from torch._subclasses.fake_tensor import FakeTensorMode

    found: dict[fx.Node, Any] = {}
    tensors = program.tensors()
    with FakeTensorMode() as mode, torch.inference_mode(False), torch.no_grad():
        for node in program.network.graph.nodes:
            if node.op == "placeholder":
                found[node] = torch.zeros(images, 3, *program.side)
            elif node.op == "get_attr":
                found[node] = mode.from_tensor(tensors[node.target])
            elif node.op == "call_function":
                args, kwargs = fx.map_arg((node.args, node.kwargs), found.__getitem__)
                try:
                    found[node] = node.target(*args, **kwargs)
                except Exception as error:
                    error.add_note(place_of(node))
                    raise
    return {n: tuple(x.shape) if isinstance(x, Tensor) else () for n, x in found.items()}
