from __future__ import annotations

import io
import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from rich.console import Console

from export.formats.description import Tolerance
from export.latency.entry import LatencyEntry, ThreadLatency
from export.parity.check import Agreement, ParityResult
from export.parity.entries import RoundingEntry
from export.parity.evidence import EvidenceAgreement
from export.parity.quality_gate import GateResult
from export.report.document import (
    VerdictRow,
    exit_code,
    print_verdict,
    report_of,
    verdict_sentence,
)
from export.report.junit import to_junit
from export.report.report import Report, read_report, report_json, write_report
from pipeline.json_files import plain, to_json

TOLERANCE = Tolerance(1e-4, 0.0, "why")
SETS = {"hard": Agreement(13, 1.2e-7, 1e-8, 0)}
PASS = ParityResult("pass", "", 13, 1.2e-7, 1e-8, 0, 0, "hard/red", SETS, TOLERANCE)
FAIL = ParityResult("fail", "max |Δp| 3.1e-03 > 1e-04 on hard/red", 13, 3.1e-3, 1e-3, 2, 0)
NOT_RUN = ParityResult("not_run", "Core ML runs on macOS only", tolerance=TOLERANCE)
LATENCY = LatencyEntry({"cpu": "x"}, {"1": ThreadLatency(1.234, 2.0)})
ROWS = {
    "pass": VerdictRow("onnx", "fp32", "android ios", PASS, 2_910_000, LATENCY),
    "fail": VerdictRow("torchscript", "fp32", "", FAIL, 2_920_000),
    "not_run": VerdictRow("coreml", "fp16", "ios", NOT_RUN, 1_490_000),
}
ALL = list(ROWS.values())
FIGURES = {
    "auroc": 0.89,
    "auroc_drop": {"value": 0.0123, "low": 0.001, "high": 0.02},
    "label_flips": 7,
}
BROKEN = ("AUROC drops by 0.0123 (0.0010 to 0.0200), more than 0.005", "recall drops by 0.0400")
REJECTED = VerdictRow(
    "onnx", "w3", "", PASS, 290_000, None, GateResult("measured", FIGURES, BROKEN)
)
LET_THROUGH = VerdictRow(
    "onnx", "w4", "android ios", PASS, 390_000, None, GateResult("measured", FIGURES)
)


def printed(rows: list[VerdictRow]) -> str:
    screen = io.StringIO()
    print_verdict(Console(file=screen, width=140), rows, "13 hard images")
    return screen.getvalue()


def document(rows: list[VerdictRow] = ALL) -> dict[str, Any]:
    return report_json(report(rows))


def report(rows: list[VerdictRow] = ALL) -> Report:
    return report_of("check", rows, "13 hard images")


@pytest.mark.parametrize(
    ("statuses", "strict", "code"),
    [
        (["pass"], False, 0),
        (["pass"], True, 0),
        (["pass", "not_run"], False, 0),
        (["pass", "not_run"], True, 1),
        (["pass", "fail"], False, 1),
        (["fail", "not_run"], False, 1),
        (["fail"], True, 1),
    ],
)
def test_the_exit_code_is_1_for_a_failure_and_strictly_for_what_was_not_run(
    statuses: list[str], strict: bool, code: int
) -> None:
    assert exit_code([ROWS[status] for status in statuses], strict) == code


def test_what_was_rejected_is_no_failure_but_strictly_not_good_enough() -> None:
    assert (REJECTED.verdict, LET_THROUGH.verdict) == ("rejected", "pass")
    assert exit_code([ROWS["pass"], REJECTED], strict=False) == 0
    assert exit_code([ROWS["pass"], REJECTED], strict=True) == 1
    assert exit_code([ROWS["pass"], LET_THROUGH], strict=True) == 0


def test_a_failure_or_what_was_not_run_is_not_called_rejected() -> None:
    for name in ("fail", "not_run"):
        row = replace(ROWS[name], gate_result=REJECTED.gate_result)
        assert row.verdict == name
        assert row.reason == row.parity.reason


def test_the_verdict_counts_what_was_rejected_where_something_was() -> None:
    said = verdict_sentence([*ALL, REJECTED, LET_THROUGH])
    assert said == "2 passed, 1 failed, 1 rejected, 1 not run of 5 artifacts"


