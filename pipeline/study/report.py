"""A comparison for people and programs: JSON, Markdown, CSV, pictures and the terminal.

In: a `StudyComparison`. Out: files next to the trials. Done, failed and not run
are all shown, each with its reason.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from pipeline.atomic_files import write_text
from pipeline.json_files import read_json, write_json
from pipeline.model_spec import named
from pipeline.study.documents import (
    FIGURES_METHOD,
    FINE_TUNED,
    FROZEN,
    SeedFigure,
    StageResult,
    StudyComparison,
    TrialEntry,
    comparison_document,
)
from pipeline.study.topology_ranking import METHOD
from pipeline.terminal.markdown import shown

if TYPE_CHECKING:
    from pipeline.study.trial import Trial

SCHEMA_FILE: Final = Path(__file__).parent / "study.schema.json"
FIGURES: Final = ("accuracy", "recall", "specificity", "auroc")
WORDS: Final = {
    "accuracy": "accuracy",
    "recall": "recall",
    "specificity": "specificity",
    "auroc": "AUROC",
}
COLUMNS: Final = (
    "topology", "protocol", "seed", "status", "reason", "stage", "parameters", "size_bytes",
    "initial_weights", "target_accuracy", "target_epochs", "target_batches",
    "valid_loss_variance", "variance_within_stages", "training_s",
)  # fmt: skip


def write_report(out: Path, comparison: StudyComparison, trials: Sequence[Trial]) -> None:
    """Write the three documents and the pictures into `out`."""
    import jsonschema

    from pipeline.study.figures import write_figures

    document = comparison_document(comparison)
    schema = read_json(SCHEMA_FILE, what="schema", way_out="install this project again")
    jsonschema.Draft202012Validator(schema).validate(document)
    done = {entry.name for entry in comparison.trials if entry.done is not None}
    finished = [trial for trial in trials if trial.name in done]
    pictures = write_figures(out / "figures", comparison, finished)
    write_json(out / "comparison.json", document)
    write_text(out / "comparison.csv", to_csv(comparison))
    write_text(out / "comparison.md", to_markdown(comparison, pictures))


def to_markdown(comparison: StudyComparison, pictures: Mapping[str, str]) -> str:
    """The comparison to be read; `pictures` are titles by path, relative to the text."""
    data, request = comparison.data, comparison.request
    config = request.config
    epochs = f"Epochs: {config.frozen_epochs} frozen, {config.finetune_epochs} fine-tuned"
    lines = [
        f"# Topologies compared on {shown(data.name)}",
        "",
        f"**{shown(request.said.intended_use)}**",
        "",
        f"{data.images} images, labels {shown(named(data.labels))}; positive: "
        f"{shown(data.positive or 'none (more than two)')}. {epochs}; batch size "
        f"{config.batch_size}; {config.rule.pixels} px; seeds: {_list(request.seeds)}.",
        "",
    ]
    if comparison.cautions:
        lines += ["## Before you read the figures", ""]
        lines += [*(f"- {caution}" for caution in comparison.cautions), ""]
    for protocol in request.protocols:
        lines += _protocol_lines(comparison, protocol)
    if failed := comparison.failed:
        lines += ["## Failed trials", ""]
        lines += [*(f"- {entry.name}: {entry.reason}" for entry in failed), ""]
    lines += ["## How it was counted", "", FIGURES_METHOD, METHOD, ""]
    if pictures:
        lines += ["## Pictures", ""]
        lines += [f"![{title}]({path})\n" for path, title in pictures.items()]
    return "\n".join(lines).rstrip() + "\n"


def to_csv(comparison: StudyComparison) -> str:
    """One row per trial and stage; a row without figures for what failed or was not run."""
    text = io.StringIO()
    figures = [f"{name}{part}" for name in FIGURES for part in ("", "_low", "_high")]
    table = csv.DictWriter(text, [*COLUMNS, *figures], lineterminator="\n")
    table.writeheader()
    for split in comparison.protocols:
        if split.status != "done":
            said = {name: getattr(split, name) for name in ("protocol", "seed", "status", "reason")}
            table.writerow(said)
    for entry in comparison.trials:
        table.writerows(_csv_rows(entry))
    return text.getvalue()


def _csv_rows(entry: TrialEntry) -> Iterator[dict[str, object]]:
    head = {name: getattr(entry, name) for name in COLUMNS[:5]}
    if entry.done is None:
        yield head
        return
    record, target, variance = entry.done.record, entry.done.target, entry.done.variance
    for stage, found in record.figures.items():
        row: dict[str, object] = {
            **head,
            "stage": stage,
            "parameters": record.parameters,
            "size_bytes": record.size_bytes,
            "initial_weights": record.initial_weights,
            "target_accuracy": target.accuracy,
            "target_epochs": target.epochs or "not reached",
            "target_batches": target.batches or "not reached",
            "valid_loss_variance": variance[stage],
            "variance_within_stages": variance["within_stages"],
            "training_s": record.training_s,
        }
        for name in FIGURES:
            if (figure := found.get(name)) is not None:
                row |= {name: figure.value, f"{name}_low": figure.low, f"{name}_high": figure.high}
        yield row


def print_report(comparison: StudyComparison, out: Path) -> None:
    """Tables and the rule's choice on the terminal."""
    from rich.table import Table

    from pipeline.terminal.console import open_console

    console = open_console()
    for protocol in comparison.request.protocols:
        rows = [row for row in comparison.rows if row.protocol == protocol]
        table = Table(title=f"protocol {protocol}", title_justify="left", pad_edge=False)
        for column in ("topology", "start", "stage", "target", "accuracy", "recall", "AUROC", "s"):
            table.add_column(column, no_wrap=column == "topology", overflow="fold")
        for row in rows:
            table.add_row(
                row.topology,
                row.initial_weights,
                row.stage,
                _target(row.target_epochs),
                *(_short_cell(row.figures, name) for name in ("accuracy", "recall", "auroc")),
                f"{row.training_s:.0f}",
            )
        if rows:
            console.print(table)
        for ruling in _reasons(comparison, protocol):
            console.print(f"{protocol}: not run: {ruling}", highlight=False, markup=False)
        for line in _selection_lines(comparison, protocol):
            console.print(f"  {line}", highlight=False, markup=False)
    for caution in comparison.cautions:
        console.print(f"caution: {caution}", highlight=False, markup=False, style="yellow")
    for entry in comparison.failed:
        told = f"FAILED {entry.name}: {entry.reason}"
        console.print(told, highlight=False, markup=False, style="bold red")
    console.print(comparison.request.said.intended_use, highlight=False, markup=False)
    print(f"\ncomparison: {out / 'comparison.md'}, .json, .csv and figures/")


