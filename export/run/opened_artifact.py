"""An exported file that answers, by an app's runtime where there is one here.

In: what was asked for (`export.run.artifact_facts`). Out: the state of each file, and those that
answer. A file in an asset folder is given to no runtime unless its hash is the manifest's.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Final, Literal

from export.errors import CannotRunHere, Unreadable
from export.formats.base import verbs_of
from export.formats.register import FORMATS
from export.run.artifact_facts import ArtifactFacts, Listed, facts_of_entry, facts_of_metadata
from export.run.check_published import damaged_files
from pipeline.errors import BadInput, install_command, missing_modules

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from export.deploy.outputs import Answers
    from export.formats.base import Verbs

Status = Literal["run", "fail", "not_run"]
NOT_LISTED: Final = "no manifest beside it: its hash was not compared"


@dataclass(frozen=True)
class ArtifactState:
    """Whether a file answers here.

    Attributes:
        status: ``run``, ``fail`` (damaged) or ``not_run`` (no runtime here).
        how: what runs it, and why it is not what an app has, where that is so.
        reason: why it failed or is not run; of one that runs, what was not compared.
        facts: None: not known.
    """

    path: Path
    status: Status
    how: str = ""
    reason: str = ""
    facts: ArtifactFacts | None = None


@dataclass(frozen=True, eq=False)
class OpenArtifact:
    """A file that its runtime has loaded; `run` takes uint8 (N, H, W, 3)."""

    path: Path
    facts: ArtifactFacts
    run: Callable[[NDArray[np.uint8]], Answers]


def open_artifacts(listed: Sequence[Listed]) -> tuple[list[ArtifactState], list[OpenArtifact]]:
    """The state of each, and those that answer here, in the same order.

    Raises:
        BadInput: those that answer are of models with different labels.
    """
    states, opened = [], []
    for artifact in listed:
        state, session = _open(artifact)
        states.append(state)
        opened += [session] if session else []
    for other in opened[1:]:
        if other.facts.rule.labels != opened[0].facts.rule.labels:
            raise BadInput(
                f"{opened[0].path} and {other.path} have different labels; ask them one at a time"
            )
    return states, opened


def _open(listed: Listed) -> tuple[ArtifactState, OpenArtifact | None]:
    path, format_facts = listed.path, FORMATS[listed.format]
    if missing := missing_modules((format_facts.runtime,)):
        command = install_command(missing, format_facts.extras_of(missing))
        reason = f"{', '.join(missing)} is not installed; {command}"
        return ArtifactState(path, "not_run", reason=reason), None
    if listed.entry and (damage := damaged_files(path.parent, listed.entry)):
        return ArtifactState(path, "fail", reason=damage), None
    try:
        facts = _facts(listed)
        run, how = _loaded(verbs_of(listed.format), path)
    except (CannotRunHere, ModuleNotFoundError) as error:
        return ArtifactState(path, "not_run", reason=str(error)), None
    except Unreadable as error:
        return ArtifactState(path, "fail", reason=str(error)), None
    except Exception as error:  # a reader of a damaged file may raise anything
        return ArtifactState(path, "fail", reason=one_line(error, "opening")), None
    state = ArtifactState(path, "run", how, "" if listed.entry else NOT_LISTED, facts)
    return state, OpenArtifact(path, facts, run)


def _facts(listed: Listed) -> ArtifactFacts:
    if listed.entry is not None and listed.manifest is not None:
        return facts_of_entry(listed.entry, listed.manifest)
    described = verbs_of(listed.format).describe(listed.path)
    return facts_of_metadata(listed.format, described.metadata, listed.path.name)


def _loaded(verbs: Verbs, path: Path) -> tuple[Callable[[NDArray[np.uint8]], Answers], str]:
    """The first way to run it that exists here, and the phrase for it.

    Raises:
        CannotRunHere: there is none.
        Unreadable: the file is damaged.
    """
    excuses = []
    for runner in (verbs, *verbs.ALSO):
        try:
            session = runner.load(path, threads=1)
        except CannotRunHere as error:
            excuses.append(str(error))
            continue
        because = f", since {'; '.join(excuses)}" if excuses else ""
        return partial(runner.run, session), f"{runner.RUN_BY}{because}"
    raise CannotRunHere("; ".join(excuses))


def one_line(error: Exception, doing: str) -> str:
    """An error of foreign code in one line."""
    lines = str(error).strip().splitlines() or ["no message"]
    return f"{type(error).__name__} while {doing}: {lines[0]}"
