"""A replay and a diagnosis for people (terminal) and for programs (JSON)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pipeline.json_files import JsonObject, plain

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from export.golden.diagnosis import Diagnosis
    from export.golden.replay import PackReplay

WORDS: Final = {"pass": "pass", "fail": "FAIL", "not_run": "not run"}
STYLES: Final = {"pass": "green", "fail": "bold red", "not_run": "yellow"}


def print_replay(console: Console, found: PackReplay) -> None:
    """A row for each image and each artifact, reasons below, and a sentence with the counts."""
    console.print(_images(found))
    console.print(_artifacts(found))
    console.print("pixels: the resize rule here compared with the tensor, in counts of 0 to 255")
    console.print("|Δp|: the file on the tensors compared with PyTorch with the same weights")
    for name, result in [(r.case, r) for r in found.pixels] + [(r.path, r) for r in found.answers]:
        if result.reason:
            console.print(f"  {name}: {result.reason}", markup=False)
    console.print(replay_sentence(found))


def replay_sentence(found: PackReplay) -> str:
    """How many images and artifacts passed, failed and were not run."""
    images = sum(r.status == "pass" for r in found.pixels)
    counts = {s: sum(r.status == s for r in found.answers) for s in WORDS}
    return (
        f"{images} of {len(found.pixels)} images become their tensor; of {len(found.answers)} "
        f"artifacts {counts['pass']} passed, {counts['fail']} failed, {counts['not_run']} not run"
    )


def replay_document(found: PackReplay) -> JsonObject:
    """A replay for programs."""
    return {
        "schema": 1,
        "command": "golden",
        "model": plain(found.pack.model),
        "verdict": replay_sentence(found),
        "failed": found.failed,
        "images": [plain(result) for result in found.pixels],
        "artifacts": [plain(result) for result in found.answers],
    }


def diagnosis_document(found: Diagnosis) -> JsonObject:
    """A diagnosis for programs."""
    return {"schema": 1, "command": "golden", "failed": found.faulty, **plain(found)}


def _images(found: PackReplay) -> Table:
    table = _table(f"Golden images of {found.pack.model.name} {found.pack.model.version}")
    table.add_column("case", no_wrap=True)
    table.add_column("pixels", no_wrap=True)
    table.add_column("max", justify="right")
    table.add_column("mean", justify="right")
    table.add_column("allowed", justify="right", no_wrap=True)
    table.add_column("shows")
    for case, result in zip(found.pack.cases, found.pixels, strict=True):
        table.add_row(
            case.name,
            _word(result.status),
            "" if result.max_abs is None else str(result.max_abs),
            "" if result.mean_abs is None else f"{result.mean_abs:.2f}",
            f"{case.tolerance.max_abs}, {case.tolerance.mean_abs:g}",
            case.why,
        )
    return table


def _artifacts(found: PackReplay) -> Table:
    table = _table(f"Outputs for {len(found.pixels)} tensors")
    table.add_column("artifact", no_wrap=True)
    table.add_column("verdict", no_wrap=True)
    table.add_column("max |Δp|", justify="right")
    table.add_column("allowed", justify="right")
    table.add_column("worst case", no_wrap=True)
    table.add_column("by")
    for result in found.answers:
        table.add_row(
            result.path,
            _word(result.status),
            "" if result.max_abs_diff is None else f"{result.max_abs_diff:.1e}",
            "" if result.tolerance is None else f"{result.tolerance:.0e}",
            result.worst_case or "",
            result.how,
        )
    return table


def _table(title: str) -> Table:
    from rich import box
    from rich.table import Table

    return Table(title=title, box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))


def _word(status: str) -> str:
    return f"[{STYLES[status]}]{WORDS[status]}[/]"
