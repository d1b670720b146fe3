"""Peers: the same network with the same weights under other runtimes, timed beside our artifacts.

Each peer has an environment of its own in the cache folder (``make peers``), so that none of them
can disturb what converts and proves the artifacts. Nothing there is needed for anything else.

Where to look:
    register      which peers there are
    base          what a peer is
    *_peer        one file per peer: its packages, its conversion, how it is run
    stock_*       the recipes of tutorials, as peers
    environment   how they are installed, and the Python that runs in one
    sources       what conversions start from
    conversion    sources in, a peer's own file out, kept until something changes
    converter     the script that converts, in the peer's environment
    worker        the script that is timed, in the peer's environment
    run           ``python -m benchmarks peers``
    document      its JSON and its table
"""
