"""Load one model file with this environment's runtime, run images through it, write its outputs.

    python -S -s -P standalone_runner.py RUNTIME THREADS MODEL IMAGES.npy ANSWERS.npz

It runs in a foreign environment, so it needs only the standard library, numpy and one runtime; no
module of the project. In: uint8 (N, H, W, 3). Out: arrays ``probs``, float32 (N, K), and if the
file has it ``evidence``, float32 (N, K, h, w); and as the last line of stdout a JSON object:
``runtime, version, machine, seconds_load, seconds_run``, or ``refused``, the runtime's message,
with exit code 3, if it does not load the file.
"""

from __future__ import annotations

import json
import platform
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np

REFUSED = 3  # exit code
EVIDENCE = "evidence"
# One image, uint8 (1, H, W, 3), to probs, float32 (1, K), and perhaps evidence, (1, K, h, w).
Runner = Callable[[Any], list[Any]]


def main(module: str, threads: str, model: str, images_file: str, answers_file: str) -> int:
    """Run the images through the model as the module describes; return the exit code."""
    images = np.load(images_file)
    runtime, version, load = RUNTIMES[module]()
    start = time.perf_counter()
    try:
        run = load(model, int(threads))
    except Exception as error:  # onnxruntime's exceptions share no base but this
        print(json.dumps({"refused": _last_line(str(error))}))
        return REFUSED
    loaded = time.perf_counter()
    outputs = [run(image[None]) for image in images]
    finished = time.perf_counter()
    columns = zip(*outputs, strict=True)
    arrays: dict[str, Any] = {
        name: np.concatenate(column)
        for name, column in zip(("probs", EVIDENCE), columns, strict=False)
    }
    np.savez(answers_file, **arrays)
    report = {
        "runtime": runtime,
        "version": version,
        "machine": platform.machine(),
        "seconds_load": loaded - start,
        "seconds_run": finished - loaded,
    }
    print(json.dumps(report))
    return 0


def _onnxruntime() -> tuple[str, str, Callable[[str, int], Runner]]:
    import onnxruntime

    def load(model: str, threads: int) -> Runner:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.log_severity_level = 3  # errors only
        session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        name = session.get_inputs()[0].name
        first, *others = [output.name for output in session.get_outputs()]
        wanted = [first] + [EVIDENCE] * (EVIDENCE in others)
        return lambda image: session.run(wanted, {name: image})

    return "onnxruntime", onnxruntime.__version__, load


def _torch() -> tuple[str, str, Callable[[str, int], Runner]]:
    import torch
    from torch.jit.mobile import _load_for_lite_interpreter

    def load(model: str, threads: int) -> Runner:
        torch.set_num_threads(threads)
        if "qnnpack" in torch.backends.quantized.supported_engines:
            torch.backends.quantized.engine = "qnnpack"  # Android's; int8 files are packed for it
        module = _load_for_lite_interpreter(model)  # type: ignore[no-untyped-call]

        def run(image: Any) -> list[Any]:
            with torch.inference_mode():
                found = module(torch.from_numpy(image))
            tensors = found if isinstance(found, (tuple, list)) else (found,)
            return [tensor.numpy() for tensor in tensors]

        return run

    return "torch", torch.__version__, load


RUNTIMES = {"onnxruntime": _onnxruntime, "torch": _torch}  # module -> how it loads a file


def _last_line(message: str) -> str:
    """The last meaningful line: torch appends the frames of its C++ stack."""
    lines = [line.strip() for line in message.splitlines()]
    said = [line for line in lines if line and not line.startswith(("frame #", "Exception raised"))]
    return said[-1] if said else "no message"


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
