"""Every image of a data set is read once: hashed, decoded, and its pixels kept for the training.

A damaged file stops the run before training starts and not in its third epoch, and so do one image
under two labels. What else only the contents tell is said: images that are in train and in valid,
and 16-bit images that are nearly black.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Final, TypeVar

from pipeline.data.listing.sample import copies
from pipeline.errors import BadInput
from pipeline.file_hash import file_sha256
from pipeline.image_files.colours import largest_value
from pipeline.image_files.decoding import opened, upright_rgb

if TYPE_CHECKING:
    from pipeline.data.dataset import Dataset
    from pipeline.data.kept_pixels import KeptPixels
    from pipeline.data.listing.sample import Sample

MOST_THREADS: Final = 16  # each holds an image
TELL_AFTER_S: Final = 10.0
WHITE: Final = 65535
NEARLY_BLACK: Final = 4096  # 12 bits, as many cameras and detectors have, are a sixteenth of 16

T = TypeVar("T")
U = TypeVar("U")


@dataclass(frozen=True)
class Facts:
    """What the content of a file tells.

    Attributes:
        sha256: of the file.
        largest: value of a pixel with 16 bits; None: it has 8.
    """

    sha256: str
    largest: int | None


def read_images(dataset: Dataset, kept: KeptPixels | None = None) -> Dataset:
    """The data set with the hash of each image; how far it is, and what is found, is printed.

    Args:
        dataset: as `pipeline.data.dataset.read_dataset` returns it.
        kept: takes the pixels of each image, and becomes part of the result.

    Raises:
        BadInput: names the first damaged file and counts the others; or names two files with the
            same content and different labels.
    """
    samples = [*dataset.train, *dataset.valid]
    results = list(_told(in_threads(partial(_read, kept=kept), samples), len(samples)))
    facts = [found for found in results if isinstance(found, Facts)]
    failures = [found for found in results if isinstance(found, BadInput)]
    if failures:
        others = f" (and {len(failures) - 1} more)" if len(failures) > 1 else ""
        raise BadInput(f"{failures[0]}{others}; replace or remove it") from failures[0]
    known = [replace(sample, sha256=its.sha256) for sample, its in zip(samples, facts, strict=True)]
    _refuse_two_labels(known)
    train, valid = known[: len(dataset.train)], known[len(dataset.train) :]
    shared = copies(train, valid)
    for note in [*shared, *_dark([its.largest for its in facts])]:
        print(f"NOTE: {note}", flush=True)
    rule = "; ".join([dataset.split_rule, *shared])
    return replace(dataset, train=tuple(train), valid=tuple(valid), split_rule=rule, pixels=kept)


def in_threads(function: Callable[[T], U], items: Iterable[T]) -> Iterator[U]:
    """`function` of each item, in their order; Pillow and hashing leave Python's lock alone."""
    with ThreadPoolExecutor(min(MOST_THREADS, os.cpu_count() or 1)) as pool:
        yield from pool.map(function, items)


def _read(sample: Sample, kept: KeptPixels | None) -> Facts | BadInput:
    try:
        sha256 = file_sha256(sample.path)
        with opened(sample.path) as image:
            largest = largest_value(image)
            if kept is not None:
                kept.keep(sample, upright_rgb(image))
    except OSError as error:
        return BadInput(f"{sample.path} cannot be read: {error.strerror}")
    except BadInput as error:
        return error
    return Facts(sha256, largest)


def _told(results: Iterable[T], total: int) -> Iterator[T]:
    """The same; how many have come is printed now and then."""
    print(f"reading {total} images", flush=True)
    last = time.monotonic()
    for count, result in enumerate(results, start=1):
        yield result
        now = time.monotonic()
        if now - last > TELL_AFTER_S:
            last = now
            print(f"  {count} of {total}", flush=True)


def _refuse_two_labels(samples: Iterable[Sample]) -> None:
    first: dict[str | None, Sample] = {}
    pairs = []
    for sample in samples:
        before = first.setdefault(sample.sha256, sample)
        if before.label != sample.label:
            pairs.append((before, sample))
    if pairs:
        one, other = pairs[0]
        others = f" (and {len(pairs) - 1} more such images)" if len(pairs) > 1 else ""
        raise BadInput(
            f"{one.file} and {other.file} are the same image, with the labels {one.label!r} and "
            f"{other.label!r}{others}; a classifier needs one label an image: remove one of them"
        )


def _dark(largest: Sequence[int | None]) -> list[str]:
    deep = [value for value in largest if value is not None]
    if not deep or max(deep) >= NEARLY_BLACK:
        return []
    return [
        f"the largest value in the {len(deep)} images with 16 bits is {max(deep)}, and {WHITE} is "
        "white: they are nearly black; multiply their values so that they use all 16 bits"
    ]
