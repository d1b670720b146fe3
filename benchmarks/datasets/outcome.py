"""What the commands left: figures of the model, what compressing lost, the verdict on every file.

In: a row without results, a checkpoint, the report of an export. Out: the row with them. Only
fields that every version of the product has are read, so that an older one can be measured.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from benchmarks.datasets.row import WAY_OUT, CompressedRow, DataSetRow, FileVerdict
from pipeline.json_files import read_json

PRECISIONS: Final = ("int8", "w4", "w3")


def with_results(row: DataSetRow, checkpoint: Path, report: Path) -> DataSetRow:
    """The row, finished. Raises BadInput: a file is missing or damaged."""
    return replace(
        row,
        figures=_figures(checkpoint),
        compressed=tuple(_compressed(checkpoint / p, p) for p in PRECISIONS),
        files=_files(report),
    )


def counted(row: DataSetRow, checkpoint: Path) -> DataSetRow:
    """The row of a folder of one's own, with the labels and images that training found."""
    spec = _checkpoint(checkpoint)
    train, valid = (sum(spec["data"]["images"][split].values()) for split in ("train", "valid"))
    about = ", ".join(spec["labels"][:5])
    return replace(row, about=about, labels=len(spec["labels"]), train=train, valid=valid)


def _checkpoint(folder: Path) -> dict[str, Any]:
    return read_json(folder / "checkpoint.json", what="checkpoint", way_out=WAY_OUT)


def _figures(checkpoint: Path) -> dict[str, float]:
    metrics = _checkpoint(checkpoint)["metrics"]
    return {
        "accuracy": round(metrics["accuracy"]["value"], 4),
        "calibration_error": round(metrics["calibration_error"], 4),
    }


def _compressed(folder: Path, precision: str) -> CompressedRow:
    spec = _checkpoint(folder)
    comparison = spec["compression"]["comparison"]
    return CompressedRow(
        precision=precision,
        epochs=spec["training"]["compression"]["epochs"],
        images=comparison["images"],
        label_flips=comparison["label_flips"],
        mean_abs_diff=round(comparison["mean_abs_diff"], 5),
        broken=tuple(comparison.get("broken_limits", ())),
    )


def _files(report: Path) -> tuple[FileVerdict, ...]:
    document = read_json(report, what="report", way_out=WAY_OUT)
    return tuple(
        FileVerdict(
            found["format"],
            found["precision"],
            found["verdict"],
            _reason(found),
            found.get("size_bytes"),
            _latency(found.get("latency_ms")),
        )
        for found in document["artifacts"]
    )


def _latency(entry: Mapping[str, Any] | None) -> dict[str, float]:
    measured = entry["threads"] if entry else {}
    return {n: t["median"] for n, t in measured.items() if t["median"] is not None}


def _reason(artifact: Mapping[str, Any]) -> str:
    if artifact["verdict"] == "rejected":
        return "; ".join((artifact["accuracy"] or {}).get("broken_limits", ()))
    return str(artifact["parity"]["reason"])
