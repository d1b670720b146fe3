from __future__ import annotations

import io
import json
import math
from typing import Any
from xml.etree import ElementTree

import pytest
from rich.console import Console

from export.formats.base import Tolerance
from export.parity import Agreement, ParityResult
from export.report import (
    Row,
    exit_code,
    print_verdict,
    report_document,
    to_json,
    to_junit,
    verdict_sentence,
)

TOLERANCE = Tolerance(1e-4, 0.0, "why")
SETS = {"hard": Agreement(13, 1.2e-7, 1e-8, 0)}
PASS = ParityResult("pass", "", 13, 1.2e-7, 1e-8, 0, 0, "hard/red", SETS, TOLERANCE)
FAIL = ParityResult("fail", "max |Δp| 3.1e-03 > 1e-04 on hard/red", 13, 3.1e-3, 1e-3, 2, 0)
NOT_RUN = ParityResult("not_run", "Core ML runs on macOS only", tolerance=TOLERANCE)
LATENCY = {"machine": {"cpu": "x"}, "threads": {"1": {"median": 1.234, "p90": 2.0}}}
ROWS = {
    "pass": Row("onnx", "fp32", "android ios", PASS, 2_910_000, LATENCY),
    "fail": Row("torchscript", "fp32", "", FAIL, 2_920_000),
    "not_run": Row("coreml", "fp16", "ios", NOT_RUN, 1_490_000),
}
ALL = list(ROWS.values())


def printed(rows: list[Row]) -> str:
    screen = io.StringIO()
    print_verdict(Console(file=screen, width=140), rows, "13 hard images")
    return screen.getvalue()


def document(rows: list[Row] = ALL) -> dict[str, Any]:
    return report_document("check", rows, "13 hard images")


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


def test_a_reason_with_brackets_is_shown_as_it_is() -> None:
    reason = "labels in the file ['a', 'b'], in the checkpoint [red]; pip install '.[coreml]'"
    assert reason in printed([Row("onnx", "fp32", "", ParityResult("fail", reason))])


def test_figures_that_are_not_finite_are_shown() -> None:
    broken = ParityResult("fail", "3 images with NaN", 13, math.nan, math.nan, 2, 3)
    assert "nan" in printed([Row("onnx", "fp32", "", broken)])


def test_a_latency_without_one_thread_is_shown_as_none() -> None:
    """Timing at one thread can fail where two threads work; the verdict must not fall over it."""
    latency = {"machine": {}, "threads": {"2": {"median": 1.0, "p90": 2.0}}}
    assert "onnx fp32" in printed([Row("onnx", "fp32", "android", PASS, 1, latency)])


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
    assert first["latency_ms"] == LATENCY
    assert first["parity"]["sets"]["hard"]["images"] == 13
    assert first["parity"]["tolerance"]["max_abs_diff"] == 1e-4


def test_more_fields_go_into_the_document() -> None:
    assert report_document("all", ALL, "", seconds=3.5)["seconds"] == 3.5


def test_json_has_null_where_a_figure_is_not_finite() -> None:
    sets = {"hard": Agreement(13, math.inf, math.nan, 2)}
    broken = ParityResult("fail", "NaN", 13, math.nan, -math.inf, 2, 3, "hard/red", sets, TOLERANCE)
    text = to_json(document([Row("onnx", "fp32", "", broken)]))
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
    suite = ElementTree.fromstring(to_junit(document()))
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
    xml = to_junit(document([Row("onnx", "fp32", "", ParityResult("fail", reason))]))
    message = ElementTree.fromstring(xml).find("testcase/failure").get("message")
    assert message.startswith(reason.split("\x1b")[0].split("\x00")[0])
