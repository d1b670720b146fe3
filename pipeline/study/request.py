"""The request for a comparison."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

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
        topologies: keys of `pipeline.models.networks.NETWORKS`.
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
        from pipeline.models.networks import NETWORKS

        for what, asked, known in (
            ("--topologies", self.topologies, NETWORKS),
            ("--protocol", self.protocols, PROTOCOLS),
        ):
            unknown = [name for name in asked if name not in known]
            if unknown or not asked:
                wrong = f"{unknown[0]!r} is not one" if unknown else "none is asked for"
                raise BadInput(f"{what}: there are {', '.join(known)}; {wrong}")
        if not self.seeds:
            raise BadInput("--seeds: at least one is needed")
        if not 0 < self.target_accuracy <= 1:
            raise BadInput(f"--target-accuracy {self.target_accuracy} is not above 0 and at most 1")
        if self.name is not None and not (self.name.isidentifier() and self.name.isascii()):
            raise BadInput(f"--name {self.name!r}: letters, digits and underscores, please")
