"""One peer in one process, in its environment: serves `export.latency.protocol`.

Arguments: the peer's module, its name, precision, the folder that its conversion filled, side in
pixels, threads.
"""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path

from export.latency.protocol import serve
from pipeline.resize.notation import read_side


def main() -> None:
    """Serve the commands of `export.latency.measure`."""
    module, _, precision, folder, side, threads = sys.argv[1:]
    peer = import_module(module)

    def import_runtime() -> None:
        import_module(peer.IMPORTS[-1])  # what runs comes after what converts

    serve(import_runtime, lambda: peer.load(Path(folder), precision, int(threads)), read_side(side))


if __name__ == "__main__":
    main()
