"""Size against latency and accuracy; and latency compared with other runtimes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

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
    scientific,
)
from export.report.page.charts import bars_chart, tradeoff_chart
from export.report.page.points import Bar, FilePoint
from export.report.page.sections.verdict import auroc_of, latency_of
from export.report.page.sources import PageSources, Source, Timed, TimedRow
from export.report.report import Artifact

NO_LATENCY = "no artifact was timed; `python -m export all` times them unless --no-latency is given"
GROUPS = {
    "ours": "ours",
    "peer": "another runtime",
    "pytorch": "PyTorch",
    "recipe": "as tutorials export",
}


def tradeoff_section(sources: PageSources) -> Section:
    """Charts of this report's own figures, then benchmark and peers if available."""
    artifacts = [a for a in sources.report.artifacts if a.size_bytes is not None]
    points = [
        FilePoint(a.name, a.format, a.precision, a.size_bytes, latency_of(a), auroc_of(a))
        for a in artifacts
        if a.size_bytes is not None
    ]
    timed = [point for point in points if point.latency_ms is not None]
    known = [point for point in points if point.auroc is not None]
    blocks: list[Block] = []
    if timed:
        blocks.append(
            Chart(
                "size-latency",
                "Size against latency",
                "Lower and further left is better. Median of one inference at one thread on "
                f"{_machine(_first_machine(artifacts))}.{_left_out(points, timed)}",
                tradeoff_chart(timed, "latency_ms", "ms (1 thread)", log=True),
                [],
            )
        )
    else:
        blocks.append(Notice("not_run", "Latency", NO_LATENCY))
    if known:
        blocks.append(
            Chart(
                "size-accuracy",
                "Size against accuracy",
                "Higher and further left is better. AUROC on the labelled validation images."
                f"{_left_out(points, known)}",
                tradeoff_chart(known, "auroc", "AUROC", log=False),
                [],
            )
        )
    else:
        found = sources.report.classification
        why = (found and found.reason) or "no labelled images"
        blocks.append(Notice("not_run", "Accuracy", why))
    blocks.append(_table(artifacts))
    blocks.append(_timed_block("Benchmark of the files", sources.benchmark, points))
    blocks += _peers(sources.peers, points)
    return Section("tradeoff", "Size, latency, accuracy", blocks)


def _table(artifacts: Sequence[Artifact]) -> Table:
    rows: list[list[Cell]] = []
    for a in artifacts:
        figures, accuracy = a.classification, a.accuracy
        known = figures or accuracy
        drop = accuracy.auroc_drop if accuracy else None
        rows.append(
            [
                a.name,
                count(a.size_bytes),
                count(a.file.zipped_bytes if a.file else None),
                number(latency_of(a), ".2f"),
                number(latency_of(a, "2"), ".2f"),
                number(auroc_of(a), ".4f"),
                _source_of(a),
                number(drop.value if drop else None, "+.4f"),
                number(figures.accuracy if figures else None, ".4f"),
                number(known.recall if known else None, ".4f"),
                number(figures.specificity if figures else None, ".4f"),
            ]
        )
    head = (
        "artifact",
        "bytes",
        "zipped",
        "ms (1 thread)",
        "ms (2 threads)",
        "AUROC",
        "source of AUROC",
        "loss to fp32",
        "accuracy",
        "recall",
        "specificity",
    )
    return Table("Size, latency and accuracy of every file", head, rows)


def _source_of(artifact: Artifact) -> str:
    if artifact.classification is not None:
        return "measured"
    return artifact.accuracy.source if artifact.accuracy and auroc_of(artifact) else "not run"


def _left_out(points: Sequence[FilePoint], shown: Sequence[FilePoint]) -> str:
    names = [point.artifact for point in points if point not in shown]
    return f" Unknown, so not drawn: {', '.join(names)}." if names else ""


def _first_machine(artifacts: Sequence[Artifact]) -> Mapping[str, str | int]:
    return next((a.latency_ms.machine for a in artifacts if a.latency_ms), {})


def _machine(machine: Mapping[str, str | int]) -> str:
    known = [str(machine[key]) for key in ("processor", "system", "cpu") if machine.get(key)]
    cores = [f"{machine['cores']} cores"] if machine.get("cores") else []
    return ", ".join([*known, *cores]) or "an unknown machine"


def _timed_block(title: str, source: Source[Timed], points: Sequence[FilePoint]) -> Block:
    if source.document is None:
        return Notice("not_here", title, source.reason)
    return Fold(
        f"{title}: load, first and later inferences, memory",
        [
            _provenance(source.document, source.path, points),
            _timings(source.document.rows, title),
        ],
    )


def _provenance(found: Timed, path: str, points: Sequence[FilePoint]) -> Text:
    """Where the figures come from, and whether they are of the same files as the report."""
    sizes = {point.artifact: point.size_bytes for point in points}
    shared = [row for row in found.rows if row.name in sizes and row.size_bytes]
    other = sorted({row.name for row in shared if row.size_bytes != sizes[row.name]})
    if not shared:
        same = "It has no file of this report."
    elif other:
        same = (
            f"Measured on other files than this report's: {len(other)} of them have another size "
            f"({', '.join(other[:3])}{', ...' if len(other) > 3 else ''})."
        )
    else:
        same = "Its files have the same sizes as this report's."
    return Text(
        f"Source: {path}. Median of {found.rounds} interleaved rounds of "
        f"{found.round_s} s on {_machine(found.machine)}. {same}"
    )


def _timings(rows: Sequence[TimedRow], caption: str) -> Table:
    cells: list[list[Cell]] = [
        [
            row.name,
            count(row.threads),
            StatusWord(row.status),
            number(row.load_ms, ".1f"),
            number(row.first_ms, ".1f"),
            number(row.median_ms, ".2f"),
            number(row.p90_ms, ".2f"),
            number(row.peak_mb, ".0f"),
            # Without a limit its weights differ: parity compares it with its own variant.
            scientific(row.max_abs_diff if row.limit is not None else None),
            row.reason,
        ]
        for row in rows
    ]
    head = (
        "name",
        "threads",
        "verdict",
        "load ms",
        "first ms",
        "median ms",
        "p90 ms",
        "peak MB",
        "max |Δp|",
        "reason",
    )
    return Table(caption, head, cells)


def _peers(source: Source[Timed], points: Sequence[FilePoint]) -> list[Block]:
    title = "Compared with other runtimes"
    if source.document is None:
        return [Notice("not_here", title, source.reason)]
    every = source.document.rows
    bars = sorted(
        (
            Bar(row.name, GROUPS.get(row.group, "other"), row.median_ms)
            for row in every
            if row.status == "done" and row.threads == 1 and row.median_ms
        ),
        key=lambda bar: bar.value,
    )
    failed = {row.name: row.reason for row in every if row.status == "failed"}
    blocks: list[Block] = [_provenance(source.document, source.path, points)]
    if bars:
        blocks.append(
            Chart(
                "peers",
                title,
                "Shorter is faster: ms of one inference, one thread, from the bitmap to "
                f"probabilities. Fastest: {bars[0].name}.",
                bars_chart(bars, "ms (1 thread)"),
                [_timings(every, title)],
            )
        )
    blocks += [Notice("fail", f"{title}: {name}", reason) for name, reason in failed.items()]
    return blocks
