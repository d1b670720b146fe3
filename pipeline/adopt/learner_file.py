"""A file that fastai wrote: the weights of `learn.save`, or the whole learner of `learn.export`.

Weights are read without running anything that is in the file (`torch.load(weights_only=True)`, or
safetensors). An exported learner is a pickle, and a pickle is a program: it is opened only if the
user says that its source is trusted.
"""

from __future__ import annotations

import pickle
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING, Final

import torch

from pipeline.errors import BadInput
from pipeline.file_hash import file_sha256

if TYPE_CHECKING:
    from fastai.learner import Learner
    from torch import Tensor

LEARNER_SUFFIXES: Final = (".pkl", ".pickle")
HOLDERS: Final = ("model", "state_dict", "model_state_dict")  # of a state among other things
# Of DataParallel, torch.compile, and what a module of Lightning calls its network.
PREFIXES: Final = ("module.", "_orig_mod.", "model.", "net.", "network.", "backbone.")
UNTRUSTED: Final = (
    "is a pickle, and opening a pickle runs the code in it. If you trust where it comes from, give "
    "--trust-pickle; if not, ask for the file of `learn.save`, which is read without running code"
)


def is_learner(path: Path) -> bool:
    """Whether the name is that of an exported learner; any other file is read as weights."""
    return path.suffix.lower() in LEARNER_SUFFIXES


def learner_sha256(path: Path) -> str:
    """SHA-256 of a learner's file.

    Raises:
        BadInput: it cannot be read.
    """
    try:
        return file_sha256(path)
    except OSError as error:
        raise BadInput(f"{path} cannot be read: {error.strerror}") from error


def read_state(path: Path) -> dict[str, Tensor]:
    """The tensors of a weights file by their names; what else is in the file is left out.

    What a wrapper of the model has put before every name is taken off.

    Raises:
        BadInput: damaged, no weights, or a pickle of more than tensors, which is not run.
    """
    if path.suffix.lower() == ".safetensors":
        return _without_prefixes(_safetensors(path))
    # What fastai's own `load_model` admits: an optimiser's state holds its lists and numpy numbers.
    import numpy as np
    from fastcore.foundation import L

    numbers = [getattr(np.dtypes, name) for name in np.dtypes.__all__]
    scalar = np._core.multiarray.scalar  # type: ignore[attr-defined]
    admitted = [L, scalar, (scalar, "numpy.core.multiarray.scalar"), np.dtype, *numbers]
    try:
        with torch.serialization.safe_globals(admitted):
            state = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        reason = next((li for li in str(error).splitlines() if "nsupported" in li), str(error))
        raise BadInput(
            f"{path} holds more than weights, or is no weights file, and nothing in it was run "
            f"({reason.split('. Please use')[0].strip()}); save with `learn.save`, or give an "
            "exported learner under its name, .pkl"
        ) from error
    except Exception as error:  # a damaged archive raises whatever its first damaged byte leads to
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise BadInput(f"{path} cannot be read as a weights file: {reason}") from error
    return _without_prefixes(_only_tensors(_held(state), path))


def read_learner(path: Path) -> Learner:
    """The learner that `learn.export` wrote. This runs the code in the file.

    Raises:
        BadInput: the file is not an exported learner, or needs something that is not installed.
    """
    from fastai.learner import Learner

    try:  # fastai's own `load_learner` hides which module is missing
        learner: Learner = torch.load(path, map_location="cpu", weights_only=False)
    except (AttributeError, ImportError) as error:
        reason = " ".join(str(error).split())
        raise BadInput(
            f"{path} cannot be opened here: {reason}. Install what it needs, or put the file that "
            "defines it on PYTHONPATH; or adopt the learner in memory where it was made "
            "(pipeline.api.adopt). Of a network of torchvision, timm or fastai the weights do too: "
            "`learn.save('weights')` there, then adopt weights.pth with --labels and --resize"
        ) from error
    except Exception as error:  # a damaged pickle raises anything
        reason = f"{type(error).__name__}: {' '.join(str(error).split())}"
        raise BadInput(f"{path} is damaged or no exported learner: {reason}") from error
    if not isinstance(learner, Learner):
        raise BadInput(f"{path} holds a {type(learner).__name__}, not a learner of fastai")
    learner.dls.cpu()
    if hasattr(learner, "mixed_precision"):
        learner.to_fp32()
    return learner


def _safetensors(path: Path) -> dict[str, Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(path)
    except SafetensorError as error:
        raise BadInput(f"{path} is not a safetensors file: {error}") from error


def _held(state: object) -> object:
    """The state of the model, where it is kept beside that of an optimiser or the epoch."""
    if isinstance(state, dict):
        for name in HOLDERS:
            if isinstance(state.get(name), dict):
                if set(state) != {"model", "opt"}:  # fastai's own
                    print(f"weights: those under {name} in the file")
                return state[name]
    return state


def _common_prefix(names: Collection[str]) -> str:
    """The one of `PREFIXES` that all names begin with; empty: none."""
    return next((p for p in PREFIXES if all(name.startswith(p) for name in names)), "")


def _without_prefixes(state: dict[str, Tensor]) -> dict[str, Tensor]:
    while state and (prefix := _common_prefix(state)):
        print(f"weights: {prefix} before every name is left out")
        state = {name.removeprefix(prefix): tensor for name, tensor in state.items()}
    return state


def _only_tensors(state: object, path: Path) -> dict[str, Tensor]:
    if isinstance(state, dict) and state:
        named = all(isinstance(name, str) for name in state)
        if named and all(torch.is_tensor(tensor) for tensor in state.values()):
            return dict(state)
    raise BadInput(
        f"{path} is not a state of named tensors but {_kinds(state)}; save with `learn.save` "
        "or `torch.save(model.state_dict(), ...)`"
    )


def _kinds(state: object) -> str:
    if not isinstance(state, dict):
        return f"a {type(state).__name__}"
    return f"a dictionary of {', '.join(str(key) for key in list(state)[:5]) or 'nothing'}"
