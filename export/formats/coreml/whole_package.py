"""A package has what Core ML's own reader takes, and nothing that nobody reads.

In: a saved folder. Every file of it, every field of its specification, every operation and every
byte of its weights is there for the program, or it is refused with its place. Types and operations
are judged by `milproto`, coremltools' reader of ML Programs, which runs on any machine.
"""

from __future__ import annotations

import json
import traceback
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final

from export.errors import CannotRunHere
from export.formats.coreml.evaluator.interface import OPSETS
from export.formats.coreml.evaluator.package import (
    RECORD,
    RECORD_BYTES,
    Package,
    read_package,
    specification_path,
)
from export.formats.coreml.weight_blobs import HEADER, VERSION, WEIGHT_FILE
from export.formats.unread_fields import Fields, unknown_bytes, unread_fields

if TYPE_CHECKING:
    from pathlib import Path

    from coremltools.proto.MIL_pb2 import Block

MANIFEST: Final = "Manifest.json"
ITEMS: Final = {"author", "description", "name", "path"}  # of an entry in the manifest
NOTES: Final = {"buildInfo"}  # attributes of a program: versions of tools
# Fields that are read here, and those that neither describe nor compute anything (Model.proto,
# FeatureTypes.proto, MIL.proto). Flexible sizes, optional inputs, updates, states and further
# functions are none of these.
READ: Final[Fields] = {
    "Model": {"specificationVersion", "description", "mlProgram"},
    "ModelDescription": {
        *("metadata", "input", "output", "predictedFeatureName", "predictedProbabilitiesName")
    },
    "FeatureDescription": {"name", "shortDescription", "type"},
    "FeatureType": {"imageType", "multiArrayType", "dictionaryType", "stringType"},
    "ImageFeatureType": {"width", "height", "colorSpace"},
    "ArrayFeatureType": {"shape", "dataType"},
    "DictionaryFeatureType": {"stringKeyType"},
    "Program": {"version", "functions", "attributes"},
    "Function": {"inputs", "opset", "block_specializations"},
    "Block": {"outputs", "operations"},
    "Operation": {"type", "inputs", "outputs", "attributes"},
}


def left_over(path: Path) -> list[str]:
    """What is in the package and not of its program, or what Core ML's reader says against that.

    Raises:
        CannotRunHere: coremltools has no reader of weights here.
        Unreadable: not a package.
    """
    package = read_package(path)
    return [*_files(path), *_fields(path, package), *_program(path, package)]


def _fields(path: Path, package: Package) -> Iterator[str]:
    """Fields and bytes of the specification that nothing reads."""
    document = package.document
    if more := specification_path(path).stat().st_size - document.ByteSize():
        yield f"{more} bytes in its specification that say nothing, or say it twice"
    if more := unknown_bytes(document):
        yield f"{more} bytes of fields that Core ML does not know"
    for place in unread_fields(document, READ):
        yield f"{place}, which no part of a classifier is"
    for name in sorted(document.mlProgram.attributes.keys() - NOTES):
        yield f"program attribute {name}, which no part of a classifier is"


def _program(path: Path, package: Package) -> Iterator[str]:
    """What is not of its one block, and what is wrong with that."""
    function = package.document.mlProgram.functions["main"]
    if list(function.block_specializations) != [function.opset]:
        yield f"blocks for {sorted(function.block_specializations)}, not for {function.opset} alone"
        return
    version = package.document.specificationVersion
    if OPSETS.get(function.opset) != version:
        yield f"a program of {function.opset} in specification version {version}"
    block = function.block_specializations[function.opset]
    yield from _unused(block)
    yield from _bytes_of_weights(package, block)
    yield from _refused(path, package)


