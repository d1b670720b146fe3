"""The same Core ML program in fewer bytes: short names, and constants where they are used.

In: a document whose program coremltools wrote. Out: the same operations in the same order on the
same numbers. Otherwise the specification would be a sixth of a package with 3-bit weights.

What is removed, and why no reader needs it:

- names of values inside the program: any identifier is valid (MIL.proto);
- a `const` that is used once: its value moves into the argument itself, which the format allows
  everywhere, and which coremltools does for compressed weights and class labels;
- a `const` that equals another;
- the `name` of an operation, which is for people; Chromium's WebNN writes programs without one;
- the version notes of coremltools. Our metadata stay.

Default arguments, such as strides of 1, stay: only coremltools' Python code makes them optional.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator
from itertools import chain, count
from string import ascii_letters
from typing import TYPE_CHECKING, Final

from export.formats.coreml.weight_blobs import replace_operations

if TYPE_CHECKING:
    from coremltools.proto.MIL_pb2 import Argument, Block
    from coremltools.proto.Model_pb2 import Model

TOOL_PREFIX: Final = "com.github.apple.coremltools."


def compact_program(document: Model) -> None:
    """Rewrite the program of a `Model_pb2.Model` in place."""
    (function,) = document.mlProgram.functions.values()
    block = function.block_specializations[function.opset]
    _place_constants(block)
    _rename_values(block, {value.name for value in function.inputs} | set(block.outputs))
    for operation in block.operations:
        operation.attributes.pop("name", None)
    document.mlProgram.attributes.clear()
    about = document.description.metadata.userDefined
    for key in [key for key in about if key.startswith(TOOL_PREFIX)]:
        del about[key]


def _place_constants(block: Block) -> None:
    """Move constants used once into their arguments; keep one of each set of equal others."""
    constants = {op.outputs[0].name: op for op in block.operations if op.type == "const"}
    content = {
        name: operation.attributes["val"].SerializeToString(deterministic=True)
        for name, operation in constants.items()
    }
    uses = Counter(content[b.name] for b in _bindings(block) if b.name in constants)
    first: dict[bytes, str] = {}
    for binding in _bindings(block):
        if binding.name not in constants:
            continue
        value = constants[binding.name].attributes["val"]
        # coremltools reads no argument of an ordinary operation from weight.bin.
        if uses[content[binding.name]] == 1 and value.WhichOneof("value") == "immediateValue":
            binding.value.CopyFrom(value)
        else:
            binding.name = first.setdefault(content[binding.name], binding.name)
    kept = set(first.values())
    replace_operations(
        block, [op for op in block.operations if op.type != "const" or op.outputs[0].name in kept]
    )


def _rename_values(block: Block, known_outside: Collection[str]) -> None:
    """Give the shortest names to the values that are named most often."""
    named = Counter(
        name
        for name in chain(
            (output.name for operation in block.operations for output in operation.outputs),
            (b.name for b in _bindings(block) if b.WhichOneof("binding") == "name"),
        )
        if name not in known_outside
    )
    names = dict(zip((name for name, _ in named.most_common()), _short_names(), strict=False))
    for operation in block.operations:
        for output in operation.outputs:
            output.name = names.get(output.name, output.name)
    for binding in _bindings(block):
        if binding.name in names:
            binding.name = names[binding.name]


def _short_names() -> Iterator[str]:
    """a, b, ..., Z, a0, b0, ...: never a word, so never a keyword of MIL's text."""
    yield from ascii_letters
    yield from (f"{letter}{number}" for number in count() for letter in ascii_letters)


def _bindings(block: Block) -> Iterator[Argument.Binding]:
    """Each argument of each operation."""
    for operation in block.operations:
        for argument in operation.inputs.values():
            yield from argument.arguments
