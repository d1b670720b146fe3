"""What became of a file, in one of four words.

``pass``: made, and proven to be PyTorch's network. ``refused``: not made, or not proven to the end,
with a reason that the product foresees, such as an operation without a reader. ``fail``: made and
wrong. ``crash``: an exception that nobody foresaw, of a converter, reader, runtime or command.
What a precision costs a network, the quality gate says; here the file alone is judged.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, Literal

if TYPE_CHECKING:
    from export.parity.entries import ParityEntry

CellVerdict = Literal["pass", "refused", "fail", "crash"]
VERDICTS: Final[tuple[CellVerdict, ...]] = ("pass", "refused", "fail", "crash")
# As `export.run.convert` and `export.parity.check` write what foreign code raised.
FOREIGN: Final = re.compile(
    r"conversion failed: .*\(see \S+\)|\b[A-Z]\w+ while (?:reading|running|comparing)\b"
)
BAD_INPUT: Final = 2  # exit code of a command that says in words why it does nothing


def verdict_of(parity: ParityEntry) -> CellVerdict:
    """Of an artifact of a report."""
    if parity.status == "pass":
        return "pass"
    if parity.status == "not_run":
        return "refused"
    return "crash" if FOREIGN.search(parity.reason) else "fail"


def verdict_of_command(code: int) -> CellVerdict:
    """Of an artifact that a command should have made, and did not."""
    return "refused" if code == BAD_INPUT else "crash"
