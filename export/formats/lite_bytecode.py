"""The bytecode of a TorchScript-lite file, read without running any of it.

In: the archive. Out: the weighted layers in the order the code calls them. ``bytecode.pkl`` is a
pickle: it is read by an unpickler that builds tensors and plain records and refuses all else.
"""

from __future__ import annotations

import collections
import io
import pickle
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from export.errors import Unreadable
from export.layers import Layer

if TYPE_CHECKING:
    from numpy.typing import NDArray

STORAGES: Final = {
    "FloatStorage": np.float32,
    "HalfStorage": np.float16,
    "LongStorage": np.int64,
    "IntStorage": np.int32,
    "CharStorage": np.int8,
    "ByteStorage": np.uint8,
    "BoolStorage": np.bool_,
}
PREPACKED: Final = {"Conv2dOpContext": "conv", "LinearOpContext": "linear"}
LIST_BUILDERS: Final = {"build_intlist", "build_tensorlist", "build_doublelist", "build_boollist"}


def prepacked_layers(reader: Any, name: str) -> list[Layer]:
    """Layers that XNNPACK prepacked, in call order.

    Args:
        reader: a `PyTorchFileReader` of the archive.
        name: of the file, for messages.

    Raises:
        Unreadable: no bytecode, or one that holds what no lite file of ours holds.
    """
    try:
        content = reader.get_record("bytecode.pkl")
        document = _Unpickler(io.BytesIO(content), reader).load()
        forward = dict(document[1][1])
    except Exception as error:  # what a damaged pickle raises has no common base
        raise Unreadable(f"{name}: bytecode cannot be read: {error}") from error
    layers = []
    for operation, argument, *_ in forward["instructions"]:
        constant = forward["constants"][argument] if operation == "LOADC" else None
        if isinstance(constant, _Context):
            tensors = dict(zip(("weight", "bias"), constant.state[:2], strict=True))
            present = {key: value for key, value in tensors.items() if value is not None}
            layers.append(Layer(constant.kind, f"constant {argument}", present))
    return layers


@dataclass
class _Context:
    """A prepacked layer: its state is weight, bias and the settings of the operation."""

    kind: str = ""
    state: tuple[Any, ...] = field(default=())

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        self.state = state


class _Unpickler(pickle.Unpickler):
    """Builds lists, tensors and prepacked layers; nothing that could run."""

    def __init__(self, content: io.BytesIO, reader: Any) -> None:
        super().__init__(content)
        self.reader = reader

    def find_class(self, module: str, name: str) -> Any:
        if module == "torch.jit._pickle" and name in LIST_BUILDERS:
            return list
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return _array
        if (module, name) == ("collections", "OrderedDict"):
            return collections.OrderedDict
        if module == "torch" and name in STORAGES:
            return STORAGES[name]
        if module.startswith("__torch__.torch.classes.xnnpack") and name in PREPACKED:
            return type(name, (_Context,), {"kind": PREPACKED[name]})
        raise pickle.UnpicklingError(f"{module}.{name} is not expected in a lite file")

    def persistent_load(self, pid: Any) -> NDArray[Any]:
        _, dtype, key, _, _ = pid
        record = self.reader.get_record(f"constants/{key.removesuffix('.storage')}.storage")
        return np.frombuffer(record, dtype)


def _array(
    storage: NDArray[Any], offset: int, size: tuple[int, ...], stride: tuple[int, ...], *_: Any
) -> NDArray[Any]:
    """A tensor as numpy array, in its logical order whatever its memory format."""
    last = offset + sum((n - 1) * s for n, s in zip(size, stride, strict=True))
    if 0 in size or last >= len(storage) or offset < 0 or min(stride, default=0) < 0:
        raise ValueError(f"a tensor of size {size} does not fit its storage")
    strides = [s * storage.itemsize for s in stride]
    view = np.lib.stride_tricks.as_strided(storage[offset:], size, strides, writeable=False)
    return np.ascontiguousarray(view)
