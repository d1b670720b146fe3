from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from torch import nn

from export.deploy.metadata import model_metadata
from export.deploy.outputs import Answers
from export.errors import CannotRunHere, Unreadable
from export.formats.base import Description, Port
from export.formats.facts import Precision, Requirement, Tolerance
from export.formats.register import FORMATS
from export.images.parity_images import ParityImages
from export.parity.allowance import Allowance
from export.parity.check import ParityResult, check_artifact, compare
from export.parity.entries import RoundingEntry
from export.parity.rounding_noise import RoundingNoise
from tests.conftest import LABELS, SIDE, make_spec

N = 6
NAMES = (*(f"valid/image-{i}.jpg" for i in range(N - 2)), "hard/red", "hard/black")
GROUPS = ("validation",) * (N - 2) + ("hard",) * 2
SPEC = make_spec()  # decides covid19, the first label, from 0.4 on
TOLERANCE = Tolerance(1e-4, 0.0, "")
FIRST = np.array([0.1, 0.3, 0.41, 0.6, 0.8, 0.99], dtype=np.float32)
REFERENCE = np.stack([FIRST, 1 - FIRST], axis=1)


def moved(row: int, by: float) -> np.ndarray:
    """The reference with one row's probabilities moved, its sum kept."""
    probs = REFERENCE.copy()
    probs[row] += np.array([by, -by], dtype=np.float32)
    return probs


def compared(
    probs: np.ndarray, tolerance: Tolerance = TOLERANCE, reference: np.ndarray = REFERENCE
) -> ParityResult:
    return compare(probs, reference, SPEC, NAMES, GROUPS, tolerance)


def test_equal_probabilities_pass() -> None:
    result = compared(REFERENCE.copy())
    assert (result.status, result.reason) == ("pass", "")
    assert (result.images, result.max_abs_diff, result.label_flips) == (N, 0.0, 0)
    assert result.tolerance == TOLERANCE


def test_a_difference_within_the_tolerance_passes_and_is_reported() -> None:
    result = compared(moved(3, 5e-5))
    assert result.status == "pass"
    assert result.max_abs_diff == pytest.approx(5e-5, rel=0.01)
    assert result.mean_abs_diff == pytest.approx(5e-5 / N, rel=0.01)


def test_a_difference_beyond_the_tolerance_fails_with_the_numbers_and_the_image() -> None:
    result = compared(moved(3, 3.1e-3))
    assert result.status == "fail"
    assert "3.1e-03 > 1e-04" in result.reason
    assert NAMES[3] in result.reason


def test_the_worst_image_is_named_also_when_all_is_well() -> None:
    assert compared(moved(4, 5e-5)).worst_image == "hard/red"
    assert compared(moved(1, 5e-5)).worst_image == NAMES[1]


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("row", range(N))
@pytest.mark.parametrize("tolerance", [TOLERANCE, Tolerance(np.inf, 1.0, "anything goes")])
def test_nan_and_infinity_never_pass(value: float, row: int, tolerance: Tolerance) -> None:
    probs = REFERENCE.copy()
    probs[row, 1] = value
    result = compared(probs, tolerance)
    assert result.status == "fail"
    assert result.non_finite == 1
    assert "1 images with NaN or infinite output" in result.reason
    assert result.worst_image == NAMES[row]


def test_nan_is_the_worst_even_next_to_a_large_difference() -> None:
    probs = moved(0, 0.5)
    probs[2] = np.nan
    assert compared(probs).worst_image == NAMES[2]


def test_nan_everywhere_in_both_is_no_agreement() -> None:
    nothing = np.full_like(REFERENCE, np.nan)
    assert compared(nothing, reference=nothing).status == "fail"


def test_nan_in_the_reference_never_passes() -> None:
    reference = REFERENCE.copy()
    reference[0] = np.nan
    assert compared(REFERENCE.copy(), reference=reference).status == "fail"


@pytest.mark.parametrize("shape", [(N, 3), (N - 1, 2), (N,), (N, 2, 1), (2, N)])
def test_another_shape_fails_and_names_both(shape: tuple[int, ...]) -> None:
    result = compared(np.full(shape, 0.5, dtype=np.float32))
    assert result.status == "fail"
    assert str(shape) in result.reason
    assert str(REFERENCE.shape) in result.reason


def test_rows_that_do_not_sum_to_one_fail() -> None:
    probs = REFERENCE.copy()
    probs[0, 1] += 0.01
    result = compared(probs, Tolerance(0.1, 1.0, "wide"))
    assert result.status == "fail"
    assert "sum to 1 only within 1.0e-02" in result.reason


def test_rows_may_sum_to_one_as_exactly_as_fp16_does() -> None:
    probs = REFERENCE.copy()
    probs[0, 1] += 5e-4
    assert compared(probs, Tolerance(5e-3, 0.0, "fp16")).status == "pass"


