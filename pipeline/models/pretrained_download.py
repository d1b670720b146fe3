"""Torchvision's file of ImageNet weights: from torch's cache, or from its server, once.

In: an architecture. Out: the state of torchvision's whole model. The cache is torch.hub's, in
``$TORCH_HOME/hub/checkpoints``; a file is named by the start of its own SHA-256 and compared with
it, when it comes and when it is read again.

A machine without a network is found out once a process: whoever asks again, for another
architecture say, learns it at once.
"""

from __future__ import annotations

import contextlib
import io
import re
import socket
import sys
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING, Final
from urllib.error import HTTPError
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

from pipeline.file_hash import file_sha256

if TYPE_CHECKING:
    from torch import Tensor

TIMEOUT_S: Final = 10.0  # for an answer, and between two pieces of a file
HASH_IN_NAME: Final = re.compile(r"-([0-9a-f]{8,})\.")
# DenseNet's file has the names of an early torchvision: norm.1 for what is norm1 today.
DOTTED: Final = re.compile(r"(denselayer\d+\.(?:norm|relu|conv))\.([12])\.")

_unreachable: dict[str, str] = {}  # host -> why, found out in this process


def torchvision_state(architecture: str) -> dict[str, Tensor]:
    """The weights IMAGENET1K_V1 of torchvision's whole model, by the names it has today.

    Raises:
        OSError: the server cannot be reached, or answers with an error.
        RuntimeError: what came, or lies in the cache, is not the file that its name promises.
    """
    from torchvision.models import get_model_weights

    weights = get_model_weights(architecture).IMAGENET1K_V1
    cached = cached_file(weights.url)
    if cached.exists():
        _check_hash(cached)
    else:
        _reach(weights.url)
        print(f"downloading {weights.url}, once", flush=True)
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(TIMEOUT_S)  # torch.hub sets none and could hang for minutes
    try:
        # torch.hub's own line names a place on this machine; its bar is for a person alone.
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
    """Torch.hub looks at the hash of what it downloads, not of what it finds in its cache."""
    wanted = HASH_IN_NAME.search(path.name)
    found = file_sha256(path)
    if wanted is not None and not found.startswith(wanted[1]):
        raise RuntimeError(
            f"{path} is damaged (its SHA-256 starts with {found[: len(wanted[1])]}); delete it"
        )


def _reach(url: str) -> None:
    """Ask the server for the file's header, `TIMEOUT_S` in all; `ConnectionError` if that fails.

    A socket's own time limit is for each address of a host, and does not hold while the host's name
    is looked up.
    """
    host = urlsplit(url).netloc
    if host in _unreachable:
        raise ConnectionError(f"{_unreachable[host]} (found out before)")
    failures: list[BaseException] = []

    def ask() -> None:
        try:
            with urlopen(Request(url, method="HEAD"), timeout=TIMEOUT_S):
                pass
        except HTTPError:
            pass  # the server is there; what it has to say, the download will hear
        except BaseException as error:
            failures.append(error)

    asking = Thread(target=ask, daemon=True)
    asking.start()
    asking.join(TIMEOUT_S)
    if asking.is_alive():
        failures.append(TimeoutError(f"no answer in {TIMEOUT_S:.0f} s"))
    if failures:
        reason = getattr(failures[0], "reason", failures[0])
        _unreachable[host] = f"{host} cannot be reached: {reason}"
        raise ConnectionError(_unreachable[host]) from failures[0]
