"""What a format is, as data: everything that others need of it and that asks for no converter.

A format is one folder, ``export/formats/<name>/``, and one line in `export.formats.register`.
The folder has ``facts.py`` with a `FormatFacts` named ``FACTS``, ``format.py`` with the verbs
(`export.formats.base.Verbs`) and ``snippets.py``; its ``__init__.py`` imports the two latter when
they are asked for. Command line, manifest, asset README, packages, report, benchmark and doctor
derive from the facts: no other place names a format.

Every field is required, but for a tolerance that is the strictest unless stated. A default would
mean that a format has less, without anyone deciding it.
Importing facts imports no numpy, no torch and no converter.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from export.formats.description import Tolerance as Tolerance

Target = Literal["arm64", "oldest"]
# Of evidence, by what is rounded; measured on 150 X-rays and the hard images as 1.3e-2 and 1e-1.
# Classes or places taken for each other are 1 and more.
HALF_EVIDENCE: Final = 3e-2  # weights or arithmetic in fp16
INTEGER_EVIDENCE: Final = 0.25  # one code of a late layer, rounded the other way, moves one place


@dataclass(frozen=True)
class Requirement:
    """A module that converting needs, and the extra of this project that installs it.

    `extra` is empty for a module that comes with the project itself.
    """

    module: str
    extra: str


@dataclass(frozen=True)
class Precision:
    """One precision of a format.

    Attributes:
        variant: of the checkpoint, from which it is made (`export.deploy.variants`).
        tolerance: how far its answers may be from PyTorch's.
    """

    variant: str
    tolerance: Tolerance


@dataclass(frozen=True)
class LeastRuntime:
    """The oldest runtime or system that loads a file, as its `requires` in the manifest has it.

    Attributes:
        key: in `requires`.
        title: how a README says it.
        versions: version that a file is written in -> the oldest runtime that loads it, those that
            were tested or that a vendor documents.
    """

    key: str
    title: str
    versions: Mapping[int, str]


@dataclass(frozen=True)
class Integration:
    """The section of an asset folder's README on the files of a format.

    Attributes:
        texts: platform -> Markdown with named fields for `str.format`: ``{height}``, ``{width}``,
            ``{classes}``, ``{outputs}``, everything in `requires` and in `session`.
        outputs: what stands for ``{outputs}`` where a file gives probabilities alone; may use
            ``{probs}``, their type and shape.
        outputs_with_evidence: where it gives evidence too; also ``{evidence}``, its type and shape.
    """

    texts: Mapping[str, str]
    outputs: str
    outputs_with_evidence: str


@dataclass(frozen=True)
class AndroidRuntime:
    """The runtime of a format in the Gradle module of ``android_assets``.

    Attributes:
        title: how people say it.
        switch: name of the Kotlin value that says whether an app needs this runtime.
        artifact: of Maven, without its version.
        key: of its least version in the `requires` of an artifact.
        newest: the version to use where the artifacts promise an older one; empty: what they
            promise.
        note: comment over the dependency; may use ``{promised}``; empty: none.
        threads: the session option that holds the number of threads.
        class_suffix: what the name of its classifier has between the model's name and Classifier.
        kept_classes: Java classes that native code looks up by name.
        source_set: folder of its classifier, ``src/<source_set>/kotlin``.
        test_source_set: likewise of its test on a device.
        templates: folder with both.
        template_values: what these need beyond what every template gets, from the `session` of each
            of its artifacts in the manifest. Raises ValueError where an option is unknown.
    """

    title: str
    switch: str
    artifact: str
    key: str
    newest: str
    note: str
    threads: str
    class_suffix: str
    kept_classes: tuple[str, ...]
    source_set: str
    test_source_set: str
    templates: Path
    template_values: Callable[[Sequence[Mapping[str, str | int]]], Mapping[str, str | None]]


@dataclass(frozen=True)
class RuntimeBuild:
    """Another build of a format's runtime than the installed one, with every package pinned.

    Attributes:
        name: also of its folder in the cache.
        target: what ``make`` and ``python -m export.runtimes install`` call it with its like.
        arch: ``native``: of this machine; ``arm64``: aarch64, emulated where that is not native.
        module: the runtime, as it is imported.
        packages: pinned requirements, the runtime first. They are installed without their
            dependencies: these are all that loading and running a model imports, found by trying.
        threads: that the runtime may use.
    """

    name: str
    target: Target
    arch: Literal["native", "arm64"]
    module: str
    packages: tuple[str, ...]
    threads: int


@dataclass(frozen=True)
class FormatFacts:
    """All facts of a format.

    Attributes:
        name: identifier, as in the manifest and on the command line; also of its folder.
        title: how people say it.
        suffix: of the artifact's file or folder name.
        platforms: ``android``, ``ios``, ``web``: whose asset folders take it.
        requirements: modules that converting needs.
        runtime: module that runs the artifact here.
        least_runtime: the oldest runtime that loads the artifact in an app.
        session: options that an app should set in its runtime, everything else at its default.
        precisions: those that there are, the plainest first.
        refused: precision that the format cannot take -> why.
        app_precision: what an app gets that chooses no file; empty: the smallest.
        converter_start_s: seconds, about, until its converter is imported; the slowest starts
            first.
        returns_tuple: whether the runtime gives a tensor as it is and several as a tuple, so that
            a second output breaks apps; elsewhere outputs have names.
        android: its runtime in the Gradle module; None: the module does not run it.
        swift_package: whether the Swift package of ``ios_assets`` runs it.
        web_page: whether the page of ``web_assets`` runs it.
        integration: text for the READMEs.
        other_builds: of its runtime, to run published files by.
    """

    name: str
    title: str
    suffix: str
    platforms: tuple[str, ...]
    requirements: tuple[Requirement, ...]
    runtime: str
    least_runtime: LeastRuntime
    session: Mapping[str, str | int]
    precisions: Mapping[str, Precision]
    refused: Mapping[str, str]
    app_precision: str
    converter_start_s: float
    returns_tuple: bool
    android: AndroidRuntime | None
    swift_package: bool
    web_page: bool
    integration: Integration
    other_builds: tuple[RuntimeBuild, ...]

    @property
    def requires(self) -> tuple[str, ...]:
        """Modules that converting needs; asked with `find_spec`, nothing is imported."""
        return tuple(requirement.module for requirement in self.requirements)

    def extras_of(self, modules: Sequence[str]) -> list[str]:
        """The extras of this project that install `modules`, each once."""
        found = (r.extra for r in self.requirements if r.module in modules and r.extra)
        return list(dict.fromkeys(found))
