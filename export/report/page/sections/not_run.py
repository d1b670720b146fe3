"""Everything that was not run or is missing, and why, in one list."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from export.report.page.blocks import Block, Cell, Fold, Notice, Section, StatusWord, Table, Text
from export.report.page.sections.verdict import latency_of
from export.report.page.sources import PageSources

TITLE = "Not run, and why"


def not_run_section(sources: PageSources, others: Sequence[Section]) -> Section:
    """Artifacts, precisions that a format cannot take, and what is missing from `others`."""
    report = sources.report
    rows: list[list[Cell]] = [
        [a.name, StatusWord(a.verdict), a.reason]
        for a in report.artifacts
        if a.verdict in ("not_run", "rejected")
    ]
    rows += [
        [f"{name} {precision}", StatusWord("not_run"), f"cannot be made: {why}"]
        for name, reasons in (report.refused or {}).items()
        for precision, why in reasons.items()
    ]
    rows += [
        [notice.title, notice.verdict, notice.reason]
        for section in others
        if section.name not in ("verdict", "integrate")
        for notice in _notices(section.blocks)
    ]
    timed = [a for a in report.artifacts if latency_of(a) is not None]
    rows += [
        [f"latency of {a.name}", StatusWord("not_run"), f"not timed here: {a.parity.how}"]
        for a in report.artifacts
        if timed and a not in timed and a.verdict == "pass"
    ]
    for source in (sources.benchmark, sources.peers):
        every = source.document.rows if source.document else ()
        undone = {(r.name, r.reason): r for r in every if r.status != "done"}
        rows += [
            [f"{row.name} ({source.path})", StatusWord(row.status), row.reason]
            for row in undone.values()
        ]
    if not rows:
        return Section("not-run", TITLE, [Text("Nothing was left out.")])
    return Section("not-run", TITLE, [Table("Left out", ("what", "verdict", "why"), _merged(rows))])


def _merged(rows: Sequence[Sequence[Cell]]) -> list[list[Cell]]:
    """One row for everything with the same verdict and reason."""
    together: dict[tuple[Cell, ...], list[str]] = {}
    for what, *rest in rows:
        together.setdefault(tuple(rest), []).append(str(what))
    return [[", ".join(names), *rest] for rest, names in together.items()]


def _notices(blocks: Sequence[Block]) -> Iterator[Notice]:
    for block in blocks:
        if isinstance(block, Notice) and block.status in ("not_run", "not_here"):
            yield block
        elif isinstance(block, Fold):
            yield from _notices(block.blocks)
