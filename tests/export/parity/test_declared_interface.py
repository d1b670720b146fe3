from __future__ import annotations

from dataclasses import replace

import pytest

from export.deploy.metadata import model_metadata
from export.formats.base import Description, Port
from export.parity.declared_interface import interface_violations
from tests.conftest import LABELS, SIDE, make_spec

IDENTITY = "ab" * 32
SPEC = make_spec()
GOOD = Description(
    inputs=(Port("image", "uint8", (1, SIDE, SIDE, 3)),),
    outputs=(Port("probs", "float32", (1, 2)),),
    metadata=model_metadata(SPEC, IDENTITY),
    labels=LABELS,
    requires={},
)


def violations(**changes: object) -> list[str]:
    return interface_violations(replace(GOOD, **changes), SPEC, IDENTITY)


def test_a_file_that_says_what_the_checkpoint_says_is_in_order() -> None:
    assert violations() == []


def test_an_image_input_of_core_ml_is_in_order() -> None:
    assert violations(inputs=(Port("image", "image RGB", (SIDE, SIDE)),)) == []


def test_other_metadata_of_ones_own_are_no_concern() -> None:
    assert violations(metadata={**GOOD.metadata, "com.github.apple.coremltools.version": "9"}) == []


def test_swapped_labels_are_named() -> None:
    (sentence,) = violations(labels=LABELS[::-1])
    assert str(list(LABELS)) in sentence
    assert str(list(LABELS[::-1])) in sentence


@pytest.mark.parametrize("key", sorted(GOOD.metadata))
def test_every_key_of_the_metadata_is_compared_with_the_checkpoint(key: str) -> None:
    (sentence,) = violations(metadata={**GOOD.metadata, key: "something else"})
    assert sentence.startswith(f"{key} in the file is something else")


@pytest.mark.parametrize("key", sorted(GOOD.metadata))
def test_every_key_of_the_metadata_must_be_there(key: str) -> None:
    (sentence,) = violations(metadata={k: v for k, v in GOOD.metadata.items() if k != key})
    assert sentence.startswith(f"{key} in the file is missing")


@pytest.mark.parametrize(
    "inputs",
    [
        (),
        (Port("input", "uint8", (1, SIDE, SIDE, 3)),),
        (*GOOD.inputs, Port("threshold", "float32", (1,))),
        (Port("image", "float32", (1, SIDE, SIDE, 3)),),
        (Port("image", "uint8", (1, 3, SIDE, SIDE)),),
        (Port("image", "uint8", (1, SIDE + 1, SIDE, 3)),),
        (Port("image", "uint8", ()),),
        (Port("image", "image BGR", (SIDE, SIDE)),),
        (Port("image", "image grey", (SIDE, SIDE)),),
        (Port("image", "image RGB", (SIDE, SIDE * 2)),),
    ],
    ids=str,
)
def test_an_input_of_other_name_number_dtype_or_shape_is_a_violation(
    inputs: tuple[Port, ...],
) -> None:
    (sentence,) = violations(inputs=inputs)
    assert "input" in sentence


@pytest.mark.parametrize(
    "outputs", [(), (Port("logits", "float32", (1, 2)),), (Port("probs", "float32", (1, 3)),)]
)
def test_an_output_of_other_name_or_length_is_a_violation(outputs: tuple[Port, ...]) -> None:
    (sentence,) = violations(outputs=outputs)
    assert "probs" in sentence


def test_probabilities_in_another_dtype_are_a_violation() -> None:
    """A phone reads the buffer as the dtype that the manifest promises."""
    assert violations(outputs=(Port("probs", "float16", (1, 2)),))


def test_violations_add_up() -> None:
    assert len(violations(labels=(), inputs=(), outputs=())) == 3


EVIDENCE = (1, 2, 3, 3)
BOTH = (GOOD.outputs[0], Port("evidence", "float32", EVIDENCE))


def with_evidence(*outputs: Port, needs_evidence: bool = True) -> list[str]:
    return interface_violations(
        replace(GOOD, outputs=outputs), SPEC, IDENTITY, EVIDENCE, needs_evidence
    )


def test_evidence_behind_the_probabilities_is_in_order() -> None:
    assert with_evidence(*BOTH) == []
    assert with_evidence(*BOTH, needs_evidence=False) == []


def test_a_file_without_evidence_is_in_order_only_where_it_need_not_have_it() -> None:
    (sentence,) = with_evidence(BOTH[0])
    assert sentence == "outputs ['probs'], expected probs and evidence"
    assert with_evidence(BOTH[0], needs_evidence=False) == []


@pytest.mark.parametrize("needs_evidence", [True, False])
@pytest.mark.parametrize(
    "outputs",
    [
        BOTH[::-1],
        (*BOTH, BOTH[1]),
        (BOTH[0], Port("features", "float32", EVIDENCE)),
        (*BOTH, Port("features", "float32", EVIDENCE)),
        (BOTH[0], Port("evidence", "float32", (1, 3, 3, 2))),
        (BOTH[0], Port("evidence", "float32", EVIDENCE[1:])),
        (BOTH[0], Port("evidence", "float16", EVIDENCE)),
    ],
)
def test_outputs_of_another_order_name_shape_or_dtype_are_a_violation(
    outputs: tuple[Port, ...], needs_evidence: bool
) -> None:
    (sentence,) = with_evidence(*outputs, needs_evidence=needs_evidence)
    assert "evidence" in sentence


def test_evidence_of_a_network_that_has_none_is_a_violation() -> None:
    assert violations(outputs=BOTH) == ["outputs ['probs', 'evidence'], expected probs"]
