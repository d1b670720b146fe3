"""What `export all` is asked for: `ExportRequest`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class ExportRequest:
    """What `export all` is asked for.

    Attributes:
        checkpoint: its folder.
        data: validation images for parity; None: the embedded samples.
        formats: names of `FORMATS`; a part of them is not published in place of the whole.
        precisions: likewise; empty: all that a format and the checkpoint have.
        root: where the asset folders are.
        build: for artifacts before they are proven, logs and the report.
        image_limit: largest number of validation images.
        jobs: converters that run at a time.
        latency: measure it for the manifest.
        strict: not run counts as failed.
        accept: precisions that are published even if the quality gate rejects them; never a file
            that is wrong.
        budget_bytes: every format must have a published file of at most this size; None: no limit.
    """

    checkpoint: Path
    data: Path | None
    formats: tuple[str, ...]
    precisions: tuple[str, ...]
    root: Path
    build: Path
    image_limit: int
    jobs: int
    latency: bool
    strict: bool
    budget_bytes: int | None = None
    accept: tuple[str, ...] = ()
