"""The request for a comparison."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pipeline.architecture_names import canonical, known, near
from pipeline.data.owners_words import Said
from pipeline.errors import BadInput
from pipeline.study.engine import Engine
from pipeline.study.protocols import PROTOCOLS

if TYPE_CHECKING:
    from pipeline.config import TrainConfig


@dataclass(frozen=True)
class Study:
    """What is compared, and how.

    Attributes:
        topologies: architectures, as `pipeline.architecture_names.canonical` reads them.
        protocols: of `pipeline.study.protocols.PROTOCOLS`.
        seeds: of split and training, a trial each.
        config: the recipe of all; its topology and seed are replaced.
        target_accuracy: on the validation images; epochs and batches until then are counted.
        engine: where the trials run.
        positive: the label that recall refers to; None: the rarer of two.
        exclude: see `pipeline.study.protocols.apply_protocol`.
        name: of the study; None: the data set's.
        model_version: goes into the checkpoints.
        again: train everything again.
        said: the owner's words, checked.
        group_column: of the table; see `pipeline.data.dataset.read_dataset`.
    """

    topologies: tuple[str, ...]
    protocols: tuple[str, ...]
    seeds: tuple[int, ...]
    config: TrainConfig
    target_accuracy: float = 1.0
    engine: Engine = field(default_factory=Engine)
    positive: str | None = None
    exclude: tuple[str, ...] = ()
    name: str | None = None
    model_version: str = "0.0.0"
    again: bool = False
    said: Said = field(default_factory=Said)
    group_column: str | None = None

    def __post_init__(self) -> None:
        """Raises `BadInput` for what cannot be compared, before any image is read."""
        unknown = [name for name in self.protocols if name not in PROTOCOLS]
        if unknown or not self.protocols:
            wrong = f"{unknown[0]!r} is not one" if unknown else "none is asked for"
            raise BadInput(f"--protocol: there are {', '.join(PROTOCOLS)}; {wrong}")
        if not self.topologies:
            raise BadInput(f"--topologies: there are {known()}; none is asked for")
        object.__setattr__(self, "topologies", tuple(dict.fromkeys(map(_spelled, self.topologies))))
        if not self.seeds:
            raise BadInput("--seeds: at least one is needed")
        if not 0 < self.target_accuracy <= 1:
            raise BadInput(f"--target-accuracy {self.target_accuracy} is not above 0 and at most 1")
        if self.name is not None and not (self.name.isidentifier() and self.name.isascii()):
            raise BadInput(f"--name {self.name!r}: letters, digits and underscores, please")


def _spelled(topology: str) -> str:
    try:
        return canonical(topology)
    except BadInput as error:
        question = near(topology)
        raise BadInput(
            f"--topologies: there are {known()}; {topology!r} is not one"
            + (f"; {question}" if question else "")
        ) from error
