"""Does `explain` name the place of a fault?

In: a fault of the network itself, and an artifact. A file is converted from the network with the
fault and compared with the checkpoint, or the other way round where no file can have it. Out: what
the check and `explain` say of it, and whether the place stands there. Where that is, the two
networks tell and not the comparison under test: modules that hold other numbers or have another
setting; else those next to a call that one graph lacks.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import torch

from benchmarks.faults.bench import IMAGES, Artifact, Bench, convert
from benchmarks.faults.fault import DoesNotApply, Fault, Pair
from benchmarks.faults.judge import caught_by
from benchmarks.faults.planted.structure import traced
from benchmarks.faults.planted.weights import Mismatched
from export.errors import ConversionFailed
from export.parity.check import check_artifact
from export.parity.layer_diff import explain

if TYPE_CHECKING:
    from torch import fx, nn

IMAGE = IMAGES[1]  # noise: every layer differs on it


@dataclass(frozen=True)
class ExplainedCell:
    """What is said of one fault in one file.

    Attributes:
        caught_by: parts of the check that did not pass.
        places: modules of the network where the fault is.
        sentences: of `explain`.
        excuse: why the fault was not planted; empty: it was.
    """

    fault: str
    artifact: Artifact
    caught_by: tuple[str, ...] = ()
    places: tuple[str, ...] = ()
    sentences: tuple[str, ...] = ()
    excuse: str = ""

    @property
    def planted(self) -> bool:
        """Whether there is an answer."""
        return not self.excuse

    @property
    def named(self) -> bool:
        """Whether one of the places stands in what `explain` says first."""
        return any(_stands_in(place, self.sentences[:2]) for place in self.places)


def explained(fault: Fault, bench: Bench, artifact: Artifact) -> ExplainedCell:
    """Plant a fault of the network in one file and ask where it is."""
    assert isinstance(fault.plant, Mismatched)
    excuse = bench.absent(artifact) or fault.where(artifact)
    if excuse:
        return ExplainedCell(fault.name, artifact, excuse=excuse)
    try:
        wrong = bench.wrong(fault.plant.edit, artifact)
    except DoesNotApply as reason:
        return ExplainedCell(fault.name, artifact, excuse=str(reason))
    sound = bench.reference(artifact)
    places = planted_at(sound.graph.pixels.network, wrong.graph.pixels.network)
    if not places:
        return ExplainedCell(fault.name, artifact, excuse="the network stays as it is")
    bench.folder.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=bench.folder) as folder:
        try:
            pair = Pair(convert(artifact, wrong, Path(folder)), sound)
        except ConversionFailed:  # a number that is on no grid cannot be stored
            pair = fault.plant(bench, artifact, Path(folder))
        result = check_artifact(*artifact, pair.path, pair.reference)
        found = explain(*artifact, pair.path, pair.reference, IMAGE)
    return ExplainedCell(
        fault.name,
        artifact,
        caught_by(result),
        tuple(sorted(places)),
        (found.verdict, *(found.differences or ())) if found.differs else (),
    )


def planted_at(sound: nn.Module, wrong: nn.Module) -> set[str]:
    """Names of the modules of `sound` in which `wrong` is another; empty if it is the same."""
    before, after = sound.state_dict(), wrong.state_dict()
    others = {
        name.rpartition(".")[0]
        for name in before.keys() & after.keys()
        if not torch.equal(before[name], after[name])
    }
    modules = dict(wrong.named_modules())
    for name, module in sound.named_modules():
        other = modules.get(name)
        if not [*module.children()] and type(module) is type(other) and repr(module) != repr(other):
            others.add(name)
    return others or _around(traced(copy.deepcopy(sound)), traced(copy.deepcopy(wrong)))


def _around(sound: fx.GraphModule, wrong: fx.GraphModule) -> set[str]:
    """The modules of calls that only one graph has, or has with other inputs, and next to them."""
    ours, theirs = ({str(node): node for node in g.graph.nodes} for g in (sound, wrong))
    alone = [node for name, node in ours.items() if _said(node) != _said(theirs.get(name))]
    found = set()
    for node in alone:
        found |= {_module(each) for each in (node, *node.all_input_nodes, *node.users)}
    return found - {""}


def _said(node: fx.Node | None) -> str:
    return "" if node is None else f"{node.target} {node.args} {node.kwargs}"


def _module(node: fx.Node) -> str:
    """The module that is called, or in which a function is."""
    if node.op in ("call_module", "get_attr"):
        return str(node.target)
    stack = node.meta.get("nn_module_stack") or {}
    return str([*stack.values()][-1][0]) if stack else ""


def _stands_in(name: str, sentences: Iterable[str]) -> bool:
    whole = re.compile(rf"(?<![\w.]){re.escape(name)}(?!\w)")
    return any(whole.search(sentence) for sentence in sentences)
