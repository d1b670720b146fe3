"""Samples become fastai DataLoaders.

Per image: the model's resize (`pipeline.resize`). Per batch: pixels to 0..1, augmentation (train
only), normalisation. Out: float32 (N, 3, H, W) and class indices (N,). Where consistency is
trained, images are kept in all their versions (`pipeline.data.resize_filters`), and a training
batch holds two of each: (2 N, 3, H, W).
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final

from pipeline.data.dataset import Sample  # at run time: fastai evaluates the hints of a transform
from pipeline.data.kept_pixels import KeptPixels, PixelRecipe

if TYPE_CHECKING:
    from fastai.data.core import DataLoaders
    from fastai.torch_core import TensorImage
    from fastai.vision.augment import Transform

    from pipeline.config import TrainConfig
    from pipeline.data.dataset import Dataset

CROP_RATIO: Final = 1.2  # of width to height, either way


def build_loaders(dataset: Dataset, config: TrainConfig) -> DataLoaders:
    """Fastai `DataLoaders` of both splits; the order of the training images follows the seed set.

    Images are read by the main process, and so the order of random numbers stays the same. Each is
    decoded and resized once, if that was not done when the data set was read.
    """
    from fastai.data.core import DataLoaders, Datasets, TfmdDL
    from fastai.data.transforms import Categorize, IntToFloatTensor
    from fastai.vision.augment import Normalize

    from pipeline.data.versions import DrawTwo, FirstVersion, Part

    samples = [*dataset.train, *dataset.valid]
    kept, recipe = dataset.pixels, pixel_recipe(config)
    if kept is None or kept.recipe != recipe:
        kept = KeptPixels(samples, recipe)
    pipelines = [
        [partial(_as_tensor, kept=kept)],
        [_label_of, Categorize(vocab=list(dataset.labels), sort=False)],
    ]
    first_valid = len(dataset.train)
    splits = [list(range(first_valid)), list(range(first_valid, len(samples)))]
    both = Datasets(samples, tfms=pipelines, splits=splits)
    normalise = Normalize.from_stats(config.mean, config.std, cuda=False)
    to_float = IntToFloatTensor()
    twofold = [DrawTwo(), Part()] if recipe.versions else []
    return DataLoaders(
        TfmdDL(
            both.train,
            bs=config.batch_size,
            shuffle=True,
            num_workers=0,
            after_batch=[*twofold, to_float, *_augmentation(config), normalise],
        ),
        TfmdDL(
            both.valid,
            bs=2 * config.batch_size,
            num_workers=0,
            after_batch=[FirstVersion(), to_float, normalise],
        ),
    )


def pixel_recipe(config: TrainConfig) -> PixelRecipe:
    """What a training by `config` takes of each image."""
    return PixelRecipe(config.rule, versions=config.consistency > 0)


def _augmentation(config: TrainConfig) -> list[Transform]:
    from fastai.vision.augment import RandomResizedCropGPU, aug_transforms

    transforms: list[Transform] = aug_transforms(
        do_flip=config.flip,
        flip_vert=False,
        max_rotate=config.rotate_deg,
        max_zoom=config.zoom,
        max_lighting=config.lighting,
        max_warp=0.0,
        batch=False,
    )
    if config.crop < 1:
        ratio = (1 / CROP_RATIO, CROP_RATIO)
        size = config.rule.size
        transforms.append(RandomResizedCropGPU(size, min_scale=config.crop, ratio=ratio))
    return transforms


def _as_tensor(sample: Sample, kept: KeptPixels) -> TensorImage:
    """One sample as fastai's uint8 image tensor (3, H, W), or (3 F, H, W)."""
    import torch
    from fastai.torch_core import TensorImage

    pixels = torch.from_numpy(kept.of(sample))
    return TensorImage(pixels.movedim(-1, -3).reshape(-1, *pixels.shape[-3:-1]))


def _label_of(sample: Sample) -> str:
    return sample.label
