"""Where the trials of a comparison run: an existing engine, chosen by name.

``joblib``  processes of this machine (loky); with one worker, this process itself
``dask``    a Dask cluster: processes of this machine, or a running one (`--scheduler`) whose
            machines see data and output at the same paths

In: a function and its tasks. Out: for each task, as it ends, its number and what the function
returned or why nothing came back. A worker that dies takes its own task with it and no other.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeVar

from pipeline.errors import BadInput, require

if TYPE_CHECKING:
    from distributed import Client

Task = TypeVar("Task")
Result = TypeVar("Result")

ENGINES: Final = ("joblib", "dask")
CONNECT_TIMEOUT_S: Final = 10
DIED: Final = "the worker process ended in the middle of it (killed, perhaps out of memory)"


@dataclass(frozen=True)
class Lost:
    """In place of a result: the worker ended before it gave one."""

    reason: str


@dataclass(frozen=True)
class Engine:
    """Which engine, and how many workers.

    Attributes:
        name: of `ENGINES`.
        workers: processes, one task each at a time; with a `scheduler` the cluster has its own.
        scheduler: address of a running Dask cluster; None: a local one.
    """

    name: str = "joblib"
    workers: int = 1
    scheduler: str | None = None

    def __post_init__(self) -> None:
        """Raises `BadInput` for what no engine can do."""
        if self.name not in ENGINES:
            raise BadInput(f"unknown engine {self.name!r}; there are: {', '.join(ENGINES)}")
        if self.workers < 1:
            raise BadInput(f"--workers {self.workers}: at least one is needed")
        if self.scheduler is not None and self.name != "dask":
            raise BadInput("--scheduler needs --engine dask")
        if self.name == "dask":
            require("distributed", what="--engine dask")

    @property
    def threads_each(self) -> int:
        """The share of this machine's cores that each worker has; 1 on a cluster elsewhere."""
        from joblib import cpu_count

        return 1 if self.scheduler else max(1, int(cpu_count()) // self.workers)


def run_tasks(
    engine: Engine,
    function: Callable[[Task], Result],
    tasks: Sequence[Task],
    begun: Callable[[Task], bool],
) -> Generator[tuple[int, Result | Lost]]:
    """Yield (number, result) as tasks end, in any order.

    Args:
        engine: where.
        function: importable by its name, as are the types that it takes and returns.
        tasks: picklable.
        begun: whether a task has begun and not ended; called when a worker has died.
    """
    if not tasks:
        return
    run = _with_dask if engine.name == "dask" else _with_joblib
    yield from run(engine, function, tasks, begun)


def _with_joblib(
    engine: Engine,
    function: Callable[[Task], Result],
    tasks: Sequence[Task],
    begun: Callable[[Task], bool],
) -> Generator[tuple[int, Result | Lost]]:
    """A whole pool breaks when one worker dies: tasks that had not begun go to a new one.

    At the end its idle processes are killed. joblib keeps them for later and asks them to end when
    this process does; after a worker's death that was seen to wait for them for ever.
    """
    from concurrent.futures.process import BrokenProcessPool

    from joblib import Parallel, delayed
    from joblib.externals.loky import get_reusable_executor

    waiting = dict(enumerate(tasks))
    while waiting:
        pool = Parallel(
            n_jobs=engine.workers,
            backend="loky",
            return_as="generator_unordered",
            batch_size=1,
            pre_dispatch="n_jobs",
        )
        results = pool(delayed(_numbered)(function, n, task) for n, task in list(waiting.items()))
        try:
            with contextlib.closing(results):
                for number, result in results:
                    del waiting[number]
                    yield number, result
        except BrokenProcessPool:
            lost = [number for number, task in waiting.items() if begun(task)]
            for number in lost or list(waiting):
                del waiting[number]
                yield number, Lost(DIED)
    if engine.workers > 1:
        get_reusable_executor().shutdown(wait=True, kill_workers=True)


def _numbered(function: Callable[[Task], Result], number: int, task: Task) -> tuple[int, Result]:
    return number, function(task)


def _with_dask(
    engine: Engine,
    function: Callable[[Task], Result],
    tasks: Sequence[Task],
    begun: Callable[[Task], bool],
) -> Generator[tuple[int, Result | Lost]]:
    from distributed import as_completed

    from pipeline.study.task_process import run_in_process

    with _dask_client(engine) as client:
        futures = {
            client.submit(run_in_process, function, task, pure=False): number
            for number, task in enumerate(tasks)
        }
        for future in as_completed(list(futures)):
            error = future.exception()
            if error is None:
                yield futures[future], future.result()
            elif type(error).__name__ in ("ProcessEnded", "KilledWorker"):
                said = (
                    str(error).splitlines()[-1:] if type(error).__name__ == "ProcessEnded" else []
                )
                yield futures[future], Lost(": ".join([DIED, *said]))
            else:
                yield futures[future], Lost(f"{type(error).__name__}: {error}".splitlines()[0])


@contextlib.contextmanager
def _dask_client(engine: Engine) -> Generator[Client]:
    import dask
    from distributed import Client, LocalCluster

    if engine.scheduler is None:
        # A training that took its worker with it would take the next one, too.
        with (
            dask.config.set({"distributed.scheduler.allowed-failures": 0}),
            LocalCluster(
                n_workers=engine.workers,
                threads_per_worker=1,
                processes=True,
                memory_limit=0,  # the machine decides what a training may use
                dashboard_address=None,
                silence_logs="CRITICAL",
            ) as cluster,
            Client(cluster) as client,
        ):
            yield client
        return
    try:
        client = Client(engine.scheduler, timeout=CONNECT_TIMEOUT_S)
    except (OSError, ValueError) as error:
        raise BadInput(
            f"--scheduler {engine.scheduler}: no Dask scheduler answers there ({error})"
        ) from error
    with client:
        if not client.scheduler_info(n_workers=-1)["workers"]:
            raise BadInput(f"--scheduler {engine.scheduler}: the cluster has no workers")
        yield client
