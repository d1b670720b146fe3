"""The whole network that a library builds of a name, with its own thousand classes.

In: the one spelling of an architecture's name. Out: a fresh module with random weights, on torch's
default device; inside `pipeline.models.empty_weights` without weights.
"""

from __future__ import annotations

import inspect
import typing
from typing import TYPE_CHECKING, Any, Final

from pipeline.architecture_names import XRESNETS, library_and_name
from pipeline.models.empty_weights import on_default_device

if TYPE_CHECKING:
    from torch import nn

# Asked for wherever a class of torchvision takes it. In random weights each residual branch starts
# as zero (Goyal et al., arXiv:1706.02677, section 5.1), so that a network of any depth starts as a
# shallow one; timm's and fastai's do so by themselves. The second classifiers of GoogLeNet and
# Inception are of no use here. `init_weights` is what is done without it, minus a warning.
TORCHVISION_OPTIONS: Final = {
    "zero_init_residual": True,
    "aux_logits": False,
    "init_weights": True,
}


def whole_network(architecture: str, **options: Any) -> nn.Module:
    """The library's own module; `options` go to it.

    Raises:
        MissingDependency: its library is not installed.
    """
    library, name = library_and_name(architecture)
    make = {"torchvision": _torchvision, "timm": _timm, "fastai": _fastai}[library]
    return on_default_device(lambda: make(name, options))


def family(architecture: str) -> object:
    """What the networks that are built alike have in common: torchvision's class, or the library.

    No network is built.
    """
    library, name = library_and_name(architecture)
    if library != "torchvision":
        return library
    from torchvision.models import get_model_builder

    return typing.get_type_hints(get_model_builder(name))["return"]


def _torchvision(name: str, options: dict[str, Any]) -> nn.Module:
    from torchvision.models import get_model, get_model_builder

    made = typing.get_type_hints(get_model_builder(name))["return"]
    taken = inspect.signature(made).parameters
    ours = {key: value for key, value in TORCHVISION_OPTIONS.items() if key in taken}
    model: nn.Module = get_model(name, weights=None, **{**ours, **options})
    return model


def _timm(name: str, options: dict[str, Any]) -> nn.Module:
    from pipeline.errors import require

    require("timm", what=f"the architecture timm/{name}")
    import timm

    model: nn.Module = timm.create_model(name, pretrained=False, **options)
    return model


def _fastai(name: str, options: dict[str, Any]) -> nn.Module:
    from importlib import import_module

    from pipeline.errors import require

    require("fastai", what=f"the architecture fastai/{name}")
    # By its name: `export` builds networks too, and uses nothing else of fastai.
    classes = {"n_out": options["num_classes"]} if "num_classes" in options else {}
    model: nn.Module = getattr(import_module(XRESNETS), name)(**classes)
    return model