def _protocol_lines(comparison: StudyComparison, protocol: str) -> list[str]:
    lines = [f"## Protocol {protocol}", ""]
    lines += [f"Not run: {reason}." for reason in _reasons(comparison, protocol)]
    for split in (s for s in comparison.protocols if s.protocol == protocol):
        if split.images:
            sides = "; ".join(
                f"{side}: " + ", ".join(f"{n} {shown(label)}" for label, n in counts.items())
                for side, counts in split.images.items()
            )
            lines.append(f"- seed {split.seed}: {sides} ({split.split})")
    rows = [row for row in comparison.rows if row.protocol == protocol]
    if not rows:
        return [*lines, ""]
    last = FINE_TUNED if any(row.stage == FINE_TUNED for row in rows) else FROZEN
    target = comparison.request.target_accuracy
    lines += [
        "",
        f"| topology | protocol | parameters | bytes | initial weights | epochs to {target:g} "
        f"| batches to {target:g} | variance of the validation loss | accuracy | recall "
        "| specificity | AUROC | training s |",
        "| --- | --- | ---: | ---: | --- | --- | --- | --- | --- | --- | --- | --- | ---: |",
    ]
    lines += [_row_line(row) for row in rows if row.stage == last]
    for stage in (FROZEN, FINE_TUNED):
        lines += ["", f"After the {stage} stage:", ""] if _has(rows, stage) else []
        lines += _stage_lines([row for row in rows if row.stage == stage])
    lines += _decision_lines(comparison, rows)
    lines += ["", "### The paper's rule", ""]
    lines += [f"- {line}" for line in _selection_lines(comparison, protocol)]
    return [*lines, ""]


