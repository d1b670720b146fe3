"""The Android asset folder as a Gradle library module: its files, from the manifest alone.

In: the manifest. Out: relative POSIX path -> text, from the templates in
``templates/android/`` and those of the runtimes, in the folders of the formats. Nothing is read
from disk but these, so the same manifest gives the same files.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from export.formats.facts import AndroidRuntime
from export.formats.register import FORMATS, android_runtimes
from export.formats.source_text import comment, kotlin
from export.manifest.manifest import ArtifactEntry, Manifest, ModelEntry
from export.packages.render import render
from export.packages.resize_proofs import resize_proofs
from pipeline.resize.rule import Resize

GROUP: Final = "mobilemodels"  # the Kotlin package of a model is GROUP.name
KEYWORDS: Final = frozenset(
    """abstract as assert boolean break byte case catch char class const continue default do double
    else enum extends false final finally float for fun goto if implements import in instanceof int
    interface is long native new null object package private protected public return short static
    strictfp super switch synchronized this throw throws transient true try typealias typeof val var
    void volatile when while""".split()  # noqa: SIM905
)


@dataclass(frozen=True)
class ModelFile:
    """A published file in the Kotlin code; `threads` is what its runtime is to use."""

    path: str
    size_bytes: int
    sha256: str
    threads: int


@dataclass(frozen=True)
class RuntimeBlock:
    """What build.gradle.kts says of a runtime; `dependency` is None if no artifact needs it."""

    switch: str
    suffixes: list[str]
    source_set: str
    test_source_set: str
    kept_classes: tuple[str, ...]
    dependency: str | None
    note: list[str]


def package_files(manifest: Manifest) -> dict[str, str]:
    """The module's files: relative POSIX path -> text, sorted by path.

    Nothing, where no artifact in the manifest runs on Android: a module would be empty.

    Raises:
        ValueError: an artifact asks for a session option that its runtime does not have.
    """
    model = manifest.model
    artifacts = android_artifacts(manifest)
    if not artifacts:
        return {}
    package = f"{GROUP}.{package_name(model.name)}"
    values: dict[str, object] = {
        "model": model,
        "package": package,
        "package_path": package.replace(".", "/"),
        "class_name": class_name(model.name),
        "asset_folder": f"{GROUP}/{model.name}",
        "positive": _positive(model),
        "threshold": _threshold(model),
        "files": [_file(artifact) for artifact in artifacts],
        "default_file": default_file(artifacts),
        "runtimes": [_runtime(runtime, artifacts) for runtime in android_runtimes()],
        "brings": ", ".join(runtime_texts("{}")),
        "proofs": resize_proofs(model.rule),
        "resize": _resize(model.rule),
        "kotlin": kotlin,
        "comment": comment,
    }
    files = render("android", values)
    for runtime in android_runtimes():
        sessions = [a.session for a in artifacts if _android(a) == runtime]
        more = runtime.template_values(sessions)
        templates = runtime.templates
        files |= render(templates.name, {**values, **more}, templates.parent)
    return dict(sorted(files.items()))


def android_artifacts(manifest: Manifest) -> list[ArtifactEntry]:
    """Those that a runtime on Android loads, in the order of the manifest."""
    return [artifact for artifact in manifest.artifacts if _android(artifact) is not None]


def classifier_name(name: str, runtime: AndroidRuntime) -> str:
    """The class that runs a model's files by `runtime`."""
    return f"{class_name(name)}{runtime.class_suffix}Classifier"


def runtime_texts(quoted: str) -> list[str]:
    """Which files need which runtime, a part of a sentence each: ``an .onnx file brings X along``.

    `quoted`: how a suffix is written, with ``{}`` for it.
    """
    texts: list[str] = []
    for runtime in android_runtimes():
        suffixes = _suffixes(runtime)
        article = "an" if suffixes[0][1] in "aeiou" else "a"
        files = f"{article} {' or '.join(quoted.format(suffix) for suffix in suffixes)} file"
        texts.append(
            f"{files} {runtime.title}" if texts else f"{files} brings {runtime.title} along"
        )
    return texts


def package_name(name: str) -> str:
    """The last part of a model's Kotlin package: ``squeezenet_cxr`` -> ``squeezenetcxr``."""
    letters = re.sub("[^a-z0-9]", "", name.lower())
    return letters if letters[:1].isalpha() and letters not in KEYWORDS else f"model{letters}"


def class_name(name: str) -> str:
    """The beginning of a model's class names: ``squeezenet_cxr`` -> ``SqueezenetCxr``."""
    words = re.findall("[A-Za-z0-9]+", name)
    camel = "".join(word[:1].upper() + word[1:] for word in words)
    return camel if camel[:1].isalpha() else f"Model{camel}"


def default_file(artifacts: Sequence[ArtifactEntry]) -> str:
    """The model file of an app that chooses none.

    It is of the first format in the register that is there: the precision that the format names
    for this, else the smallest.
    """
    for name, facts in FORMATS.items():
        found = [artifact for artifact in artifacts if artifact.format == name]
        chosen = [artifact for artifact in found if artifact.precision == facts.app_precision]
        if found:
            return min(chosen or found, key=lambda artifact: artifact.size_bytes).path
    raise ValueError("no artifact for Android")


def _resize(rule: Resize) -> str:
    """The rule as a call of the class `Resize` of the module."""
    said = ["WIDTH", "HEIGHT"]
    if rule.mode != "squish":
        said.append(f"Resize.Mode.{rule.mode.upper()}")
    if rule.fill is not None:
        said.append(f"Resize.Fill.{rule.fill.upper()}")
    if rule.margin:
        said.append(f"margin = {rule.margin}")
    return f"Resize({', '.join(said)})"


def _positive(model: ModelEntry) -> int | None:
    return None if model.positive is None else model.labels.index(model.positive)


def _threshold(model: ModelEntry) -> str | None:
    """The threshold in float32, as `decide` compares; the shortest digits."""
    return None if model.threshold is None else str(np.float32(model.threshold))


def _file(artifact: ArtifactEntry) -> ModelFile:
    (file,) = artifact.files
    runtime = _android(artifact)
    assert runtime is not None
    threads = int(artifact.session[runtime.threads])
    return ModelFile(file.path, file.size_bytes, file.sha256, threads)


def _android(artifact: ArtifactEntry) -> AndroidRuntime | None:
    """What runs it in the Gradle module."""
    facts = FORMATS.get(artifact.format)
    return None if facts is None else facts.android


def _suffixes(runtime: AndroidRuntime) -> list[str]:
    return [facts.suffix for facts in FORMATS.values() if facts.android == runtime]


def _runtime(runtime: AndroidRuntime, artifacts: Sequence[ArtifactEntry]) -> RuntimeBlock:
    promised = [str(a.requires[runtime.key]) for a in artifacts if runtime.key in a.requires]
    dependency, note = None, list[str]()
    if promised:
        least = max(promised, key=_version)
        whole = least + ".0" * (2 - least.count("."))
        version = max(whole, runtime.newest, key=_version) if runtime.newest else least
        dependency = f"{runtime.artifact}:{version}"
        note = runtime.note.format(promised=least).splitlines()
    return RuntimeBlock(
        switch=runtime.switch,
        suffixes=_suffixes(runtime),
        source_set=runtime.source_set,
        test_source_set=runtime.test_source_set,
        kept_classes=runtime.kept_classes,
        dependency=dependency,
        note=note,
    )


def _version(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split("."))
