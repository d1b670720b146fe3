"""GPTQ: round weights to a grid, layer by layer, so that each layer's outputs change least.

In: a network, normalised images, the number of levels for each weight. Out: the grids; the network
has their weights. Columns of a weight are rounded one after the other; those not yet rounded
compensate for the error of each, according to the second moments of the layer's inputs (Frantar et
al., GPTQ, arXiv:2210.17323, after Hassibi & Stork, NeurIPS 1992). The inputs come from the layers
before as already rounded, so that later layers correct the losses of earlier ones.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Final

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.modules.conv import _ConvNd

from pipeline.errors import BadInput
from pipeline.quantization_grid import Grid, short_scale

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

LAYERS: Final = (nn.Conv2d, nn.Linear)
POSITIONS: Final = 500  # of a feature map, per batch: enough for the moments of its columns
BLOCK: Final = 128  # columns whose errors reach the columns after them together
DAMPING: Final = 0.01  # share of the mean moment on the diagonal, as in the paper
# Scales tried: as shares of the one that cuts nothing, then of the best of those; largest first.
COARSE: Final = 2.0 ** -np.arange(0, 12, 0.5)
FINE: Final = np.geomspace(1.4, 0.72, 40)
SLACK: Final = 0.1


def weighted_layers(network: nn.Module) -> list[str]:
    """Names of the layers whose weights can be on a grid, in the network's order of definition.

    Raises:
        BadInput: it has a convolution of another kind, or no such layer.
    """
    for name, module in network.named_modules():
        if isinstance(module, _ConvNd) and not isinstance(module, nn.Conv2d):
            raise BadInput(f"{name} is a {type(module).__name__}, which cannot be compressed yet")
    names = [name for name, module in network.named_modules() if isinstance(module, LAYERS)]
    if not names:
        raise BadInput("the network has no convolution and no linear layer to compress")
    return names


def round_network(
    network: nn.Module, batches: Sequence[Tensor], levels: Mapping[str, int], seed: int
) -> dict[str, Grid]:
    """Round `network` in place; return the grids by weight name.

    Biases, and whatever else has no grid, are rounded to fp16, which every format can store. The
    weight of a layer that the network never calls stays as it is.

    Args:
        network: in evaluation mode, its batch norms folded; its layers are called in their order of
            definition, or the inputs of some come from layers that are not rounded yet.
        batches: float32 (N, 3, H, W), normalised; a few hundred images in all.
        levels: largest code for each layer's weight, by layer name.
        seed: of the sampled positions.
    """
    generator = torch.Generator().manual_seed(seed)
    round_others(network, {f"{name}.weight" for name in levels})
    grids = {}
    for name, most in levels.items():
        layer = network.get_submodule(name)
        assert isinstance(layer, LAYERS)
        moments = _moments(network, {name: layer}, batches, generator, until=layer)
        if name not in moments:
            continue
        grid = round_weight(layer.weight.detach().numpy(), moments[name], most)
        grids[f"{name}.weight"] = grid
        with torch.no_grad():
            layer.weight.copy_(torch.from_numpy(grid.weights()))
    return grids


def round_others(network: nn.Module, grids: Collection[str]) -> None:
    """Round parameters that are on none of these grids to fp16, in place."""
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if name not in grids:
                parameter.copy_(parameter.half().float())


def input_moments(
    network: nn.Module, names: Sequence[str], batches: Sequence[Tensor], seed: int
) -> dict[str, NDArray[np.float64]]:
    """Second moments of each layer's inputs.

    (D, D), D being the columns of its weight; (G, D, D) of a convolution with G groups.
    """
    generator = torch.Generator().manual_seed(seed)
    layers = {name: network.get_submodule(name) for name in names}
    return _moments(network, layers, batches, generator, until=None)


class _Seen(Exception):
    """The layer's input was recorded; the rest of the network need not run."""


