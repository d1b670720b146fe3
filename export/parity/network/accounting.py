"""Which entries of a network's state are compared with a file: none may be left out in silence."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Final

from export.deploy.batch_norm_folding import folded_network
from export.deploy.layer_order import ATTRIBUTES, called_modules, kind_of
from pipeline.compress.activation_quantization import rounded_places
from pipeline.errors import BadInput

if TYPE_CHECKING:
    from export.parity.reference import Reference

COUNTER: Final = "num_batches_tracked"  # of training; nothing is computed from it
PREFIX: Final = "network."  # of the network's entries in the deploy graph


def not_in_layers(reference: Reference) -> list[str]:
    """Entries of the network's state that no convolution, linear layer or batch norm holds.

    Where only layers are compared, nothing compares these. What nothing uses is left out, as are
    the scales of rounded activations, which are compared by themselves.
    """
    network = folded_network(reference.graph.pixels.network)
    held = {
        f"{name}.{attribute}".lstrip(".")
        for name, module in called_modules(network, reference.spec.side)
        for attribute in ATTRIBUTES[kind_of(module)].values()
    }
    places = [place for _, place in rounded_places(network)]
    of_places = {name for name, module in network.named_children() if module in places}
    left = [
        name
        for name, tensor in network.state_dict().items()
        if tensor.is_floating_point()
        and name not in held
        and name.partition(".")[0] not in of_places
        and not name.endswith(COUNTER)
    ]
    unused = _unused(reference) if left else set()
    return [name for name in left if name not in unused]


def _unused(reference: Reference) -> set[str]:
    """Entries that no operation uses; none are known if the network cannot be captured."""
    with suppress(BadInput):
        return {name.removeprefix(PREFIX) for name in reference.program.unused}
    return set()
