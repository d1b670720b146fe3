"""The tutorial's TorchScript-lite: trace the network, `optimize_for_mobile`, save for lite.

With the tutorial's NCHW float input the tensors stay in that layout, which XNNPACK has to transpose
for every layer.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final

from benchmarks.peers.base import Group
from benchmarks.peers.runtimes import stock_input
from export.latency.protocol import Session

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray

    from benchmarks.peers.sources import PeerSources

NAME: Final = "stock-torchscript"
TITLE: Final = "stock TorchScript"
GROUP: Final[Group] = "recipe"
PACKAGES: Final[tuple[str, ...]] = ()  # torch has all of it
BESIDE_TORCH: Final = True
IMPORTS: Final = ("torch",)
LIMITS: Final[Mapping[str, float]] = {"fp32": 1e-3}
TIMED: Final = stock_input.TIMED
THREADS_BY: Final = "torch.set_num_threads"
MODEL_FILE: Final = "model.ptl"


def convert(sources: PeerSources, folder: Path) -> None:
    """Three lines, as in the tutorial."""
    import torch
    from torch.utils.mobile_optimizer import optimize_for_mobile

    from benchmarks.peers.sources import example_pixels, stock_module

    traced = torch.jit.trace(  # type: ignore[no-untyped-call]
        stock_module(sources.checkpoint), example_pixels(sources.side)
    )
    optimize_for_mobile(traced)._save_for_lite_interpreter(str(folder / MODEL_FILE))
    stock_input.write_normalisation(sources.checkpoint, folder)


def load(folder: Path, precision: str, threads: int) -> Session:
    """The lite interpreter's module."""
    import torch
    from torch.jit.mobile import _load_for_lite_interpreter

    torch.set_num_threads(threads)
    module = _load_for_lite_interpreter(str(folder / MODEL_FILE))  # type: ignore[no-untyped-call]
    normalise = stock_input.normaliser(folder)

    def infer(pixels: torch.Tensor) -> NDArray[np.float32]:
        with torch.inference_mode():
            probs: NDArray[np.float32] = module(pixels).numpy()
        return probs

    return Session(infer, lambda images: torch.from_numpy(normalise(images)))
