"""A fastai callback that keeps what a comparison needs from a training besides its history.

How many batches had been learned from at the end of each epoch, how long each stage took, and the
network's outputs for the validation images at the end of each stage. The outputs are those of the
validation pass that every epoch makes anyway: nothing is computed twice.
"""

from __future__ import annotations

from collections.abc import Callable
from time import perf_counter
from typing import TYPE_CHECKING

import numpy as np
from fastai.callback.core import Callback

if TYPE_CHECKING:
    from numpy.typing import NDArray


class StageWatch(Callback):  # type: ignore[misc]  # fastai has no types
    """Watches both stages of one training.

    Attributes:
        batches_after: batches learned from by the end of each epoch, counted over both stages.
        stage_s: seconds of each stage, its validation passes included.
        device_name: such as ``cpu``.
        stage_probs: float32 (N, K) of the validation images at the end of each stage.
    """

    def __init__(self, tell: Callable[[int], None]) -> None:
        """`tell` is called after each batch with the number of batches so far."""
        self.tell = tell
        self.batches_seen = 0
        self.batches_after: list[int] = []
        self.stage_s: list[float] = []
        self.stage_probs: list[NDArray[np.float32]] = []

    def before_fit(self) -> None:
        """A stage begins; fastai also calls this before it only computes outputs."""
        self.stage_start = perf_counter()
        self.device_name = str(next(self.model.parameters()).device)
        self.batches_before = self.batches_seen

    def before_validate(self) -> None:
        """An epoch's validation pass begins."""
        self.valid_probs: list[NDArray[np.float32]] = []

    def after_pred(self) -> None:
        """Keep the outputs of a validation batch."""
        if not self.training:
            probs = self.pred.detach().float().softmax(dim=1).cpu()
            self.valid_probs.append(np.asarray(probs, dtype=np.float32))

    def after_batch(self) -> None:
        """Count the batches learned from."""
        if self.training:
            self.batches_seen += 1
            self.tell(self.batches_seen)

    def after_epoch(self) -> None:
        """An epoch ends with its validation pass."""
        if self.batches_seen > self.batches_before:
            self.batches_after.append(self.batches_seen)

    def after_fit(self) -> None:
        """A stage ends."""
        if self.batches_seen > self.batches_before:
            self.stage_s.append(perf_counter() - self.stage_start)
            self.stage_probs.append(np.concatenate(self.valid_probs))
