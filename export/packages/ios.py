"""The Swift package of ``ios_assets/``: its manifest, a classifier class and tests, as texts.

In: the manifest of the asset folder. Out: relative POSIX path -> text, by the templates
below ``templates/ios``. Which model goes into an app by default is decided here: the smallest of
those that the oldest iOS loads. int8 has 271 kB where fp16 has 489 kB, at the same label on every
validation image; w4 and w3 are smaller still and lock out every phone before iOS 18.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from export.deploy.outputs import EVIDENCE
from export.formats.coreml.compute_units import COMPUTE_UNITS
from export.formats.description import FileEntry
from export.formats.register import FORMATS
from export.formats.source_text import swift_comment, swift_string
from export.manifest.manifest import ArtifactEntry, Manifest
from export.packages.render import render
from pipeline.resize.rule import Resize

TEMPLATES: Final = "ios"
# `async` loading, and the oldest that coremltools' ML Programs of this project are written for.
LEAST_IOS: Final = (16, 0)


@dataclass(frozen=True)
class SwiftModel:
    """A Core ML package in the Swift code, with the oldest systems that load it."""

    path: str
    precision: str
    ios: str
    macos: str
    files: tuple[FileEntry, ...]


def package_files(manifest: Manifest) -> dict[str, str]:
    """The files of the Swift package: relative POSIX path -> text, sorted by path.

    Nothing, where the manifest lists no Core ML artifact: there is nothing to put into a package.

    Raises:
        ValueError: the manifest asks for compute units that Core ML does not have.
    """
    found = _artifacts(manifest)
    if not found:
        return {}
    model = manifest.model
    packages = [_package(artifact) for artifact in sorted(found, key=_choice)]
    units = str(found[0].session.get("compute_units", "all"))
    if units not in COMPUTE_UNITS:
        raise ValueError(f"compute units {units!r} are none of {', '.join(COMPUTE_UNITS)}")
    values = {
        "quoted": swift_string,
        "comment": swift_comment,
        "module": module_name(model.name),
        "chosen": packages[0],
        "packages": packages,
        "name": model.name,
        "version": model.version,
        "intended_use": model.intended_use,
        "looks_for": model.words.looks_for,
        "labels": model.labels,
        "positive": None if model.positive is None else model.labels.index(model.positive),
        "threshold": model.threshold,
        "resize": _resize(model.rule),
        "input_name": found[0].inputs[0].name,
        "probabilities_name": next(port.name for port in found[0].outputs if port.name != EVIDENCE),
        "evidence_name": EVIDENCE,
        "compute_units": COMPUTE_UNITS[units],
    }
    return render(TEMPLATES, values)


def _resize(rule: Resize) -> str:
    """The rule as a call of the struct `Resize` of the package."""
    said = [f"width: {rule.width}", f"height: {rule.height}"]
    if rule.mode != "squish":
        said.append(f"mode: .{rule.mode}")
    if rule.fill is not None:
        said.append(f"fill: .{rule.fill}")
    if rule.margin:
        said.append(f"margin: {rule.margin}")
    return f"Resize({', '.join(said)})"


def default_model(manifest: Manifest) -> ArtifactEntry | None:
    """The artifact that the package puts into an app; None without a Core ML artifact."""
    found = _artifacts(manifest)
    return min(found, key=_choice, default=None)


def module_name(name: str) -> str:
    """The Swift module of a model: ``squeezenet_cxr`` is ``SqueezenetCxr``."""
    words = [word for word in name.split("_") if word]
    joined = "".join(word[0].upper() + word[1:] for word in words)
    return joined if joined[:1].isalpha() else f"Model{joined}"


def _artifacts(manifest: Manifest) -> list[ArtifactEntry]:
    """Those that the package runs."""
    runnable = {name for name, facts in FORMATS.items() if facts.swift_package}
    return [artifact for artifact in manifest.artifacts if artifact.format in runnable]


def _choice(artifact: ArtifactEntry) -> tuple[tuple[int, ...], int, str]:
    return _version(artifact.requires["ios"]), artifact.size_bytes, artifact.path


def _package(artifact: ArtifactEntry) -> SwiftModel:
    ios = max(_version(artifact.requires["ios"]), LEAST_IOS)
    macos = (_macos(ios[0]), *ios[1:])
    return SwiftModel(
        artifact.path,
        artifact.precision,
        ".".join(map(str, ios)),
        ".".join(map(str, macos)),
        artifact.files,
    )


def _version(stated: str | int) -> tuple[int, ...]:
    return tuple(int(part) for part in str(stated).split("."))


def _macos(ios: int) -> int:
    """The macOS that came with an iOS: 13 with 16, 15 with 18; the same number from 26 on."""
    return ios if ios >= 26 else ios - 3
