"""``python -m export doctor --architecture NAME``: can networks of it be served, before training?

In: an architecture's name. Out: a `Trial` per format: a network of random weights, converted to the
format's first precision at a small size and checked as an export checks it. An operation that a
format or its reader lacks is named in the reason.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from export.formats.register import FORMATS
from pipeline.architecture_names import canonical, identifier
from pipeline.errors import missing_modules
from pipeline.resize.rule import Resize

if TYPE_CHECKING:
    from torch import nn

    from pipeline.model_spec import ModelSpec

SIDES: Final = (64, 96, 128, 224, 256, 384, 448)  # the first that the network takes
LABELS: Final = ("a", "b", "c")
BATCHES: Final = 4


@dataclass(frozen=True)
class Trial:
    """What came of one format: ``pass``, ``fail`` or ``not_run``, and why."""

    format: str
    precision: str
    status: str
    reason: str = ""


def try_architecture(architecture: str, jobs: int = 1) -> Iterator[Trial]:
    """Convert and check a network of the architecture in every format that works here.

    Raises:
        BadInput: no such architecture, or it takes none of `SIDES`.
        MissingDependency: its library is not installed.
    """
    from export.parity.reference import build_references
    from export.run.convert import begin_imports, convert_all
    from pipeline.checkpoint import write_checkpoint

    spec = _spec(canonical(architecture))
    wanted = {}
    for name, facts in FORMATS.items():
        if missing := missing_modules(facts.requires):
            yield Trial(name, "", "not_run", f"{', '.join(missing)} not installed")
        else:
            wanted[name] = (next(iter(facts.precisions)),)
    begin_imports(wanted)
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        checkpoint = write_checkpoint(place, spec, _network(spec).state_dict())
        references = build_references(checkpoint, None, 0)
        references.complete(["fp32"])
        given: Future[object] = Future()
        given.set_result(references)
        for done in convert_all(checkpoint, wanted, place / "build", jobs, given):  # type: ignore[arg-type]
            if done.error is not None:
                reason = done.error.partition(" (see ")[0]
                yield Trial(done.format, done.precision, "fail", f"conversion failed: {reason}")
            elif done.parity is not None:
                found = done.parity
                yield Trial(done.format, done.precision, found.status, found.reason)


def _spec(architecture: str) -> ModelSpec:
    from pipeline.model_spec import ModelSpec
    from pipeline.models.networks import first_side

    side = first_side(architecture, SIDES)
    return ModelSpec(
        name=f"doctor_{identifier(architecture)}",
        version="0",
        architecture=architecture,
        labels=LABELS,
        positive=None,
        threshold=None,
        resize=Resize(side, side),
        mean=(0.5, 0.5, 0.5),
        std=(0.5, 0.5, 0.5),
    )


def _network(spec: ModelSpec) -> nn.Module:
    """Random weights; batch norms hold what they saw, so that activations keep their size."""
    import torch
    from torch.optim.swa_utils import update_bn

    from pipeline.models.networks import build_network

    torch.manual_seed(0)
    network = build_network(spec.architecture, len(spec.labels))
    update_bn((torch.randn(8, 3, *spec.resize.size) for _ in range(BATCHES)), network)
    return network.eval()
