"""The whole table run: a row for each fault and artifact, as JSON and on the screen."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from benchmarks.faults.bench import COLUMNS, Artifact, Bench
from benchmarks.faults.explained import ExplainedCell, explained
from benchmarks.faults.fault import Fault
from benchmarks.faults.judge import FaultCell, judge
from benchmarks.faults.planted.weights import Mismatched
from benchmarks.faults.table import Row

if TYPE_CHECKING:
    from rich.console import Console

    from pipeline.model_spec import ModelSpec


@dataclass(frozen=True)
class Verdicts:
    """Every cell of the table.

    Attributes:
        faults: must be caught.
        controls: must pass.
    """

    faults: tuple[FaultCell, ...]
    controls: tuple[FaultCell, ...]

    @property
    def missed(self) -> list[FaultCell]:
        """Faults that passed."""
        return [cell for cell in self.faults if cell.planted and not cell.caught_by]

    @property
    def alarms(self) -> list[FaultCell]:
        """Controls that did not pass."""
        return [cell for cell in self.controls if cell.caught_by]

    def document(self, spec: ModelSpec) -> dict[str, object]:
        """The content of ``docs/results/faults.json``; `spec` is the tested model's."""
        return {
            "model": _model(spec),
            "faults": _rows("fault", self.faults),
            "controls": _rows("control", self.controls),
            "not_planted": _not_planted([*self.faults, *self.controls]),
        }


def run_table(
    bench: Bench,
    faults: Iterable[Row],
    controls: Iterable[Row],
    report: Callable[[str], None],
    artifacts: Sequence[Artifact] = COLUMNS,
) -> Verdicts:
    """Plant every fault and every control in each of the artifacts; `report` gets their names."""

    def cells(rows: Iterable[Row]) -> Iterator[FaultCell]:
        for row in rows:
            report(row.name)
            with silence():
                found = judge(row, bench, artifacts)
            yield from found

    return Verdicts(tuple(cells(faults)), tuple(cells(controls)))


def run_explained(
    bench: Bench,
    faults: Iterable[Row],
    report: Callable[[str], None],
    artifacts: Sequence[Artifact] = COLUMNS,
) -> list[ExplainedCell]:
    """Ask `explain` for each fault of the network in each artifact; `report` gets their names."""
    cells = []
    for fault in faults:
        if isinstance(fault, Fault) and isinstance(fault.plant, Mismatched):
            report(fault.name)
            with silence():
                cells += [explained(fault, bench, artifact) for artifact in artifacts]
    return cells


@contextmanager
def silence() -> Iterator[None]:
    """Discard what is printed meanwhile: converters print, some of them from C."""
    sys.stdout.flush()
    sys.stderr.flush()
    kept = [os.dup(1), os.dup(2)]
    with open(os.devnull, "wb") as nowhere:  # noqa: PTH123 - a descriptor
        for descriptor in (1, 2):
            os.dup2(nowhere.fileno(), descriptor)
    try:
        yield
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        for descriptor, before in enumerate(kept, start=1):
            os.dup2(before, descriptor)
            os.close(before)


def print_verdicts(console: Console, verdicts: Verdicts) -> None:
    """One line for each fault, then missed faults and false alarms."""
    from rich.table import Table

    table = Table("planted", "in", "caught", "by", box=None)
    for name in dict.fromkeys(cell.fault for cell in verdicts.faults):
        planted = [cell for cell in verdicts.faults if cell.fault == name and cell.planted]
        caught = [cell for cell in planted if cell.caught_by]
        parts = sorted({part for cell in caught for part in cell.caught_by})
        table.add_row(name, str(len(planted)), str(len(caught)), ", ".join(parts))
    console.print(table)
    for cell in verdicts.missed:
        console.print(f"NOT CAUGHT: {cell.fault}, {' '.join(cell.artifact)}", markup=False)
    for cell in verdicts.alarms:
        said = f"{cell.fault}, {' '.join(cell.artifact)}: {cell.reason}"
        console.print(f"FALSE ALARM: {said}", markup=False)
    console.print(summary(verdicts))


def print_explained(console: Console, cells: Sequence[ExplainedCell]) -> None:
    """One line for each fault, then where its place was not named."""
    from rich.table import Table

    table = Table("planted in the file", "files", "caught", "named by explain", "place", box=None)
    for name in dict.fromkeys(cell.fault for cell in cells):
        planted = [cell for cell in cells if cell.fault == name and cell.planted]
        counts = (
            len(planted),
            sum(bool(c.caught_by) for c in planted),
            sum(c.named for c in planted),
        )
        places = sorted({place for cell in planted for place in cell.places})
        table.add_row(name, *map(str, counts), ", ".join(places))
    console.print(table)
    for cell in cells:
        if cell.planted and not cell.caught_by:
            console.print(f"NOT CAUGHT: {cell.fault}, {' '.join(cell.artifact)}", markup=False)
        if cell.planted and not cell.named:
            said = "; ".join(cell.sentences) or "no difference"
            console.print(
                f"NOT NAMED: {cell.fault}, {' '.join(cell.artifact)}: {said}", markup=False
            )


def summary(verdicts: Verdicts) -> str:
    """In one line."""
    planted = [cell for cell in verdicts.faults if cell.planted]
    controls = [cell for cell in verdicts.controls if cell.planted]
    return (
        f"{len(planted) - len(verdicts.missed)} of {len(planted)} planted faults caught, "
        f"{len(verdicts.alarms)} of {len(controls)} controls flagged"
    )


def _rows(kind: str, cells: Sequence[FaultCell]) -> list[dict[str, object]]:
    rows: list[dict[str, object]] = [
        {kind: cell.fault, "format": " ".join(cell.artifact), "caught_by": list(cell.caught_by)}
        for cell in cells
        if cell.planted
    ]
    return sorted(rows, key=lambda row: (str(row[kind]), str(row["format"])))


def explained_document(cells: Sequence[ExplainedCell], spec: ModelSpec) -> dict[str, object]:
    """As `Verdicts.document`, of what `explain` says."""
    return {
        "model": _model(spec),
        "explained": [asdict(c) | {"named": c.named} for c in cells if c.planted],
        "not_planted": _not_planted(cells),
    }


def _model(spec: ModelSpec) -> dict[str, object]:
    return {
        "name": spec.name,
        "version": spec.version,
        "architecture": spec.architecture,
        "side": spec.side,
    }


def _not_planted(cells: Sequence[FaultCell | ExplainedCell]) -> list[dict[str, object]]:
    """Each fault with each reason once, and the artifacts it applies to."""
    excused: dict[tuple[str, str], list[str]] = {}
    for cell in cells:
        if not cell.planted:
            excused.setdefault((cell.fault, cell.excuse), []).append(" ".join(cell.artifact))
    return [
        {"fault": fault, "reason": reason, "formats": formats}
        for (fault, reason), formats in sorted(excused.items())
    ]
