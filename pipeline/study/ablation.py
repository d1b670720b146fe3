"""What each part of the released recipe brings: the recipe, and the same with one thing changed.

In: images and seeds. Out: a checkpoint per variant and seed, kept once it is finished and not
trained again, and a document of their validation figures. The recipe is chosen on the validation
images, so the winner's figures are somewhat too good.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import mean, stdev
from typing import TYPE_CHECKING, Any, Final

from pipeline.checkpoint import SPEC_FILE, open_checkpoint
from pipeline.config import PRESETS, TrainConfig
from pipeline.errors import BadInput
from pipeline.json_files import plain, write_json

if TYPE_CHECKING:
    from pipeline.model_spec import ModelSpec

SCHEMA: Final = 1
RESULTS_FILE: Final = "ablation.json"
RELEASED: Final = TrainConfig(architecture="squeezenet1_1_fire6", **PRESETS["released"])
VARIANTS: Final[Mapping[str, Mapping[str, Any]]] = {
    "as released": {},
    "whole SqueezeNet 1.1": {"architecture": "squeezenet1_1"},
    "the paper's stages (3 + 8 epochs)": {
        name: getattr(TrainConfig(), name) for name in PRESETS["released"]
    },
    "the one resize filter": {"consistency": 0.0},
    "last weights, not their average": {"averaging": 0.0},
    "head alone, body frozen": {"finetune_epochs": 0},
    "no frozen stage": {"frozen_epochs": 0},
    "body learns at a third of the rate": {"body_lr_factor": 0.3},
    "two fifths of the rate": {"finetune_lr": 2e-4},
    "mixup 0.4 in place of consistency": {"mixup": 0.4, "consistency": 0.0},
    "with label smoothing 0.1": {"label_smoothing": 0.1},
    "with random crops down to half": {"crop": 0.5},
    "no augmentation": {"rotate_deg": 0.0, "zoom": 1.0, "lighting": 0.0, "flip": False},
    "fp32 arithmetic": {"arithmetic": "fp32"},
    "logits as they are, no temperature": {"calibrate": False},
}


@dataclass(frozen=True)
class Spread:
    """A figure over seeds; `std` is None for a single seed."""

    values: tuple[float, ...]
    mean: float
    std: float | None


@dataclass(frozen=True)
class AblationRow:
    """What a variant of the recipe brings: `changes` are its fields that differ."""

    variant: str
    changes: Mapping[str, object]
    seeds: tuple[int, ...]
    architecture: str
    figures: Mapping[str, Spread]


@dataclass(frozen=True)
class Ablation:
    """The contents of ``ablation.json``; `data` is what the checkpoints say of their images."""

    schema: int
    data: Mapping[str, object]
    rows: tuple[AblationRow, ...]


def ablate(
    data: Path,
    seeds: Sequence[int],
    out: Path,
    variants: Sequence[str] = (),
    *,
    variant_seeds: Sequence[int] = (),
    threads: int = 0,
) -> Ablation:
    """Train what is missing below `out`; write and return the results.

    Args:
        data: folder or table of images.
        seeds: of the recipe as released, one training each.
        out: folder; a checkpoint folder per training, and ``ablation.json``.
        variants: keys of `VARIANTS`, none for all.
        variant_seeds: of the variants; none for the first of `seeds`.
        threads: of torch.

    Raises:
        BadInput: an unknown variant, or bad data.
    """
    from pipeline.training.train import train

    if unknown := [name for name in variants if name not in VARIANTS]:
        raise BadInput(f"no variant {unknown[0]!r}; there are: {', '.join(VARIANTS)}")
    rows = []
    for name in variants or VARIANTS:
        its_seeds = (variant_seeds or seeds[:1]) if VARIANTS[name] else seeds
        specs = []
        for seed in its_seeds:
            config = replace(RELEASED, **VARIANTS[name], seed=seed, threads=threads)
            folder = out / f"{'_'.join(name.replace('.', ' ').split())}-seed{seed}"
            if not _is_of(folder, config):
                print(f"\n{name}, seed {seed}", flush=True)
                train(config, data, folder, name="ablation", overwrite=True)
            specs.append(open_checkpoint(folder).spec)
        rows.append(_row(name, its_seeds, specs))
        results = Ablation(SCHEMA, specs[0].data, tuple(rows))
        write_json(out / RESULTS_FILE, plain(results))
    return results


def _is_of(folder: Path, config: TrainConfig) -> bool:
    """Whether there is a finished training of exactly this recipe."""
    if not (folder / SPEC_FILE).is_file():
        return False
    spec = open_checkpoint(folder).spec
    told = {**spec.training, "architecture": spec.architecture}
    return all(
        told.get(name) == getattr(config, name)
        for name in ("architecture", "seed", *_changing(), "threads")
        if name != "arithmetic"  # the checkpoint has what auto was resolved to
    )


def _changing() -> set[str]:
    return {name for changes in VARIANTS.values() for name in changes} | {*PRESETS["released"]}


def _row(name: str, seeds: Sequence[int], specs: Sequence[ModelSpec]) -> AblationRow:
    """Mean, standard deviation and single values of each figure over the seeds."""
    figures = {}
    for figure in specs[0].metrics:
        values = [_value(spec.metrics[figure]) for spec in specs]
        figures[figure] = Spread(
            tuple(round(value, 4) for value in values),
            round(mean(values), 4),
            round(stdev(values), 4) if len(values) > 1 else None,
        )
    return AblationRow(name, VARIANTS[name], tuple(seeds), specs[0].architecture, figures)


def _value(figure: Mapping[str, float] | float) -> float:
    return figure["value"] if isinstance(figure, Mapping) else figure
