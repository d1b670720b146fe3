from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from export.latency import process
from export.latency.answer_check import Expected
from export.latency.measure import Measurement, Target, measure
from export.latency.protocol import WorkerAnswer

Planted = Callable[[str], Target]


@pytest.mark.ci("times in processes of their own")
def test_every_target_is_timed_in_its_own_process_at_each_thread_count(checkpoint: Path) -> None:
    targets = [Target("eager", "fp32", checkpoint, 64), Target("eager", "again", checkpoint, 64)]
    measurements = measure(targets, threads=(1, 2), rounds=2, round_s=0.05)
    assert [(m.target.precision, m.threads) for m in measurements] == [
        ("fp32", 1),
        ("again", 1),
        ("fp32", 2),
        ("again", 2),
    ]
    for m in measurements:
        assert m.status == "done"
        assert [len(latencies) >= 3 for latencies in m.rounds_ms] == [True, True]  # not the warm-up
        assert m.median_ms is not None
        assert m.p90_ms is not None
        assert 0 < m.median_ms <= m.p90_ms
        assert m.peak_mb is not None
        assert m.runtime_mb is not None
        assert m.peak_mb >= m.runtime_mb > 1
        assert m.load_ms is not None
        assert m.load_ms > 0


def test_a_file_that_no_runtime_loads_is_failed_with_the_reason(tmp_path: Path) -> None:
    broken = tmp_path / "model.onnx"
    broken.write_text("not a model")
    (m,) = measure([Target("onnx", "fp32", broken, 64)], threads=(1,), rounds=1, round_s=0.01)
    assert m.status == "failed"
    assert "model.onnx" in m.reason
    assert m.median_ms is None


def test_a_worker_that_dies_is_failed_and_the_others_go_on(planted: Planted) -> None:
    targets = [planted("dies"), planted("fp32")]
    doomed, healthy = measure(targets, threads=(1,), rounds=1, round_s=0.01)
    assert doomed.status == "failed"
    assert "SIGSEGV" in doomed.reason
    assert healthy.status == "done"
    assert len(healthy.rounds_ms) == 1


def test_a_worker_that_hangs_is_failed_and_the_others_go_on(
    planted: Planted, monkeypatch: pytest.MonkeyPatch
) -> None:
    from export.latency import measure as module

    class Impatient(process.TargetProcess):
        def ask(self, command: str) -> WorkerAnswer:
            patience = 0.5 if self.target.precision == "hangs" else 180
            monkeypatch.setattr(process, "ANSWER_TIMEOUT_S", patience)
            return super().ask(command)

    monkeypatch.setattr(module, "TargetProcess", Impatient)
    stuck, healthy = measure([planted("hangs"), planted("fp32")], (1,), rounds=1, round_s=0.01)
    assert (stuck.status, stuck.reason) == ("failed", "no answer in 0.5 s")
    assert healthy.status == "done"


def test_a_worker_that_cannot_start_is_failed_with_its_last_line(planted: Planted) -> None:
    lost = Target("no such module", "fp32", Path(), 8, worker=planted("fp32").worker[:-1])
    (m,) = measure([lost], threads=(1,), rounds=1, round_s=0.01)
    assert m.status == "failed"
    assert "exit code 1" in m.reason
    assert "Error" in m.reason


def test_nobody_is_left_behind(planted: Planted, monkeypatch: pytest.MonkeyPatch) -> None:
    from export.latency import measure as module

    started = []

    class Watched(process.TargetProcess):
        def __init__(self, target: Target, threads: int) -> None:
            super().__init__(target, threads)
            started.append(self)

    monkeypatch.setattr(module, "TargetProcess", Watched)
    with pytest.raises(KeyboardInterrupt):
        measure([planted("fp32"), planted("dies")], (1,), 1, 0.01, progress=_interrupt)
    assert started
    assert all(worker.process.poll() is not None for worker in started)


def test_outputs_are_compared_before_anything_is_timed(
    planted: Planted, expected: Expected
) -> None:
    targets = [planted(name) for name in ("fp32", "swapped", "nan", "three")]
    right, *wrong = measure(targets, (1,), rounds=1, round_s=0.01, expected=expected)
    assert (right.status, right.max_abs_diff) == ("done", 0.0)
    assert right.rounds_ms
    assert [m.status for m in wrong] == ["failed"] * 3
    assert [m.max_abs_diff for m in wrong] == [0.5, None, None]
    assert not any(m.rounds_ms for m in wrong)
    assert "max |Δp| 5.0e-01 > 1.0e-03" in wrong[0].reason
    assert "3 of 3 images" in wrong[0].reason


def test_outputs_are_not_compared_unless_asked(planted: Planted) -> None:
    (m,) = measure([planted("swapped")], (1,), rounds=1, round_s=0.01)
    assert (m.status, m.max_abs_diff) == ("done", None)


def test_what_does_not_apply_here_is_not_run_with_the_reason(planted: Planted) -> None:
    (m,) = measure([planted("elsewhere")], (1,), rounds=1, round_s=0.01)
    assert (m.status, m.reason) == ("not_run", "not on this processor")


def test_the_thread_count_reaches_the_worker(planted: Planted) -> None:
    measurements = measure([planted("fp32")], threads=(1, 2), rounds=1, round_s=0.01)
    assert [m.detail for m in measurements] == ["of 1", "of 2"]


def test_the_median_is_over_all_rounds() -> None:
    target = Target("onnx", "fp32", Path("x"), 64)
    m = Measurement(target, 1, rounds_ms=((1.0, 1.0, 9.0), (2.0, 8.0, 8.0)))
    assert m.median_ms == 5.0
    assert m.round_medians_ms == [1.0, 8.0]
    assert Measurement(target, 1).median_ms is None


def _interrupt(text: str) -> None:
    if "loading" in text:
        raise KeyboardInterrupt
