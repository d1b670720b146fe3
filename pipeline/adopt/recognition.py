"""Which architecture a state of named tensors belongs to, and who named them.

In: names and shapes, and an architecture if one is said. Out: `Recognised`. A state is

- ``own``: of `pipeline.models.networks.Network`, ``body.<ours>``;
- ``fastai``: of `vision_learner`, ``Sequential(body, head)``: ``0.<position>.<name>`` are the
  children of the library's network before its pool, in their order, and ``1.<position>.<name>`` the
  head (`pipeline.adopt.head_folding`);
- ``fastai_timm``: the same of a network of timm, ``0.model.<name>``;
- ``whole``: the library's own classifier, ``<name>``.

Nothing is looked up in a table: candidates are built without weights and compared by names and
shapes. Few are built. torchvision's and fastai's networks are a few families, each a class; a
family is built only if the names of its first and its last network, numbers aside, are like those
of the state. timm says of each network how its first and last layers are named.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from itertools import chain
from typing import TYPE_CHECKING, Final

import torch

from pipeline.architecture_names import canonical, library_and_name, of_library
from pipeline.errors import BadInput, missing_modules
from pipeline.models.bodies import OWN, library_names
from pipeline.models.libraries import family, whole_network

if TYPE_CHECKING:
    from torch import Tensor, nn

Shapes = Mapping[str, tuple[int, ...]]
COUNTER: Final = "num_batches_tracked"  # of a batch norm; some files lack it and nothing needs it
LIKE: Final = 0.8  # share of a state's names that a family must have
TENSORFLOW: Final = "tf_"  # before the names of timm's networks that pad as it does
SLOW: Final = 40  # networks to build, from which on it is said


@dataclass(frozen=True)
class Recognised:
    """An architecture in its one spelling, and the kind of the state."""

    architecture: str
    kind: str


def recognise(
    state: Mapping[str, Tensor],
    said: str | None = None,
    hint: str = "",
    model: nn.Module | None = None,
) -> Recognised:
    """The architecture of a state.

    Args:
        state: of a model.
        said: its architecture, if it is known.
        hint: words that may name it, such as the name of its file.
        model: whose state it is, if that is at hand.

    Raises:
        BadInput: it is none that is known, or not the one that is said; the message says what was
            found.
    """
    found = shapes_of(state)
    kind = _kind(found)
    if said is not None:
        said = canonical(said)
        if _fits(said, kind, found):
            return Recognised(said, kind)
    for architecture in _candidates(found, kind, hint, timm=said is None):
        if _fits(architecture, kind, found):
            if said is not None:
                raise BadInput(f"its body is that of {architecture}, not of {said}")
            twin = _twin(architecture, kind, found)
            if twin is not None and model is None:
                raise BadInput(
                    f"its tensors are those of {architecture} and of {twin}, which pad otherwise: "
                    "say which by --architecture"
                )
            if twin is not None and _convolutions(model) == _convolutions(_built(twin)):
                architecture = twin
            return Recognised(architecture, kind)
    raise BadInput(_not_known(found, kind, said))


def _twin(architecture: str, kind: str, found: Shapes) -> str | None:
    """A network that pads as TensorFlow does has the tensors of one that does not."""
    library, name = library_and_name(architecture)
    if library != "timm":
        return None
    twin = f"timm/{name.removeprefix(TENSORFLOW) if TENSORFLOW in name else TENSORFLOW + name}"
    return twin if twin in of_library("timm") and _fits(twin, kind, found) else None


def _convolutions(model: nn.Module | None) -> set[str]:
    """What kinds of convolution a model has; that of TensorFlow's padding is one."""
    modules = model.modules() if model is not None else ()
    return {type(module).__name__ for module in modules if "Conv" in type(module).__name__}


def shapes_of(state: Mapping[str, Tensor]) -> dict[str, tuple[int, ...]]:
    """Name -> shape, without counters."""
    return {name: tuple(t.shape) for name, t in state.items() if not name.endswith(COUNTER)}


def names_in(architecture: str, kind: str) -> dict[str, str]:
    """The body's names in our network -> in a state of this kind."""
    ours = library_names(architecture)
    if kind == "own":
        return {name: f"body.{name}" for name in ours}
    if kind == "fastai":
        place = _children(architecture)
        parts = {name: theirs.partition(".") for name, theirs in ours.items()}
        return {name: f"0.{place[child]}.{rest}" for name, (child, _, rest) in parts.items()}
    before = "0.model." if kind == "fastai_timm" else ""
    return {name: before + theirs for name, theirs in ours.items()}


def _kind(found: Shapes) -> str:
    if any(name.startswith("body.") for name in found):
        return "own"
    if any(name.startswith("0.model.") for name in found):
        return "fastai_timm"
    if found and all(name.startswith(("0.", "1.")) for name in found):
        return "fastai"
    return "whole"


def _fits(architecture: str, kind: str, found: Shapes) -> bool:
    """Whether the state has the names and shapes of this architecture."""
    whole = _whole(architecture)
    if kind == "whole":
        # The classifier has as many outputs as there are classes.
        return found.keys() == whole.keys() and all(
            shape == whole[name] or (shape[1:] == whole[name][1:] and name in _last(whole))
            for name, shape in found.items()
        )
    body = {name: shape for name, shape in found.items() if name.startswith(("0.", "body."))}
    if Counter(body.values()) - Counter(whole.values()):
        return False  # without looking where the library pools
    try:
        names = names_in(architecture, kind)
    except (BadInput, KeyError):  # a body that fastai has no name for
        return False
    theirs = library_names(architecture)
    expected = {names[name]: whole[theirs[name]] for name in names if not name.endswith(COUNTER)}
    if kind == "fastai_timm":  # with timm's layers between pool and classifier
        return expected.items() <= body.items()
    return expected == body


