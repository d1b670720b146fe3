"""One compression run: a checkpoint and its training images in, compressed checkpoints out.

Each becomes a checkpoint folder inside the checkpoint's own, named by its precision, and records
how it compares with its parent on the validation images; by that the better of the rounded and the
fine-tuned network is kept. The parent does not change.
"""

from __future__ import annotations

import platform
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from pipeline.atomic_files import refuse_foreign, staged_folder
from pipeline.checkpoint import SPEC_FILE, open_checkpoint, write_checkpoint
from pipeline.compress.recipes import PRECISIONS, Recipe
from pipeline.config import TrainConfig
from pipeline.data.preprocessing import network_input
from pipeline.data.sources import checkpoint_images
from pipeline.errors import BadInput, require
from pipeline.metrics.paired_comparison import compare_models
from pipeline.metrics.quality_limits import broken_limits, undecided_limits, way_out
from pipeline.mixed_precision import chosen_arithmetic
from pipeline.model_spec import Compression, ModelSpec

if TYPE_CHECKING:
    from fastai.data.core import DataLoaders
    from numpy.typing import NDArray
    from torch import Tensor, nn

    from pipeline.compress.reduced_network import Reduced
    from pipeline.data.dataset import Dataset, Sample

TOOLS: Final = ("torch", "torchvision", "fastai", "numpy", "pillow")
BATCH_SIZE: Final = 16
AUGMENTATION: Final = ("rotate_deg", "zoom", "lighting", "flip")  # as the parent was trained


def compress(
    checkpoint: Path,
    data: Path | None,
    precisions: Sequence[str] = tuple(PRECISIONS),
    *,
    changes: Mapping[str, Any] | None = None,
    overwrite: bool = False,
) -> list[Path]:
    """Compress `checkpoint` to each of `precisions`; return the folders written.

    Args:
        checkpoint: folder of the model.
        data: the images it was trained on (`pipeline.data.dataset`); None: the synthetic phantoms.
        precisions: keys of `PRECISIONS`.
        changes: fields of `Recipe` that replace the precision's own.
        overwrite: replace what was compressed before.

    Raises:
        BadInput: a bad checkpoint, bad data or data with other labels, an unknown precision, or an
            existing folder.
        MissingDependency: fastai is not installed.
    """
    require("fastai", "sklearn", what="compressing")
    recipes = _recipes(precisions, changes or {})
    opened = open_checkpoint(checkpoint)
    spec = opened.spec
    if spec.compression is not None:
        raise BadInput(f"{checkpoint} is compressed already; name the checkpoint it came from")
    for precision in recipes:
        _check_place(checkpoint / precision, overwrite)
    dataset = checkpoint_images(data, spec)
    recipes = {
        name: replace(recipe, epochs=recipe.epochs_over(len(dataset.train)))
        for name, recipe in recipes.items()
    }

    import torch

    from pipeline.compress.gptq import weighted_layers
    from pipeline.compress.reduced_network import finetuned, rounded
    from pipeline.models.batch_norm_folding import compressible_network
    from pipeline.models.networks import load_network

    if threads := next(iter(recipes.values())).threads:
        torch.set_num_threads(threads)
    parent = load_network(opened)
    weighted_layers(parent)  # raises before time is spent
    valid = _batches(dataset.valid, spec)
    parent_probs = _probs(parent, valid)
    parent = compressible_network(parent)

    def judged(precision: str, reduced: Reduced) -> Judged:
        probs = _probs(reduced.variant(), valid)
        if not np.isfinite(probs).all():
            raise BadInput(f"{precision} diverged: the network outputs NaN; lower --lr")
        return Judged(reduced, probs, _compare(spec, dataset, probs, parent_probs))

    folders = []
    for precision, recipe in recipes.items():
        start = time.perf_counter()
        calibration = _calibration_batches(dataset, spec, recipe)
        found = judged(precision, rounded(parent, calibration, recipe))
        if recipe.epochs and not (recipe.only_if_needed and found.fit):
            loaders = _loaders(dataset, spec, recipe)
            tuned = judged(precision, finetuned(found.reduced, parent, loaders, recipe))
            found = min(tuned, found, key=lambda judged: judged.loss)
        compression = Compression(
            precision=precision,
            parent_sha256=opened.sha256,
            levels={name: grid.levels for name, grid in found.reduced.grids.items()},
            activations=dict(found.reduced.activations),
            comparison=found.comparison,
        )
        made_by = replace(recipe, epochs=found.reduced.epochs, lr=found.reduced.lr or recipe.lr)
        compressed = _describe(spec, compression, made_by, dataset, found.probs)
        with staged_folder(checkpoint / precision) as staging:
            state = found.reduced.network.state_dict()
            write_checkpoint(
                staging, compressed, state, found.reduced.grids, opened.program_document()
            )
        _tell(checkpoint / precision, compression.comparison, time.perf_counter() - start)
        folders.append(checkpoint / precision)
    return folders


@dataclass(frozen=True)
class Judged:
    """A reduced network with its validation outputs (N, K) and its comparison with the parent."""

    reduced: Reduced
    probs: NDArray[np.float32]
    comparison: Mapping[str, Any]

    @property
    def fit(self) -> bool:
        """To be published."""
        return not self.comparison["broken_limits"]

    @property
    def loss(self) -> tuple[int, float]:
        """How many limits are broken, then how far the outputs are from the parent's."""
        return len(self.comparison["broken_limits"]), self.comparison["mean_abs_diff"]


