"""Robustness: what each preprocessing mistake costs a model on its validation images.

In: a checkpoint's validation images and one of its artifacts. Out: a row per mistake: labels that
flip at the decision threshold, with an interval, AUROC, and how far probabilities move; and the one
limit: plain bilinear, which no app can be kept from using, may flip at most 1 %.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from export.errors import CannotRunHere
from export.formats.base import verbs_of
from export.formats.register import FORMATS
from export.images.parity_images import validation_samples
from export.images.preprocessing_mistakes import (
    Mistake,
    Preprocessing,
    mistakes_with,
    taken_sideways,
    with_mistakes,
)
from export.manifest.manifest import read_manifest
from export.publish.assets import FOLDERS
from export.report.robustness import MistakeEntry, RobustnessEntry
from pipeline.checkpoint import open_checkpoint
from pipeline.errors import BadInput
from pipeline.image_files.large_image import LargeImage, is_large
from pipeline.image_files.orientation import turn_of
from pipeline.images import decode
from pipeline.metrics.classification import auroc, decide

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from rich.console import Console

    from export.formats.base import Runner, Verbs
    from pipeline.data.dataset import Sample
    from pipeline.model_spec import ModelSpec
    from pipeline.resize.rule import Resize

# Mistake -> the largest share of labels that it may flip.
LIMITS: Final = {"plain_bilinear": 0.01}
NO_DATA: Final = "it needs labelled validation images: give them with --data"


@dataclass(frozen=True)
class MistakeCost:
    """What one mistake costs.

    Attributes:
        name, does, seen_in, source: of the mistake.
        changed: images of which it changes any pixel.
        flips: images whose decided label it changes.
        flip_rate: their share; low and high: 95 % interval, images taken as independent (Wilson,
            J. Am. Stat. Assoc. 1927).
        auroc: with the mistake.
        max_abs_diff, mean_abs_diff: of any probability, compared with the right pixels.
        limit: the largest `flip_rate` allowed; None: no limit.
    """

    name: str
    does: str
    seen_in: str
    source: str
    changed: int
    flips: int
    flip_rate: float
    low: float
    high: float
    auroc: float
    max_abs_diff: float
    mean_abs_diff: float
    limit: float | None

    @property
    def verdict(self) -> str:
        """``pass``, ``fail``, or empty where there is no limit."""
        if self.limit is None:
            return ""
        return "pass" if self.flip_rate <= self.limit else "fail"


@dataclass(frozen=True)
class Robustness:
    """All rows, and what was measured.

    Attributes:
        model: name and version.
        artifact: name of the file that was run.
        images: how many, and of which data.
        auroc: with the right pixels.
        threshold: of the decision; None: the most probable label is taken.
    """

    model: str
    artifact: str
    images: int
    source: str
    auroc: float
    threshold: float | None
    rows: tuple[MistakeCost, ...]

    @property
    def broken(self) -> tuple[str, ...]:
        """A sentence for each limit that does not hold."""
        return tuple(
            f"{row.name} flips {row.flips} of {self.images} labels ({row.flip_rate:.1%}), "
            f"allowed are {row.limit:.0%}"
            for row in self.rows
            if row.limit is not None and row.verdict == "fail"
        )


def published_robustness(
    root: Path, checkpoint: Path, artifact: tuple[str, str], data: Path, image_limit: int
) -> tuple[Robustness | None, str]:
    """The robustness of a published artifact; or None, and why it cannot be run here.

    Args:
        root: where the asset folders are.
        checkpoint: the one that they are made from.
        artifact: its format and precision.
        data: folder or table of labelled images; its validation split is used.
        image_limit: largest number of images.

    Raises:
        BadInput: there is no such artifact, it is damaged or of another checkpoint, or the data
            are bad.
    """
    from export.run.check_published import damaged_files

    held = open_checkpoint(checkpoint)
    samples, source = validation_samples(held.spec, data, image_limit, print)
    format_name, precision = artifact
    folder = root / FOLDERS[FORMATS[format_name].platforms[0]]
    manifest = read_manifest(folder)
    if manifest.model.checkpoint_sha256 != held.sha256:
        raise BadInput(
            f"{folder} is made from another checkpoint than {checkpoint}; export again, or name "
            "the right one with --checkpoint"
        )
    for entry in manifest.artifacts:
        if (entry.format, entry.precision) == artifact:
            break
    else:
        raise BadInput(f"{folder} has no {format_name} {precision}")
    damage = damaged_files(folder, entry)
    if damage:
        raise BadInput(f"{folder}: {damage}")
    path = folder / entry.path
    return measure_if_run(held.spec, verbs_of(format_name), path, samples, source)


def measure_if_run(
    spec: ModelSpec, verbs: Verbs, path: Path, samples: Sequence[Sample], source: str
) -> tuple[Robustness | None, str]:
    """`measure_robustness` by the first runner that exists here; or None, and why there is none."""
    excuses = []
    for runner in (verbs, *verbs.ALSO):
        try:
            return measure_robustness(spec, runner, path, samples, source), ""
        except CannotRunHere as error:
            excuses.append(str(error))
    return None, "; ".join(excuses)


def measure_robustness(
    spec: ModelSpec, runner: Runner, path: Path, samples: Sequence[Sample], source: str
) -> Robustness:
    """Make every mistake on every image, each decoded once, and run the file on the pixels.

    An image of more than 33 million pixels is made smaller first (`LargeImage.fewer`).

    Args:
        spec: labels, resize and decision.
        runner: of the file's format; one thread.
        path: the file.
        samples: N labelled images.
        source: a phrase that says what they are.

    Raises:
        BadInput: an image that cannot be read.
        CannotRunHere, Unreadable: the file cannot be run.
    """
    session = runner.load(path, threads=1)
    truth = np.array([spec.labels.index(sample.label) for sample in samples])
    made = [mistake for mistake in mistakes_with(spec.resize) if mistake.on_photographs]
    probs: dict[str, list[NDArray[np.float32]]] = {"": [], **{m.name: [] for m in made}}
    changed = dict.fromkeys(probs, 0)
    for sample in samples:
        ways = dict(_ways(sample.path, made, spec.resize))
        differing = {n: p for n, p in ways.items() if n == "" or (p != ways[""]).any()}
        answers = runner.run(session, np.stack(list(differing.values()))).probs
        by_name = dict(zip(differing, answers, strict=True))
        for name in probs:
            probs[name].append(by_name.get(name, by_name[""]))
            changed[name] += name in by_name and name != ""
    right = np.stack(probs[""])
    return Robustness(
        f"{spec.name} {spec.version}",
        path.name,
        len(samples),
        f"{len(samples)} {source}",
        auroc(truth, right, spec.positive_index),
        spec.threshold,
        tuple(_row(m, np.stack(probs[m.name]), right, truth, changed[m.name], spec) for m in made),
    )


def _ways(
    path: Path, mistakes: Sequence[Mistake], rule: Resize
) -> Iterator[tuple[str, NDArray[np.uint8]]]:
    """Name of a mistake -> pixels of an image; "" -> the right pixels."""
    image = decode(path)
    if is_large(image):  # each mistake makes copies of it
        image = LargeImage(image, turn_of(image)).fewer()
    sideways = taken_sideways(image)  # turned, with the EXIF tag that the mistake ignores
    yield "", Preprocessing().pixels(image, rule)
    for mistake in mistakes:
        source = sideways if mistake.step == "turn" else image
        yield mistake.name, with_mistakes([mistake]).pixels(source, rule)


def _row(
    mistake: Mistake,
    probs: NDArray[np.float32],
    right: NDArray[np.float32],
    truth: NDArray[np.int64],
    changed: int,
    spec: ModelSpec,
) -> MistakeCost:
    from scipy.stats import binomtest

    rule = (spec.positive_index, spec.threshold)
    flips = int((decide(probs, *rule) != decide(right, *rule)).sum())
    interval = binomtest(flips, len(truth)).proportion_ci(0.95, method="wilson")
    apart = np.abs(probs.astype(np.float64) - right)
    return MistakeCost(
        mistake.name,
        mistake.does,
        mistake.seen_in,
        mistake.source,
        changed,
        flips,
        flips / len(truth),
        float(interval.low),
        float(interval.high),
        auroc(truth, probs, spec.positive_index),
        float(apart.max()),
        float(apart.mean()),
        LIMITS.get(mistake.name),
    )


def robustness_entry(found: Robustness | None, reason: str = "") -> RobustnessEntry:
    """The result for programs; `found` None: not run, because of `reason`."""
    if found is None:
        return RobustnessEntry("not_run", reason)
    return RobustnessEntry(
        status="fail" if found.broken else "pass",
        reason="; ".join(found.broken),
        model=found.model,
        artifact=found.artifact,
        images=found.images,
        source=found.source,
        auroc=found.auroc,
        threshold=found.threshold,
        rows=tuple(MistakeEntry(**vars(row), verdict=row.verdict) for row in found.rows),
    )


def print_robustness(console: Console, found: Robustness | None, reason: str = "") -> None:
    """Print the table, or why there is none."""
    if found is None:
        console.print(f"robustness to preprocessing: not run: {reason}", markup=False)
        return
    from rich import box
    from rich.table import Table

    table = Table(
        title=f"Preprocessing mistakes on {found.source}, {found.artifact}",
        box=box.SIMPLE_HEAD,
        pad_edge=False,
        padding=(0, 1, 0, 0),
    )
    table.add_column("mistake", no_wrap=True)
    for column in ("changed", "flips", "95 % interval", "AUROC", "max |Δp|", "mean"):
        table.add_column(column, justify="right", no_wrap=True)
    table.add_column("limit", no_wrap=True)
    table.add_row("none", "", "", "", f"{found.auroc:.4f}", "", "", "")
    styles = {"pass": "[green]pass[/]", "fail": "[bold red]FAIL[/]", "": ""}
    for row in found.rows:
        limit = "" if row.limit is None else f" (1 in {1 / row.limit:.0f})"
        table.add_row(
            row.name,
            str(row.changed),
            f"{row.flips} ({row.flip_rate:.1%})",
            f"{row.low:.1%} to {row.high:.1%}",
            f"{row.auroc:.4f}",
            f"{row.max_abs_diff:.3f}",
            f"{row.mean_abs_diff:.4f}",
            f"{styles[row.verdict]}{limit}",
        )
    console.print(table)
    console.print("changed: images whose pixels change; flips: labels that change at the threshold")
    for sentence in found.broken:
        console.print(f"  {sentence}", markup=False)
