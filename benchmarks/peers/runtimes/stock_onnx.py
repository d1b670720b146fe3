"""The tutorial's ONNX file: `torch.onnx.export` of the network as it is, with every default.

An NCHW float network, torch's own exporter (which since torch 2.9 needs onnxscript), onnxruntime
with default options.
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
    from numpy.typing import NDArray

    from benchmarks.peers.sources import PeerSources

NAME: Final = "stock-onnx"
TITLE: Final = "stock ONNX"
GROUP: Final[Group] = "recipe"
PACKAGES: Final = ("onnxscript==0.7.2", "onnx-ir==1.1.0")
BESIDE_TORCH: Final = True
IMPORTS: Final = ("onnxscript", "onnxruntime")
LIMITS: Final[Mapping[str, float]] = {"fp32": 1e-3}
TIMED: Final = stock_input.TIMED
THREADS_BY: Final = "SessionOptions.intra_op_num_threads"
MODEL_FILE: Final = "model.onnx"


def convert(sources: PeerSources, folder: Path) -> None:
    """One line, as in the tutorial."""
    import torch

    from benchmarks.peers.sources import example_pixels, stock_module

    model = stock_module(sources.checkpoint)
    torch.onnx.export(model, (example_pixels(sources.side),), str(folder / MODEL_FILE))
    stock_input.write_normalisation(sources.checkpoint, folder)


def load(folder: Path, precision: str, threads: int) -> Session:
    """A session with default options except for the thread count."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(
        str(folder / MODEL_FILE), options, providers=["CPUExecutionProvider"]
    )
    name = session.get_inputs()[0].name

    def infer(pixels: NDArray[np.float32]) -> NDArray[np.float32]:
        probs: NDArray[np.float32] = session.run(None, {name: pixels})[0]
        return probs

    return Session(infer, stock_input.normaliser(folder))
