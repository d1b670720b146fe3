"""``python -m export report``: the documents in, one HTML file out."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final

from export.report.page.blocks import Section, StatusWord
from export.report.page.html import Opening, render_page
from export.report.page.sections.integration import integration_section
from export.report.page.sections.not_run import not_run_section
from export.report.page.sections.parity import parity_section
from export.report.page.sections.tradeoff import tradeoff_section
from export.report.page.sections.training import training_section
from export.report.page.sections.trials import faults_section, mistakes_section
from export.report.page.sections.verdict import (
    intended_use,
    opening_sentence,
    verdict_section,
    worst_status,
)
from export.report.page.sections.worst import worst_section
from export.report.page.sources import RELEASED, PageSources, read_sources
from pipeline.atomic_files import write_text
from pipeline.errors import require
from pipeline.model_spec import named

if TYPE_CHECKING:
    from export.report.report import ModelFacts

PAGE_FILE: Final = "report.html"


def write_page(
    report: Path | None, out: Path | None, given: Mapping[str, Path | None] | None = None
) -> Path:
    """Write the page and return its path.

    Args:
        report: see `read_sources`.
        out: the file to write; None: ``build/export/report.html``.
        given: see `read_sources`.

    Raises:
        MissingDependency: Altair or vl-convert is not installed.
        BadInput: no report, a damaged document, or `out` cannot be written.
    """
    require("altair", "vl_convert", what="the report page")
    path = out or Path("build/export") / PAGE_FILE
    write_text(path, page_of(read_sources(report, given)))
    return path


def page_of(sources: PageSources) -> str:
    """The page's text."""
    report = sources.report
    status = worst_status(report)
    sections = all_sections(sources)
    title = f"{report.model.name} {report.model.version}" if report.model else "Model"
    return render_page(
        Opening(
            title=f"{title.strip()}: export report",
            status=StatusWord(status),
            headline=_headline(status),
            opening=opening_sentence(report),
            intended_use=intended_use(report),
            facts=_facts(sources),
            source=_origin(sources),
        ),
        sections,
    )


def _headline(status: str) -> str:
    """The status in a few words, for those who read no further."""
    return {
        "pass": "Nothing failed",
        "fail": "There are failures",
        "rejected": "Files were rejected because they lose accuracy",
        "accepted": "Files that lose too much accuracy were published on request",
        "not_run": "Nothing was proven",
    }[status]


def all_sections(sources: PageSources) -> list[Section]:
    """All sections, in reading order."""
    told = [
        verdict_section(sources),
        parity_section(sources),
        tradeoff_section(sources),
        training_section(sources),
        worst_section(sources),
        mistakes_section(sources),
        faults_section(sources),
    ]
    return [*told, not_run_section(sources, told), integration_section(sources)]


def _facts(sources: PageSources) -> list[tuple[str, str]]:
    report = sources.report
    facts = [
        *(_model_facts(report.model) if report.model else ()),
        ("Images", report.images),
        ("Took", "" if report.seconds is None else f"{report.seconds} s"),
        ("Folders", ", ".join(report.published or ())),
        ("Report", _origin(sources)),
    ]
    return [(name, said) for name, said in facts if said]


def _model_facts(model: ModelFacts) -> list[tuple[str, str]]:
    return [
        ("Checkpoint", model.checkpoint_sha256[:16]),
        ("Architecture", model.architecture),
        ("Labels", named(model.labels)),
        ("Decision", _decision(model)),
    ]


def _origin(sources: PageSources) -> str:
    """The document that the page is made from."""
    released = ", the release's" if sources.report_path == RELEASED.as_posix() else ""
    return f"{sources.report_path}{released} (schema {sources.report.schema})"


def _decision(model: ModelFacts) -> str:
    if not model.labels:
        return ""
    if model.positive is None or model.threshold is None:
        return "the most probable label"
    return f"{model.positive} if its probability is at least {model.threshold}"
