"""Evidence compared with PyTorch's: equal maps pass, maps that a person would misread fail."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from torch import nn

from export.deploy.metadata import model_metadata
from export.deploy.outputs import Answers
from export.formats.base import Description, Port
from export.formats.facts import Precision, Tolerance
from export.formats.register import FORMATS
from export.images.parity_images import ParityImages
from export.parity.check import ParityResult, check_artifact
from export.parity.evidence import AVERAGE_TOLERANCE, EvidenceAgreement, compare_evidence
from export.parity.rounding_noise import RoundingNoise
from pipeline.json_files import plain
from tests.conftest import LABELS, SIDE, make_spec

N = 5
SPEC = make_spec()
NAMES = tuple(f"valid/image-{i}.jpg" for i in range(N))
EVIDENCE = np.random.default_rng(0).normal(size=(N, 2, 4, 4)).astype(np.float32)


def answers(evidence: np.ndarray) -> Answers:
    """Outputs whose probabilities are those of their evidence."""
    powers = np.exp(evidence.mean(axis=(2, 3), dtype=np.float64))
    return Answers((powers / powers.sum(axis=1, keepdims=True)).astype(np.float32), evidence)


REFERENCE = answers(EVIDENCE)


def compared(found: Answers, allowed: float = 1e-4) -> tuple[EvidenceAgreement | None, list[str]]:
    return compare_evidence(found, REFERENCE, NAMES, allowed)


def seen(evidence: np.ndarray) -> Answers:
    """The right probabilities with other evidence."""
    return Answers(REFERENCE.probs, np.ascontiguousarray(evidence, np.float32))


def test_equal_evidence_passes_and_is_described() -> None:
    agreement, faults = compared(seen(EVIDENCE))
    assert faults == []
    assert agreement == EvidenceAgreement(0.0, (1, 2, 4, 4), NAMES[0])


def test_a_difference_within_the_tolerance_passes_and_is_reported() -> None:
    moved = EVIDENCE.copy()
    largest = np.abs(EVIDENCE[3]).max()
    moved[3, 1, 2, 0] += 5e-5 * largest
    agreement, faults = compared(seen(moved))
    assert faults == []
    assert agreement is not None
    assert agreement.max_rel_diff == pytest.approx(5e-5, rel=0.01)
    assert agreement.worst_image == NAMES[3]


# As wide as any format's own: int8's.
@pytest.mark.parametrize(
    "allowed",
    [
        1e-4,
        max(p.tolerance.max_evidence_diff for f in FORMATS.values() for p in f.precisions.values()),
    ],
)
@pytest.mark.parametrize(
    "change",
    [
        lambda found: found.transpose(0, 1, 3, 2),
        lambda found: found[:, ::-1],
        lambda found: found[:, :, ::-1],
        lambda found: found[:, :, :, ::-1],
        lambda found: -found,
        lambda found: np.maximum(found, 0),
        lambda found: found[::-1],
        lambda found: np.zeros_like(found),
    ],
    ids=["transposed", "classes", "upside down", "mirrored", "sign", "relu", "images", "nothing"],
)
def test_evidence_that_a_person_would_misread_fails(
    change: Callable[[np.ndarray], np.ndarray], allowed: float
) -> None:
    _, faults = compared(seen(change(EVIDENCE)), allowed)
    assert f"> {allowed:.0e} of its largest value on valid/image-" in faults[0]


def test_evidence_that_does_not_average_to_the_logits_fails_however_much_is_allowed() -> None:
    tilted = EVIDENCE.copy()
    tilted[2, 0] += 0.02
    _, faults = compared(seen(tilted), allowed=1.0)
    assert len(faults) == 1
    assert "does not average to the logits" in faults[0]
    assert NAMES[2] in faults[0]


def test_evidence_may_average_as_exactly_as_fp16_probabilities_do() -> None:
    probs = REFERENCE.probs + np.float32([[AVERAGE_TOLERANCE / 2, -AVERAGE_TOLERANCE / 2]])
    assert compared(Answers(probs, EVIDENCE))[1] == []


@pytest.mark.parametrize("shape", [(N, 4, 4, 2), (N, 2, 2, 2), (N, 3, 4, 4), (N - 1, 2, 4, 4)])
def test_another_shape_fails_and_names_both(shape: tuple[int, ...]) -> None:
    agreement, (fault,) = compared(seen(np.zeros(shape)))
    assert agreement is None
    assert str(shape) in fault
    assert str(EVIDENCE.shape) in fault


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_nan_and_infinity_never_pass(value: float) -> None:
    broken = EVIDENCE.copy()
    broken[1, 0, 0, 0] = value
    agreement, faults = compared(seen(broken), allowed=np.inf)
    assert faults[0] == "1 images with NaN or infinite evidence"
    assert agreement is not None
    assert agreement.worst_image == NAMES[1]


def test_evidence_of_a_network_that_has_none_fails() -> None:
    _, (fault,) = compare_evidence(REFERENCE, Answers(REFERENCE.probs), NAMES, 1.0)
    assert "PyTorch has none" in fault


# --- as a part of the whole check ---------------------------------------------------------------


class FakeFormat(SimpleNamespace):
    """A format that declares outputs of these names and returns these values."""

    def __init__(self, found: Answers, names: tuple[str, ...]) -> None:
        ports = {"probs": (1, 2), "evidence": (1, 2, 4, 4)}
        description = Description(
            (Port("image", "uint8", (1, SIDE, SIDE, 3)),),
            tuple(Port(name, "float32", ports[name]) for name in names),
            model_metadata(SPEC, "ab" * 32),
            LABELS,
            {},
        )
        super().__init__(
            RUN_BY="run by a fake",
            ALSO=(),
            stored_layers=lambda path: [],
            describe=lambda path: description,
            load=lambda path, threads: None,
            run=lambda session, images: found,
        )


BOTH = ("probs", "evidence")


def check(
    monkeypatch: pytest.MonkeyPatch,
    found: Answers,
    names: tuple[str, ...] = BOTH,
    needs_evidence: bool = True,
    held: Answers = REFERENCE,
) -> ParityResult:
    facts = replace(
        FORMATS["onnx"],
        requirements=(),
        precisions={"fp32": Precision("fp32", Tolerance(1e-4, 0.0, ""), "fp32")},
    )
    monkeypatch.setattr(
        "export.parity.allowance.rounding_noise",
        lambda _, __, rows, alike: RoundingNoise(np.zeros(len(rows)), np.zeros(len(rows))),
    )
    monkeypatch.setitem(FORMATS, "fake", facts)
    folder = SimpleNamespace(load_verbs=lambda: FakeFormat(found, names))
    monkeypatch.setitem(sys.modules, "export.formats.fake", folder)
    images = ParityImages(NAMES, ("hard",) * N, np.zeros((N, SIDE, SIDE, 3), np.uint8), "")
    reference = SimpleNamespace(
        spec=SPEC,
        checkpoint_sha256="ab" * 32,
        images=images,
        probs=held.probs,
        answers=held,
        graph=SimpleNamespace(pixels=SimpleNamespace(network=nn.Conv2d(3, 2, 1))),
        layers=[],
    )
    return check_artifact("fake", "fp32", Path("x"), reference, needs_evidence)


def test_a_file_with_the_right_evidence_passes_in_a_part_of_its_own(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    result = check(monkeypatch, REFERENCE)
    assert (result.status, result.reason) == ("pass", "")
    assert result.parts["evidence"] == "pass"
    assert result.evidence == EvidenceAgreement(0.0, (1, 2, 4, 4), NAMES[0])
    assert plain(result.entry())["evidence"] == {
        "max_rel_diff": 0.0,
        "shape": [1, 2, 4, 4],
        "worst_image": NAMES[0],
    }


def test_wrong_evidence_fails_with_right_probabilities(monkeypatch: pytest.MonkeyPatch) -> None:
    result = check(monkeypatch, seen(EVIDENCE[:, ::-1]))
    assert result.status == "fail"
    assert result.parts["outputs"] == "pass"
    assert result.reason == f"evidence: {result.parts['evidence']}"


def test_both_faults_are_in_the_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    result = check(monkeypatch, Answers(REFERENCE.probs[:, ::-1], EVIDENCE[:, ::-1]))
    assert "max |Δp|" in result.reason
    assert "evidence: differs by" in result.reason


@pytest.mark.parametrize("names", [("probs",), BOTH])
def test_a_file_that_gives_no_evidence_fails_whatever_it_declares(
    names: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    result = check(monkeypatch, Answers(REFERENCE.probs), names)
    assert result.status == "fail"
    assert result.parts["evidence"] == "the file gives none, PyTorch does"
    assert (result.parts["contract"] == "pass") == (names == BOTH)


def test_a_file_of_before_there_was_evidence_is_held_to_its_probabilities(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    result = check(monkeypatch, Answers(REFERENCE.probs), ("probs",), needs_evidence=False)
    assert (result.status, result.evidence) == ("pass", None)
    assert "evidence" not in result.parts
    assert plain(result.entry())["evidence"] is None


def test_a_file_that_has_evidence_is_held_to_it_even_if_it_need_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    result = check(monkeypatch, seen(-EVIDENCE), needs_evidence=False)
    assert result.parts["evidence"] != "pass"
    assert result.status == "fail"


def test_the_file_of_a_network_without_evidence_passes_with_one_output(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    alone = Answers(REFERENCE.probs)
    assert check(monkeypatch, alone, ("probs",), held=alone).status == "pass"
    made_up = check(monkeypatch, REFERENCE, held=alone)
    assert made_up.parts["contract"] == "outputs ['probs', 'evidence'], expected probs"
    assert "PyTorch has none" in made_up.parts["evidence"]
