"""A model for image classification becomes a network of this project.

In: the state of a model (names and tensors) or the model itself, recognised
(`pipeline.adopt.recognition`). Out: the model of that state, as fastai or its library builds it,
and ours with the same outputs.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Final

import torch
from torch import Tensor, nn

from pipeline.adopt.head_folding import SUPPORTED, fold_head
from pipeline.adopt.recognition import COUNTER, Recognised, names_in
from pipeline.architecture_names import XRESNETS, library_and_name
from pipeline.errors import BadInput
from pipeline.models.bodies import has_places, make_body
from pipeline.models.libraries import whole_network
from pipeline.models.networks import build_network, filled_network
from pipeline.terminal.command_line import command_line

if TYPE_CHECKING:
    from pipeline.model_spec import Head

State = Mapping[str, Tensor]
MODULES: Final = {"torchvision": "torchvision.models", "fastai": XRESNETS}


def original_model(found: Recognised, state: State) -> nn.Module:
    """The model that `state` was saved from, freshly built and filled, in evaluation mode.

    Raises:
        BadInput: the head is neither one that `create_head` makes nor this project's.
    """
    complete = {name: tensor.float() for name, tensor in state.items() if COUNTER not in name}
    what = "the head"
    with torch.device("meta"):
        if found.kind == "own":
            model: nn.Module = build_network(found.architecture, _last(complete).shape[0])
        elif found.kind == "whole":
            classes = list(complete.values())[-1].shape[0]
            model = whole_network(found.architecture, num_classes=classes)
        else:
            model = _fastai_model(found, complete)
            what = f"the head's layers ({_head_layers(complete)})"
    counters = {n: torch.tensor(0) for n in model.state_dict() if n.endswith(COUNTER)}
    try:
        model.load_state_dict(complete | counters, assign=True)
    except RuntimeError as error:
        reason = str(error).splitlines()[-1].strip()
        raise BadInput(f"{what} are not as expected: {reason}; {SUPPORTED}") from error
    return model.eval()


def adopted_network(
    found: Recognised, model: nn.Module, classes: int
) -> tuple[nn.Module, Head | None]:
    """Our network with the weights of `model`, in evaluation mode, and the kind of its head.

    Raises:
        BadInput: another number of classes, or a head that is not supported.
    """
    state, architecture = model.state_dict(), found.architecture
    head: Head | None = None
    if found.kind == "own":
        tensors = dict(state)
    else:
        if found.kind == "whole":
            dense = _classifier(architecture, state)
        else:
            parts = list(model.children())
            if len(parts) != 2:
                raise BadInput(f"the model has {len(parts)} parts, not body and head; {SUPPORTED}")
            head, dense = fold_head(parts[1])
        tensors = {f"head.{name}": tensor for name, tensor in dense.items()}
        for name, theirs in names_in(architecture, found.kind).items():
            if theirs in state and not name.endswith(COUNTER):
                tensors[f"body.{name}"] = state[theirs]
    outputs = _last(tensors).shape[0]
    if outputs != classes:
        raise BadInput(f"the model has {outputs} outputs, and there are {classes} labels")
    with torch.device("meta"):
        names = build_network(architecture, classes, head).state_dict()
    counters = {n: torch.tensor(0) for n in names if n.endswith(COUNTER)}
    whole = {name: t.detach().clone() for name, t in (counters | tensors).items()}
    try:
        return filled_network(whole, architecture, classes, head), head
    except RuntimeError as error:
        reason = str(error).splitlines()[-1].strip()
        raise BadInput(f"the model's weights do not fit {architecture}: {reason}") from error


def _classifier(architecture: str, state: State) -> dict[str, Tensor]:
    """A library's own classifier as the last layer of our head.

    Raises:
        BadInput: there is more than one layer behind the body.
    """
    body = {*names_in(architecture, "whole").values()}
    behind = [name for name in state if name not in body and not name.endswith(COUNTER)]
    layers = list(dict.fromkeys(name.rpartition(".")[0] for name in behind))
    if len(layers) != 1 or state[behind[0]].ndim != 2:
        library, name = library_and_name(architecture)
        train = command_line("pipeline", "train", architecture=architecture)
        raise BadInput(
            f"this is {library}'s {name}, whole, and its own classifier ({', '.join(layers)}) is "
            "not one linear layer behind the pool, which is what a checkpoint can hold. "
            f"Train it here with `{train}`, whose "
            "head is one layer, or give it a fastai head (vision_learner) where it was trained"
        )
    weight = state[behind[0]]
    places = has_places(architecture)
    dense = {"1.weight": weight[:, :, None, None] if places else weight}
    bias = state.get(f"{layers[0]}.bias")
    return {**dense, "1.bias": weight.new_zeros(len(weight)) if bias is None else bias}


def _fastai_model(found: Recognised, state: State) -> nn.Module:
    """`create_vision_model` with the head that the state's layers describe; on no device yet."""
    from fastai.vision.learner import create_head, create_timm_model, create_vision_model

    architecture = found.architecture
    channels = make_body(architecture).channels
    linear = {p: s for p, s in _numbered(state).items() if len(s) == 2}
    norms = [p for p, s in _numbered(state).items() if len(s) == 1]
    first = next(iter(linear.values()), (0, 0))[1]
    if first not in (channels, 2 * channels):
        raise BadInput(
            f"the head's layers are {_head_layers(state) or 'none'}, and the body of "
            f"{architecture} gives {channels} numbers; {SUPPORTED}"
        )
    places = list(linear)
    drop = [0.5 if p - 1 not in norms and p > 2 else 0.0 for p in places]  # a place without weights
    *hidden, classes = (shape[0] for shape in linear.values())
    with torch.device("meta"):
        head = create_head(
            channels,
            classes,
            lin_ftrs=hidden,
            ps=drop,
            concat_pool=first == 2 * channels,
            first_bn=any(p < places[0] for p in norms),
            bn_final=any(p > places[-1] for p in norms),
        )
        for place, layer in enumerate(head):
            # fastai 1 gave its dense layers a bias, batch norm or not.
            if isinstance(layer, nn.Linear) and f"1.{place}.bias" in state:
                layer.bias = nn.Parameter(torch.empty(layer.out_features))
        library, name = library_and_name(architecture)
        if library == "timm":
            model, _ = create_timm_model(name, classes, pretrained=False, custom_head=head)
        else:
            arch = getattr(import_module(MODULES[library]), name)
            model = create_vision_model(arch, classes, pretrained=False, custom_head=head)
    assert isinstance(model, nn.Module)
    return model


def _numbered(state: State) -> dict[int, tuple[int, ...]]:
    """Position in fastai's head -> shape of the weight there, in order."""
    found = {}
    for name, tensor in state.items():
        if match := re.fullmatch(r"1\.(\d+)\.weight", name):
            found[int(match[1])] = tuple(tensor.shape)
    return dict(sorted(found.items()))


def _head_layers(state: State) -> str:
    return ", ".join(f"1.{place} {shape}" for place, shape in _numbered(state).items())


def _last(state: State) -> Tensor:
    """The weight of the last layer."""
    names = [name for name in state if name.startswith("head.") and name.endswith(".weight")]
    if not names:
        raise BadInput(f"the model has no head; {SUPPORTED}")
    return state[names[-1]]
