"""Lines for people, and the table in the docs."""

from __future__ import annotations

from benchmarks.topologies.summary import line, markdown, share
from tests.benchmarks.topologies.planted_rows import PASS, cell, document, row

LACKS = "operation gelu of coreml is not known here"
FOUND = document(
    row("alexnet", PASS, cell("fp32", "pass", name="coreml"), cell("int8", "pass")),
    row("convnext_tiny", PASS, cell("fp32", "refused", LACKS, "coreml"), cell("int8", "fail", "b")),
    row("edgenext", PASS, cell("fp32", "refused", LACKS, "coreml"), cell("int8", "crash", "boom")),
)


def test_a_line_has_what_passed_and_what_it_took():
    assert line(FOUND.rows[1]) == (
        "convnext_tiny, 128 px: 1 pass, 1 refused, 1 fail; 95 s (63 s of a core), 1256 MiB, "
        "2.3 million parameters"
    )


def test_the_share_counts_every_cell():
    assert share(FOUND) == ("5 of 9 files of 3 networks pass (55.6 %); 2 refused, 1 fail, 1 crash")


def test_the_table_has_a_row_for_each_network_and_says_the_worst():
    table = markdown(FOUND)
    assert "| alexnet | 2,300,000 | 128 | 2 of 2 | 1 of 1 | 9.0 - | 63 | 1,256 |" in table
    assert "| edgenext | 2,300,000 | 128 | 1 of 2, refused | 0 of 1, crash |" in table


def test_each_reason_is_given_once_with_all_its_files():
    lines = markdown(FOUND).splitlines()
    assert f"- **refused** coreml fp32 of convnext_tiny, edgenext: {LACKS}" in lines
    assert "- **fail** onnx int8 of convnext_tiny: b" in lines
    assert "- **crash** onnx int8 of edgenext: boom" in lines
