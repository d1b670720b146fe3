"""Controls: they change bytes and nothing else, and the check must pass them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

import torch
from torch import nn

from benchmarks.faults.bench import Artifact, Bench, convert, replaced_network
from benchmarks.faults.fault import PLAIN, DoesNotApply, Fault, Pair, precisions
from benchmarks.faults.planted.files import copied
from benchmarks.faults.planted.limits import floored, same_answers
from benchmarks.faults.planted.onnx_graph import ONNX, edited
from benchmarks.faults.planted.specification import PACKAGE, specified
from export.deploy.metadata import model_metadata

if TYPE_CHECKING:
    from onnx import ModelProto

CONVERTED: Final = precisions("converted again in fp32 and fp16 alone", *PLAIN)


def as_it_is(bench: Bench, artifact: Artifact, folder: Path) -> Pair:
    return Pair(copied(bench.clean(artifact), folder), bench.reference(artifact))


def converted_again(bench: Bench, artifact: Artifact, folder: Path) -> Pair:
    reference = bench.reference(artifact)
    return Pair(convert(artifact, reference, folder), reference)


def metadata_in_another_order(bench: Bench, artifact: Artifact, folder: Path) -> Pair:
    reference = bench.reference(artifact)
    said = model_metadata(reference.spec, reference.checkpoint_sha256)
    path = convert(artifact, reference, folder, dict(reversed(said.items())))
    return Pair(path, reference)


def without_partial_windows(bench: Bench, artifact: Artifact, folder: Path) -> Pair:
    reference, wrong = bench.reference(artifact), bench.wrong(floored, artifact)
    if not same_answers(reference, wrong):
        raise DoesNotApply("at this side a pool has a partial window")
    return Pair(convert(artifact, wrong, folder), reference)


def lie_channels_last(network: nn.Module) -> nn.Module:
    """Transposed in memory, equal in value."""
    for tensor in network.parameters():
        if tensor.ndim == 4:
            tensor.data = tensor.data.contiguous(memory_format=torch.channels_last)
    return network


channels_last: Final = replaced_network(lie_channels_last)


def weights_in_another_layout(bench: Bench, artifact: Artifact, folder: Path) -> Pair:
    wrong = bench.wrong(channels_last, artifact)
    return Pair(convert(artifact, wrong, folder), bench.reference(artifact))


def initializers_in_another_order(model: ModelProto) -> None:
    backwards = list(reversed(model.graph.initializer))
    del model.graph.initializer[:]
    model.graph.initializer.extend(backwards)


CONTROLS: Final = (
    Fault("a copy", as_it_is),
    Fault("converted again", converted_again, where=CONVERTED),
    Fault(
        "pools without ceil_mode where no window is partial",
        without_partial_windows,
        where=CONVERTED,
    ),
    Fault("metadata in another order", metadata_in_another_order, where=CONVERTED),
    Fault(
        "weights transposed in memory, equal in value", weights_in_another_layout, where=CONVERTED
    ),
    Fault("saved again", edited(lambda model: None), where=ONNX),
    Fault("initializers in another order", edited(initializers_in_another_order), where=ONNX),
    Fault("specification saved again", specified(lambda document: None), where=PACKAGE),
)
