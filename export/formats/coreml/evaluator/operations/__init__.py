"""The operations of a program, in torch: float32 in, float32 out; rounding to fp16 is the caller's.

In: the type of an operation and its arguments (tensors, numpy constants, strings). Out: a tensor,
or a tuple of them. A file holds a family; each operation is an entry of its table.
Definitions: coremltools 9.0, converters/mil/mil/ops/defs. Covers the classifiers of torchvision
and timm that are made for phones, and the common attention.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from torch import Tensor

from export.errors import CannotRunHere, Unreadable
from export.formats.coreml.evaluator.operations.activations import ACTIVATIONS
from export.formats.coreml.evaluator.operations.arguments import Arguments
from export.formats.coreml.evaluator.operations.arithmetic import ARITHMETIC
from export.formats.coreml.evaluator.operations.normalisations import NORMALISATIONS
from export.formats.coreml.evaluator.operations.pools import POOLS
from export.formats.coreml.evaluator.operations.products import PRODUCTS
from export.formats.coreml.evaluator.operations.reductions import REDUCTIONS
from export.formats.coreml.evaluator.operations.shapes import SHAPES

OPERATIONS: Final[Mapping[str, Callable[[Arguments], Tensor | tuple[Tensor, ...]]]] = {
    **ACTIVATIONS,
    **ARITHMETIC,
    **NORMALISATIONS,
    **POOLS,
    **PRODUCTS,
    **REDUCTIONS,
    **SHAPES,
}
# Each number of the output is one of the inputs, or 0: what was fp16 needs no rounding.
SELECTING: Final = {
    "concat",
    "expand_dims",
    "gather",
    "max_pool",
    "reduce_max",
    "relu",
    "reshape",
    "slice_by_index",
    "slice_by_size",
    "split",
    "squeeze",
    "thresholded_relu",
    "transpose",
}


def operate(operation: str, arguments: Arguments) -> Tensor | tuple[Tensor, ...]:
    """The output of one operation, or its outputs in order.

    Raises:
        CannotRunHere: the operation is not in the table.
        Unreadable: a missing argument, or shapes that do not fit.
    """
    if operation not in OPERATIONS:
        raise CannotRunHere(f"operation {operation} is not in the evaluator's table")
    try:
        return OPERATIONS[operation](arguments)
    except KeyError as error:
        raise Unreadable(f"{operation} lacks its argument {error}") from error
    except (RuntimeError, ValueError, IndexError) as error:
        raise Unreadable(f"{operation} does not fit together: {error}") from error