def _moments(
    network: nn.Module,
    layers: Mapping[str, nn.Module],
    batches: Sequence[Tensor],
    generator: torch.Generator,
    until: nn.Module | None,
) -> dict[str, NDArray[np.float64]]:
    """For all `layers` in one pass, which ends at the layer `until`."""
    total: dict[str, Tensor] = {}

    def look(name: str, layer: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        columns = _columns(layer, inputs[0], generator).double()
        moments = columns @ columns.mT / columns.shape[-1]
        total[name] = total[name] + moments if name in total else moments
        if layer is until:
            raise _Seen

    hooks = [
        layer.register_forward_pre_hook(lambda layer, inputs, name=name: look(name, layer, inputs))
        for name, layer in layers.items()
    ]
    try:
        with torch.inference_mode():
            for pixels in batches:
                try:
                    network(pixels)
                except _Seen:
                    continue
    finally:
        for hook in hooks:
            hook.remove()
    return {name: moments.numpy() for name, moments in total.items()}


def _columns(layer: nn.Module, inputs: Tensor, generator: torch.Generator) -> Tensor:
    """What the weight's columns are multiplied by: (D, positions), or (G, D, positions)."""
    if isinstance(layer, nn.Linear):
        rows = inputs.reshape(-1, inputs.shape[-1])
        if len(rows) > (most := POSITIONS * len(inputs)):
            rows = rows[torch.randperm(len(rows), generator=generator)[:most]]
        return rows.T
    assert isinstance(layer, nn.Conv2d)
    padding: int | tuple[int, ...] = 0 if isinstance(layer.padding, str) else layer.padding
    if type(layer).forward is not nn.Conv2d.forward:  # timm's, with zeros by the size of the input
        extents = zip(layer.kernel_size, layer.dilation, strict=True)
        padding = tuple((kernel - 1) * dilation // 2 for kernel, dilation in extents)
    patches = F.unfold(inputs, layer.kernel_size, layer.dilation, padding, layer.stride)
    chosen = torch.randperm(patches.shape[2], generator=generator)[:POSITIONS]
    columns = patches[:, :, chosen].transpose(0, 1).reshape(patches.shape[1], -1)
    # A group's channels come one after the other.
    if layer.groups == 1:
        return columns
    return columns.reshape(layer.groups, -1, columns.shape[1])


def round_weight(weight: NDArray[np.float32], moments: NDArray[np.float64], levels: int) -> Grid:
    """The grid of one weight (O, ...), given the second moments of its inputs.

    (D, D), or (G, D, D) for G groups of outputs, each with inputs of its own.
    """
    moments = moments.reshape(-1, *moments.shape[-2:])
    groups, columns = moments.shape[:2]
    rows = weight.reshape(len(weight), -1).astype(np.float64)
    importance = np.diagonal(moments, axis1=1, axis2=2).copy()  # (G, D)
    importance[~(importance > 0).any(axis=1)] = 1
    of_row = importance[0] if groups == 1 else importance.repeat(len(rows) // groups, axis=0)
    scale = best_scale(rows, of_row, levels)
    damping = np.array([DAMPING * each[each > 0].mean() for each in importance])
    moments = moments + np.eye(columns) * damping[:, None, None]
    order = np.argsort(-importance, axis=1, kind="stable")  # the most important column first
    rows = np.take_along_axis(rows.reshape(groups, -1, columns), order[:, None], axis=2)
    moments = np.take_along_axis(moments, order[:, :, None], axis=1)
    moments = np.take_along_axis(moments, order[:, None], axis=2)
    factor = _inverse_factor(moments)
    steps = scale.astype(np.float64).reshape(groups, -1)
    codes = np.zeros_like(rows)
    for start in range(0, columns, BLOCK):
        stop = min(start + BLOCK, columns)
        errors = np.empty((groups, rows.shape[1], stop - start))
        for i in range(start, stop):
            codes[:, :, i] = np.clip(np.round(rows[:, :, i] / steps), -levels, levels)
            errors[:, :, i - start] = error = (rows[:, :, i] - codes[:, :, i] * steps) / factor[
                :, i, i, None
            ]
            rows[:, :, i + 1 : stop] -= error[:, :, None] * factor[:, i, None, i + 1 : stop]
        rows[:, :, stop:] -= errors @ factor[:, start:stop, stop:]
    unordered = np.take_along_axis(codes, np.argsort(order, axis=1)[:, None], axis=2)
    return Grid(unordered.reshape(weight.shape).astype(np.int8), scale, levels)


def _inverse_factor(moments: NDArray[np.float64]) -> NDArray[np.float64]:
    """Upper triangular: the inverse of `moments` is factor.T @ factor; each (G, D, D).

    With the last column first a Cholesky factor is upper triangular, and so is its inverse: no
    whole inverse is needed, which takes three times as long.
    """
    upper = np.linalg.cholesky(moments[:, ::-1, ::-1])[:, ::-1, ::-1]
    columns = torch.eye(moments.shape[-1], dtype=torch.float64)
    solved = torch.linalg.solve_triangular(torch.from_numpy(upper.copy()), columns, upper=True)
    return np.asarray(solved.numpy())


def best_scale(
    rows: NDArray[np.float64], importance: NDArray[np.float64], levels: int
) -> NDArray[np.float32]:
    """For each row the scale with the least squared error, columns weighted by importance.

    Columns of no importance, which no image uses, have whatever weights training left there; they
    may be cut. Of the scales that cost the others at most `SLACK` more than the best one does, they
    get the one that suits them: other images may use them.

    Args:
        rows: (O, D).
        importance: (D,), mean square of each column's inputs; (O, D) if rows have others.
        levels: largest code.
    """
    unused = importance <= 0

    def errors(scale: NDArray[np.float32]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Of used and of unused columns, each (O,)."""
        steps = scale.astype(np.float64)[:, None]
        squares = (np.clip(np.round(rows / steps), -levels, levels) * steps - rows) ** 2
        if importance.ndim == 2:
            return (squares * importance).sum(axis=1), (squares * unused).sum(axis=1)
        return squares @ importance, squares @ unused

    widest, each = np.abs(rows).max(axis=1) / levels, np.arange(len(rows))
    coarse = [short_scale(widest * share) for share in COARSE]
    start = np.stack(coarse)[np.argmin([errors(scale)[0] for scale in coarse], axis=0), each]
    tried = np.stack([short_scale(np.minimum(start * share, widest)) for share in FINE])
    seen, unseen = (np.stack(part) for part in zip(*map(errors, tried), strict=True))
    best = seen.argmin(axis=0)
    # With this share of the unused columns' error added, the least sum is at most 1 + SLACK times
    # the least error of the used ones; so the used ones' part of it is too.
    spare, cost = SLACK * seen[best, each], unseen[best, each]
    share = np.divide(spare, cost, out=np.zeros_like(cost), where=cost > 0)
    chosen: NDArray[np.float32] = tried[(seen + share * unseen).argmin(axis=0), each]
    return chosen
