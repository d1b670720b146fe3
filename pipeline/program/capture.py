"""Any network as a program.

In: a module, float32 (N, 3, H, W) normalised -> logits (N, K), or logits and evidence. Out: a
`Program` that computes the same in evaluation mode, for any N at this H and W. It has copies of the
module's tensors, and every entry of the module's state is accounted for. `torch.export` runs the
module's own `forward` on tensors without numbers; its operations are then written one by one in the
form of `pipeline.program.normal_form`. That is done for two images and for three: what differs is
how many images there are, and nothing else of the program may depend on it.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from itertools import zip_longest
from typing import TYPE_CHECKING, Any, Final

import torch
from torch import Tensor, fx, nn
from torch._ops import OpOverload
from torch.utils._pytree import tree_leaves

from pipeline.errors import BadInput
from pipeline.program.builder import IMAGES, VALUE, Builder, computed, together
from pipeline.program.in_place import write_beside
from pipeline.program.normal_form import RULES
from pipeline.program.operations import name_of
from pipeline.program.program import Program, runnable, tensor_nodes

if TYPE_CHECKING:
    from torch.export import ExportedProgram

OUTPUTS: Final = 2  # logits, and evidence
WAY_OUT: Final = "write it with the operations of pipeline/program/operations.py"


def capture(module: nn.Module, side: tuple[int, int]) -> Program:
    """The program of a module for images of this height and width.

    Raises:
        BadInput: torch.export cannot follow the module, or an operation is not among those of a
            program; the message names it and the module that it stands in.
    """
    exported = tuple(_exported(module, images, side) for images in IMAGES)
    first = _first_names(module)
    graph, tensors = _written(exported, first)
    sources: dict[str, list[str]] = {str(node.target): [] for node in tensor_nodes(graph)}
    unused: list[str] = []
    for name in module.state_dict():
        sources.get(first.get(name, name), unused).append(name)
    return Program(
        runnable(graph, {name: tensors[name] for name in sources}),
        side,
        {name: tuple(names) for name, names in sources.items()},
        tuple(unused),
    )


def _exported(module: nn.Module, images: int, side: tuple[int, int]) -> ExportedProgram:
    modes = {part: part.training for part in module.modules()}
    try:
        with _as_written():
            pixels = torch.zeros(images, 3, *side)
            exported = torch.export.export(module.eval(), (pixels,), strict=False)
            beside = write_beside(exported.graph)
            if not beside or any(map(_can_be_taken_apart, _unknown(exported))):
                exported = torch.export.export(module, (pixels,), strict=False)
                exported = exported.run_decompositions({})
            return _decomposed(exported)
    except Exception as error:  # torch.export raises whatever the module or torch itself does
        said = str(error).strip().splitlines() or [""]
        raise BadInput(
            f"torch.export cannot follow {type(module).__name__} at {side[0]}x{side[1]}: "
            f"{type(error).__name__}: {said[0][:300]}"
        ) from error
    finally:
        for part, training in modes.items():
            part.training = training


def _decomposed(exported: ExportedProgram) -> ExportedProgram:
    """Operations that have no place here are taken apart, where torch knows how; others are not.

    A table of all that torch knows would take it twenty times as long.
    """
    while unknown := _unknown(exported):
        table = {call: _known()[call] for call in unknown if call in _known()}
        if not table:
            break
        exported = exported.run_decompositions(table)
    return exported


@cache
def _known() -> Mapping[Any, Any]:
    return torch.export.default_decompositions()


def _can_be_taken_apart(call: Any) -> bool:
    """Into what can be told apart further; operations on whole graphs can."""
    return call in _known() or not isinstance(call, OpOverload) or call._can_decompose()


def _unknown(exported: ExportedProgram) -> set[Any]:
    calls = {node.target for node in exported.graph.nodes if node.op == "call_function"}
    return {call for call in calls if call not in RULES and name_of(call) is None}


@contextmanager
def _as_written() -> Iterator[None]:
    """Without torch's fast path of attention, one operation for all, and its notes on itself."""
    before = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with warnings.catch_warnings(), torch.no_grad():
            warnings.simplefilter("ignore")
            yield
    finally:
        torch.backends.mha.set_fastpath_enabled(before)


def _first_names(module: nn.Module) -> dict[str, str]:
    """Name of every parameter and buffer -> the first name of the same tensor."""
    first: dict[int, str] = {}
    every = [
        *module.named_parameters(remove_duplicate=False),
        *module.named_buffers(remove_duplicate=False),
    ]
    return {name: first.setdefault(id(tensor), name) for name, tensor in every}


