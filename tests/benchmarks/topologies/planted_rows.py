"""Rows as a run leaves them."""

from __future__ import annotations

from collections import Counter

from benchmarks.topologies.row import ArtifactRow, Settings, Topologies, TopologyRow
from export.latency.machine import Machine

PASS = ArtifactRow("onnx", "fp32", "pass", "", size_bytes=9_000_000, max_abs_diff=1e-6)


def cell(precision: str, verdict: str, reason: str = "", name: str = "onnx") -> ArtifactRow:
    return ArtifactRow(name, precision, verdict, reason)  # type: ignore[arg-type]


def row(name: str, *artifacts: ArtifactRow) -> TopologyRow:
    counts = Counter[str](artifact.verdict for artifact in artifacts)
    return TopologyRow(
        name, name, 128, 2_300_000, 95.0, 63.2, 1256, 0, dict(counts), artifacts, "00ff"
    )


def document(*rows: TopologyRow) -> Topologies:
    where = Machine(processor="a CPU", cores=2, system="Linux", python="3.11.7")
    return Topologies(where, {"torch": "2"}, Settings(11, 2, "drawn", "colours5"), rows)
