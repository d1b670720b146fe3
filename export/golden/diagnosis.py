"""Diagnosis: an app's pixels or probabilities for a golden case are wrong. Which part is at fault?

In: a case of a pack and what an app made of it: its pixels, its probabilities, or both. Out: a
`Diagnosis`: preprocessing right, or which known mistakes (`export.images.preprocessing_mistakes`)
make such pixels; model right, or at fault, with hints at the cause.

Pixels are judged by their distance from the result of each mistake, and of each pair of mistakes.
Probabilities without pixels are judged by running the file on all those results.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

import numpy as np

from export.errors import CannotRunHere, Unreadable
from export.golden.pack import Case, Pack, read_pixels
from export.golden.replay import distance, run_here, within
from export.images.preprocessing_mistakes import (
    MISTAKES,
    SQUISHED,
    mistakes_with,
    with_mistakes,
)
from pipeline.errors import BadInput
from pipeline.images import decode
from pipeline.model_spec import named
from pipeline.resize.notation import height_width

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from export.manifest.manifest import ArtifactEntry
    from pipeline.resize.rule import Resize, Size

    Pixels = NDArray[np.uint8]

Answer = tuple[str, str, "NDArray[np.float64]"]  # path of the artifact, its format, (K,)
Part = Literal["right", "wrong", "not given", "cannot be told"]
# A mistake explains pixels that are nearer to its own than this share of their distance to the
# right ones.
NEARER: Final = 0.5
SIMPLER: Final = 0.7  # two mistakes count only if nearer than one by this factor
BY_NAME: Final = {mistake.name: mistake for mistake in (*MISTAKES, SQUISHED)}
# Recognised by shape and values of an app's array, before its pixels are compared.
ARRAY_MISTAKES: Final = {
    "divided": "values of 0 to 1, divided by 255 although the model does so: pass 0 to 255",
    "normalised": "values are normalised, although the model does so: pass 0 to 255",
    "channels_first": "planes of R, G and B: pass rows of R G B",
}


@dataclass(frozen=True)
class AppPixels:
    """An app's pixels, and the `ARRAY_MISTAKES` that were undone to get them.

    `pixels` is uint8 (H, W, 3); None if the mistakes cannot be undone.
    """

    pixels: Pixels | None
    undone: tuple[str, ...] = ()


@dataclass(frozen=True)
class Diagnosis:
    """What is wrong, if anything.

    Attributes:
        case: name.
        preprocessing: the app's, judged by its pixels; or, without them, by its probabilities.
        model: what ran in the app: file and runtime.
        explanations: sets of mistakes that explain the pixels equally well, names of `MISTAKES` or
            `ARRAY_MISTAKES`; empty if the pixels are right, or wrong in an unknown way.
        sentences: the same for people, the conclusion first.
    """

    case: str
    preprocessing: Part
    model: Part
    explanations: tuple[tuple[str, ...], ...]
    sentences: tuple[str, ...]

    @property
    def faulty(self) -> bool:
        """Whether anything was found wrong."""
        return "wrong" in (self.preprocessing, self.model) or "cannot be told" in (
            self.preprocessing,
            self.model,
        )


def read_app_pixels(path: Path, side: Size) -> AppPixels:
    """The pixels that an app gave to its model, from a PNG or a ``.npy`` file.

    An array may have a batch dimension of 1, planes instead of rows of RGB, and values of 0 to 1:
    that is undone, and reported.

    Raises:
        BadInput: it cannot be read, or is not of that side, or height and width, x 3.
    """
    size = height_width(side)
    if path.suffix.lower() != ".npy":
        pixels = read_pixels(path)
        _refuse_other_shape(path, pixels.shape, size)
        return AppPixels(pixels)
    try:
        array = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise BadInput(f"{path} cannot be read as an array of numpy: {error}") from error
    undone = []
    if array.ndim == 4 and len(array) == 1:
        array = array[0]
    if array.shape == (3, *size):
        array, undone = array.transpose(1, 2, 0), ["channels_first"]
    _refuse_other_shape(path, array.shape, size)
    if array.dtype == np.uint8:
        return AppPixels(np.ascontiguousarray(array), tuple(undone))
    if not (np.issubdtype(array.dtype, np.number) and np.isfinite(array).all()):
        raise BadInput(f"{path} holds {array.dtype}, or values that are not numbers")
    low, high = float(array.min()), float(array.max())
    if low < 0 or high > 255:
        return AppPixels(None, (*undone, "normalised"))
    if high <= 1 and np.issubdtype(array.dtype, np.floating):
        array, undone = array * 255.0, [*undone, "divided"]
    return AppPixels(np.rint(array).astype(np.uint8), tuple(undone))


def read_answer(probs: str, artifact: str | None, artifacts: Mapping[str, ArtifactEntry]) -> Answer:
    """An app's output, from the arguments of the command line.

    Args:
        probs: numbers with commas between them.
        artifact: path of the file that the app ran; None: the only one.
        artifacts: path -> manifest entry.

    Raises:
        BadInput: not numbers, or no such file.
    """
    try:
        numbers = np.array([float(number) for number in probs.split(",")])
    except ValueError as error:
        raise BadInput(f"--probs {probs!r} is not numbers with commas between them") from error
    if artifact is None and len(artifacts) == 1:
        artifact = next(iter(artifacts))
    if artifact is None or artifact not in artifacts:
        asked = f"no artifact {artifact!r}" if artifact else "which file did the app run?"
        raise BadInput(f"{asked}; give --artifact, one of {', '.join(artifacts)}")
    return artifact, artifacts[artifact].format, numbers


def diagnose(
    pack: Pack,
    name: str,
    given: AppPixels | None = None,
    answer: Answer | None = None,
) -> Diagnosis:
    """Say what is wrong.

    Args:
        pack: the golden pack; the file that the app runs is in the same asset folder.
        name: of the case whose image the app was given.
        given: what the app's preprocessing made of it.
        answer: path of the artifact, its format, and the app's probabilities (K,).

    Raises:
        BadInput: no such case, no such artifact in the pack, or an answer of another length.
    """
    case = pack.case(name)
    found = _judge_pixels(case, pack.rule, given) if given else None
    if answer is None:
        assert found is not None
        return found
    path, format_name, probs = answer
    if path not in case.probs:
        raise BadInput(f"the golden pack has no {path}; it has {', '.join(case.probs)}")
    if probs.shape != case.probs[path].shape:
        raise BadInput(f"{len(probs)} probabilities given, the model has {len(pack.labels)}")
    return _judge_answer(pack, case, found, given, path, format_name, probs)


def candidates(image_path: Path, rule: Resize) -> Iterator[tuple[tuple[str, ...], Pixels]]:
    """Names and pixels of each known mistake made on an image, then of each pair of them."""
    image = decode(image_path)
    for count in (1, 2):
        for chosen in combinations(mistakes_with(rule), count):
            if len({mistake.step for mistake in chosen}) == count:
                names = tuple(mistake.name for mistake in chosen)
                yield names, with_mistakes(chosen).pixels(image, rule)


def _distinct(case: Case, rule: Resize) -> dict[bytes, tuple[Pixels, list[tuple[str, ...]]]]:
    """The results of the mistakes on the image, each once, with the smallest sets that give it.

    A mistake that this image cannot show gives the right pixels, and is left out.
    """
    found: dict[bytes, tuple[Pixels, list[tuple[str, ...]]]] = {}
    for names, pixels in candidates(case.image, rule):
        if within(pixels, case.pixels, case.tolerance):
            continue
        _, known = found.setdefault(pixels.tobytes(), (pixels, []))
        if not known or len(names) == len(known[0]):
            known.append(names)
    return found


def _refuse_other_shape(path: Path, shape: tuple[int, ...], size: tuple[int, int]) -> None:
    if shape != (*size, 3):
        raise BadInput(f"{path} has the shape {shape}, the model takes {(*size, 3)}")


def _judge_pixels(case: Case, rule: Resize, given: AppPixels) -> Diagnosis:
    undone = tuple(f"{name}: {ARRAY_MISTAKES[name]}" for name in given.undone)
    if given.pixels is None:
        return Diagnosis(case.name, "wrong", "not given", (given.undone,), undone)
    max_abs, mean_abs = distance(given.pixels, case.pixels)
    if within(given.pixels, case.pixels, case.tolerance):
        said = f"largest difference {max_abs}, allowed {case.tolerance.max_abs}"
        if undone:
            sentences = ("preprocessing is wrong", *undone, f"otherwise right ({said})")
            return Diagnosis(case.name, "wrong", "not given", (given.undone,), sentences)
        sentence = f"preprocessing is right on {case.name} ({said})"
        return Diagnosis(case.name, "right", "not given", (), (sentence,))
    explanations, nearest = _explain(case, rule, given.pixels, mean_abs)
    head = (
        f"preprocessing is wrong on {case.name}: pixels differ from the tensor by {max_abs} at "
        f"most and {mean_abs:.2f} in the mean"
    )
    named = tuple((*given.undone, *names) for names in explanations)
    if explanations:
        sentences = (head, *undone, *_described(explanations, nearest))
    else:
        sentences = (head, *undone, "it looks like no known mistake, nor like two of them")
    return Diagnosis(case.name, "wrong", "not given", named, sentences)


def _explain(
    case: Case, rule: Resize, pixels: Pixels, from_right: float
) -> tuple[list[tuple[str, ...]], float]:
    """The nearest mistakes, if near enough, and their mean distance."""
    told = [(distance(made, pixels)[1], names) for made, names in _distinct(case, rule).values()]
    if not told:
        return [], np.inf
    by_count = {
        count: min((t for t in told if len(t[1][0]) == count), default=(np.inf, []))
        for count in (1, 2)
    }
    single, pair = by_count[1], by_count[2]
    nearest, names = pair if pair[0] < SIMPLER * single[0] else single
    return (names, nearest) if nearest <= NEARER * from_right else ([], nearest)


def _described(explanations: list[tuple[str, ...]], nearest: float) -> list[str]:
    how = "exactly as" if nearest == 0 else f"near ({nearest:.2f} counts in the mean) to what"
    lines = []
    for names in explanations:
        what = " and ".join(f"{name} ({BY_NAME[name].does})" for name in names)
        lines.append(f"it is {how} {what} {'makes' if len(names) == 1 else 'make'} them")
    if len(explanations) > 1:
        lines.append("this image cannot distinguish these; another case may")
    seen = dict.fromkeys(name for names in explanations for name in names)
    lines += [f"{name}: seen with {BY_NAME[name].seen_in}" for name in seen]
    return lines


def _judge_answer(
    pack: Pack,
    case: Case,
    found: Diagnosis | None,
    given: AppPixels | None,
    path: str,
    format_name: str,
    probs: NDArray[np.float64],
) -> Diagnosis:
    expected, tolerance = case.probs[path], pack.tolerances[path]
    off = float(np.abs(probs - expected).max())
    if off <= tolerance:
        right = f"{path} outputs the right probabilities (|Δp| {off:.1e}, allowed {tolerance:.0e})"
        if found is None:
            return Diagnosis(case.name, "right", "right", (), (right,))
        return replace(found, model="right", sentences=(*found.sentences, right))
    wrong = f"{path} outputs {_list(probs)}, not {_list(expected)} (allowed {tolerance:.0e})"
    if found and found.preprocessing == "right":
        sentences = (f"the model is at fault: for the right pixels {wrong}",)
        hints = _hints(pack, case, path, probs)
        return replace(found, model="wrong", sentences=(*sentences, *hints, *found.sentences))
    try:
        if found is None:
            return _by_answer(pack, case, path, format_name, probs, wrong)
        return _by_both(pack, case, found, given, path, format_name, probs, wrong)
    except (CannotRunHere, Unreadable) as error:
        sentence = f"whether the model is at fault is unknown: it cannot be run here: {error}"
        if found is None:
            return Diagnosis(case.name, "not given", "cannot be told", (), (wrong, sentence))
        untold = (*found.sentences, wrong, sentence)
        return replace(found, model="cannot be told", sentences=untold)


def _by_both(
    pack: Pack,
    case: Case,
    found: Diagnosis,
    given: AppPixels | None,
    path: str,
    format_name: str,
    probs: NDArray[np.float64],
    wrong: str,
) -> Diagnosis:
    """Wrong pixels and wrong probabilities: does the model output these for those pixels?"""
    assert given is not None
    if given.pixels is None or given.undone:
        sentence = f"{wrong}; fix the pixels first"
        return replace(found, model="cannot be told", sentences=(*found.sentences, sentence))
    here = _run(pack, path, format_name, given.pixels[None])[0]
    if float(np.abs(here - probs).max()) <= pack.tolerances[path]:
        sentence = f"the model is right: for these pixels {path} gives {_list(probs)} here too"
        return replace(found, model="right", sentences=(*found.sentences, sentence))
    sentences = (
        *found.sentences,
        f"the model is at fault as well: for these pixels {path} gives {_list(here)} here, "
        f"not {_list(probs)}",
        *_hints(pack, case, path, probs),
    )
    return replace(found, model="wrong", sentences=sentences)


def _by_answer(
    pack: Pack, case: Case, path: str, format_name: str, probs: NDArray[np.float64], wrong: str
) -> Diagnosis:
    """Wrong probabilities only: does the model output them for the pixels of a known mistake?"""
    made = list(_distinct(case, pack.rule).values())
    here = _run(pack, path, format_name, np.stack([case.pixels, *(m for m, _ in made)]))
    off = np.abs(here - probs).max(axis=1)
    hints = _hints(pack, case, path, probs)
    if off[0] <= pack.tolerances[path]:
        sentence = (
            f"the model is at fault: {wrong}; so does the file here, which is not the one that "
            "the pack was made for: pull the whole folder again"
        )
        return Diagnosis(case.name, "not given", "wrong", (), (sentence, *hints))
    fits = [i for i in range(len(made)) if off[i + 1] <= pack.tolerances[path]]
    if not fits:
        unknown = f"the model is at fault, or an unknown mistake in preprocessing: {wrong}"
        why = (
            "the file here outputs that for the pixels of no known mistake; "
            "give the app's pixels too (--pixels)"
        )
        return Diagnosis(case.name, "not given", "wrong", (), (unknown, *hints, why))
    fewest = min(len(made[i][1][0]) for i in fits)
    explanations = [names for i in fits for names in made[i][1] if len(names) == fewest]
    what = "; or ".join(" and ".join(names) for names in explanations)
    after = f"the file here outputs the same after a known mistake: {what}"
    seen = dict.fromkeys(name for names in explanations for name in names)
    does = tuple(f"{name}: {BY_NAME[name].does}" for name in seen)
    more = "give the app's pixels too (--pixels), which show more than probabilities"
    if hints:
        head = f"preprocessing or model is at fault: {wrong}"
        both = (head, after, *does, *hints, more)
        return Diagnosis(case.name, "cannot be told", "cannot be told", (), both)
    head = f"preprocessing is wrong, the model is right: {wrong}"
    told = tuple(explanations)
    return Diagnosis(case.name, "wrong", "right", told, (head, after, *does, more))


def _run(pack: Pack, path: str, format_name: str, images: NDArray[np.uint8]) -> NDArray[np.float64]:
    answers = run_here(pack.folder / path, format_name, images)
    return np.asarray(next(iter(answers.values())), dtype=np.float64)


def _hints(pack: Pack, case: Case, path: str, probs: NDArray[np.float64]) -> list[str]:
    """Possible causes of wrong probabilities."""
    tolerance, expected = pack.tolerances[path], case.probs[path]
    if not np.isfinite(probs).all():
        return ["not a number: a damaged file, or arithmetic with too few bits"]
    hints = []
    if abs(probs.sum() - 1) > 1e-3:
        hints.append("they do not sum to one: these are not probabilities")
    flat = np.exp(expected) / np.exp(expected).sum()
    if np.abs(probs - flat).max() <= tolerance:
        hints.append("they are the right probabilities with softmax taken once more")
    if np.abs(np.sort(probs) - np.sort(expected)).max() <= tolerance:
        order = named(pack.labels)
        hints.append(f"they are the right probabilities in another order; the right one: {order}")
    others = [
        other
        for other, theirs in case.probs.items()
        if other != path
        and np.abs(probs - theirs).max() <= min(tolerance, pack.tolerances[other])
        and np.abs(theirs - expected).max() > tolerance
    ]
    if others:
        hints.append(f"they are those of {', '.join(others)}: is that the file that the app runs?")
    return hints


def _list(probs: NDArray[np.float64]) -> str:
    return ", ".join(f"{p:.4f}" for p in probs)
