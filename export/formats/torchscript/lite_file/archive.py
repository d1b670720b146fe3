"""The archive of a TorchScript-lite file, rewritten without what a phone does not need.

In: a file of `_save_for_lite_interpreter`. Out: its bytes, by torch's own writer, which aligns the
tensors; under a fixed name, so that the bytes do not depend on the file's name.
"""

from __future__ import annotations

import io
import pickletools
import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

WRITTEN_BY_WRITER: Final = {"version", "byteorder", ".data/serialization_id"}
# A type's module and name as torch mangles them; in a pickled class a newline separates them.
MANGLED: Final = re.compile(rb"(__torch__(?:\.\w+)*?)\.___torch_mangle_(\d+)([.\n])(\w+)")


def compact(path: Path) -> bytes:
    """Without source lines and paths of this machine, and without the TorchScript source.

    The lite interpreter reads neither. torch numbers types by what its process compiled before;
    they are renumbered here, so that equal networks give equal bytes.
    """
    import torch

    reader = torch._C.PyTorchFileReader(str(path))
    pickles = [name for name in reader.get_all_records() if name.endswith(".pkl")]
    rename = _renaming(b"".join(reader.get_record(name) for name in pickles))

    def kept(name: str, content: bytes) -> bytes | None:
        if name.startswith("code/"):
            return None
        return _renamed(content, rename) if name in pickles else content

    return _rewritten(path, kept)


def _rewritten(path: Path, kept: Callable[[str, bytes], bytes | None]) -> bytes:
    """The archive with each record as `kept` returns it, without those that are None."""
    import torch

    reader = torch._C.PyTorchFileReader(str(path))
    buffer = io.BytesIO()
    writer = torch._C.PyTorchFileWriter(buffer)
    for name in reader.get_all_records():
        if name in WRITTEN_BY_WRITER or name.endswith(".debug_pkl"):
            continue
        content = kept(name, reader.get_record(name))
        if content is not None:
            writer.write_record(name, content, len(content))
    writer.write_end_of_file()
    return buffer.getvalue()


def _renaming(pickles: bytes) -> Callable[[re.Match[bytes]], bytes]:
    """A type's new name: its plain name if it is the first of that name, else with a number."""
    numbers: dict[tuple[bytes, bytes], list[bytes | None]] = {}

    def rename(found: re.Match[bytes]) -> bytes:
        module, number, separator, name = found.groups()
        if (module, name) not in numbers:
            plain = re.search(re.escape(module) + rb"[.\n]" + re.escape(name) + rb"\b", pickles)
            numbers[module, name] = [None] if plain else []
        known = numbers[module, name]
        if number not in known:
            known.append(number)
        place = known.index(number)
        mangle = b".___torch_mangle_%d" % (place - 1) if place else b""
        return module + mangle + separator + name

    return rename


def _renamed(content: bytes, rename: Callable[[re.Match[bytes]], bytes]) -> bytes:
    """A pickle with its mangled names replaced."""
    operations = list(pickletools.genops(content))
    ends = [position for _, _, position in operations[1:]] + [len(content)]
    pieces = []
    for (operation, _, start), end in zip(operations, ends, strict=True):
        piece = content[start:end]
        if operation.name == "GLOBAL":
            piece = MANGLED.sub(rename, piece)
        elif operation.name == "BINUNICODE":  # opcode, four bytes of length, text
            text = MANGLED.sub(rename, piece[5:])
            piece = piece[:1] + len(text).to_bytes(4, "little") + text
        pieces.append(piece)
    return b"".join(pieces)
