"""A format as data: everything that others need and that requires no converter.

A format is one folder, ``export/formats/<name>/``, and one line in `export.formats.register`.
The folder has ``facts.py`` with a `FormatFacts` named ``FACTS``, ``format.py`` with the verbs
(`export.formats.base.Verbs`) and ``snippets.py``; its ``__init__.py`` imports the latter two on
demand. Command line, manifest, asset README, packages, report, benchmark and doctor
use the facts: no other place names a format.

Every field is required, except a tolerance that is the strictest unless stated. A default would
mean that a format has less without anyone's decision.
Importing facts imports no numpy, no torch and no converter.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from export.formats.description import Tolerance as Tolerance

Target = Literal["arm64", "oldest"]
Arithmetic = Literal["fp32", "fp16", "int8"]  # what the results of operations are rounded to
# Of evidence, by what is rounded; measured on 150 X-rays and the stress images: 1.3e-2 and 1e-1.
# Swapped classes or places give 1 and more.
HALF_EVIDENCE: Final = 3e-2  # arithmetic in fp16
INTEGER_EVIDENCE: Final = 0.25  # one code of a late layer, rounded differently, moves one place


@dataclass(frozen=True)
class Requirement:
    """A module needed to convert, and the extra of this project that installs it.

    `extra` is empty for a module that comes with the project itself.
    """

    module: str
    extra: str


@dataclass(frozen=True)
class Precision:
    """One precision of a format.

    Attributes:
        variant: of the checkpoint, which it is made from (`export.deploy.variants`).
        tolerance: how far its outputs may be from PyTorch's with the same weights.
        arithmetic: of its runtime.
    """

    variant: str
    tolerance: Tolerance
    arithmetic: Arithmetic


@dataclass(frozen=True)
class LeastRuntime:
    """The oldest runtime or system that loads a file, as in `requires` of the manifest.

    Attributes:
        key: in `requires`.
        title: its name in a README.
        versions: version that a file is written in -> the oldest runtime that loads it, as tested
            or documented by a vendor.
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
        outputs: replaces ``{outputs}`` if a file outputs probabilities alone; may use
            ``{probs}``, their type and shape.
        outputs_with_evidence: if it outputs evidence too; also ``{evidence}``, its type and shape.
    """

    texts: Mapping[str, str]
    outputs: str
    outputs_with_evidence: str


@dataclass(frozen=True)
class AndroidRuntime:
    """The runtime of a format in the Gradle module of ``android_assets``.

    Attributes:
        title: its name for people.
        switch: name of the Kotlin value that states whether an app needs this runtime.
        artifact: of Maven, without its version.
        key: of its least version in the `requires` of an artifact.
        newest: the version to use if the artifacts promise an older one; empty: the promised
            one.
        note: comment over the dependency; may use ``{promised}``; empty: none.
        threads: the session option that holds the number of threads.
        class_suffix: between the model's name and Classifier in the name of its classifier.
        kept_classes: Java classes that native code looks up by name.
        source_set: folder of its classifier, ``src/<source_set>/kotlin``.
        test_source_set: likewise of its test on a device.
        templates: folder with both.
        template_values: what these need beyond the values for every template, from the `session` of
            each of its artifacts in the manifest. Raises ValueError if an option is unknown.
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
    """A build of a format's runtime other than the installed one, with every package pinned.

    Attributes:
        name: identifier, and name of its folder in the cache.
        target: the group name for ``make`` and ``python -m export.runtimes install``.
        arch: ``native``: of this machine; ``arm64``: aarch64, emulated if that is not native.
        module: the runtime, as it is imported.
        packages: pinned requirements, the runtime first. They are installed without their
            dependencies: loading and running a model imports only these, as found by trial.
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
        name: identifier in the manifest and on the command line, and name of its folder.
        title: its name for people.
        suffix: of the artifact's file or folder name.
        platforms: ``android``, ``ios``, ``web``: those whose asset folders contain it.
        requirements: modules needed to convert.
        runtime: module that runs the artifact here.
        least_runtime: the oldest runtime that loads the artifact in an app.
        session: options that an app should set in its runtime, with all others at their defaults.
        precisions: all that exist, the plainest first.
        refused: precision that the format does not support -> why.
        app_precision: the default for apps that choose no file; empty: the smallest.
        converter_start_s: approximate seconds to import its converter; the slowest starts
            first.
        returns_tuple: whether the runtime returns a single tensor as it is and several as a tuple,
            so that a second output breaks apps; otherwise outputs have names.
        android: its runtime in the Gradle module; None: the module does not run it.
        swift_package: whether the Swift package of ``ios_assets`` runs it.
        web_page: whether the page of ``web_assets`` runs it.
        integration: text for the READMEs.
        other_builds: of its runtime, to run published files with.
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
        """Modules needed to convert; looked up by `find_spec`, nothing is imported."""
        return tuple(requirement.module for requirement in self.requirements)

    def extras_of(self, modules: Sequence[str]) -> list[str]:
        """The extras of this project that install `modules`, each once."""
        found = (r.extra for r in self.requirements if r.module in modules and r.extra)
        return list(dict.fromkeys(found))
