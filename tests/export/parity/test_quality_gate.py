"""The gate: measured on validation images where there are enough, recorded otherwise."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from functools import partial
from typing import Any

import jsonschema
import numpy as np
import pytest

from export.deploy.outputs import Answers
from export.images.parity_images import ParityImages
from export.manifest.manifest import SCHEMA_FILE
from export.parity.check import ParityResult
from export.parity.quality_gate import LEAST_IMAGES, NO_IMAGES, GateResult, judge_quality
from export.parity.reference import Reference
from pipeline.metrics.paired_comparison import compare_models
from pipeline.metrics.quality_limits import LIMITS
from pipeline.model_spec import Compression, ModelSpec
from tests.conftest import make_spec
from tests.export.conftest import RECORD

SPEC = make_spec()  # decides covid19, class 0, from 0.4 on
HARD = 13  # images without a class, after the others
POSITIVES, NEGATIVES = 100, 200
TRUTH = (0,) * POSITIVES + (1,) * NEGATIVES
COMPARE = partial(compare_models, resamples=200)
BROKEN_RECORD = {**RECORD, "broken_limits": ["AUROC drops by 0.1000 (0.0500 to 0.1500)"]}


@pytest.fixture(autouse=True)
def few_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    """A thousand draws take a second."""
    monkeypatch.setattr("export.parity.quality_gate.compare_models", COMPARE)


def two_columns(first: np.ndarray) -> np.ndarray:
    return np.stack([first, 1 - first], axis=1).astype(np.float32)


def fp32_scores(positives: int = POSITIVES, negatives: int = NEGATIVES) -> np.ndarray:
    """Right on nine of ten: 0.45 to 0.9 is called positive, 0.1 to 0.35 negative."""
    right, wrong = positives * 9 // 10, negatives // 10
    return np.concatenate(
        [
            np.linspace(0.5, 0.9, right),
            np.linspace(0.3, 0.35, positives - right),
            np.linspace(0.45, 0.49, wrong),
            np.linspace(0.1, 0.25, negatives - wrong),
        ]
    )


def baseline(
    scores: np.ndarray | None = None,
    truth: tuple[int, ...] = TRUTH,
    patients: tuple[str, ...] | None = None,
) -> Reference:
    """PyTorch in fp32 on images of these classes, and on hard ones."""
    scores = fp32_scores() if scores is None else scores
    probs = two_columns(np.concatenate([scores, np.full(HARD, 0.5)]))
    names = tuple(f"valid/{i}.jpg" for i in range(len(probs)))
    groups = ("validation",) * len(scores) + ("hard",) * HARD
    patients = names[: len(truth)] if patients is None else patients
    images = ParityImages(names, groups, np.zeros((len(probs), 1)), "", truth, patients)
    return Reference(SPEC, "ab" * 32, None, images, Answers(probs))


def of_file(scores: np.ndarray) -> ParityResult:
    """The check of a file with these outputs; its outputs for hard images are far off."""
    probs = two_columns(np.concatenate([scores, np.linspace(0, 1, HARD)]))
    return ParityResult("pass", images=len(probs), probs=probs)


def variant(comparison: dict[str, Any] | None = None) -> ModelSpec:
    record = RECORD if comparison is None else comparison
    return replace(SPEC, compression=Compression("w4", "ab" * 32, {}, {}, record))


def gated(
    scores: np.ndarray, spec: ModelSpec | None = None, held: Reference | None = None
) -> GateResult:
    found = judge_quality("w4", of_file(scores), spec or variant(), held or baseline())
    assert found is not None
    return found


# --- where the figures come from ----------------------------------------------------------------


def test_fp32_is_what_the_others_are_compared_with() -> None:
    assert judge_quality("fp32", of_file(fp32_scores()), SPEC, baseline()) is None


@pytest.mark.parametrize("precision", ["fp16", "int8", "w4", "w3"])
def test_every_other_precision_is_measured_on_the_validation_images(precision: str) -> None:
    found = judge_quality(precision, of_file(fp32_scores()), variant(), baseline())
    assert found.source == "measured"
    assert found.figures["images"] == POSITIVES + NEGATIVES
    assert found.broken == ()


def test_the_files_own_outputs_are_measured_and_not_the_variants_record() -> None:
    scores = fp32_scores()
    scores[0] = 0.41  # as positive as before, below all of the wrong ones
    found = gated(scores, variant(BROKEN_RECORD))
    assert found.broken == ()
    assert found.figures["auroc"] < found.figures["parent_auroc"]
    assert found.figures["max_abs_diff"] == pytest.approx(0.09, abs=1e-6)


def test_the_figures_are_those_of_the_comparison_on_images_that_have_a_class() -> None:
    """With the hard images the largest difference would be one half."""
    scores = fp32_scores()[::-1].copy()
    expected = COMPARE(
        np.array(TRUTH),
        two_columns(scores),
        two_columns(fp32_scores()),
        SPEC.positive_index,
        SPEC.threshold,
        [f"valid/{i}.jpg" for i in range(len(TRUTH))],
    )
    assert gated(scores).figures == asdict(expected)


def test_images_of_one_patient_are_drawn_together() -> None:
    scores = fp32_scores() + np.random.default_rng(0).normal(0, 0.1, len(TRUTH))
    alone = gated(scores).figures["auroc_drop"]
    patients = tuple(f"patient-{i // 10}" for i in range(len(TRUTH)))
    together = gated(scores, held=baseline(patients=patients)).figures["auroc_drop"]
    assert together["value"] == alone["value"]
    assert (together["low"], together["high"]) != (alone["low"], alone["high"])


def test_fifty_images_are_measured_and_fewer_are_not() -> None:
    for count, source in ((LEAST_IMAGES, "measured"), (LEAST_IMAGES - 1, "recorded")):
        positives = 20
        scores = fp32_scores(positives, count - positives)
        truth = (0,) * positives + (1,) * (count - positives)
        found = gated(scores, held=baseline(scores, truth))
        assert found.source == source
        assert found.figures["images"] == (count if source == "measured" else RECORD["images"])
    assert LEAST_IMAGES == 50


def test_images_of_one_class_alone_have_no_auroc_and_are_not_measured() -> None:
    scores = fp32_scores(POSITIVES, 0)
    assert gated(scores, held=baseline(scores, (0,) * POSITIVES)).source == "recorded"


def test_embedded_samples_have_no_class_and_the_record_counts() -> None:
    found = gated(fp32_scores(), held=baseline(truth=(), patients=()))
    assert found == GateResult("recorded", {k: v for k, v in RECORD.items() if k[:6] != "broken"})


def test_what_was_not_run_has_the_record_of_its_variant() -> None:
    not_run = ParityResult("not_run", "Core ML runs on macOS only")
    assert judge_quality("w4", not_run, variant(), baseline()).source == "recorded"


def test_a_record_with_broken_limits_is_broken() -> None:
    """`compress` writes a variant that lost too much, and says so; without images that counts."""
    found = gated(fp32_scores(), variant(BROKEN_RECORD), baseline(truth=(), patients=()))
    assert found.source == "recorded"
    assert found.broken == tuple(BROKEN_RECORD["broken_limits"])
    assert "broken_limits" not in found.figures


def test_fp16_without_images_is_undecided_and_published() -> None:
    found = judge_quality("fp16", of_file(fp32_scores()), SPEC, baseline(truth=(), patients=()))
    assert found == GateResult("parity", {}, (), (NO_IMAGES,))
    assert not found.keeps_back


def test_fp16_is_measured_on_however_few_images_there_are() -> None:
    """It has no record, and one flip of ten proves nothing."""
    scores = np.linspace(0.1, 0.9, 10)
    truth = tuple(int(p < 0.4) for p in scores)
    moved = scores.copy()
    moved[0] = 0.6
    found = judge_quality("fp16", of_file(moved), SPEC, baseline(scores, truth))
    assert found.source == "measured"
    assert found.broken == ()
    assert "1 of 10 labels flip (95 % interval 0.3% to 44.5%), for 2%" in found.undecided


def test_what_a_record_leaves_open_stays_open() -> None:
    record = {**RECORD, "undecided_limits": ["0 of 150 labels flip"]}
    found = gated(fp32_scores(), variant(record), baseline(truth=(), patients=()))
    assert found.undecided == ("0 of 150 labels flip",)
    assert "undecided_limits" not in found.figures


def test_drawn_images_never_decide() -> None:
    """`of_file` is far off on all of them, and decides them otherwise."""
    found = gated(fp32_scores())
    assert (found.figures["images"], found.figures["label_flips"]) == (len(TRUTH), 0)


def test_fp16_is_measured_where_there_are_images() -> None:
    scores = np.where(np.arange(len(TRUTH)) < 20, 0.1, fp32_scores())
    found = judge_quality("fp16", of_file(scores), SPEC, baseline())
    assert found.source == "measured"
    assert found.broken


# --- each limit by itself -----------------------------------------------------------------------


def auroc_lost(images: int) -> np.ndarray:
    """Wrongly positive ones above the rightly positive: no label flips."""
    scores = fp32_scores()
    scores[POSITIVES : POSITIVES + images] = 0.95
    return scores


def labels_flipped(images: int) -> np.ndarray:
    """Wrongly positive ones become negative: flips for the better."""
    scores = fp32_scores()
    scores[POSITIVES : POSITIVES + images] = 0.36
    return scores


def recall_lost(images: int) -> np.ndarray:
    """Rightly positive ones fall just below the threshold."""
    scores = fp32_scores()
    scores[:images] = 0.39
    return scores


def negatives_lost(images: int) -> np.ndarray:
    """Rightly negative ones rise just above the threshold."""
    scores = fp32_scores()
    scores[-images:] = 0.41
    return scores


BREAKING = {
    "AUROC drops by 0.0450 (95 %": (auroc_lost, 10, 1),
    "12 of 300 labels flip (95 % interval 2.1% to 6.9%), more than 2%": (labels_flipped, 12, 11),
    "recall drops by 0.1000 (95 %": (recall_lost, 10, 2),
    "wrong on 6 images that were right, right on 0": (negatives_lost, 6, 5),
}


@pytest.mark.parametrize("said", BREAKING)
def test_a_broken_limit_rejects_and_says_by_how_much(said: str) -> None:
    change, too_many, _ = BREAKING[said]
    found = gated(change(too_many))
    assert any(said in sentence for sentence in found.broken)
    assert found.keeps_back


@pytest.mark.parametrize("said", BREAKING)
def test_fewer_images_may_be_chance_and_reject_nothing(said: str) -> None:
    change, _, as_many = BREAKING[said]
    found = gated(change(as_many))
    assert found.broken == ()
    assert found.source == "measured"


def test_an_accepted_rejection_does_not_keep_back_and_says_so() -> None:
    found = replace(gated(labels_flipped(12)), accepted=True)
    assert found.broken
    assert not found.keeps_back
    assert found.document()["accepted"] is True
    assert found.entry().accepted is True


def test_a_file_that_is_far_off_breaks_all_limits() -> None:
    assert len(gated(1 - fp32_scores()).broken) == 4


# --- as JSON ------------------------------------------------------------------------------------


FOUND = {
    "measured": lambda: gated(fp32_scores()),
    "rejected": lambda: gated(1 - fp32_scores()),
    "recorded": lambda: gated(
        fp32_scores(), variant(BROKEN_RECORD), baseline(truth=(), patients=())
    ),
    "parity": lambda: GateResult("parity", {}, undecided=(NO_IMAGES,)),
    "accepted": lambda: replace(gated(1 - fp32_scores()), accepted=True),
}


@pytest.mark.parametrize("case", FOUND)
def test_the_document_is_what_the_schema_of_the_manifest_says(case: str) -> None:
    found = FOUND[case]()
    schema = json.loads(SCHEMA_FILE.read_text(encoding="utf-8"))
    document = json.loads(json.dumps(found.document(), allow_nan=False))
    jsonschema.Draft202012Validator({**schema["$defs"]["accuracy"]}).validate(document)
    assert document["source"] == found.source
    assert document["limits"] == asdict(LIMITS)
    assert document["broken_limits"] == list(found.broken)
    assert found.figures.items() <= document.items()
