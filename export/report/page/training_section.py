"""How the model was trained, and what its answers are worth: curves, ROC, reliability."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

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
from export.report.page.sources import NOT_IN_REPORT, Sources
from export.report.page.verdict_section import name_of

LOSSES = {"train_loss": "train", "valid_loss": "valid"}
REFERENCE = "PyTorch fp32"
# As `pipeline.training.learner` records them.
AT_MOST_PROBABLE = (
    " Recall and accuracy are of the most probable label here; the decision's threshold was chosen "
    "after training."
)


def training_section(sources: Sources) -> Section:
    """What there is of it, in this order; the rest is listed as not run."""
    report = sources.report
    training = report.get("training")
    blocks: list[Block] = []
    if training is None:
        blocks.append(Notice("not_here", "Training curves", NOT_IN_REPORT))
    elif not training["history"]["rows"]:
        blocks.append(Notice("not_run", "Training curves", training["history"]["reason"]))
    else:
        blocks += _curves(training["history"])
    blocks += _metrics(report.get("model", {}))
    blocks += _classification(report, training)
    return Section("training", "Training, ROC, reliability", blocks)


def _curves(history: Mapping[str, Any]) -> list[Block]:
    rows = history["rows"]
    names = [name for name in rows[0] if name not in ("epoch", "stage")]
    frozen = [row["epoch"] for row in rows if row["stage"] == "frozen"]
    unfrozen = frozen[-1] + 0.5 if frozen and len(frozen) < len(rows) else None
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
            {"epoch": row["epoch"], "series": label, "value": row[key]}
            for key, label in wanted.items()
            for row in rows
            if row.get(key) is not None
        ]
        said = AT_MOST_PROBABLE if "recall" in wanted else ""
        if points:
            blocks.append(
                Chart(
                    f"training-{name}",
                    title,
                    f"{_ends(rows, wanted)}{dashed} Source: {history['source']} beside the "
                    "checkpoint"
                    + (
                        f", {len(rows)} of {history['epochs']} epochs."
                        if len(rows) < history["epochs"]
                        else f", {history['epochs']} epochs."
                    )
                    + said,
                    curves_chart(points, axis, unfrozen, zero=name == "losses"),
                    [_epochs(rows, wanted, title)],
                )
            )
    return blocks


def _ends(rows: Sequence[Mapping[str, Any]], wanted: Mapping[str, str]) -> str:
    """In words: where each line ends."""
    last = rows[-1]
    ends = [f"{said} {last[key]:.3f}" for key, said in wanted.items() if last.get(key) is not None]
    return f"After epoch {last['epoch']}: {', '.join(ends)}." if ends else ""


def _epochs(rows: Sequence[Mapping[str, Any]], wanted: Mapping[str, str], title: str) -> Table:
    cells: list[list[Cell]] = [
        [str(row["epoch"]), row["stage"], *(number(row.get(key), ".4f") for key in wanted)]
        for row in rows
    ]
    return Table(title, ("epoch", "stage", *wanted.values()), cells)


def _metrics(model: Mapping[str, Any]) -> list[Block]:
    rows: list[list[Cell]] = []
    for name, found in model.get("metrics", {}).items():
        figure = found if isinstance(found, Mapping) else {"value": found}
        rows.append(
            [
                name.replace("_", " "),
                number(figure.get("value"), ".4f"),
                number(figure.get("low"), ".4f"),
                number(figure.get("high"), ".4f"),
            ]
        )
    if not rows:
        return []
    head = ("figure", "value", "95 % interval from", "to")
    return [Table("What the checkpoint says of itself, on its validation images", head, rows)]


def _classification(report: Mapping[str, Any], training: Mapping[str, Any] | None) -> list[Block]:
    """ROC and reliability of this run, else of the answers that training left behind."""
    measured = report.get("classification")
    if measured is None:
        return [Notice("not_here", "ROC and reliability", NOT_IN_REPORT)]
    blocks: list[Block] = []
    if measured["figures"] is not None:
        series = [(REFERENCE, "fp32", measured["figures"])]
        series += [
            (name_of(a), a["precision"], a["classification"])
            for a in report["artifacts"]
            if a["classification"] is not None
        ]
        source = "the labelled validation images of this run"
    else:
        blocks.append(Notice("not_run", "ROC and reliability of the artifacts", measured["reason"]))
        validation = (training or {}).get("validation") or {}
        if not validation.get("figures"):
            reason = validation.get("reason") or "the checkpoint has no validation answers"
            return [*blocks, Notice("not_run", "ROC and reliability of the checkpoint", reason)]
        series = [("checkpoint, when it was trained", "fp32", validation["figures"])]
        source = f"{validation['source']} beside the checkpoint"
    return [*blocks, *_curves_of(series, source, report.get("model", {}))]


def _curves_of(
    series: Sequence[tuple[str, str, Mapping[str, Any]]], source: str, model: Mapping[str, Any]
) -> list[Block]:
    positive = model.get("positive")
    of = f"of {positive}" if positive else "mean of each label against the rest"
    first, _, figures = series[0]
    blocks: list[Block] = []
    points = [
        {
            "series": name,
            "precision": precision,
            "false_positive_rate": x,
            "true_positive_rate": y,
            "order": i,
        }
        for name, precision, found in series
        for i, (x, y) in enumerate(found["roc"])
    ]
    if points:
        blocks.append(
            Chart(
                "roc",
                f"ROC, {of}",
                f"{first}: AUROC {_said(figures['auroc'])} on {figures['images']} images. The "
                f"dashed line is guessing. Source: {source}.",
                roc_chart(points),
                [_figures(series), _roc_points(series[0])],
            )
        )
    else:
        blocks.append(Notice("not_run", "ROC", "the images are all of one label"))
    bins = [
        {"series": name, "precision": precision, **found_bin}
        for name, precision, found in series
        for found_bin in found["reliability"]
    ]
    if bins:
        blocks.append(
            Chart(
                "reliability",
                "Reliability of the most probable label",
                f"{first}: expected calibration error {_said(figures['calibration_error'])} on "
                f"{figures['images']} images. On the dashed line, what is stated is what happens. "
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
    return "not known" if value is None else f"{value:.4f}"


def _figures(series: Sequence[tuple[str, str, Mapping[str, Any]]]) -> Table:
    names = ("auroc", "accuracy", "recall", "specificity", "calibration_error")
    rows: list[list[Cell]] = [
        [name, count(found["images"]), *(number(found[n], ".4f") for n in names)]
        for name, _, found in series
    ]
    head = ("answers of", "images", *(n.replace("_", " ").replace("auroc", "AUROC") for n in names))
    return Table("Figures on the labelled images", head, rows)


def _roc_points(first: tuple[str, str, Mapping[str, Any]]) -> Table:
    name, _, found = first
    rows: list[list[Cell]] = [
        [str(i), number(x, ".4f"), number(y, ".4f")] for i, (x, y) in enumerate(found["roc"], 1)
    ]
    head = ("point", "false positive rate", "true positive rate")
    return Table(f"ROC of {name}", head, rows)


def _bins(series: Sequence[tuple[str, str, Mapping[str, Any]]]) -> Table:
    rows: list[list[Cell]] = [
        [
            name,
            f"{b['low']:.1f} to {b['high']:.1f}",
            count(b["images"]),
            number(b["mean_prob"], ".4f"),
            number(b["share"], ".4f"),
        ]
        for name, _, found in series
        for b in found["reliability"]
    ]
    head = ("answers of", "probability", "images", "mean probability", "share that is right")
    return Table("Reliability, bin by bin", head, rows)
