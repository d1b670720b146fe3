"""Are the labels in the order of the outputs? Weights do not say, and figures show it.

In: what a network answers for images whose labels are known. Out: a sentence, if another order
would fit far better.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

FAR_BELOW_CHANCE: Final = 0.3  # AUROC; 0.5 is chance
LEAST_ACCURACY: Final = 0.5  # of another order; with few images a class some order always fits
QUESTION: Final = "Are --labels in the order of the outputs?"
QUESTION_OF_DATA: Final = "Are the images of --data under their own labels?"  # of a whole learner
MOST_LABELS: Final = 20  # that the sentence lists


def doubted_order(
    labels: Sequence[str],
    truth: NDArray[np.int64],
    probs: NDArray[np.float32],
    auroc: float,
    question: str = QUESTION,
) -> str:
    """A sentence if the labels seem to be in another order than the outputs; otherwise empty.

    Another order seems right if with it more than twice as many images are, and most of all. The
    best order is that of the assignment problem of the confusion matrix (Kuhn 1955).

    Args:
        labels: K, in the order that is doubted.
        truth: (N,) classes.
        probs: (N, K).
        auroc: with this order.
        question: ends the sentence.
    """
    from scipy.optimize import linear_sum_assignment

    confusion = np.zeros((len(labels), len(labels)), np.int64)  # (label, output)
    np.add.at(confusion, (truth, probs.argmax(axis=1)), 1)
    right = float(confusion.trace()) / len(truth)
    label_of, output_of = linear_sum_assignment(confusion, maximize=True)
    best = float(confusion[label_of, output_of].sum()) / len(truth)
    if best >= LEAST_ACCURACY and right < best / 2:
        order = ",".join(labels[label] for label in label_of[np.argsort(output_of)])
        named = f"the order {order}" if len(labels) <= MOST_LABELS else "another order"
        return (
            f"accuracy {right:.3f}, AUROC {auroc:.3f}; with the labels in {named} accuracy would "
            f"be {best:.3f}. {question}"
        )
    if auroc < FAR_BELOW_CHANCE:
        return f"AUROC {auroc:.3f} is far below chance (0.5). {question}"
    return ""
