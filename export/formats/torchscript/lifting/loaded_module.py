"""The module of a file as it stands after it was loaded, with the layers that are unpacked then.

In: the saved module and the bytecode. Out: its attributes. The file's own ``__setstate__`` is
followed, so that the weights are those that a phone will use. Where it makes the normalisation a
part of the first layer (`unpack_at_load`), that layer is given back as it was packed, after a
check that the file's code made of it just what `unpack_at_load` makes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Final

import torch
from torch import Tensor

from export.formats.torchscript.bit_packing import Packed, PackedLayer, unpack_layers
from export.formats.torchscript.lifting.prepacked import Prepacked
from export.formats.torchscript.lite_file.bytecode_machine import LiteObject, Operator, follow
from export.formats.torchscript.lite_file.safe_unpickler import Record

SET_STATE: Final = ".__setstate__"


def loaded(
    name: str,
    saved: Any,
    functions: Mapping[str, Any],
    held: Callable[[str, Any], Any],
    operator: Operator,
) -> Any:
    """The saved module, or what else stands in its place.

    Args:
        name: of what is saved, for messages and tensors.
        saved: of ``data.pkl``.
        functions: of the bytecode, by name.
        held: of a name and a saved value, with tensors for arrays and layers for packed ones.
        operator: computes the results of operators.

    Raises:
        ValueError, KeyError, IndexError: they do not fit each other.
    """
    plain = held(name, saved)
    if not isinstance(plain, Record):
        return plain
    made = LiteObject()
    if saved.name + SET_STATE in functions:
        state = held(name, saved.state)
        follow(functions[saved.name + SET_STATE], [made, state], operator)
        _give_normalisation_back(saved.state, made)
    elif isinstance(saved.state, dict):
        values = [
            loaded(f"{name}_{key}", value, functions, held, operator)
            for key, value in saved.state.items()
        ]
        made.attributes = dict(enumerate(values))
    return made


def _give_normalisation_back(state: Any, made: LiteObject) -> None:
    *arrays, mean, std, table = state
    normalises = [bool(PackedLayer(*row).normalises) for row in table]
    if not any(normalises):
        return
    layers = iter(unpack_layers(Packed(*arrays), table))
    normalisation = tuple(torch.from_numpy(each.copy()) for each in (mean, std))
    convolutions = next(
        value
        for value in made.attributes.values()
        if isinstance(value, list) and value and value[0].operation == "conv2d"
    )
    place = 0
    for row, layer, takes in zip(table, layers, normalises, strict=True):
        if takes:
            weight = _float(layer.tensors["weight"]).reshape(PackedLayer(*row).shape)
            convolutions[place] = _given_back(
                convolutions[place], weight, _float(layer.tensors["bias"]), *normalisation
            )
        place += PackedLayer(*row).is_conv


def _given_back(
    merged: Prepacked, weight: Tensor, bias: Tensor, mean: Tensor, std: Tensor
) -> Prepacked:
    """The layer without the normalisation in it.

    Raises:
        ValueError: the merged one is not made of it.
    """
    divided = weight / std
    shifted = bias - (divided * mean).sum([1, 2, 3])
    if merged.bias is None or not (
        torch.equal(merged.weight, divided) and torch.equal(merged.bias, shifted)
    ):
        raise ValueError("the file's code makes other numbers of its first layer")
    return replace(merged, weight=weight, bias=bias, normalisation=(mean, std))


def _float(array: Any) -> Tensor:
    return torch.from_numpy(array.astype("float32"))
