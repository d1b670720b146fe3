"""Put finished files and folders in place whole: a reader sees the old state or the new.

In: a target path and the code that fills a staging folder next to it. Out: the target, replaced.
An exception (Ctrl-C too) while staging leaves the target as it was and nothing next to it.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from pipeline.errors import BadInput


@contextmanager
def staged_folder(target: Path) -> Iterator[Path]:
    """Yield an empty folder next to `target`; when the block ends well it becomes `target`.

    The exchange is two renames on one file system. If the process is killed between them the
    former content is at ``.<name>.previous`` and the next call puts it back before it starts.

    Raises:
        BadInput: the place cannot be written (no permission, no space, a file is in the way).
    """
    target = target.resolve()  # through a symbolic link: what it points to is replaced
    previous = target.with_name(f".{target.name}.previous")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        refuse_foreign(target)
        _recover(target, previous)
        staging = Path(tempfile.mkdtemp(prefix=f".{target.name}.staging-", dir=target.parent))
    except OSError as error:
        raise BadInput(f"cannot write next to {target}: {error.strerror or error}") from error
    try:
        try:
            staging.chmod(
                0o755
            )  # mkdtemp makes it private; what is published is for others to read
            yield staging
            _exchange(staging, target, previous)
        except OSError as error:
            if error.filename and not str(error.filename).startswith(str(target.parent)):
                raise  # an error of reading something else is not about this place
            raise BadInput(f"cannot write {target}: {error.strerror or error}") from error
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def refuse_foreign(folder: Path, fault: Callable[[set[str]], str] = lambda names: "") -> None:
    """Make sure that `folder` can be replaced: it does not exist, is empty, or is one of ours.

    `fault`: the names in a folder that is not empty -> what is wrong with it; empty: it is ours.

    Raises:
        BadInput: a file is in the way, or the folder has a fault.
    """
    if folder.exists() and not folder.is_dir():
        raise BadInput(f"{folder} is a file, and a folder must be written there; move it away")
    names = {path.name for path in folder.iterdir()} if folder.is_dir() else set()
    found = fault(names) if names else ""
    if found:
        raise BadInput(found)


def make_folder(folder: Path) -> None:
    """Make `folder` and its missing parents.

    Raises:
        BadInput: it cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise BadInput(f"cannot make the folder {folder}: {error.strerror}") from error


def write_text(path: Path, text: str) -> None:
    """Write `text` (UTF-8) to `path` in one step; the folder is made if it is missing."""
    write_bytes(path, text.encode())


def write_bytes(path: Path, content: bytes) -> None:
    """Write `content` to `path` in one step; the folder is made if it is missing.

    Raises:
        BadInput: the place cannot be written.
    """
    staging = path.with_name(f".{path.name}.{os.getpid()}.staging")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        staging.write_bytes(content)
        staging.replace(path)
    except OSError as error:
        raise BadInput(f"cannot write {path}: {error.strerror}") from error
    finally:
        with suppress(OSError):
            staging.unlink()


def _recover(target: Path, previous: Path) -> None:
    """Undo an exchange that was killed half-way."""
    if previous.exists():
        if target.exists():
            shutil.rmtree(previous)
        else:
            previous.rename(target)


def _exchange(staging: Path, target: Path, previous: Path) -> None:
    try:
        if target.exists():
            target.rename(previous)
        staging.rename(target)
    except BaseException:
        if previous.exists() and not target.exists():
            previous.rename(target)
        raise
    shutil.rmtree(previous, ignore_errors=True)
