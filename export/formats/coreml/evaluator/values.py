"""Values of a program as numpy arrays, stored in the specification or in weight.bin.

In: a `MIL_pb2.Value`. Out: a numpy array (booleans, integers, floats), a string, or a list of
strings. Integers of less than 8 bits are unpacked, least significant bit first.
"""

from __future__ import annotations

import math
from fractions import Fraction
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from export.errors import Unreadable

if TYPE_CHECKING:
    from coremltools.proto.MIL_pb2 import TensorType, Value
    from numpy.typing import NDArray

    from export.formats.coreml.evaluator.package import Package

Constant = Any  # NDArray, str or list[str]

DTYPES: Final = {
    "BOOL": np.bool_,
    "FLOAT16": np.float16,
    "FLOAT32": np.float32,
    "FLOAT64": np.float64,
    "INT8": np.int8,
    "INT16": np.int16,
    "INT32": np.int32,
    "INT64": np.int64,
    "UINT8": np.uint8,
    "UINT16": np.uint16,
    "UINT32": np.uint32,
    "UINT64": np.uint64,
}
SMALL_DENOMINATOR: Final = 12
# Sub-byte integers: bits, and the dtype that they are unpacked into.
PACKED: Final = {
    "UINT1": (1, np.uint8),
    "UINT2": (2, np.uint8),
    "UINT3": (3, np.uint8),
    "UINT4": (4, np.uint8),
    "UINT6": (6, np.uint8),
    "INT4": (4, np.int8),
}


def read_value(value: Value, package: Package) -> Constant:
    """One value of the program.

    Raises:
        Unreadable: damaged, or of a type that the evaluator does not support.
    """
    kind = value.type.WhichOneof("type")
    if kind == "listType":
        return [read_value(item, package) for item in value.immediateValue.list.values]
    if kind != "tensorType":
        raise Unreadable(f"{package.name}: a constant of type {kind} is not supported here")
    data_type = type_name(value.type.tensorType.dataType)
    shape = tensor_shape(value.type.tensorType)
    if value.WhichOneof("value") == "blobFileValue":
        size = stored_bytes(data_type, math.prod(shape), package)
        content = package.blob(value.blobFileValue.offset, data_type, size)
        return _from_bytes(content, data_type, shape, package)
    tensor = value.immediateValue.tensor
    field = tensor.WhichOneof("value")
    if field == "bytes":
        return _from_bytes(tensor.bytes.values, data_type, shape, package)
    items = list(getattr(tensor, field).values) if field else []
    if data_type == "STRING":
        return items[0] if items else ""
    if len(items) != math.prod(shape):
        raise Unreadable(f"{package.name}: a constant of shape {shape} has {len(items)} values")
    return np.array(items, dtype=_dtype(data_type, package)).reshape(shape)


def before_rounding(number: np.float16) -> float:
    """The simplest number that fp16 rounds to `number`: 1/6, 0.01 or 1e-6, as networks have them.

    A fraction with a small denominator, else the shortest decimal number.
    """
    exact = float(number)
    if not math.isfinite(exact):
        return exact
    simple = float(Fraction(exact).limit_denominator(SMALL_DENOMINATOR))
    return simple if np.float16(simple) == number and simple else float(str(number))


def type_name(data_type: int) -> str:
    """Name of a `MIL_pb2.DataType`, such as ``FLOAT16``."""
    from coremltools.proto import MIL_pb2

    return str(MIL_pb2.DataType.Name(data_type))


def tensor_shape(tensor_type: TensorType) -> tuple[int, ...]:
    """Sizes of the dimensions of a `MIL_pb2.TensorType`.

    Raises:
        Unreadable: a dimension is not constant.
    """
    for dimension in tensor_type.dimensions:
        if dimension.WhichOneof("dimension") != "constant":
            raise Unreadable("a tensor of unknown size is not supported here")
    return tuple(int(dimension.constant.size) for dimension in tensor_type.dimensions)


def stored_bytes(data_type: str, count: int, package: Package) -> int:
    """Bytes that `count` values take in weight.bin."""
    if data_type in PACKED:
        return -(-count * PACKED[data_type][0] // 8)
    return count * int(np.dtype(_dtype(data_type, package)).itemsize)


def unpack_bits(content: bytes, bits: int, count: int) -> NDArray[np.uint8]:
    """`count` unsigned integers of `bits` bits each, packed least significant bit first."""
    if len(content) != -(-bits * count // 8):
        raise ValueError(f"{len(content)} bytes for {count} values of {bits} bits")
    flat = np.unpackbits(np.frombuffer(content, np.uint8), bitorder="little")[: bits * count]
    weights = (1 << np.arange(bits)).astype(np.uint8)
    values: NDArray[np.uint8] = (flat.reshape(count, bits) * weights).sum(axis=1, dtype=np.uint8)
    return values


def _from_bytes(
    content: bytes, data_type: str, shape: tuple[int, ...], package: Package
) -> NDArray[Any]:
    count = math.prod(shape)
    if len(content) != stored_bytes(data_type, count, package):
        raise Unreadable(f"{package.name}: {len(content)} bytes for {data_type} of shape {shape}")
    if data_type in PACKED:
        bits, dtype = PACKED[data_type]
        values = unpack_bits(content, bits, count)
        if dtype == np.int8:  # two's complement in 4 bits
            values = ((values.astype(np.int8) ^ 8) - 8).astype(np.int8)
        return values.reshape(shape)
    return np.frombuffer(content, _dtype(data_type, package)).reshape(shape)


def _dtype(data_type: str, package: Package) -> Any:
    if data_type not in DTYPES:
        raise Unreadable(f"{package.name}: data type {data_type} is not supported here")
    return DTYPES[data_type]
