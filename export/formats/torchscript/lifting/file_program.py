"""A TorchScript-lite file as the program of `PixelGraph`, with the file's own weights.

In: a file. Out: a program for one image: float32 (1, 3, H, W), 0 to 255 -> probabilities, or these
and evidence. The bytecode is followed, never run by torch; its operators become operations of the
program by the rules that a network's own operations are written by.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import torch

from export.errors import CannotRunHere, Unreadable
from export.formats.torchscript.lifting.as_written import as_written
from export.formats.torchscript.lifting.file_input import FileInput
from export.formats.torchscript.lifting.integer_kernels import stored_kernel
from export.formats.torchscript.lifting.loaded_module import loaded
from export.formats.torchscript.lifting.operators import Operators
from export.formats.torchscript.lifting.places import Place
from export.formats.torchscript.lifting.prepacked import stored_prepacked
from export.formats.torchscript.lifting.whole_pools import with_whole_pools
from export.formats.torchscript.lite_file.bytecode_machine import follow
from export.formats.torchscript.lite_file.safe_unpickler import Record, read_pickle
from pipeline.program.batch_norm_folding import folded
from pipeline.program.builder import VALUE, Builder
from pipeline.program.operations import operation_of
from pipeline.program.program import Program, runnable, tensor_nodes

if TYPE_CHECKING:
    from torch._C import PyTorchFileReader

ONE_IMAGE: Final = (1, 1)
FORWARD: Final = ".forward"
PORTS: Final = "extra/ports.json"


def lifted(path: Path) -> Program:
    """The program that a file computes, for one image.

    Raises:
        CannotRunHere: an operator, or a use of one, that is not known here.
        Unreadable: the file is damaged, or contradicts itself.
    """
    try:
        reader = torch._C.PyTorchFileReader(str(path))
        side = _side(reader)
    except (RuntimeError, ValueError, KeyError, TypeError) as error:
        raise Unreadable(f"{path.name} is not a file of this project: {error}") from error
    document = read_pickle(reader, "bytecode.pkl", path.name)
    saved = read_pickle(reader, "data.pkl", path.name)
    try:
        functions = {name: _function(dict(body)) for name, body, *_ in document[1:]}
        program = _program(functions, saved, side)
        if any(operation_of(node) == "batch_norm" for node in program.operations()):
            program = folded(program)
        return as_written(program)
    except (TypeError, ValueError, KeyError, IndexError, AttributeError, RuntimeError) as error:
        said = str(error).strip().splitlines() or [type(error).__name__]
        raise Unreadable(f"{path.name}: its code contradicts itself: {said[0][:300]}") from error


def _side(reader: PyTorchFileReader) -> tuple[int, int]:
    """Height and width of the input, uint8 (1, H, W, 3)."""
    (port,) = json.loads(reader.get_record(PORTS))["inputs"]
    _, height, width, _ = port["shape"]
    if port["dtype"] != "uint8" or port["shape"] != [1, height, width, 3]:
        raise ValueError(f"an input of {port['dtype']} {port['shape']}")
    return height, width


def _program(functions: Mapping[str, Any], saved: Record, side: tuple[int, int]) -> Program:
    build = Builder(side, images=ONE_IMAGE)
    operators = Operators(build)
    module = loaded("module", saved, functions, _held, operators)
    returned = follow(functions[saved.name + FORWARD], [module, FileInput(side)], operators)
    answers = returned if isinstance(returned, tuple) else (returned,)
    if not all(isinstance(answer, Place) for answer in answers):
        raise CannotRunHere("an output that does not depend on the pixels is not known here")
    nodes = tuple(answer.read() for answer in answers)
    build.graph.output(nodes[0] if len(nodes) == 1 else nodes)
    build.graph.eliminate_dead_code()
    with_whole_pools(build)
    build.graph.eliminate_dead_code()
    return _finished(build, side)


def _finished(build: Builder, side: tuple[int, int]) -> Program:
    for node in build.graph.nodes:
        node.meta.pop(VALUE, None)
    used = [str(node.target) for node in tensor_nodes(build.graph)]
    network = runnable(build.graph, {name: build.tensors[name] for name in used})
    return Program(network, side, dict.fromkeys(used, ()), ())


def _function(body: dict[str, Any]) -> dict[str, Any]:
    """A function whose constants are tensors and prepacked layers instead of arrays and records."""
    # A program names its own constants `constant_...`.
    constants = [_held(f"packed_{i}", constant) for i, constant in enumerate(body["constants"])]
    return {**body, "constants": constants}


def _held(name: str, value: Any) -> Any:
    """Arrays as tensors and packed layers as such; another record as it is."""
    if not isinstance(value, Record):
        return _tensors(value)
    for stored in (stored_prepacked, stored_kernel):
        if layer := stored(name, value, _tensors):
            return layer
    return value


def _tensors(value: Any) -> Any:
    """Arrays in any structure as tensors."""
    if isinstance(value, np.ndarray):
        return torch.from_numpy(value.copy())
    if isinstance(value, list | tuple):
        return type(value)(map(_tensors, value))
    return value
