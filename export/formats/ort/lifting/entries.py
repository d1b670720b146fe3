"""Operation of an ORT file -> how it is written in a program: ONNX's and onnxruntime's own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from export.formats.onnx.lifting.call import Entry
from export.formats.onnx.lifting.codes import keeping
from export.formats.onnx.lifting.entries import ENTRIES as ONNX_ENTRIES
from export.formats.onnx.lifting.layers import conv, gemm
from export.formats.onnx.lifting.pointwise import leaky_relu, plain
from export.formats.onnx.lifting.pools import max_pool, whole_plane
from export.formats.ort.lifting import fused
from export.formats.ort.lifting import integer_kernels as integers

ENTRIES: Final[Mapping[str, Entry]] = {
    **ONNX_ENTRIES,
    "com.microsoft.BiasGelu": fused.gelu_of_sum,
    "com.microsoft.FusedConv": fused.with_activation(conv),
    "com.microsoft.FusedGemm": fused.with_activation(gemm),
    "com.microsoft.FusedMatMul": fused.matmul,
    "com.microsoft.Gelu": fused.gelu,
    "com.microsoft.QuickGelu": fused.gated,
    "com.microsoft.NhwcMaxPool": keeping(integers.last_to_first(max_pool)),
    "com.microsoft.QGemm": integers.gemm,
    "com.microsoft.QLinearAdd": integers.of_two("add.Tensor"),
    "com.microsoft.QLinearAveragePool": integers.of_one(integers.average_of_whole_windows),
    "com.microsoft.QLinearConcat": integers.concat,
    "com.microsoft.QLinearConv": integers.conv,
    "com.microsoft.QLinearGlobalAveragePool": integers.of_one(whole_plane("mean.dim")),
    "com.microsoft.QLinearLeakyRelu": integers.of_one(leaky_relu),
    "com.microsoft.QLinearMul": integers.of_two("mul.Tensor"),
    "com.microsoft.QLinearSigmoid": integers.of_one(plain("sigmoid")),
    "QLinearConv": integers.conv,
}