def _last(whole: Shapes) -> list[str]:
    return list(whole)[-2:]


@cache
def _whole(architecture: str) -> dict[str, tuple[int, ...]]:
    """The library's whole network: name -> shape."""
    return shapes_of(_built(architecture).state_dict())


@cache
def _children(architecture: str) -> dict[str, int]:
    return {name: place for place, (name, _) in enumerate(_built(architecture).named_children())}


def _built(architecture: str) -> nn.Module:
    base = OWN[architecture].architecture if architecture in OWN else architecture
    with torch.device("meta"):
        return whole_network(base)


# --- which are worth building


def _candidates(found: Shapes, kind: str, hint: str, timm: bool) -> Iterator[str]:
    """Architectures that the state may be of; those that `hint` names first."""
    patterns = _patterns(found, kind)
    if not patterns:
        return
    if kind == "own":
        yield from OWN
    if kind != "fastai_timm":
        yield from _like(patterns, hint)
    if timm and kind in ("whole", "fastai_timm") and not missing_modules(("timm",)):
        names = _by_name(_of_timm(found, kind), hint)
        if len(names) > SLOW:
            print(
                f"weights: looking among {len(names)} networks of timm; --architecture NAME would "
                "be quicker",
                flush=True,
            )
        yield from names


def _by_name(names: list[str], hint: str) -> list[str]:
    """Longest first among those that are named, the rest in their order."""
    words = re.sub(r"\W+", "_", hint.lower())
    named = [name for name in names if library_and_name(name)[1] in words]
    return [*sorted(named, key=len, reverse=True), *(n for n in names if n not in named)]


def _like(patterns: set[str], hint: str) -> Iterator[str]:
    """Torchvision's and fastai's architectures of the families whose names are like the state's."""
    families: dict[object, list[str]] = {}
    # fastai's import takes seconds.
    for library in ("torchvision", "fastai") if _is_xresnet(patterns) else ("torchvision",):
        for name in of_library(library):
            families.setdefault(family(name), []).append(name)
    for members in families.values():
        # VGG's first has no batch norms, its last has.
        theirs = _library_patterns(members[0]) | _library_patterns(members[-1])
        if len(patterns & theirs) >= LIKE * len(patterns):
            yield from _by_name(members, hint)


def _is_xresnet(patterns: set[str]) -> bool:
    """Whether it may be one of fastai's, by what it calls the two ways through a block."""
    return any("convpath" in pattern for pattern in patterns)


def _patterns(found: Shapes, kind: str) -> set[str]:
    """The body's names as the library has them, or without their first part; numbers as #."""
    if kind == "own":
        names = [name.removeprefix("body.") for name in found if name.startswith("body.")]
    elif kind == "fastai":
        names = [name.split(".", 2)[2] for name in found if re.match(r"0\.\d+\.", name)]
    else:
        names = [name.removeprefix("0.model.") for name in found if not name.startswith("1.")]
    return {_pattern(name) for name in names}


@cache
def _library_patterns(architecture: str) -> set[str]:
    names = _whole(architecture)
    return {_pattern(n) for n in chain(names, (name.partition(".")[2] for name in names))}


def _pattern(name: str) -> str:
    return re.sub(r"\d+", "#", name)


def _of_timm(found: Shapes, kind: str) -> list[str]:
    """Timm's networks whose first and last layers have names that are in the state."""
    import timm

    before = "0.model." if kind == "fastai_timm" else ""
    names = []
    for name in timm.list_models():
        cfg = timm.get_pretrained_cfg(name)
        first, last = (
            (
                [layer] if isinstance(layer, str) else list(layer or ())
                for layer in (cfg.first_conv, cfg.classifier)
            )
            if cfg
            else ([], [])
        )
        needed = first if kind == "fastai_timm" else [*first, *last]
        if first and all(f"{before}{layer}.weight" in found for layer in needed):
            names.append(f"timm/{name}")
    return names


# --- what to say


def _not_known(found: Shapes, kind: str, said: str | None) -> str:
    first, shape = next(iter(found.items()), ("nothing", ()))
    body = [name for name in found if name.startswith(("0.", "body."))]
    text = f"no known body: {len(found)} tensors, {len(body)} of a body, the first is {first}"
    if len(shape) == 4 and shape[1] != 3:
        return f"{text} {shape}, for images of {shape[1]} channels instead of 3"
    text += f" {shape}"
    if said is not None:
        return f"{text}; it is not {said} either{_difference(found, kind, said)}"
    return (
        f"{text}; it looks like no network of torchvision, fastai or timm. If it is one, say which "
        "by --architecture, and you are told what differs; if it is your own, train it with "
        "`python -m pipeline train`, which takes those by name"
    )


def _difference(found: Shapes, kind: str, said: str) -> str:
    """What distinguishes the state from the architecture that was said."""
    if kind == "whole":
        expected: Shapes = _whole(said)
    else:
        theirs, whole = library_names(said), _whole(said)
        expected = {
            name: whole[theirs[ours]]
            for ours, name in names_in(said, kind).items()
            if not name.endswith(COUNTER)
        }
    missing = [name for name in expected if name not in found]
    other = [n for n, shape in expected.items() if n in found and found[n] != shape]
    if missing:
        return f": {len(missing)} of its {len(expected)} tensors are not there, first {missing[0]}"
    if other:
        name = other[0]
        return f": {name} has the shape {found[name]}, and {expected[name]} in it"
    return f": the file has {len(found) - len(expected)} tensors more"