def test_people_see_what_was_rejected_with_its_reasons_and_figures() -> None:
    text = printed([ROWS["pass"], REJECTED, LET_THROUGH])
    (line,) = [line for line in text.splitlines() if line.split()[:2] == ["onnx", "w3"]]
    words = line.split()
    assert words[2] == "rejected"
    assert words[words.index("+0.0123") - 1] == "7"
    assert f"onnx w3: {'; '.join(BROKEN)}" in text
    (line,) = [line for line in text.splitlines() if line.split()[:2] == ["onnx", "fp32"]]
    assert "+0." not in line  # fp32 has nothing to be compared with


def test_people_see_what_a_format_refuses_and_why_each_reason_once() -> None:
    refused = {"ort": {"w4": "would be unpacked", "w3": "would be unpacked", "fp16": "no use"}}
    screen = io.StringIO()
    print_verdict(Console(file=screen, width=140), ALL, "13 hard images", refused)
    assert "ort has no w4, w3: would be unpacked" in screen.getvalue()
    assert "ort has no fp16: no use" in screen.getvalue()


def test_what_was_accepted_is_neither_passed_nor_failed_and_strictly_good_enough() -> None:
    accepted = replace(REJECTED, gate_result=replace(REJECTED.gate_result, accepted=True))
    assert (accepted.verdict, accepted.reason) == ("accepted", "; ".join(BROKEN))
    assert exit_code([ROWS["pass"], accepted], strict=True) == 0
    said = verdict_sentence([*ALL, accepted])
    assert said == "1 passed, 1 accepted, 1 failed, 1 not run of 4 artifacts"
    assert document([accepted])["artifacts"][0]["accuracy"]["accepted"] is True
    assert "accepted though" in to_junit(report([accepted]))


def test_a_rejection_is_printed_with_what_would_change_it() -> None:
    assert "what helps: compress to w3 again" in printed([REJECTED])
    assert "what helps" not in printed([LET_THROUGH])


def test_what_few_images_cannot_tell_is_said_once_for_all_artifacts() -> None:
    figures = {**FIGURES, "images": 50}
    undecided = GateResult("measured", figures, undecided=("0 of 50 labels flip, for 2%",))
    first, second = replace(LET_THROUGH, gate_result=undecided), LET_THROUGH
    text = " ".join(printed([first, replace(first, format="ort"), second]).split())
    assert "50 labelled images are too few to tell surely whether the model loses" in text
    assert "as onnx w4, ort w4; 183 without a changed label would tell" in text
    assert "too few" not in printed([second])


def test_where_a_network_enlarges_rounding_it_is_said() -> None:
    enlarged = replace(PASS, rounding=RoundingEntry(3, 0.02, 0.25))
    row = replace(ROWS["pass"], parity=enlarged)
    text = " ".join(printed([row]).split())
    assert f"on 3 of {PASS.images} images PyTorch's own outputs move by rounding alone" in text
    assert "|Δp| 2.0e-02, evidence 2.5e-01" in text
    entry = document([row])["artifacts"][0]["parity"]
    assert entry["rounding"] == {"images": 3, "max_abs_diff": 0.02, "max_rel_diff": 0.25}
    assert "rounding" not in document([ROWS["pass"]])["artifacts"][0]["parity"]


def test_the_document_has_verdict_and_accuracy_of_each_artifact() -> None:
    found = document([*ALL, REJECTED])["artifacts"]
    assert [a["verdict"] for a in found] == ["pass", "fail", "not_run", "rejected"]
    assert [a["accuracy"] is None for a in found] == [True, True, True, False]
    assert found[-1]["accuracy"]["broken_limits"] == list(BROKEN)
    assert found[-1]["accuracy"]["auroc_drop"]["value"] == 0.0123
    assert found[-1]["parity"]["status"] == "pass"
    assert document([ROWS["pass"], REJECTED])["failed"] is False


def test_a_figure_that_is_not_finite_is_null_in_the_accuracy_too() -> None:
    lost = GateResult("measured", {**FIGURES, "auroc": math.nan}, BROKEN)
    text = to_json(document([replace(REJECTED, gate_result=lost)]))
    assert json.loads(text)["artifacts"][0]["accuracy"]["auroc"] is None


