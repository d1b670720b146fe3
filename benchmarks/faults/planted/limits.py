"""Faults that show only at a limit: the range of fp16, or the partial windows of a pool."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Final

import numpy as np
import torch
from torch import Tensor, fx, nn

from benchmarks.faults.bench import (
    Artifact,
    Bench,
    convert,
    few_images,
    replaced_network,
    with_graph,
    with_larger_input,
)
from benchmarks.faults.fault import PLAIN, DoesNotApply, Fault, Pair, precisions
from benchmarks.faults.planted.places import all_of
from benchmarks.faults.planted.structure import traced
from export.formats.coreml.facts import FACTS as CORE_ML
from export.parity.quality_gate import FULL
from export.parity.reference import Reference

LARGEST_HALF: Final = 65504
TRIED_SIDES: Final = 16
PASSING: Final = (nn.ReLU, nn.MaxPool2d, nn.Dropout)  # doubling the input doubles the output


# --- fp16 -------------------------------------------------------------------------------------


def computes_in_half(artifact: Artifact) -> str:
    """In files of the checkpoint itself; its variants would have to be compressed again."""
    half = artifact[0] == CORE_ML.name and artifact[1] in PLAIN and artifact[1] != FULL
    return "" if half else "it computes in fp32 or integers, or is of a compressed variant"


def overflow(network: nn.Module) -> nn.Module:
    """The same function in fp32; in fp16 the output of one layer overflows."""
    one, two = next(_followed(traced(network)), (None, None))
    if one is None or two is None:
        raise DoesNotApply("no layer is followed by one other alone")
    seen: list[Tensor] = []
    watch = two.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    network(torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(0)))
    watch.remove()
    scale = 2.0 ** math.ceil(math.log2(4 * LARGEST_HALF / float(seen[0].abs().max())))
    for tensor in (one.weight, one.bias):
        if tensor is not None:
            tensor *= scale
    two.weight *= 1 / scale
    return network


Scaled = nn.Conv2d | nn.Linear | nn.BatchNorm2d


def _followed(network: fx.GraphModule) -> Iterator[tuple[Scaled, nn.Conv2d | nn.Linear]]:
    """Pairs of layers in which the second alone reads the first's output."""
    for node in network.graph.nodes:
        first = _module(network, node)
        if not isinstance(first, Scaled):
            continue
        while len(node.users) == 1:
            (node,) = node.users
            module = _module(network, node)
            if isinstance(module, nn.Conv2d | nn.Linear):
                yield first, module
            if not isinstance(module, PASSING):
                break


def _module(network: fx.GraphModule, node: fx.Node) -> nn.Module | None:
    return network.get_submodule(str(node.target)) if node.op == "call_module" else None


overflowing: Final = replaced_network(overflow)


def beyond_half(bench: Bench, artifact: Artifact, folder: Path) -> Pair:
    """A correct file of a checkpoint that fp16 cannot compute."""
    reference = bench.wrong(overflowing, artifact)
    return Pair(convert(artifact, reference, folder), reference)


# --- windows ----------------------------------------------------------------------------------


def floor_pools(network: nn.Module) -> nn.Module:
    """Drop the last window of each pool where it is partial."""
    pools = [pool for pool in all_of(network, nn.MaxPool2d) if pool.ceil_mode]
    if not pools:
        raise DoesNotApply("no pool of the network has partial windows")
    for pool in pools:
        pool.ceil_mode = False
    return network


floored: Final = replaced_network(floor_pools)


def at_a_side_of_partial_windows(reference: Reference) -> Reference:
    """The reference at the next side at which a pool has a partial window."""
    for more in range(TRIED_SIDES):
        spec = with_larger_input(reference.spec, more)
        resized = replace(reference, spec=spec, images=few_images(spec.side))
        resized = with_graph(resized, reference.graph)
        if not same_answers(resized, floored(resized)):
            return resized
    raise DoesNotApply("no pool of the network has partial windows")


def same_answers(one: Reference, two: Reference) -> bool:
    """Whether pools with and without partial windows give exactly the same probabilities."""
    return np.array_equal(one.answers.probs, two.answers.probs)


def without_ceil_mode(bench: Bench, artifact: Artifact, folder: Path) -> Pair:
    right = bench.wrong(at_a_side_of_partial_windows, artifact)
    return Pair(convert(artifact, floored(right), folder), right)


FAULTS: Final = (
    Fault("activations beyond 65504", beyond_half, ("outputs",), computes_in_half),
    Fault(
        "pools without ceil_mode where it matters",
        without_ceil_mode,
        ("outputs",),
        precisions("converted for this in fp32 alone", FULL),
    ),
)
