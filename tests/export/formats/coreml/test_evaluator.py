"""The evaluator of Core ML packages: by numbers worked out by hand, and by real conversions.

Packages are written by coremltools' own converter; what they must compute is PyTorch's.
"""

from __future__ import annotations

import copy
import shutil
import struct
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from export.deploy.batch_norm_folding import folded_network
from export.deploy.graph import PixelGraph
from export.deploy.layer_order import called_modules, network_layers, normalisation_layer
from export.errors import CannotRunHere, Unreadable
from export.formats.coreml.evaluator.constants import decompress
from export.formats.coreml.evaluator.evaluate import BGR, RGB, Program, evaluate, load_program
from export.formats.coreml.evaluator.operations import operate
from export.formats.coreml.evaluator.package import (
    RECORD,
    RECORD_BYTES,
    SENTINEL,
    Package,
    quiet,
    read_package,
    read_specification,
    specification_path,
)
from export.formats.coreml.evaluator.reference_network import build_reference_network, stored_layers
from export.formats.coreml.evaluator.values import before_rounding, read_value, unpack_bits
from export.formats.coreml.fp32_places import stays_in_fp32
from export.images.stress_images import stress_images
from export.parity.weights import weight_violations
from tests.conftest import make_spec
from tests.export.conftest import Artifacts, Model

# --- values -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("bits", "content", "values"),
    [
        (1, "45", [1, 0, 1, 0, 0, 0, 1, 0]),
        (2, "93 02", [3, 0, 1, 2, 2]),
        (3, "d1 58 1f", [1, 2, 3, 4, 5, 6, 7, 0]),  # the third and the sixth lie in two bytes
        (4, "f1 08", [1, 15, 8]),
        (6, "3f 10 4a", [63, 0, 33, 18]),
        (8, "00 ff", [0, 255]),
    ],
)
def test_packed_integers_begin_with_the_least_significant_bit(
    bits: int, content: str, values: list[int]
) -> None:
    assert unpack_bits(bytes.fromhex(content), bits, len(values)).tolist() == values


def value_of(data_type: str, shape: tuple[int, ...], content: bytes | None = None) -> Any:
    """A `MIL_pb2.Value` that holds `content`, or points to the record at byte 64."""
    from coremltools.proto import MIL_pb2

    value = MIL_pb2.Value()
    tensor = value.type.tensorType
    tensor.dataType, tensor.rank = MIL_pb2.DataType.Value(data_type), len(shape)
    for size in shape:
        tensor.dimensions.add().constant.size = size
    if content is None:
        value.blobFileValue.fileName = "@model_path/weights/weight.bin"
        value.blobFileValue.offset = RECORD_BYTES
    else:
        value.immediateValue.tensor.bytes.values = content
    return value


def package_of(weights: bytes = b"") -> Package:
    return Package("made.mlpackage", None, weights)


def weight_bin(content: bytes, blob_type: int, **record: int) -> bytes:
    """A file with one record; `record` says what is wrong with it."""
    right = {"sentinel": SENTINEL, "type": blob_type, "size": len(content), "start": 128}
    head = RECORD.pack(*{**right, **record}.values())
    return bytes(64) + head.ljust(RECORD_BYTES, b"\0") + content


@pytest.mark.parametrize(
    ("data_type", "blob_type", "content", "values"),
    [
        ("UINT1", 9, "05", [[1, 0], [1, 0]]),
        ("UINT2", 10, "93", [[3, 0], [1, 2]]),
        ("UINT3", 12, "d1 08", [[1, 2], [3, 4]]),
        ("UINT4", 11, "f1 08", [[1, 15], [8, 0]]),
        ("UINT6", 13, "3f 10 4a", [[63, 0], [33, 18]]),
        ("INT4", 8, "f1 78", [[1, -1], [-8, 7]]),
        ("INT8", 4, "01 ff 80 7f", [[1, -1], [-128, 127]]),
        ("UINT8", 3, "01 ff 80 7f", [[1, 255], [128, 127]]),
        ("INT16", 6, "01 00 ff ff 00 80 ff 7f", [[1, -1], [-32768, 32767]]),
        ("FLOAT16", 1, "00 3c 00 c0 00 38 ff 7b", [[1.0, -2.0], [0.5, 65504.0]]),
        ("FLOAT32", 2, "0000803f 000000c0 0000003f 00000000", [[1.0, -2.0], [0.5, 0.0]]),
    ],
)
def test_a_constant_is_the_same_in_the_specification_and_in_weight_bin(
    data_type: str, blob_type: int, content: str, values: list[list[float]]
) -> None:
    stored = bytes.fromhex(content)
    here = read_value(value_of(data_type, (2, 2), stored), package_of())
    there = read_value(value_of(data_type, (2, 2)), package_of(weight_bin(stored, blob_type)))
    assert here.tolist() == there.tolist() == values
    assert here.dtype == there.dtype


def test_the_last_byte_of_packed_integers_may_be_filled_in_part() -> None:
    value = read_value(value_of("INT4", (3,), bytes.fromhex("f1 08")), package_of())
    assert value.tolist() == [1, -1, -8]


