"""The weighted layers in a TorchScript-lite file, read without running it.

In: the archive. Out: the layers in the order the code calls them. A layer is in one of two
places: prepacked among the constants of the bytecode (fp32, int8), or in the packed arrays of the
saved module (`bit_packing`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from export.deploy.layers import Layer
from export.errors import Unreadable
from export.formats.torchscript.bit_packing import Packed, scale_if_depthwise, unpack_layers
from export.formats.torchscript.lite_file.bytecode_calls import called_records
from export.formats.torchscript.lite_file.safe_unpickler import Record, read_pickle

if TYPE_CHECKING:
    from torch._C import PyTorchFileReader

CONV: Final = "conv"
LINEAR: Final = "linear"
GROUPS: Final = 5  # weight, bias, stride, padding, dilation, groups, minimum, maximum
PACKED_LAYERS: Final = ".PackedLayers"


def prepacked_layers(reader: PyTorchFileReader, name: str) -> list[Layer]:
    """Layers prepacked for XNNPACK or QNNPACK, in call order; quantised weights as float32.

    Args:
        reader: a `PyTorchFileReader` of the archive.
        name: of the file, for messages.

    Raises:
        Unreadable: no bytecode, or content that our lite files never have.
    """
    document = read_pickle(reader, "bytecode.pkl", name)
    layers = []
    try:
        functions = [dict(body) for _, body, *_ in document[1:]]
        for function in functions:
            if any(isinstance(constant, Record) for constant in function["constants"]):
                layers += [_prepacked(*found) for found in called_records(function)]
    except (TypeError, ValueError, KeyError, IndexError) as error:
        raise Unreadable(f"{name}: bytecode cannot be read: {error}") from error
    return layers


def packed_layers(reader: PyTorchFileReader, name: str) -> list[Layer]:
    """Layers in packed arrays, in call order, and the normalisation if one of them includes it.

    Empty if the file has no such arrays.

    Raises:
        Unreadable: the saved module cannot be read, or its arrays and its table do not match.
    """
    module = read_pickle(reader, "data.pkl", name)
    held = module.state.values() if isinstance(getattr(module, "state", None), dict) else ()
    layers = []
    for value in held:
        if isinstance(value, Record) and value.name.endswith(PACKED_LAYERS):
            try:
                *arrays, mean, std, table = value.state
                if any(row[-1] for row in table):
                    layers.append(_normalisation(mean, std))
                layers += unpack_layers(Packed(*arrays), table)
            except (TypeError, ValueError) as error:
                raise Unreadable(f"{name}: packed layers cannot be read: {error}") from error
    return layers


def _normalisation(mean: Any, std: Any) -> Layer:
    tensors = {"weight": mean.reshape(-1), "bias": 1 / std.reshape(-1)}
    return Layer("normalise", "normalisation", tensors)


def _prepacked(constant: Record, place: str) -> Layer:
    """A layer from the state that torch saves."""
    kind = constant.name.rsplit(".", 1)[-1]
    if kind in ("Conv2dOpContext", "LinearOpContext", "LinearPackedParamsBase"):
        weight, bias = constant.state[:2]
        groups = constant.state[GROUPS] if kind == "Conv2dOpContext" else 1
    elif kind == "Conv2dPackedParamsBase":  # version, [settings, weight], [bias]
        weight, bias = constant.state[1][1], constant.state[2][0]
        groups = 1
    else:
        raise ValueError(f"{constant.name} is not expected in a lite file")
    tensors = {"weight": weight} if bias is None else {"weight": weight, "bias": bias}
    layer = Layer(CONV if kind.startswith("Conv") else LINEAR, place, tensors)
    return scale_if_depthwise(layer, groups)
