"""Peers: the same network with the same weights under other runtimes, timed next to our artifacts.

Each peer has its own environment in the cache folder (``make peers``), so that none of them can
disturb the packages that convert and prove the artifacts. Nothing else needs these environments.

Where to look:
    register      which peers there are
    base          what a peer is
    runtimes      one file per peer (*_peer) or tutorial recipe (stock_*): packages, conversion, run
    environment   how they are installed, and the Python that runs in one
    sources       what conversions start from
    conversion    sources in, a peer's own file out, kept until something changes
    converter     the script that converts, in the peer's environment
    worker        the script that is timed, in the peer's environment
    run           ``python -m benchmarks peers``
    document      its JSON and its table
"""