@pytest.mark.parametrize(
    ("data_type", "content", "reason"),
    [
        ("INT4", "f1", "1 bytes for INT4"),
        ("FLOAT16", "00 3c", "2 bytes for FLOAT16"),
        ("BFLOAT16", "00 3c 00 3c 00 3c", "data type BFLOAT16 is not supported here"),
    ],
)
def test_a_constant_that_does_not_fit_its_type_is_unreadable(
    data_type: str, content: str, reason: str
) -> None:
    with pytest.raises(Unreadable, match=f"made.mlpackage: {reason}"):
        read_value(value_of(data_type, (3,), bytes.fromhex(content)), package_of())


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        ({"sentinel": SENTINEL ^ 1}, "damaged record in weight.bin at byte 64"),
        ({"type": 2}, "holds FLOAT32 at byte 64, the specification says FLOAT16"),
        ({"type": 99}, "holds number 99 at byte 64"),
        ({"size": 6}, "6 bytes in weight.bin at byte 64, the specification needs 8"),
        ({"start": 64}, "cut short or damaged at byte 64"),
        ({"start": 129}, "cut short or damaged at byte 64"),
        ({"start": 1 << 62}, "cut short or damaged at byte 64"),
    ],
)
def test_a_damaged_record_is_unreadable(record: dict[str, int], reason: str) -> None:
    package = package_of(weight_bin(bytes(8), 1, **record))
    with pytest.raises(Unreadable, match=reason):
        read_value(value_of("FLOAT16", (2, 2)), package)


@pytest.mark.parametrize(
    "number", [0.0, 0.5, -3.0, 1 / 6, -1 / 3, 0.01, 0.2, 1e-5, 1e-6, 1.702, 65504.0, np.inf]
)
def test_a_number_is_what_it_was_before_fp16_rounded_it(number: float) -> None:
    assert before_rounding(np.float16(number)) == number


def test_a_number_next_to_a_simple_one_is_another() -> None:
    sixth = np.float16(1 / 6)
    for other in (np.nextafter(sixth, np.float16(0)), np.nextafter(sixth, np.float16(1))):
        assert np.float16(before_rounding(other)) == other


# --- compressed constants ---------------------------------------------------------------------


def array(values: Any, dtype: Any = np.float32) -> np.ndarray:
    return np.array(values, dtype=dtype)


LUT_2_BITS = array([10, 20, 30, 40])
TWO_TABLES = array([1, 2, 3, 4]).reshape(2, 1, 2, 1)  # one for the upper rows, one for the lower
TWO_VECTORS = array([1, 2, 3, 4]).reshape(1, 1, 2, 2)
MASK_IOS18 = array([[1, 0, 0], [0, 1, 1]], np.uint8)

DENSE: dict[str, tuple[str, dict[str, Any], list[Any]]] = {
    "iOS 16 scale of a tensor": (
        "constexpr_affine_dequantize",
        {
            "quantized_data": array([[1, 2], [3, -4]], np.int8),
            "scale": array(0.5),
            "zero_point": array(1, np.int8),
            "axis": array(0, np.int32),
        },
        [[0.0, 0.5], [1.0, -2.5]],
    ),
    "iOS 16 scale of a row": (
        "constexpr_affine_dequantize",
        {
            "quantized_data": array([[1, 2], [3, -4]], np.int8),
            "scale": array([0.5, 2.0]),
            "zero_point": array([1, 0], np.int8),
            "axis": array(0, np.int32),
        },
        [[0.0, 0.5], [6.0, -8.0]],
    ),
    "iOS 16 scale of a column, unsigned below its zero point": (
        "constexpr_affine_dequantize",
        {
            "quantized_data": array([[1, 2], [3, 4]], np.uint8),
            "scale": array([0.5, 2.0]),
            "zero_point": array([128, 0], np.uint8),
            "axis": array(1, np.int32),
        },
        [[-63.5, 4.0], [-62.5, 8.0]],
    ),
    "iOS 16 scales of rows, one zero point": (
        "constexpr_affine_dequantize",
        {
            "quantized_data": array([[1, 2], [3, -4]], np.int8),
            "scale": array([0.5, 2.0]),
            "zero_point": array(1, np.int8),
            "axis": array(0, np.int32),
        },
        [[0.0, 0.5], [4.0, -10.0]],
    ),
    "iOS 16 table": (
        "constexpr_lut_to_dense",
        {
            "indices": array([0x93, 0x02], np.uint8),
            "lut": LUT_2_BITS,
            "shape": array([5], np.uint32),
        },
        [40, 10, 20, 30, 30],
    ),
    "iOS 16 sparse": (
        "constexpr_sparse_to_dense",
        {
            "nonzero_data": array([1, 2, 3, 4]),
            "mask": array([0b01000101, 0b10], np.uint8),
            "shape": array([2, 5], np.uint32),
        },
        [[1, 0, 2, 0, 0], [0, 3, 0, 0, 4]],
    ),
    "iOS 18 table": (
        "constexpr_lut_to_dense",
        {
            "indices": array([[3, 0], [1, 2]], np.uint8),
            "lut": LUT_2_BITS.reshape(1, 1, 4, 1),
        },
        [[40, 10], [20, 30]],
    ),
    "iOS 18 tables of rows": (
        "constexpr_lut_to_dense",
        {"indices": array([[0, 1], [0, 1], [1, 1], [0, 0]], np.uint8), "lut": TWO_TABLES},
        [[1, 2], [1, 2], [4, 4], [3, 3]],
    ),
    "iOS 18 tables of columns": (
        "constexpr_lut_to_dense",
        {
            "indices": array([[0, 1], [1, 1]], np.uint8),
            "lut": TWO_TABLES.reshape(1, 2, 2, 1),
        },
        [[1, 4], [2, 4]],
    ),
    "iOS 18 vectors down": (
        "constexpr_lut_to_dense",
        {
            "indices": array([[0, 1], [1, 1]], np.uint8),
            "lut": TWO_VECTORS,
            "vector_axis": array(0, np.int32),
        },
        [[1, 3], [2, 4], [3, 3], [4, 4]],
    ),
    "iOS 18 vectors across": (
        "constexpr_lut_to_dense",
        {
            "indices": array([[0, 1], [1, 1]], np.uint8),
            "lut": TWO_VECTORS,
            "vector_axis": array(1, np.int32),
        },
        [[1, 2, 3, 4], [3, 4, 3, 4]],
    ),
    "iOS 18 scales of blocks": (
        "constexpr_blockwise_shift_scale",
        {
            "data": array([[1, 2, 3, 4], [5, 6, 7, -8]], np.int8),
            "scale": array([[0.5, 2.0]]),
        },
        [[0.5, 1.0, 6.0, 8.0], [2.5, 3.0, 14.0, -16.0]],
    ),
    "iOS 18 scales of blocks with an offset": (
        "constexpr_blockwise_shift_scale",
        {
            "data": array([[1, 2, 3, 4], [5, 6, 7, 8]], np.uint8),
            "scale": array([[0.5, 2.0]]),
            "offset": array([[6, 1]], np.uint8),
        },
        [[-2.5, -2.0, 4.0, 6.0], [-0.5, 0.0, 12.0, 14.0]],
    ),
    "iOS 18 sparse": (
        "constexpr_sparse_to_dense",
        {"nonzero_data": array([5, 6, 7]), "mask": MASK_IOS18},
        [[5, 0, 0], [0, 6, 7]],
    ),
    "iOS 16 half stored, single used": (
        "constexpr_cast",
        {"source_val": array([0.5, 65504.0], np.float16), "output_dtype": "fp32"},
        [0.5, 65504.0],
    ),
}

