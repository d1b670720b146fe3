"""Which networks a run takes: by name, to be drawn, or trained checkpoints.

In: the request. Out: `Subject`s, and the checkpoint of one that is to be drawn.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from benchmarks.topologies.names import NAMES
from pipeline.architecture_names import canonical, identifier
from pipeline.errors import BadInput
from pipeline.model_spec import ModelSpec
from pipeline.resize.rule import Resize

DATA: Final = "colours5"  # of `benchmarks.datasets`: what drawn networks are given
MEAN: Final = (0.485, 0.456, 0.406)  # of ImageNet, as in training
STD: Final = (0.229, 0.224, 0.225)
LARGER: Final = (160, 224, 256, 384)  # sides, for networks that do not take the one asked for


@dataclass(frozen=True)
class TopologiesRequest:
    """What is measured.

    Attributes:
        architectures: as `pipeline.architecture_names.canonical` reads them; empty: `NAMES`. Not
            with `checkpoints`.
        side: of the images of drawn networks, in pixels; more where a network needs it.
        images: validation images for parity at most, besides the golden and hard ones.
        jobs: converters at a time.
        build: for checkpoints, artifacts and logs; files of an earlier run are replaced.
        checkpoints: folders of trained networks, exported instead of drawn ones.
        data: the images they were trained on; None: the embedded phantoms.
        again: make rows that are there once more.
        keep: the checkpoints and files that were made; otherwise reports and logs alone are kept.
    """

    architectures: tuple[str, ...]
    side: int
    images: int
    jobs: int
    build: Path
    checkpoints: tuple[Path, ...] = ()
    data: Path | None = None
    again: bool = False
    keep: bool = False


@dataclass(frozen=True)
class Subject:
    """One network to export.

    Attributes:
        name: of its row; its folder in the build is named by it.
        architecture: in its one spelling.
        checkpoint: its folder; None: its weights are drawn.
        identity: of the checkpoint; empty: drawn.
    """

    name: str
    architecture: str
    checkpoint: Path | None = None
    identity: str = ""


def subjects(request: TopologiesRequest) -> list[Subject]:
    """What is exported, in order.

    Raises:
        BadInput, MissingDependency: see `benchmarks.topologies.run.measure_topologies`.
    """
    return _trained(request) if request.checkpoints else _to_be_drawn(request)


def _to_be_drawn(request: TopologiesRequest) -> list[Subject]:
    if request.data is not None:
        raise BadInput("--data needs --checkpoints: drawn networks are given drawn images")
    names = dict.fromkeys(map(canonical, request.architectures or NAMES))
    return [Subject(name, name) for name in names]


def _trained(request: TopologiesRequest) -> list[Subject]:
    from pipeline.checkpoint import open_checkpoint

    if request.architectures:
        raise BadInput("--only chooses among drawn networks; name fewer --checkpoints")
    build = request.build.resolve()
    for folder in request.checkpoints:
        if folder.resolve().is_relative_to(build):
            raise BadInput(f"{folder} is in {request.build}, which is replaced; give another --out")
    opened = [(folder, open_checkpoint(folder)) for folder in request.checkpoints]
    subjects = [
        Subject(folder.resolve().name, found.spec.architecture, folder, found.sha256)
        for folder, found in opened
    ]
    twice = [name for name, count in Counter(s.name for s in subjects).items() if count > 1]
    if twice:
        raise BadInput(f"two checkpoints are named {twice[0]}: their files would mix")
    return subjects


def drawn_checkpoint(subject: Subject, side: int, place: Path) -> Path:
    """Draw the network and write its checkpoint into `place`; return its folder.

    Raises:
        BadInput: it takes none of the sides.
    """
    from benchmarks.datasets.register import DATASETS
    from benchmarks.drawn_network import write_drawn_checkpoint
    from pipeline.models.networks import first_side

    larger = (other for other in LARGER if other > side)
    side = first_side(subject.architecture, (side, *larger))
    spec = ModelSpec(
        name=f"drawn_{identifier(subject.architecture)}",
        version="0",
        architecture=subject.architecture,
        labels=tuple(sorted(DATASETS[DATA].images)),
        positive=None,
        threshold=None,
        resize=Resize(side, side),
        mean=MEAN,
        std=STD,
        intended_use="None: its weights are drawn at random, to measure an export.",
    )
    return write_drawn_checkpoint(place / "checkpoint", spec)
