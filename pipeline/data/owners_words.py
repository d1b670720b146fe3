"""What an owner says of a model when it is made becomes part of its checkpoint.

In: words, and image files to show. Out: `Said`: the intended use, the owner's words, and the
pictures as they are stored: small, upright, and without what a camera writes beside the pixels.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from pipeline.checkpoint import owner_document
from pipeline.data import phantom
from pipeline.errors import BadInput
from pipeline.images import read_whole
from pipeline.model_spec import INTENDED_USE, Example, Owner

if TYPE_CHECKING:
    from pipeline.data.dataset import Dataset

EXAMPLES: Final = "examples"
LONGEST_SIDE: Final = 512  # pixels: sharp on a phone, some 50 KB
JPEG_QUALITY: Final = 90
JOINERS: Final = "\u200c\u200d"  # not printable by themselves, and part of words and emoji


@dataclass(frozen=True)
class OwnersWords:
    """What the owner says; None: nothing.

    Attributes:
        intended_use: a sentence or two that stand with every answer of the model.
        images, looks_for: as in `pipeline.model_spec.Owner`.
        examples: image files for the web page, which are published with it; not of the training
            images, which a network may know by heart.
    """

    intended_use: str | None = None
    images: str | None = None
    looks_for: str | None = None
    examples: tuple[Path, ...] = ()


@dataclass(frozen=True)
class Said:
    """The words of a checkpoint; `pictures`: path in its folder -> JPEG."""

    intended_use: str = INTENDED_USE
    owner: Owner = field(default_factory=Owner)
    pictures: Mapping[str, bytes] = field(default_factory=dict)

    def write_pictures(self, folder: Path) -> None:
        """Write the pictures into the staged `folder` of the checkpoint."""
        for path, content in self.pictures.items():
            (folder / path).parent.mkdir(exist_ok=True)
            (folder / path).write_bytes(content)


def words_of(words: OwnersWords, dataset: Dataset | None, *, drawn: bool = False) -> Said:
    """Check the words, and read the pictures.

    Args:
        words: what the owner says.
        dataset: the images of the model, which give an example its caption; None: not known.
        drawn: they are the embedded phantoms, which have words of their own.

    Raises:
        BadInput: a text is empty or no plain line, a picture cannot be read, or is one that the
            model is trained on.
    """
    said = Said(phantom.INTENDED_USE, phantom.OWNER) if drawn else Said()
    for name in ("intended_use", "images", "looks_for"):
        _refuse_odd(name, getattr(words, name))
    examples, pictures = _examples(words.examples, dataset)
    owner = replace(
        said.owner,
        images=words.images or said.owner.images,
        looks_for=words.looks_for or said.owner.looks_for,
        examples=examples or said.owner.examples,
    )
    owner_document(owner)  # refuses what the file could not hold
    return Said(words.intended_use or said.intended_use, owner, pictures)


def _refuse_odd(name: str, text: str | None) -> None:
    option = {"images": "--images-are"}.get(name, f"--{name.replace('_', '-')}")
    if text is not None and not text.strip():
        raise BadInput(f"{option} says nothing; leave it out for neutral words")
    odd = [c for c in text or "" if not (c.isprintable() or c in JOINERS)]
    if odd:
        raise BadInput(f"{option}: {text!r} holds {odd[0]!r}; give one line of plain text")


def _examples(
    files: Sequence[Path], dataset: Dataset | None
) -> tuple[tuple[Example, ...], dict[str, bytes]]:
    sides: dict[Path, str] = {}
    for sample in dataset.train if dataset else ():
        sides[sample.path.resolve()] = ""
    for sample in dataset.valid if dataset else ():
        sides[sample.path.resolve()] = sample.label
    examples, pictures = [], {}
    for number, file in enumerate(files, start=1):
        label = sides.get(file.resolve(), file.stem.replace("_", " "))
        if not label:
            raise BadInput(
                f"--example {file} is a training image, which the network may know by heart; "
                "name a validation image"
            )
        path = f"{EXAMPLES}/{number}.jpg"
        pictures[path] = _small(file)
        examples.append(Example(path, label))
    return tuple(examples), pictures


def _small(file: Path) -> bytes:
    """The image as JPEG, upright, without metadata."""
    image = read_whole(file)
    image.thumbnail((LONGEST_SIDE, LONGEST_SIDE))
    content = io.BytesIO()
    image.save(content, "JPEG", quality=JPEG_QUALITY, optimize=True)
    return content.getvalue()
