"""What was found about shortcuts, as a page a person reads."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from pipeline.shortcuts.linear_probe import CHANCE

if TYPE_CHECKING:
    from pipeline.metrics.bootstrap import Interval
    from pipeline.model_spec import Owner
    from pipeline.shortcuts.findings import Shortcuts


def shortcuts_page(found: Shortcuts, picture: str, owner: Owner) -> str:
    """The page in Markdown; `picture` is the file name of the evidence figure."""
    parts = [_opening(found, owner), _data(found), _model(found), _features(found)]
    return "\n".join("\n".join(part) for part in [*parts, _evidence(found, picture), _limits()])


def _opening(found: Shortcuts, owner: Owner) -> Iterator[str]:
    yield f"# Shortcuts: {found.name} {found.version}"
    yield ""
    yield (
        f"A classifier of {owner.images} can score by recognising where an image was taken: by a "
        "source's marks, its camera, its way of cropping. Such a score is worth nothing at another "
        "source (DeGrave, Janizek and Lee, Nature Machine Intelligence 2021). This page says what "
        f"the model could score by on these data, besides {owner.looks_for}."
    )
    yield ""
    yield "## In short"
    yield ""
    for sentence in verdicts(found):
        yield f"- {sentence}"
    yield ""


def verdicts(found: Shortcuts) -> Iterator[str]:
    """What the figures mean, one sentence each; the intervals decide, not the figures."""
    if found.no_sources:
        yield f"Sources: not run, since {found.no_sources}."
    yield from found.confounding
    for within in found.within:
        if within.auroc and len(found.within) > 1:
            figure = f"AUROC {_text(within.auroc)}, over all images {_text(found.auroc)}"
            if within.auroc.low <= CHANCE:
                yield f"Within {within.source} alone the model may be guessing: {figure}."
            else:
                yield f"Within {within.source} alone the model does better than guessing: {figure}."
    for probe in found.probes:
        if probe.of == "source" and probe.auroc:
            figure = f"AUROC {_text(probe.auroc)}, chance {CHANCE}"
            if probe.auroc.low > CHANCE:
                yield f"Its features predict the source among {probe.among}: {figure}."
            else:
                yield f"Its features do not predict the source among {probe.among}: {figure}."
    if found.border:
        yield _border_sentence(found)


def _border_sentence(found: Shortcuts) -> str:
    assert found.border
    share, even = found.border.share, found.border.expected
    if share.low > even:
        verdict = "more than lies there by area"
    elif share.high < even:
        verdict = "less than lies there by area"
    else:
        verdict = "about what lies there by area"
    return (
        f"Of the evidence, {share.value:.0%} ({share.low:.0%} to {share.high:.0%}) lies in the "
        f"outer tenth at each edge of the image, {verdict} ({even:.0%})."
    )


def _data(found: Shortcuts) -> Iterator[str]:
    yield "## The images"
    yield ""
    same = "are the images" if found.same_images else "are not the very images"
    yield f"Data set {found.data_name}. These {same} that the checkpoint was made of."
    for split, (used, there) in found.images.items():
        if used < there:
            yield f"Of {there} images in {split}, {used} were drawn (seed {found.seed})."
    yield ""
    sources = sorted({source for of_label in found.counts.values() for source in of_label})
    yield from _table(
        ["images", *("source not named" if source == "none" else source for source in sources)],
        [
            [label, *(str(of_label.get(source, 0)) for source in sources)]
            for label, of_label in found.counts.items()
        ],
    )


def _model(found: Shortcuts) -> Iterator[str]:
    yield "## The model's AUROC within one source"
    yield ""
    if not found.within:
        yield f"Not run: {found.no_sources}."
        yield ""
        return
    yield (
        "Within one source, knowing the source does not help. Intervals are 95 %, by "
        f"{found.group}."
    )
    yield ""
    rows = [["all", str(found.images["valid"][0]), _text(found.auroc)]]
    for within in found.within:
        result = _text(within.auroc) if within.auroc else f"not run: {within.reason}"
        rows.append([within.source, str(within.images), result])
    yield from _table(["source", "images", "AUROC"], rows)


def _features(found: Shortcuts) -> Iterator[str]:
    yield "## What the features predict"
    yield ""
    yield (
        "A logistic regression on the trained body's features (averaged over all places), fitted "
        f"on training images and tested on validation images. {CHANCE} is guessing. Among images "
        "of one label the source cannot stand for the label: what is found there is about the "
        "source itself."
    )
    yield ""
    rows = []
    if found.no_sources:
        rows.append(["source", "all images", "", f"not run: {found.no_sources}"])
    for probe in found.probes:
        result = _text(probe.auroc) if probe.auroc else f"not run: {probe.reason}"
        images = f"{probe.train_images} / {probe.valid_images}" if probe.auroc else ""
        asked = f"{probe.of} ({', '.join(probe.classes)})" if probe.classes else probe.of
        rows.append([asked, probe.among, images, result])
    yield from _table(["asked for", "among", "train / valid", "AUROC"], rows)


def _evidence(found: Shortcuts, picture: str) -> Iterator[str]:
    yield "## Where the evidence lies"
    yield ""
    if found.no_evidence:
        yield f"Not run: {found.no_evidence}."
        yield ""
        return
    yield (
        "For each place of an image the network's head says how much it supports a label; the "
        "mean over all places is the decision. Text marks and frames at the edge are the classic "
        "shortcuts. " + _border_sentence(found)
    )
    yield ""
    yield f"![Validation images and where the evidence lies]({picture})"
    yield ""
    yield (
        f"Of each label and source: the image answered most surely, the one answered worst, one "
        f"drawn at random (seed {found.seed})."
    )
    if found.left_out:
        yield f"Not shown, for lack of space: {', '.join(found.left_out)}."
    yield ""
    yield from _table(
        ["no.", "file", "label", "source", "chosen as", "probability", "decision"],
        [
            [
                str(tile.number),
                tile.file,
                tile.label,
                tile.source or "",
                tile.choice,
                f"{tile.prob:.3f}",
                "right" if tile.right else "wrong",
            ]
            for tile in found.tiles
        ],
    )
    yield (
        "The picture shows the images themselves. If these are not to be shown, keep it out of "
        "repositories, reports and mail, as you would the images."
    )
    yield ""


def _limits() -> Iterator[str]:
    yield "## What this does not prove"
    yield ""
    yield (
        "- That the features predict the source does not prove that the decision uses it; that "
        "they do not predict it linearly does not prove that the model does not know it."
    )
    yield (
        "- A wide interval within a source means too few images to say anything, for better or "
        "for worse."
    )
    yield (
        "- A source is only what the table calls one. Within one source there may be many "
        "cameras, places and years, and each can be a shortcut."
    )
    yield (
        "- A map shows where evidence comes from, not why. A place of the map also sees its "
        "surroundings, and convolutions behave differently at the edge of any image."
    )
    yield "- Only images from a source that the model never saw can show that it works there."
    yield ""


def _text(figure: Interval) -> str:
    return f"{figure.value:.3f} ({figure.low:.3f} to {figure.high:.3f})"


def _table(head: list[str], rows: list[list[str]]) -> Iterator[str]:
    for cells in (head, ["---"] * len(head), *rows):
        yield "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"
    yield ""
