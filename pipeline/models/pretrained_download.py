"""Torchvision's file of ImageNet weights: from torch's cache, or from its server, once.

In: an architecture. Out: the weights of torchvision's whole model. The cache is torch.hub's, in
``$TORCH_HOME/hub/checkpoints``; a file name contains the start of its SHA-256 and is compared with
it, when the file is downloaded and when it is read again.

A missing network is detected once per process: later requests, for another architecture for
example, fail at once.
"""

from __future__ import annotations

import contextlib
import io
import re
import socket
import sys
from inspect import signature
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING, Any, Final, get_type_hints
from urllib.error import HTTPError
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

from pipeline.architecture_names import ARCHITECTURES
from pipeline.file_hash import file_sha256
from pipeline.models.start import IMAGENET_MEAN, IMAGENET_STD, Triple, Weights

if TYPE_CHECKING:
    from torch import Tensor

TIMEOUT_S: Final = 10.0  # for a response, and between two pieces of a file
HASH_IN_NAME: Final = re.compile(r"-([0-9a-f]{8,})\.")
# DenseNet's file has the names of an early torchvision: norm.1 instead of norm1.
DOTTED: Final = re.compile(r"(denselayer\d+\.(?:norm|relu|conv))\.([12])\.")

_unreachable: dict[str, str] = {}  # host -> why, as found in this process


def torchvision_weights(architecture: str) -> Weights:
    """The weights of torchvision's whole model, with the normalisation they were trained with.

    IMAGENET1K_V1 for the paper's topologies, what torchvision gives by default for all others.

    Raises:
        OSError: the server cannot be reached, or returns an error.
        RuntimeError: the downloaded or cached file does not match the hash in its name.
    """
    from torchvision.models import get_model_weights

    known = get_model_weights(architecture)
    weights = known.IMAGENET1K_V1 if architecture in ARCHITECTURES else known.DEFAULT
    origin = f"ImageNet, torchvision {architecture} {getattr(weights, 'name', 'IMAGENET1K_V1')}"
    mean, std = _normalisation(architecture, weights)
    return Weights(_state(weights), origin, mean, std)


def _normalisation(architecture: str, weights: Any) -> tuple[Triple, Triple]:
    """Mean and std of the weights' own preprocessing, in units of pixel / 255."""
    from torchvision.models import get_model_builder

    made = get_type_hints(get_model_builder(architecture))["return"]
    if "transform_input" in signature(made).parameters:
        # With these weights torchvision's GoogLeNet and Inception turn ImageNet's normalisation
        # into this one before their first layer; here it is the input's own.
        return (0.5, 0.5, 0.5), (0.5, 0.5, 0.5)
    if not hasattr(weights, "transforms"):
        return IMAGENET_MEAN, IMAGENET_STD
    asked = weights.transforms()
    return tuple(asked.mean), tuple(asked.std)


def _state(weights: Any) -> dict[str, Tensor]:
    """The state in the weights' file, under today's names."""
    cached = cached_file(weights.url)
    if cached.exists():
        _check_hash(cached)
    else:
        reach(weights.url)
        print(f"downloading {weights.url}, once", flush=True)
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(TIMEOUT_S)  # torch.hub sets none and could hang for minutes
    try:
        # torch.hub's own line shows a path on this machine; its progress bar is for terminals.
        with contextlib.redirect_stdout(io.StringIO()):
            state: dict[str, Tensor] = weights.get_state_dict(
                progress=sys.stderr.isatty(), check_hash=True, weights_only=True
            )
    except TimeoutError as error:
        _unreachable[urlsplit(weights.url).netloc] = f"{weights.url} stopped half-way: {error}"
        raise
    finally:
        socket.setdefaulttimeout(before)
    return {DOTTED.sub(r"\1\2.", name): tensor for name, tensor in state.items()}


def cached_file(url: str) -> Path:
    """Where torch.hub keeps the file of `url`."""
    from torch.hub import get_dir

    return Path(get_dir()) / "checkpoints" / Path(urlsplit(url).path).name


def _check_hash(path: Path) -> None:
    """Torch.hub checks the hash of downloads, but not of files in its cache."""
    wanted = HASH_IN_NAME.search(path.name)
    found = file_sha256(path)
    if wanted is not None and not found.startswith(wanted[1]):
        raise RuntimeError(
            f"{path} is damaged (its SHA-256 starts with {found[: len(wanted[1])]}); delete it"
        )


def reach(url: str) -> None:
    """Ask the server for the file's header, `TIMEOUT_S` in all; `ConnectionError` if that fails.

    A socket's own time limit applies to each address of a host, and not while the host's name is
    looked up.
    """
    host = urlsplit(url).netloc
    if host in _unreachable:
        raise ConnectionError(f"{_unreachable[host]} (found earlier)")
    failures: list[BaseException] = []

    def ask() -> None:
        try:
            with urlopen(Request(url, method="HEAD"), timeout=TIMEOUT_S):
                pass
        except HTTPError:
            pass  # the server is there; the download will report its error
        except BaseException as error:
            failures.append(error)

    asking = Thread(target=ask, daemon=True)
    asking.start()
    asking.join(TIMEOUT_S)
    if asking.is_alive():
        failures.append(TimeoutError(f"no response in {TIMEOUT_S:.0f} s"))
    if failures:
        reason = getattr(failures[0], "reason", failures[0])
        _unreachable[host] = f"{host} cannot be reached: {reason}"
        raise ConnectionError(_unreachable[host]) from failures[0]
