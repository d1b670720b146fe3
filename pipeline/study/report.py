"""A comparison for people and programs: JSON, Markdown, CSV, pictures and the terminal.

In: the document of `pipeline.study.summary`. Out: files beside the trials. Done, failed and not run
are all shown, each with its reason.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from pipeline.atomic_files import write_text
from pipeline.study.trial import FINE_TUNED, FROZEN

if TYPE_CHECKING:
    from pipeline.study.summary import Outcome
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


def write_report(
    out: Path,
    document: Mapping[str, Any],
    trials: Sequence[Trial],
    outcomes: Mapping[str, Outcome],
) -> None:
    """Write the three documents and the pictures into `out`."""
    import jsonschema

    from pipeline.study.figures import write_figures

    schema = json.loads(SCHEMA_FILE.read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator(schema).validate(document)
    done = [trial for trial in trials if outcomes[trial.name].document is not None]
    pictures = write_figures(out / "figures", document, done)
    text = json.dumps(document, indent=2, sort_keys=True, allow_nan=False) + "\n"
    write_text(out / "comparison.json", text)
    write_text(out / "comparison.csv", to_csv(document))
    write_text(out / "comparison.md", to_markdown(document, pictures))


def to_markdown(document: Mapping[str, Any], pictures: Mapping[str, str]) -> str:
    """The comparison to be read; `pictures` are titles by path, relative to the text."""
    data, request = document["data"], document["request"]
    config = request["config"]
    epochs = f"Epochs: {config['frozen_epochs']} frozen, {config['finetune_epochs']} fine-tuned"
    lines = [
        f"# Topologies compared on {data['name']}",
        "",
        f"**{document['intended_use']}**",
        "",
        f"{data['images']} images, labels {', '.join(data['labels'])}; positive: "
        f"{data['positive'] or 'none (more than two)'}. {epochs}; batch size "
        f"{config['batch_size']}; {config['side']} px; seeds: {_list(request['seeds'])}.",
        "",
    ]
    if document["cautions"]:
        lines += ["## Before you read the figures", ""]
        lines += [*(f"- {caution}" for caution in document["cautions"]), ""]
    for protocol in request["protocols"]:
        lines += _protocol_lines(document, protocol)
    failed = [entry for entry in document["trials"] if entry["status"] == "failed"]
    if failed:
        lines += ["## Failed trials", ""]
        lines += [*(f"- {entry['name']}: {entry['reason']}" for entry in failed), ""]
    lines += ["## How it was counted", "", *document["methods"].values(), ""]
    if pictures:
        lines += ["## Pictures", ""]
        lines += [f"![{title}]({path})\n" for path, title in pictures.items()]
    return "\n".join(lines).rstrip() + "\n"


def to_csv(document: Mapping[str, Any]) -> str:
    """A row for each trial and stage; a row without figures for what failed or was not run."""
    text = io.StringIO()
    figures = [f"{name}{part}" for name in FIGURES for part in ("", "_low", "_high")]
    table = csv.DictWriter(text, [*COLUMNS, *figures], lineterminator="\n")
    table.writeheader()
    for ruling in document["protocols"]:
        if ruling["status"] != "done":
            table.writerow({k: v for k, v in ruling.items() if k in COLUMNS})
    for entry in document["trials"]:
        plain = {key: entry[key] for key in COLUMNS if key in entry}
        if entry["status"] != "done":
            table.writerow(plain)
            continue
        variance, target = entry["valid_loss_variance"], entry["target"]
        for stage, found in entry["figures"].items():
            row = {
                **plain,
                "stage": stage,
                "target_accuracy": target["accuracy"],
                "target_epochs": target["epochs"] or "not reached",
                "target_batches": target["batches"] or "not reached",
                "valid_loss_variance": variance[stage],
                "variance_within_stages": variance["within_stages"],
            }
            for name in FIGURES:
                for part in ("value", "low", "high"):
                    column = name if part == "value" else f"{name}_{part}"
                    row[column] = found.get(name, {}).get(part)
            table.writerow(row)
    return text.getvalue()


def print_report(document: Mapping[str, Any], out: Path) -> None:
    """Tables and the rule's choice on the terminal."""
    from rich.table import Table

    from pipeline.terminal import open_console

    console = open_console()
    for protocol in document["request"]["protocols"]:
        rows = [row for row in document["rows"] if row["protocol"] == protocol]
        table = Table(title=f"protocol {protocol}", title_justify="left", pad_edge=False)
        for column in ("topology", "start", "stage", "target", "accuracy", "recall", "AUROC", "s"):
            table.add_column(column, no_wrap=column == "topology", overflow="fold")
        for row in rows:
            table.add_row(
                row["topology"],
                row["initial_weights"],
                row["stage"],
                _target(row["target_epochs"]),
                *(_short_cell(row, name) for name in ("accuracy", "recall", "auroc")),
                f"{row['training_s']:.0f}",
            )
        if rows:
            console.print(table)
        for ruling in _reasons(document, protocol):
            console.print(f"{protocol}: not run: {ruling}", highlight=False, markup=False)
        for line in _selection_lines(document, protocol):
            console.print(f"  {line}", highlight=False, markup=False)
    for caution in document["cautions"]:
        console.print(f"caution: {caution}", highlight=False, markup=False, style="yellow")
    for entry in document["trials"]:
        if entry["status"] == "failed":
            told = f"FAILED {entry['name']}: {entry['reason']}"
            console.print(told, highlight=False, markup=False, style="bold red")
    console.print(document["intended_use"], highlight=False)
    print(f"\ncomparison: {out / 'comparison.md'}, .json, .csv and figures/")


