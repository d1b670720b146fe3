"""Trials: preprocessing mistakes of apps, and faults planted in files."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from export.report.page.blocks import (
    Block,
    Cell,
    Chart,
    Fold,
    Notice,
    Section,
    StatusWord,
    Table,
    Text,
    count,
    number,
    percent,
)
from export.report.page.charts import interval_chart
from export.report.page.points import Share
from export.report.page.sources import NOT_IN_REPORT, Control, FaultResult, PageSources
from export.report.robustness import MistakeEntry, RobustnessEntry


def mistakes_section(sources: PageSources) -> Section:
    """What preprocessing mistakes cost."""
    found = sources.report.robustness
    title = "Preprocessing mistakes"
    if found is None or found.status == "not_run":
        notice = (
            Notice("not_here", title, NOT_IN_REPORT)
            if found is None
            else Notice("not_run", title, found.reason)
        )
        return Section("mistakes", title, [notice])
    rows = found.rows
    shares = [Share(r.name, r.flip_rate, r.low, r.high, r.limit) for r in rows]
    worst = max(rows, key=lambda row: row.flip_rate)
    blocks: list[Block] = [
        Notice("fail", title, found.reason) if found.status == "fail" else Text(_said(found)),
        Chart(
            "mistakes",
            "Labels that flip when an app makes a mistake",
            f"Share of {found.images} images with its 95 % interval; the thick tick is a limit. "
            f"Worst: {worst.name} flips {worst.flips} of them.",
            interval_chart(shares, "labels that flip"),
            [_mistakes(rows)],
        ),
    ]
    return Section("mistakes", title, blocks)


def _said(found: RobustnessEntry) -> str:
    return f"Every limit holds: {found.artifact} on {found.source}."


def _mistakes(rows: Sequence[MistakeEntry]) -> Table:
    cells: list[list[Cell]] = [
        [
            row.name,
            row.does,
            count(row.flips),
            percent(row.flip_rate),
            percent(row.low),
            percent(row.high),
            percent(row.limit),
            StatusWord(row.verdict) if row.verdict else "",
            number(row.auroc, ".4f"),
            number(row.max_abs_diff, ".3f"),
        ]
        for row in rows
    ]
    head = (
        "mistake",
        "what happens",
        "flips",
        "share",
        "from",
        "to",
        "limit",
        "verdict",
        "AUROC",
        "max |Δp|",
    )
    return Table("What each mistake costs", head, cells)


def faults_section(sources: PageSources) -> Section:
    """Planted faults by format, all of them in a table, and the controls."""
    source = sources.faults
    title = "Planted faults"
    if source.document is None:
        return Section("faults", title, [Notice("not_here", title, source.reason)])
    faults, controls = source.document.faults, source.document.controls
    model = source.document.model
    files = f"files of {model['name']} {model['version']}" if model else "real files"
    missed = [entry for entry in faults if not entry.caught_by]
    alarms = [entry for entry in controls if entry.caught_by]
    blocks: list[Block] = [
        Text(
            f"{len(faults) - len(missed)} of {len(faults)} faults planted in {files} were "
            f"found by the check that every file of this report went through; {len(alarms)} of "
            f"{len(controls)} harmless changes raised a false alarm. Source: {source.path}; "
            "the faults were planted when that file was made, not in this run."
        ),
        *(Notice("fail", f"not found: {entry.name}", f"in {entry.format}") for entry in missed),
        *(Notice("fail", f"false alarm: {entry.name}", f"in {entry.format}") for entry in alarms),
        _by_format(faults),
        Fold(f"All {len(faults)} planted faults", [_every(faults, "planted fault", "NOT FOUND")]),
        Fold(
            f"All {len(controls)} harmless changes",
            [_every(controls, "harmless change", "pass")],
        ),
    ]
    return Section("faults", title, blocks)


def _by_format(faults: Sequence[FaultResult]) -> Table:
    parts = sorted({part for entry in faults for part in entry.caught_by})
    rows: list[list[Cell]] = []
    for name in dict.fromkeys(entry.format for entry in faults):
        of_format = [entry for entry in faults if entry.format == name]
        by_part = Counter(part for entry in of_format for part in entry.caught_by)
        found = sum(bool(entry.caught_by) for entry in of_format)
        rows.append(
            [name, count(len(of_format)), count(found), *(count(by_part[part]) for part in parts)]
        )
    return Table(
        "Planted faults by format, and how many each part of the check found",
        ("format", "planted", "found", *parts),
        rows,
    )


def _every(entries: Sequence[FaultResult | Control], title: str, nothing: str) -> Table:
    """A row per fault, a column per format; empty if it was not planted there.

    `nothing`: the word for what no part of the check found.
    """
    formats = list(dict.fromkeys(entry.format for entry in entries))
    found = {(entry.name, entry.format): entry.caught_by for entry in entries}
    rows: list[list[Cell]] = [
        [
            name,
            *(
                (", ".join(found[name, f]) or nothing) if (name, f) in found else ""
                for f in formats
            ),
        ]
        for name in dict.fromkeys(entry.name for entry in entries)
    ]
    return Table(f"{title.capitalize()} and what found it", (title, *formats), rows)
