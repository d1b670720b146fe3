"""Training for the same output for the same photograph, whichever filter resized it.

Each step sees two versions of an image (`pipeline.data.resize_filters`) under the same
augmentation (`pipeline.data.versions`). The loss is the mean of both versions' losses plus a weight
times the distance of the two outputs: stability training (Zheng et al., arXiv:1604.04326) with its
distance made symmetric, half of KL(p, q) + KL(q, p).
"""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor, nn
from torch.nn import functional


class ConsistentLoss(nn.Module):
    """A loss of two versions per image; of one version, as in validation, the inner loss."""

    def __init__(self, inner: Callable[[Tensor, Tensor], Tensor], weight: float) -> None:
        super().__init__()
        self.inner = inner
        self.weight = weight

    def forward(self, logits: Tensor, classes: Tensor) -> Tensor:
        """float32 (2 N, K) or (N, K), int64 (N,) -> a number."""
        loss: Tensor = self.inner(logits, classes.repeat_interleave(len(logits) // len(classes)))
        if len(logits) == len(classes):
            return loss
        return loss + self.weight * _distance(logits[0::2], logits[1::2])


def _distance(logits: Tensor, others: Tensor) -> Tensor:
    """Symmetric Kullback-Leibler divergence, mean over the rows, in nats."""
    log_p, log_q = functional.log_softmax(logits, dim=1), functional.log_softmax(others, dim=1)
    return ((log_p.exp() - log_q.exp()) * (log_p - log_q)).sum(dim=1).mean() / 2
