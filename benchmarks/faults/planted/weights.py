"""Faults of weights: the right operations with a wrong number somewhere.

The file holds the checkpoint's weights; the checkpoint that it is compared with has different ones.
A test also plants some the other way round: the check must find the difference, whichever is wrong.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks.faults.bench import Artifact, Bench, Edit, replaced_network, with_graph
from benchmarks.faults.fault import DoesNotApply, Fault, Pair, precisions
from benchmarks.faults.planted import places
from export.parity.quality_gate import FULL
from export.parity.reference import Reference
from pipeline.quantization_grid import Grid, short_scale

ANOTHER: Final = "cd" * 32  # identity of another checkpoint


@dataclass(frozen=True)
class Mismatched:
    """Plants the clean file, and a checkpoint that it was not made from."""

    edit: Edit

    def __call__(self, bench: Bench, artifact: Artifact, folder: Path) -> Pair:
        wrong = bench.wrong(self.edit, artifact)  # before anything is converted: it may not apply
        return Pair(bench.clean(artifact), wrong)


def in_weights(change: Callable[[nn.Module], None]) -> Edit:
    """Change weights in place."""

    def changed(network: nn.Module) -> nn.Module:
        before = [tensor.clone() for tensor in network.state_dict().values()]
        epsilons = [norm.eps for norm in places.all_of(network, nn.BatchNorm2d)]
        change(network)
        after = network.state_dict().values()
        same = all(torch.equal(a, b) for a, b in zip(before, after, strict=True))
        if same and epsilons == [norm.eps for norm in places.all_of(network, nn.BatchNorm2d)]:
            raise DoesNotApply("every weight stays as it is")
        return network

    return replaced_network(changed)


def swap(one: Tensor, two: Tensor) -> None:
    kept = one.clone()
    one.copy_(two)
    two.copy_(kept)


def swap_biases(network: nn.Module) -> None:
    swap(*places.first_two_of_one_shape(places.biases(network)))


def swap_layers(network: nn.Module) -> None:
    """Same places, same shapes: only the order of the weights is wrong."""
    swap(*places.first_two_of_one_shape(layer.weight for layer in places.layers(network)))


def scale_layer(network: nn.Module) -> None:
    places.middle_layer(network).weight *= 1.01


def zero_channel(network: nn.Module) -> None:
    layer = places.middle_layer(network)
    layer.weight[1] = 0
    if layer.bias is not None:
        layer.bias[1] = 0


def drop_bias(network: nn.Module) -> None:
    places.biases(network)[0].zero_()


def transpose_kernel(network: nn.Module) -> None:
    weight = places.first_kernel(network)
    weight.copy_(weight.transpose(2, 3).clone())


def flip_first_channels(network: nn.Module) -> None:
    weight = places.first_kernel(network)
    weight.copy_(weight.flip(1))


def swap_output_rows(network: nn.Module) -> None:
    for tensor in places.last_layer(network).parameters():
        tensor.copy_(tensor.flip(0))


def add_to_one_weight(network: nn.Module) -> None:
    """By enough to show in the outputs."""
    places.first_kernel(network)[-1, 1, 1, 1] += 0.5


def add_little_to_one_weight(network: nn.Module) -> None:
    places.first_kernel(network)[-1, 1, 1, 1] *= 1.001


def round_to_8_bits(network: nn.Module) -> None:
    for layer in places.layers(network):
        step = layer.weight.abs().max() / 127
        layer.weight.copy_((layer.weight / step).round() * step)


def round_to_half(network: nn.Module) -> None:
    for tensor in network.parameters():
        tensor.copy_(tensor.half().float())


def move_mean(network: nn.Module) -> None:
    norms = places.batch_norms(network)
    mean = norms[len(norms) // 2].running_mean
    assert mean is not None
    mean[1] += 0.01


def change_epsilon(network: nn.Module) -> None:
    places.batch_norms(network)[-1].eps = 1e-3  # another framework's default


def enlarge_variance(network: nn.Module) -> None:
    variance = places.batch_norms(network)[0].running_var
    assert variance is not None
    variance[0] *= 1.1


def swap_depthwise_channels(network: nn.Module) -> None:
    weight = places.depthwise_kernel(network)
    weight[:2] = weight[:2].flip(0).clone()


def scale_free_parameter(network: nn.Module) -> None:
    places.free_parameter(network).mul_(1.01)


def scale_dense_weight(network: nn.Module) -> None:
    places.dense_layer(network).weight[-1, 1] *= 1.01


def exchange_pools(network: nn.Module) -> None:
    """The columns for the maxima read the averages, and vice versa."""
    weight = places.dense_layer(network).weight
    weight.copy_(weight.roll(weight.shape[1] // 2, dims=1))


def reverse_all_rows(network: nn.Module) -> None:
    """Like another training: the same shapes and sizes, every tensor different."""
    for tensor in network.parameters():
        tensor.copy_(tensor.flip(0))


another_training: Final = in_weights(reverse_all_rows)


def another_checkpoint(reference: Reference) -> Reference:
    """Other weights, under another identity."""
    return replace(another_training(reference), checkpoint_sha256=ANOTHER)


# --- weights on grids -------------------------------------------------------------------------


def on_grid(change: Callable[[Grid], Grid]) -> Edit:
    """Change the grid of the first weight with the fewest levels, and that weight."""

    def edit(reference: Reference) -> Reference:
        grids = reference.graph.grids
        if not grids:
            raise DoesNotApply("its weights lie on no grid")
        name = min(grids, key=lambda key: (grids[key].levels, key))
        old, new = grids[name].weights(), change(grids[name])

        def give(network: nn.Module) -> None:
            held = [x for x in places.layers(network) if tuple(x.weight.shape) == old.shape]
            layer = next(x for x in held if np.array_equal(x.weight.numpy(), old))
            layer.weight.copy_(torch.from_numpy(new.weights()))

        changed = in_weights(give)(reference).graph
        changed.grids = {**grids, name: new}
        return with_graph(reference, changed)

    return edit


def move_code(grid: Grid) -> Grid:
    codes = grid.codes.copy()
    rows = codes.reshape(len(codes), -1)
    rows[1, 1] += -1 if rows[1, 1] > 0 else 1
    return replace(grid, codes=codes)


def move_scale(grid: Grid) -> Grid:
    """By the last bit of a scale."""
    scale = grid.scale.copy()
    while scale[1] == grid.scale[1]:
        scale[1] = short_scale(scale[1:2] * np.float32(1 + 2**-8 + 2**-12))[0]
    return replace(grid, scale=scale)


CHANGES: Final[Mapping[str, Callable[[nn.Module], None]]] = {
    "biases of two layers of one shape swapped": swap_biases,
    "two layers of one shape swapped": swap_layers,
    "one layer times 1.01": scale_layer,
    "one channel zeroed": zero_channel,
    "one bias dropped": drop_bias,
    "the first kernel transposed": transpose_kernel,
    "channels swapped in the weights": flip_first_channels,
    "outputs swapped in the weights": swap_output_rows,
    "one weight larger by a half": add_to_one_weight,
    "one weight a thousandth larger": add_little_to_one_weight,
    "weights rounded to 8 bits": round_to_8_bits,
    "mean of a batch norm moved": move_mean,
    "epsilon of a batch norm of another framework": change_epsilon,
    "variance of a batch norm a tenth larger": enlarge_variance,
    "two channels of a depthwise convolution swapped": swap_depthwise_channels,
    "one weight of a dense layer a hundredth larger": scale_dense_weight,
    "dense layer reads maxima and averages for each other": exchange_pools,
}
ONE_VALUE: Final = r"1 of \d+ values are not the checkpoint's"
# A bias of zeros is none.
WRONG: Final = (
    "are not the checkpoint's|the checkpoint has no such|"
    "lacks its bias|with a bias that does not belong there"
)
SAYS: Final = {
    "one weight larger by a half": ONE_VALUE,
    "one weight a thousandth larger": ONE_VALUE,
    "one weight of a dense layer a hundredth larger": ONE_VALUE,
}
FAULTS: Final = (
    *(
        Fault(name, Mismatched(in_weights(change)), ("weights",), says=SAYS.get(name, WRONG))
        for name, change in CHANGES.items()
    ),
    Fault(
        "a parameter outside of all layers a hundredth larger",
        Mismatched(in_weights(scale_free_parameter)),
        where=precisions("rounding may change outputs as much", FULL),
    ),
    Fault(
        "weights rounded to fp16",
        Mismatched(in_weights(round_to_half)),
        ("weights",),
        precisions("its weights are rounded to that or less", FULL),
        WRONG,
    ),
    Fault("one code off by one", Mismatched(on_grid(move_code)), ("weights",), says=ONE_VALUE),
    Fault(
        "scale of one channel off by its last bit",
        Mismatched(on_grid(move_scale)),
        ("weights",),
        says=r"values are not the checkpoint's, first at \[1, ",
    ),
    Fault(
        "file of another checkpoint",
        Mismatched(another_checkpoint),
        ("contract", "weights"),
        says="checkpoint_sha256 in the file",
    ),
    Fault(
        "weights of another checkpoint under this identity",
        Mismatched(another_training),
        ("outputs", "weights"),
        says=WRONG,
    ),
)
