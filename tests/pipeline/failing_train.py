"""``python -m tests.pipeline.failing_train ...``: the pipeline, but process 1 loses its disk.

It does so in the middle of an epoch, when the others wait for its gradients.
"""

from __future__ import annotations

import sys
from typing import Any

from pipeline.cli.main import main
from pipeline.data.kept_pixels import KeptPixels
from pipeline.data.listing.sample import Sample
from pipeline.errors import BadInput
from pipeline.training.distributed import rank

OF = KeptPixels.of
IMAGES = 36  # of `tests.conftest.write_folder`: the features of the frozen body take each once
reads: list[Sample] = []


def give_some(self: KeptPixels, sample: Sample) -> Any:
    """Give as always, but fail after the images of three steps."""
    reads.append(sample)
    if len(reads) > IMAGES + 24:
        raise BadInput("the disk of process 1 is gone")
    return OF(self, sample)


if __name__ == "__main__":
    if rank() == 1:
        KeptPixels.of = give_some  # type: ignore[method-assign]
    sys.exit(main(sys.argv[1:]))
