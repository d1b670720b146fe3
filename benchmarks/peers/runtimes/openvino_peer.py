"""OpenVINO on the CPU, from the plain ONNX file: once in fp32, once in its own default precision.

On processors with bf16 units OpenVINO computes in bf16 by default. That is a fair default but not
fp32, so it has its own row.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from benchmarks.peers.base import Group
from export.errors import CannotRunHere
from export.latency.protocol import Session

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from benchmarks.peers.sources import PeerSources

NAME: Final = "openvino"
TITLE: Final = "OpenVINO"
GROUP: Final[Group] = "peer"
PACKAGES: Final = ("openvino==2026.4.1", "numpy==2.4.6")  # its telemetry package stays out
BESIDE_TORCH: Final = False
IMPORTS: Final = ("openvino",)
# bf16 keeps 8 bits: 2e-3 on noise here.
LIMITS: Final[Mapping[str, float]] = {"fp32": 1e-3, "default": 2e-2}
TIMED: Final = "uint8 NHWC array in, cast, normalisation and softmax in the graph"
THREADS_BY: Final = "INFERENCE_NUM_THREADS, with one stream"
MODEL_FILE: Final = "model.xml"
FULL: Final = "f32"


def convert(sources: PeerSources, folder: Path) -> None:
    """OpenVINO's own files, weights kept in fp32."""
    import openvino

    model = openvino.Core().read_model(sources.onnx)
    openvino.save_model(model, folder / MODEL_FILE, compress_to_fp16=False)


def load(folder: Path, precision: str, threads: int) -> Session:
    """An inference request. Raises CannotRunHere if the default precision is fp32."""
    import openvino

    config: dict[str, str | int] = {"INFERENCE_NUM_THREADS": threads, "NUM_STREAMS": 1}
    if precision == "fp32":
        config["INFERENCE_PRECISION_HINT"] = FULL
    core = openvino.Core()
    compiled = core.compile_model(core.read_model(folder / MODEL_FILE), "CPU", config)
    used = compiled.get_property("INFERENCE_PRECISION_HINT").get_type_name()
    if precision == "fp32" and used != FULL:
        raise RuntimeError(f"asked for {FULL}, OpenVINO uses {used}")
    if precision != "fp32" and used == FULL:
        raise CannotRunHere(f"OpenVINO's default on this processor is {FULL}: the fp32 row is it")
    request = compiled.create_infer_request()
    output = compiled.output(0)

    def infer(image: NDArray[np.uint8]) -> NDArray[np.float32]:
        return np.array(request.infer([image], share_inputs=True, share_outputs=True)[output])

    return Session(infer, detail=used)
