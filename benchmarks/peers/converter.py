"""Convert for one peer, in its environment: the script that `benchmarks.peers.conversion` runs.

Arguments: the peer's module, the folder of sources, the checkpoint, side in pixels or
HEIGHTxWIDTH, the folder to fill. After an error the exit code is 1 and the last line on stderr is
the message.
"""

from __future__ import annotations

import sys
import traceback
from importlib import import_module
from pathlib import Path

from benchmarks.peers.sources import PeerSources
from pipeline.resize.notation import read_side


def main(module: str, folder: str, checkpoint: str, side: str, target: str) -> int:
    """Convert by the peer's module; return the exit code."""
    try:
        sources = PeerSources(Path(folder), Path(checkpoint), read_side(side))
        import_module(module).convert(sources, Path(target))
    except Exception as error:  # a converter may raise anything; the run goes on without it
        traceback.print_exc()
        lines = str(error).strip().splitlines() or ["no message"]
        print(f"{type(error).__name__}: {lines[-1].strip()}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
