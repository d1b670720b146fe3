"""What preprocessing mistakes cost, as in the report and as `export robustness` writes it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from pipeline.json_files import JsonObject, plain

SCHEMA: Final = 1


@dataclass(frozen=True)
class MistakeEntry:
    """What one mistake costs; see `export.run.robustness.MistakeCost`."""

    name: str
    does: str
    flips: int
    flip_rate: float
    low: float
    high: float
    limit: float | None
    verdict: str
    auroc: float | None
    max_abs_diff: float
    mean_abs_diff: float | None = None
    changed: int | None = None
    seen_in: str = ""
    source: str = ""


@dataclass(frozen=True)
class RobustnessEntry:
    """All mistakes; see `export.run.robustness.Robustness`. Not run: only a reason."""

    status: Literal["pass", "fail", "not_run"]
    reason: str
    model: str | None = None
    artifact: str = ""
    images: int = 0
    source: str = ""
    auroc: float | None = None
    threshold: float | None = None
    rows: tuple[MistakeEntry, ...] = ()


def robustness_json(entry: RobustnessEntry) -> JsonObject:
    """As JSON holds it."""
    if entry.status == "not_run":
        return {"schema": SCHEMA, "status": entry.status, "reason": entry.reason}
    return {"schema": SCHEMA, **plain(entry)}
