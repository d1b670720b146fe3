"""Parity: how far every file is from PyTorch, the distribution, and how it was checked."""

from __future__ import annotations

from collections.abc import Sequence

from export.report.page.blocks import (
    Block,
    Cell,
    Chart,
    Fold,
    Notice,
    Section,
    Table,
    Text,
    count,
    scientific,
)
from export.report.page.charts import agreement_chart
from export.report.page.points import Box, Limit
from export.report.page.sources import NOT_IN_REPORT, PageSources
from export.report.report import Artifact


def parity_section(sources: PageSources) -> Section:
    """Chart and tables of all artifacts that were run."""
    artifacts = sources.report.artifacts
    run = [a for a in artifacts if a.parity.max_abs_diff is not None]
    told = [a for a in run if a.differences is not None]
    blocks: list[Block] = [
        Text(
            "Each file was read back from disk and run on the same images as PyTorch with the same "
            "weights. |Δp| is the largest difference of any probability of an image."
        )
    ]
    if told:
        blocks.append(_chart(told))
    elif run:
        blocks.append(Notice("not_here", "Distribution of differences", NOT_IN_REPORT))
    if not run:
        blocks.append(Notice("not_run", "Parity", "no artifact was run"))
    blocks.append(_checked(artifacts))
    blocks.append(Fold("The same by set of images", [_sets(run)]))
    blocks.append(Fold("What is allowed, and why", [_allowed(artifacts)]))
    return Section("parity", "Parity with PyTorch", blocks)


def _chart(artifacts: Sequence[Artifact]) -> Chart:
    histogram = [
        Box(a.name, found.low, found.high, found.images)
        for a in artifacts
        if a.differences
        for found in a.differences.histogram
    ]
    limits = [
        Limit(a.name, a.parity.max_abs_diff, a.allowed)
        for a in artifacts
        if a.parity.max_abs_diff is not None
    ]
    over = [limit.artifact for limit in limits if limit.broken]
    return Chart(
        "agreement",
        "Distribution of the differences",
        "A row of boxes for each artifact: the more images a box holds, the stronger its colour. "
        "The dot is the largest difference, the thick tick is what is allowed. "
        + (f"More than allowed: {', '.join(over)}." if over else "Every dot is left of its tick."),
        agreement_chart(histogram, limits),
        [_percentiles(artifacts), _histogram(artifacts)],
    )


def _percentiles(artifacts: Sequence[Artifact]) -> Table:
    rows: list[list[Cell]] = [
        [
            a.name,
            *map(scientific, (found.p50, found.p90, found.p99)),
            scientific(a.parity.max_abs_diff),
            scientific(a.allowed),
            a.parity.worst_image or "",
        ]
        for a in artifacts
        if a.differences
        for found in [a.differences.percentiles]
    ]
    head = ("artifact", "median", "90 %", "99 %", "largest", "allowed", "worst image")
    return Table("|Δp| over the images", head, rows)


def _histogram(artifacts: Sequence[Artifact]) -> Table:
    """Images in each power of ten; a column per bin that any artifact fills."""
    found = [
        (a.name, a.differences, {(b.low, b.high): b.images for b in a.differences.histogram})
        for a in artifacts
        if a.differences
    ]
    bins = sorted({edges for *_, of_bins in found for edges in of_bins})
    head = ("artifact", *(f"{low:.0e} to {high:.0e}" for low, high in bins), "not finite")
    rows: list[list[Cell]] = [
        [
            name,
            *(count(of_bins.get(edges, 0)) for edges in bins),
            count(differences.non_finite),
        ]
        for name, differences, of_bins in found
    ]
    return Table("Images by |Δp|", head, rows)


def _checked(artifacts: Sequence[Artifact]) -> Table:
    parts = list(dict.fromkeys(part for a in artifacts for part in a.parity.parts))
    rows: list[list[Cell]] = [
        [
            a.name,
            a.parity.how or f"not run: {a.parity.reason}",
            *(a.parity.parts.get(part, "") for part in parts),
            scientific(a.parity.evidence.max_rel_diff if a.parity.evidence else None),
        ]
        for a in artifacts
    ]
    head = ("artifact", "how", *parts, "evidence, largest relative difference")
    return Table("How it was checked, part by part", head, rows)


def _sets(artifacts: Sequence[Artifact]) -> Table:
    rows: list[list[Cell]] = [
        [
            a.name,
            name,
            count(found.images),
            scientific(found.max_abs_diff),
            scientific(found.mean_abs_diff),
            count(found.label_flips),
        ]
        for a in artifacts
        for name, found in a.parity.sets.items()
    ]
    head = ("artifact", "set", "images", "max |Δp|", "mean |Δp|", "label flips")
    return Table("Agreement by set of images", head, rows)


def _allowed(artifacts: Sequence[Artifact]) -> Table:
    rows: list[list[Cell]] = []
    for artifact in artifacts:
        allowed = artifact.parity.tolerance
        if allowed:
            largest = scientific(allowed.max_abs_diff)
            flips = f"{allowed.max_flip_rate:.0%} of images"
            rows.append([artifact.name, largest, flips, allowed.reason])
    return Table("Tolerances", ("artifact", "max |Δp|", "label flips", "why"), rows)
