"""The report page: the document's own numbers, nothing overlooked, nothing executed."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from base64 import b64encode
from collections.abc import Iterator
from hashlib import sha256
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from export.cli.main import main
from export.report.page import html
from export.report.page.write import all_sections, page_of, write_page
from export.report.report import read_report
from pipeline import errors
from pipeline.errors import BadInput
from tests.export.report.page_documents import (
    FAULTS,
    NONE,
    benchmark,
    document,
    planted,
    sources,
    timed,
    to_spec,
    write,
)

ROOT = Path(__file__).parents[3]
LIMIT_BYTES = 3_000_000
BUNDLE = html.vega_bundle


class Read(HTMLParser):
    """The content of a page: tables by caption, text, and its elements."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tables: dict[str, list[list[str]]] = {}
        self.values: dict[str, list[list[str]]] = {}
        self.text: list[str] = []
        self.scripts: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.within: list[str] = []
        self.caption = ""
        self.rows: list[list[str]] = []
        self.exact: list[list[str]] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in ("meta", "link", "img", "input", "br"):
            self.within.append(tag)
        if tag == "table":
            self.caption, self.rows, self.exact = "", [], []
        if tag == "tr":
            self.rows.append([])
            self.exact.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")
            self.exact[-1].append("")
        if tag == "data":
            self.exact[-1][-1] = dict(attrs)["value"] or ""

    def handle_endtag(self, tag: str) -> None:
        while self.within and self.within.pop() != tag:
            pass
        if tag == "table":
            self.tables[self.caption.strip()] = self.rows
            self.values[self.caption.strip()] = self.exact

    def handle_data(self, data: str) -> None:
        if "script" in self.within:
            self.scripts.append(data)
        elif "style" not in self.within:
            self.text.append(data)
        if "caption" in self.within:
            self.caption += data
        elif {"td", "th"} & set(self.within):
            self.rows[-1][-1] += data

    @property
    def said(self) -> str:
        return " ".join(" ".join(self.text).split())

    def row(self, caption: str, name: str) -> dict[str, str]:
        """Column -> text."""
        head, *rows = self.tables[caption]
        found = next(row for row in rows if row[0].strip() == name)
        return {title.strip(): cell.strip() for title, cell in zip(head, found, strict=True)}

    def exact_row(self, caption: str, name: str) -> dict[str, float]:
        """Column -> the machine's number, where there is one."""
        (head, *rows), (_, *values) = self.tables[caption], self.values[caption]
        at = next(i for i, row in enumerate(rows) if row[0].strip() == name)
        return {t.strip(): float(v) for t, v in zip(head, values[at], strict=True) if v}


@pytest.fixture(autouse=True)
def small_bundle(monkeypatch: pytest.MonkeyPatch) -> None:
    """Bundling Vega takes seconds: it is done where a test is about it."""
    monkeypatch.setattr(html, "vega_bundle", lambda: "window.vegaEmbed = null;")


@pytest.fixture(scope="module")
def page() -> Read:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(html, "vega_bundle", lambda: "window.vegaEmbed = null;")
        return Read(page_of(sources()))


def test_the_verdict_table_has_the_documents_own_numbers(page: Read) -> None:
    for artifact in document()["artifacts"]:
        name = f"{artifact['format']} {artifact['precision']}"
        found = page.exact_row("Verdict per artifact", name)
        parity = artifact["parity"]
        assert found.get("max |Δp|") == parity["max_abs_diff"]
        assert found.get("label flips") == parity["label_flips"]
        assert found.get("images") == parity["images"]
        assert found.get("bytes") == artifact["size_bytes"]
        assert found.get("AUROC") == (artifact["classification"] or {}).get("auroc")
        threads = (artifact["latency_ms"] or {"threads": {}})["threads"]
        assert found.get("ms (1 thread)") == threads.get("1", {}).get("median")


def test_the_distribution_of_differences_is_the_documents(page: Read) -> None:
    for artifact in document()["artifacts"]:
        if artifact["differences"] is None:
            continue
        name = f"{artifact['format']} {artifact['precision']}"
        shown = page.exact_row("|Δp| over the images", name)
        expected = artifact["differences"]["percentiles"]
        assert [shown[c] for c in ("median", "90 %", "99 %")] == [
            expected[p] for p in ("p50", "p90", "p99")
        ]
        images = page.exact_row("Images by |Δp|", name)
        assert sum(images.values()) == artifact["differences"]["images"]


