"""A linear probe: how well do a classifier's features predict something it was not trained for?

In: features (N, C) of training and of validation images, and what each image is (its source, its
label). Out: `Probe`, the AUROC on the validation images. A logistic regression on frozen features
(Alain & Bengio, arXiv:1610.01644); what it finds is there to be used, by the head too.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import numpy as np

from pipeline.metrics.bootstrap import Interval
from pipeline.metrics.classification import evaluate

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Features = NDArray[np.float32]

# Inverse strength of the L2 penalty on standardised features. From 0.001 to 10 the AUROC of the
# released model's probes moves by 0.02 at most, and is best about here.
C: Final = 0.01
LEAST_IMAGES: Final = 5  # of a class, on each side: from fewer an AUROC says nothing
CHANCE: Final = 0.5  # AUROC of guessing, for any number of classes and any shares


@dataclass(frozen=True)
class Probe:
    """What one probe found.

    Attributes:
        of: what it predicts, ``source`` or ``label``.
        among: which images, as a phrase.
        classes: that it distinguishes; too rare ones are left out.
        train_images, valid_images: that it was fitted and tested on.
        auroc: with a bootstrap interval by patient; macro average for three classes and more;
            None: not run.
        reason: why it was not run.
    """

    of: str
    among: str
    classes: tuple[str, ...] = ()
    train_images: int = 0
    valid_images: int = 0
    auroc: Interval | None = None
    reason: str | None = field(default=None)


def probe(
    of: str,
    among: str,
    train: tuple[Features, Sequence[str]],
    valid: tuple[Features, Sequence[str]],
    patients: Sequence[str],
) -> Probe:
    """Fit on `train`, test on `valid`, each features (N, C) and classes (N,).

    `of` and `among` as in `Probe`; `patients` (N,) of the validation images are drawn whole.
    """
    counts = [Counter(classes) for _, classes in (train, valid)]
    enough = [c for c in sorted(counts[0]) if min(n[c] for n in counts) >= LEAST_IMAGES]
    if len(enough) < 2:
        reason = f"fewer than two {of}s have {LEAST_IMAGES} images or more in train and in valid"
        return Probe(of, among, reason=reason)
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    features, truth = _of_classes(*train, enough)
    model = make_pipeline(StandardScaler(), LogisticRegression(C=C, max_iter=2000))
    model.fit(features, truth)
    tested, asked = _of_classes(*valid, enough)
    inside = [p for p, c in zip(patients, valid[1], strict=True) if c in enough]
    figures = evaluate(asked, model.predict_proba(tested), None, None, inside)
    return Probe(of, among, tuple(enough), len(truth), len(asked), figures["auroc"])


def _of_classes(
    features: Features, classes: Sequence[str], enough: Sequence[str]
) -> tuple[Features, NDArray[np.int64]]:
    """The rows of the classes that are distinguished, and their positions in `enough`."""
    rows = [i for i, c in enumerate(classes) if c in enough]
    return features[rows], np.array([enough.index(classes[i]) for i in rows])
