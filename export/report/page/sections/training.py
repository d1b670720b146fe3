"""How the model was trained, and how accurate it is: curves, ROC, reliability."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from export.parity.entries import IntervalEntry
from export.report.figures import Figures, History, HistoryRow, Training
from export.report.page.blocks import (
    Block,
    Cell,
    Chart,
    Notice,
    Section,
    Table,
    Text,
    count,
    number,
)
from export.report.page.charts import curves_chart, reliability_chart, roc_chart
from export.report.page.points import EpochPoint, ReliabilityPoint, RocPoint
from export.report.page.sources import NOT_IN_REPORT, PageSources
from export.report.report import ModelFacts, Report

Series = tuple[str, str, Figures]  # whose outputs, in which precision
LOSSES = {"train_loss": "train", "valid_loss": "valid"}
REFERENCE = "PyTorch fp32"
# This is how `pipeline.training.learner` records them.
AT_MOST_PROBABLE = (
    " Recall and accuracy are of the most probable label here; the decision's threshold was chosen "
    "after training."
)


def training_section(sources: PageSources) -> Section:
    """Curves, metrics, ROC and reliability, in this order; missing ones are listed as not run."""
    report = sources.report
    training = report.training
    blocks: list[Block] = []
    if training is None:
        blocks.append(Notice("not_here", "Training curves", NOT_IN_REPORT))
    elif not training.history.rows:
        blocks.append(Notice("not_run", "Training curves", training.history.reason))
    else:
        blocks += _curves(training.history)
    blocks += _metrics(report.model)
    if training is not None and training.calibration is not None:
        blocks += [Text(f"{said}.") for said in training.calibration.sentences()]
    blocks += _classification(report, training)
    return Section("training", "Training, ROC, reliability", blocks)


def _curves(history: History) -> list[Block]:
    epochs = history.shown()
    names = list(epochs[0].figures)
    frozen = [epoch.number for epoch in epochs if epoch.stage == "frozen"]
    unfrozen = frozen[-1] + 0.5 if frozen and len(frozen) < len(epochs) else None
    dashed = (
        "" if unfrozen is None else f" Dashed: epoch {frozen[-1]}, after which all layers learn."
    )
    blocks: list[Block] = []
    for name, title, axis, wanted in (
        (
            "losses",
            "Loss by epoch",
            "cross-entropy loss",
            {n: LOSSES.get(n, n) for n in names if n.endswith("_loss")},
        ),
        (
            "figures",
            "On the validation images by epoch",
            "share, or AUROC",
            {n: n for n in names if not n.endswith("_loss")},
        ),
    ):
        points = [
            EpochPoint(epoch.number, label, value)
            for key, label in wanted.items()
            for epoch in epochs
            if (value := epoch.figures.get(key)) is not None
        ]
        said = AT_MOST_PROBABLE if "recall" in wanted else ""
        if points:
            blocks.append(
                Chart(
                    f"training-{name}",
                    title,
                    f"{_ends(epochs[-1], wanted)}{dashed} Source: {history.source} next to the "
                    "checkpoint"
                    + (
                        f", {len(epochs)} of {history.epochs} epochs."
                        if len(epochs) < history.epochs
                        else f", {history.epochs} epochs."
                    )
                    + said,
                    curves_chart(points, axis, unfrozen, zero=name == "losses"),
                    [_epochs(epochs, wanted, title)],
                )
            )
    return blocks


def _ends(last: HistoryRow, wanted: Mapping[str, str]) -> str:
    """Where each line ends, in words."""
    ends = [
        f"{said} {value:.3f}"
        for key, said in wanted.items()
        if (value := last.figures.get(key)) is not None
    ]
    return f"After epoch {last.number}: {', '.join(ends)}." if ends else ""


def _epochs(epochs: Sequence[HistoryRow], wanted: Mapping[str, str], title: str) -> Table:
    cells: list[list[Cell]] = [
        [
            str(epoch.number),
            epoch.stage,
            *(number(epoch.figures.get(key), ".4f") for key in wanted),
        ]
        for epoch in epochs
    ]
    return Table(title, ("epoch", "stage", *wanted.values()), cells)


def _metrics(model: ModelFacts | None) -> list[Block]:
    rows: list[list[Cell]] = []
    for name, found in (model.metrics if model else {}).items():
        figure = found if isinstance(found, IntervalEntry) else IntervalEntry(found, None, None)
        rows.append(
            [
                name.replace("_", " "),
                number(figure.value, ".4f"),
                number(figure.low, ".4f"),
                number(figure.high, ".4f"),
            ]
        )
    if not rows:
        return []
    head = ("figure", "value", "95 % interval from", "to")
    return [Table("The checkpoint's own figures, on its validation images", head, rows)]


def _classification(report: Report, training: Training | None) -> list[Block]:
    """ROC and reliability of this run, else of the outputs that training left."""
    measured = report.classification
    if measured is None:
        return [Notice("not_here", "ROC and reliability", NOT_IN_REPORT)]
    blocks: list[Block] = []
    if measured.figures is not None:
        series = [(REFERENCE, "fp32", measured.figures)]
        series += [
            (a.name, a.precision, a.classification)
            for a in report.artifacts
            if a.classification is not None
        ]
        source = "the labelled validation images of this run"
    else:
        blocks.append(Notice("not_run", "ROC and reliability of the artifacts", measured.reason))
        validation = training.validation if training else None
        if validation is None or validation.figures is None:
            reason = validation.reason if validation else ""
            reason = reason or "the checkpoint has no validation outputs"
            return [*blocks, Notice("not_run", "ROC and reliability of the checkpoint", reason)]
        series = [("checkpoint, when it was trained", "fp32", validation.figures)]
        source = f"{validation.source} next to the checkpoint"
    return [*blocks, *_curves_of(series, source, report.model)]


def _curves_of(series: Sequence[Series], source: str, model: ModelFacts | None) -> list[Block]:
    positive = model and model.positive
    of = f"of {positive}" if positive else "mean of each label against the rest"
    first, _, figures = series[0]
    blocks: list[Block] = []
    points = [
        RocPoint(name, precision, x, y, i)
        for name, precision, found in series
        for i, (x, y) in enumerate(found.roc)
    ]
    if points:
        blocks.append(
            Chart(
                "roc",
                f"ROC, {of}",
                f"{first}: AUROC {_said(figures.auroc)} on {figures.images} images. The "
                f"dashed line is guessing. Source: {source}.",
                roc_chart(points),
                [_figures(series), _roc_points(series[0])],
            )
        )
    else:
        blocks.append(Notice("not_run", "ROC", "all images have the same label"))
    bins = [
        ReliabilityPoint(name, precision, **vars(found_bin))
        for name, precision, found in series
        for found_bin in found.reliability
    ]
    if bins:
        blocks.append(
            Chart(
                "reliability",
                "Reliability of the most probable label",
                f"{first}: expected calibration error {_said(figures.calibration_error)} on "
                f"{figures.images} images. On the dashed line, stated probabilities are true. "
                f"Source: {source}.",
                reliability_chart(bins),
                [_bins(series)],
            )
        )
    blocks.append(
        Text(
            "ROC: Fawcett, Pattern Recognition Letters 2006. Reliability and expected calibration "
            "error, ten bins: Guo et al., arXiv:1706.04599."
        )
    )
    return blocks


def _said(value: float | None) -> str:
    return "unknown" if value is None else f"{value:.4f}"


def _figures(series: Sequence[Series]) -> Table:
    rows: list[list[Cell]] = [
        [
            name,
            count(found.images),
            number(found.auroc, ".4f"),
            number(found.accuracy, ".4f"),
            number(found.recall, ".4f"),
            number(found.specificity, ".4f"),
            number(found.calibration_error, ".4f"),
        ]
        for name, _, found in series
    ]
    head = (
        "outputs of",
        "images",
        "AUROC",
        "accuracy",
        "recall",
        "specificity",
        "calibration error",
    )
    return Table("Figures on the labelled images", head, rows)


def _roc_points(first: Series) -> Table:
    name, _, found = first
    rows: list[list[Cell]] = [
        [str(i), number(x, ".4f"), number(y, ".4f")] for i, (x, y) in enumerate(found.roc, 1)
    ]
    head = ("point", "false positive rate", "true positive rate")
    return Table(f"ROC of {name}", head, rows)


def _bins(series: Sequence[Series]) -> Table:
    rows: list[list[Cell]] = [
        [
            name,
            f"{b.low:.1f} to {b.high:.1f}",
            count(b.images),
            number(b.mean_prob, ".4f"),
            number(b.share, ".4f"),
        ]
        for name, _, found in series
        for b in found.reliability
    ]
    head = ("outputs of", "probability", "images", "mean probability", "share correct")
    return Table("Reliability by bin", head, rows)
