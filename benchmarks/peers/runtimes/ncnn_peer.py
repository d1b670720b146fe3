"""ncnn, converted by pnnx from the traced TorchScript file, in fp32.

ncnn computes in fp16 or bf16 where options allow it; all of these are off. Its own
`Mat.from_pixels` converts the bitmap to floats, as in ncnn's examples for apps.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from benchmarks.peers.base import Group
from export.latency.protocol import Session
from pipeline.resize.notation import height_width

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from benchmarks.peers.sources import PeerSources

NAME: Final = "ncnn"
TITLE: Final = "ncnn"
GROUP: Final[Group] = "peer"
# Only the program in pnnx's wheel is used; its Python module would need torch.
PACKAGES: Final = ("ncnn==1.0.20261020", "pnnx==20261020", "numpy==2.4.6")
BESIDE_TORCH: Final = False
IMPORTS: Final = ("ncnn",)
LIMITS: Final[Mapping[str, float]] = {"fp32": 1e-3}
TIMED: Final = (
    "uint8 NHWC array in, Mat.from_pixels, then normalisation and softmax in the graph; fp16 and "
    "bf16 off"
)
THREADS_BY: Final = "Net.opt.num_threads"
PARAM_FILE: Final = "model.param"
BIN_FILE: Final = "model.bin"
REDUCED: Final = (
    "use_fp16_packed", "use_fp16_storage", "use_fp16_arithmetic", "use_bf16_storage",
    "use_bf16_packed",
)  # fmt: skip


def convert(sources: PeerSources, folder: Path) -> None:
    """Run pnnx; weights stay fp32. Raises RuntimeError with its last line."""
    package = find_spec("pnnx")
    assert package is not None
    assert package.origin is not None
    height, width = height_width(sources.side)
    # pnnx also writes files of its own next to its input, besides these two.
    with tempfile.TemporaryDirectory() as scratch:
        model = Path(scratch) / sources.torchscript.name
        model.write_bytes(sources.torchscript.read_bytes())
        done = subprocess.run(
            [
                *(str(Path(package.origin).with_name("pnnx")), str(model)),
                *(f"inputshape=[1,3,{height},{width}]", "fp16=0"),
                *(f"ncnnparam={folder / PARAM_FILE}", f"ncnnbin={folder / BIN_FILE}"),
            ],
            cwd=scratch,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        )
    sys.stderr.write(done.stdout)
    if done.returncode != 0 or not (folder / BIN_FILE).is_file():
        last = (done.stdout.strip() or "no output").splitlines()[-1]
        raise RuntimeError(f"pnnx ended with {done.returncode}: {last}")


def load(folder: Path, precision: str, threads: int) -> Session:
    """A net; each call makes an extractor, as an app does."""
    import ncnn

    net = ncnn.Net()
    for option in REDUCED:
        setattr(net.opt, option, False)
    net.opt.num_threads = threads
    if net.load_param(str(folder / PARAM_FILE)) or net.load_model(str(folder / BIN_FILE)):
        raise RuntimeError("ncnn cannot load what pnnx wrote")
    rgb = ncnn.Mat.PixelType.PIXEL_RGB

    def infer(images: NDArray[np.uint8]) -> NDArray[np.float32]:
        height, width = images.shape[1:3]
        with net.create_extractor() as extractor:
            extractor.input("in0", ncnn.Mat.from_pixels(images[0], rgb, width, height))
            code, probs = extractor.extract("out0")
            if code:
                raise RuntimeError(f"ncnn's extract returned {code}")
            return np.array(probs).reshape(1, -1)

    return Session(infer)
