"""Training in bfloat16 where the CPU supports it: about half the time per step.

Weights, their sums and what is validated stay float32 (mixed precision, Micikevicius et al.,
arXiv:1710.03740; bfloat16 needs no loss scaling, Kalamkar et al., arXiv:1905.12322). fastai's own
callback supports GPUs only.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fastai.callback.core import Callback

ARITHMETICS: Final = ("auto", "fp32", "bf16")
CPU_FEATURES: Final = ("avx512_bf16", "amx_bf16", "arm_bf16")


def chosen_arithmetic(wish: str) -> str:
    """``fp32`` or ``bf16``; ``auto`` is bf16 where this CPU has instructions for it."""
    if wish != "auto":
        return wish
    import torch

    features: Mapping[str, object] = {}
    if hasattr(torch.cpu, "get_capabilities"):  # not in every torch that this project takes
        features = torch.cpu.get_capabilities()
    return "bf16" if any(features.get(name) for name in CPU_FEATURES) else "fp32"


def half_precision() -> Callback:
    """A fastai callback: forward pass and loss of training batches under autocast to bfloat16."""
    import torch
    from fastai.callback.core import Callback
    from fastai.callback.fp16 import MixedPrecision

    class HalfPrecision(Callback):  # type: ignore[misc]
        order = MixedPrecision.order
        run_valid = False

        def before_batch(self) -> None:
            self.context = torch.autocast("cpu", dtype=torch.bfloat16)
            self.context.__enter__()  # type: ignore[no-untyped-call]

        def after_pred(self) -> None:
            self.learn.pred = self.learn.pred.float()

        def after_loss(self) -> None:
            self.context.__exit__(None, None, None)

    return HalfPrecision()
