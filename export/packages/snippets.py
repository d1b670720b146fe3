"""The lines that load one published file into an app: Kotlin, Swift, HTML and Python.

In: a file's entry of the manifest and the model's. Out: `Snippet`s, each whole, with the file's
name, its hash, its ports and its session options as the manifest has them. Where the folder has
code of its own for a platform, that comes first: it brings the preprocessing along. The others use
the runtime alone and are made by the format, in its own folder.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from export.formats.facts import FormatFacts
from export.formats.register import FORMATS
from export.formats.snippet import (
    HTML,
    KOTLIN,
    SWIFT,
    Entry,
    NamedModel,
    Snippet,
    SnippetFile,
    snippets_of,
)
from export.formats.source_text import comment, swift_comment, swift_string
from export.packages.android import GROUP, classifier_name, package_name
from export.packages.android_readme import kotlin_usage
from export.packages.ios import module_name
from export.packages.ios_readme import swift_usage
from export.packages.web_readme import html_usage

WEB_FOLDER: Final = "web_assets"


def snippets(
    format_name: str, precision: str, place: str, file: Entry, model: NamedModel
) -> list[Snippet]:
    """All snippets of one published file.

    Args:
        format_name, precision: of the file.
        place: the platforms that it is published for, with spaces between.
        file, model: as in the manifest, or in a report.
    """
    facts = FORMATS.get(format_name)
    if facts is None:
        return []
    published = SnippetFile(format_name, precision, file, model)
    found: list[Snippet] = []
    for platform, packaged in PACKAGED.items():
        if platform in ("", *place.split()):
            found += packaged(facts, published)
            makers = snippets_of(format_name)
            found += [maker.make(published) for maker in makers if maker.platform == platform]
    return found


def _gradle_module(facts: FormatFacts, file: SnippetFile) -> list[Snippet]:
    if facts.android is None:
        return []
    name = file.model.name
    classifier = classifier_name(name, facts.android)
    text = f"""\
{file.header("//", comment)}
// gradle.properties of the app: {comment(name)}.models={comment(file.path)}
{kotlin_usage(f"{GROUP}.{package_name(name)}", classifier, file.mapped, file.path)}"""
    return [Snippet("With the Gradle module of android_assets", KOTLIN, text)]


def _swift_package(facts: FormatFacts, file: SnippetFile) -> list[Snippet]:
    if not facts.swift_package:
        return []
    module = module_name(file.model.name)
    text = f"""\
{file.header("//", swift_comment)}
// ios_assets/Package.swift: let model = {swift_string(file.path)}
{swift_usage(module, file.mapped)}"""
    return [Snippet("With the Swift package of ios_assets", SWIFT, text)]


def _html_page(facts: FormatFacts, file: SnippetFile) -> list[Snippet]:
    if not facts.web_page:
        return []
    text = html_usage(WEB_FOLDER, file.mapped, file.precision)
    header = "\n".join(f"  {line}" for line in file.header("", _html_comment).splitlines())
    return [
        Snippet(
            "With the modules of web_assets and the runtime that `python -m export web` adds",
            HTML,
            f"<!--\n{header}\n-->\n{text}",
        )
    ]


def _html_comment(line: str) -> str:
    """The line without what would end the comment."""
    return " ".join(line.split()).replace("--", "- -")


def _nothing(facts: FormatFacts, file: SnippetFile) -> list[Snippet]:
    return []


# Platform -> what uses the package in its asset folder; "" is for what runs anywhere.
PACKAGED: Final[Mapping[str, Callable[[FormatFacts, SnippetFile], list[Snippet]]]] = {
    "android": _gradle_module,
    "ios": _swift_package,
    "web": _html_page,
    "": _nothing,
}
