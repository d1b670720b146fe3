"""The first sentence of the page, and the verdict on every artifact."""

from __future__ import annotations

from datetime import UTC, datetime

from export.report.page.blocks import (
    Block,
    Cell,
    Notice,
    Section,
    StatusWord,
    Table,
    Text,
    count,
    number,
    scientific,
)
from export.report.page.sources import PageSources
from export.report.remarks import remarks
from export.report.report import VERDICTS, Artifact, Report
from pipeline.metrics.quality_limits import way_out

NOT_SAID = "Research only, unless the owner of the model says otherwise in its manifest."


def counts(report: Report) -> dict[str, int]:
    """Verdict -> artifacts."""
    found = [artifact.verdict for artifact in report.artifacts]
    return {verdict: found.count(verdict) for verdict in VERDICTS}


def opening_sentence(report: Report) -> str:
    """The result, on which images, by which versions, and when, as far as known."""
    tools = ", ".join(f"{tool} {version}" for tool, version in (report.tools or {}).items())
    when = report.finished
    return (
        f"{report.verdict}: compared with PyTorch on {report.images}, by "
        f"{tools or 'unknown versions'}; "
        + (f"finished {_moment(when)}." if when else "the report does not say when.")
    )


def _moment(text: str) -> str:
    """A time in UTC for people; text that is not a time stays unchanged."""
    try:
        return f"{datetime.fromisoformat(text).astimezone(UTC):%Y-%m-%d %H:%M} UTC"
    except ValueError:
        return text


def intended_use(report: Report) -> str:
    """What the model may be used for; shown where people look first."""
    said = report.model.intended_use if report.model else None
    return NOT_SAID if said is None else said


def verdict_section(sources: PageSources) -> Section:
    """First what did not pass, with the reason; then all artifacts in a table."""
    report = sources.report
    blocks: list[Block] = [
        Notice(status, artifact.name, _reason(artifact))
        for status in ("fail", "rejected", "accepted", "not_run")
        for artifact in report.artifacts
        if artifact.verdict == status
    ]
    head = (
        "artifact",
        "verdict",
        "max |Δp|",
        "allowed",
        "label flips",
        "images",
        "of fp32's labels",
        "AUROC",
        "bytes",
        "ms (1 thread)",
        "published for",
    )
    rows = [_row(artifact) for artifact in report.artifacts]
    blocks.append(Table("Verdict per artifact", head, rows))
    blocks.append(
        Text(
            "max |Δp| and label flips: compared with PyTorch with the same weights. Of fp32's "
            "labels: validation images decided differently from the fp32 model. ms: median of "
            "one inference on the machine named below."
        )
    )
    blocks += [Text(f"{remark}.") for remark in remarks(report.artifacts)]
    return Section("verdict", "Verdict", blocks)


def _reason(artifact: Artifact) -> str:
    if artifact.verdict == "rejected":
        return f"{artifact.reason}; what helps: {way_out(artifact.precision)}"
    return artifact.reason or "no reason given"


def _row(artifact: Artifact) -> list[Cell]:
    parity, accuracy = artifact.parity, artifact.accuracy
    return [
        artifact.name,
        StatusWord(artifact.verdict),
        scientific(parity.max_abs_diff),
        scientific(artifact.allowed),
        count(parity.label_flips),
        count(parity.images),
        count(accuracy.label_flips if accuracy else None),
        number(auroc_of(artifact), ".4f"),
        count(artifact.size_bytes),
        number(latency_of(artifact), ".2f"),
        artifact.place or "nowhere",
    ]


def auroc_of(artifact: Artifact) -> float | None:
    """Measured on this run's images; else as the quality gate recorded it."""
    known = artifact.classification or artifact.accuracy
    return known.auroc if known else None


def latency_of(artifact: Artifact, threads: str = "1") -> float | None:
    """Median in ms; None: not measured."""
    found = artifact.latency_ms and artifact.latency_ms.threads.get(threads)
    return found.median if found else None


def worst_status(report: Report) -> str:
    """The verdict in the head of the page: a key of `blocks.WORDS`."""
    found = counts(report)
    for status in ("fail", "rejected", "accepted"):
        if found[status]:
            return status
    return "pass" if found["pass"] else "not_run"