def test_every_probability_of_the_worst_images_is_on_the_page(page: Read) -> None:
    images = document()["worst_images"]
    assert len(images) == 10
    for image in images:
        caption = next(c for c in page.tables if c.startswith(f"{image['image']} ({image['set']})"))
        for answer in image["answers"]:
            shown = page.exact_row(caption, answer["artifact"])
            assert shown["|Δp|"] == answer["max_abs_diff"]
            for k, label in enumerate(image["labels"]):
                assert shown[f"{label}, file"] == answer["probs"][k]
                assert shown[f"{label}, PyTorch"] == image["reference"]["fp32"][k]


def test_training_roc_and_reliability_are_the_documents(page: Read) -> None:
    report = document()
    head, *rows = page.tables["Loss by epoch"]
    assert [title.strip() for title in head] == ["epoch", "stage", "train", "valid"]
    assert len(rows) == len(report["training"]["history"]["rows"])
    figures = report["classification"]["figures"]
    shown = page.exact_row("Figures on the labelled images", "PyTorch fp32")
    assert shown["AUROC"] == figures["auroc"]
    assert shown["calibration error"] == figures["calibration_error"]
    _, *points = page.values["ROC of PyTorch fp32"]
    assert [[float(x), float(y)] for _, x, y in points] == figures["roc"]
    _, *bins = page.values["Reliability by bin"]
    assert [float(b[3]) for b in bins[: len(figures["reliability"])]] == [
        b["mean_prob"] for b in figures["reliability"]
    ]


def test_charts_hold_the_documents_numbers() -> None:
    text = page_of(sources())
    spec = to_spec(text, "agreement")
    rows = [row for data in spec["datasets"].values() for row in data] if "datasets" in spec else []
    rows += list(_values(spec))
    artifacts = {f"{a['format']} {a['precision']}": a for a in document()["artifacts"]}
    largest = {row["artifact"]: row["largest"] for row in rows if "largest" in row}
    assert largest == {
        name: pytest.approx(a["parity"]["max_abs_diff"], rel=1e-5)
        for name, a in artifacts.items()
        if a["differences"]
    }
    boxes = [row for row in rows if "low" in row]
    for name in largest:
        of_artifact = [(b["low"], b["images"]) for b in boxes if b["artifact"] == name]
        histogram = artifacts[name]["differences"]["histogram"]
        assert of_artifact == [(b["low"], b["images"]) for b in histogram]


def _values(spec: Any) -> Iterator[Any]:
    if isinstance(spec, dict):
        yield from spec.get("data", {}).get("values", [])
        for key, item in spec.items():
            if key != "data":
                yield from _values(item)
    elif isinstance(spec, list):
        for item in spec:
            yield from _values(item)


def test_whatever_did_not_pass_is_on_top_with_word_shape_and_reason(page: Read) -> None:
    top = page.said.partition("Verdict per artifact")[0]
    assert "ort fp32: FAILED. max |Δp|" in top
    assert "max |Δp| 2.0e-02 > 1e-03 on hard/9" in top
    assert "onnx w3: REJECTED. AUROC drops by 0.0625, more than 0.005" in top
    assert "coreml fp16: not run. Core ML runs on macOS only" in top
    assert "There are failures" in top
    for name, word in (("ort fp32", "FAILED"), ("onnx w3", "REJECTED"), ("onnx fp32", "passed")):
        shape, said = page.row("Verdict per artifact", name)["verdict"].split()
        assert said == word
        assert not shape.isalnum()
    shapes = {page.row("Verdict per artifact", n)["verdict"][0] for n in ("ort fp32", "onnx fp32")}
    assert len(shapes) == 2


def test_the_opening_counts_and_names_images_versions_and_time(page: Read) -> None:
    assert "1 passed, 1 failed, 1 rejected, 1 not run of 4 artifacts" in page.said
    assert "30 validation images of made-up data and 10 hard images" in page.said
    assert "onnx 1.2.3, torch 4.5.6" in page.said
    assert "finished 2026-01-02 03:04 UTC" in page.said
    assert "Research only. Not a medical device; never use it for diagnosis." in page.said


