"""ExecuTorch with its XNNPACK backend, in fp32.

1.3.1 is the version that runs with torch 2.12.1. As for LiteRT, the graph takes float32 NCHW
pixels: with a uint8 input the cast and the permutation run outside XNNPACK and are slower than
numpy's.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from benchmarks.peers.base import Group
from export.latency.protocol import Session

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from benchmarks.peers.sources import PeerSources

NAME: Final = "executorch"
TITLE: Final = "ExecuTorch XNNPACK"
GROUP: Final[Group] = "peer"
PACKAGES: Final = (
    "executorch==1.3.1",
    "torchao==0.17.0",
    "flatbuffers==25.12.19",
    "ruamel.yaml==0.19.1",
    "tabulate==0.10.0",
    "tqdm==4.70.1",
)
BESIDE_TORCH: Final = True
IMPORTS: Final = ("executorch.exir", "executorch.runtime")
LIMITS: Final[Mapping[str, float]] = {"fp32": 1e-3}
TIMED: Final = (
    "uint8 NHWC array in, cast and transposed to float32 NCHW by numpy, then normalisation and "
    "softmax in the graph"
)
# The only way from Python; the runtime's other knobs are C++.
THREADS_BY: Final = "_unsafe_reset_threadpool of its Python binding"
MODEL_FILE: Final = "model.pte"


def convert(sources: PeerSources, folder: Path) -> None:
    """torch.export, XNNPACK partitioner, serialise."""
    # Its schema compiler is in the wheel, but looked for on PATH.
    package = find_spec("executorch.data.bin")
    assert package is not None
    assert package.origin is not None
    os.environ["FLATC_EXECUTABLE"] = str(Path(package.origin).with_name("flatc"))
    import torch
    from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
    from executorch.exir import to_edge_transform_and_lower

    from benchmarks.peers.sources import example_pixels, pixel_module

    exported = torch.export.export(
        pixel_module(sources.checkpoint), (example_pixels(sources.side),)
    )
    lowered = to_edge_transform_and_lower(exported, partitioner=[XnnpackPartitioner()])
    (folder / MODEL_FILE).write_bytes(lowered.to_executorch().buffer)


def load(folder: Path, precision: str, threads: int) -> Session:
    """The program's ``forward``. Raises RuntimeError if the thread count does not take."""
    import torch
    from executorch.extension.pybindings import _portable_lib
    from executorch.runtime import Runtime

    torch.set_num_threads(threads)
    _portable_lib._unsafe_reset_threadpool(threads)
    if _portable_lib._threadpool_get_thread_count() != threads:
        raise RuntimeError(f"ExecuTorch's thread pool does not take {threads} threads")
    program = Runtime.get().load_program(folder / MODEL_FILE)
    forward = program.load_method("forward")

    def infer(images: NDArray[np.uint8]) -> NDArray[np.float32]:
        pixels = np.ascontiguousarray(images.transpose(0, 3, 1, 2), np.float32)
        probs: NDArray[np.float32] = forward.execute([torch.from_numpy(pixels)])[0].numpy()
        return probs

    return Session(infer)
