"""Size against latency against accuracy; and latency beside other runtimes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from export.report.page.blocks import (
    Block,
    Cell,
    Chart,
    Fold,
    Notice,
    Section,
    Table,
    Text,
    Verdict,
    count,
    number,
    scientific,
)
from export.report.page.charts import bars_chart, tradeoff_chart
from export.report.page.sources import Source, Sources
from export.report.page.verdict_section import auroc_of, latency_of, name_of

NO_LATENCY = "no artifact was timed; `python -m export all` times them unless --no-latency is given"
GROUPS = {
    "ours": "ours",
    "peer": "another runtime",
    "pytorch": "PyTorch",
    "recipe": "as tutorials export",
}


def tradeoff_section(sources: Sources) -> Section:
    """The plots of this report's own figures, then benchmark and peers where they are there."""
    artifacts = [a for a in sources.report["artifacts"] if a["size_bytes"] is not None]
    rows = [
        {
            "artifact": name_of(a),
            "format": a["format"],
            "precision": a["precision"],
            "size_bytes": a["size_bytes"],
            "latency_ms": latency_of(a),
            "auroc": auroc_of(a),
        }
        for a in artifacts
    ]
    timed = [row for row in rows if row["latency_ms"] is not None]
    known = [row for row in rows if row["auroc"] is not None]
    blocks: list[Block] = []
    if timed:
        blocks.append(
            Chart(
                "size-latency",
                "Size against latency",
                "Lower and further left is better. Median of one inference at one thread on "
                f"{_machine(_first_machine(artifacts))}.{_left_out(rows, timed)}",
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
                f"{_left_out(rows, known)}",
                tradeoff_chart(known, "auroc", "AUROC", log=False),
                [],
            )
        )
    else:
        why = (sources.report.get("classification") or {}).get("reason") or "no labelled images"
        blocks.append(Notice("not_run", "Accuracy", why))
    blocks.append(_table(artifacts))
    blocks.append(_timed_block("Benchmark of the files", sources.benchmark, rows))
    blocks += _peers(sources.peers, rows)
    return Section("tradeoff", "Size, latency, accuracy", blocks)


def _table(artifacts: Sequence[Mapping[str, Any]]) -> Table:
    rows: list[list[Cell]] = []
    for a in artifacts:
        figures, accuracy = a["classification"] or {}, a["accuracy"] or {}
        drop = (accuracy.get("auroc_drop") or {}).get("value")
        rows.append(
            [
                name_of(a),
                count(a["size_bytes"]),
                count((a["file"] or {}).get("zipped_bytes")),
                number(latency_of(a), ".2f"),
                number(latency_of(a, "2"), ".2f"),
                number(auroc_of(a), ".4f"),
                _source_of(a),
                number(drop, "+.4f"),
                number(figures.get("accuracy"), ".4f"),
                number(figures.get("recall", accuracy.get("recall")), ".4f"),
                number(figures.get("specificity"), ".4f"),
            ]
        )
    head = (
        "artifact",
        "bytes",
        "zipped",
        "ms (1 thread)",
        "ms (2 threads)",
        "AUROC",
        "AUROC is",
        "loss to fp32",
        "accuracy",
        "recall",
        "specificity",
    )
    return Table("Size, latency and accuracy of every file", head, rows)


def _source_of(artifact: Mapping[str, Any]) -> str:
    if artifact["classification"] is not None:
        return "measured"
    return str((artifact["accuracy"] or {}).get("source", "")) if auroc_of(artifact) else "not run"


def _left_out(rows: Sequence[Mapping[str, Any]], shown: Sequence[Mapping[str, Any]]) -> str:
    names = [row["artifact"] for row in rows if row not in shown]
    return f" Not known, and so not drawn: {', '.join(names)}." if names else ""


def _first_machine(artifacts: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
    found = [a["latency_ms"]["machine"] for a in artifacts if a["latency_ms"]]
    return found[0] if found else {}


def _machine(machine: Mapping[str, Any]) -> str:
    known = [str(machine[key]) for key in ("processor", "system", "cpu") if machine.get(key)]
    cores = [f"{machine['cores']} cores"] if machine.get("cores") else []
    return ", ".join([*known, *cores]) or "a machine that is not told"


def _timed_block(title: str, source: Source, rows: Sequence[Mapping[str, Any]]) -> Block:
    if source.document is None:
        return Notice("not_here", title, source.reason)
    return Fold(
        f"{title}: load, first and later inferences, memory",
        [_provenance(source, rows), _timings(source.document["rows"], title)],
    )


def _provenance(source: Source, rows: Sequence[Mapping[str, Any]]) -> Text:
    """Where it comes from, and whether it is of the very files that the report is of."""
    assert source.document is not None
    document = source.document
    sizes = {row["artifact"]: row["size_bytes"] for row in rows}
    shared = [row for row in document["rows"] if row["name"] in sizes and row.get("size_bytes")]
    other = sorted({row["name"] for row in shared if row["size_bytes"] != sizes[row["name"]]})
    if not shared:
        same = "No file of this report is in it."
    elif other:
        same = (
            f"Taken on other files than this report's: {len(other)} of them have another size "
            f"({', '.join(other[:3])}{', ...' if len(other) > 3 else ''})."
        )
    else:
        same = "Its files have the sizes of this report's."
    return Text(
        f"Source: {source.path}. Median of {document['rounds']} interleaved rounds of "
        f"{document['round_s']} s on {_machine(document['machine'])}. {same}"
    )


def _timings(rows: Sequence[Mapping[str, Any]], caption: str) -> Table:
    cells: list[list[Cell]] = [
        [
            row["name"],
            count(row["threads"]),
            Verdict(row["status"]),
            number(row["load_ms"], ".1f"),
            number(row["first_ms"], ".1f"),
            number(row["median_ms"], ".2f"),
            number(row["p90_ms"], ".2f"),
            number(row["peak_mb"], ".0f"),
            # Without a limit it is of other weights: parity holds that against its own twin.
            scientific(row["max_abs_diff"] if row.get("limit") is not None else None),
            row["reason"],
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


def _peers(source: Source, rows: Sequence[Mapping[str, Any]]) -> list[Block]:
    title = "Beside other runtimes"
    if source.document is None:
        return [Notice("not_here", title, source.reason)]
    every = source.document["rows"]
    done = [r for r in every if r["status"] == "done" and r["threads"] == 1 and r["median_ms"]]
    bars = [
        {
            "name": row["name"],
            "group": GROUPS.get(row.get("group", ""), "other"),
            "value": row["median_ms"],
        }
        for row in sorted(done, key=lambda row: float(row["median_ms"]))
    ]
    undone = {r["name"]: r for r in every if r["status"] != "done"}
    blocks: list[Block] = [_provenance(source, rows)]
    if bars:
        blocks.append(
            Chart(
                "peers",
                title,
                "Shorter is faster: ms of one inference, one thread, from the bitmap to "
                f"probabilities. Fastest: {bars[0]['name']}.",
                bars_chart(bars, "ms (1 thread)"),
                [_timings(every, title)],
            )
        )
    blocks += [
        Notice(
            "fail" if row["status"] == "failed" else "not_run", f"{title}: {name}", row["reason"]
        )
        for name, row in undone.items()
        if row["status"] == "failed"
    ]
    return blocks
