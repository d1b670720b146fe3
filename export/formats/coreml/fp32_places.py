"""What is computed in fp32 in a program whose arithmetic is in fp16: its two ends, and little else.

- The normalisation of the pixels: ImageNet's means have no fp16 within 0.03 of a pixel's count,
  which shifts a whole channel.
- The mean and the softmax that give the probabilities: of large logits they cost half the accuracy
  in fp16, and fp32 adds hardly any size (measured: 2.9e-3 and 1.7e-3).

- What has a number that is 0 in fp16, such as the least length that a vector is divided by.

Else chosen by place: the same operations inside a body (squeeze-and-excitation, hard-swish,
attention) are in fp16 like the rest, without a cast before and after each.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np

NORMALISING: Final = ("sub", "mul", "real_div")
ANSWERING: Final = ("cast", "reduce_mean", "reshape", "softmax", "squeeze")


def stays_in_fp32(operation: Any) -> bool:
    """Whether a MIL operation (coremltools' `Operation`) is one of these."""
    return _normalises(operation) or _answers(operation) or _has_a_number_that_vanishes(operation)


def _normalises(operation: Any) -> bool:
    """The pixels by a constant, or what such an operation gives."""
    if operation.op_type not in NORMALISING or operation.y.val is None:
        return False
    before = operation.x.op
    return before is None or _normalises(before)


def _answers(operation: Any) -> bool:
    """Nothing but operations of this kind lies between it and the output."""
    return operation.op_type in ANSWERING and all(map(_answers, operation.outputs[0].child_ops))


def _has_a_number_that_vanishes(operation: Any) -> bool:
    given = (getattr(value, "val", None) for value in operation.inputs.values())
    numbers = (np.asarray(value) for value in given if value is not None)
    return any(
        number.size == 1
        and number.dtype.kind == "f"
        and bool(number != 0)
        and not number.astype(np.float16).any()
        for number in numbers
    )
