"""TorchScript-lite (.ptl), for apps on the PyTorch lite interpreter (legacy: last released 2.1).

Convolutions are prepacked: for XNNPACK when the file is written (fp32) or when it is loaded (fp16,
w4, w3: `packed_network`), for QNNPACK in int8. The graph's NHWC input makes every tensor
channels-last, which both use directly; with an NCHW input the same file is five times slower.
torch 2.13 wheels have no XNNPACK (https://github.com/pytorch/pytorch/pull/185297), hence the pin.
"""

from __future__ import annotations

import json
import tempfile
import warnings
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from export.deploy.metadata import labels_in
from export.deploy.outputs import gathered
from export.errors import ConversionFailed, Unreadable
from export.formats.base import Description, Port, Runner
from export.formats.torchscript.facts import FACTS
from export.formats.torchscript.lite_file.archive import compact
from export.formats.torchscript.stored_layers import packed_layers, prepacked_layers

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from export.deploy.graph import DeployGraph
    from export.deploy.layers import Layer, LayerTrace
    from export.deploy.outputs import Answers
    from pipeline.model_spec import ModelSpec
    from pipeline.program.program import Program

RUN_BY: Final = "run by the lite interpreter"
ALSO: Final[tuple[Runner, ...]] = ()
METADATA_FILE: Final = "metadata.json"
PORTS_FILE: Final = "ports.json"


def convert(
    graph: DeployGraph, spec: ModelSpec, metadata: Mapping[str, str], precision: str, path: Path
) -> None:
    """Prepack or pack the layers, write without debug information.

    Raises:
        ConversionFailed: this torch lacks XNNPACK or QNNPACK, or a layer cannot be packed.
    """
    import torch

    from export.formats.torchscript.integers.qnnpack import qnnpack

    if not has_xnnpack():
        raise ConversionFailed(
            f"torch {torch.__version__} is built without XNNPACK, which optimize_for_mobile needs; "
            "install torch 2.12.1 (constraints.txt)"
        )
    extra = {
        METADATA_FILE: json.dumps(dict(metadata), sort_keys=True),
        PORTS_FILE: json.dumps(_ports(graph, spec), sort_keys=True),
    }
    engine = qnnpack() if precision == "int8" else nullcontext()
    with engine, warnings.catch_warnings(), tempfile.TemporaryDirectory() as folder:
        warnings.simplefilter("ignore", DeprecationWarning)  # TorchScript, known and chosen
        warnings.simplefilter("ignore", FutureWarning)
        module = _module(graph, spec, precision)
        full = Path(folder) / "model.ptl"
        module._save_for_lite_interpreter(str(full), _extra_files=extra)
        path.write_bytes(compact(full))


def load(path: Path, threads: int = 1) -> Any:
    """The lite interpreter's module. Raises Unreadable.

    The thread count, the engine of integer kernels and the handling of freed memory apply to the
    whole process from here on: a layer packed for QNNPACK runs under no other engine.
    """
    import torch
    from torch.jit.mobile import _load_for_lite_interpreter

    from export.formats.torchscript.glibc_malloc import keep_freed_memory
    from export.formats.torchscript.integers.qnnpack import ENGINE

    keep_freed_memory()
    torch.set_num_threads(threads)
    if ENGINE in torch.backends.quantized.supported_engines:
        torch.backends.quantized.engine = ENGINE
    try:
        return _load_for_lite_interpreter(str(path))  # type: ignore[no-untyped-call]
    except RuntimeError as error:
        raise Unreadable(f"the lite interpreter cannot load {path.name}: {error}") from error


def run(session: Any, images: NDArray[np.uint8]) -> Answers:
    """Outputs for uint8 (N, H, W, 3), image by image. The file returns one tensor or two."""
    import torch

    with torch.inference_mode():
        # numpy would give the new axis a stride of 0, for which torch assumes another layout.
        answers = (session(torch.from_numpy(image)[None]) for image in images)
        tensors = (a if isinstance(a, tuple | list) else (a,) for a in answers)
        return gathered([tensor.numpy() for tensor in found] for found in tensors)


