"""One compression run: a checkpoint and its training images in, compressed checkpoints out.

Each becomes a checkpoint folder inside the checkpoint's own, named by its precision, and records
how it compares with its parent on the validation images. The parent does not change.
"""

from __future__ import annotations

import copy
import platform
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from pipeline.atomic_files import refuse_foreign, staged_folder
from pipeline.checkpoint import SPEC_FILE, open_checkpoint, write_checkpoint
from pipeline.compress.recipes import PRECISIONS, Recipe, levels_of
from pipeline.config import TrainConfig
from pipeline.data.preprocessing import network_input
from pipeline.data.sources import checkpoint_images
from pipeline.errors import BadInput, require
from pipeline.metrics.paired_comparison import broken_limits, compare_models
from pipeline.mixed_precision import chosen_arithmetic
from pipeline.model_spec import Compression, ModelSpec

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor, nn

    from pipeline.data.dataset import Dataset, Sample
    from pipeline.quantization_grid import Grid

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

    import torch

    from pipeline.compress.gptq import weighted_layers
    from pipeline.models.networks import load_network

    if threads := next(iter(recipes.values())).threads:
        torch.set_num_threads(threads)
    parent = load_network(opened)
    names = weighted_layers(parent)
    valid = _batches(dataset.valid, spec)
    parent_probs = _probs(parent, valid)
    folders = []
    for precision, recipe in recipes.items():
        start = time.perf_counter()
        network, grids, activations = _compress(parent, names, dataset, spec, recipe)
        probs = _probs(_variant(network, activations, grids), valid)
        if not np.isfinite(probs).all():
            raise BadInput(f"{precision} diverged: the network outputs NaN; lower --lr")
        compression = Compression(
            precision=precision,
            parent_sha256=opened.sha256,
            levels={name: grid.levels for name, grid in grids.items()},
            activations=activations,
            comparison=_compare(spec, dataset, probs, parent_probs),
        )
        compressed = _describe(spec, compression, recipe, dataset, probs)
        with staged_folder(checkpoint / precision) as staging:
            write_checkpoint(staging, compressed, network.state_dict(), grids)
        _tell(checkpoint / precision, compression.comparison, time.perf_counter() - start)
        folders.append(checkpoint / precision)
    return folders


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


def _compress(
    parent: nn.Module,
    names: Sequence[str],
    dataset: Dataset,
    spec: ModelSpec,
    recipe: Recipe,
) -> tuple[nn.Module, dict[str, Grid], dict[str, tuple[float, int]]]:
    """A network whose weights are on grids, the grids, and the activations' scales if requested."""
    from pipeline.compress.activation_quantization import calibrate
    from pipeline.compress.distillation import finetune_on_grids
    from pipeline.compress.gptq import round_network
    from pipeline.data.loaders import build_loaders

    count = min(recipe.calibration_images, len(dataset.train))
    chosen = np.linspace(0, len(dataset.train) - 1, count).round().astype(int)
    batches = _batches([dataset.train[i] for i in chosen], spec)
    network = copy.deepcopy(parent)
    levels = levels_of(parent, names, batches, recipe)
    grids = round_network(network, batches, levels, recipe.seed)
    if recipe.epochs:
        from fastai.basics import set_seed

        config = TrainConfig(
            architecture=spec.architecture,
            side=spec.side,
            mean=spec.mean,
            std=spec.std,
            batch_size=recipe.batch_size,
            seed=recipe.seed,
            **{name: spec.training[name] for name in AUGMENTATION if name in spec.training},
        )
        set_seed(recipe.seed, reproducible=True)  # a loader draws its own seed when it is created
        loaders = build_loaders(dataset, config)
        grids = finetune_on_grids(network, grids, copy.deepcopy(parent), loaders, recipe)
    activations = calibrate(network, batches) if recipe.activations else {}
    return network, grids, activations


def _variant(
    network: nn.Module, activations: Mapping[str, tuple[float, int]], grids: Mapping[str, Grid]
) -> nn.Module:
    from pipeline.compress.activation_quantization import int8_variant

    return int8_variant(network, activations, grids) if activations else network


def _batches(samples: Sequence[Sample], spec: ModelSpec) -> list[Tensor]:
    """The samples as the network sees them, float32 (N, 3, side, side), in batches."""
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
    """The comparison with the parent for the checkpoint, with the limits that it exceeds."""
    truth, patients = _truth(spec, dataset)
    rule = (spec.positive_index, spec.threshold)
    comparison = compare_models(truth, probs, parent_probs, *rule, patients)
    return {**asdict(comparison), "broken_limits": broken_limits(comparison)}


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
        data={
            "name": dataset.name,
            "fingerprint": dataset.fingerprint(),
            "images": dataset.counts(),
            "split": dataset.split_rule,
        },
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
