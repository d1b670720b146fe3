"""The images on which files disagree most with PyTorch, and what each file outputs there."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import Final

from export.report.disagreement import WorstImage
from export.report.page.blocks import (
    Block,
    Cell,
    Chart,
    Fold,
    Notice,
    Section,
    Table,
    Text,
    number,
    scientific,
)
from export.report.page.charts import worst_chart
from export.report.page.points import ImagePoint
from export.report.page.sources import NOT_IN_REPORT, PageSources

SHORT: Final = 20  # characters


def worst_section(sources: PageSources) -> Section:
    """A chart of all of them, and a table for each: names and probabilities, never pixels."""
    images = sources.report.worst_images
    title = "Images with the worst agreement"
    if not images:
        notice = (
            Notice("not_here", title, NOT_IN_REPORT)
            if images is None
            else Notice("not_run", title, "no artifact was run")
        )
        return Section("worst", title, [notice])
    points = [
        ImagePoint(
            image=f"{place}. {_short(image.image)}",
            artifact=answer.artifact,
            format=answer.artifact.split(" ")[0],
            precision=answer.artifact.split(" ")[-1],
            diff=answer.max_abs_diff,
        )
        for place, image in enumerate(images, 1)
        for answer in image.answers
        if answer.max_abs_diff is not None
    ]
    blocks: list[Block] = [
        Text(
            "The images on which any file uses the most of its tolerance, worst first. A file is "
            "compared with PyTorch with the same weights: fp32, or the compressed checkpoint that "
            "it is made from. Images are named, never shown."
        )
    ]
    if points:
        blocks.append(
            Chart(
                "worst",
                "|Δp| of every file on these images",
                f"Worst: {_worst(images[0])}.",
                worst_chart(points),
                [],
            )
        )
    blocks += [
        Fold(f"{place}. {image.image}: {_worst(image)}", [_table(image)])
        for place, image in enumerate(images, 1)
    ]
    return Section("worst", title, blocks)


def _short(name: str) -> str:
    """The end of a long path, which fits on an axis and distinguishes images."""
    return name if len(name) <= SHORT else PurePosixPath(name).name


def _worst(image: WorstImage) -> str:
    share = image.share_of_allowed
    if share is None:
        return f"{image.artifact} gives an output that is not finite"
    return f"{image.artifact} uses {share:.0%} of what is allowed"


def _table(image: WorstImage) -> Table:
    labels = image.labels
    head = (
        "artifact",
        "compared with",
        "|Δp|",
        *(f"{label}, file" for label in labels),
        *(f"{label}, PyTorch" for label in labels),
    )
    rows: list[list[Cell]] = [
        [
            answer.artifact,
            f"PyTorch {answer.twin}",
            scientific(answer.max_abs_diff),
            *(number(p, ".6f") if p is not None else "not finite" for p in answer.probs),
            *(number(p, ".6f") for p in image.reference[answer.twin]),
        ]
        for answer in image.answers
    ]
    own = f"; its label is {image.label}" if image.label is not None else ""
    return Table(f"{image.image} ({image.set}){own}", head, rows)
