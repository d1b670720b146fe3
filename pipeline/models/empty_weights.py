"""A network of a library without its weights: nothing is drawn that is overwritten at once.

On torch's meta device alone many libraries cannot build a network: they compute sizes, rates or
positions with tensors and read the numbers ("Cannot copy out of meta tensor"). Here only what is
made to be filled, `torch.empty`, goes to the meta device. What is computed is real, and so are
buffers that no checkpoint holds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch
from torch.overrides import TorchFunctionMode

if TYPE_CHECKING:
    from torch import nn


class _EmptyOnMeta(TorchFunctionMode):
    def __torch_function__(
        self, function: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        options = dict(kwargs or {})
        if function is torch.empty:
            options["device"] = "meta"
        return function(*args, **options)


@contextmanager
def empty_weights() -> Iterator[None]:
    """What a library builds inside has its weights on the meta device, its buffers on the CPU.

    Nothing is drawn from the random state outside.
    """
    with torch.random.fork_rng(devices=[]), torch.device("cpu"), _EmptyOnMeta():
        yield


def on_default_device(make: Callable[[], nn.Module]) -> nn.Module:
    """What `make` builds; inside ``torch.device("meta")`` as well, where it could not by itself."""
    if torch.get_default_device().type != "meta":
        return make()
    with empty_weights():
        made = make()
    return made.to("meta")
