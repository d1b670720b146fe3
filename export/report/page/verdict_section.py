"""The first sentence of the page, and the verdict on every artifact."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from export.report.document import WORDS as VERDICTS
from export.report.page.blocks import (
    Block,
    Cell,
    Notice,
    Section,
    Table,
    Text,
    Verdict,
    count,
    number,
    scientific,
)
from export.report.page.sources import Sources

INTENDED_USE = "Research only. Not a medical device; never use it for diagnosis."


def name_of(artifact: Mapping[str, Any]) -> str:
    """Such as ``onnx fp32``."""
    return f"{artifact['format']} {artifact['precision']}"


def reason_of(artifact: Mapping[str, Any]) -> str:
    """Why it is not published, or was not run; empty if it passed."""
    if artifact["verdict"] == "rejected":
        return "; ".join((artifact["accuracy"] or {}).get("broken_limits", ()))
    return str(artifact["parity"]["reason"])


def counts(report: Mapping[str, Any]) -> dict[str, int]:
    """Verdict -> artifacts."""
    found = [artifact["verdict"] for artifact in report["artifacts"]]
    return {verdict: found.count(verdict) for verdict in VERDICTS}


def opening_sentence(report: Mapping[str, Any]) -> str:
    """What it comes to, on which images, by which versions, and when, as far as it is known."""
    tools = ", ".join(f"{tool} {version}" for tool, version in report.get("tools", {}).items())
    when = report.get("finished")
    return (
        f"{report['verdict']}: compared with PyTorch on {report['images']}, by "
        f"{tools or 'versions that the report does not tell'}; "
        + (f"finished {_moment(when)}." if when else "when, the report does not tell.")
    )


def _moment(text: str) -> str:
    """A time in UTC for people; what is no time stays as it is."""
    try:
        return f"{datetime.fromisoformat(text).astimezone(UTC):%Y-%m-%d %H:%M} UTC"
    except ValueError:
        return text


def intended_use(report: Mapping[str, Any]) -> str:
    """What the model is not for, which stands where people look first."""
    return str(report.get("model", {}).get("intended_use", INTENDED_USE))


def verdict_section(sources: Sources) -> Section:
    """Whatever did not pass first, with its reason; then all artifacts in a table."""
    report = sources.report
    blocks: list[Block] = [
        Notice(status, name_of(artifact), reason_of(artifact) or "no reason given")
        for status in ("fail", "rejected", "not_run")
        for artifact in report["artifacts"]
        if artifact["verdict"] == status
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
    rows = [_row(artifact) for artifact in report["artifacts"]]
    blocks.append(Table("Verdict per artifact", head, rows))
    blocks.append(
        Text(
            "max |Δp| and label flips: to PyTorch holding the same weights. Of fp32's labels: how "
            "many validation images are decided otherwise than by the fp32 model. ms: median of "
            "one inference on the machine named below."
        )
    )
    return Section("verdict", "Verdict", blocks)


def _row(artifact: Mapping[str, Any]) -> list[Cell]:
    parity, accuracy = artifact["parity"], artifact["accuracy"] or {}
    return [
        name_of(artifact),
        Verdict(artifact["verdict"]),
        scientific(parity["max_abs_diff"]),
        scientific((parity["tolerance"] or {}).get("max_abs_diff")),
        count(parity["label_flips"]),
        count(parity["images"]),
        count(accuracy.get("label_flips")),
        number(auroc_of(artifact), ".4f"),
        count(artifact["size_bytes"]),
        number(latency_of(artifact), ".2f"),
        artifact["place"] or "nowhere",
    ]


def auroc_of(artifact: Mapping[str, Any]) -> float | None:
    """Measured on this run's images; else what the promotion gate has on record."""
    measured = artifact["classification"]
    if measured is not None:
        return _optional(measured["auroc"])
    return _optional((artifact["accuracy"] or {}).get("auroc"))


def latency_of(artifact: Mapping[str, Any], threads: str = "1") -> float | None:
    """Median in ms; None: not measured."""
    found = ((artifact["latency_ms"] or {}).get("threads") or {}).get(threads) or {}
    return _optional(found.get("median"))


def _optional(value: Any) -> float | None:
    return None if value is None else float(value)


def worst_status(report: Mapping[str, Any]) -> str:
    """The verdict that the whole page is headed by: a key of `blocks.WORDS`."""
    found = counts(report)
    for status in ("fail", "rejected"):
        if found[status]:
            return status
    return "pass" if found["pass"] else "not_run"
