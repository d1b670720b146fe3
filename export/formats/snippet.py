"""A snippet: the lines that load one published file into an app, and what they are made from."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any, Final

from export.deploy.outputs import EVIDENCE

KOTLIN: Final = "Kotlin"
SWIFT: Final = "Swift"
HTML: Final = "HTML"
PYTHON: Final = "Python"


@dataclass(frozen=True)
class Snippet:
    """A piece of code to be copied.

    Attributes:
        title: what it is for, and what it needs.
        language: one of the names above.
        text: the code, without a newline at its end.
    """

    title: str
    language: str
    text: str


@dataclass(frozen=True)
class PublishedFile:
    """What a snippet is made from.

    Attributes:
        format, precision: of the file.
        entry: `path`, `files`, `inputs`, `outputs`, `requires` and `session`, as in the manifest.
        model: `name`, `labels` and `side`.
    """

    format: str
    precision: str
    entry: Mapping[str, Any]
    model: Mapping[str, Any]

    @property
    def path(self) -> str:
        """Its name in the asset folder."""
        return str(self.entry["path"])

    @property
    def sha256(self) -> str:
        """Of an artifact that is a single file."""
        (file,) = self.entry["files"]
        return str(file["sha256"])

    @property
    def input(self) -> Mapping[str, Any]:
        """The port of the image."""
        port: Mapping[str, Any] = self.entry["inputs"][0]
        return port

    @property
    def output(self) -> Mapping[str, Any]:
        """The port of the probabilities."""
        return next(port for port in self.entry["outputs"] if port["name"] != EVIDENCE)

    @property
    def mapped(self) -> bool:
        """Whether it gives evidence."""
        return any(port["name"] == EVIDENCE for port in self.entry["outputs"])

    @property
    def session(self) -> Mapping[str, Any]:
        """Options for the runtime."""
        session: Mapping[str, Any] = self.entry["session"]
        return session

    @property
    def requires(self) -> Mapping[str, str | int]:
        """The least runtime, and the versions that the file is written in."""
        requires: Mapping[str, str | int] = self.entry["requires"]
        return requires

    def header(self, sign: str, quiet: Callable[[str], str]) -> str:
        """What every snippet opens with: files and their hashes, ports."""
        lines = [f"{entry['path']}, SHA-256 {entry['sha256']}" for entry in self.entry["files"]]
        ports = [("in", port) for port in self.entry["inputs"]]
        ports += [("out", port) for port in self.entry["outputs"]]
        lines += [f"{way} {p['name']}: {p['dtype']} {shape_text(p['shape'])}" for way, p in ports]
        return "\n".join(f"{sign} {quiet(line)}" for line in lines)


@dataclass(frozen=True)
class SnippetMaker:
    """A snippet to be made; `platform` is whose folder must have the file, empty for any."""

    platform: str
    make: Callable[[PublishedFile], Snippet]


def snippets_of(name: str) -> Sequence[SnippetMaker]:
    """The snippets of a format in the register, by its runtime alone."""
    makers: Sequence[SnippetMaker] = import_module(f"export.formats.{name}").load_snippets()
    return makers


def python_pixels(file: PublishedFile) -> str:
    """Python that reads a photo to `pixels`, uint8 (1, H, W, 3), by the resize rule."""
    _, rows, columns, _ = file.input["shape"]
    return f"""\
photo = ImageOps.exif_transpose(Image.open("photo.jpg")).convert("RGB")
squished = photo.resize(({columns}, {rows}), Image.Resampling.BILINEAR)
pixels = np.array(squished)[np.newaxis].copy()  # uint8 {shape_text(file.input["shape"])}"""


def shape_text(shape: Sequence[int]) -> str:
    """A shape as Python writes it: ``(1, 224, 224, 3)``."""
    return f"({numbers(shape)})"


def numbers(shape: Sequence[int]) -> str:
    """The numbers of a shape with commas between, as arguments of a call."""
    return ", ".join(map(str, shape))
