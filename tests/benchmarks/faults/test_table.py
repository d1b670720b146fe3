"""Every fault of the table is caught, by the part meant for it; every control passes."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from itertools import chain
from pathlib import Path
from types import UnionType

import pytest

from benchmarks.cli.main import main
from benchmarks.faults import document
from benchmarks.faults.bench import COLUMNS, Artifact, Bench, convert, replaced_network
from benchmarks.faults.fault import Fault, Pair
from benchmarks.faults.judge import FaultCell, judge
from benchmarks.faults.planted import declarations, graph, structure, weights
from benchmarks.faults.planted.folders import FolderFault
from benchmarks.faults.planted.limits import at_a_side_of_partial_windows, floored, same_answers
from benchmarks.faults.planted.structure import in_structure
from benchmarks.faults.planted.weights import Mismatched, in_weights
from benchmarks.faults.table import CONTROLS, FAULTS
from export.formats.register import FORMATS
from export.parity.check import check_artifact
from export.parity.rounding_noise import rounding_noise
from pipeline.program.comparison import compare
from tests.benchmarks.faults.conftest import NETWORKS
from tests.export.conftest import ARTIFACTS, Artifacts, Model

RESULTS = Path(__file__).parents[3] / "docs" / "results" / "faults.json"
# Each fault can be planted in at least one of these, most in the first: converting takes the time.
FEW: tuple[Artifact, ...] = (("onnx", "fp32"), ("coreml", "fp16"), ("onnx", "int8"))
OF_KINDS: tuple[Artifact, ...] = (("onnx", "fp32"), ("coreml", "fp16"))
OF_NETWORKS = ("graph", "structure", "limits", "weights")  # the rest does not depend on a network


def rows(
    table: Mapping[str, tuple[Fault | FolderFault, ...]],
    kind: type[Fault] | UnionType = Fault | FolderFault,
) -> Iterator[object]:
    for faults in table.values():
        for fault in faults:
            if isinstance(fault, kind):
                yield pytest.param(fault, id=fault.name)


def assert_caught(cell: FaultCell, fault: Fault | FolderFault) -> None:
    assert cell.caught_by, f"{cell.fault} in {' '.join(cell.artifact)} passed every check"
    assert set(fault.by) <= set(cell.caught_by), f"{cell.artifact}: {cell.reason}"
    says = fault.says if isinstance(fault, Fault) else ""
    assert re.search(says, cell.reason), f"{cell.artifact}: {cell.reason}"
    assert cell.reason


def test_the_program_of_a_faulty_network_is_its_own_and_stays_with_it(squeezenet: Bench) -> None:
    """Faults of structure change no module's name and no shape."""
    sound = squeezenet.reference(("onnx", "fp32"))
    programs = [sound.program]
    before = dict(sound.captures.known), dict(sound.captures.kept)
    for change in (structure.swap_branches, structure.drop_relu):
        edit = replaced_network(in_structure(change))
        programs.append(squeezenet.wrong(edit, ("onnx", "fp32")).program)
    for i, one in enumerate(programs):
        assert all(compare(one, other) for other in programs[i + 1 :])
    assert (sound.captures.known, sound.captures.kept) == before


@pytest.mark.slow("a file is converted for most faults")
@pytest.mark.parametrize("fault", rows(FAULTS, Fault))
def test_a_planted_fault_is_caught(
    fault: Fault, squeezenet: Bench, small: Bench, kinds: Callable[[str], Bench]
) -> None:
    """Of one file; whole folders are published for the rest, in the next test."""
    for artifact in FEW:
        (cell,) = judge(fault, squeezenet, [artifact])
        if cell.planted:
            break
    else:  # it has no batch norm and no dense layer, no gate, no depthwise convolution ...
        for bench in chain([small], map(kinds, NETWORKS)):
            (cell,) = judge(fault, bench, [FEW[0]])
            if cell.planted:
                break
    assert cell.planted, cell.excuse
    assert_caught(cell, fault)
    if "reading" in cell.caught_by:
        assert squeezenet.clean(cell.artifact).name in cell.reason


@pytest.mark.ci("several hundred files are read, a hundred of them converted")
@pytest.mark.parametrize("fault", rows(FAULTS))
def test_a_planted_fault_is_caught_in_every_artifact(
    fault: Fault | FolderFault, squeezenet: Bench
) -> None:
    for cell in judge(fault, squeezenet, COLUMNS):
        if cell.planted:
            assert_caught(cell, fault)


