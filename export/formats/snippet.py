"""A snippet: the lines that load one published file into an app, and their source data."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Final, Protocol

from export.deploy.outputs import EVIDENCE
from export.formats.description import FileEntry, Port
from pipeline.model_spec import MOST_NAMED
from pipeline.resize.rule import FILLS, Resize

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

    @property
    def rule(self) -> Resize:
        """How an image becomes the input."""


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
    """Python that reads a photo to `pixels`, uint8 (1, H, W, 3), by the model's resize."""
    return f"""\
{python_resized(file.model.rule)}
pixels = np.array(resized)[np.newaxis].copy()  # uint8 {shape_text(file.input.shape)}"""


def python_resized(rule: Resize) -> str:
    """Python that reads a photo to `resized`, a Pillow image; numpy is np."""
    height, width = rule.size
    read = 'photo = ImageOps.exif_transpose(Image.open("photo.jpg")).convert("RGB")'
    if rule.mode == "squish" and not rule.margin:
        made = f"resized = photo.resize(({width}, {height}), Image.Resampling.BILINEAR)"
    elif rule.mode == "squish":
        first, more = rule.margin // 2, rule.margin
        made = f"""\
larger = photo.resize(({width + more}, {height + more}), Image.Resampling.BILINEAR)
resized = larger.crop(({first}, {first}, {first + width}, {first + height}))"""
    else:
        made = f"{_python_window(rule)}\n{_python_frame(rule)}"
    return f"{read}\n{made}"


def _python_window(rule: Resize) -> str:
    """Python for left, top, width and height of what is taken of the photo."""
    if rule.mode == "centre":
        return f"""\
width, height = {rule.width}, {rule.height}
left, top = (photo.width - width) // 2, (photo.height - height) // 2"""
    choose = "min" if rule.mode == "crop" else "max"
    return f"""\
scale = {choose}(photo.width / {rule.width}, photo.height / {rule.height})
width, height = max(int(scale * {rule.width}), 1), max(int(scale * {rule.height}), 1)
left, top = int((photo.width - width) / 2), int((photo.height - height) / 2)"""


def _python_frame(rule: Resize) -> str:
    """Python for that part of the photo, filled beyond it, and its resize."""
    inside = "left, top, left + width, top + height"
    if rule.fill is None:
        made = f"part = photo.crop(({inside}))"
    else:
        made = f"""\
right, bottom = left + width - photo.width, top + height - photo.height
part = np.array(photo)[max(top, 0) : top + height, max(left, 0) : left + width]
beyond = (max(-top, 0), max(bottom, 0)), (max(-left, 0), max(right, 0)), (0, 0)
part = Image.fromarray(np.pad(part, beyond, mode={FILLS[rule.fill]!r}))"""
    size = f"({rule.width}, {rule.height})"
    return f"{made}\nresized = part.resize({size}, Image.Resampling.BILINEAR)"


def python_labels(file: SnippetFile) -> str:
    """Python for the labels: a list of a few; of many the file that holds them."""
    labels = file.model.labels
    if len(labels) <= MOST_NAMED:
        return repr(list(labels))
    return 'Path("labels.txt").read_text(encoding="utf-8").split("\\n")'


def shape_text(shape: Sequence[int]) -> str:
    """A shape as Python writes it: ``(1, 224, 224, 3)``."""
    return f"({numbers(shape)})"


def numbers(shape: Sequence[int]) -> str:
    """The numbers of a shape with commas between, as arguments of a call."""
    return ", ".join(map(str, shape))