def test_a_label_at_the_threshold_may_flip_by_less_than_is_allowed_and_is_counted() -> None:
    """0.41 where 0.4 decides: the image, not the file, stands there."""
    result = compared(moved(2, -0.02), Tolerance(0.1, 0.0, "wide"))
    assert result.label_flips == 1
    assert (result.status, result.reason) == ("pass", "")


def test_a_label_that_is_further_from_the_threshold_flips_by_a_fault() -> None:
    result = compared(moved(3, -0.25), Tolerance(0.1, 0.0, "wide"))
    assert result.label_flips == 1
    assert result.status == "fail"
    assert "1 of 6 labels flipped" in result.reason


def test_what_is_allowed_on_an_image_decides_about_its_label_too() -> None:
    generous = Allowance(np.full(N, 0.3), np.zeros(N), RoundingEntry(1, 0.15, 0.0))
    probs, tolerance = moved(3, -0.25), Tolerance(0.1, 0.0, "")
    result = compare(probs, REFERENCE, SPEC, NAMES, GROUPS, tolerance, generous)
    assert (result.status, result.label_flips) == ("pass", 1)
    assert result.rounding == RoundingEntry(1, 0.15, 0.0)
    narrow = Allowance(np.array([0.3, 0.3, 0.3, 0.2, 0.3, 0.3]), np.zeros(N))
    result = compare(probs, REFERENCE, SPEC, NAMES, GROUPS, tolerance, narrow)
    assert result.reason.startswith(f"max |Δp| 2.5e-01 > 2e-01 on {NAMES[3]}")


def test_the_decision_is_by_the_threshold_and_not_by_the_largest() -> None:
    """Both sides of one half, but at 0.4 the image is covid19 either way."""
    reference = REFERENCE.copy()
    reference[3] = (0.52, 0.48)
    probs = reference.copy()
    probs[3] = (0.48, 0.52)
    result = compared(probs, Tolerance(0.1, 0.0, "wide"), reference)
    assert (result.status, result.label_flips) == ("pass", 0)


def test_a_share_of_flips_may_be_allowed() -> None:
    one = moved(3, -0.25)
    assert "flipped" not in compared(one, Tolerance(0.1, 1 / 6, "")).reason
    one[1] += np.array([0.2, -0.2], dtype=np.float32)
    assert "2 of 6 labels flipped" in compared(one, Tolerance(0.05, 1 / 6, "")).reason


def test_more_than_two_classes_are_decided_by_the_largest() -> None:
    spec = make_spec(labels=("a", "b", "c"), positive=None, threshold=None)
    reference = np.array([[0.4, 0.35, 0.25]], dtype=np.float32)
    probs = np.array([[0.35, 0.4, 0.25]], dtype=np.float32)
    near = compare(probs, reference, spec, ["x"], ["hard"], Tolerance(0.1, 0.0, ""))
    assert (near.status, near.label_flips) == ("pass", 1)
    far = compare(probs, reference, spec, ["x"], ["hard"], Tolerance(0.02, 0.0, ""))
    assert "1 of 1 labels flipped" in far.reason


def test_each_set_of_images_has_its_own_figures() -> None:
    result = compared(moved(4, 0.01), Tolerance(0.1, 0.0, "wide"))
    assert list(result.sets) == ["validation", "hard"]
    assert result.sets["validation"].images == N - 2
    assert result.sets["validation"].max_abs_diff == 0
    assert result.sets["hard"].images == 2
    assert result.sets["hard"].max_abs_diff == pytest.approx(0.01, rel=1e-3)
    assert result.sets["hard"].mean_abs_diff == pytest.approx(0.005, rel=1e-3)


def test_flips_are_counted_by_set() -> None:
    result = compared(moved(2, -0.02), Tolerance(0.1, 1.0, "wide"))
    assert (result.sets["validation"].label_flips, result.sets["hard"].label_flips) == (1, 0)


def test_every_fault_is_in_the_reason() -> None:
    probs = REFERENCE.copy()
    probs[2] = (0.1, 0.1)
    reason = compared(probs).reason
    assert all(part in reason for part in ("sum to 1", "max |Δp|", "flipped"))


class FakeFormat(SimpleNamespace):
    """A format whose runtime does what a test asks for."""

    def __init__(self, run: object, load: object = lambda path, threads: None) -> None:
        description = Description(
            (Port("image", "uint8", (1, SIDE, SIDE, 3)),),
            (Port("probs", "float32", (1, 2)),),
            model_metadata(SPEC, "ab" * 32),
            LABELS,
            {},
        )
        super().__init__(
            RUN_BY="run by a fake",
            ALSO=(),
            stored_layers=lambda path: [],
            describe=lambda path: description,
            load=load,
            run=run,
        )


