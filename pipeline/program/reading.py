"""A program from a document and tensors, strictly: what is read is a program, or is refused.

Nothing is unpickled or taken for source: an operation is looked up among those of
`pipeline.program.operations`, an argument has the type of its schema, a reference names what stands
before it, and every tensor and operation is used. At the end shapes are followed through the whole,
without computing anything.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import torch
from torch import Tensor, fx, nn

from pipeline.errors import BadInput
from pipeline.json_files import JsonObject, read_json, validate
from pipeline.program.operations import FIXED, OPERATIONS, bound, call
from pipeline.program.program import INPUT, MODULE, Program, runnable, shapes
from pipeline.program.writing import NODE, NUMBER, PROGRAM_FILE, SCHEMA, TENSOR, TENSORS_FILE

if TYPE_CHECKING:
    from pipeline.program.operations import Value

SCHEMA_FILE: Final = Path(__file__).parent / "program.schema.json"
WAY_OUT: Final = "write or copy it again"
TYPES: Final = (torch.float32, torch.int32, torch.int64, torch.bool)
RANKS: Final = (2, 4)  # of logits (N, K), of evidence (N, K, h, w)


def read_program(folder: Path) -> Program:
    """The program that `pipeline.program.writing.write_program` wrote into a folder.

    Raises:
        BadInput: as `program_of`, or a file is missing.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load

    path = folder / TENSORS_FILE
    what = read_json(folder / PROGRAM_FILE, what="program", way_out=WAY_OUT, versions=(SCHEMA,))
    try:
        tensors = load(path.read_bytes())
    except OSError as error:
        raise BadInput(f"{path} cannot be read: {error.strerror}; {WAY_OUT}") from error
    except SafetensorError as error:
        raise BadInput(f"{path} is not a safetensors file: {error}; {WAY_OUT}") from error
    return program_of(what, tensors, str(folder / PROGRAM_FILE))


def program_of(document: JsonObject, tensors: Mapping[str, Tensor], where: str) -> Program:
    """The program of a document and its tensors; `where` names the document in messages.

    Raises:
        BadInput: the document is not one of a program, or the tensors are not its own; the message
            names the first place.
    """
    validate(document, SCHEMA_FILE, where, WAY_OUT)
    try:
        return _program(document, tensors)
    except BadInput as error:
        raise BadInput(f"{where} is damaged: {error}; {WAY_OUT}") from error


def _program(document: JsonObject, tensors: Mapping[str, Tensor]) -> Program:
    said = document["tensors"]
    _check_tensors(said, tensors)
    graph = fx.Graph()
    nodes = {INPUT: graph.placeholder(INPUT)}
    held: dict[str, fx.Node] = {}
    for step in document["operations"]:
        name = step["name"]
        try:
            nodes[name] = _node(graph, step, nodes, held, said)
        except BadInput as error:
            raise BadInput(f"at {name}: {error}") from error
    if unknown := [name for name in document["outputs"] if name not in nodes]:
        raise BadInput(f"the output {unknown[0]} is not an operation")
    outputs = [nodes[name] for name in document["outputs"]]
    graph.output(outputs[0] if len(outputs) == 1 else tuple(outputs))
    if left := [name for name, node in nodes.items() if not node.users]:
        raise BadInput(f"nothing uses the result of {left[0]}")
    if left := sorted(said.keys() - held.keys()):
        raise BadInput(f"no operation uses the tensor {left[0]}")
    kinds = {name: _kind(tensor, said[name]["parameter"]) for name, tensor in tensors.items()}
    height, width = document["side"]
    program = Program(
        runnable(graph, kinds),
        (height, width),
        {name: tuple(entry["sources"]) for name, entry in said.items()},
        tuple(document["unused"]),
    )
    _check_shapes(program)
    return program


def _check_tensors(said: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> None:
    if missing := sorted(said.keys() - tensors.keys()):
        raise BadInput(f"the tensor {missing[0]} is not in its file")
    if left := sorted(tensors.keys() - said.keys()):
        raise BadInput(f"its file has a tensor {left[0]} that the program does not name")
    for name, tensor in tensors.items():
        if tensor.dtype not in TYPES:
            raise BadInput(f"the tensor {name} is {tensor.dtype}, not one of {TYPES}")
    names = set(tensors)
    for name in sorted(names):
        folders = name.split(".")[:-1]
        if any(".".join(folders[: i + 1]) in names for i in range(len(folders))):
            raise BadInput(f"the tensor {name} stands below another tensor")


def _node(
    graph: fx.Graph,
    step: JsonObject,
    nodes: Mapping[str, fx.Node],
    held: dict[str, fx.Node],
    said: Mapping[str, Any],
) -> fx.Node:
    name, operation = step["name"], step["operation"]
    if name in nodes:
        raise BadInput("an operation before it has this name")
    if operation not in OPERATIONS:
        raise BadInput(f"{operation!r} is not an operation of a program")

    def value(written: Any) -> Value:
        if isinstance(written, list):
            return [value(item) for item in written]
        if not isinstance(written, dict):
            return written  # type: ignore[no-any-return]  # a number, a string or nothing
        ((kind, content),) = written.items()
        if kind == NUMBER:
            return float(content)
        if kind == NODE and content in nodes:
            return nodes[content]
        if kind == TENSOR and content in said:
            if content not in held:
                held[content] = graph.create_node(
                    "get_attr", content, name=content.replace(".", "_")
                )
            return held[content]
        raise BadInput(f"it takes the {kind} {content}, of which nothing before it tells")

    if fixed := sorted(step["arguments"].keys() & FIXED):
        raise BadInput(f"{operation} has no argument {fixed[0]}")
    arguments = {key: value(written) for key, written in step["arguments"].items()}
    by_place, by_name = call(operation, bound(operation, (), arguments))
    node = graph.create_node("call_function", OPERATIONS[operation], by_place, by_name, name=name)
    node.meta[MODULE] = step["module"]
    return node


def _kind(tensor: Tensor, parameter: bool) -> Tensor:
    if not parameter:
        return tensor
    if not tensor.is_floating_point():
        raise BadInput(f"a parameter is {tensor.dtype}")
    return nn.Parameter(tensor)


def _check_shapes(program: Program) -> None:
    try:
        found = shapes(program, images=2)
    except Exception as error:  # whatever torch says of inputs that do not fit
        place = (getattr(error, "__notes__", None) or ["?"])[-1]
        said = str(error).strip().splitlines() or [type(error).__name__]
        raise BadInput(f"at {place}: {said[0][:200]}") from error
    for node, rank in zip(program.outputs(), RANKS, strict=False):
        shape = found[node]
        if len(shape) != rank or shape[0] != 2:
            raise BadInput(f"the output {node.name} has shape {shape} for two images")
