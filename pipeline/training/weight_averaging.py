"""The average of the weights over the training steps is better than the last weights.

An exponential moving average (Polyak & Juditsky, SIAM J. Control Optim. 1992; for networks Izmailov
et al., arXiv:1803.05407), by torch's own `AveragedModel`. The average is validated and kept.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from collections.abc import Callable

    from fastai.callback.core import Callback
    from torch import Tensor

    Tensors = list[Tensor] | tuple[Tensor, ...]


def weight_averaging(decay: float) -> Callback:
    """A fastai callback that leaves the averaged weights in the network after the fit.

    Args:
        decay: share of the average that a step keeps, 0.99 remembers about 100 steps.
    """
    from fastai.callback.core import Callback
    from torch.optim.swa_utils import AveragedModel

    class WeightAveraging(Callback):  # type: ignore[misc]
        order = 90  # after whatever else changes the weights in a step

        def before_fit(self) -> None:
            self.network = getattr(self.learn.model, "module", self.learn.model)  # one of several
            self.average = AveragedModel(
                self.network, multi_avg_fn=moving_average(decay), use_buffers=True
            )
            self.average.eval()

        def after_step(self) -> None:
            self.average.update_parameters(self.network)

        def before_validate(self) -> None:
            self.latest = self.learn.model
            self.learn.model = self.average.module

        def after_validate(self) -> None:
            self.learn.model = self.latest

        def after_fit(self) -> None:
            self.network.load_state_dict(self.average.module.state_dict())

    return WeightAveraging()


def moving_average(decay: float) -> Callable[[Tensors, Tensors, Tensor | int], None]:
    """The update of an average: after n steps it keeps at most (1 + n) / (10 + n).

    So a short training does not stay where it began (the rule of TensorFlow's
    `ExponentialMovingAverage`).
    """

    @torch.no_grad()
    def update(averages: Tensors, values: Tensors, steps: Tensor | int) -> None:
        kept = min(decay, (1 + int(steps)) / (10 + int(steps)))
        for average, value in zip(averages, values, strict=True):
            if average.is_floating_point():
                average.lerp_(value.to(average.dtype), 1 - kept)
            else:
                average.copy_(value)  # the counter of a batch norm

    return update
