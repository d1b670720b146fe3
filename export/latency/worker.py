"""One artifact, or PyTorch eager, in one process: serves `export.latency.protocol`.

Arguments: format, precision, path, side in pixels or HEIGHTxWIDTH, threads.
"""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path
from typing import Final

from export.formats.base import verbs_of
from export.formats.register import FORMATS
from export.latency.protocol import Session, serve
from pipeline.resize.notation import read_side

EAGER: Final = "eager"


def main() -> None:
    """Serve the commands of `export.latency.measure`."""
    format_name, _, path, side, threads = sys.argv[1:]
    load = _eager if format_name == EAGER else _artifact
    serve(
        lambda: import_module("torch" if format_name == EAGER else FORMATS[format_name].runtime),
        lambda: load(format_name, Path(path), int(threads)),
        read_side(side),
    )


def _artifact(format_name: str, path: Path, threads: int) -> Session:
    verbs = verbs_of(format_name)
    session = verbs.load(path, threads)
    return Session(lambda images: verbs.run(session, images).probs)


def _eager(format_name: str, path: Path, threads: int) -> Session:
    """PyTorch in eager mode, from the checkpoint folder `path`."""
    import torch

    from export.deploy.graph import build_graph, reference_probs
    from pipeline.checkpoint import open_checkpoint

    torch.set_num_threads(threads)
    graph = build_graph(open_checkpoint(path))
    return Session(lambda images: reference_probs(graph, images))


if __name__ == "__main__":
    main()