def test_junit_has_what_was_rejected_as_skipped_with_its_reasons() -> None:
    suite = ElementTree.fromstring(to_junit(report([ROWS["pass"], REJECTED])))
    assert [suite.get(key) for key in ("tests", "failures", "skipped")] == ["2", "0", "1"]
    _, rejected = suite
    assert rejected.find("skipped").get("message") == f"rejected: {'; '.join(BROKEN)}"
    assert rejected.find("failure") is None


def test_the_verdict_counts_all_three() -> None:
    assert verdict_sentence(ALL) == "1 passed, 1 failed, 1 not run of 3 artifacts"
    assert verdict_sentence([ROWS["fail"]] * 2) == "0 passed, 2 failed, 0 not run of 2 artifacts"


def test_people_see_every_artifact_with_its_verdict_and_reason() -> None:
    text = printed(ALL)
    lines = {line.split()[0]: line for line in text.splitlines() if line.split()[1:2] == ["fp32"]}
    assert "pass" in lines["onnx"]
    assert "1.2e-07" in lines["onnx"]
    assert "2.91" in lines["onnx"]
    assert "1.23" in lines["onnx"]
    assert "FAIL" in lines["torchscript"]
    assert "torchscript fp32: max |Δp| 3.1e-03 > 1e-04 on hard/red" in text
    assert "coreml fp16: Core ML runs on macOS only" in text
    assert "1 passed, 1 failed, 1 not run of 3 artifacts" in text


SEEN = EvidenceAgreement(4.26e-3, (1, 2, 13, 13), "hard/red")


def test_people_see_how_far_the_evidence_is_and_which_file_gives_none() -> None:
    other = replace(ROWS["pass"], format="ort", parity=replace(PASS, evidence=SEEN))
    lines = printed([*ALL, other]).splitlines()
    (line,) = [line for line in lines if line.startswith("evidence, ")]
    assert line.endswith(": ort fp32 4e-03")
    assert "no evidence to compare: onnx fp32, torchscript fp32" in lines
    assert not any("evidence" in line for line in printed([ROWS["not_run"]]).splitlines())


def test_programs_see_the_evidence_too() -> None:
    row = replace(ROWS["pass"], parity=replace(PASS, evidence=SEEN))
    wanted = {"max_rel_diff": 4.26e-3, "shape": [1, 2, 13, 13], "worst_image": "hard/red"}
    (artifact, without) = document([row, ROWS["pass"]])["artifacts"]
    assert artifact["parity"]["evidence"] == wanted
    assert without["parity"]["evidence"] is None
    suite = ElementTree.fromstring(to_junit(report([row])))
    assert suite[0].find("system-out").text.endswith("0 label flips, evidence 4.3e-03")


def test_infinitely_wrong_evidence_is_null_in_a_report() -> None:
    broken = replace(FAIL, evidence=replace(SEEN, max_rel_diff=math.inf))
    (artifact,) = json.loads(to_json(document([VerdictRow("onnx", "fp32", "", broken)])))[
        "artifacts"
    ]
    assert artifact["parity"]["evidence"]["max_rel_diff"] is None


def test_a_reason_with_brackets_is_shown_as_it_is() -> None:
    reason = "labels in the file ['a', 'b'], in the checkpoint [red]; pip install '.[coreml]'"
    assert reason in printed([VerdictRow("onnx", "fp32", "", ParityResult("fail", reason))])


def test_figures_that_are_not_finite_are_shown() -> None:
    broken = ParityResult("fail", "3 images with NaN", 13, math.nan, math.nan, 2, 3)
    assert "nan" in printed([VerdictRow("onnx", "fp32", "", broken)])


def test_a_latency_without_one_thread_is_shown_as_none() -> None:
    """Timing at one thread can fail where two threads work; the verdict must not crash."""
    latency = LatencyEntry({}, {"2": ThreadLatency(1.0, 2.0)})
    assert "onnx fp32" in printed([VerdictRow("onnx", "fp32", "android", PASS, 1, latency)])


