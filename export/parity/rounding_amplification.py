"""Is it the file or the network? How far PyTorch's own outputs move with the file's weights.

In: a file's weighted layers, and the images on which the file is furthest from PyTorch. Out: how
far PyTorch's outputs for the same images move when these layers replace its own. A rounded weight
or a folded batch norm changes only the last bits; a deep network with little training can amplify
that a thousandfold, and then no converter comes closer.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from export.deploy.batch_norm_folding import with_network
from export.deploy.graph import reference_answers
from export.deploy.layer_order import network_holding
from export.deploy.outputs import evidence_diff

if TYPE_CHECKING:
    from collections.abc import Sequence

    from export.deploy.layers import Layer
    from export.parity.reference import Reference


@dataclass(frozen=True)
class RoundingAmplification:
    """PyTorch with the file's weights compared with PyTorch with the checkpoint's.

    Attributes:
        max_abs_diff: largest difference of any probability.
        max_rel_diff: of evidence, as `export.deploy.outputs.evidence_diff` defines it; 0 if there
            is none.
    """

    max_abs_diff: float
    max_rel_diff: float

    def sentence(self) -> str:
        """An explanation to append to a failure."""
        evidence = f" and evidence {self.max_rel_diff:.1e}" if self.max_rel_diff else ""
        return (
            "PyTorch itself, with the weights of this file, moves there by "
            f"|Δp| {self.max_abs_diff:.1e}{evidence}: the network amplifies rounding, the file "
            "does not; longer training, or training from pretrained weights, reduces it"
        )


def rounding_amplification(
    layers: Sequence[Layer], reference: Reference, names: Sequence[str]
) -> RoundingAmplification:
    """Run PyTorch with a file's weights on some of the reference images.

    Args:
        layers: as read from the file.
        reference: the checkpoint, run.
        names: of the images.

    Raises:
        Unreadable: the layers are not those of the network.
    """
    rows = [reference.images.names.index(name) for name in dict.fromkeys(names)]
    network = network_holding(reference.graph.pixels.network, layers, reference.spec.side)
    found = reference_answers(with_network(reference.graph, network), reference.images.pixels[rows])
    probs_diff = float(np.abs(found.probs - reference.probs[rows]).max())
    evidence, expected = found.evidence, reference.answers.evidence
    if evidence is None or expected is None:
        return RoundingAmplification(probs_diff, 0.0)
    return RoundingAmplification(probs_diff, float(evidence_diff(evidence, expected[rows]).max()))
