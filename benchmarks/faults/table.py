"""The table: every fault and every control, by kind."""

from __future__ import annotations

from collections.abc import Mapping
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

FAULTS: Final[Mapping[str, tuple[Fault | FolderFault, ...]]] = {
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
CONTROLS: Final[Mapping[str, tuple[Fault | FolderFault, ...]]] = {
    "files": controls.CONTROLS,
    "folders": folders.CONTROLS,
}
