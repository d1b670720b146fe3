"""Calibrated probabilities: one temperature for all logits, or none.

In: logits float (N, K) of images that were not trained on, and their classes. Out: the temperature
that makes softmax(logits / T) most likely (Guo et al., ICML 2017, arXiv:1706.04599), if images that
it was not chosen on confirm it; otherwise 1. It changes no order of probabilities within an image,
so no label, and no AUROC of two classes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import numpy as np

from pipeline.metrics.classification import expected_calibration_error

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Logits = NDArray[np.floating]
    Classes = NDArray[np.integer]

LEAST: Final = 0.05
LARGEST: Final = 20.0
FOLDS: Final = 10
# Below these a calibration error says little: the standard error of a share of 100 images is up to
# 0.05, as large as most errors that are reported; ten images of a label are the fewest that can
# show a probability of 0.9 to be right or wrong.
FEW_IMAGES: Final = 100
FEW_OF_A_LABEL: Final = 10


@dataclass(frozen=True)
class StatedProbabilities:
    """How good probabilities are: the smaller, the better.

    Attributes:
        nll: mean negative log-likelihood of the true classes.
        error: `pipeline.metrics.classification.expected_calibration_error`.
    """

    nll: float
    error: float

    def no_worse_than(self, other: StatedProbabilities) -> bool:
        """In neither of the two; NaN is worse."""
        return self.nll <= other.nll and self.error <= other.error

    def __str__(self) -> str:
        return f"NLL {self.nll:.3f}, calibration error {self.error:.3f}"


@dataclass(frozen=True)
class Calibration:
    """The temperature that a network is given, and what it does.

    Attributes:
        temperature: that the logits are to be divided by; 1: they stay as they are.
        images: N.
        before: of the network's own probabilities.
        after: with the temperature, of images that it was not chosen on (cross-validated).
        refused: why no other temperature is taken; empty if one is.
        caution: why the images are too few to rely on these figures; empty if they are not.
    """

    temperature: float
    images: int
    before: StatedProbabilities
    after: StatedProbabilities
    refused: str = ""
    caution: str = ""

    def sentences(self) -> list[str]:
        """For the screen and the model card."""
        if self.refused:
            said = f"temperature 1, logits as they are: {self.refused}; {self.before}"
        else:
            said = (
                f"temperature {self.temperature:.3f}: {self.before} before, {self.after} after "
                f"(cross-validated, {self.images} validation images)"
            )
        return [said, *([self.caution] if self.caution else [])]


def calibrate(
    logits: Logits, truth: Classes, groups: Sequence[str] | None = None, labels: Sequence[str] = ()
) -> Calibration:
    """Choose the temperature, and take it only if that does no harm.

    The images are few, and T is fitted on them: so it is also fitted on nine tenths of them, ten
    times, and judged on the rest. Neither likelihood nor calibration error may get worse there, nor
    of all images.

    Args:
        logits, truth: (N, K), (N,); of images that were not trained on.
        groups: (N,) an identifier per image; images of one group (patient) are judged together.
        labels: (K,) names, for `caution`.
    """
    as_they_are = uncalibrated(logits, truth, labels)
    own = as_they_are.before

    def refuse(why: str) -> Calibration:
        return replace(as_they_are, refused=why)

    names = np.arange(len(truth)) if groups is None else np.asarray(groups)
    folds = min(FOLDS, len(np.unique(names)))
    if folds < 2:
        return refuse("there are too few images to check another on")
    temperature = fit_temperature(logits, truth)
    unseen = stated(_out_of_fold(logits, truth, names, folds), truth)
    if not unseen.no_worse_than(own):
        return refuse(f"{temperature:.3f} would give {unseen} (cross-validated)")
    shipped = stated(logits / temperature, truth)
    if not shipped.no_worse_than(own):
        return refuse(f"{temperature:.3f} would give {shipped}")
    return replace(as_they_are, temperature=temperature, after=unseen)


def uncalibrated(
    logits: Logits, truth: Classes, labels: Sequence[str] = (), refused: str = ""
) -> Calibration:
    """The same figures of a network whose logits stay as they are, for the reason `refused`."""
    own = stated(logits, truth)
    caution = _caution(np.bincount(truth, minlength=logits.shape[1]), labels)
    return Calibration(1.0, len(truth), own, own, refused, caution)


def fit_temperature(logits: Logits, truth: Classes) -> float:
    """The temperature with the smallest mean cross-entropy, 0.05 to 20.

    Where every image is decided correctly the likelihood only grows as T falls, to certainty. So T
    makes probabilities no sharper than N images can show: their largest ones are at most
    (N + 1) / (N + 2) in the mean, as the rule of succession has it (Laplace, 1774); a network that
    is sharper already is not sharpened.
    """
    from scipy.optimize import brentq, minimize_scalar

    wide = logits.astype(np.float64)

    def surprise(log_temperature: float) -> float:
        return stated(wide / np.exp(log_temperature), truth).nll

    def certainty(log_temperature: float) -> float:
        most = (len(truth) + 1) / (len(truth) + 2)
        return float(_probs(wide / np.exp(log_temperature)).max(axis=1).mean() - most)

    low, high = float(np.log(LEAST)), float(np.log(LARGEST))
    if certainty(low) > 0:
        low = 0.0 if certainty(0.0) >= 0 else brentq(certainty, low, 0.0)
    found = minimize_scalar(surprise, bounds=(low, high), method="bounded")
    return float(np.exp(found.x))


def stated(logits: Logits, truth: Classes) -> StatedProbabilities:
    """Likelihood and calibration error of softmax(logits), (N, K), for classes (N,)."""
    from scipy.special import log_softmax

    logs = log_softmax(logits.astype(np.float64), axis=1)
    nll = float(-logs[np.arange(len(truth)), truth].mean())
    return StatedProbabilities(nll, expected_calibration_error(truth, np.exp(logs)))


def _probs(logits: Logits) -> NDArray[np.float64]:
    from scipy.special import softmax

    return np.asarray(softmax(logits, axis=1))


def _out_of_fold(logits: Logits, truth: Classes, names: NDArray[np.generic], folds: int) -> Logits:
    """Logits (N, K), each divided by the temperature that all other folds give."""
    from sklearn.model_selection import GroupKFold

    divided = np.empty(logits.shape)
    for rest, held in GroupKFold(folds).split(logits, groups=names):
        divided[held] = logits[held] / fit_temperature(logits[rest], truth[rest])
    return divided


def _caution(counts: NDArray[np.integer], labels: Sequence[str]) -> str:
    """Why images by class are too few; empty if they are not."""
    total, few = int(counts.sum()), np.flatnonzero(counts < FEW_OF_A_LABEL)
    if total >= FEW_IMAGES and not len(few):
        return ""
    why = [f"{total} images in all (fewer than {FEW_IMAGES})"] * (total < FEW_IMAGES)
    if len(few):
        named = ", ".join(labels[c] for c in few[:3]) if labels else ""
        more = f" (and {len(few) - 3} more)" if labels and len(few) > 3 else ""
        of = named + more or f"{len(few)} labels"
        why.append(f"fewer than {FEW_OF_A_LABEL} of {of}")
    return f"too few validation images to rely on stated probabilities: {'; '.join(why)}"
