"""The exact lines of code that load each published file."""

from __future__ import annotations

from export.packages.snippets import snippets
from export.report.page.blocks import Block, Code, Fold, Notice, Section, Table, Text, count
from export.report.page.sources import NOT_IN_REPORT, PageSources
from export.report.report import Artifact, ModelFacts, PublishedFile


def integration_section(sources: PageSources) -> Section:
    """A fold per published file with its hashes and code; for the others, why there is none."""
    report = sources.report
    title = "Integrate"
    published = [(a, a.file) for a in report.artifacts if a.file is not None]
    if not published:
        old = any(a.place for a in report.artifacts)
        notice = (
            Notice("not_here", title, NOT_IN_REPORT)
            if old
            else Notice("not_run", title, "nothing was published")
        )
        return Section("integrate", title, [notice])
    blocks: list[Block] = [
        Text(
            "The folder's own package comes first: it includes the preprocessing, tests and the "
            "golden pack. The other lines use only the runtime and expect pixels made by the "
            f"model's resize{_resize_words(report.model)}. Our tests run the "
            "Python, compile the Kotlin with stand-ins for Android and the runtimes, and parse "
            "the Swift; no phone has run these lines here."
        )
    ]
    blocks += [_fold(artifact, file, report.model) for artifact, file in published]
    blocks += [
        Notice("not_run", f"no snippet for {a.name}", a.reason or "it is not published")
        for a in report.artifacts
        if a.file is None
    ]
    return Section("integrate", title, blocks)


def _resize_words(model: ModelFacts | None) -> str:
    """What happens to an image, after a colon; nothing, where the report does not say it."""
    if model is None or model.side is None:
        return ""
    return f": {model.rule.sentence()}, bilinear, antialiased"


def _fold(artifact: Artifact, file: PublishedFile, model: ModelFacts | None) -> Fold:
    rows = [[entry.path, count(entry.size_bytes), entry.sha256] for entry in file.files]
    none = Notice("not_run", "Code", f"there is none for {artifact.format}")
    return Fold(
        f"{artifact.name}: {file.path}",
        [
            Table(f"Files of {file.path}", ("file", "bytes", "SHA-256"), rows),
            *(_code(artifact, file, model) or [none]),
        ],
    )


def _code(artifact: Artifact, file: PublishedFile, model: ModelFacts | None) -> list[Block]:
    lacking = "the report lacks what the code needs"
    if model is None:
        return [Notice("not_run", "Code", f"{lacking}: its model")]
    try:
        made = snippets(artifact.format, artifact.precision, artifact.place, file, model)
    except (KeyError, ValueError, IndexError, StopIteration) as error:
        return [Notice("not_run", "Code", f"{lacking}: {error!r}")]
    return [Code(snippet.title, snippet.language, snippet.text) for snippet in made]
