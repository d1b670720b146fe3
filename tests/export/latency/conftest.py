from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from benchmarks.peers.environment import peer_python
from export.latency.answer_check import Expected
from export.latency.measurement import Target
from tests.benchmarks import planted_peer
from tests.benchmarks.conftest import SIDE, planted_expected


@pytest.fixture
def expected(tmp_path: Path) -> Expected:
    return planted_expected(tmp_path)


@pytest.fixture
def planted(tmp_path: Path) -> Callable[[str], Target]:
    """A target of the planted peer that does what its precision says."""
    command, variables = peer_python(planted_peer)

    def target(precision: str) -> Target:
        worker = (*command, "-m", "benchmarks.peers.worker", planted_peer.__name__)
        return Target(
            planted_peer.NAME,
            precision,
            tmp_path,
            SIDE,
            worker=worker,
            variables=variables,
            limit=1e-3,
        )

    return target
