"""Faults of the file itself: bytes changed, cut off or lost, or another file under its name."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from benchmarks.faults.bench import Artifact, Bench
from benchmarks.faults.fault import DoesNotApply, Fault, Pair, Plant
from export.deploy.variants import VARIANTS
from export.formats.coreml.evaluator.package import RECORD_BYTES
from export.formats.register import FORMATS
from export.parity.reference import Reference

LEAST_WEIGHTS: Final = 400  # of the layer whose bytes are changed
WITHIN: Final = 100  # index of the changed weight in it
POINTER: Final = b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 2918939\n"
PACKAGE_PARTS: Final = ("Manifest.json", "model.mlmodel", "weight.bin")


@dataclass(frozen=True)
class WeightPlace:
    """A weight in a file: where it starts, and its type."""

    offset: int
    dtype: np.dtype[np.generic]


def copied(artifact: Path, folder: Path) -> Path:
    """A copy that may be damaged."""
    copy_of = shutil.copytree if artifact.is_dir() else shutil.copy
    return Path(copy_of(artifact, folder / artifact.name))


def content_file(artifact: Path) -> Path:
    """Where the weights are."""
    if artifact.is_file():
        return artifact
    (file,) = artifact.rglob("weight.bin")
    return file


def place_of_a_weight(reference: Reference, content: bytearray) -> WeightPlace:
    """One weight of the first layer that the file stores in its own order."""
    for stored in _as_stored(reference):
        start = content.find(stored.tobytes())
        if start >= 0:
            return WeightPlace(start + WITHIN * stored.itemsize, stored.dtype)
    raise DoesNotApply("the file packs its weights: no byte of it is one weight")


def _as_stored(reference: Reference) -> Iterator[NDArray[np.generic]]:
    """Kernels of one pixel, which every layout keeps in order: as floats, halves or codes."""
    for layer in reference.layers:
        weight = layer.tensors["weight"]
        if layer.kind not in ("conv", "linear") or weight.size < LEAST_WEIGHTS:
            continue
        if weight.shape[2:] in ((), (1, 1)):
            yield weight.astype(np.float32)
            yield weight.astype(np.float16)
    for grid in reference.graph.grids.values():
        if grid.codes.size >= LEAST_WEIGHTS and grid.codes.shape[2:] in ((), (1, 1)):
            yield grid.codes


def changed_weight(change: Callable[[bytes, np.dtype[np.generic]], bytes]) -> Plant:
    """A copy in which the bytes of two neighbouring weights are changed."""

    def plant(bench: Bench, artifact: Artifact, folder: Path) -> Pair:
        reference, path = bench.reference(artifact), bench.clean(artifact)
        content = bytearray(content_file(path).read_bytes())
        place = place_of_a_weight(reference, content)
        both = slice(place.offset, place.offset + 2 * place.dtype.itemsize)
        changed = change(bytes(content[both]), place.dtype)
        assert len(changed) == 2 * place.dtype.itemsize
        if changed == content[both]:
            raise DoesNotApply("the two weights are equal")
        content[both] = changed
        path = copied(path, folder)
        content_file(path).write_bytes(content)
        return Pair(path, reference)

    return plant


def flip_a_bit(weights: bytes, dtype: np.dtype[np.generic]) -> bytes:
    """The lowest bit of a mantissa or of a code."""
    return bytes([weights[0] ^ 1]) + weights[1:]


def flip_a_byte(weights: bytes, dtype: np.dtype[np.generic]) -> bytes:
    return bytes([weights[0] ^ 0xFF]) + weights[1:]


def swap_two_weights(weights: bytes, dtype: np.dtype[np.generic]) -> bytes:
    return weights[dtype.itemsize :] + weights[: dtype.itemsize]


def make_not_a_number(weights: bytes, dtype: np.dtype[np.generic]) -> bytes:
    return _as_number(np.nan, weights, dtype)


def make_infinite(weights: bytes, dtype: np.dtype[np.generic]) -> bytes:
    """What a weight beyond 65504 becomes in fp16."""
    return _as_number(np.inf, weights, dtype)


def _as_number(value: float, weights: bytes, dtype: np.dtype[np.generic]) -> bytes:
    if dtype.kind != "f":
        raise DoesNotApply("its weights are integers")
    return np.array([value], dtype).tobytes() + weights[dtype.itemsize :]


def damaged(change: Callable[[Path], None], part: str = "") -> Plant:
    """A copy whose file, or whose `part` of a package, is damaged."""

    def plant(bench: Bench, artifact: Artifact, folder: Path) -> Pair:
        clean = bench.clean(artifact)
        if clean.is_dir() != bool(part):
            raise DoesNotApply("it is a package" if clean.is_dir() else "it is one file")
        path = copied(clean, folder)
        change(next(path.rglob(part)) if part else path)
        return Pair(path, bench.reference(artifact))

    return plant


def damaged_content(change: Callable[[Path], None]) -> Plant:
    """A copy whose weights are damaged: in a package's file of weights, or in the file itself."""

    def plant(bench: Bench, artifact: Artifact, folder: Path) -> Pair:
        path = copied(bench.clean(artifact), folder)
        change(content_file(path))
        return Pair(path, bench.reference(artifact))

    return plant


