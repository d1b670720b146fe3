from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from export.parity.reference import References
from export.report.accuracy import classification, reference_classification
from export.report.sections import training_of
from pipeline.checkpoint import RELEASED, open_checkpoint
from pipeline.errors import BadInput
from pipeline.json_files import plain
from pipeline.metrics.classification import (
    accuracy,
    auroc,
    decide,
    expected_calibration_error,
    recall,
)
from tests.conftest import make_spec

SPEC = make_spec()
RNG = np.random.default_rng(4)
TRUTH = RNG.integers(0, 2, 60)
PROBS = np.stack([p := RNG.uniform(size=80), 1 - p], axis=1)


def test_the_figures_are_those_of_metrics_at_the_models_threshold() -> None:
    found = classification(TRUTH, PROBS, SPEC)
    assert found is not None
    decision = decide(PROBS[:60], 0, SPEC.threshold)
    assert found.images == 60
    assert found.accuracy == accuracy(TRUTH, decision)
    assert found.recall == recall(TRUTH, decision, 0)
    assert found.specificity == recall(TRUTH, decision, 1)
    assert found.auroc == auroc(TRUTH, PROBS[:60], 0)
    assert found.calibration_error == expected_calibration_error(TRUTH, PROBS[:60])
    assert sum(b.images for b in found.reliability) == 60


def test_of_several_classes_there_is_no_specificity() -> None:
    spec = make_spec(labels=("a", "b", "c"), positive=None, threshold=None)
    found = classification(np.arange(30) % 3, RNG.dirichlet(np.ones(3), 30), spec)
    assert found is not None
    assert found.specificity is None
    assert len(found.roc) == 101


def test_of_one_class_alone_there_is_no_auroc() -> None:
    found = classification(np.zeros(5, int), PROBS, SPEC)
    assert found is not None
    assert found.auroc is None
    assert found.roc == ()


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_outputs_that_are_not_finite_have_no_figures(bad: float) -> None:
    probs = PROBS.copy()
    probs[3, 0] = bad
    assert classification(TRUTH, probs, SPEC) is None
    probs = PROBS.copy()
    probs[70, 0] = bad  # of no validation image
    assert classification(TRUTH, probs, SPEC) is not None


def test_without_labelled_images_it_is_not_run_and_says_why(model) -> None:  # type: ignore[no-untyped-def]
    references: References = model.references
    found = reference_classification(references)
    assert found.status == "not_run"
    assert "--data" in found.reason


def test_the_released_checkpoints_training_is_reported() -> None:
    found = training_of(RELEASED, open_checkpoint(RELEASED).spec)
    assert found.history.epochs == len(found.history.rows) == 50
    assert found.validation.figures.images == 150
    assert found.calibration is None  # trained before it was recorded


def test_how_training_calibrated_is_reported(tmp_path: Path) -> None:
    record = {
        "temperature": 0.5,
        "images": 60,
        "before": {"nll": 0.25, "error": 0.125},
        "after": {"nll": 0.125, "error": 0.0625},
        "refused": "",
        "caution": "too few",
    }
    spec = replace(SPEC, training={"calibration": record})
    assert plain(training_of(tmp_path, spec))["calibration"] == record
    with pytest.raises(BadInput, match="calibration of the checkpoint is damaged"):
        training_of(tmp_path, replace(SPEC, training={"calibration": {"temperature": "hot"}}))


def test_of_a_very_long_training_evenly_spaced_epochs_are_kept(tmp_path) -> None:  # type: ignore[no-untyped-def]
    lines = [f"{i},frozen,0.5" for i in range(1, 5001)]
    (tmp_path / "history.csv").write_text("epoch,stage,train_loss\n" + "\n".join(lines) + "\n")
    found = training_of(tmp_path, SPEC)
    assert found.history.epochs == 5000
    rows = found.history.rows
    assert len(rows) == 500
    assert (rows[0]["epoch"], rows[-1]["epoch"]) == (1, 5000)
    assert found.validation.status == "not_run"
