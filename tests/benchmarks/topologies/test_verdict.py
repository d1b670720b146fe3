"""Four words for what became of a file."""

from __future__ import annotations

import pytest

from benchmarks.topologies.verdict import verdict_of, verdict_of_command
from export.parity.check import ParityResult


@pytest.mark.parametrize(
    ("status", "reason", "verdict"),
    [
        ("pass", "", "pass"),
        ("not_run", "operation gelu of coreml is not known here", "refused"),
        ("fail", "max |Δp| 3.1e-03 > 1.0e-04 on hard/red", "fail"),
        ("fail", "conversion failed: onnxsim lost the output evidence", "fail"),
        ("fail", "conversion failed: TypeError: only 0-dim (see build/coreml.log)", "crash"),
        ("fail", "conversion failed: the converter's process died (see b/onnx.log)", "crash"),
        ("fail", "weights: KeyError while reading weights: 'w'; |Δp| too large", "crash"),
        ("fail", "Fail while running: no kernel", "crash"),
        ("fail", "evidence while it is read differs", "fail"),
    ],
)
def test_the_reason_tells_a_wrong_file_from_an_exception(status, reason, verdict):
    assert verdict_of(ParityResult(status, reason).entry()) == verdict


def test_a_command_that_says_why_refuses_and_any_other_failure_is_a_crash():
    assert verdict_of_command(2) == "refused"
    assert verdict_of_command(1) == "crash"
    assert verdict_of_command(-9) == "crash"
