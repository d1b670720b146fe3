from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
from pathlib import Path
from time import sleep

import pytest

from pipeline import errors
from pipeline.errors import BadInput, MissingDependency
from pipeline.study.engine import DIED, Engine, Lost, run_tasks
from pipeline.study.task_process import ProcessEnded, run_in_process

pytestmark = pytest.mark.slow("starts processes")

DASK = pytest.mark.parametrize(
    "name",
    [
        "joblib",
        pytest.param(
            "dask",
            marks=[
                pytest.mark.ci("starts clusters of Dask"),
                pytest.mark.skipif(
                    bool(errors.missing_modules(("distributed",))),
                    reason="distributed is not installed (the extra cluster)",
                ),
            ],
        ),
    ],
)


@pytest.fixture
def _local_sockets(monkeypatch: pytest.MonkeyPatch) -> None:
    """A local cluster uses sockets of this machine."""
    monkeypatch.undo()


def squared(task: int) -> tuple[int, int]:
    return task * task, os.getpid()


def none_begun(_: object) -> bool:
    return False


def marked(task: tuple[Path, int]) -> int:
    """Leaves a mark while it works; the third kills its process."""
    folder, number = task
    (folder / str(number)).touch()
    if number == 2:
        os._exit(9)
    (folder / str(number)).unlink()
    return number


def begun(task: tuple[Path, int]) -> bool:
    return (task[0] / str(task[1])).exists()


@pytest.mark.usefixtures("_local_sockets")
@DASK
@pytest.mark.parametrize("workers", [1, 2])
def test_every_task_gives_its_result_on_any_engine(name, workers):
    found = dict(run_tasks(Engine(name, workers), squared, range(6), none_begun))
    assert {number: result[0] for number, result in found.items()} == {n: n * n for n in range(6)}
    processes = {result[1] for result in found.values()}
    assert len(processes) <= (6 if name == "dask" else workers)
    assert (os.getpid() in processes) == (name == "joblib" and workers == 1)


@pytest.mark.usefixtures("_local_sockets")
@DASK
def test_a_worker_that_dies_loses_its_own_task_and_the_others_go_on(name, tmp_path):
    tasks = [(tmp_path, number) for number in range(6)]
    found = dict(run_tasks(Engine(name, 2), marked, tasks, begun))
    assert found.pop(2).reason.startswith(DIED)
    finished = {number for number, result in found.items() if result == number}
    assert len(finished) >= 4  # one more may have been running at the same time
    for number in found.keys() - finished:
        assert found[number] == Lost(DIED)
        assert begun(tasks[number])  # what had not begun is never lost


def test_workers_share_the_cores(monkeypatch):
    monkeypatch.setattr("joblib.cpu_count", lambda: 8)
    assert [Engine(workers=n).threads_each for n in (1, 2, 3, 16)] == [8, 4, 2, 1]


def test_no_task_needs_no_engine():
    assert list(run_tasks(Engine(workers=2), squared, [], none_begun)) == []


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"name": "spark"}, "unknown engine 'spark'; there are: joblib, dask"),
        ({"workers": 0}, "--workers 0: at least one is needed"),
        ({"scheduler": "tcp://head:8786"}, "--scheduler needs --engine dask"),
    ],
)
def test_what_no_engine_can_do_is_refused(asked, message):
    with pytest.raises(BadInput, match=message):
        Engine(**asked)


def test_without_dask_the_command_that_installs_it_is_named(monkeypatch):
    monkeypatch.setattr(errors, "find_spec", lambda _: None)
    with pytest.raises(MissingDependency, match=r"--engine dask needs distributed.*\.\[cluster\]"):
        Engine("dask")


@pytest.mark.usefixtures("_local_sockets")
def test_a_scheduler_that_does_not_answer_is_reported(monkeypatch):
    pytest.importorskip("distributed", reason="distributed is not installed (the extra cluster)")
    monkeypatch.setattr("pipeline.study.engine.CONNECT_TIMEOUT_S", 1)
    engine = Engine("dask", scheduler="tcp://127.0.0.1:9")
    with pytest.raises(BadInput, match="no Dask scheduler answers there"):
        list(run_tasks(engine, squared, [1], none_begun))


@pytest.mark.ci("starts clusters of Dask")
@pytest.mark.usefixtures("_local_sockets")
def test_a_cluster_that_runs_already_is_used():
    distributed = pytest.importorskip(
        "distributed", reason="distributed is not installed (the extra cluster)"
    )
    with distributed.LocalCluster(
        n_workers=1, threads_per_worker=2, dashboard_address=None, memory_limit=0
    ) as cluster:
        engine = Engine("dask", scheduler=cluster.scheduler_address)
        assert engine.threads_each == 1
        found = dict(run_tasks(engine, squared, range(3), none_begun))
        assert {number: result[0] for number, result in found.items()} == {0: 0, 1: 1, 2: 4}
        assert len({result[1] for result in found.values()}) == 3  # a process each


def test_a_task_in_its_own_process_shares_nothing_with_this_one(tmp_path):
    random.seed(5)
    before = random.getstate()
    assert run_in_process(drawn, 7) == run_in_process(drawn, 7)
    assert random.getstate() == before
    assert run_in_process(squared, 3)[1] != os.getpid()


def drawn(seed: int) -> float:
    random.seed(seed)
    return random.random()


def stay(folder: Path) -> None:
    """Until someone interrupts."""
    (folder / "here").write_text(str(os.getpid()))
    try:
        while True:
            sleep(60)
    finally:
        (folder / "gone").touch()


@pytest.mark.parametrize("signal_", [signal.SIGINT, signal.SIGKILL])
def test_a_task_ends_with_ctrl_c_and_with_the_worker_that_waits_for_it(tmp_path, signal_):
    waiting = "import signal, sys\nsignal.signal(signal.SIGINT, signal.SIG_IGN)\n"
    waiting += f"sys.path[:0] = {sys.path!r}\nfrom pathlib import Path\n"
    waiting += "from pipeline.study.task_process import run_in_process\n"
    waiting += "from tests.pipeline.study.test_engine import stay\n"
    waiting += f"run_in_process(stay, Path({str(tmp_path)!r}))\n"
    with subprocess.Popen([sys.executable, "-c", waiting], stderr=subprocess.DEVNULL) as worker:
        while not (tmp_path / "here").exists() or not (tmp_path / "here").read_text():
            assert worker.poll() is None
            sleep(0.05)
        if signal_ == signal.SIGINT:
            os.kill(int((tmp_path / "here").read_text()), signal.SIGINT)
        else:
            worker.kill()
        worker.wait()
    while not (tmp_path / "gone").exists():
        sleep(0.05)


def test_a_process_that_ends_early_says_what_it_said_last(tmp_path):
    with pytest.raises(ProcessEnded, match="TypeError"):
        run_in_process(squared, "three")
    with pytest.raises(ProcessEnded):
        run_in_process(marked, (tmp_path, 2))
