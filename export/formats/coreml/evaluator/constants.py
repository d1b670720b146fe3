"""Compressed constants, decompressed as Core ML does when it loads a program.

In: the type of a ``constexpr_*`` operation and its arguments as numpy arrays. Out: its outputs, in
order. Two layouts: iOS 16 stores packed bytes and a shape, iOS 18 typed small integers.
Formulas: docstrings of the operations in coremltools 9.0, ops/defs/iOS16 and iOS18.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from export.errors import Unreadable
from export.formats.coreml.evaluator.values import unpack_bits

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[Any]

Arguments = Mapping[str, Any]


def decompress(operation: str, arguments: Arguments) -> tuple[Array, ...]:
    """The outputs of a ``constexpr_*`` operation.

    Raises:
        Unreadable: unknown operation, a missing argument, or sizes that do not fit.
    """
    if operation not in CONSTEXPRS:
        raise Unreadable(f"compressed constant {operation} is not supported here")
    try:
        return CONSTEXPRS[operation](arguments)
    except KeyError as error:
        raise Unreadable(f"{operation} lacks its argument {error}") from error
    except (ValueError, IndexError) as error:
        raise Unreadable(f"{operation} does not fit together: {error}") from error


def _affine_dequantize(arguments: Arguments) -> tuple[Array]:
    """IOS 16: scale * (data - zero_point), per tensor or along `axis`; in scale's precision."""
    data, scale = arguments["quantized_data"], arguments["scale"]
    shape = [1] * data.ndim
    if scale.ndim or arguments["zero_point"].ndim:
        shape[int(arguments["axis"])] = -1
    scale_nd = scale.reshape(shape if scale.ndim else [1] * data.ndim)
    zero = arguments["zero_point"]
    zero_nd = zero.reshape(shape if zero.ndim else [1] * data.ndim)
    return (_shift_scale(data, scale_nd, zero_nd),)


def _blockwise_shift_scale(arguments: Arguments) -> tuple[Array]:
    """IOS 18: scale * (data - offset), each scale for a block of the data."""
    data, scale = arguments["data"], arguments["scale"]
    scale_nd = _spread(scale, data.shape)
    offset = arguments.get("offset")
    if offset is not None and offset.shape != scale.shape:
        raise ValueError(f"offset {offset.shape} is not of the shape of scale {scale.shape}")
    offset_nd = np.zeros(1, data.dtype) if offset is None else _spread(offset, data.shape)
    return (_shift_scale(data, scale_nd, offset_nd),)


def _sparse_blockwise_shift_scale(arguments: Arguments) -> tuple[Array, Array]:
    """IOS 18: the same on the values under a mask; mask and values out."""
    mask = arguments["data_mask"].astype(bool)
    dense = _scatter(arguments["nonzero_data"], mask)
    (scaled,) = _blockwise_shift_scale({**arguments, "data": dense})
    return arguments["data_mask"], scaled[mask]


def _lut_to_dense(arguments: Arguments) -> tuple[Array]:
    """Look each index up in its table; iOS 16 indices are packed bytes with a flat table."""
    lut = arguments["lut"]
    if "shape" in arguments:
        shape = tuple(int(n) for n in arguments["shape"])
        bits = len(lut).bit_length() - 1
        if len(lut) != 1 << bits:
            raise ValueError(f"a table of {len(lut)} values is not a power of two")
        packed = arguments["indices"].tobytes()
        return (lut[unpack_bits(packed, bits, math.prod(shape))].reshape(shape),)
    return (_look_up(arguments["indices"], lut, arguments.get("vector_axis")),)


def _lut_to_sparse(arguments: Arguments) -> tuple[Array, Array]:
    """IOS 18: the same on the indices under a mask; mask and values out."""
    mask, lut = arguments["indices_mask"].astype(bool), arguments["lut"]
    axis = arguments.get("vector_axis")
    indices = _scatter(arguments["indices_nonzero_data"], mask)
    dense = _look_up(indices, lut, axis)
    if lut.shape[-1] > 1:
        mask = np.repeat(mask, lut.shape[-1], axis=_axis(axis))
    return mask.astype(np.uint8), dense[mask]


def _sparse_to_dense(arguments: Arguments) -> tuple[Array]:
    """Zeros where the mask is 0, the values in row-major order where it is 1."""
    mask = arguments["mask"]
    if "shape" in arguments:  # iOS 16: the mask is packed, one bit per value
        shape = tuple(int(n) for n in arguments["shape"])
        mask = unpack_bits(mask.tobytes(), 1, math.prod(shape)).reshape(shape)
    return (_scatter(arguments["nonzero_data"], mask.astype(bool)),)


def _cast(arguments: Arguments) -> tuple[Array]:
    """IOS 16: stored as fp16, used as fp32."""
    dtypes = {"fp32": np.float32, "fp16": np.float16}
    return (arguments["source_val"].astype(dtypes[arguments["output_dtype"]]),)


CONSTEXPRS: Final[Mapping[str, Callable[[Arguments], tuple[Any, ...]]]] = {
    "constexpr_affine_dequantize": _affine_dequantize,
    "constexpr_blockwise_shift_scale": _blockwise_shift_scale,
    "constexpr_cast": _cast,
    "constexpr_lut_to_dense": _lut_to_dense,
    "constexpr_lut_to_sparse": _lut_to_sparse,
    "constexpr_sparse_blockwise_shift_scale": _sparse_blockwise_shift_scale,
    "constexpr_sparse_to_dense": _sparse_to_dense,
}


def _shift_scale(data: Array, scale: Array, offset: Array) -> Array:
    """Scale * (data - offset), rounded once to scale's precision."""
    exact = scale.astype(np.float64) * (data.astype(np.float64) - offset.astype(np.float64))
    return np.asarray(exact.astype(scale.dtype))


def _scatter(values: Array, mask: NDArray[np.bool_]) -> Array:
    """Zeros, and `values` in row-major order where `mask` is set."""
    if values.shape != (int(mask.sum()),):
        raise ValueError(f"{values.shape} values for {int(mask.sum())} places of a mask")
    dense = np.zeros(mask.shape, values.dtype)
    dense[mask] = values
    return dense


def _spread(blocks: Array, shape: tuple[int, ...]) -> Array:
    """Repeat each value of `blocks` over its block of `shape`."""
    spread = blocks
    for axis, (size, count) in enumerate(zip(shape, blocks.shape, strict=True)):
        if size % count:
            raise ValueError(f"{count} blocks do not divide {size} values on axis {axis}")
        spread = np.repeat(spread, size // count, axis=axis)
    return spread


def _look_up(indices: Array, lut: Array, vector_axis: Array | None) -> Array:
    """IOS 18: lut is (groups of each axis..., palettes, vector)."""
    groups = np.ogrid[tuple(slice(n) for n in indices.shape)]
    places = []
    for axis, (size, count) in enumerate(zip(indices.shape, lut.shape[:-2], strict=True)):
        if size % count:
            raise ValueError(f"{count} tables do not divide {size} indices on axis {axis}")
        places.append(groups[axis] // (size // count))
    vectors = lut[(*places, indices)]  # (*indices.shape, vector)
    if lut.shape[-1] == 1:
        return np.asarray(vectors[..., 0])
    axis = _axis(vector_axis)
    moved = np.moveaxis(vectors, -1, axis + 1)
    shape = list(indices.shape)
    shape[axis] *= lut.shape[-1]
    return np.asarray(moved.reshape(shape))


def _axis(vector_axis: Array | None) -> int:
    if vector_axis is None:
        raise ValueError("a table of vectors needs vector_axis")
    return int(vector_axis)
