"""What a training leaves: the files, and the rows of its tables."""

from __future__ import annotations

import csv
from pathlib import Path

OWN_FILES = ["checkpoint.json", "curves.png", "history.csv", "model.safetensors", "predictions.csv"]
FILES = sorted([*OWN_FILES, "evidence.png", "shortcuts.json", "shortcuts.md"])


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as lines:
        return list(csv.DictReader(lines))
