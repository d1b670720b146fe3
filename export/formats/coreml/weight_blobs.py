"""Constants as a Core ML package stores them: in the specification, or as a record of weight.bin.

In: numpy arrays and the data types to store them in. Out: `MIL_pb2.Value`s, and the bytes of
weight.bin. Its layout: coremltools, mlmodel/src/MILBlob/Blob/StorageFormat.hpp.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from export.formats.coreml.evaluator.package import BLOB_TYPES, RECORD_BYTES, SENTINEL
from export.formats.coreml.evaluator.values import DTYPES, PACKED

if TYPE_CHECKING:
    from coremltools.proto.MIL_pb2 import Block, Operation, Value
    from numpy.typing import NDArray

WEIGHT_FILE: Final = "@model_path/weights/weight.bin"
HEADER: Final = struct.Struct("<II")  # records, version
VERSION: Final = 2
# Sentinel, data type, size in bytes, offset of the data, unused bits of the last byte.
RECORD: Final = struct.Struct("<IIQQQ")
BLOB_NUMBERS: Final = {name: number for number, name in BLOB_TYPES.items()}


class WeightFile:
    """A weight.bin under construction.

    Args:
        immediate_bytes: constants of at most this size go into the specification instead. There
            each takes about 130 bytes less than as a record, but is parsed instead of mapped.
    """

    def __init__(self, immediate_bytes: int) -> None:
        self._immediate_bytes = immediate_bytes
        self._content = bytearray(RECORD_BYTES)
        self._offsets: dict[tuple[str, bytes], int] = {}

    def content(self) -> bytes:
        """The whole file."""
        HEADER.pack_into(self._content, 0, len(self._offsets), VERSION)
        return bytes(self._content)

    def store(self, array: NDArray[Any], data_type: str) -> Value:
        """A `MIL_pb2.Value` that contains `array` or refers to it.

        Args:
            array: of any shape.
            data_type: a name of `MIL_pb2.DataType` that the specification stores as bytes.

        Raises:
            ValueError: the type cannot hold a value.
        """
        content = pack(array, data_type)
        if len(content) > self._immediate_bytes:
            return self.record(array, data_type)
        value = typed_value(array.shape, data_type)
        value.immediateValue.tensor.bytes.values = content
        return value

    def record(self, array: NDArray[Any], data_type: str) -> Value:
        """Likewise, but never in the specification; equal constants share a record."""
        content = pack(array, data_type)
        key = data_type, content
        if key not in self._offsets:
            self._content += bytes(-len(self._content) % RECORD_BYTES)  # records are aligned
            self._offsets[key] = len(self._content)
            start = len(self._content) + RECORD_BYTES
            bits = PACKED[data_type][0] * array.size if data_type in PACKED else 8 * len(content)
            number, unused = BLOB_NUMBERS[data_type], 8 * len(content) - bits
            head = RECORD.pack(SENTINEL, number, len(content), start, unused)
            self._content += head.ljust(RECORD_BYTES, b"\0") + content
        value = typed_value(array.shape, data_type)
        value.blobFileValue.fileName = WEIGHT_FILE
        value.blobFileValue.offset = self._offsets[key]
        return value


def typed_value(shape: tuple[int, ...], data_type: str) -> Value:
    """A `MIL_pb2.Value` of that type, without content."""
    from coremltools.proto import MIL_pb2

    value = MIL_pb2.Value()
    tensor = value.type.tensorType
    tensor.dataType, tensor.rank = MIL_pb2.DataType.Value(data_type), len(shape)
    for size in shape:
        tensor.dimensions.add().constant.size = size
    return value


def replace_operations(block: Block, operations: Sequence[Operation]) -> None:
    """Replace the operations of a `MIL_pb2.Block`; the new ones may include its own."""
    copies = type(block)(operations=operations).operations
    del block.operations[:]
    block.operations.extend(copies)


def pack(array: NDArray[Any], data_type: str) -> bytes:
    """Bytes of `array`, little endian; small integers with the least significant bit first."""
    bits, dtype = PACKED.get(data_type, (None, DTYPES.get(data_type)))
    exact = array.astype(dtype)
    if not np.array_equal(exact, array):
        raise ValueError(f"{data_type} cannot hold all values of an array of {array.dtype}")
    if bits is None:
        return exact.tobytes()
    low, high = (-(1 << bits - 1), (1 << bits - 1) - 1) if dtype == np.int8 else (0, 2**bits - 1)
    if exact.size and not low <= int(exact.min()) <= int(exact.max()) <= high:
        raise ValueError(f"{data_type} holds {low} to {high}, the array has values outside")
    rows = exact.reshape(-1, 1).view(np.uint8)
    return np.packbits(
        np.unpackbits(rows, axis=1, count=bits, bitorder="little"), bitorder="little"
    ).tobytes()
