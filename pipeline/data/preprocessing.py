"""Images as a network gets them: the model's resize, then the normalisation of the deploy graph.

For running a network outside training, which has its own loaders (`pipeline.data.loaders`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from pipeline.images import read_image

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

    from pipeline.data.dataset import Sample
    from pipeline.model_spec import ModelSpec


def network_input(samples: Sequence[Sample], spec: ModelSpec) -> Tensor:
    """The samples as the network of `spec` sees them, float32 (N, 3, H, W).

    Raises:
        BadInput: an image cannot be read.
    """
    images = np.stack([read_image(sample.path, spec.resize) for sample in samples])
    return normalise(images, spec.mean, spec.std)


def normalise(
    images: NDArray[np.uint8],
    mean: tuple[float, float, float],
    std: tuple[float, float, float],
) -> Tensor:
    """uint8 (N, H, W, 3) -> float32 (N, 3, H, W); constants are rounded as in the deploy graph."""
    import torch

    pixels = torch.from_numpy(images.copy()).permute(0, 3, 1, 2).to(torch.float32)
    centre, spread = (torch.tensor(v, dtype=torch.float64).mul(255).float() for v in (mean, std))
    return (pixels - centre.reshape(1, 3, 1, 1)) / spread.reshape(1, 3, 1, 1)
