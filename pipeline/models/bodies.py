"""The body of an architecture: what stands before its global pool, taken from the library's module.

In: the one spelling of an architecture's name. Out: `Body`, a module float32 (N, 3, H, W) ->
features, with the names that its tensors have in the library's own module and files.

A body is the library's modules one after the other, in a `Sequential` with the names they have
there; a body that is one such sequence is that sequence itself. Where the outermost `forward` does
more than that, the body is its graph (`torch.fx.GraphModule`) of the library's modules. Nothing is
found in a table of names: `pipeline.models.global_pool` looks.

A network without a plain global pool (a vision transformer) is kept whole, its classifier taken
off: its features have no places, (N, C).
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Final

import torch
from torch import Tensor, fx, nn

from pipeline.architecture_names import library_and_name
from pipeline.errors import BadInput
from pipeline.models.empty_weights import empty_weights
from pipeline.models.global_pool import SIDES, Cut, find_cut, traced
from pipeline.models.libraries import whole_network

RELUS: Final = (nn.functional.relu, torch.relu, "relu")


@dataclass(frozen=True)
class Part:
    """A network of our own: the first `modules` of another architecture's body."""

    architecture: str
    modules: int
    channels: int


# SqueezeNet without its last three fire modules. They recognise ImageNet's objects, which an X-ray
# does not show: on frozen bodies fire6 detects COVID-19 better than fire9 does, at a third of the
# weights.
OWN: Final[Mapping[str, Part]] = {"squeezenet1_1_fire6": Part("squeezenet1_1", 10, 384)}


@dataclass(frozen=True)
class Body:
    """A body, and what is known about it.

    Attributes:
        module: float32 (N, 3, H, W) normalised -> (N, C, h, w), or (N, C) without places.
        channels: C.
        places: whether its features have them.
        names: of its tensors -> in the state of the library's whole network.
    """

    module: nn.Module
    channels: int
    places: bool
    names: Mapping[str, str]


def base(architecture: str) -> str:
    """The architecture of a library that this one is made from; mostly itself."""
    return OWN[architecture].architecture if architecture in OWN else architecture


def make_body(architecture: str, functions: bool = True) -> Body:
    """A fresh body with random weights, on torch's default device.

    Args:
        architecture: in its one spelling.
        functions: with what the library applies between its modules, such as DenseNet's last ReLU;
            fastai's bodies are modules alone.

    Raises:
        BadInput: the network ends in something that cannot be replaced.
    """
    cut = _cut_of(base(architecture))
    if cut is None:
        return _without_classifier(architecture)
    whole = whole_network(base(architecture))
    names = _names_by_tensor(whole)
    module = _up_to(whole, cut, functions)
    channels = cut.channels
    if architecture in OWN:
        assert isinstance(module, nn.Sequential)
        module, channels = module[: OWN[architecture].modules], OWN[architecture].channels
    return Body(module, channels, True, _names_in(module, names))


@cache
def library_names(architecture: str) -> Mapping[str, str]:
    """Names of the body's tensors -> in the state of the library's whole network."""
    with torch.device("meta"):
        return make_body(architecture).names


@cache
def has_places(architecture: str) -> bool:
    """Whether networks of this architecture have a map of evidence."""
    return _cut_of(base(architecture)) is not None


@cache
def _cut_of(architecture: str) -> Cut | None:
    with empty_weights():
        return find_cut(whole_network(architecture))


def _up_to(whole: nn.Module, cut: Cut, functions: bool) -> nn.Module:
    """The part of `whole` up to the cut."""
    graph = traced(whole, cut.opened)
    last = next(node for node in graph.nodes if node.name == cut.last)
    steps = None if cut.channels_last else _chain(whole, last, functions)
    if steps is None:
        return _graph_up_to(whole, graph, last, cut.channels_last)
    sequences = [module for module in steps.values() if next(module.parameters(), None) is not None]
    if len(sequences) == 1 and type(sequences[0]) is nn.Sequential:
        (only,) = sequences
        rest = {name: module for name, module in steps.items() if module is not only}
        if not rest:
            return only
        steps = OrderedDict(only.named_children()) | rest
    return nn.Sequential(steps)