def check(
    monkeypatch: pytest.MonkeyPatch,
    fake: FakeFormat,
    requirements: tuple[Requirement, ...] = (),
) -> ParityResult:
    facts = replace(
        FORMATS["onnx"],
        requirements=requirements,
        precisions={"fp32": Precision("fp32", TOLERANCE, "fp32")},
    )
    monkeypatch.setattr(
        "export.parity.allowance.rounding_noise",
        lambda _, __, rows, alike: RoundingNoise(np.zeros(len(rows)), np.zeros(len(rows))),
    )
    monkeypatch.setitem(FORMATS, "fake", facts)
    folder = SimpleNamespace(load_verbs=lambda: fake)
    monkeypatch.setitem(sys.modules, "export.formats.fake", folder)
    images = ParityImages(NAMES, GROUPS, np.zeros((N, SIDE, SIDE, 3), np.uint8), "")
    reference = SimpleNamespace(
        spec=SPEC,
        checkpoint_sha256="ab" * 32,
        images=images,
        probs=REFERENCE,
        answers=Answers(REFERENCE),
        graph=SimpleNamespace(pixels=SimpleNamespace(network=nn.Conv2d(3, 2, 1))),
        layers=[],
    )
    return check_artifact("fake", "fp32", Path("x"), reference)


def raising(error: Exception) -> object:
    def act(*_: object, **__: object) -> None:
        raise error

    return act


def test_an_artifact_with_pytorchs_outputs_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    assert (
        check(monkeypatch, FakeFormat(lambda session, images: Answers(REFERENCE))).status == "pass"
    )


def test_a_runtime_that_is_not_here_is_not_run_with_its_reason(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    result = check(monkeypatch, FakeFormat(None, raising(CannotRunHere("macOS only"))))
    assert (result.status, result.reason, result.images) == ("not_run", "macOS only", 0)
    assert result.max_abs_diff is None


def test_a_converter_that_is_not_installed_is_not_run_with_the_way_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fake = FakeFormat(lambda session, images: Answers(REFERENCE))
    monkeypatch.setattr("pipeline.errors.find_spec", lambda module: None)
    result = check(monkeypatch, fake, (Requirement("coremltools", "coreml"),))
    assert result.status == "not_run"
    assert "coremltools is not installed" in result.reason
    assert "[coreml]" in result.reason


def test_a_damaged_artifact_fails_with_its_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    result = check(monkeypatch, FakeFormat(None, raising(Unreadable("cut short"))))
    assert (result.status, result.reason) == ("fail", "cut short")


def test_a_runtime_that_loads_and_then_breaks_is_a_failure(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    result = check(monkeypatch, FakeFormat(raising(RuntimeError("no kernel\nfor this"))))
    assert (result.status, result.reason) == ("fail", "RuntimeError while running: no kernel")


def test_an_error_without_a_message_is_a_failure_too(monkeypatch: pytest.MonkeyPatch) -> None:
    result = check(monkeypatch, FakeFormat(raising(AssertionError())))
    assert result.status == "fail"
    assert "AssertionError" in result.reason


def test_two_ways_to_run_a_file_are_both_reported_and_the_worse_one_counts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    other = SimpleNamespace(
        RUN_BY="evaluated on paper",
        load=lambda path, threads: None,
        run=lambda session, images: Answers(moved(1, 0.3)),
    )
    fake = FakeFormat(lambda session, images: Answers(REFERENCE))
    fake.ALSO = (other,)
    result = check(monkeypatch, fake)
    assert result.status == "fail"
    assert "run by a fake (max |Δp| 0.0e+00, 0 label flips)" in result.how
    assert "evaluated on paper (max |Δp| 3.0e-01" in result.how


def test_a_file_whose_weights_cannot_be_read_here_is_no_pass_however_well_it_runs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fake = FakeFormat(lambda session, images: Answers(REFERENCE))
    fake.stored_layers = raising(CannotRunHere("the reader lacks the operation erf"))
    result = check(monkeypatch, fake)
    assert (result.status, result.reason) == ("not_run", "the reader lacks the operation erf")
    assert result.parts["weights"] == "not run: the reader lacks the operation erf"
    assert result.parts["outputs"] == "pass"


def test_a_file_that_runs_wrongly_fails_though_its_weights_cannot_be_read_here(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fake = FakeFormat(lambda session, images: Answers(moved(1, 0.3)))
    fake.stored_layers = raising(CannotRunHere("the reader lacks the operation erf"))
    result = check(monkeypatch, fake)
    assert result.status == "fail"
    assert result.reason.startswith("max |Δp| 3.0e-01")
