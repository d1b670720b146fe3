"""ONNX Runtime as an app uses it, for the two formats that it loads."""

from __future__ import annotations

from typing import TYPE_CHECKING

from export.deploy.outputs import Answers, gathered, named
from export.errors import CannotRunHere, Unreadable
from export.formats.base import Port
from export.formats.onnx.facts import FACTS
from pipeline.errors import install_command, missing_modules

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray
    from onnxruntime import InferenceSession, NodeArg


def load_session(path: Path, threads: int) -> InferenceSession:
    """An `onnxruntime.InferenceSession` on the CPU with default options except the thread count.

    Raises:
        CannotRunHere: onnxruntime is not installed.
        Unreadable: onnxruntime rejects the file.
    """
    missing = missing_modules((FACTS.runtime,))
    if missing:
        command = install_command(missing, FACTS.extras_of(missing))
        raise CannotRunHere(f"{FACTS.runtime} is not installed; {command}")
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3  # hide its warnings about our own choices
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # its exceptions share no base but this
        raise Unreadable(f"onnxruntime cannot load {path.name}: {error}") from error


def run_session(session: InferenceSession, images: NDArray[np.uint8]) -> Answers:
    """Outputs for uint8 (N, H, W, 3), one call an image."""
    name = session.get_inputs()[0].name
    outputs = [output.name for output in session.get_outputs()]
    return gathered(named(outputs, session.run(None, {name: image[None]})) for image in images)


def session_ports(session: InferenceSession) -> tuple[tuple[Port, ...], tuple[Port, ...]]:
    """Inputs and outputs as onnxruntime read them from the file.

    Raises:
        Unreadable: a size is not fixed.
    """
    return _ports(session.get_inputs()), _ports(session.get_outputs())


def _ports(arguments: list[NodeArg]) -> tuple[Port, ...]:
    dtypes = {"tensor(uint8)": "uint8", "tensor(float)": "float32", "tensor(float16)": "float16"}
    for a in arguments:
        if not all(isinstance(length, int) for length in a.shape):
            raise Unreadable(f"the size of {a.name} is not fixed: {a.shape}")
    return tuple(Port(a.name, dtypes.get(a.type, a.type), tuple(a.shape)) for a in arguments)
