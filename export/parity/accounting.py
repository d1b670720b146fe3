"""Which entries of a network's state are compared with a file: none may be left out in silence."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from export.deploy.batch_norm_folding import folded_network
from export.deploy.layer_order import ATTRIBUTES, called_modules, kind_of
from pipeline.compress.activation_quantization import PLACE
from pipeline.errors import BadInput

if TYPE_CHECKING:
    from export.parity.reference import Reference

COUNTER: Final = "num_batches_tracked"  # of training; nothing is computed from it
PREFIX: Final = "network."  # of the network's entries in the deploy graph


def not_in_layers(reference: Reference) -> list[str]:
    """Entries of the network's state that no convolution, linear layer or batch norm holds.

    Where only layers are compared, nothing compares these. A layer that is called by no module's
    call, in a network of plain operations, is no layer here. Those that nothing uses are left out,
    as are the scales of rounded activations, which are compared by themselves.
    """
    network = folded_network(reference.graph.pixels.network)
    held = {
        f"{name}.{attribute}"
        for name, module in called_modules(network, reference.spec.side)
        for attribute in ATTRIBUTES[kind_of(module)].values()
    }
    try:
        program = reference.program
    except BadInput:
        program = None
    unused = {name.removeprefix(PREFIX) for name in program.unused} if program else set()
    return [
        name
        for name, tensor in network.state_dict().items()
        if tensor.is_floating_point()
        and name not in held | unused
        and not name.startswith(PLACE)
        and not name.endswith(COUNTER)
    ]