def test_the_document_says_the_same_for_programs() -> None:
    found = document()
    assert found["command"] == "check"
    assert found["failed"] is True
    assert document([ROWS["pass"], ROWS["not_run"]])["failed"] is False
    assert found["verdict"] == verdict_sentence(ALL)
    assert [a["parity"]["status"] for a in found["artifacts"]] == ["pass", "fail", "not_run"]
    first = found["artifacts"][0]
    assert (first["format"], first["precision"], first["place"]) == ("onnx", "fp32", "android ios")
    assert first["size_bytes"] == 2_910_000
    assert first["latency_ms"] == plain(LATENCY)
    assert first["parity"]["sets"]["hard"]["images"] == 13
    assert first["parity"]["tolerance"]["max_abs_diff"] == 1e-4


def test_what_only_an_export_writes_is_left_out_elsewhere() -> None:
    assert "seconds" not in document()
    assert report_json(replace(report(), seconds=3.5))["seconds"] == 3.5


def test_a_report_read_and_written_again_is_the_same_file(tmp_path: Path) -> None:
    released = Path(__file__).parents[3] / "docs" / "results" / "export.json"
    write_report(tmp_path / "again.json", read_report(released))
    assert (tmp_path / "again.json").read_bytes() == released.read_bytes()


def test_a_report_with_everything_in_it_is_read_as_it_was_written(tmp_path: Path) -> None:
    lost = GateResult("measured", {**FIGURES, "images": 5, "auroc": math.nan}, BROKEN)
    seen = replace(PASS, evidence=replace(SEEN, max_rel_diff=math.inf))
    rows = [*ALL, replace(REJECTED, gate_result=lost), VerdictRow("ort", "fp32", "", seen)]
    write_report(tmp_path / "report.json", report(rows))
    read = read_report(tmp_path / "report.json")
    assert report_json(read) == document(rows)
    assert read.artifacts[3].accuracy.auroc is None
    assert read.artifacts[4].parity.evidence.max_rel_diff is None


def test_json_has_null_where_a_figure_is_not_finite() -> None:
    sets = {"hard": Agreement(13, math.inf, math.nan, 2)}
    broken = ParityResult("fail", "NaN", 13, math.nan, -math.inf, 2, 3, "hard/red", sets, TOLERANCE)
    text = to_json(document([VerdictRow("onnx", "fp32", "", broken)]))
    parity = json.loads(text)["artifacts"][0]["parity"]
    assert parity["max_abs_diff"] is parity["mean_abs_diff"] is None
    assert parity["sets"]["hard"] == {
        "images": 13,
        "label_flips": 2,
        "max_abs_diff": None,
        "mean_abs_diff": None,
    }
    assert "NaN," not in text
    assert "Infinity" not in text


def test_json_is_sorted_indented_and_ends_with_a_newline() -> None:
    text = to_json(document())
    again = json.dumps(json.loads(text), indent=2, sort_keys=True, ensure_ascii=False)
    assert text == again + "\n"


def test_junit_has_a_case_for_each_artifact_and_its_counts() -> None:
    suite = ElementTree.fromstring(to_junit(report()))
    assert suite.tag == "testsuite"
    assert (suite.get("tests"), suite.get("failures"), suite.get("skipped")) == ("3", "1", "1")
    names = [(case.get("classname"), case.get("name")) for case in suite]
    assert names == [
        ("android ios", "onnx fp32"),
        ("", "torchscript fp32"),
        ("ios", "coreml fp16"),
    ]
    passed, failed, skipped = suite
    assert "max |dp| 1.2e-07 on 13 images" in passed.find("system-out").text
    assert failed.find("failure").get("message") == FAIL.reason
    assert skipped.find("skipped").get("message") == NOT_RUN.reason


@pytest.mark.parametrize(
    "reason", ["a < b & 'c' > \"d\"", "größer als |Δp|", "colour \x1b[31mred\x1b[0m", "nul \x00"]
)
def test_junit_parses_whatever_a_runtime_says(reason: str) -> None:
    xml = to_junit(report([VerdictRow("onnx", "fp32", "", ParityResult("fail", reason))]))
    message = ElementTree.fromstring(xml).find("testcase/failure").get("message")
    assert message.startswith(reason.split("\x1b")[0].split("\x00")[0])
