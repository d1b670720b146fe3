"""The cases of all operations, each worked by hand in the tests of its family."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

# The table as a whole is tested beside the families, and is none itself.
FAMILIES = sorted(
    {path.stem for path in Path(__file__).parent.glob("test_*.py")} - {"test_operations"}
)
BY_HAND = [
    case for family in FAMILIES for case in import_module(f"{__package__}.{family}").CASES.values()
]