def _files(path: Path) -> Iterator[str]:
    """Files that are not of a package of one program, and what its manifest says of them."""
    document = specification_path(path)
    folder = document.parent
    wanted = [path / MANIFEST, document, folder / "weights" / "weight.bin"]
    found = {each for each in path.rglob("*") if each.is_symlink() or not each.is_dir()}
    for each in sorted(found.difference(wanted)):
        yield f"a file that is not of a package: {each.relative_to(path).as_posix()}"
    manifest = json.loads((path / MANIFEST).read_text(encoding="utf-8"))
    entries = [*manifest["itemInfoEntries"].values()]
    named = sorted(str(entry.get("path")) for entry in entries)
    data = [each.relative_to(path / "Data").as_posix() for each in (document, folder / "weights")]
    if named != sorted(data):
        yield f"a manifest of {', '.join(named)}, not of {' and '.join(sorted(data))}"
    keys = {key for entry in entries for key in entry} - ITEMS
    keys |= manifest.keys() - {"fileFormatVersion", "itemInfoEntries", "rootModelIdentifier"}
    if keys:
        yield f"a manifest with {', '.join(sorted(keys))}"


def _unused(block: Block) -> Iterator[str]:
    """Values that nothing takes."""
    taken = set(block.outputs)
    for operation in block.operations:
        for argument in operation.inputs.values():
            taken.update(bound.name for bound in argument.arguments)
    for operation in block.operations:
        names = [value.name for value in operation.outputs]
        if not taken.intersection(names):
            yield f"{operation.type} {names[0]}, whose result nothing uses"


def _bytes_of_weights(package: Package, block: Block) -> Iterator[str]:
    """Records of weight.bin that no constant names, and bytes between the records."""
    content = package.weights
    if len(content) < RECORD_BYTES:
        yield f"a weight.bin of {len(content)} bytes"
        return
    records, version = HEADER.unpack_from(content)
    if version != VERSION:
        yield f"a weight.bin of version {version}, not {VERSION}"
    places = set()
    for stored in _stored(block):
        if stored.fileName != WEIGHT_FILE:
            yield f"weights in {stored.fileName!r}"
        places.add(stored.offset)
    if records != len(places):
        yield f"{records} records in weight.bin, of which {len(places)} are read"
    end = HEADER.size
    for place in sorted(places):
        *_, size, start = RECORD.unpack_from(content, place)
        yield from _padding(content, end, place)
        yield from _padding(content, place + RECORD.size + UNUSED_BITS, start)
        end = start + size
    yield from _padding(content, end, len(content))


UNUSED_BITS: Final = 8  # bytes after a record's place of its data: how many bits of it are unused


def _padding(content: bytes, start: int, end: int) -> Iterator[str]:
    if any(content[start:end]) or (end == len(content) and end - start >= RECORD_BYTES):
        yield f"{end - start} bytes in weight.bin at byte {start} that no record holds"


def _stored(block: Block) -> Iterator[Any]:
    """Each `Value.BlobFileValue` of a block."""
    for operation in block.operations:
        values = [*operation.attributes.values()]
        values += [b.value for a in operation.inputs.values() for b in a.arguments]
        for value in values:
            if value.WhichOneof("value") == "blobFileValue":
                yield value.blobFileValue


def _refused(path: Path, package: Package) -> Iterator[str]:
    from coremltools.converters.mil.frontend.milproto import load
    from coremltools.converters.mil.mil import Builder

    if load.BlobReader is None:
        raise CannotRunHere("coremltools cannot read weights on this system")
    weights = specification_path(path).parent / "weights"
    document = package.document
    try:
        load.load(document, document.specificationVersion, str(weights))
    except Exception as error:  # its exceptions share no base but this
        said = (str(error).strip().splitlines() or [type(error).__name__])[0]
        yield f"a program that coremltools' reader refuses{_place(error)}: {said}"
    finally:
        Builder.name_count.clear()  # or names in what is converted next depend on what was read


def _place(error: Exception) -> str:
    """Which operation was being read, which the reader's own words often do not say."""
    for frame, _ in traceback.walk_tb(error.__traceback__):
        operation = frame.f_locals.get("op_spec")
        if operation is not None and operation.outputs:
            return f" at {operation.type} {operation.outputs[0].name}"
    return ""
