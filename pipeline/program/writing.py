"""A program as a document and tensors: nothing that has to be executed to be read.

``program.json`` lists the operations in order, each with its name, its operation, the module that
it comes from, and all its arguments by name. An argument is a number, a string, null, a list, a
reference to an operation before (``{"node": NAME}``; the input is a node too) or to a tensor
(``{"tensor": NAME}``). ``program.safetensors`` holds the tensors. `pipeline.program.reading` reads
both.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Final

from torch import fx, nn

from pipeline.json_files import JsonObject, write_json
from pipeline.program.operations import Value, arguments_of, operation_of
from pipeline.program.program import MODULE

if TYPE_CHECKING:
    from pipeline.program.program import Program

SCHEMA: Final = 1
PROGRAM_FILE: Final = "program.json"
TENSORS_FILE: Final = "program.safetensors"
NODE: Final = "node"
TENSOR: Final = "tensor"
NUMBER: Final = "number"  # infinity, which JSON does not have


def write_program(folder: Path, program: Program) -> None:
    """Write the files of a program into an existing, staged `folder`."""
    from safetensors.torch import save

    tensors = {name: tensor.contiguous() for name, tensor in program.tensors().items()}
    (folder / TENSORS_FILE).write_bytes(save(tensors))
    write_json(folder / PROGRAM_FILE, document(program))


def document(program: Program) -> JsonObject:
    """All of a program but the numbers in its tensors."""
    kept = program.network.state_dict(keep_vars=True)
    return {
        "schema": SCHEMA,
        "side": list(program.side),
        "operations": [
            {
                "name": node.name,
                "operation": operation_of(node),
                "module": node.meta.get(MODULE, ""),
                "arguments": {key: _plain(value) for key, value in arguments_of(node).items()},
            }
            for node in program.operations()
        ],
        "outputs": [node.name for node in program.outputs()],
        "tensors": {
            name: {"parameter": isinstance(kept[name], nn.Parameter), "sources": list(sources)}
            for name, sources in program.sources.items()
        },
        "unused": list(program.unused),
    }


def _plain(value: Value) -> object:
    if isinstance(value, fx.Node):
        held = value.op == "get_attr"
        return {TENSOR: str(value.target)} if held else {NODE: value.name}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if isinstance(value, float) and math.isinf(value):
        return {NUMBER: "inf" if value > 0 else "-inf"}
    return value