def test_what_was_not_run_is_in_one_list_with_its_reasons(page: Read) -> None:
    left_out = {row[0].strip(): row[2].strip() for row in page.tables["Left out"][1:]}
    assert left_out["coreml fp16"] == "Core ML runs on macOS only"
    assert left_out["ort w4"] == "cannot be made: constants are folded"
    assert "AUROC drops" in left_out["onnx w3"]


def test_the_fault_table_has_every_cell(page: Read) -> None:
    table = page.tables["Planted fault and what found it"]
    cells = sum(bool(cell.strip()) for row in table[1:] for cell in row[1:])
    assert cells == len(FAULTS["faults"])
    caption = "Planted faults by format, and how many each part of the check found"
    assert page.exact_row(caption, "onnx fp32") == {
        "planted": 2,
        "found": 2,
        "outputs": 2,
        "weights": 2,
    }


def test_a_fault_that_was_not_found_and_a_false_alarm_are_reported() -> None:
    faults = json.loads(json.dumps(FAULTS))
    faults["faults"][0]["caught_by"] = []
    faults["controls"][0]["caught_by"] = ["outputs"]
    said = Read(page_of(sources(faults=planted(faults, "faults.json")))).said
    assert "not found: a weight not a number: FAILED." in said
    assert "false alarm: a copy: FAILED." in said
    assert "NOT FOUND" in said


def test_missing_sources_are_reported_in_their_place_and_in_the_list() -> None:
    read = Read(page_of(sources(benchmark=NONE, peers=NONE, faults=NONE)))
    for title in ("Benchmark of the files", "Compared with other runtimes", "Planted faults"):
        assert f"{title}: not here. nobody made it" in read.said
    named = " ".join(row[0] for row in read.tables["Left out"])
    assert "Planted faults" in named
    assert "Compared with other runtimes" in named


def test_figures_of_other_files_are_said_to_be_of_other_files() -> None:
    other = timed(["onnx fp32"])
    other["rows"][0]["size_bytes"] = 5
    said = Read(page_of(sources(peers=benchmark(other, "p.json")))).said
    assert "Measured on other files than this report's" in said
    assert "Its files have the same sizes as this report's." in said  # the benchmark's


def test_files_of_other_weights_are_not_compared_with_fp32_next_to_peers() -> None:
    beside = timed(["onnx fp32", "onnx int8"])
    for row, limit, diff in zip(beside["rows"], (1e-3, None), (2e-6, 0.98), strict=True):
        row.update(limit=limit, max_abs_diff=diff)
    rows = Read(page_of(sources(peers=benchmark(beside, "p.json")))).tables[
        "Compared with other runtimes"
    ]
    held = {row[0]: row[8] for row in rows[1:]}
    assert held["onnx fp32"] == "2.0e-06"
    assert "9.8e-01" not in held["onnx int8"]


def test_a_document_of_schema_1_is_shown_and_what_it_lacks_is_said(tmp_path: Path) -> None:
    report = json.loads((ROOT / "docs" / "results" / "export.json").read_text("utf-8"))
    path = write(tmp_path / "report.json", as_schema_1(report))
    read = Read(write_page(path, tmp_path / "page.html").read_text("utf-8"))
    assert read_report(path).schema == 1
    assert report["verdict"] in read.said
    for title in ("Training curves", "Images with the worst agreement", "Integrate"):
        assert f"{title}: not here. not in this report" in read.said
    for artifact in report["artifacts"]:
        name = f"{artifact['format']} {artifact['precision']}"
        shown = page_value(read, name)
        assert shown == artifact["parity"]["max_abs_diff"]


def as_schema_1(report: dict[str, Any]) -> dict[str, Any]:
    new = ("classification", "worst_images", "training", "finished")
    old = {key: value for key, value in report.items() if key not in new}
    added = ("file", "differences", "classification")
    artifacts = [{k: v for k, v in a.items() if k not in added} for a in old["artifacts"]]
    return {**old, "schema": 1, "artifacts": artifacts}


