"""Samples become fastai DataLoaders.

Per image: the one resize rule (`pipeline.images`). Per batch: pixels to 0..1, augmentation (train
only), normalisation. Out: float32 (N, 3, side, side) and class indices (N,). Where consistency is
trained, images are kept in all their versions (`pipeline.data.resize_filters`), and a training
batch holds two of each: (2 N, 3, side, side).
"""

from __future__ import annotations

from functools import lru_cache, partial
from typing import TYPE_CHECKING, Final

from pipeline.data.dataset import Sample  # at run time: fastai evaluates the hints of a transform

if TYPE_CHECKING:
    from fastai.data.core import DataLoaders
    from fastai.torch_core import TensorImage
    from fastai.vision.augment import Transform

    from pipeline.config import TrainConfig
    from pipeline.data.dataset import Dataset

CACHE_BYTES: Final = 2 * 2**30  # of pixels: 14,000 images of 224 x 224
CROP_RATIO: Final = 1.2  # of width to height, either way


def build_loaders(dataset: Dataset, config: TrainConfig) -> DataLoaders:
    """Fastai `DataLoaders` of both splits; the order of the training images follows the seed set.

    Images are read by the main process: for a few hundred images worker processes cost more than
    they save, and the order of random numbers stays the same. What fits into `CACHE_BYTES` is
    decoded and resized once.
    """
    from fastai.data.core import DataLoaders, Datasets, TfmdDL
    from fastai.data.transforms import Categorize, IntToFloatTensor
    from fastai.vision.augment import Normalize

    from pipeline.data.resize_filters import FILTERS
    from pipeline.data.versions import DrawTwo, FirstVersion, Part

    mixed = config.consistency > 0
    read, versions = (_read_versions, len(FILTERS)) if mixed else (_read_pixels, 1)
    kept = lru_cache(CACHE_BYTES // (3 * config.side**2 * versions))
    pipelines = [
        [kept(partial(read, side=config.side))],
        [_label_of, Categorize(vocab=list(dataset.labels), sort=False)],
    ]
    samples = [*dataset.train, *dataset.valid]
    first_valid = len(dataset.train)
    splits = [list(range(first_valid)), list(range(first_valid, len(samples)))]
    both = Datasets(samples, tfms=pipelines, splits=splits)
    normalise = Normalize.from_stats(config.mean, config.std, cuda=False)
    to_float = IntToFloatTensor()
    twofold = [DrawTwo(), Part()] if mixed else []
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
        transforms.append(RandomResizedCropGPU(config.side, min_scale=config.crop, ratio=ratio))
    return transforms


def _read_pixels(sample: Sample, side: int) -> TensorImage:
    """One sample as fastai's uint8 image tensor (3, side, side)."""
    import torch
    from fastai.torch_core import TensorImage

    from pipeline.images import read_image

    pixels = torch.from_numpy(read_image(sample.path, side).copy())
    return TensorImage(pixels.permute(2, 0, 1))


def _read_versions(sample: Sample, side: int) -> TensorImage:
    """One sample in all versions: fastai's uint8 image tensor (3 F, side, side)."""
    import torch
    from fastai.torch_core import TensorImage

    from pipeline.data.resize_filters import resized_versions

    pixels = torch.from_numpy(resized_versions(sample.path, side))
    return TensorImage(pixels.permute(0, 3, 1, 2).reshape(-1, side, side))


def _label_of(sample: Sample) -> str:
    return sample.label
