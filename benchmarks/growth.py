"""What grows with the number of images: ``python -m benchmarks.growth``.

Drawn photographs, as many as asked for, go through a command of the project in a process of its
own: its peak memory; or how long `train` is silent, and works before its first epoch.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Final

import numpy as np

from pipeline.checkpoint import RELEASED, open_checkpoint
from pipeline.errors import BadInput
from pipeline.terminal.console import serve

SIZE: Final = (400, 300)
TRAIN: Final = ("--weights", "none", "--preset", "quick", "--side", "64", "--no-shortcuts")


def main() -> int:
    """Draw, run, print; return 0."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--images", type=_numbers, default=(100, 3000), metavar="A,B", help="numbers of images"
    )
    parser.add_argument("--folder", type=Path, default=Path("build/growth"))
    parser.add_argument(
        "--what", choices=("check", "robustness", "train"), default="check", help="the command"
    )
    options = parser.parse_args()
    for count in options.images:
        if options.what == "train":
            data = draw(options.folder / f"unsplit{count}", count, split=False)
            first, begun = start_of_training(data, options.folder / "checkpoint")
            told = f"a line after {first:.1f} s, an epoch after {begun:.1f} s"
        else:
            data = draw(options.folder / f"split{count}", count, split=True)
            limit = ("--images", str(count))
            peak_mb, seconds = peak("export", options.what, "--data", str(data), *limit)
            told = f"{peak_mb:.0f} MB, {seconds:.0f} s"
        print(f"{options.what}, {count} images: {told}", flush=True)
    return 0


def draw(data: Path, count: int, split: bool) -> Path:
    """`count` colour JPEG files by label; if split they are valid, and one of each is in train."""
    from PIL import Image

    labels = open_checkpoint(RELEASED).spec.labels
    rng = np.random.default_rng(0)
    width, height = SIZE
    for i in range(count + len(labels) * split):
        side = ("train" if i < len(labels) else "valid") if split else "."
        path = data / side / labels[i % len(labels)] / f"{i:06}.jpg"
        if path.exists():
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        ground = rng.integers(40, 220, (height // 16, width // 16, 3), dtype=np.uint8)
        large = Image.fromarray(ground).resize(SIZE, Image.Resampling.BICUBIC)
        grain = np.asarray(large, np.int16) + rng.integers(-12, 13, (height, width, 1))
        Image.fromarray(grain.clip(0, 255).astype(np.uint8)).save(path, quality=88)
    return data


def peak(*command: str) -> tuple[float, float]:
    """Peak memory in MB, and seconds, of ``python -m`` a command, whatever its verdict.

    Raises BadInput: it ended before it had one.
    """
    start = time.perf_counter()
    with subprocess.Popen([sys.executable, "-m", *command], stdout=subprocess.DEVNULL) as process:
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode not in (0, 1):
        raise BadInput(f"{' '.join(command)} ended with {process.returncode}: nothing was measured")
    return usage.ru_maxrss / 1024, time.perf_counter() - start


def start_of_training(data: Path, out: Path) -> tuple[float, float]:
    """Seconds until `train` says something, and until it prints the head of its epochs' table.

    Raises BadInput: it ended before that.
    """
    place = ("--data", str(data), "--overwrite", "--out", str(out))
    command = [sys.executable, "-u", "-m", "pipeline", "train", *place, *TRAIN]
    start, first = time.perf_counter(), 0.0
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            first = first or time.perf_counter() - start
            if line.startswith("epoch"):
                break
        else:
            raise BadInput(f"train ended before its first epoch: {' '.join(command)}")
        begun = time.perf_counter() - start
        process.terminate()
    return first, begun


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(int(number) for number in text.split(","))


if __name__ == "__main__":
    sys.exit(serve(main, "nothing was changed"))
