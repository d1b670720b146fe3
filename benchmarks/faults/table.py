"""The table: every fault and every control, by kind."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from itertools import chain
from typing import Final

from benchmarks.faults.fault import Fault
from benchmarks.faults.planted import (
    controls,
    declarations,
    files,
    folders,
    graph,
    limits,
    onnx_graph,
    specification,
    structure,
    weights,
)
from benchmarks.faults.planted.folders import FolderFault
from pipeline.errors import BadInput

Row = Fault | FolderFault

FAULTS: Final[Mapping[str, tuple[Row, ...]]] = {
    "graph": graph.FAULTS,
    "structure": structure.FAULTS,
    "limits": limits.FAULTS,
    "weights": weights.FAULTS,
    "declarations": declarations.FAULTS,
    "files": files.FAULTS,
    "specification": specification.FAULTS,
    "nodes": onnx_graph.FAULTS,
    "folders": folders.FAULTS,
}
CONTROLS: Final[Mapping[str, tuple[Row, ...]]] = {
    "files": controls.CONTROLS,
    "folders": folders.CONTROLS,
}


def chosen(names: Collection[str] = ()) -> tuple[list[Row], list[Row]]:
    """Faults and controls of these names, or all. Raises BadInput: there is no such name."""
    found = [
        [row for row in _rows(table) if not names or row.name in names]
        for table in (FAULTS, CONTROLS)
    ]
    unknown = {*names} - {row.name for row in chain(*found)}
    if unknown:
        raise BadInput(f"no fault {min(unknown)!r}; docs/faults.md has their names")
    faults, controls = found
    return faults, controls


def _rows(table: Mapping[str, tuple[Row, ...]]) -> Iterator[Row]:
    return chain.from_iterable(table.values())
