"""LiteRT (TensorFlow Lite), converted by litert-torch, run with its XNNPACK delegate, in fp32.

The graph takes float32 NCHW pixels: with a uint8 or float NHWC input it takes a tenth longer here,
numpy's cast of the bitmap included, because XNNPACK normalises three interleaved channels slowly.
Each peer gets the input that is fastest for it.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from benchmarks.peers.base import Group
from export.latency.protocol import Session

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from benchmarks.peers.sources import PeerSources

NAME: Final = "litert"
TITLE: Final = "LiteRT"
GROUP: Final[Group] = "peer"
PACKAGES: Final = (
    "ai-edge-litert==2.3.0",
    "litert-torch==0.10.0",
    "litert-converter==0.5.0",
    "ai-edge-quantizer==0.10.0",
    "torchao==0.17.0",
    "jax==0.10.2",
    "jaxlib==0.10.2",
    "ml_dtypes==0.6.0",
    "opt_einsum==3.4.0",
    "absl-py==2.5.1",
    "immutabledict==4.3.1",
    "flatbuffers==25.12.19",
    "tqdm==4.70.1",
)
BESIDE_TORCH: Final = True
IMPORTS: Final = ("litert_torch", "ai_edge_litert.interpreter")
LIMITS: Final[Mapping[str, float]] = {"fp32": 1e-3}
TIMED: Final = (
    "uint8 NHWC array in, cast and transposed to float32 NCHW by numpy, then normalisation and "
    "softmax in the graph"
)
THREADS_BY: Final = "Interpreter(num_threads=...)"
MODEL_FILE: Final = "model.tflite"


def convert(sources: PeerSources, folder: Path) -> None:
    """By litert-torch, from the module."""
    import litert_torch

    from benchmarks.peers.sources import example_pixels, pixel_module

    model = litert_torch.convert(pixel_module(sources.checkpoint), (example_pixels(sources.side),))
    model.export(str(folder / MODEL_FILE))


def load(folder: Path, precision: str, threads: int) -> Session:
    """An interpreter; XNNPACK is its default for fp32."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_path=str(folder / MODEL_FILE), num_threads=threads)
    interpreter.allocate_tensors()
    (given,) = interpreter.get_input_details()
    (gotten,) = interpreter.get_output_details()

    def infer(images: NDArray[np.uint8]) -> NDArray[np.float32]:
        pixels = np.ascontiguousarray(images.transpose(0, 3, 1, 2), np.float32)
        interpreter.set_tensor(given["index"], pixels)
        interpreter.invoke()
        probs: NDArray[np.float32] = interpreter.get_tensor(gotten["index"])
        return probs

    return Session(infer)