def page_value(read: Read, name: str) -> float:
    return read.exact_row("Verdict per artifact", name)["max |Δp|"]


def test_the_report_of_a_check_is_shown_too() -> None:
    report = document()
    kept = ("schema", "verdict", "failed", "images", "artifacts")
    report = {**{key: report[key] for key in kept}, "command": "check"}
    for artifact in report["artifacts"]:
        artifact |= {"file": None, "differences": None, "classification": None}
    read = Read(page_of(sources(report)))
    assert read.exact_row("Verdict per artifact", "onnx fp32")["images"] == 40
    assert "Distribution of differences: not here. not in this report" in read.said
    assert "Research only" in read.said


def test_very_many_labels_are_named_in_part_and_make_no_long_page() -> None:
    few, many = document(), document()
    many["model"]["labels"] = [f"label_{i:03}" for i in range(600)]
    short, long = page_of(sources(few)), page_of(sources(many))
    assert "label_000, label_001, " in Read(long).said
    assert "label_007 and 592 more" in Read(long).said
    assert len(long) - len(short) < 2_000


def test_an_unknown_format_is_drawn_like_the_others() -> None:
    text = json.dumps(document()).replace('"onnx"', '"newer"').replace("onnx fp32", "newer fp32")
    read = Read(page_of(sources(json.loads(text))))
    assert "newer fp32" in read.said
    assert "Code: not run. there is none for newer" in read.said


def test_how_the_checkpoint_was_calibrated_is_said() -> None:
    report = document()
    calibration = {
        "temperature": 0.5,
        "images": 60,
        "before": {"nll": 0.25, "error": 0.125},
        "after": {"nll": 0.125, "error": 0.0625},
        "refused": "",
        "caution": "too few images",
    }
    report["training"]["calibration"] = calibration
    text = page_of(sources(report))
    assert "temperature 0.500: NLL 0.250, calibration error 0.125 before" in text
    assert "too few images" in text
    assert "temperature" not in page_of(sources())


def test_without_labels_the_outputs_of_training_are_shown_instead() -> None:
    report = document()
    report["classification"] = {"status": "not_run", "reason": "no --data", "figures": None}
    for artifact in report["artifacts"]:
        artifact["classification"] = None
    read = Read(page_of(sources(report)))
    assert "ROC and reliability of the artifacts: not run. no --data" in read.said
    assert "ROC of checkpoint, when it was trained" in read.tables


def test_with_neither_labels_nor_training_both_reasons_are_given() -> None:
    report = document()
    report["classification"] = {"status": "not_run", "reason": "no --data", "figures": None}
    for part in ("history", "validation"):
        report["training"][part] |= {"status": "not_run", "reason": f"no {part}", "source": ""}
    report["training"]["history"] |= {"epochs": 0, "rows": []}
    report["training"]["validation"]["figures"] = None
    for artifact in report["artifacts"]:
        artifact["classification"] = None
    said = Read(page_of(sources(report))).said
    assert "Training curves: not run. no history" in said
    assert "ROC and reliability of the checkpoint: not run. no validation" in said


def test_an_output_that_is_not_finite_is_reported_and_does_not_break_the_page() -> None:
    report = document()
    image = report["worst_images"][0]
    image["share_of_allowed"] = None
    image["answers"][0] |= {"max_abs_diff": None, "probs": [None, None]}
    report["artifacts"][1]["parity"]["max_abs_diff"] = None
    report["artifacts"][1]["differences"]["non_finite"] = 3
    read = Read(page_of(sources(report)))
    assert "gives an output that is not finite" in read.said
    assert "not finite" in read.said


HOSTILE = '</script><script>alert(1)</script><img src=x onerror="alert(2)">\'"&{{7*7}}<!--'


def test_hostile_names_and_reasons_stay_text() -> None:
    text = json.dumps(document())
    for name in ("covid19", "hard/9", "Core ML runs on macOS only", "constants are folded"):
        text = text.replace(name, json.dumps(HOSTILE)[1:-1] + name)
    report = json.loads(text)
    report["images"] = report["model"]["name"] = HOSTILE
    faults = json.loads(json.dumps(FAULTS).replace("cut in half", json.dumps(HOSTILE)[1:-1]))
    page = page_of(sources(report, faults=planted(faults, HOSTILE)))
    read = Read(page)
    tags = [tag for tag, _ in read.tags]
    assert tags.count("script") == 3
    assert "img" not in tags
    assert not [a for _, attrs in read.tags for a in attrs if a.startswith("on")]
    assert "".join(read.text).count(HOSTILE) > 10
    specs = page.partition('id="specs">')[2].partition("</script>")[0]
    assert "<" not in specs