def _recipes(precisions: Sequence[str], changes: Mapping[str, Any]) -> dict[str, Recipe]:
    unknown = [name for name in precisions if name not in PRECISIONS]
    if unknown or not precisions:
        asked = f"{unknown[0]!r} is not one" if unknown else "none is requested"
        raise BadInput(f"precisions are {', '.join(PRECISIONS)}; {asked}")
    return {name: replace(PRECISIONS[name], **changes) for name in PRECISIONS if name in precisions}


def _check_place(folder: Path, overwrite: bool) -> None:
    """Refuse to replace anything but a compressed checkpoint, and that only on request."""

    def fault(names: set[str]) -> str:
        if SPEC_FILE not in names:
            return f"{folder} contains something other than a checkpoint; move it away"
        return "" if overwrite else f"{folder} exists; give --overwrite to compress again"

    refuse_foreign(folder, fault)


def _loaders(dataset: Dataset, spec: ModelSpec, recipe: Recipe) -> DataLoaders:
    """The images, augmented as they were when the parent was trained."""
    from fastai.basics import set_seed

    from pipeline.data.loaders import build_loaders

    config = TrainConfig(
        side=spec.resize.side,
        resize=spec.resize.method,
        mean=spec.mean,
        std=spec.std,
        batch_size=recipe.batch_size,
        seed=recipe.seed,
        **{name: spec.training[name] for name in AUGMENTATION if name in spec.training},
    )
    set_seed(recipe.seed, reproducible=True)  # a loader draws its own seed when it is created
    return build_loaders(dataset, config)


def _calibration_batches(dataset: Dataset, spec: ModelSpec, recipe: Recipe) -> list[Tensor]:
    """Training images, evenly spaced."""
    count = min(recipe.calibration_images, len(dataset.train))
    chosen = np.linspace(0, len(dataset.train) - 1, count).round().astype(int)
    return _batches([dataset.train[i] for i in chosen], spec)


def _batches(samples: Sequence[Sample], spec: ModelSpec) -> list[Tensor]:
    """The samples as the network sees them, float32 (N, 3, H, W), in batches."""
    return [
        network_input(samples[i : i + BATCH_SIZE], spec) for i in range(0, len(samples), BATCH_SIZE)
    ]


def _probs(network: nn.Module, batches: Sequence[Tensor]) -> NDArray[np.float32]:
    import torch

    with torch.inference_mode():
        return torch.cat([network(pixels).softmax(1) for pixels in batches]).numpy()


def _truth(spec: ModelSpec, dataset: Dataset) -> tuple[NDArray[np.int64], list[str]]:
    """Classes and patients of the validation images."""
    truth = np.array([spec.labels.index(sample.label) for sample in dataset.valid])
    return truth, [sample.patient_or_file for sample in dataset.valid]


def _compare(
    spec: ModelSpec,
    dataset: Dataset,
    probs: NDArray[np.float32],
    parent_probs: NDArray[np.float32],
) -> dict[str, object]:
    """The comparison with the parent for the checkpoint, with the limits broken and undecided."""
    truth, patients = _truth(spec, dataset)
    rule = (spec.positive_index, spec.threshold)
    comparison = compare_models(truth, probs, parent_probs, *rule, patients)
    undecided = undecided_limits(comparison)
    return {
        **asdict(comparison),
        "broken_limits": broken_limits(comparison),
        **({"undecided_limits": undecided} if undecided else {}),
    }


def _describe(
    spec: ModelSpec,
    compression: Compression,
    recipe: Recipe,
    dataset: Dataset,
    probs: NDArray[np.float32],
) -> ModelSpec:
    """The parent's spec with the compressed model's own figures and recipe."""
    from pipeline.metrics.classification import evaluate

    truth, patients = _truth(spec, dataset)
    arithmetic = chosen_arithmetic(recipe.arithmetic)
    figures = evaluate(truth, probs, spec.positive_index, spec.threshold, patients)
    return replace(
        spec,
        compression=compression,
        metrics={key: asdict(value) for key, value in sorted(figures.items())},
        training={**spec.training, "compression": {**asdict(recipe), "arithmetic": arithmetic}},
        data=dataset.facts(),
        tools={"python": platform.python_version(), **{tool: version(tool) for tool in TOOLS}},
    )


def _tell(folder: Path, comparison: Mapping[str, Any], seconds: float) -> None:
    print(
        f"{folder}: {comparison['label_flips']} of {comparison['images']} labels flip, AUROC "
        f"{comparison['auroc']:.4f} (was {comparison['parent_auroc']:.4f}), mean |Δp| "
        f"{comparison['mean_abs_diff']:.4f}; {seconds:.0f} s"
    )
    for broken in comparison["broken_limits"]:
        print(f"  not fit to be published: {broken}")
    if comparison["broken_limits"]:
        print(f"  what helps: {way_out(folder.name)}")
    for undecided in comparison.get("undecided_limits", ()):
        print(f"  too few images to tell: {undecided}")
