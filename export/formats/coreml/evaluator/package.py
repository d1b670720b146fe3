"""A saved ``.mlpackage`` on disk: its specification, and its weights by offset.

In: a folder. Out: `Package`. Raises `Unreadable` for anything incomplete.
"""

from __future__ import annotations

import json
import logging
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from export.errors import Unreadable

if TYPE_CHECKING:
    from coremltools.proto.Model_pb2 import Model

# weight.bin: a storage header of 64 bytes, then for each constant a record of 64 bytes with the
# place of its data (coremltools: mlmodel/src/MILBlob/Blob/StorageFormat.hpp).
RECORD: Final = struct.Struct("<IIQQ")  # sentinel, data type, size in bytes, offset of the data
RECORD_BYTES: Final = 64
SENTINEL: Final = 0xDEADBEEF
# Blob data type in the record -> data type in the specification (`MIL_pb2.DataType`).
BLOB_TYPES: Final = {
    1: "FLOAT16",
    2: "FLOAT32",
    3: "UINT8",
    4: "INT8",
    6: "INT16",
    7: "UINT16",
    8: "INT4",
    9: "UINT1",
    10: "UINT2",
    11: "UINT4",
    12: "UINT3",
    13: "UINT6",
    14: "INT32",
    15: "UINT32",
}


@dataclass(frozen=True)
class Package:
    """A package in memory: the specification (`Model_pb2.Model`) and the bytes of weight.bin."""

    name: str
    document: Model
    weights: bytes

    def blob(self, offset: int, data_type: str, size_bytes: int) -> bytes:
        """The bytes of one constant.

        Args:
            offset: of its record, as the specification gives it.
            data_type: declared in the specification, a name of `MIL_pb2.DataType`.
            size_bytes: needed by the declared shape.

        Raises:
            Unreadable: no record there, or one that contradicts the specification.
        """
        if offset % RECORD_BYTES or offset + RECORD_BYTES > len(self.weights):
            raise Unreadable(f"{self.name}: weight.bin has no record at byte {offset}")
        sentinel, blob_type, size, start = RECORD.unpack_from(self.weights, offset)
        if sentinel != SENTINEL:
            raise Unreadable(f"{self.name}: damaged record in weight.bin at byte {offset}")
        if BLOB_TYPES.get(blob_type) != data_type:
            found = BLOB_TYPES.get(blob_type, f"number {blob_type}")
            raise Unreadable(
                f"{self.name}: weight.bin holds {found} at byte {offset}, "
                f"the specification says {data_type}"
            )
        if size != size_bytes:
            raise Unreadable(
                f"{self.name}: {size} bytes in weight.bin at byte {offset}, "
                f"the specification needs {size_bytes}"
            )
        if start < offset + RECORD_BYTES or start + size > len(self.weights):
            raise Unreadable(f"{self.name}: weight.bin is cut short or damaged at byte {offset}")
        return self.weights[start : start + size]


def read_package(path: Path) -> Package:
    """Read an ML Program package, weights included.

    Raises:
        Unreadable: not a package, damaged, or not an ML Program.
    """
    document = read_specification(path)
    if document.WhichOneof("Type") != "mlProgram":
        raise Unreadable(f"{path.name} is a {document.WhichOneof('Type')}, not an ML Program")
    weights = specification_path(path).parent / "weights" / "weight.bin"
    try:
        content = weights.read_bytes()
    except OSError as error:
        raise Unreadable(f"{path.name}: weight.bin: {error.strerror}") from error
    return Package(path.name, document, content)


def quiet() -> None:
    """Silence coremltools' import messages about a missing Mac and an older scikit-learn."""
    logging.getLogger("coremltools").setLevel(logging.ERROR)


def read_specification(path: Path) -> Model:
    """The `Model_pb2.Model` in a package.

    Raises:
        Unreadable: not a package, or a damaged one.
    """
    quiet()
    from coremltools.proto import Model_pb2
    from google.protobuf.message import DecodeError

    document = Model_pb2.Model()
    try:
        document.ParseFromString(specification_path(path).read_bytes())
    except (OSError, DecodeError) as error:
        raise Unreadable(f"{path.name} is not a Core ML package: {error}") from error
    return document


def specification_path(path: Path) -> Path:
    """The place of a package's specification, according to its ``Manifest.json``.

    Raises:
        Unreadable: there is no such manifest.
    """
    try:
        manifest = json.loads((path / "Manifest.json").read_text(encoding="utf-8"))
        entry = manifest["itemInfoEntries"][manifest["rootModelIdentifier"]]
        return path / "Data" / str(entry["path"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise Unreadable(f"{path.name} is not a Core ML package: {error!r}") from error