@pytest.mark.ci("two files are converted for each kind of network, and read sixty times")
@pytest.mark.parametrize("fault", rows({name: FAULTS[name] for name in OF_NETWORKS}))
def test_a_fault_is_caught_in_a_network_of_each_kind(fault: Fault, of_a_kind: Bench) -> None:
    for cell in judge(fault, of_a_kind, OF_KINDS):
        if cell.planted:
            assert_caught(cell, fault)


@pytest.mark.slow("converts a few small networks")
@pytest.mark.parametrize("artifact", OF_KINDS, ids=" ".join)
def test_a_network_of_each_kind_passes_without_a_fault(
    artifact: Artifact, of_a_kind: Bench
) -> None:
    result = check_artifact(*artifact, of_a_kind.clean(artifact), of_a_kind.reference(artifact))
    assert (result.status, result.reason) == ("pass", "")


@pytest.mark.slow("a file is converted for most of them")
@pytest.mark.parametrize("control", rows(CONTROLS, Fault))
def test_a_change_without_consequence_passes(control: Fault, squeezenet: Bench) -> None:
    for artifact in FEW:
        (cell,) = judge(control, squeezenet, [artifact])
        if cell.planted:
            break
    assert cell.planted
    assert cell.caught_by == (), cell.reason


@pytest.mark.ci("converts every format four times")
@pytest.mark.parametrize("control", rows(CONTROLS))
def test_a_change_without_consequence_passes_in_every_artifact(
    control: Fault | FolderFault, squeezenet: Bench
) -> None:
    cells = judge(control, squeezenet, COLUMNS)
    assert [cell.reason for cell in cells if cell.caught_by] == []


@pytest.mark.slow("converts every format and precision")
@pytest.mark.parametrize(("name", "precision"), ARTIFACTS)
def test_the_clean_artifact_passes_in_every_part(
    name: str, precision: str, model: Model, artifacts: Artifacts
) -> None:
    held = model.held_for(name, precision)
    result = check_artifact(name, precision, artifacts[name, precision], held)
    assert set(result.parts) >= {"contract", "weights", "outputs", "evidence"}
    assert set(result.parts.values()) == {"pass"}
    assert (result.status, result.reason) == ("pass", "")
    assert result.images == len(model.images.names)
    assert result.label_flips == 0
    rounded = precision in ("fp16", "int8") or (name == "coreml" and precision != "fp32")
    near = 5e-3 if rounded else 1e-5
    if result.max_abs_diff > near and precision == "int8":  # a code between two goes the other way
        worst = held.images.names.index(result.worst_image)
        near = 1.01 * float(rounding_noise(held, "int8", [worst], alike=True).probs[0])
    assert result.max_abs_diff <= near


# --- how they are planted ---------------------------------------------------------------------

EDITS = {
    "a layer times 1.01": (in_weights(weights.scale_layer), "weights"),
    "two layers swapped": (in_weights(weights.swap_layers), "weights"),
    "outputs swapped": (in_weights(weights.swap_output_rows), "weights"),
    "padding": (replaced_network(in_structure(structure.pad_one_side)), "outputs"),
    "a ReLU": (replaced_network(in_structure(structure.drop_relu)), "outputs"),
    "a concat": (replaced_network(in_structure(structure.swap_branches)), "outputs"),
    "labels": (declarations.DECLARATIONS["labels swapped"], "contract"),
    "normalisation": (declarations.RECIPES["normalisation of another recipe"], "outputs"),
}


@pytest.mark.ci("converts every format eight times")
@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("edit", EDITS)
def test_a_fault_in_the_file_is_caught_as_the_same_in_the_checkpoint_is(
    edit: str, name: str, squeezenet: Bench, tmp_path: Path
) -> None:
    change, part = EDITS[edit]
    artifact = (name, "fp32")
    (cell,) = judge(Fault(edit, Mismatched(change)), squeezenet, [artifact])
    path = convert(artifact, squeezenet.wrong(change, artifact), tmp_path)
    found = check_artifact(*artifact, path, squeezenet.reference(artifact))
    assert found.parts[part] != "pass"
    assert part in cell.caught_by