SPARSE: dict[str, tuple[str, dict[str, Any], list[Any], list[Any]]] = {
    "table": (
        "constexpr_lut_to_sparse",
        {
            "indices_mask": MASK_IOS18,
            "indices_nonzero_data": array([3, 0, 1], np.uint8),
            "lut": LUT_2_BITS.reshape(1, 1, 4, 1),
        },
        [[1, 0, 0], [0, 1, 1]],
        [40, 10, 20],
    ),
    "vectors down": (
        "constexpr_lut_to_sparse",
        {
            "indices_mask": MASK_IOS18,
            "indices_nonzero_data": array([1, 0, 1], np.uint8),
            "lut": TWO_VECTORS,
            "vector_axis": array(0, np.int32),
        },
        [[1, 0, 0], [1, 0, 0], [0, 1, 1], [0, 1, 1]],
        [3, 4, 1, 3, 2, 4],
    ),
    "scales of columns": (
        "constexpr_sparse_blockwise_shift_scale",
        {
            "data_mask": MASK_IOS18,
            "nonzero_data": array([10, 3, 4], np.int8),
            "scale": array([[0.5, 2.0, 4.0]]),
            "offset": array([[1, 2, 3]], np.int8),
        },
        [[1, 0, 0], [0, 1, 1]],
        [4.5, 2.0, 4.0],
    ),
}


@pytest.mark.parametrize("case", DENSE)
def test_a_compressed_constant_is_what_its_definition_says(case: str) -> None:
    operation, arguments, values = DENSE[case]
    (made,) = decompress(operation, arguments)
    assert made.tolist() == values
    assert made.dtype == np.float32


@pytest.mark.parametrize("case", SPARSE)
def test_a_compressed_sparse_constant_is_mask_and_values(case: str) -> None:
    operation, arguments, mask, values = SPARSE[case]
    made_mask, made = decompress(operation, arguments)
    assert made_mask.tolist() == mask
    assert made.tolist() == values
    (dense,) = decompress("constexpr_sparse_to_dense", {"mask": made_mask, "nonzero_data": made})
    assert dense[np.array(mask, bool)].tolist() == values
    assert not dense[~np.array(mask, bool)].any()


def test_the_example_in_the_definition_of_grouped_tables_holds() -> None:
    indices = array([2, 3, 3, 0, 1, 0, 3, 0, 2, 1, 0, 3], np.uint8).reshape(6, 2)
    lut = array([1, 5, 9, 13, 2, 10, 18, 26], np.float16).reshape(2, 1, 4, 1)
    (made,) = decompress("constexpr_lut_to_dense", {"indices": indices, "lut": lut})
    assert made.tolist() == [[9, 13], [13, 1], [5, 1], [26, 2], [18, 10], [2, 26]]
    assert made.dtype == np.float16


def test_a_scaled_constant_is_rounded_once_to_the_precision_of_the_scale() -> None:
    arguments = {"data": array([[127]], np.int8), "scale": array([[0.1]], np.float16)}
    (made,) = decompress("constexpr_blockwise_shift_scale", arguments)
    assert made.dtype == np.float16
    assert made[0, 0] == np.float16(127 * float(np.float16(0.1)))


@pytest.mark.parametrize(
    ("case", "lacks"),
    [
        (case, key)
        for case in DENSE
        for key in DENSE[case][1]
        if key not in ("offset", "shape")  # without its shape it is read as of iOS 18
        if (case, key) != ("iOS 16 scale of a tensor", "axis")  # needs none
    ],
)
def test_a_compressed_constant_that_lacks_an_argument_is_unreadable(case: str, lacks: str) -> None:
    operation, arguments, _ = DENSE[case]
    with pytest.raises(Unreadable, match=lacks):
        decompress(operation, {k: v for k, v in arguments.items() if k != lacks})


