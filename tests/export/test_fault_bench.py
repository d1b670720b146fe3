"""Every fault of the bench is caught, by the part that is there for it; every control passes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from export.formats import FORMATS
from tests.export.conftest import PLAIN
from tests.export.fault_bench import (
    CONTROLS,
    FAULTS,
    Artifact,
    Bench,
    Fault,
    cells,
    convolutions,
    floor_pools,
    judge,
)

RESULTS = Path(__file__).parents[2] / "docs" / "results" / "faults.json"


pytestmark = pytest.mark.slow  # a few hundred real files


def cases(faults: tuple[Fault, ...]) -> Iterator[object]:
    for fault, artifact in cells(faults):
        yield pytest.param(fault, artifact, id=f"{'-'.join(artifact)}-{fault.name}")


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    return Bench(tmp_path_factory.mktemp("bench"))


@pytest.mark.parametrize(("fault", "artifact"), cases(FAULTS))
def test_a_planted_fault_is_caught(
    fault: Fault, artifact: Artifact, bench: Bench, tmp_path: Path
) -> None:
    verdict = judge(bench, fault, artifact, tmp_path)
    assert verdict.caught_by, f"{fault.name} in {' '.join(artifact)} passed every check"
    assert set(fault.by) <= set(verdict.caught_by), verdict.reason
    assert verdict.reason


@pytest.mark.parametrize(("control", "artifact"), cases(CONTROLS))
def test_a_change_without_consequence_passes(
    control: Fault, artifact: Artifact, bench: Bench, tmp_path: Path
) -> None:
    verdict = judge(bench, control, artifact, tmp_path)
    assert verdict.caught_by == (), verdict.reason


def test_the_bench_plants_faults_in_every_format_in_fp32_and_in_fp16_arithmetic() -> None:
    """Files that only store less are in test_compressed_faults."""
    planted = {(name, "fp32") for name in FORMATS} | {("coreml", "fp16")}
    assert planted < set(PLAIN)
    assert {artifact for _, artifact in cells(FAULTS)} == planted
    assert {artifact for _, artifact in cells(CONTROLS)} == planted
    names = [fault.name for fault in (*FAULTS, *CONTROLS)]
    assert len(set(names)) == len(names)
    assert {artifact[0] for artifact in PLAIN} == set(FORMATS)


def test_the_checkpoint_of_the_bench_has_biases_that_can_be_swapped(bench: Bench) -> None:
    """Fresh ones are zero, and many faults would change nothing."""
    network = bench.model().graph.pixels.network
    biases = [convolution.bias for convolution in convolutions(network)]
    assert all(bias.abs().max() > 0.1 for bias in biases[:-1])


@pytest.mark.parametrize(("side", "same"), [(64, True), (66, False), (224, True)])
def test_pools_without_ceil_mode_are_a_fault_only_where_a_window_is_partial(
    side: int, same: bool, bench: Bench
) -> None:
    import copy

    network = bench.model().graph.pixels.network
    floored = copy.deepcopy(network)
    floor_pools(floored)
    x = torch.randn(1, 3, side, side, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        assert torch.equal(network(x)[0], floored(x)[0]) is same  # logits


def test_the_results_in_the_docs_are_of_these_faults() -> None:
    """`python -m tests.export.fault_bench > docs/results/faults.json` writes them again."""
    document = json.loads(RESULTS.read_text(encoding="utf-8"))
    for kind, faults in (("control", CONTROLS), ("fault", FAULTS)):
        written = [(row[kind], row["format"]) for row in document[f"{kind}s"]]
        expected = [(fault.name, " ".join(artifact)) for fault, artifact in cells(faults)]
        assert written == sorted(expected)
