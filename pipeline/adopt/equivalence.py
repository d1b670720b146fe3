"""Does the adopted network give the same outputs as the learner's own model?

In: both networks and images. Out: how much they differ on the same tensors, and how much the
learner's own pipeline, with its own resize, differs from ours.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from numpy.typing import NDArray
    from torch import Tensor, nn

    from pipeline.adopt.source_model import Original
    from pipeline.model_spec import ModelSpec

TOLERANCE: Final = 1e-5  # of any probability
RELATIVE_TOLERANCE: Final = 1e-4  # of any logit, by the largest: probabilities near 1 hide much
PROBES: Final = 6  # phantoms, and as many pictures of noise
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


def probe_images(side: int) -> NDArray[np.uint8]:
    """uint8 (2 PROBES, side, side, 3): phantoms, and noise of several grains and colours."""
    from PIL import Image

    from pipeline.data.phantom import LABELS, draw
    from pipeline.images import squish

    rng = np.random.default_rng(SEED)
    images = [Image.fromarray(draw(LABELS[i % 2], i)).convert("RGB") for i in range(PROBES)]
    for i in range(PROBES):
        grain = max(2, side >> i)
        low, high = sorted(rng.choice(256, 2, replace=False))
        noise = rng.integers(low, high + 1, (grain, grain, 3), dtype=np.uint8)
        images.append(Image.fromarray(noise))
    return np.stack([squish(image, side) for image in images])


def tensors(images: NDArray[np.uint8], original: Original) -> Iterator[Tensor]:
    """uint8 (N, side, side, 3) -> what the model gets, in batches: float32 (n, 3, side, side)."""
    from pipeline.data.preprocessing import normalise

    for start in range(0, len(images), BATCH):
        yield normalise(images[start : start + BATCH], original.mean, original.std)


def logits(network: nn.Module, batches: Iterable[Tensor]) -> NDArray[np.float32]:
    """The outputs of `network`: float32 (N, K)."""
    import torch

    with torch.inference_mode():
        return np.concatenate([network(pixels).numpy() for pixels in batches])


def softmax(answers: NDArray[np.float32]) -> NDArray[np.float32]:
    """Logits (N, K) -> probabilities, float32 (N, K)."""
    import torch

    probs: NDArray[np.float32] = torch.softmax(torch.from_numpy(answers), dim=1).numpy()
    return probs


def agreement(one: nn.Module, other: nn.Module, batches: Iterable[Tensor]) -> Equivalence:
    """How much two networks differ on the same tensors."""
    seen = list(batches)
    return compare(logits(one, seen), logits(other, seen))


def compare(one: NDArray[np.float32], other: NDArray[np.float32]) -> Equivalence:
    """How much two networks' logits, float32 (N, K) each, differ."""
    largest = max(float(np.abs(one).max()), 1.0)
    return Equivalence(
        len(one),
        float(np.abs(softmax(one) - softmax(other)).max()),
        float(np.abs(one - other).max()) / largest,
    )


def own_pipeline(
    spec: ModelSpec,
    original: Original,
    network: nn.Module,
    paths: list[Path],
    probs: NDArray[np.float32],
) -> dict[str, Any] | None:
    """The learner's `get_preds` compared with the adopted network: on its own tensors, on ours.

    On its tensors they must agree: None if they do not. On ours they differ by the resize.
    """
    import fastai.callback.progress  # noqa: F401 - gives every Learner its `no_bar`

    from pipeline.adopt.learner_preprocessing import learner_batches, learner_loader
    from pipeline.metrics.classification import decide

    if original.learner is None:
        return {}
    if original.pixels is not None and original.pixels.side is None:
        print(f"the learner's own predictions: not run, {original.pixels.reason}")
        return {"own_predictions": f"not run: {original.pixels.reason}"}
    learner = original.learner
    activation = None if hasattr(learner.loss_func, "activation") else _activation
    with learner.no_bar(), learner.no_logging():
        loader = learner_loader(learner, paths, BATCH)
        theirs = np.asarray(learner.get_preds(dl=loader, act=activation)[0], dtype=np.float32)
    ours = softmax(logits(network, learner_batches(learner, paths, BATCH)))
    on_same = float(np.abs(ours - theirs).max())
    print(
        f"the learner's own get_preds, its own tensors: max |Δp| {on_same:.1e}, {len(ours)} images"
    )
    if not on_same <= TOLERANCE:
        return None
    flips = decide(theirs, spec.positive_index, spec.threshold) != decide(
        probs, spec.positive_index, spec.threshold
    )
    by_resize = {
        "images": len(paths),
        "label_flips": int(flips.sum()),
        "max_abs_diff": float(np.abs(probs - theirs).max()),
    }
    print(
        f"the learner's own resize compared with ours: {by_resize['label_flips']} of {len(paths)} "
        f"images decided otherwise, max |Δp| {by_resize['max_abs_diff']:.1e}"
    )
    return {
        "own_predictions": {"images": len(ours), "max_abs_diff": on_same},
        "own_resize_beside_ours": by_resize,
    }


def _activation(logits: Tensor) -> Tensor:
    return logits.softmax(dim=1)