@pytest.mark.parametrize(
    ("operation", "arguments"),
    [
        (  # 3 blocks of 4 values
            "constexpr_blockwise_shift_scale",
            {"data": array([[1, 2, 3, 4]], np.int8), "scale": array([[1, 1, 1]])},
        ),
        (  # a scale of another rank
            "constexpr_blockwise_shift_scale",
            {"data": array([[1, 2, 3, 4]], np.int8), "scale": array([1])},
        ),
        (  # index 2 of two
            "constexpr_lut_to_dense",
            {"indices": array([[2]], np.uint8), "lut": array([1, 2]).reshape(1, 1, 2, 1)},
        ),
        (  # 2 tables for 3 rows
            "constexpr_lut_to_dense",
            {"indices": array([[0], [0], [1]], np.uint8), "lut": TWO_TABLES},
        ),
        (  # too few indices
            "constexpr_lut_to_dense",
            {"indices": array([1], np.uint8), "lut": LUT_2_BITS, "shape": array([5], np.uint32)},
        ),
        (  # too few values under the mask
            "constexpr_sparse_to_dense",
            {"nonzero_data": array([5, 6]), "mask": MASK_IOS18},
        ),
        (  # three scales for two rows
            "constexpr_affine_dequantize",
            {
                "quantized_data": array([[1], [2]], np.int8),
                "scale": array([1, 1, 1]),
                "zero_point": array(0, np.int8),
                "axis": array(0, np.int32),
            },
        ),
    ],
)
def test_a_compressed_constant_that_does_not_fit_together_is_unreadable(
    operation: str, arguments: dict[str, Any]
) -> None:
    with pytest.raises(Unreadable, match=f"{operation} does not fit together"):
        decompress(operation, arguments)


def test_an_unknown_compressed_constant_is_unreadable() -> None:
    with pytest.raises(Unreadable, match="constexpr_of_tomorrow is not supported here"):
        decompress("constexpr_of_tomorrow", {})


# --- operations -------------------------------------------------------------------------------


def picture(height: int, width: int, channels: int = 2) -> Tensor:
    generator = torch.Generator().manual_seed(height * 100 + width)
    return torch.randn(1, channels, height, width, generator=generator) - 0.5


def pooling(kernel: int, stride: int, pad_type: str, **more: Any) -> dict[str, Any]:
    arguments = {
        "kernel_sizes": array([kernel, kernel], np.int32),
        "strides": array([stride, stride], np.int32),
        "pad_type": pad_type,
        "ceil_mode": array(False, np.bool_),
        "exclude_padding_from_average": array(False, np.bool_),
    }
    return {**arguments, **more}


SIZES = [(5, 5), (6, 7), (8, 9), (13, 12)]
KERNELS = [(2, 2, 0), (2, 2, 1), (3, 1, 1), (3, 2, 0), (3, 2, 1), (3, 3, 1), (5, 3, 2)]