def _written(
    exported: Sequence[ExportedProgram], first: Mapping[str, str]
) -> tuple[fx.Graph, dict[str, Tensor]]:
    """The graph in normal form, and the tensors that were held for it."""
    one = exported[0]
    twins = _twins(*(each.graph for each in exported))
    inputs = {spec.arg.name: str(spec.target or "") for spec in one.graph_signature.input_specs}
    (pixels,) = (n for n in twins.values() if n.op == "placeholder" and not inputs[n.name])
    build = Builder(tuple(pixels.meta["val"].shape[2:]), taken=first)
    values: dict[fx.Node, Any] = {pixels: build.pixels}
    for twin, node in twins.items():
        if node.op == "placeholder" and node is not pixels:
            values[node] = _tensor(build, exported, inputs[node.name], first)
        elif node.op == "call_function":
            build.place = _place(node)
            try:
                theirs = fx.map_arg((twin.args, twin.kwargs), twins.__getitem__)
                args, kwargs = _mapped(together((node.args, node.kwargs), theirs), values)
                values[node] = _result(build, node.target, args, kwargs)
            except BadInput as error:
                where = build.place or "the network itself"
                raise BadInput(
                    f"a program cannot express {error}, in {where}; {WAY_OUT}"
                ) from error
    build.place = ""
    answers = _mapped(one.graph.output_node().args[0], values)
    if not 1 <= len(answers) <= OUTPUTS:
        raise BadInput(f"the network answers {len(answers)} tensors, not logits and evidence")
    nodes = [build.node(answer) for answer in answers]
    build.graph.output(nodes[0] if len(nodes) == 1 else tuple(nodes))
    build.graph.eliminate_dead_code()
    for node in build.graph.nodes:
        node.meta.pop(VALUE, None)
    return build.graph, build.tensors


def _twins(one: fx.Graph, other: fx.Graph) -> dict[fx.Node, fx.Node]:
    """Node of `other` -> its like in `one`.

    Raises:
        BadInput: they are not the same operations.
    """
    pairs = list(zip_longest(one.nodes, other.nodes))
    for node, twin in pairs:
        if node is None or twin is None or (node.op, node.target) != (twin.op, twin.target):
            at_node = node or twin
            raise BadInput(
                f"the network does other things with {IMAGES[0]} images than with {IMAGES[1]}, "
                f"at {at_node.target} in {_place(at_node) or 'the network itself'}"
            )
    return {twin: node for node, twin in pairs}


def _tensor(
    build: Builder, exported: Sequence[ExportedProgram], name: str, first: Mapping[str, str]
) -> Any:
    """The node of an entry of the module's state; what is not in its state is a constant."""
    found = exported[0].state_dict.get(name)
    if found is None:
        constant = together(*(each.constants[name] for each in exported))
        return build.named(name, constant) if isinstance(constant, Tensor) else constant
    made = found.detach().clone()
    if isinstance(found, nn.Parameter):
        made = nn.Parameter(made, requires_grad=found.requires_grad)
    return build.hold(first[name], made)


def _result(build: Builder, target: Any, args: Any, kwargs: Any) -> Any:
    """What stands for the result of a call: computed now if the input has no part in it."""
    leaves = tree_leaves((args, kwargs))
    if not any(isinstance(leaf, fx.Node) for leaf in leaves):
        if torch.Tag.nondeterministic_seeded in getattr(target, "tags", ()):
            raise BadInput(f"the random numbers of {target}")
        return computed(target, args, kwargs)
    if target in RULES:
        return RULES[target](build, *args, **kwargs)
    name = name_of(target)
    if name is None:
        raise BadInput(f"the operation {target}")
    return build.add(name, *args, **kwargs)


def _mapped(value: Any, values: Mapping[fx.Node, Any]) -> Any:
    if isinstance(value, fx.Node):
        return values[value]
    if isinstance(value, tuple | list):
        return [_mapped(item, values) for item in value]
    if isinstance(value, dict):
        return {key: _mapped(item, values) for key, item in value.items()}
    return value


def _place(node: fx.Node) -> str:
    """The name of the module whose `forward` made the call."""
    stack = list((node.meta.get("nn_module_stack") or {}).values())
    return str(stack[-1][0]).partition("@")[0] if stack else ""
