"""Samples become fastai DataLoaders.

Per image: the one resize rule (`pipeline.images`). Per batch: pixels to 0..1, augmentation (train
only), normalisation. Out: float32 (N, 3, side, side) and class indices (N,).
"""

from __future__ import annotations

from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any, Final

from pipeline.dataset import Sample  # at run time: fastai evaluates the hints of a transform

if TYPE_CHECKING:
    from pipeline.config import TrainConfig
    from pipeline.dataset import Dataset

CACHE_BYTES: Final = 2 * 2**30  # of pixels: 14,000 images of 224 x 224
CROP_RATIO: Final = 1.2  # of width to height, either way


def build_loaders(dataset: Dataset, config: TrainConfig) -> Any:
    """Fastai `DataLoaders` of both splits; the order of the training images follows the seed set.

    Images are read by the main process: with a few hundred of them worker processes cost more than
    they bring, and the order of random numbers stays one and the same. What fits into `CACHE_BYTES`
    is decoded and resized once.
    """
    from fastai.data.core import DataLoaders, Datasets, TfmdDL
    from fastai.data.transforms import Categorize, IntToFloatTensor
    from fastai.vision.augment import Normalize

    kept = lru_cache(CACHE_BYTES // (3 * config.side**2))(partial(_read_pixels, side=config.side))
    pipelines = [
        [kept],
        [_label_of, Categorize(vocab=list(dataset.labels), sort=False)],
    ]
    samples = [*dataset.train, *dataset.valid]
    first_valid = len(dataset.train)
    splits = [list(range(first_valid)), list(range(first_valid, len(samples)))]
    both = Datasets(samples, tfms=pipelines, splits=splits)
    normalise = Normalize.from_stats(config.mean, config.std, cuda=False)
    to_float = IntToFloatTensor()
    return DataLoaders(
        TfmdDL(
            both.train,
            bs=config.batch_size,
            shuffle=True,
            num_workers=0,
            after_batch=[to_float, *_augmentation(config), normalise],
        ),
        TfmdDL(
            both.valid,
            bs=2 * config.batch_size,
            num_workers=0,
            after_batch=[to_float, normalise],
        ),
    )


def _augmentation(config: TrainConfig) -> list[Any]:
    from fastai.vision.augment import RandomResizedCropGPU, aug_transforms

    transforms: list[Any] = aug_transforms(
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


def _read_pixels(sample: Sample, side: int) -> Any:
    """One sample as fastai's uint8 image tensor (3, side, side)."""
    import torch
    from fastai.torch_core import TensorImage

    from pipeline.images import read_image

    pixels = torch.from_numpy(read_image(sample.path, side).copy())
    return TensorImage(pixels.permute(2, 0, 1))


def _label_of(sample: Sample) -> str:
    return sample.label
