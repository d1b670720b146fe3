"""Run a published file in a foreign environment: images in, outputs out.

`standalone_runner` does the work in a process of that environment; arrays travel in numpy's files.
"""

from __future__ import annotations

import json
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from export.deploy.outputs import EVIDENCE, PROBS, Answers
from export.errors import CannotRunHere, Unreadable
from export.formats.register import FORMATS
from export.runtimes import cache, standalone_runner
from export.runtimes.emulator import is_emulated
from export.runtimes.environments import Environment
from export.runtimes.install import is_installed
from export.runtimes.interpreter import python_command
from export.runtimes.subprocesses import last_words

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Emulated on a busy machine, starting torch takes half a minute and an image several seconds.
SECONDS_TO_START: Final = 900
SECONDS_PER_IMAGE: Final = 30
TAIL_LINES: Final = 3  # of a crashed runner's stderr, in the error


@dataclass(frozen=True)
class ForeignRun:
    """What a foreign runtime output.

    Attributes:
        answers: outputs for N images.
        runtime: which one it was: ``onnxruntime 1.32.0 on aarch64 (qemu)``.
        load_s: seconds to load the file.
        run_s: seconds for all N images.
    """

    answers: Answers
    runtime: str
    load_s: float
    run_s: float


def run_foreign(
    environment: Environment, format_name: str, path: Path, images: NDArray[np.uint8]
) -> ForeignRun:
    """Run `images`, uint8 (N, H, W, 3), through the file at `path`, image by image.

    Raises:
        CannotRunHere: the environment is not installed.
        Unreadable: its runtime refuses the file.
        RuntimeError: its runtime crashed, or loaded the file and could not run it.
    """
    if format_name not in environment.formats:
        raise ValueError(f"{environment.name} runs {environment.formats}, not {format_name}")
    if not is_installed(environment):
        raise CannotRunHere(
            f"{environment.name} ({environment.packages[0]}) is not installed; "
            f"make {environment.target}"
        )
    with tempfile.TemporaryDirectory() as scratch:
        images_file, answers_file = Path(scratch) / "images.npy", Path(scratch) / "answers.npz"
        np.save(images_file, images)
        files = [path.absolute(), images_file, answers_file]
        report = _run(environment, format_name, files, len(images))
        with np.load(answers_file, allow_pickle=False) as stored:
            answers = Answers(stored[PROBS], stored.get(EVIDENCE))
    emulated = " (qemu)" if is_emulated(environment) else ""
    return ForeignRun(
        answers=answers,
        runtime=f"{report['runtime']} {report['version']} on {report['machine']}{emulated}",
        load_s=report["seconds_load"],
        run_s=report["seconds_run"],
    )


def _run(environment: Environment, format_name: str, files: list[Path], count: int) -> Any:
    """The runner's report."""
    command, variables = python_command(environment, cache.entry(environment.name))
    arguments = [FORMATS[format_name].runtime, str(environment.threads), *map(str, files)]
    limit = SECONDS_TO_START + count * SECONDS_PER_IMAGE
    title = f"{environment.packages[0]} of {environment.name}"
    try:
        done = subprocess.run(
            [*command, str(Path(standalone_runner.__file__).absolute()), *arguments],
            cwd=files[-1].parent,  # a crash may leave its core there
            env=variables,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=limit,
        )
    except subprocess.TimeoutExpired as error:
        raise RuntimeError(f"{title}: no answer on {files[0].name} in {limit} s") from error
    if done.returncode == standalone_runner.REFUSED:
        refused = json.loads(done.stdout.splitlines()[-1])["refused"]
        raise Unreadable(f"{title} cannot load {files[0].name}: {refused}")
    if done.returncode != 0:
        words = last_words(done.stderr, TAIL_LINES) or f"exit code {done.returncode}"
        raise RuntimeError(f"{title} failed on {files[0].name}: {words}")
    return json.loads(done.stdout.splitlines()[-1])
