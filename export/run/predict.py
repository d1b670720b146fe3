"""``python -m export predict``: exported files and image files in, the answers side by side out.

Files of one checkpoint must agree within their tolerances: both are proven against the same PyTorch
model, so they cannot be further apart than both tolerances together.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np

from export.run.opened_artifact import one_line
from pipeline.errors import BadInput
from pipeline.images import read_image
from pipeline.predict.heat_map import heat_map_places, write_heat_map
from pipeline.predict.image_files import places_below
from pipeline.predict.prediction import Prediction, name_of, prediction_document, prediction_of
from pipeline.terminal.console import shown

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from export.run.artifact_facts import ArtifactFacts, Listed
    from export.run.opened_artifact import ArtifactState, OpenArtifact
    from pipeline.json_files import JsonObject
    from pipeline.predict.report import Progress


@dataclass(frozen=True)
class ImageAnswers:
    """What the files say about one image.

    Attributes:
        answers: artifact's path -> its prediction, in their order.
        max_abs_diff: of any probability between any two; None: fewer than two answers.
        faults: artifacts that gave no answer, and pairs that are further apart than allowed.
    """

    file: Path
    answers: Mapping[Path, Prediction]
    max_abs_diff: float | None
    faults: tuple[str, ...]

    @property
    def same_label(self) -> bool:
        """Whether all decide for the same label."""
        return len({found.label for found in self.answers.values()}) <= 1


@dataclass(frozen=True)
class SideBySide:
    """The answers of several files to all images.

    Attributes:
        artifacts: every file that was asked, those that are damaged or not run among them.
        images: without those that cannot be read.
    """

    artifacts: tuple[ArtifactState, ...]
    images: tuple[ImageAnswers, ...]

    @property
    def failed(self) -> bool:
        """Whether a file is damaged or gave no answer, or two of one model are too far apart."""
        damaged = any(state.status == "fail" for state in self.artifacts)
        return damaged or any(found.faults for found in self.images)


@dataclass
class Totals:
    """What all images show, counted as they are answered.

    Attributes:
        other_labels: images for which the files do not all decide the same.
        max_abs_diff: of any probability between any two files; None: one file alone.
        faults: of `ImageAnswers`, counted.
        without_evidence: files that gave none.
        heat_maps: that were written.
    """

    images: int = 0
    other_labels: int = 0
    max_abs_diff: float | None = None
    faults: int = 0
    without_evidence: set[Path] = field(default_factory=set)
    heat_maps: int = 0

    def add(self, found: ImageAnswers) -> None:
        """Count the answers to one image."""
        self.images += 1
        self.other_labels += not found.same_label
        self.faults += len(found.faults)
        if found.max_abs_diff is not None:
            self.max_abs_diff = max(found.max_abs_diff, self.max_abs_diff or 0.0)
        without = {path for path, one in found.answers.items() if one.heat_map is None}
        self.without_evidence |= without
        self.heat_maps += len(found.answers) - len(without)

    def sentence(self) -> str:
        """How far the files are apart; empty with one file."""
        if self.max_abs_diff is None:
            return ""
        same = f"{self.other_labels} of {self.images} images are decided differently"
        return f"{same}; max |Δp| {self.max_abs_diff:.1e}; {self.faults} faults"


def image_answers(
    artifacts: Sequence[OpenArtifact],
    images: Sequence[Path],
    heat_maps: Mapping[Path, Mapping[Path, Path]],
    progress: Progress | None = None,
    skip: Callable[[BadInput], None] | None = None,
) -> Iterator[ImageAnswers]:
    """The answers to each image, in their order, as they are asked for.

    Args:
        heat_maps: artifact's path -> image -> where its heat map goes; left out where a file gives
            no evidence.
        progress, skip: as in `pipeline.predict.predict.predictions`.

    Raises:
        BadInput: an image cannot be read, or a heat map not be written.
    """
    for done, path in enumerate(images, start=1):
        try:
            pixels = {rule: read_image(path, rule) for rule in {a.facts.resize for a in artifacts}}
        except BadInput as error:
            if skip is None:
                raise
            skip(error)
        else:
            answers, faults = {}, []
            for artifact in artifacts:
                place = heat_maps.get(artifact.path, {}).get(path)
                try:
                    found = _ask(artifact, path, pixels[artifact.facts.resize], place)
                except BadInput:
                    raise
                except Exception as error:  # a runtime may load a file and then fail to run it
                    faults.append(f"{shown(artifact.path)}: {one_line(error, 'running')}")
                else:
                    answers[artifact.path] = found
            facts = {artifact.path: artifact.facts for artifact in artifacts}
            yield ImageAnswers(path, answers, *_compared(answers, facts, faults))
        if progress is not None:
            progress(done, len(images))


def heat_maps_of(
    folder: Path | None,
    listed: Sequence[Listed],
    places: Sequence[Path],
    images: Sequence[Path],
) -> dict[Path, dict[Path, Path]]:
    """Artifact's path -> image -> where its heat map goes; several artifacts have a folder each.

    Raises:
        BadInput: as `pipeline.predict.heat_map.heat_map_places`.
    """
    if folder is None:
        return {}
    paths = [artifact.path for artifact in listed]
    folders = places_below(folder, paths) if len(paths) > 1 else {paths[0]: folder}
    return {path: heat_map_places(folders[path], places, images) for path in paths}


def _ask(
    artifact: OpenArtifact, path: Path, pixels: NDArray[np.uint8], heat_map: Path | None
) -> Prediction:
    outputs = artifact.run(pixels[None].copy())  # Pillow's memory is not for torch to write in
    found = prediction_of(path, outputs.probs[0], artifact.facts.rule)
    if heat_map is not None and outputs.evidence is not None:
        write_heat_map(heat_map, pixels, outputs.evidence[0], found)
        return replace(found, heat_map=heat_map)
    return found


def _compared(
    answers: Mapping[Path, Prediction], facts: Mapping[Path, ArtifactFacts], faults: list[str]
) -> tuple[float | None, tuple[str, ...]]:
    """The largest |Δp|, and the faults with the pairs that are too far apart."""
    probs = {path: np.array(list(found.probs.values())) for path, found in answers.items()}
    largest: float | None = None
    for one, other in combinations(probs, 2):
        diff = float(np.abs(probs[one] - probs[other]).max())
        largest = max(diff, largest or 0.0)
        allowed = _allowed(facts[one], facts[other])
        if allowed is not None and diff > allowed:
            pair = f"{shown(one)} and {shown(other)}"
            faults.append(f"{pair} hold the same model: |Δp| {diff:.1e} > {allowed:.0e}")
    return largest, tuple(faults)


def _allowed(one: ArtifactFacts, other: ArtifactFacts) -> float | None:
    """How far the answers of two files may be apart; None: they hold different weights."""
    first, second = one.known_precision, other.known_precision
    if first is None or second is None or one.checkpoint_sha256 != other.checkpoint_sha256:
        return None
    if first.variant != second.variant:
        return None
    return first.tolerance.max_abs_diff + second.tolerance.max_abs_diff


def answers_document(found: ImageAnswers) -> JsonObject:
    """The answers to one image for programs."""
    answers = {
        name_of(path): {k: v for k, v in prediction_document(answer).items() if k != "file"}
        for path, answer in found.answers.items()
    }
    return {
        "file": name_of(found.file),
        "answers": answers,
        "max_abs_diff": found.max_abs_diff,
        "same_label": found.same_label,
        "faults": list(found.faults),
    }


def state_document(state: ArtifactState) -> JsonObject:
    """A file and whether it answers, for programs."""
    facts = state.facts
    known = (
        {}
        if facts is None
        else {
            "format": facts.format,
            "precision": facts.precision,
            "model": facts.model,
            "version": facts.version,
            "checkpoint_sha256": facts.checkpoint_sha256,
            "intended_use": facts.intended_use,
            "labels": list(facts.rule.labels),
            "positive": facts.rule.positive,
            "threshold": facts.rule.threshold,
        }
    )
    return {
        "path": name_of(state.path),
        "status": state.status,
        "how": state.how,
        "reason": state.reason,
        **known,
    }
