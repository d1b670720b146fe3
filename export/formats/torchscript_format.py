"""TorchScript-lite (.ptl), for apps on the PyTorch lite interpreter (legacy: last released 2.1).

`optimize_for_mobile` prepacks convolutions for XNNPACK. The graph's NHWC input makes every tensor
channels-last, which XNNPACK takes as it is; with an NCHW input the same file is five times slower.
torch 2.13 wheels have no XNNPACK (https://github.com/pytorch/pytorch/pull/185297), hence the pin.
"""

from __future__ import annotations

import io
import json
import tempfile
import warnings
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from export.errors import ConversionFailed, Unreadable
from export.formats.base import Description, Port, Runner, Tolerance
from export.formats.lite_bytecode import prepacked_layers
from export.metadata import labels_in

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from export.graph import DeployGraph
    from export.layers import Layer, LayerTrace
    from pipeline.checkpoint import ModelSpec

NAME: Final = "torchscript"
SUFFIX: Final = ".ptl"
PLATFORMS: Final = ("android",)
REQUIRES: Final = ("torch",)
RUNTIME: Final = "torch"
RUN_BY: Final = "run by the lite interpreter"
ALSO: Final[tuple[Runner, ...]] = ()
TOLERANCES: Final[Mapping[str, Tolerance]] = {
    "fp32": Tolerance(
        1e-4, 0.0, "XNNPACK sums in another order: 1e-6 on X-rays, 1e-5 on pure noise"
    ),
}
METADATA_FILE: Final = "metadata.json"
PORTS_FILE: Final = "ports.json"
# Read by torch 2.1.2, the version line of the last pytorch_android_lite and LibTorch-Lite.
OLDEST_RUNTIME: Final = "2.1.0"
MAX_BYTECODE: Final = 8


def convert(
    graph: DeployGraph, spec: ModelSpec, metadata: Mapping[str, str], precision: str, path: Path
) -> None:
    """Trace, optimise for mobile, write without debug information.

    Raises:
        ConversionFailed: this torch has no XNNPACK.
    """
    import torch
    from torch.utils.mobile_optimizer import optimize_for_mobile

    from export.graph import INPUT_NAME, OUTPUT_NAME, example_input

    if not has_xnnpack():
        raise ConversionFailed(
            f"torch {torch.__version__} is built without XNNPACK, which optimize_for_mobile needs; "
            "install torch 2.12.1 (constraints.txt)"
        )
    example = example_input(spec)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # TorchScript, known and chosen
        warnings.simplefilter("ignore", FutureWarning)
        optimised = optimize_for_mobile(torch.jit.trace(graph, example))  # type: ignore[no-untyped-call]
        ports = {
            "inputs": [asdict(Port(INPUT_NAME, "uint8", tuple(example.shape)))],
            "outputs": [asdict(Port(OUTPUT_NAME, "float32", (1, len(spec.labels))))],
        }
        extra = {
            METADATA_FILE: json.dumps(dict(metadata), sort_keys=True),
            PORTS_FILE: json.dumps(ports, sort_keys=True),
        }
        with tempfile.TemporaryDirectory() as folder:
            full = Path(folder) / "model.ptl"
            optimised._save_for_lite_interpreter(str(full), _extra_files=extra)
            path.write_bytes(_without_debug_records(full))


def load(path: Path, threads: int = 1) -> Any:
    """The lite interpreter's module. Raises Unreadable.

    The thread count is torch's own and holds for the whole process.
    """
    import torch
    from torch.jit.mobile import _load_for_lite_interpreter

    torch.set_num_threads(threads)
    try:
        return _load_for_lite_interpreter(str(path))  # type: ignore[no-untyped-call]
    except RuntimeError as error:
        raise Unreadable(f"the lite interpreter cannot load {path.name}: {error}") from error


def run(session: Any, images: NDArray[np.uint8]) -> NDArray[np.float32]:
    """uint8 (N, H, W, 3) -> float32 (N, K), image by image."""
    import torch

    with torch.inference_mode():
        outputs = [session(torch.from_numpy(image[None])).numpy() for image in images]
    return np.concatenate(outputs)


def describe(path: Path) -> Description:
    """Bytecode version and operators from the bytecode; ports from the file we put in beside it.

    A lite file itself names no shapes. Raises Unreadable.
    """
    import torch
    from torch.jit.mobile import _get_model_bytecode_version, _get_model_ops_and_info

    try:
        reader = torch._C.PyTorchFileReader(str(path))
        metadata = json.loads(reader.get_record(f"extra/{METADATA_FILE}"))
        ports = json.loads(reader.get_record(f"extra/{PORTS_FILE}"))
        bytecode = _get_model_bytecode_version(str(path))
        operators = ", ".join(
            sorted(_get_model_ops_and_info(str(path)))  # type: ignore[no-untyped-call]
        )
    except (RuntimeError, ValueError) as error:
        raise Unreadable(f"{path.name} is not a file of this project: {error}") from error
    inputs, outputs = (
        tuple(Port(p["name"], p["dtype"], tuple(p["shape"])) for p in ports[side])
        for side in ("inputs", "outputs")
    )
    requires: dict[str, str | int] = {"bytecode": bytecode, "operators": operators}
    if bytecode <= MAX_BYTECODE:
        requires["pytorch_lite"] = OLDEST_RUNTIME
    return Description(inputs, outputs, metadata, labels_in(metadata), requires)


def stored_layers(path: Path) -> list[Layer]:
    """Prepacked layers from the bytecode, without running it. Raises Unreadable."""
    import torch

    try:
        reader = torch._C.PyTorchFileReader(str(path))
    except RuntimeError as error:
        raise Unreadable(f"{path.name} is not an archive of torch: {error}") from error
    return prepacked_layers(reader, path.name)


def trace_layers(path: Path, image: NDArray[np.uint8]) -> list[LayerTrace] | None:
    """The lite interpreter keeps what it computes to itself."""
    return None


def has_xnnpack() -> bool:
    """Whether this torch is built with XNNPACK, without which nothing can be prepacked."""
    from torch.backends import xnnpack

    return bool(xnnpack.enabled)  # type: ignore[attr-defined]


def _without_debug_records(path: Path) -> bytes:
    """The archive again, without the records that hold source lines and paths of this machine.

    Written by torch's own writer, which aligns the tensors; under a fixed name, so that the bytes
    do not depend on the file's name.
    """
    import torch

    reader = torch._C.PyTorchFileReader(str(path))
    content = io.BytesIO()
    writer = torch._C.PyTorchFileWriter(content)
    written_by_writer = {"version", "byteorder", ".data/serialization_id"}
    for name in reader.get_all_records():
        if name not in written_by_writer and not name.endswith(".debug_pkl"):
            record = reader.get_record(name)
            writer.write_record(name, record, len(record))
    writer.write_end_of_file()
    return content.getvalue()
