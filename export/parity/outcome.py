"""Results of one artifact: its conversion, its parity, and the result of the quality gate.

The process that converts makes a `Conversion`; an export makes an `Outcome` of it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from export.formats.base import Description
    from export.parity.check import ParityResult
    from export.parity.quality_gate import GateResult


@dataclass(frozen=True)
class Conversion:
    """How the conversion of one artifact went.

    Attributes:
        format, precision, path: of the artifact.
        seconds: time to convert and read back.
        description: read back from the file; None if that failed.
        error: None if it was written and read back.
        parity: the result of its check; None if there was none.
    """

    format: str
    precision: str
    path: Path
    seconds: float
    description: Description | None = None
    error: str | None = None
    parity: ParityResult | None = None


@dataclass(frozen=True)
class Outcome:
    """One artifact: converted, checked, and passed, rejected or accepted by the gate."""

    conversion: Conversion
    parity: ParityResult
    gate_result: GateResult | None
    checkpoint_sha256: str

    @property
    def key(self) -> tuple[str, str]:
        """Format and precision."""
        return self.conversion.format, self.conversion.precision

    @property
    def fit(self) -> bool:
        """Whether it may be published."""
        gate = self.gate_result
        return self.parity.status != "fail" and (gate is None or not gate.keeps_back)
