"""The operations of a program, in torch: float32 in, float32 out; rounding to fp16 is the caller's.

In: the type of an operation and its arguments (tensors, numpy constants, strings). Out: a tensor.
Definitions: coremltools 9.0, converters/mil/mil/ops/defs. Covers the five topologies.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import torch
import torch.nn.functional as F
from torch import Tensor

from export.errors import Unreadable

Arguments = Mapping[str, Any]


def operate(operation: str, arguments: Arguments) -> Tensor:
    """The output of one operation.

    Raises:
        Unreadable: unknown operation, a missing argument, or shapes that do not fit.
    """
    if operation not in OPERATIONS:
        raise Unreadable(f"operation {operation} is not supported here")
    try:
        return OPERATIONS[operation](arguments)
    except KeyError as error:
        raise Unreadable(f"{operation} lacks its argument {error}") from error
    except (RuntimeError, ValueError, IndexError) as error:
        raise Unreadable(f"{operation} does not fit together: {error}") from error


def tensor(value: Any) -> Tensor:
    """An argument as a tensor; numpy floats become float32."""
    if isinstance(value, Tensor):
        return value
    made = torch.from_numpy(value.copy() if hasattr(value, "copy") else value)
    return made.to(torch.float32) if made.is_floating_point() else made


def _conv(arguments: Arguments) -> Tensor:
    x, weight = tensor(arguments["x"]), tensor(arguments["weight"])
    bias = tensor(arguments["bias"]) if "bias" in arguments else None
    strides, dilations = _ints(arguments["strides"]), _ints(arguments["dilations"])
    reach = [d * (k - 1) + 1 for d, k in zip(dilations, weight.shape[2:], strict=True)]
    padded = _pad(x, _padding(arguments, x.shape[2:], reach, strides), 0.0)
    groups = int(arguments["groups"])
    return F.conv2d(padded, weight, bias, strides, 0, dilations, groups)


def _max_pool(arguments: Arguments) -> Tensor:
    x, kernel, strides, padding = _pool_arguments(arguments)
    padded = _pad(x, _ceil_padding(arguments, x, kernel, strides, padding), float("-inf"))
    # Torch finds a maximum many times faster in channels-last. The operations after it do not gain,
    # and small convolutions sum in another order there.
    made = F.max_pool2d(padded.contiguous(memory_format=torch.channels_last), kernel, strides)
    return made.contiguous()


def _avg_pool(arguments: Arguments) -> Tensor:
    x, kernel, strides, padding = _pool_arguments(arguments)
    reached = _ceil_padding(arguments, x, kernel, strides, padding)
    area = kernel[0] * kernel[1]
    total = F.avg_pool2d(_pad(x, reached, 0.0), kernel, strides) * area
    # The divisor counts real pixels, and padding unless it is excluded; never the cells that only
    # ceil_mode adds.
    ones = torch.ones(1, 1, *x.shape[2:])
    if not bool(arguments["exclude_padding_from_average"]):
        ones = F.pad(ones, _torch_order(padding), value=1.0)
        reached = [(a - c, b - d) for (a, b), (c, d) in zip(reached, padding, strict=True)]
    counted = F.avg_pool2d(_pad(ones, reached, 0.0), kernel, strides) * area
    return total / counted


def _pool_arguments(
    arguments: Arguments,
) -> tuple[Tensor, list[int], list[int], list[tuple[int, int]]]:
    x = tensor(arguments["x"])
    kernel, strides = _ints(arguments["kernel_sizes"]), _ints(arguments["strides"])
    return x, kernel, strides, _padding(arguments, x.shape[2:], kernel, strides)


def _padding(
    arguments: Arguments, sizes: Sequence[int], reach: Sequence[int], strides: Sequence[int]
) -> list[tuple[int, int]]:
    """Padding before and after each axis, from `pad_type`."""
    kind = arguments["pad_type"]
    if kind == "valid":
        return [(0, 0) for _ in sizes]
    if kind == "custom":
        flat = _ints(arguments["pad"])
        return list(zip(flat[::2], flat[1::2], strict=True))
    if kind not in ("same", "same_lower"):
        raise ValueError(f"pad_type {kind}")
    pairs = []
    for size, span, stride in zip(sizes, reach, strides, strict=True):
        both = max(0, (-(-size // stride) - 1) * stride + span - size)
        less, more = both // 2, both - both // 2
        pairs.append((less, more) if kind == "same" else (more, less))
    return pairs


def _ceil_padding(
    arguments: Arguments,
    x: Tensor,
    kernel: Sequence[int],
    strides: Sequence[int],
    padding: Sequence[tuple[int, int]],
) -> list[tuple[int, int]]:
    """`padding`, plus what `ceil_mode` adds at the end to include a last, partial window.

    A window that would start beyond the input and its leading padding is omitted, as in PyTorch.
    """
    if not bool(arguments["ceil_mode"]):
        return list(padding)
    pairs = []
    for size, span, stride, (before, after) in zip(
        x.shape[2:], kernel, strides, padding, strict=True
    ):
        windows = -(-(size + before + after - span) // stride) + 1
        if (windows - 1) * stride >= size + before:
            windows -= 1
        pairs.append((before, max(after, (windows - 1) * stride + span - size - before)))
    return pairs


def _pad(x: Tensor, padding: Sequence[tuple[int, int]], value: float) -> Tensor:
    return x if not any(map(any, padding)) else F.pad(x, _torch_order(padding), value=value)


def _torch_order(padding: Sequence[tuple[int, int]]) -> list[int]:
    """Torch expects the last axis first."""
    return [n for pair in reversed(list(padding)) for n in pair]


def _concat(arguments: Arguments) -> Tensor:
    if bool(arguments.get("interleave", False)):
        raise ValueError("interleave is not supported here")
    return torch.cat([tensor(v) for v in arguments["values"]], dim=int(arguments["axis"]))


def _batch_norm(arguments: Arguments) -> Tensor:
    mean, variance = tensor(arguments["mean"]), tensor(arguments["variance"])
    gamma = tensor(arguments["gamma"]) if "gamma" in arguments else None
    beta = tensor(arguments["beta"]) if "beta" in arguments else None
    return F.batch_norm(
        tensor(arguments["x"]), mean, variance, gamma, beta, eps=float(arguments["epsilon"])
    )


def _linear(arguments: Arguments) -> Tensor:
    bias = tensor(arguments["bias"]) if "bias" in arguments else None
    return F.linear(tensor(arguments["x"]), tensor(arguments["weight"]), bias)


def _reduced(arguments: Arguments) -> tuple[Tensor, list[int], bool]:
    """Arguments of a reduction: its input, its axes, whether they stay with size 1."""
    x = tensor(arguments["x"])
    axes = _ints(arguments["axes"]) if "axes" in arguments else list(range(x.ndim))
    return x, axes, bool(arguments["keep_dims"])


def _cast(arguments: Arguments) -> Tensor:
    kind = arguments["dtype"]
    if kind not in ("fp16", "fp32"):
        raise ValueError(f"dtype {kind}")
    return tensor(arguments["x"])  # the declared output type rounds


def _ints(values: Any) -> list[int]:
    return [int(v) for v in values]


OPERATIONS: Final[Mapping[str, Callable[[Arguments], Tensor]]] = {
    "add": lambda a: tensor(a["x"]) + tensor(a["y"]),
    "avg_pool": _avg_pool,
    "batch_norm": _batch_norm,
    "cast": _cast,
    "concat": _concat,
    "conv": _conv,
    "linear": _linear,
    "max_pool": _max_pool,
    "mul": lambda a: tensor(a["x"]) * tensor(a["y"]),
    "real_div": lambda a: tensor(a["x"]) / tensor(a["y"]),
    "reduce_max": lambda a: torch.amax(*_reduced(a)),
    "reduce_mean": lambda a: torch.mean(*_reduced(a)),
    "relu": lambda a: torch.relu(tensor(a["x"])),
    "reshape": lambda a: tensor(a["x"]).reshape(_ints(a["shape"])),
    "softmax": lambda a: torch.softmax(tensor(a["x"]), dim=int(a["axis"])),
    "sub": lambda a: tensor(a["x"]) - tensor(a["y"]),
}