@pytest.mark.parametrize("ceil_mode", [False, True])
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(("kernel", "stride", "pad"), KERNELS)
def test_custom_pooling_is_that_of_torch(
    kernel: int, stride: int, pad: int, size: tuple[int, int], ceil_mode: bool
) -> None:
    x = picture(*size)
    arguments = pooling(
        kernel,
        stride,
        "custom",
        x=x,
        pad=array([pad] * 4, np.int32),
        ceil_mode=array(ceil_mode, np.bool_),
    )
    expected = F.max_pool2d(x, kernel, stride, pad, ceil_mode=ceil_mode)
    assert torch.equal(operate("max_pool", arguments), expected)
    for exclude in (False, True):
        arguments["exclude_padding_from_average"] = array(exclude, np.bool_)
        expected = F.avg_pool2d(x, kernel, stride, pad, ceil_mode, count_include_pad=not exclude)
        torch.testing.assert_close(operate("avg_pool", arguments), expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("size", SIZES)
def test_valid_pooling_is_that_of_torch_without_padding(size: tuple[int, int]) -> None:
    x = picture(*size)
    arguments = pooling(3, 2, "valid", x=x, pad=array([9, 9, 9, 9], np.int32))
    assert torch.equal(operate("max_pool", arguments), F.max_pool2d(x, 3, 2))
    found = operate("avg_pool", arguments)
    torch.testing.assert_close(found, F.avg_pool2d(x, 3, 2), rtol=0, atol=1e-6)


# (size, kernel, stride) -> padding (before, after) of `same`: ceil(size / stride) windows.
SAME = [(6, 3, 2, (0, 1)), (7, 3, 2, (1, 1)), (5, 2, 1, (0, 1)), (9, 5, 3, (1, 1)), (8, 1, 2, None)]


@pytest.mark.parametrize(("size", "kernel", "stride", "pair"), SAME)
@pytest.mark.parametrize("pad_type", ["same", "same_lower"])
def test_same_padding_leaves_a_window_for_each_stride(
    pad_type: str, size: int, kernel: int, stride: int, pair: tuple[int, int] | None
) -> None:
    before, after = pair or (0, 0)
    if pad_type == "same_lower":
        before, after = after, before
    x = picture(size, size)
    arguments = pooling(kernel, stride, pad_type, x=x)
    padded = F.pad(x, (before, after, before, after), value=float("-inf"))
    found = operate("max_pool", arguments)
    assert found.shape[2] == -(-size // stride)
    assert torch.equal(found, F.max_pool2d(padded, kernel, stride))
    zeros = F.pad(x, (before, after, before, after))
    found = operate("avg_pool", arguments)
    torch.testing.assert_close(found, F.avg_pool2d(zeros, kernel, stride), rtol=0, atol=1e-6)


def convolution(weight: Tensor, **more: Any) -> dict[str, Any]:
    arguments = {
        "weight": weight.numpy(),
        "strides": array([1, 1], np.int32),
        "dilations": array([1, 1], np.int32),
        "groups": array(1, np.int32),
        "pad_type": "valid",
        "pad": array([0, 0, 0, 0], np.int32),
    }
    return {**arguments, **more}


@pytest.mark.parametrize("dilation", [1, 2])
def test_a_convolution_is_that_of_torch(dilation: int) -> None:
    x, bias = picture(9, 8, 4), torch.tensor([0.5, -1.0])
    weight = picture(3, 3, 8).reshape(2, 4, 3, 3)
    dilations = array([dilation, dilation], np.int32)
    found = operate("conv", convolution(weight, x=x, dilations=dilations, bias=bias.numpy()))
    assert torch.equal(found, F.conv2d(x, weight, bias, dilation=dilation))
    found = operate("conv", convolution(weight, x=x, dilations=dilations, pad_type="same"))
    assert torch.equal(found, F.conv2d(x, weight, padding="same", dilation=dilation))
    aside = convolution(
        weight, x=x, dilations=dilations, pad_type="custom", pad=array([0, 2, 1, 3], np.int32)
    )  # before and after of the rows, then of the columns
    padded = F.pad(x, (1, 3, 0, 2))
    assert torch.equal(operate("conv", aside), F.conv2d(padded, weight, dilation=dilation))


def test_a_grouped_convolution_is_that_of_torch() -> None:
    x, weight = picture(6, 6, 4), picture(3, 3, 8).reshape(4, 2, 3, 3)
    found = operate("conv", convolution(weight, x=x, groups=array(2, np.int32)))
    assert torch.equal(found, F.conv2d(x, weight, groups=2))


X = torch.tensor([[1.0, -2.0], [3.0, 4.0]])
BY_HAND: dict[str, tuple[str, dict[str, Any], list[Any]]] = {
    "add": ("add", {"x": X, "y": array([10, 20])}, [[11, 18], [13, 24]]),
    "sub": ("sub", {"x": X, "y": array(1)}, [[0, -3], [2, 3]]),
    "mul": ("mul", {"x": X, "y": array([[2], [0.5]])}, [[2, -4], [1.5, 2]]),
    "real_div": ("real_div", {"x": X, "y": array([2, 4])}, [[0.5, -0.5], [1.5, 1]]),
    "relu": ("relu", {"x": X}, [[1, 0], [3, 4]]),
    "cast": ("cast", {"x": X, "dtype": "fp16"}, [[1, -2], [3, 4]]),
    "reshape": ("reshape", {"x": X, "shape": array([4, -1], np.int32)}, [[1], [-2], [3], [4]]),
    "concat": (
        "concat",
        {"values": [X, X * 10], "axis": array(1, np.int32), "interleave": array(False, np.bool_)},
        [[1, -2, 10, -20], [3, 4, 30, 40]],
    ),
    "linear": (
        "linear",
        {"x": X, "weight": array([[1, 2], [3, 0]]), "bias": array([0.5, -0.5])},
        [[-2.5, 2.5], [11.5, 8.5]],
    ),
    "mean, axis gone": (
        "reduce_mean",
        {"x": X, "axes": array([1], np.int32), "keep_dims": array(False, np.bool_)},
        [-0.5, 3.5],
    ),
    "mean, axis kept": (
        "reduce_mean",
        {"x": X, "axes": array([0], np.int32), "keep_dims": array(True, np.bool_)},
        [[2, 1]],
    ),
    "maximum of all": ("reduce_max", {"x": X, "keep_dims": array(False, np.bool_)}, 4),
    "maximum, axis kept": (
        "reduce_max",
        {"x": X, "axes": array([1], np.int32), "keep_dims": array(True, np.bool_)},
        [[1], [4]],
    ),
    "mean of all": ("reduce_mean", {"x": X, "keep_dims": array(False, np.bool_)}, 1.5),
    "softmax": (
        "softmax",
        {"x": torch.log(torch.tensor([[1.0, 3.0], [4.0, 4.0]])), "axis": array(-1, np.int32)},
        [[0.25, 0.75], [0.5, 0.5]],
    ),
    "softmax of the other axis": (
        "softmax",
        {"x": torch.log(torch.tensor([[1.0, 3.0], [4.0, 1.0]])), "axis": array(0, np.int32)},
        [[0.2, 0.75], [0.8, 0.25]],
    ),
    "batch_norm": (
        "batch_norm",
        {
            "x": X,
            "mean": array([1, 2]),
            "variance": array([3, 0]),
            "gamma": array([2, 3]),
            "beta": array([0, 1]),
            "epsilon": array(1),
        },
        [[0, -11], [2, 7]],
    ),
}


@pytest.mark.parametrize("case", BY_HAND)
def test_an_operation_gives_what_a_hand_computes(case: str) -> None:
    operation, arguments, values = BY_HAND[case]
    made = operate(operation, arguments)
    assert made.dtype == torch.float32
    torch.testing.assert_close(made, torch.tensor(values, dtype=torch.float32), rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    ("operation", "arguments", "reason"),
    [
        ("relu", {}, "relu lacks its argument 'x'"),
        ("softmax", {"x": X}, "softmax lacks its argument 'axis'"),
        ("add", {"x": X}, "add lacks its argument 'y'"),
        ("max_pool", {"x": X}, "max_pool lacks its argument 'kernel_sizes'"),
        ("add", {"x": X, "y": array([1, 2, 3])}, "add does not fit together"),
        ("cast", {"x": X, "dtype": "int32"}, "cast does not fit together: dtype int32"),
        ("max_pool", pooling(3, 2, "mirror", x=picture(5, 5)), "pad_type mirror"),
    ],
)
def test_an_operation_that_is_not_whole_is_unreadable(
    operation: str, arguments: dict[str, Any], reason: str
) -> None:
    with pytest.raises(Unreadable, match=reason):
        operate(operation, arguments)


# --- packages ---------------------------------------------------------------------------------


@pytest.fixture
def package(artifacts: Artifacts, tmp_path: Path) -> Path:
    """A copy of the converted package, to be damaged."""
    source = artifacts["coreml", "fp32"]
    return Path(shutil.copytree(source, tmp_path / source.name))


def edit_specification(package: Path, change: Callable[[Any], None]) -> None:
    document = read_specification(package)
    change(document)
    specification_path(package).write_bytes(document.SerializeToString())


def weights_file(package: Path) -> Path:
    (file,) = package.rglob("weight.bin")
    return file


def edit_first_record(package: Path, **changes: int) -> None:
    content = bytearray(weights_file(package).read_bytes())
    names = ("sentinel", "type", "size", "start")
    record = dict(zip(names, RECORD.unpack_from(content, RECORD_BYTES), strict=True))
    assert record["sentinel"] == SENTINEL
    struct.pack_into(RECORD.format, content, RECORD_BYTES, *{**record, **changes}.values())
    weights_file(package).write_bytes(content)


def cut_weights(package: Path) -> None:
    file = weights_file(package)
    file.write_bytes(file.read_bytes()[:-1])


def another_type(package: Path) -> None:
    edit_specification(package, lambda document: document.neuralNetwork.SetInParent())


def no_manifest(package: Path) -> None:
    (package / "Manifest.json").unlink()


def manifest_of_nothing(package: Path) -> None:
    (package / "Manifest.json").write_text("{}")


def no_weights(package: Path) -> None:
    weights_file(package).unlink()


def broken_specification(package: Path) -> None:
    specification_path(package).write_bytes(b"\xff" * 100)


DAMAGE: dict[str, tuple[Callable[[Path], None], str]] = {
    "weights cut short": (cut_weights, "cut short or damaged"),
    "sentinel": (lambda p: edit_first_record(p, sentinel=SENTINEL ^ 1), "damaged record"),
    "type": (lambda p: edit_first_record(p, type=1), "holds FLOAT16 at byte 64"),
    "size": (lambda p: edit_first_record(p, size=4), "4 bytes in weight.bin at byte 64"),
    "offset": (lambda p: edit_first_record(p, start=1 << 40), "cut short or damaged at byte 64"),
    "another type of model": (another_type, "is a neuralNetwork, not an ML Program"),
    "no manifest": (no_manifest, "is not a Core ML package"),
    "a manifest of nothing": (manifest_of_nothing, "is not a Core ML package"),
    "no weights": (no_weights, "weight.bin: No such file"),
    "broken specification": (broken_specification, "is not a Core ML package"),
}


@pytest.mark.parametrize("case", DAMAGE)
def test_a_damaged_package_is_unreadable_by_its_name(case: str, package: Path) -> None:
    damage, reason = DAMAGE[case]
    load_program(package)
    damage(package)
    with pytest.raises(Unreadable, match=f"^{package.name}.*{reason}"):
        load_program(package)


def operations(document: Any) -> Any:
    main = document.mlProgram.functions["main"]
    return main.block_specializations[main.opset].operations


def test_a_program_with_unknown_operations_cannot_run_here_and_all_are_named_once(
    package: Path,
) -> None:
    def rename(document: Any) -> None:
        relus = [o for o in operations(document) if o.type == "relu"]
        relus[0].type, relus[1].type, relus[2].type = "relu_of_tomorrow", "erfc", "erfc"

    edit_specification(package, rename)
    with pytest.raises(CannotRunHere, match="lacks the operations erfc, relu_of_tomorrow of tiny"):
        load_program(package)


def test_damage_is_told_before_an_unknown_operation(package: Path) -> None:
    def rename(document: Any) -> None:
        next(o for o in operations(document) if o.type == "relu").type = "relu_of_tomorrow"

    edit_specification(package, rename)
    cut_weights(package)
    with pytest.raises(Unreadable, match="cut short or damaged"):
        load_program(package)


def test_a_program_whose_declared_shape_is_another_is_unreadable(
    package: Path, model: Model
) -> None:
    def reshape(document: Any) -> None:
        relu = next(o for o in operations(document) if o.type == "relu")
        relu.outputs[0].type.tensorType.dimensions[1].constant.size += 1

    edit_specification(package, reshape)
    with pytest.raises(Unreadable, match=r"declared \(1, 65, 31, 31\)"):
        evaluate(load_program(package), model.images.pixels[0])


def test_an_image_of_another_size_is_unreadable(artifacts: Artifacts) -> None:
    program = load_program(artifacts["coreml", "fp32"])
    with pytest.raises(Unreadable, match=r"takes \(64, 64\) px"):
        evaluate(program, np.zeros((32, 64, 3), np.uint8))


def test_the_colour_space_of_the_specification_is_obeyed(
    package: Path, artifacts: Artifacts, model: Model
) -> None:
    """Exactly as wrong as an app that passes BGR pixels."""

    def swap(document: Any) -> None:
        document.description.input[0].type.imageType.colorSpace = BGR

    edit_specification(package, swap)
    rgb, bgr = load_program(artifacts["coreml", "fp32"]), load_program(package)
    assert (rgb.colour, bgr.colour) == (RGB, BGR)
    images = model.images.pixels
    flipped = [evaluate(rgb, np.ascontiguousarray(image[:, :, ::-1])) for image in images]
    swapped = [evaluate(bgr, image).by_label for image in images]
    assert swapped == [one.by_label for one in flipped]
    label = model.spec.labels[0]
    true = [evaluate(rgb, image).by_label[label] for image in images]
    assert np.abs(np.array(true) - [row[label] for row in swapped]).max() > 0.1


def test_half_is_rounded_only_when_asked(artifacts: Artifacts, model: Model) -> None:
    program = load_program(artifacts["coreml", "fp16"])
    rounded: dict[str, Tensor] = {}
    exact: dict[str, Tensor] = {}
    image = model.images.pixels[-1]
    evaluate(program, image, watch=lambda _, name, value: rounded.update({name: value}))
    evaluate(
        program, image, round_half=False, watch=lambda _, name, value: exact.update({name: value})
    )
    half = [step.output for step in program.steps if step.half]
    assert half
    assert all(torch.equal(rounded[n], rounded[n].half().float()) for n in half)
    assert not all(torch.equal(exact[n], exact[n].half().float()) for n in half)


# --- real conversions -------------------------------------------------------------------------


def logits_of(program: Program, images: np.ndarray) -> Tensor:
    """The input of softmax, unrounded: float32 (N, K)."""
    (softmax,) = [step for step in program.steps if step.operation == "softmax"]
    name, rows = softmax.arguments["x"].name, []
    for image in images:
        seen: dict[str, Tensor] = {}
        evaluate(
            program, image, round_half=False, watch=lambda _, n, v, seen=seen: seen.update({n: v})
        )
        rows.append(seen[name].reshape(1, -1))
    return torch.cat(rows)


def as_pixels(images: np.ndarray) -> Tensor:
    return torch.from_numpy(images).permute(0, 3, 1, 2).to(torch.float32)


def assert_close(found: Tensor, expected: Tensor) -> None:
    spread = float((expected.amax(0) - expected.amin(0)).max())
    assert spread > 1e-2  # else everything would agree
    assert float((found - expected).abs().max()) <= 1e-4 * max(1.0, spread)


def calibrate(network: nn.Module, pixels: Tensor) -> None:
    """Batch norm statistics near those of `pixels`, and logits that spread by 2: nothing saturates.

    Of a fresh ResNet-152 with arbitrary statistics the logits are millions, of a fresh VGG zero.
    """
    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for norm in norms:
            norm.momentum = None
            norm.train()
        network(pixels)
        for norm in norms:
            norm.eval()
            norm.running_var.mul_(0.8 + 0.4 * torch.rand(norm.num_features, generator=generator))
            shift = 0.1 * torch.randn(norm.num_features, generator=generator)
            norm.running_mean.add_(shift * norm.running_var.sqrt())
            norm.weight.uniform_(0.8, 1.2, generator=generator)
            norm.bias.normal_(0, 0.1, generator=generator)
        last = called_modules(network, pixels.shape[-1])[-1][1]
        scale = 2 / network(pixels).std(dim=0).max()
        last.weight.mul_(scale)
        last.bias.mul_(scale)


def build_calibrated(architecture: str, side: int, images: np.ndarray) -> PixelGraph:
    import torchvision

    torch.manual_seed(0)
    network = getattr(torchvision.models, architecture)(weights=None, num_classes=3).eval()
    spec = make_spec(labels=("a", "b", "c"), positive=None, threshold=None, side=side)
    graph = PixelGraph(network, spec).eval()
    calibrate(network, (as_pixels(images) - graph.mean) / graph.std)
    return graph


def trace(graph: nn.Module, side: int) -> torch.jit.ScriptModule:
    return torch.jit.trace(graph, torch.zeros(1, 3, side, side))


def convert(
    traced: torch.jit.ScriptModule,
    side: int,
    labels: tuple[str, ...],
    target: str,
    precision: str,
    path: Path,
) -> Path:
    """As `export.formats.coreml.format` does, for any target."""
    quiet()
    import coremltools as ct

    half = ct.transform.FP16ComputePrecision(lambda op: not stays_in_fp32(op))
    ct.convert(
        traced,
        inputs=[ct.ImageType("image", (1, 3, side, side), color_layout=ct.colorlayout.RGB)],
        classifier_config=ct.ClassifierConfig(list(labels), "label"),
        convert_to="mlprogram",
        minimum_deployment_target=ct.target[target],
        compute_precision=half if precision == "fp16" else ct.precision.FLOAT32,
        skip_model_load=True,
    ).save(str(path))
    return path


# Side, images and variants. iOS 16 of every topology, fp32 and fp16, is proven as a whole file by
# tests/export/test_topologies.py; VGG and ResNet-152 have the operations of these.
OLD_AND_NEW = (("iOS16", "fp32"), ("iOS18", "fp32"), ("iOS16", "fp16"))
NEW = (("iOS18", "fp32"),)
SLOW = pytest.mark.slow("converts a whole topology three times")
CI = pytest.mark.ci("converts other topologies")
TOPOLOGIES = [
    pytest.param("squeezenet1_1", 64, 6, OLD_AND_NEW, id="squeezenet1_1", marks=SLOW),
    pytest.param("resnet34", 64, 4, NEW, id="resnet34", marks=CI),
    pytest.param("densenet169", 64, 4, NEW, id="densenet169", marks=CI),
]


@pytest.mark.parametrize(("architecture", "side", "count", "variants"), TOPOLOGIES)
def test_the_evaluator_computes_what_pytorch_does(
    architecture: str,
    side: int,
    count: int,
    variants: tuple[tuple[str, str], ...],
    tmp_path: Path,
) -> None:
    """Logits of each topology compared with its reference network and the network; its weights."""
    images = np.stack(list(stress_images(side).values()))[-count:]
    graph = build_calibrated(architecture, side, images)
    layers = [normalisation_layer(graph), *network_layers(graph, side)]
    folded = copy.deepcopy(graph, {id(graph.network): folded_network(graph.network)})
    traced = trace(folded, side)
    with torch.inference_mode():
        original = graph.network((as_pixels(images) - graph.mean) / graph.std)
    for target, precision in variants:
        path = convert(
            traced, side, ("a", "b", "c"), target, precision, tmp_path / "made.mlpackage"
        )
        program = load_program(path)
        found = logits_of(program, images)
        with torch.inference_mode():
            assert_close(found, build_reference_network(program, graph).logits(as_pixels(images)))
        if precision == "fp32":
            assert_close(found, original)
        assert weight_violations(stored_layers(program), layers) == []
        shutil.rmtree(path)


def test_a_maximum_of_fp16_numbers_needs_no_rounding(model: Model, artifacts: Artifacts) -> None:
    """Left out for speed: rounding every step declared FLOAT16 gives the very same bits."""
    program = load_program(artifacts["coreml", "fp16"])
    spared = {step.operation for step in program.steps if step.half and not step.rounds}
    assert spared == {"concat", "max_pool", "relu"}
    every = replace(program, steps=tuple(replace(s, rounds=s.half) for s in program.steps))
    for image in model.images.pixels:
        one, other = evaluate(program, image), evaluate(every, image)
        assert one.by_label == other.by_label
        assert np.array_equal(one.evidence, other.evidence)


# --- compressed packages ----------------------------------------------------------------------


@pytest.fixture(scope="module")
def for_ios18(model: Model, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    path = tmp_path_factory.mktemp("coreml") / "tiny_fp32.mlpackage"
    traced = trace(model.graph.pixels, model.spec.side)
    yield convert(traced, model.spec.side, model.spec.labels, "iOS18", "fp32", path)
    shutil.rmtree(path)


def palettised(bits: int, model: Any, **more: Any) -> Any:
    """Evenly spaced palettes: quick, and the same each time."""
    import coremltools.optimize.coreml as cto

    rule = cto.OpPalettizerConfig(mode="uniform", nbits=bits, **more)
    return cto.palettize_weights(model, cto.OptimizationConfig(global_config=rule))


def linear(model: Any, **more: Any) -> Any:
    import coremltools.optimize.coreml as cto

    rule = cto.OpLinearQuantizerConfig(**more)
    return cto.linear_quantize_weights(model, cto.OptimizationConfig(global_config=rule))


def pruned(model: Any) -> Any:
    import coremltools.optimize.coreml as cto

    rule = cto.OpMagnitudePrunerConfig(target_sparsity=0.5)
    return cto.prune_weights(model, cto.OptimizationConfig(global_config=rule))


GROUPED = {"granularity": "per_grouped_channel", "group_size": 16}
COMPRESSIONS: dict[str, tuple[str, Callable[[Any], Any], set[str]]] = {
    "palette of 4 bits": ("iOS16", lambda m: palettised(4, m), {"lut_to_dense"}),
    "palette of 6 bits": ("iOS16", lambda m: palettised(6, m), {"lut_to_dense"}),
    "palette of 8 bits": ("iOS16", lambda m: palettised(8, m), {"lut_to_dense"}),
    "int8 per channel": ("iOS16", lambda m: linear(m), {"affine_dequantize"}),
    "uint8 with a zero point": (
        "iOS16",
        lambda m: linear(m, mode="linear", dtype="uint8"),
        {"affine_dequantize"},
    ),
    "half pruned": ("iOS16", pruned, {"sparse_to_dense"}),
    "palette of 3 bits, iOS 18": ("iOS18", lambda m: palettised(3, m), {"lut_to_dense"}),
    "palette of 6 bits, iOS 18": ("iOS18", lambda m: palettised(6, m), {"lut_to_dense"}),
    "palettes of 4 bits by group, iOS 18": (
        "iOS18",
        lambda m: palettised(4, m, **GROUPED),
        {"lut_to_dense"},
    ),
    "int8 per channel, iOS 18": ("iOS18", lambda m: linear(m), {"blockwise_shift_scale"}),
    "int4 per channel, iOS 18": (
        "iOS18",
        lambda m: linear(m, dtype="int4"),
        {"blockwise_shift_scale"},
    ),
    "int4 by block, iOS 18": (
        "iOS18",
        lambda m: linear(m, dtype="int4", granularity="per_block", block_size=16),
        {"blockwise_shift_scale"},
    ),
    "half pruned, iOS 18": ("iOS18", pruned, {"sparse_to_dense"}),
}


@pytest.mark.slow("compresses a package in each of coremltools' ways")
@pytest.mark.parametrize("case", COMPRESSIONS)
def test_a_compressed_package_computes_what_pytorch_does_with_its_weights(
    case: str, model: Model, artifacts: Artifacts, for_ios18: Path, tmp_path: Path
) -> None:
    """Compression changes weights alone: the reference network agrees, the checkpoint does not."""
    quiet()
    import coremltools as ct

    target, compress, kinds = COMPRESSIONS[case]
    source = for_ios18 if target == "iOS18" else artifacts["coreml", "fp32"]
    path = tmp_path / "compressed.mlpackage"
    compress(ct.models.MLModel(str(source), skip_model_load=True)).save(str(path))
    document = read_package(path).document
    assert {
        o.type.removeprefix("constexpr_")
        for o in operations(document)
        if o.type.startswith("constexpr_")
    } == kinds

    program, images = load_program(path), model.images.pixels
    with torch.inference_mode():
        reference = build_reference_network(program, model.graph.pixels).logits(as_pixels(images))
    assert_close(logits_of(program, images), reference)
    violations = weight_violations(stored_layers(program), model.held.layers)
    assert violations
    assert all("values are not the checkpoint's" in v for v in violations)
