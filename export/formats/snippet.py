"""A snippet: the lines that load one published file into an app, and their source data."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Final, Protocol

from export.deploy.outputs import EVIDENCE
from export.formats.description import FileEntry, Port

KOTLIN: Final = "Kotlin"
SWIFT: Final = "Swift"
HTML: Final = "HTML"
PYTHON: Final = "Python"


@dataclass(frozen=True)
class Snippet:
    """A piece of code to be copied.

    Attributes:
        title: its purpose and requirements.
        language: one of the names above.
        text: the code, without a newline at its end.
    """

    title: str
    language: str
    text: str


class Entry(Protocol):
    """What a snippet needs from a file's entry in the manifest or a report."""

    @property
    def path(self) -> str:
        """Its name in the asset folder."""

    @property
    def files(self) -> Sequence[FileEntry]:
        """All of its files."""

    @property
    def inputs(self) -> Sequence[Port]:
        """Its inputs."""

    @property
    def outputs(self) -> Sequence[Port]:
        """Its outputs."""

    @property
    def requires(self) -> Mapping[str, str | int]:
        """The oldest runtime, and the versions that the file is written in."""

    @property
    def session(self) -> Mapping[str, str | int]:
        """Options for the runtime."""


class NamedModel(Protocol):
    """What a snippet needs from the model."""

    @property
    def name(self) -> str:
        """Of the model."""

    @property
    def labels(self) -> Sequence[str]:
        """In the order of the outputs."""


@dataclass(frozen=True)
class SnippetFile:
    """The data for a snippet.

    Attributes:
        format, precision: of the file.
        entry: as in the manifest.
        model: likewise.
    """

    format: str
    precision: str
    entry: Entry
    model: NamedModel

    @property
    def path(self) -> str:
        """Its name in the asset folder."""
        return self.entry.path

    @property
    def sha256(self) -> str:
        """Of an artifact that is a single file."""
        (file,) = self.entry.files
        return file.sha256

    @property
    def input(self) -> Port:
        """The port of the image."""
        return self.entry.inputs[0]

    @property
    def output(self) -> Port:
        """The port of the probabilities."""
        return next(port for port in self.entry.outputs if port.name != EVIDENCE)

    @property
    def mapped(self) -> bool:
        """Whether it outputs evidence."""
        return any(port.name == EVIDENCE for port in self.entry.outputs)

    @property
    def session(self) -> Mapping[str, str | int]:
        """Options for the runtime."""
        return self.entry.session

    @property
    def requires(self) -> Mapping[str, str | int]:
        """The oldest runtime, and the versions that the file is written in."""
        return self.entry.requires

    def header(self, sign: str, quiet: Callable[[str], str]) -> str:
        """The comment at the top of every snippet: files and their hashes, ports."""
        lines = [f"{entry.path}, SHA-256 {entry.sha256}" for entry in self.entry.files]
        ports = [("in", port) for port in self.entry.inputs]
        ports += [("out", port) for port in self.entry.outputs]
        lines += [f"{way} {p.name}: {p.dtype} {shape_text(p.shape)}" for way, p in ports]
        return "\n".join(f"{sign} {quiet(line)}" for line in lines)


@dataclass(frozen=True)
class SnippetMaker:
    """A function that makes a snippet; the folder of `platform` must have the file, empty: any."""

    platform: str
    make: Callable[[SnippetFile], Snippet]


def snippets_of(name: str) -> Sequence[SnippetMaker]:
    """The snippets of a format in the register, by its runtime alone."""
    makers: Sequence[SnippetMaker] = import_module(f"export.formats.{name}").load_snippets()
    return makers


def python_pixels(file: SnippetFile) -> str:
    """Python that reads a photo to `pixels`, uint8 (1, H, W, 3), by the resize rule."""
    _, rows, columns, _ = file.input.shape
    return f"""\
photo = ImageOps.exif_transpose(Image.open("photo.jpg")).convert("RGB")
squished = photo.resize(({columns}, {rows}), Image.Resampling.BILINEAR)
pixels = np.array(squished)[np.newaxis].copy()  # uint8 {shape_text(file.input.shape)}"""


def shape_text(shape: Sequence[int]) -> str:
    """A shape as Python writes it: ``(1, 224, 224, 3)``."""
    return f"({numbers(shape)})"


def numbers(shape: Sequence[int]) -> str:
    """The numbers of a shape with commas between, as arguments of a call."""
    return ", ".join(map(str, shape))
