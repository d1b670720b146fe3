"""Time several targets fairly: one process each, rounds in turn, so that noise affects all alike.

In: targets and thread counts. Out: `Measurement` per target and thread count: load time, first
inference, latencies by round, peak memory; or why there is none.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Final

from export.latency.answer_check import Expected
from export.latency.measurement import Measurement, Target
from export.latency.process import TargetProcess

__all__ = ["Measurement", "Target", "measure"]

REST_S: Final = 0.03  # lets a runtime's spinning threads fall asleep before the next one runs


def measure(
    targets: Sequence[Target],
    threads: Sequence[int],
    rounds: int,
    round_s: float,
    progress: Callable[[str], None] = lambda text: None,
    expected: Expected | None = None,
) -> list[Measurement]:
    """Time all `targets` at each thread count in `threads`.

    Args:
        targets: what to time.
        threads: thread counts, one after the other.
        rounds: counted turns of each target; one more, the first, is a warm-up.
        round_s: length of a turn in seconds.
        progress: is called with a line of progress.
        expected: outputs that each loaded target must give before it is timed; None: not compared.
    """
    return [
        measurement
        for count in threads
        for measurement in _measure_at(targets, count, rounds, round_s, progress, expected)
    ]


def _measure_at(
    targets: Sequence[Target],
    threads: int,
    rounds: int,
    round_s: float,
    progress: Callable[[str], None],
    expected: Expected | None,
) -> list[Measurement]:
    processes: list[TargetProcess] = []
    at = f"{threads} thread{'s' * (threads > 1)}"
    try:
        for target in targets:
            processes.append(TargetProcess(target, threads))
        for process in processes:
            progress(f"{at}, loading {process.target.name}")
            process.answer()
        for process in processes:
            process.ask("load")
        if expected is not None:
            for process in processes:
                progress(f"{at}, comparing {process.target.name}")
                process.check(expected)
        for turn in range(rounds + 1):
            progress(f"{at}, round {turn} of {rounds}")
            for process in processes:
                time.sleep(REST_S)
                process.take_round(round_s, count=turn > 0)  # the first turn warms up
        for process in processes:
            process.ask("end")
        return [process.measurement() for process in processes]
    finally:
        for process in processes:
            process.close()
