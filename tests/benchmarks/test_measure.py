from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.measure import Measurement, Target, measure


def test_every_target_is_timed_in_its_own_process_at_each_thread_count(checkpoint: Path) -> None:
    targets = [Target("eager", "fp32", checkpoint, 64), Target("eager", "twin", checkpoint, 64)]
    measurements = measure(targets, threads=(1, 2), rounds=2, round_s=0.05)
    assert [(m.target.precision, m.threads) for m in measurements] == [
        ("fp32", 1),
        ("twin", 1),
        ("fp32", 2),
        ("twin", 2),
    ]
    for m in measurements:
        assert m.status == "done"
        assert len(m.latencies_ms) >= 6  # three inferences in each of two rounds, warm-up left out
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


def test_a_worker_that_dies_is_failed_and_the_others_go_on(
    checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from benchmarks import measure as module

    started = []

    class Dying(module._Worker):
        def __init__(self, target: Target, threads: int) -> None:
            super().__init__(target, threads)
            started.append(self)
            if target.precision == "doomed":
                self.process.kill()

    monkeypatch.setattr(module, "_Worker", Dying)
    targets = [Target("eager", "doomed", checkpoint, 64), Target("eager", "fp32", checkpoint, 64)]
    doomed, healthy = measure(targets, threads=(1,), rounds=1, round_s=0.01)
    assert doomed.status == "failed"
    assert healthy.status == "done"
    assert all(worker.process.poll() is not None for worker in started)  # nobody is left behind


def test_the_median_is_over_all_rounds() -> None:
    target = Target("onnx", "fp32", Path("x"), 64)
    assert Measurement(target, 1, latencies_ms=(1.0, 2.0, 9.0)).median_ms == 2.0
    assert Measurement(target, 1).median_ms is None