def test_two_scripts_run_and_the_policy_names_their_hashes() -> None:
    page = page_of(sources())
    policy = next(
        attrs["content"]
        for tag, attrs in Read(page).tags
        if attrs.get("http-equiv") == "Content-Security-Policy"
    )
    assert policy is not None
    assert policy.startswith("default-src 'none'; script-src 'sha256-")
    script = policy.partition("script-src ")[2].partition(";")[0]
    assert "unsafe" not in script
    inline = re.findall(r"<script>(.*?)</script>", page, flags=re.DOTALL)
    digests = [b64encode(sha256(text.encode()).digest()).decode() for text in inline]
    assert [f"'sha256-{digest}'" for digest in digests] == script.split()


def test_a_script_that_contains_script_tags_does_not_end_early(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(html, "vega_bundle", lambda: 'a = "</script><!--<script>";')
    read = Read(page_of(sources()))
    assert [tag for tag, _ in read.tags].count("script") == 3
    assert any(r'a = "<\/script><\!--' in script for script in read.scripts)


def test_the_page_asks_for_nothing_outside_itself(page: Read) -> None:
    for tag, attrs in page.tags:
        for name in ("src", "href", "action", "data", "poster"):
            value = attrs.get(name)
            assert value is None or value.startswith("#"), (tag, value)


def test_every_chart_has_a_name_a_description_and_a_table_near_it() -> None:
    for section in all_sections(sources()):
        for block in section.blocks:
            if block.kind != "chart":
                continue
            assert len(block.description) > 20
            assert block.tables or any(b.kind in ("table", "fold") for b in section.blocks)


def test_only_the_published_have_snippets_and_the_others_say_why(page: Read) -> None:
    assert 'Path("tiny_fp32.onnx")' in page.said or "Path('tiny_fp32.onnx')" in page.said
    assert "ab" * 32 in page.said
    assert "no snippet for coreml fp16: not run. Core ML runs on macOS only" in page.said
    assert page.said.count("tiny_fp32.onnx, SHA-256") == 4  # two in Kotlin, Swift, Python


def test_a_file_whose_entry_lacks_what_the_code_needs_is_reported_not_a_crash() -> None:
    report = document()
    report["artifacts"][0]["file"]["requires"] = {}
    said = Read(page_of(sources(report))).said
    assert "Code: not run. the report lacks what the code needs" in said


def test_the_whole_page_is_small_and_complete(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(html, "vega_bundle", BUNDLE)
    path = write_page(write(tmp_path / "report.json", document()), tmp_path / "page.html")
    assert path.stat().st_size < LIMIT_BYTES
    assert "vegaEmbed" in path.read_text(encoding="utf-8")


@pytest.mark.slow("draws a large page")
def test_many_images_classes_and_artifacts_keep_the_page_small() -> None:
    from tests.export.report.page_documents import large_document

    page = page_of(sources(large_document()))
    assert len(page.encode()) + 1_000_000 < LIMIT_BYTES


def test_the_command_writes_the_page_and_prints_its_path(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    report = write(tmp_path / "report.json", document())
    peers = write(tmp_path / "peers.json", timed(["onnx fp32"]))
    out = tmp_path / "sub" / "page.html"
    assert main(["report", "--report", str(report), "--peers", str(peers), "--out", str(out)]) == 0
    assert capsys.readouterr().out.strip() == str(out)
    assert f"Source: {peers.as_posix()}" in Read(out.read_text(encoding="utf-8")).said


def test_the_last_exports_report_is_taken_before_the_releases(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "docs/results/export.json", document())
    said = Read(write_page(None, None).read_text("utf-8")).said
    assert "docs/results/export.json, the release's (schema 2)" in said
    write(tmp_path / "build/export/report.json", document())
    said = Read(write_page(None, None).read_text("utf-8")).said
    assert "build/export/report.json (schema 2)" in said
    assert "the release's" not in said
    assert "there is no docs/results/faults.json" in said


def test_the_times_of_the_release_are_on_the_page_of_no_other_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "docs/results/benchmark.json", timed(["onnx fp32"]))
    write(tmp_path / "docs/results/peers.json", timed(["onnx fp32"]))
    released = document()
    released["model"]["name"] = "released"
    write(tmp_path / "docs/results/export.json", released)
    own = document()
    said = Read(write_page(write(tmp_path / "own.json", own), None).read_text("utf-8")).said
    assert "Benchmark of the files: not here. there is no build/benchmarks/results.json;" in said
    assert "docs/results/benchmark.json" not in said
    assert "docs/results/peers.json" not in said
    own["model"]["name"] = "released"
    said = Read(write_page(write(tmp_path / "own.json", own), None).read_text("utf-8")).said
    assert "Source: docs/results/benchmark.json" in said
    assert "Source: docs/results/peers.json" in said


def test_planted_faults_say_in_whose_files() -> None:
    faults = {**FAULTS, "model": {"name": "squeezenet_cxr", "version": "3.0.1", "side": 96}}
    said = Read(page_of(sources(faults=planted(faults, "faults.json")))).said
    assert "4 of 4 faults planted in files of squeezenet_cxr 3.0.1 were found" in said


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("", "is not JSON"),
        ("[]", "is not a JSON object"),
        ("{}", "has schema None"),
        ('{"schema": 99}', "has schema 99, this version reads 1 and 2"),
        ('{"schema": 2}', "is damaged at $"),
        ('{"schema": true}', "has schema True"),
        (
            json.dumps({**document(), "robustness": {"schema": 1, "status": "pass", "reason": ""}}),
            "is damaged at $.robustness",
        ),
        (
            json.dumps(document()).replace('"histogram"', '"histograms"'),
            "is damaged at $.artifacts",
        ),
    ],
)
def test_a_bad_report_is_refused_in_one_line(
    content: str, told: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, out = tmp_path / "bad.json", tmp_path / "page.html"
    path.write_text(content)
    assert main(["report", "--report", str(path), "--out", str(out)]) == 2
    assert told in capsys.readouterr().err
    assert not out.exists()


def test_a_missing_report_says_how_to_make_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["report", "--report", str(tmp_path / "none.json")]) == 2
    assert "python -m export all" in capsys.readouterr().err


