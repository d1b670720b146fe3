"""A learner's model as a network of this project: by its name, or kept as a program.

In: the learner's own model, and what it was recognised as. Out: `Adopted`, proven on drawn pictures
and noise. By name comes first: what a library builds has a map of evidence, and a checkpoint that
is weights alone. What is not recognised, has another head, or only looks like what it was
recognised as, is kept as the program that its module runs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipeline.adopt.equivalence import agreement, probe_images, tensors
from pipeline.architecture_names import PROGRAM
from pipeline.errors import BadInput

if TYPE_CHECKING:
    from torch import Tensor, nn

    from pipeline.adopt.equivalence import Equivalence
    from pipeline.adopt.source_model import Original
    from pipeline.json_files import JsonObject
    from pipeline.model_spec import Head


@dataclass(frozen=True)
class Adopted:
    """A network, and how its checkpoint says what it is.

    Attributes:
        architecture: as in `ModelSpec`.
        network: in evaluation mode: float32 (N, 3, H, W) normalised -> logits (N, K).
        weights: of its checkpoint.
        words: its head, for a person.
        head: as in `ModelSpec`.
        program: the document of its program; None: a library builds it by its name.
    """

    architecture: str
    network: nn.Module
    weights: Mapping[str, Tensor]
    words: str
    head: Head | None = None
    program: JsonObject | None = None


def adopted(original: Original) -> tuple[Adopted, Equivalence]:
    """The adopted network, and how it agrees with the learner's model; which may be: it does not.

    Raises:
        BadInput: the model is none that can be served.
    """
    by_name = None
    try:
        by_name = _by_name(original)
    except BadInput as error:
        why_not = str(error)
    if by_name is not None:
        agrees = _agreement(original, by_name.network)
        if agrees.holds or original.learner is None:
            return by_name, agrees
        why_not = f"it only looks like {by_name.architecture}: {agrees}"
    try:
        kept = _as_program(original)
    except BadInput as error:
        raise BadInput(f"{why_not}. Nor can it be kept as a program: {error}") from error
    print(f"kept as a program: {why_not}")
    return kept, _agreement(original, kept.network)


def _agreement(original: Original, network: nn.Module) -> Equivalence:
    drawn = probe_images(original.resize)
    return agreement(original.model, network, lambda: tensors(drawn, original))[0]


def _by_name(original: Original) -> Adopted:
    from pipeline.adopt.fastai_network import adopted_network

    if original.found is None:
        raise BadInput(original.not_found)
    network, head = adopted_network(original.found, original.model, len(original.labels))
    architecture = original.found.architecture
    return Adopted(architecture, network, network.state_dict(), _head_words(network), head)


def _as_program(original: Original) -> Adopted:
    from pipeline.adopt.any_learner.learner_program import learner_program
    from pipeline.models.program_network import program_network
    from pipeline.program.writing import document

    size = original.resize.height, original.resize.width
    program = learner_program(original.model, size, len(original.labels))
    return Adopted(
        PROGRAM + original.called,
        program_network(program),
        program.tensors(),
        f"a program of {len(program.operations())} operations",
        program=document(program),
    )


def _head_words(network: nn.Module) -> str:
    from torch import nn

    dense = [m for m in network.get_submodule("head").children() if isinstance(m, nn.Linear)]
    if not dense:
        return "with this project's own head"
    sizes = " -> ".join(str(n) for n in [dense[0].in_features, *(m.out_features for m in dense)])
    return f"with fastai's head, its batch norms folded: {sizes}"
