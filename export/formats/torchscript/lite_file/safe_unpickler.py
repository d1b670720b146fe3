"""Reads the pickles of a TorchScript-lite file: arrays and plain records, nothing else.

In: an archive and the name of a pickle in it. Out: the content of the pickle. A plain `pickle.load`
would run any code that a file contains.
"""

from __future__ import annotations

import collections
import io
import pickle
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from export.errors import Unreadable

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch._C import PyTorchFileReader

BFLOAT16: Final = np.dtype([("bfloat16", "<u2")])  # numpy has no such type
STORAGES: Final[dict[str, Any]] = {
    "DoubleStorage": np.float64,
    "FloatStorage": np.float32,
    "HalfStorage": np.float16,
    "BFloat16Storage": BFLOAT16,
    "LongStorage": np.int64,
    "IntStorage": np.int32,
    "ShortStorage": np.int16,
    "CharStorage": np.int8,
    "QInt8Storage": np.int8,
    "ByteStorage": np.uint8,
    "BoolStorage": np.bool_,
}
LIST_BUILDERS: Final = {"build_intlist", "build_tensorlist", "build_doublelist", "build_boollist"}
PER_CHANNEL: Final = "per_channel_affine"
# Pickle -> folder of the storages that it refers to.
STORAGE_FOLDERS: Final = {"bytecode.pkl": "constants", "data.pkl": "data"}


@dataclass
class Record:
    """An object of a TorchScript class: its qualified name and its state, no code."""

    name: str = ""
    state: Any = None

    def __setstate__(self, state: Any) -> None:
        self.state = state


def read_pickle(reader: PyTorchFileReader, pickle_name: str, file_name: str) -> Any:
    """The content of a pickle in the archive.

    Args:
        reader: a `PyTorchFileReader` of the archive.
        pickle_name: ``bytecode.pkl`` or ``data.pkl``.
        file_name: for messages.

    Raises:
        Unreadable: no such pickle, or content that our lite files never have.
    """
    try:
        content = io.BytesIO(reader.get_record(pickle_name))
        return _Unpickler(content, reader, STORAGE_FOLDERS[pickle_name]).load()
    except Exception as error:  # errors from a damaged pickle have no common base
        what = pickle_name.removesuffix(".pkl")
        raise Unreadable(f"{file_name}: {what} cannot be read: {error}") from error


class _Unpickler(pickle.Unpickler):
    """Builds lists, arrays and records, and nothing that could run."""

    def __init__(self, content: io.BytesIO, reader: PyTorchFileReader, storages: str) -> None:
        super().__init__(content)
        self.reader = reader
        self.storages = storages

    def find_class(self, module: str, name: str) -> Any:
        if module == "torch.jit._pickle" and name in LIST_BUILDERS:
            return list
        if (module, name) == ("torch.jit._pickle", "restore_type_tag"):
            return _untagged
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return _array
        if (module, name) == ("torch._utils", "_rebuild_qtensor"):
            return _dequantised
        if (module, name) == ("collections", "OrderedDict"):
            return collections.OrderedDict
        if module == "torch" and name in STORAGES:
            return STORAGES[name]
        if (module, name) == ("torch", PER_CHANNEL):
            return PER_CHANNEL
        if (module, name) == ("torch", "device"):
            return str
        if module.startswith("__torch__."):
            return type(name, (Record,), {"name": f"{module}.{name}"})
        raise pickle.UnpicklingError(f"{module}.{name} is not expected in a lite file")

    def persistent_load(self, pid: Any) -> NDArray[Any]:
        _, dtype, key, _, _ = pid
        values = np.frombuffer(self.reader.get_record(f"{self.storages}/{key}"), dtype)
        if values.dtype == BFLOAT16:
            return (values["bfloat16"].astype("<u4") << 16).view("<f4")
        return values


def _untagged(value: Any, _type: str) -> Any:
    return value


def _array(
    storage: NDArray[Any], offset: int, size: tuple[int, ...], stride: tuple[int, ...], *_: Any
) -> NDArray[Any]:
    """A tensor as numpy array, in logical order, whatever its memory format."""
    if 0 in size:
        return np.empty(size, storage.dtype)
    last = offset + sum((n - 1) * s for n, s in zip(size, stride, strict=True))
    if last >= len(storage) or offset < 0 or min((*size, *stride), default=0) < 0:
        raise ValueError(f"a tensor of size {size} does not fit its storage")
    strides = [s * storage.itemsize for s in stride]
    view = np.lib.stride_tricks.as_strided(storage[offset:], size, strides, writeable=False)
    return view.copy()  # in C order; of a number too, to which `ascontiguousarray` gives an axis


def _dequantised(
    storage: NDArray[Any],
    offset: int,
    size: tuple[int, ...],
    stride: tuple[int, ...],
    quantiser: tuple[Any, ...],
    *_: Any,
) -> NDArray[np.float32]:
    """A tensor quantised per channel, dequantised to float32."""
    scheme, scale, zero_point, axis = quantiser
    if scheme != PER_CHANNEL:
        raise ValueError(f"a tensor quantised {scheme}")
    along = [1] * len(size)
    along[axis] = -1
    codes = _array(storage, offset, size, stride).astype(np.float64)
    numbers = (codes - zero_point.reshape(along)) * scale.reshape(along)
    return np.asarray(numbers, np.float32)