def _protocol_lines(document: Mapping[str, Any], protocol: str) -> list[str]:
    lines = [f"## Protocol {protocol}", ""]
    lines += [f"Not run: {reason}." for reason in _reasons(document, protocol)]
    for ruling in (r for r in document["protocols"] if r["protocol"] == protocol):
        if ruling["images"]:
            sides = "; ".join(
                f"{split}: " + ", ".join(f"{n} {label}" for label, n in counts.items())
                for split, counts in ruling["images"].items()
            )
            lines.append(f"- seed {ruling['seed']}: {sides} ({ruling['split']})")
    rows = [row for row in document["rows"] if row["protocol"] == protocol]
    if not rows:
        return [*lines, ""]
    last = FINE_TUNED if any(row["stage"] == FINE_TUNED for row in rows) else FROZEN
    target = document["request"]["target_accuracy"]
    lines += [
        "",
        f"| topology | protocol | parameters | bytes | initial weights | epochs to {target:g} "
        f"| batches to {target:g} | variance of the validation loss | accuracy | recall "
        "| specificity | AUROC | training s |",
        "| --- | --- | ---: | ---: | --- | --- | --- | --- | --- | --- | --- | --- | ---: |",
    ]
    lines += [_row_line(row) for row in rows if row["stage"] == last]
    for stage in (FROZEN, FINE_TUNED):
        lines += ["", f"After the {stage} stage:", ""] if _has(rows, stage) else []
        lines += _stage_lines([row for row in rows if row["stage"] == stage])
    lines += _decision_lines(document, [row for row in rows if row.get("decision")])
    lines += ["", "### The paper's rule", ""]
    lines += [f"- {line}" for line in _selection_lines(document, protocol)]
    return [*lines, ""]


def _row_line(row: Mapping[str, Any]) -> str:
    cells = [
        row["topology"],
        row["protocol"],
        f"{row['parameters']:,}",
        f"{row['size_bytes']:,}",
        row["initial_weights"],
        _target(row["target_epochs"]),
        _target(row["target_batches"]),
        _number(row["variance_within_stages"]),
        *(_cell(row, name) for name in FIGURES),
        f"{row['training_s']:.0f}",
    ]
    return f"| {' | '.join(cells)} |"


def _stage_lines(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    if not rows:
        return []
    within = sorted({name for row in rows for name in row["figures"] if name.startswith("auroc_")})
    names = [*FIGURES, *within]
    titles = [WORDS.get(name, name.replace("auroc_within_", "AUROC within ")) for name in names]
    return [
        f"| topology | variance of the validation loss | {' | '.join(titles)} |",
        "| --- " * (len(names) + 2) + "|",
        *(
            f"| {row['topology']} | {_number(row['valid_loss_variance'])} "
            f"| {' | '.join(_cell(row, name) for name in names)} |"
            for row in rows
        ),
    ]


def _decision_lines(document: Mapping[str, Any], rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """What the checkpoints decide by their own thresholds."""
    if not rows:
        return []
    recall = document["request"]["config"]["least_recall"]
    rule = f"for a recall of {recall:g} at least" if recall else "by Youden's index"
    lines = [
        "",
        f"By the threshold that each checkpoint carries, chosen {rule} on these very images, which "
        "flatters:",
        "",
        "| topology | threshold | accuracy | recall | specificity |",
        "| --- | --- | --- | --- | --- |",
    ]
    for row in rows:
        thresholds = ", ".join(f"{value:.3f}" for value in row["decision"]["thresholds"])
        cells = (_cell(row["decision"], name) for name in ("accuracy", "recall", "specificity"))
        lines.append(f"| {row['topology']} | {thresholds} | {' | '.join(cells)} |")
    return lines


def _has(rows: Sequence[Mapping[str, Any]], stage: str) -> bool:
    return any(row["stage"] == stage for row in rows)


def _reasons(document: Mapping[str, Any], protocol: str) -> list[str]:
    """Why a protocol was not run, each reason once."""
    found = [r["reason"] for r in document["protocols"] if r["protocol"] == protocol]
    return [reason for reason in dict.fromkeys(found) if reason]


def _selection_lines(document: Mapping[str, Any], protocol: str) -> list[str]:
    selection = document["selection"].get(protocol)
    if selection is None:
        return []
    lines = [f"{topology} is not ranked: {why}." for topology, why in selection["left_out"].items()]
    starts = {row["initial_weights"] for row in document["rows"] if row["protocol"] == protocol}
    if len(starts) > 1:
        lines.append("The starts are unlike (see initial weights): no fair choice of a topology.")
    return [*lines, *selection["explanation"]]


def _cell(row: Mapping[str, Any], name: str) -> str:
    figure = row["figures"].get(name)
    if figure is None or figure["value"] is None:
        return "none"
    between = f"{figure['low']:.3f} to {figure['high']:.3f}"
    if figure["spread"] == "seeds":
        return f"{figure['value']:.3f} ± {figure['sd']:.3f} (seeds {between})"
    return f"{figure['value']:.3f} ({between})"


def _short_cell(row: Mapping[str, Any], name: str) -> str:
    """For the terminal, which has no room for more."""
    figure = row["figures"].get(name)
    if figure is None or figure["value"] is None:
        return "none"
    return f"{figure['value']:.2f} ({figure['low']:.2f}-{figure['high']:.2f})"


def _target(values: Sequence[int | None]) -> str:
    """A number a seed."""
    return ", ".join("not reached" if value is None else f"{value:,}" for value in values)


def _number(value: float | None) -> str:
    return "one epoch only" if value is None else f"{value:.3g}"


def _list(values: Sequence[object]) -> str:
    return ", ".join(str(value) for value in values)
