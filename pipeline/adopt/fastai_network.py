"""A fastai model for image classification becomes a network of this project.

In: the state of a model (names and tensors), or the model itself. Out: which of the five topologies
it is, fastai's own model of that state, and ours with the same outputs.

`vision_learner` makes ``Sequential(body, head)``. The body is torchvision's, cut before its pool:
``0.0.<name>`` are the tensors of `features` (SqueezeNet, VGG, DenseNet), ``0.<position>.<name>``
those of a ResNet's children. The head is ``1.<position>.<name>`` (`pipeline.adopt.head_folding`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from typing import TYPE_CHECKING, Final

import torch
from torch import Tensor, nn

from pipeline.adopt.head_folding import SUPPORTED, fold_head
from pipeline.errors import BadInput
from pipeline.models.networks import BODIES, TOPOLOGIES, build_network

if TYPE_CHECKING:
    from pipeline.model_spec import Head

State = Mapping[str, Tensor]
COUNTER: Final = "num_batches_tracked"  # of a batch norm; some files lack it and nothing needs it


def recognise(state: State) -> str:
    """The architecture whose body has the names and shapes in `state`.

    Raises:
        BadInput: there is none; the message says what was found.
    """
    found = _shapes(state)
    for architecture in TOPOLOGIES:
        names = own_names(architecture) if is_own(state) else fastai_names(architecture)
        if {names[name]: shape for name, shape in _body_shapes(architecture).items()} == {
            name: shape for name, shape in found.items() if name.startswith(("0.", "body."))
        }:
            return architecture
    raise BadInput(f"{_found(found)}; supported are {', '.join(TOPOLOGIES)}")


def is_own(state: State) -> bool:
    """Whether the state is of our `Network`, not of fastai's ``Sequential``."""
    return any(name.startswith("body.") for name in state)


def own_names(architecture: str) -> dict[str, str]:
    """The body's names -> their names in `pipeline.models.networks.Network`."""
    return {name: f"body.{name}" for name in _body_shapes(architecture)}


def fastai_names(architecture: str) -> dict[str, str]:
    """The body's names -> their names in fastai's model."""
    names = list(_body_shapes(architecture))
    if BODIES[architecture].prefix:  # the one child of fastai's body is `features`
        return {name: f"0.0.{name}" for name in names}
    with torch.device("meta"):
        children = [name for name, _ in _bare_body(architecture).named_children()]
    place = {child: position for position, child in enumerate(children)}
    parts = [name.partition(".") for name in names]
    return {
        name: f"0.{place[child]}.{rest}"
        for name, (child, _, rest) in zip(names, parts, strict=True)
    }


def original_model(architecture: str, state: State) -> nn.Module:
    """The model that `state` was saved from, freshly built and filled, in evaluation mode.

    Raises:
        BadInput: the head is neither one that `create_head` makes nor this project's.
    """
    complete = {name: tensor.float() for name, tensor in state.items() if COUNTER not in name}
    if is_own(state):
        classes = _last(complete).shape[0]
        with torch.device("meta"):
            model: nn.Module = build_network(architecture, classes)
        what = "the head"
    else:
        model = _fastai_model(architecture, complete)
        what = f"the head's layers ({_head_layers(complete)})"
    counters = {n: torch.tensor(0) for n in model.state_dict() if n.endswith(COUNTER)}
    try:
        model.load_state_dict(complete | counters, assign=True)
    except RuntimeError as error:
        reason = str(error).splitlines()[-1].strip()
        raise BadInput(f"{what} are not as expected: {reason}; {SUPPORTED}") from error
    return model.eval()


def adopted_network(
    architecture: str, model: nn.Module, classes: int
) -> tuple[nn.Module, Head | None]:
    """Our network with the weights of `model`, in evaluation mode, and the kind of its head.

    Raises:
        BadInput: another number of classes, or a head that is not supported.
    """
    state = model.state_dict()
    if is_own(state):
        head, tensors = None, dict(state)
    else:
        parts = list(model.children())
        if len(parts) != 2:
            raise BadInput(f"the model has {len(parts)} parts, not body and head; {SUPPORTED}")
        head, dense = fold_head(parts[1])
        tensors = {f"head.{name}": tensor for name, tensor in dense.items()}
        for name, theirs in fastai_names(architecture).items():
            tensors[f"body.{name}"] = state[theirs]
    outputs = _last(tensors).shape[0]
    if outputs != classes:
        raise BadInput(f"the model has {outputs} outputs, and there are {classes} labels")
    with torch.device("meta"):
        network = build_network(architecture, classes, head)
    counters = {n: torch.tensor(0) for n in network.state_dict() if n.endswith(COUNTER)}
    whole = {name: t.detach().clone() for name, t in (counters | tensors).items()}
    try:
        network.load_state_dict(whole, assign=True)
    except RuntimeError as error:
        reason = str(error).splitlines()[-1].strip()
        raise BadInput(f"the model's weights do not fit {architecture}: {reason}") from error
    return network.eval(), head


def _fastai_model(architecture: str, state: State) -> nn.Module:
    """`create_vision_model` with the head that the state's layers describe; on no device yet."""
    import torchvision.models
    from fastai.vision.learner import create_head, create_vision_model

    channels = BODIES[architecture].channels
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
        arch = getattr(torchvision.models, architecture)
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


def _bare_body(architecture: str) -> nn.Module:
    from torchvision.models import get_model

    return BODIES[architecture].take(get_model(architecture, weights=None))


@cache
def _body_shapes(architecture: str) -> dict[str, tuple[int, ...]]:
    with torch.device("meta"):
        return _shapes(_bare_body(architecture).state_dict())


def _shapes(state: Mapping[str, Tensor]) -> dict[str, tuple[int, ...]]:
    return {name: tuple(t.shape) for name, t in state.items() if not name.endswith(COUNTER)}


def _found(shapes: Mapping[str, tuple[int, ...]]) -> str:
    """A description of a state that is none of the five."""
    first, shape = next(iter(shapes.items()), ("nothing", ()))
    body = [name for name in shapes if name.startswith(("0.", "body."))]
    text = f"no known body: {len(shapes)} tensors, {len(body)} of a body, the first is {first}"
    if len(shape) == 4 and shape[1] != 3:
        return f"{text} {shape}, for images of {shape[1]} channels instead of 3"
    return f"{text} {shape}"
