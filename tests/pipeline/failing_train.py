"""``python -m tests.pipeline.failing_train ...``: the pipeline, but process 1 loses its disk.

It does so in the middle of an epoch, when the others wait for its gradients.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from pipeline import images
from pipeline.cli.main import main
from pipeline.errors import BadInput
from pipeline.training.distributed import rank

READ = images.read_image
reads: list[Path] = []


def read_some(path: Path, side: int) -> Any:
    """Read as always, but fail after the images of three steps."""
    if side != 32:  # at 32 px they are only checked
        reads.append(path)
        if len(reads) > 24:
            raise BadInput("the disk of process 1 is gone")
    return READ(path, side)


if __name__ == "__main__":
    if rank() == 1:
        images.read_image = read_some
    sys.exit(main(sys.argv[1:]))