def describe(path: Path) -> Description:
    """Bytecode version and operators from the bytecode; ports from the file that we added to it.

    A lite file itself has no shapes. Raises Unreadable.
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
    least = FACTS.least_runtime
    known = [version for version in least.versions if bytecode <= version]
    if known:
        requires[least.key] = least.versions[min(known)]
    return Description(inputs, outputs, metadata, labels_in(metadata), requires)


def stored_layers(path: Path) -> list[Layer]:
    """Prepacked layers from the bytecode, and packed ones; runs neither. Raises Unreadable."""
    import torch

    try:
        reader = torch._C.PyTorchFileReader(str(path))
    except RuntimeError as error:
        raise Unreadable(f"{path.name} is not an archive of torch: {error}") from error
    return packed_layers(reader, path.name) + prepacked_layers(reader, path.name)


def trace_layers(path: Path, image: NDArray[np.uint8]) -> list[LayerTrace] | None:
    """None: the lite interpreter hides its intermediate values."""
    return None


def lifted(path: Path) -> Program:
    """The file as a program with its own weights. Raises CannotRunHere or Unreadable."""
    from export.formats.torchscript.lifting.file_program import lifted

    return lifted(path)


def as_written(program: Program, *, half: bool = False) -> Program:
    """What is expected of a file, with what this format writes in a form of its own, on purpose.

    It is the same for every precision: no file computes in fp16.
    """
    from export.formats.torchscript.lifting.as_written import as_written

    return as_written(program)


def why_not_convert() -> str:
    """A torch without XNNPACK cannot prepack layers."""
    return "" if has_xnnpack() else "this torch has no XNNPACK"


def why_not_run() -> str:
    """Nor can it run prepacked layers."""
    return "" if has_xnnpack() else "prepacked layers need XNNPACK; other files run"


def has_xnnpack() -> bool:
    """Whether this torch is built with XNNPACK, which prepacking needs."""
    from torch.backends import xnnpack

    return bool(xnnpack.enabled)  # type: ignore[attr-defined]


def _module(graph: DeployGraph, spec: ModelSpec, precision: str) -> Any:
    """The scripted module that is saved."""
    import torch
    from torch.utils.mobile_optimizer import optimize_for_mobile

    from export.deploy.batch_norm_folding import folded_graph, norms_as_convolutions, with_network
    from export.deploy.graph import example_input
    from export.formats.torchscript.integers.qnnpack import integer_network
    from export.formats.torchscript.packed_network import packed_network
    from export.formats.torchscript.plain_padding import with_plain_padding
    from export.formats.torchscript.row_normalisation import in_rows
    from export.formats.torchscript.separable_pooling import with_split_pools

    if precision == "int8":
        return optimize_for_mobile(integer_network(with_plain_padding(graph, spec), spec))
    folded = folded_graph(graph)
    graph = with_network(folded, norms_as_convolutions(folded.pixels.network))
    graph = with_split_pools(graph, spec)
    if precision == "fp32":
        rows = in_rows(graph, spec.side)
        traced = torch.jit.trace(rows, example_input(spec))  # type: ignore[no-untyped-call]
        return optimize_for_mobile(traced)
    return packed_network(with_plain_padding(graph, spec), half=precision == "fp16")


def _ports(graph: DeployGraph, spec: ModelSpec) -> dict[str, Any]:
    """Inputs and outputs, which a lite file itself does not name; outputs in the tuple's order."""
    from export.deploy.graph import INPUT_NAME, example_input, output_shapes

    shape = tuple(example_input(spec).shape)
    outputs = output_shapes(graph, spec).items()
    return {
        "inputs": [asdict(Port(INPUT_NAME, "uint8", shape))],
        "outputs": [asdict(Port(name, "float32", shape)) for name, shape in outputs],
    }
