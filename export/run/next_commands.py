"""What to type after an export, with the options in force.

In: the request, and what came of it. Out: lines, each ending in a command.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from export.formats.register import FORMATS
from pipeline.terminal.command_line import command_line

if TYPE_CHECKING:
    from export.parity.outcome import Outcome
    from export.report.document import VerdictRow
    from export.run.export_request import ExportRequest


def look_closer(request: ExportRequest, done: Sequence[Outcome]) -> list[str]:
    """The command that finds the layer, for each file that failed by what it answers."""
    lines = []
    for outcome in done:
        parity = outcome.parity
        if parity.status == "fail" and parity.worst_image:
            name, precision = outcome.key
            explain = command_line(
                "export",
                "explain",
                name,
                precision=precision,
                artifact=outcome.conversion.path,
                image=parity.worst_image,
                checkpoint=request.checkpoint,
                data=request.data,
                images=None if request.data is None else request.image_limit,
            )
            lines.append(f"  look closer: {explain}")
    return lines


def accept_rejected(request: ExportRequest, rows: Sequence[VerdictRow]) -> list[str]:
    """The same export, with what the quality gate rejected; nothing if it rejected nothing."""
    rejected = dict.fromkeys(row.precision for row in rows if row.verdict == "rejected")
    if not rejected:
        return []
    again = command_line(
        "export",
        "all",
        checkpoint=request.checkpoint,
        data=request.data,
        images=None if request.data is None else request.image_limit,
        formats=None if set(request.formats) == set(FORMATS) else request.formats,
        precisions=request.precisions,
        out=None if request.root == request.build / "assets" else request.root,
        build=request.build,
        no_latency=not request.latency,
        strict=request.strict,
        budget=request.budget_bytes,
        accept=tuple(dict.fromkeys([*request.accept, *rejected])),
    )
    return [f"  publish what is rejected all the same: {again}"]
