"""How operations of torch come down to those of a program: one rule each.

torch has several ways to write one thing: a ``split``, a ``chunk`` and an ``unbind`` are slices, a
``squeeze`` is a reshape, an average to 1x1 is a mean. A rule is given the call's arguments, and
answers what stands for its result: a node, a number, a constant, or a tuple of these. What has no
rule must be one of a program's own operations.
"""

from __future__ import annotations

import operator
from collections.abc import Mapping
from typing import Any, Final

import torch

from pipeline.program import arithmetic_rules as arithmetic
from pipeline.program import shape_rules as shape
from pipeline.program.builder import Builder

aten: Final = torch.ops.aten


def _nothing(*_: Any, **__: Any) -> None:
    """A check that torch makes."""


def _item(_: Builder, results: tuple[Any, ...], place: int) -> Any:
    return results[place]


RULES: Final[Mapping[Any, shape.Rule]] = {
    operator.getitem: _item,
    aten._assert_tensor_metadata.default: _nothing,
    aten._assert_scalar.default: _nothing,
    # Nothing is computed.
    aten.alias.default: shape.same,
    aten.clone.default: shape.same,
    aten.contiguous.default: shape.same,
    aten.detach.default: shape.same,
    aten.lift_fresh_copy.default: shape.same,
    aten._to_copy.default: shape.cast,
    aten.view.default: shape.reshaped_by(torch.reshape),
    aten._unsafe_view.default: shape.reshaped_by(torch.reshape),
    aten.reshape.default: shape.reshaped_by(torch.reshape),
    aten.flatten.using_ints: shape.reshaped_by(torch.flatten),
    aten.squeeze.default: shape.reshaped_by(torch.squeeze),
    aten.squeeze.dim: shape.reshaped_by(torch.squeeze),
    aten.squeeze.dims: shape.reshaped_by(torch.squeeze),
    aten.unsqueeze.default: shape.reshaped_by(torch.unsqueeze),
    aten.permute.default: shape.permuted,
    aten.transpose.int: shape.transposed,
    aten.t.default: shape.transposed,
    aten.slice.Tensor: shape.sliced,
    aten.slice_scatter.default: shape.written_over,
    aten.copy.default: shape.copied,
    aten.split.Tensor: shape.split,
    aten.split_with_sizes.default: shape.split,
    aten.chunk.default: shape.chunked,
    aten.select.int: shape.selected,
    aten.unbind.int: shape.unbound,
    aten.cat.default: shape.joined,
    aten.concat.default: shape.joined,
    aten.stack.default: shape.stacked,
    aten.roll.default: shape.rolled,
    aten.expand.default: shape.expanded,
    aten.pad.default: shape.padded,
    aten.constant_pad_nd.default: shape.padded,
    aten.new_zeros.default: shape.made_like(torch.zeros),
    aten.new_ones.default: shape.made_like(torch.ones),
    aten.new_full.default: shape.made_like(torch.full),
    aten.zeros_like.default: shape.made_like(torch.zeros),
    aten.ones_like.default: shape.made_like(torch.ones),
    aten.full_like.default: shape.made_like(torch.full),
    # Pools and other reductions.
    aten.max_pool2d.default: arithmetic.pooled("max_pool2d"),
    aten.avg_pool2d.default: arithmetic.pooled("avg_pool2d"),
    aten.adaptive_avg_pool2d.default: arithmetic.average_to,
    aten.adaptive_max_pool2d.default: arithmetic.largest_to,
    aten.mean.default: arithmetic.over_axes("mean.dim"),
    aten.mean.dim: arithmetic.over_axes("mean.dim"),
    aten.sum.dim_IntList: arithmetic.over_axes("sum.dim_IntList"),
    aten.amax.default: arithmetic.over_axes("amax"),
    aten.linalg_vector_norm.default: arithmetic.norm,
    aten.softmax.int: arithmetic.softmax,
    # Layers.
    aten._native_batch_norm_legit_no_training.default: arithmetic.batch_norm,
    aten.addmm.default: arithmetic.matrix_product_plus,
    aten.baddbmm.default: arithmetic.matrix_product_plus,
    aten.mm.default: arithmetic.matrix_product,
    aten.bmm.default: arithmetic.matrix_product,
    aten.scaled_dot_product_attention.default: arithmetic.attention,
    # Number by number.
    aten.add.Tensor: arithmetic.weighted("add.Tensor"),
    aten.add.Scalar: arithmetic.weighted("add.Tensor"),
    aten.sub.Tensor: arithmetic.weighted("sub.Tensor"),
    aten.sub.Scalar: arithmetic.weighted("sub.Tensor"),
    aten.rsub.Scalar: arithmetic.taken_from,
    aten.mul.Scalar: arithmetic.weighted("mul.Tensor"),
    aten.div.Scalar: arithmetic.weighted("div.Tensor"),
    aten.clamp.default: arithmetic.clamped,
    aten.clamp_min.default: arithmetic.at_least,
    aten.clamp_max.default: arithmetic.at_most,
}
