"""Small images and tables of them."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from pathlib import Path

from PIL import Image

from pipeline.data.dataset import Sample


def draw(root: Path, *files: str) -> None:
    for number, file in enumerate(files):
        path = root / file
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (8, 8), number).save(path)


def write_table(root: Path, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> Path:
    """A table and the images that it names."""
    root.mkdir(exist_ok=True)
    rows = list(rows)
    draw(root, *(row[0] for row in rows))
    path = root / "metadata.csv"
    with path.open("w", newline="", encoding="utf-8") as lines:
        csv.writer(lines).writerows([columns, *rows])
    return path


def files(samples: Iterable[Sample]) -> list[str]:
    return [sample.file for sample in samples]
