"""The process that runs one target, as `export.latency.measure` uses it, line by line."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import tempfile
from contextlib import suppress
from dataclasses import replace
from typing import Final

from export.latency.answer_check import Expected, disagreement
from export.latency.measurement import Measurement, Status, Target
from export.latency.protocol import WorkerAnswer
from export.runtimes.subprocesses import last_words
from pipeline.json_files import structure
from pipeline.resize.notation import side_text

ANSWER_TIMEOUT_S: Final = 180  # starting torch on a busy machine, or a round of a slow target


class TargetProcess:
    """A process that implements `export.latency.protocol`, and its answers so far."""

    def __init__(self, target: Target, threads: int) -> None:
        self.target, self.threads = target, threads
        self.said = WorkerAnswer()
        self.max_abs_diff: float | None = None
        self.rounds_ms: list[tuple[float, ...]] = []
        self.errors = tempfile.TemporaryFile()  # noqa: SIM115 - `close` closes it
        arguments = (target.format, target.precision, target.path, side_text(target.side), threads)
        variables = os.environ if target.variables is None else target.variables
        self.process = subprocess.Popen(
            [*target.worker, *map(str, arguments)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.errors,
            text=True,
            env={**variables, "OMP_NUM_THREADS": str(threads)},
        )

    @property
    def alive(self) -> bool:
        """Whether it can take more commands."""
        return self.said.not_run is None and self.said.failed is None

    def ask(self, command: str) -> WorkerAnswer:
        """Send a command and wait for the answer; an empty one if the process has failed before."""
        if not self.alive:
            return WorkerAnswer()
        assert self.process.stdin is not None
        with suppress(BrokenPipeError):  # `answer` then finds the process gone
            self.process.stdin.write(f"{command}\n")
            self.process.stdin.flush()
        return self.answer()

    def answer(self) -> WorkerAnswer:
        """Wait for the next answer; a process that died or hangs counts as failed."""
        pipe = self.process.stdout
        assert pipe is not None
        # One answer per command: nothing is left in the pipe's buffer when this waits.
        if select.select([pipe], [], [], ANSWER_TIMEOUT_S)[0]:
            line = pipe.readline()
            said = self._read(line) if line else WorkerAnswer(failed=self._last_words())
        else:
            self.process.kill()
            said = WorkerAnswer(failed=f"no answer in {ANSWER_TIMEOUT_S} s")
        self.said = self.said.then(said)
        return said

    def take_round(self, seconds: float, count: bool) -> None:
        """Let it infer for `seconds`; keep the latencies if `count`."""
        latencies = self.ask(f"round {seconds}").latencies_ms
        if latencies and count:
            self.rounds_ms.append(tuple(latencies))

    def check(self, expected: Expected) -> None:
        """Compare its outputs with PyTorch's; a target that is too far off has failed."""
        probs = self.ask(f"probs {expected.images_file}").probs
        if probs is not None:
            self.max_abs_diff, why = disagreement(probs, expected, self.target.limit)
            if why:
                self.said = replace(self.said, failed=why)

    def measurement(self) -> Measurement:
        """The figures of all its answers."""
        said = self.said
        status: Status = "done" if self.alive else "failed" if said.not_run is None else "not_run"
        return Measurement(
            self.target,
            self.threads,
            status=status,
            reason=last_words(said.not_run or said.failed or "", 1),
            load_ms=said.load_ms,
            first_ms=said.first_ms,
            rounds_ms=tuple(self.rounds_ms),
            peak_mb=said.peak_mb,
            runtime_mb=said.runtime_mb,
            max_abs_diff=self.max_abs_diff,
            detail=said.detail or "",
        )

    def close(self) -> None:
        """End the process, whatever it is doing."""
        for pipe in (self.process.stdin, self.process.stdout):
            assert pipe is not None
            with suppress(BrokenPipeError):
                pipe.close()
        self.process.kill()
        self.process.wait()
        self.errors.close()

    def _read(self, line: str) -> WorkerAnswer:
        where = f"an answer of {self.target.name}"
        return structure(json.loads(line), WorkerAnswer, where, "its worker is of another release")

    def _last_words(self) -> str:
        """Why a process ended that did not report it itself."""
        code = self.process.wait()
        self.errors.seek(0)
        words = last_words(self.errors.read().decode(errors="replace"), 1)
        how = signal.Signals(-code).name if code < 0 else f"exit code {code}"
        return f"its process ended with {how}" + (f" ({words})" if words else "")
