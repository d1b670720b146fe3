"""Operation -> the rules by which it is written in one way: see `spelling`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from pipeline.program.expressions import arithmetic_spellings as arithmetic
from pipeline.program.expressions import rounding_spellings as rounding
from pipeline.program.expressions import shape_spellings as shape
from pipeline.program.expressions.spelling import Spelling
from pipeline.program.operations import ROUND

# fmt: off
NUMBER_BY_NUMBER: Final = (
    "abs", "add.Tensor", "clamp", "div.Tensor", "elu", "erf", "exp", "gelu", "hardsigmoid",
    "hardswish", "hardtanh", "leaky_relu", "maximum", "minimum", "mish", "mul.Tensor", "neg",
    "pow.Tensor_Scalar", "relu", "rsqrt", "sigmoid", "silu", "softplus", "sqrt", "sub.Tensor",
    "tanh",
)
# fmt: on
FORMS: Final[Mapping[str, tuple[Spelling, ...]]] = {
    "reshape": (shape.keeping, shape.reshaped),
    "expand": (shape.keeping, shape.stretched),
    "slice.Tensor": (shape.keeping, shape.along_permuted),
    "permute": (shape.permuted,),
    "select.int": (shape.selected,),
    "cat": (shape.joined,),
    "constant_pad_nd": (shape.unpadded,),
    "add.Tensor": (arithmetic.neutral, arithmetic.with_bias),
    "sub.Tensor": (arithmetic.neutral,),
    "mul.Tensor": (
        arithmetic.neutral,
        arithmetic.scaled,
        arithmetic.gated,
        arithmetic.gelu,
    ),
    "div.Tensor": (arithmetic.neutral, arithmetic.gelu),
    "matmul": (arithmetic.factors_last, arithmetic.layer),
    "linear": (arithmetic.of_rows,),
    "conv2d": (arithmetic.padded,),
    "max_pool2d": (arithmetic.whole_plane, arithmetic.whole_windows, arithmetic.padded),
    "avg_pool2d": (arithmetic.whole_plane, arithmetic.whole_windows, arithmetic.padded),
    "mean.dim": (arithmetic.kept, arithmetic.of_one, shape.over_permuted),
    "sum.dim_IntList": (arithmetic.kept, arithmetic.of_one, shape.over_permuted),
    "amax": (arithmetic.kept, arithmetic.of_one, shape.over_permuted),
    "linalg_vector_norm": (arithmetic.kept, shape.over_permuted),
    "softmax.int": (shape.along_permuted,),
    "clamp": (arithmetic.not_negative,),
    ROUND: (rounding.rounded,),
}
SPELLINGS: Final[Mapping[str, tuple[Spelling, ...]]] = {
    **FORMS,
    **{
        name: (*FORMS.get(name, ()), shape.of_reshaped, shape.of_permuted)
        for name in NUMBER_BY_NUMBER
    },
}