def test_a_source_asked_for_by_name_must_be_there_and_whole(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    report = write(tmp_path / "report.json", document())
    assert main(["report", "--report", str(report), "--faults", str(tmp_path / "no.json")]) == 2
    assert "--faults" in capsys.readouterr().err
    bad = write(tmp_path / "bad.json", {"rows": 3})
    assert main(["report", "--report", str(report), "--peers", str(bad)]) == 2
    assert "is damaged: Expected `array`, got `int` - at `$.rows`" in capsys.readouterr().err


def test_a_damaged_source_that_nobody_asked_for_is_reported_on_the_page(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    report = write(tmp_path / "report.json", document())
    write(tmp_path / "build/benchmarks/peers.json", {"rows": 3})
    said = Read(write_page(report, tmp_path / "page.html").read_text("utf-8")).said
    assert "build/benchmarks/peers.json is damaged: Expected `array`, got `int`" in said


def test_without_its_packages_the_command_says_which_to_install(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setattr(errors, "find_spec", lambda name: None if name == "altair" else object())
    report = write(tmp_path / "report.json", document())
    assert main(["report", "--report", str(report)]) == 2
    told = capsys.readouterr().err
    assert "the report page needs altair" in told
    assert ".[report]" in told


def test_the_page_needs_no_torch_and_no_converter() -> None:
    code = (
        "import sys; from export.report.page.write import page_of; "
        "print([m for m in ('torch', 'onnx', 'coremltools', 'fastai') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert done.stdout.strip() == "[]", done.stderr


def test_a_page_that_cannot_be_read_is_an_error_of_the_user(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="cannot write"):
        write_page(write(tmp_path / "r.json", document()), tmp_path)
