"""Blocks of other networks: converted as they are, evaluated as PyTorch computes them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from benchmarks.faults.bench import with_graph
from export.deploy.half_weights import halved_graph
from export.formats.coreml import format as coreml_format
from export.formats.coreml.evaluator.evaluate import load_program
from export.formats.coreml.evaluator.operations import OPERATIONS
from export.formats.coreml.evaluator.runner import load, run
from export.parity.check import check_artifact
from tests.export.formats.coreml.made_networks import BLOCKS, converted, reference

Made = Callable[[str, str], Path]
pytestmark = pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning")
each_block = pytest.mark.parametrize("block", BLOCKS)
slow = pytest.mark.slow("converts small networks of other blocks")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    """``made(block, precision)``: its package, converted once."""

    @cache
    def convert(block: str, precision: str) -> Path:
        return converted(block, precision, tmp_path_factory.mktemp("made"))

    return convert


@slow
@each_block
def test_a_block_in_fp32_gives_pytorchs_probabilities(block: str, made: Made) -> None:
    held = reference(block)
    found = run(load(made(block, "fp32")), held.images.pixels)
    assert np.abs(found.probs - held.probs).max() <= 1e-5


@slow
@each_block
def test_a_block_in_fp16_gives_pytorchs_probabilities_to_its_rounding(
    block: str, made: Made
) -> None:
    held = reference(block)
    found = run(load(made(block, "fp16")), held.images.pixels)
    assert 0 < np.abs(found.probs - held.probs).max() <= 5e-3


@slow
@each_block
def test_only_the_ends_of_an_fp16_program_are_in_fp32(block: str, made: Made) -> None:
    """One stretch before the body, one after it, with casts between."""
    steps = [s for s in load_program(made(block, "fp16")).steps if s.operation != "cast"]
    inside = [place for place, step in enumerate(steps) if step.half]
    assert [step.operation for step in steps[: inside[0]]] == ["sub", "mul"]
    assert [step.operation for step in steps[inside[-1] + 1 :]] == ["softmax"]
    assert inside == list(range(inside[0], inside[-1] + 1))


@slow
def test_what_stays_in_fp32_at_the_ends_is_in_fp16_inside(made: Made) -> None:
    halves = Counter(
        step.operation
        for block in ("squeeze-and-excitation", "attention")
        for step in load_program(made(block, "fp16")).steps
        if step.half
    )
    assert {"mul", "reduce_mean", "reshape", "softmax"} <= halves.keys()


def without(monkeypatch: pytest.MonkeyPatch, *operations: str) -> None:
    """An evaluator without these, on a machine without Core ML."""
    known = {name: compute for name, compute in OPERATIONS.items() if name not in operations}
    monkeypatch.setattr("export.formats.coreml.evaluator.evaluate.OPERATIONS", known)
    monkeypatch.setattr(coreml_format, "why_not_run", lambda: "Core ML runs on macOS only")


def test_operations_that_the_evaluator_lacks_are_not_run_and_named_once(
    made: Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = made("squeeze-and-excitation", "fp32")
    without(monkeypatch, "sigmoid", "conv")
    found = check_artifact("coreml", "fp32", path, reference("squeeze-and-excitation"))
    assert found.status == "not_run"
    assert found.parts["contract"] == "pass"
    for part in ("weights", "structure", "outputs"):
        assert found.parts[part].startswith("not run: ")
        assert "lacks the operations conv, sigmoid of made_fp32.mlpackage; " in found.parts[part]
    assert found.reason.count("conv, sigmoid") == 1
    assert (found.images, found.max_abs_diff) == (0, None)


def test_other_damage_stays_a_failure_where_an_operation_is_lacking(
    made: Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = made("squeeze-and-excitation", "fp32")
    without(monkeypatch, "sigmoid")
    another = replace(reference("squeeze-and-excitation"), checkpoint_sha256="cd" * 32)
    found = check_artifact("coreml", "fp32", path, another)
    assert found.status == "fail"
    assert found.reason.startswith("contract: ")
    assert "sigmoid" in found.parts["weights"]


@slow
@each_block
@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_a_block_passes_every_part_of_the_check(block: str, precision: str, made: Made) -> None:
    held = reference(block)
    if precision == "fp16":
        held = with_graph(held, halved_graph(held.graph))
    found = check_artifact("coreml", precision, made(block, precision), held)
    assert set(found.parts.values()) == {"pass"}, found.reason
    assert found.parts.keys() == {"contract", "weights", "structure", "outputs"}
