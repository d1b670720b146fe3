"""Exports from Python: `export_all`, `check`, `verify` and `predict`.

Each does what the command of its name does, and returns a typed result instead of an exit code;
errors, `say` and `progress` are as in `pipeline.api`. Conversions run in processes of their own,
which import the program's main file again: a script calls `export_all` below ``if __name__ ==
"__main__":``. Importing this imports nothing heavy.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.errors import BadInput
from pipeline.predict.report import Progress
from pipeline.terminal.console import open_console, printed_to

if TYPE_CHECKING:
    from export.report.report import Report
    from export.run.predict import SideBySide
    from export.verify import Verdict
    from pipeline.checkpoint import Checkpoint

Place = str | PathLike[str]
Say = Callable[[str], None]
BUILD = Path("build/export")


@dataclass(frozen=True)
class Exported:
    """What an export left behind.

    Attributes:
        report: as in ``report.json``; `report.artifacts` has the verdict on each file, and
            `report.failed` says whether one failed.
        folders: the asset folders that were written.
    """

    report: Report
    folders: tuple[Path, ...]


def export_all(
    checkpoint: Checkpoint | Place | None = None,
    data: Place | None = None,
    *,
    formats: Sequence[str] = (),
    precisions: Sequence[str] = (),
    out: Place | None = None,
    build: Place = BUILD,
    images: int = 1000,
    jobs: int = 2,
    latency: bool = True,
    accept: Sequence[str] = (),
    say: Say | None = None,
) -> Exported:
    """Convert a checkpoint, prove each file, publish what passes.

    Args:
        checkpoint: a checkpoint, or its folder; None: the released one.
        data: folder or .csv table of images; parity is proven on its validation images. None:
            embedded synthetic samples.
        formats: names of `export.formats.register.FORMATS`; none: all.
        precisions: such as ``fp32``, ``int8``; none: all that a format and the checkpoint have.
        out: where the asset folders go; None: ``assets`` below `build`.
        build: artifacts, logs, report.json and report.html.
        images: largest number of validation images.
        jobs: converters that run at a time.
        latency: time the files for the manifest.
        accept: precisions that are published even if the quality gate rejects them, or
            ``rejected`` alone for all; never a file that is wrong.
        say: gets each line of progress.

    Raises:
        BadInput, MissingDependency: before anything is written.
    """
    from export.formats.register import FORMATS
    from export.report.report import read_report
    from export.run.export_all import REPORT_FILE, accepted_precisions
    from export.run.export_all import export_all as run
    from export.run.export_request import ExportRequest

    root = Path(build) / "assets" if out is None else Path(out)
    request = ExportRequest(
        checkpoint=_checkpoint(checkpoint),
        data=None if data is None else Path(data),
        formats=tuple(formats) or tuple(FORMATS),
        precisions=tuple(precisions),
        root=root,
        build=Path(build),
        image_limit=_at_least_one("images", images),
        jobs=_at_least_one("jobs", jobs),
        latency=latency,
        strict=False,
        accept=accepted_precisions(accept),
    )
    with printed_to(say):
        run(request, open_console())
    report = read_report(Path(build) / REPORT_FILE)
    return Exported(report, tuple(root / name for name in report.published or ()))


def check(
    assets: Place = ".",
    checkpoint: Checkpoint | Place | None = None,
    data: Place | None = None,
    *,
    images: int = 1000,
    say: Say | None = None,
) -> Report:
    """Are published files intact, of this checkpoint, and right? Nothing is written.

    Args:
        assets: where the asset folders are.
        checkpoint, data, images, say: as in `export_all`.

    Raises:
        BadInput: a manifest is missing or damaged, or checkpoint or data are bad.
    """
    from export.report.document import report_of
    from export.run.check_published import check_published

    limit = _at_least_one("images", images)
    place = None if data is None else Path(data)
    with printed_to(say):
        rows, compared_on = check_published(
            Path(assets), _checkpoint(checkpoint), place, limit, say=print
        )
    return report_of("check", rows, compared_on)


def verify(folder: Place, manifest_sha256: str | None = None, only: Sequence[str] = ()) -> Verdict:
    """Does a pulled asset folder match its manifest? `Verdict.differences` is empty if it does.

    Args:
        folder: the asset folder.
        manifest_sha256: the SHA-256 of manifest.json that an app pins.
        only: patterns of what must be there; everything else may be left out.

    Raises:
        BadInput: no folder, no manifest, one of an unknown schema, or a pattern for nothing.
    """
    from export import verify as checker

    try:
        return checker.verify(Path(folder), manifest_sha256, only)
    except checker.CannotCheck as error:
        raise BadInput(str(error)) from error


def predict(
    artifacts: Place | Iterable[Place],
    images: Place | Iterable[Place],
    *,
    heat_maps: Place | None = None,
    progress: Progress | None = None,
    unreadable: Callable[[BadInput], None] | None = None,
) -> SideBySide:
    """What exported files say about images, each by its own runtime, side by side.

    Args:
        artifacts: files or packages, or asset folders for all in them. In an asset folder no file
            is run whose hash is not the manifest's.
        images, progress, unreadable: as in `pipeline.api.predict`.
        heat_maps: folder for the PNGs, with a folder in it for each artifact if there are several.

    Raises:
        BadInput: a place does not exist, an artifact is not in the manifest beside it, or an image
            cannot be read.
    """
    from export.run.artifact_facts import listed_artifacts
    from export.run.opened_artifact import open_artifacts
    from export.run.predict import SideBySide, heat_maps_of, image_answers
    from pipeline.predict.image_files import image_files, paths_of

    given, listed = paths_of(images), listed_artifacts(paths_of(artifacts))
    files = image_files(given)
    folder = None if heat_maps is None else Path(heat_maps)
    maps = heat_maps_of(folder, listed, given, files)
    states, opened = open_artifacts(listed)
    answered = image_answers(opened, files if opened else [], maps, progress, unreadable)
    return SideBySide(tuple(states), tuple(answered))


def _checkpoint(given: Checkpoint | Place | None) -> Path:
    from pipeline.checkpoint import RELEASED

    if given is None:
        return RELEASED
    return Path(given) if isinstance(given, str | PathLike) else given.folder


def _at_least_one(name: str, value: int) -> int:
    if value < 1:
        raise BadInput(f"{name} {value}: need at least 1")
    return value