def damage_header(path: Path) -> None:
    """The first bytes; of weight.bin those of the first record, because its header says nothing."""
    content = bytearray(path.read_bytes())
    start = RECORD_BYTES if path.name == "weight.bin" else 0
    content[start : start + 16] = bytes(16)
    path.write_bytes(content)


def cut_in_half(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])


def cut_the_end_off(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-8])


def empty(path: Path) -> None:
    path.write_bytes(b"")


def put_a_pointer(path: Path) -> None:
    """What a checkout without Git LFS leaves."""
    path.write_bytes(POINTER)


def remove(path: Path) -> None:
    path.unlink()


def a_text_file_for_a_package(bench: Bench, artifact: Artifact, folder: Path) -> Pair:
    path = folder / bench.clean(artifact).name
    if not bench.clean(artifact).is_dir():
        raise DoesNotApply("it is one file")
    put_a_pointer(path)
    return Pair(path, bench.reference(artifact))


def of_another_format(bench: Bench, artifact: Artifact, folder: Path) -> Pair:
    path = folder / bench.clean(artifact).name
    others = [(name, artifact[1]) for name in FORMATS if name != artifact[0]]
    for other in others:
        if other[1] in FORMATS[other[0]].precisions and not bench.absent(other):
            found = bench.clean(other)
            if found.is_file() and bench.clean(artifact).is_file():
                shutil.copy(found, path)
                return Pair(path, bench.reference(artifact))
    raise DoesNotApply("no other format gives one file in this precision")


def of_another_precision(bench: Bench, artifact: Artifact, folder: Path) -> Pair:
    """Of the same format, with other weights."""
    name, precision = artifact
    precisions = FORMATS[name].precisions
    folders = {other: VARIANTS[facts.variant].folder for other, facts in precisions.items()}
    for other in folders:
        if folders[other] != folders[precision] and not bench.absent((name, other)):
            path = copied(bench.clean((name, other)), folder)
            return Pair(path.rename(folder / bench.clean(artifact).name), bench.reference(artifact))
    raise DoesNotApply("the checkpoint gives this format in no precision of other weights")


BYTES: Final[Mapping[str, Callable[[bytes, np.dtype[np.generic]], bytes]]] = {
    "one bit of a weight flipped": flip_a_bit,
    "one byte of a weight flipped": flip_a_byte,
    "two neighbouring weights swapped": swap_two_weights,
}
NUMBERS: Final[Mapping[str, Callable[[bytes, np.dtype[np.generic]], bytes]]] = {
    "a weight not a number": make_not_a_number,
    "a weight infinite": make_infinite,
}
DAMAGES: Final[Mapping[str, Callable[[Path], None]]] = {
    "header damaged": damage_header,
    "cut in half": cut_in_half,
    "last bytes cut off": cut_the_end_off,
    "emptied": empty,
    "replaced by a text file": put_a_pointer,
    "removed": remove,
}
FAULTS: Final = (
    *(Fault(name, changed_weight(change), ("weights",)) for name, change in BYTES.items()),
    *(
        Fault(name, changed_weight(change), ("outputs", "weights"))
        for name, change in NUMBERS.items()
    ),
    *(Fault(f"file {name}", damaged(change), ("reading",)) for name, change in DAMAGES.items()),
    *(
        Fault(f"{part} {name}", damaged(change, part))
        for part in PACKAGE_PARTS
        for name, change in DAMAGES.items()
    ),
    Fault("a text file in place of a package", a_text_file_for_a_package, ("reading",)),
    Fault("a file of another format under this name", of_another_format, ("reading",)),
    Fault("a file of another precision under this name", of_another_precision, ("weights",)),
)