def _row_line(row: StageResult) -> str:
    cells = [
        row.topology,
        row.protocol,
        f"{row.parameters:,}",
        f"{row.size_bytes:,}",
        row.initial_weights,
        _target(row.target_epochs),
        _target(row.target_batches),
        _number(row.variance_within_stages),
        *(_cell(row.figures, name) for name in FIGURES),
        f"{row.training_s:.0f}",
    ]
    return f"| {' | '.join(cells)} |"


def _stage_lines(rows: Sequence[StageResult]) -> list[str]:
    if not rows:
        return []
    within = sorted({name for row in rows for name in row.figures if name.startswith("auroc_")})
    names = [*FIGURES, *within]
    titles = [WORDS.get(name, name.replace("auroc_within_", "AUROC within ")) for name in names]
    return [
        f"| topology | variance of the validation loss | {' | '.join(titles)} |",
        "| --- " * (len(names) + 2) + "|",
        *(
            f"| {row.topology} | {_number(row.valid_loss_variance)} "
            f"| {' | '.join(_cell(row.figures, name) for name in names)} |"
            for row in rows
        ),
    ]


def _decision_lines(comparison: StudyComparison, rows: Sequence[StageResult]) -> list[str]:
    """What the checkpoints decide by their own thresholds."""
    decided = [(row.topology, row.decision) for row in rows if row.decision is not None]
    if not decided:
        return []
    recall = comparison.request.config.least_recall
    rule = f"for a recall of {recall:g} at least" if recall else "by Youden's index"
    lines = [
        "",
        f"By the threshold of each checkpoint, chosen {rule} on these images, and so optimistic:",
        "",
        "| topology | threshold | accuracy | recall | specificity |",
        "| --- | --- | --- | --- | --- |",
    ]
    for topology, decision in decided:
        thresholds = ", ".join(f"{value:.3f}" for value in decision.thresholds)
        cells = (_cell(decision.figures, name) for name in ("accuracy", "recall", "specificity"))
        lines.append(f"| {topology} | {thresholds} | {' | '.join(cells)} |")
    return lines


def _has(rows: Sequence[StageResult], stage: str) -> bool:
    return any(row.stage == stage for row in rows)


def _reasons(comparison: StudyComparison, protocol: str) -> list[str]:
    """Why a protocol was not run, each reason once."""
    found = [split.reason for split in comparison.protocols if split.protocol == protocol]
    return [reason for reason in dict.fromkeys(found) if reason]


def _selection_lines(comparison: StudyComparison, protocol: str) -> list[str]:
    choice = comparison.selection.get(protocol)
    if choice is None:
        return []
    lines = [f"{topology} is not ranked: {why}." for topology, why in choice.left_out.items()]
    starts = {row.initial_weights for row in comparison.rows if row.protocol == protocol}
    if len(starts) > 1:
        lines.append("The initial weights differ: no fair choice of a topology.")
    return [*lines, *choice.explanation]


def _cell(figures: Mapping[str, SeedFigure], name: str) -> str:
    figure = figures.get(name)
    if figure is None or figure.value is None:
        return "none"
    between = f"{figure.low:.3f} to {figure.high:.3f}"
    if figure.spread == "seeds":
        return f"{figure.value:.3f} ± {figure.sd:.3f} (seeds {between})"
    return f"{figure.value:.3f} ({between})"


def _short_cell(figures: Mapping[str, SeedFigure], name: str) -> str:
    """The short form for the terminal, which is narrow."""
    figure = figures.get(name)
    if figure is None or figure.value is None:
        return "none"
    return f"{figure.value:.2f} ({figure.low:.2f}-{figure.high:.2f})"


def _target(values: Sequence[int | None]) -> str:
    """One number per seed."""
    return ", ".join("not reached" if value is None else f"{value:,}" for value in values)


def _number(value: float | None) -> str:
    return "one epoch only" if value is None else f"{value:.3g}"


def _list(values: Sequence[object]) -> str:
    return ", ".join(str(value) for value in values)
