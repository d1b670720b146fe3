"""Names of architectures, and the library that builds a network of each.

In: a name as a person writes it. Out: its one spelling, which a recipe and a checkpoint keep:
torchvision's names as they are, others with their library before them, ``timm/resnet18d``,
``fastai/xresnet18``. So a name means the same for ever, whatever a library adds later.

A network that no library builds, which its checkpoint keeps as a program, is ``program/NAME``: what
its owner calls it. That name is for people; nothing is built of it.

A name without its library is torchvision's if that has it, then fastai's, then timm's. timm's may
end in the tag of its weights, ``timm/resnet18.a1_in1k``, as its own names do.

Libraries are imported when a name is not one of `ARCHITECTURES`, which need torch to be asked.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from difflib import get_close_matches
from fnmatch import fnmatchcase
from functools import cache
from importlib import import_module
from typing import Final

from pipeline.errors import BadInput, install_command, missing_modules, require

# The paper's five, and the one of our own (`pipeline.models.bodies.OWN`).
ARCHITECTURES: Final = (
    "squeezenet1_1",
    "squeezenet1_1_fire6",
    "resnet34",
    "resnet152",
    "densenet169",
    "vgg19_bn",
)
DEFAULT: Final = "torchvision"  # the library whose names stand alone
PROGRAM: Final = "program/"  # before the name of a network that its checkpoint keeps as a program
MOST_NEAR: Final = 4


def canonical(text: str) -> str:
    """The one spelling of an architecture's name.

    Raises:
        BadInput: no library here has it; the message has the nearest names.
        MissingDependency: it names a library that is not installed.
    """
    if text in ARCHITECTURES:
        return text
    library, name = library_and_name(text) if "/" in text else ("", text)
    if library:
        if library not in LISTS:
            raise _unknown(text)
        require(library, what=f"the architecture {text}")
    for candidate in [library] if library else LISTS:
        if not missing_modules((candidate,)) and _has(candidate, name):
            return name if candidate == DEFAULT else f"{candidate}/{name}"
    raise _unknown(text)


def library_and_name(architecture: str) -> tuple[str, str]:
    """``timm/resnet18d`` -> timm, resnet18d; a name alone is torchvision's, or ours."""
    library, slash, name = architecture.partition("/")
    return (library, name) if slash else (DEFAULT, library)


def is_program(architecture: str) -> bool:
    """Whether a checkpoint keeps the network as a program, and no library builds it by its name."""
    return architecture.startswith(PROGRAM)


def listed(like: str = "*") -> list[str]:
    """Every architecture that can be built here and matches `like`, in its one spelling.

    `like` is a pattern as of file names, or a part of a name; it is compared with both spellings.
    """
    pattern = like if set(like) & set("*?[") else f"*{like}*"
    names = [*ARCHITECTURES, *(name for library in LISTS for name in of_library(library))]
    return [
        name
        for name in dict.fromkeys(names)
        if fnmatchcase(name, pattern) or fnmatchcase(name.partition("/")[2], pattern)
    ]


def identifier(architecture: str) -> str:
    """The name where letters, digits and underscores alone may stand, as in a file's name."""
    return re.sub(r"\W", "_", architecture, flags=re.ASCII)


def _torchvision() -> tuple[str, ...]:
    models = import_module("torchvision.models")
    return tuple(models.list_models(module=models))


def _fastai() -> tuple[str, ...]:
    return tuple(n for n in import_module(XRESNETS).__all__ if n.startswith("x") and n.islower())


def _timm() -> tuple[str, ...]:
    return tuple(import_module("timm").list_models())


XRESNETS: Final = "fastai.vision.models.xresnet"
# In the order in which a name without its library is looked for.
LISTS: Final[Mapping[str, Callable[[], tuple[str, ...]]]] = {
    "torchvision": _torchvision,
    "fastai": _fastai,
    "timm": _timm,
}


@cache
def _names(library: str) -> tuple[str, ...]:
    """A library's own names; none if it is not installed."""
    return () if missing_modules((library,)) else LISTS[library]()


def of_library(library: str) -> tuple[str, ...]:
    """A library's architectures in their one spelling; none if it is not installed."""
    before = "" if library == DEFAULT else f"{library}/"
    return tuple(before + name for name in _names(library))


def _has(library: str, name: str) -> bool:
    if library == "fastai" and not name.startswith("x"):
        return False  # its networks are the xresnets; importing it takes seconds
    if library == "timm" and "." in name:
        base, _, tag = name.partition(".")
        return base in _names(library) and name in import_module("timm").list_pretrained(f"*{tag}")
    return name in _names(library)


def near(text: str) -> str:
    """What a wrong name may have meant, as a question; empty if nothing is like it."""
    plain = {name.partition("/")[2] or name: name for name in reversed(listed())}
    wanted = text.lower().rpartition("/")[2]
    found = get_close_matches(wanted, plain, MOST_NEAR, cutoff=0.7)
    return f"did you mean {', '.join(plain[name] for name in found)}?" if found else ""


def known() -> str:
    """Which architectures there are, in a few words."""
    said = (
        f"{', '.join(ARCHITECTURES)} and all of torchvision, timm and fastai that "
        "`python -m pipeline architectures` lists"
    )
    if missing := missing_modules(("timm",)):
        said += f" (timm is not installed: {install_command(missing)})"
    return said


def _unknown(text: str) -> BadInput:
    question = near(text)
    return BadInput(
        f"unknown architecture {text!r}; {question} there are: {known()}".replace(";  ", "; ")
    )
