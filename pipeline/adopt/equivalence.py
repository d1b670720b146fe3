"""Does the adopted network give the same outputs as the learner's own model?

In: both networks and tensors. Out: how much their outputs differ.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

    from numpy.typing import NDArray
    from torch import Tensor, nn

    from pipeline.adopt.source_model import Original
    from pipeline.resize.rule import Resize

TOLERANCE: Final = 1e-5  # of any probability
RELATIVE_TOLERANCE: Final = 1e-4  # of any logit, by the largest: probabilities near 1 hide much
PROBES: Final = 6  # drawn pictures, and as many of noise
BATCH: Final = 4
SEED: Final = 2


@dataclass(frozen=True)
class Equivalence:
    """The adopted network compared with the original model on the same tensors.

    Attributes:
        images: N.
        max_abs_diff: of any probability.
        logit_diff: the largest difference of a logit, as a share of the largest logit.
    """

    images: int
    max_abs_diff: float
    logit_diff: float

    @property
    def holds(self) -> bool:
        """Whether both are within tolerance; NaN is not."""
        return self.max_abs_diff <= TOLERANCE and self.logit_diff <= RELATIVE_TOLERANCE

    def __str__(self) -> str:
        return (
            f"max |Δp| {self.max_abs_diff:.1e} (limit {TOLERANCE:.0e}), "
            f"logits {self.logit_diff:.1e} of the largest (limit {RELATIVE_TOLERANCE:.0e}), "
            f"{self.images} images"
        )


def probe_images(rule: Resize) -> NDArray[np.uint8]:
    """uint8 (2 PROBES, H, W, 3): drawn pictures, and noise of several grains and colours."""
    from PIL import Image

    from pipeline.data.pictures import draw
    from pipeline.resize.pixels import resized
    from pipeline.resize.rule import Resize

    rng = np.random.default_rng(SEED)
    images = [Image.fromarray(draw(i)) for i in range(PROBES)]
    for i in range(PROBES):
        grain = max(2, rule.height >> i)
        low, high = sorted(rng.choice(256, 2, replace=False))
        noise = rng.integers(low, high + 1, (grain, grain, 3), dtype=np.uint8)
        images.append(Image.fromarray(noise))
    whole = Resize(*rule.size)  # squished: nothing of them is lost or repeated
    return np.stack([resized(image, whole) for image in images])


def tensors(images: NDArray[np.uint8], original: Original) -> Iterator[Tensor]:
    """uint8 (N, H, W, 3) -> what the model gets, in batches: float32 (n, 3, H, W)."""
    from pipeline.data.preprocessing import normalise

    for start in range(0, len(images), BATCH):
        yield normalise(images[start : start + BATCH], original.mean, original.std)


def file_tensors(paths: list[Path], original: Original) -> Iterator[Tensor]:
    """Image files by the original's resize -> what the model gets, a few at a time."""
    from pipeline.images import read_image

    for start in range(0, len(paths), BATCH):
        some = [read_image(path, original.resize) for path in paths[start : start + BATCH]]
        yield from tensors(np.stack(some), original)


def logits(network: nn.Module, batches: Iterable[Tensor]) -> NDArray[np.float32]:
    """The outputs of `network`: float32 (N, K)."""
    import torch

    with torch.inference_mode():
        return np.concatenate([network(pixels).float().numpy() for pixels in batches])


def softmax(answers: NDArray[np.float32]) -> NDArray[np.float32]:
    """Logits (N, K) -> probabilities, float32 (N, K)."""
    import torch

    probs: NDArray[np.float32] = torch.softmax(torch.from_numpy(answers), dim=1).numpy()
    return probs


def in_double(network: nn.Module) -> nn.Module:
    """A copy that computes in float64, whatever it is given.

    Two networks that are the same but for a folded layer sum in another order in float32, and how
    depends on the number of threads: a large image was 1.1e-5 of a probability apart, in float64
    6e-7.
    """
    wide = copy.deepcopy(network).double().eval()
    wide.register_forward_pre_hook(lambda _, given: (given[0].double(),))
    return wide


def agreement(
    one: nn.Module, other: nn.Module, batches: Callable[[], Iterable[Tensor]]
) -> tuple[Equivalence, NDArray[np.float32]]:
    """How much two networks differ on the same tensors, and the logits of `other`, float32 (N, K).

    Where float32 does not hold, float64 decides.
    """
    theirs, ours = _both(one, other, batches())
    found = compare(theirs, ours)
    if not found.holds:
        found = compare(*_both(in_double(one), in_double(other), batches()))
    return found, ours


def _both(
    one: nn.Module, other: nn.Module, batches: Iterable[Tensor]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    pairs = [(logits(one, [batch]), logits(other, [batch])) for batch in batches]
    theirs, ours = zip(*pairs, strict=True)
    return np.concatenate(theirs), np.concatenate(ours)


def compare(one: NDArray[np.float32], other: NDArray[np.float32]) -> Equivalence:
    """How much two networks' logits, float32 (N, K) each, differ."""
    largest = max(float(np.abs(one).max()), 1.0)
    return Equivalence(
        len(one),
        float(np.abs(softmax(one) - softmax(other)).max()),
        float(np.abs(one - other).max()) / largest,
    )