@pytest.mark.slow("converts every format")
@pytest.mark.parametrize("name", FORMATS)
def test_a_missing_softmax_and_missing_evidence_are_named(name: str, squeezenet: Bench) -> None:
    by_name = {fault.name: fault for fault in graph.FAULTS}
    (softmax,) = judge(by_name["softmax missing"], squeezenet, [(name, "fp32")])
    assert "probabilities sum to 1 only within" in softmax.reason
    (evidence,) = judge(by_name["evidence missing"], squeezenet, [(name, "fp32")])
    assert set(evidence.caught_by) == {"contract", "structure", "evidence"}


def test_pools_without_ceil_mode_are_a_fault_only_where_a_window_is_partial(
    squeezenet: Bench,
) -> None:
    reference = squeezenet.references.of("fp32")
    assert same_answers(reference, floored(reference))
    resized = at_a_side_of_partial_windows(reference)
    assert resized.spec.side > reference.spec.side
    assert not same_answers(resized, floored(resized))


# --- where they are planted -------------------------------------------------------------------


def test_what_a_network_or_a_file_lacks_is_said(squeezenet: Bench, small: Bench) -> None:
    by_name = {fault.name: fault for faults in FAULTS.values() for fault in faults}

    def excuse(fault: str, bench: Bench, artifact: Artifact) -> str:
        (cell,) = judge(by_name[fault], bench, [artifact])
        assert not cell.planted
        return cell.excuse

    full, coded = ("onnx", "fp32"), ("onnx", "w4")
    assert excuse("variance of a batch norm a tenth larger", squeezenet, full) == (
        "the network has no batch norm"
    )
    assert excuse("evidence mirrored", small, full) == "the network gives no evidence"
    assert "is not compressed to w4" in excuse("one code off by one", small, coded)
    assert excuse("one code off by one", squeezenet, full) == "its weights lie on no grid"
    assert excuse("one bit of a weight flipped", squeezenet, coded).startswith("the file packs")
    assert excuse("ReLU bypassed in the specification", squeezenet, full)


def test_every_fault_and_every_control_has_a_name_of_its_own() -> None:
    for table in (FAULTS, CONTROLS):
        names = [fault.name for faults in table.values() for fault in faults]
        assert len(set(names)) == len(names)


def test_the_results_in_the_docs_are_of_this_table() -> None:
    """`python -m benchmarks faults --json docs/results/faults.json` writes them again."""
    found = json.loads(RESULTS.read_text(encoding="utf-8"))
    excused = {(row["fault"], name) for row in found["not_planted"] for name in row["formats"]}
    planted = {(row["fault"], row["format"]) for row in found["faults"]}
    controls = {(row["control"], row["format"]) for row in found["controls"]}
    columns = [" ".join(artifact) for artifact in COLUMNS]
    expected = {
        (fault.name, column)
        for table in (FAULTS, CONTROLS)
        for faults in table.values()
        for fault in faults
        for column in columns
    }
    assert planted | controls | excused == expected
    assert all(row["caught_by"] for row in found["faults"])
    assert not any(row["caught_by"] for row in found["controls"])


# --- the command ------------------------------------------------------------------------------


def test_the_command_prints_and_writes_what_caught_what(
    model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    (one,) = (fault for fault in weights.FAULTS if fault.name == "one layer times 1.01")
    harmless = replace(
        one, name="nothing", plant=lambda bench, a, _: Pair(bench.clean(a), bench.reference(a))
    )
    monkeypatch.setattr("benchmarks.faults.table.FAULTS", {"weights": (one, harmless)})
    monkeypatch.setattr("benchmarks.faults.table.CONTROLS", {"weights": (harmless,)})
    monkeypatch.setattr(document.run_table, "__defaults__", (FEW[:1],))
    written = tmp_path / "faults.json"
    arguments = ["faults", "--checkpoint", str(model.folder), "--side", "48"]
    assert main([*arguments, "--json", str(written)]) == 1
    said = capfd.readouterr().out
    assert "NOT CAUGHT: nothing, onnx fp32" in said
    assert "1 of 2 planted faults caught, 0 of 1 controls flagged" in said
    found = json.loads(written.read_text())
    assert found["model"]["side"] == 48
    assert found["faults"][1] == {
        "fault": "one layer times 1.01",
        "format": "onnx fp32",
        "caught_by": ["evidence", "outputs", "weights"],
    }