def _chain(whole: nn.Module, last: fx.Node, functions: bool) -> OrderedDict[str, nn.Module] | None:
    """The modules up to `last`, if they are children of `whole` and follow one another."""
    steps: list[tuple[str, nn.Module]] = []
    node = last
    while node.op != "placeholder":
        sources = node.all_input_nodes
        if len(sources) != 1:
            return None
        if node.op == "call_module" and "." not in str(node.target) and len(node.args) == 1:
            steps.append((str(node.target), whole.get_submodule(str(node.target))))
        elif node.target in RELUS and not hasattr(whole, "relu"):
            if functions:
                steps.append(("relu", nn.ReLU(inplace=True)))
        else:
            return None
        node = sources[0]
    found = OrderedDict(reversed(steps))
    return found if len(found) == len(steps) else None  # a module that is used twice


def _graph_up_to(
    whole: nn.Module, graph: fx.Graph, last: fx.Node, channels_last: bool
) -> fx.GraphModule:
    """The graph up to `last`, as a module that runs it."""
    nodes = list(graph.nodes)
    for node in reversed(nodes[nodes.index(last) + 1 :]):
        graph.erase_node(node)
    with graph.inserting_after(last):
        if channels_last:
            last = graph.call_method("permute", (last, 0, 3, 1, 2))
    graph.output(last)
    body = fx.GraphModule(whole, graph, class_name="Body")
    if body.graph.eliminate_dead_code():
        body.delete_all_unused_submodules()
        body.recompile()
    return body


def _without_classifier(architecture: str) -> Body:
    """The whole network, but for its last layer."""
    whole, classifier = _headless(architecture)
    names = _names_by_tensor(whole)
    if classifier:
        whole.set_submodule(classifier, nn.Identity())
    return Body(whole, _features(architecture), False, _names_in(whole, names))


def _headless(architecture: str) -> tuple[nn.Module, str]:
    """The library's network, and the name of a classifier that is still to be taken off."""
    if library_and_name(architecture)[0] == "timm":
        return whole_network(architecture, num_classes=0), ""
    return whole_network(architecture), _classifier(architecture)


@cache
def _classifier(architecture: str) -> str:
    """The one linear layer whose size is the number of classes."""
    with torch.device("meta"):
        models = [whole_network(architecture, num_classes=classes) for classes in (7, 11)]
    few, many = ({n: t.shape for n, t in model.state_dict().items()} for model in models)
    changed = {name.rpartition(".")[0] for name in few if few[name] != many[name]}
    if len(changed) != 1 or not isinstance(models[0].get_submodule(*changed), nn.Linear):
        raise BadInput(f"{architecture} does not end in one linear layer; its head is not known")
    return next(iter(changed))


@cache
def _features(architecture: str) -> int:
    """The number of features of a network without its classifier."""
    with torch.device("meta"):
        whole, classifier = _headless(architecture)
        if classifier:
            whole.set_submodule(classifier, nn.Identity())
        for side in SIDES:
            try:
                answer = whole.eval()(torch.empty(1, 3, side, side))
            except Exception:  # a size that it does not take
                continue
            if isinstance(answer, Tensor) and answer.ndim == 2:
                return answer.shape[1]
    raise BadInput(f"{architecture} does not give one row of features an image; it has no use here")


def _names_by_tensor(whole: nn.Module) -> dict[int, str]:
    return {id(tensor): name for name, tensor in whole.state_dict(keep_vars=True).items()}


def _names_in(module: nn.Module, whole: Mapping[int, str]) -> dict[str, str]:
    """Names of the module's tensors -> in the network that they were taken from."""
    tensors = module.state_dict(keep_vars=True)
    return {name: whole[id(tensor)] for name, tensor in tensors.items()}
