from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path

from rich.console import Console

from benchmarks.plot import plot_latency
from benchmarks.ratio import Ratio
from benchmarks.results import print_table, results_json, results_of, size_bytes, spread_text
from export.latency.measurement import Measurement, Target
from export.publish.zipped_size import zipped_bytes

RESULTS = Path(__file__).parents[2] / "docs" / "results"
FIGURES = {"load_ms": 1.0, "first_ms": 2.0, "peak_mb": 50.0, "runtime_mb": 40.0}


def some_results(tmp_path: Path) -> list[Measurement]:
    file = tmp_path / "model.onnx"
    file.write_bytes(b"\0" * 5000)

    def timed(format_name: str, precision: str, *rounds_ms: float) -> Measurement:
        target = Target(format_name, precision, file, 64)
        return Measurement(target, 1, rounds_ms=[(ms, ms) for ms in rounds_ms], **FIGURES)

    return [
        timed("onnx", "fp32", 2.0, 4.0),
        timed("ort", "fp32", 3.0, 8.0),
        timed("ort", "w4", 3.3, 8.8),
        Measurement(Target("coreml", "fp32", file, 64), 1, "not_run", "Core ML runs on macOS only"),
        timed("coreml", "fp16", 2.0, 4.0),
    ]


def test_ratios_are_to_onnx_fp32_in_the_same_rounds_at_the_same_thread_count(
    tmp_path: Path,
) -> None:
    measurements = some_results(tmp_path)
    more = Measurement(measurements[1].target, 2, rounds_ms=((9.0, 9.0),), **FIGURES)
    rows = results_of([*measurements, more], 2, 0.1).rows
    ratios = [row.ratio and row.ratio.median for row in rows]
    assert ratios == [1.0, 1.75, 1.925, None, 1.0, None]
    assert rows[1].ratio == Ratio(1.75, 1.55, 1.95)
    assert rows[1].round_medians_ms == (3.0, 8.0)


def test_other_precisions_are_compared_with_fp32_of_the_same_format(tmp_path: Path) -> None:
    rows = results_of(some_results(tmp_path), 2, 0.1).rows
    assert [row.of_fp32 for row in rows] == [None, None, Ratio(1.1, 1.1, 1.1), None, None]
    assert spread_text(rows[2].of_fp32) == "1.10 (1.10-1.10)"
    assert spread_text(rows[0].of_fp32) == ""


def test_the_table_fits_a_log_and_shows_ratios_with_their_spread(tmp_path: Path) -> None:
    text = printed(some_results(tmp_path))
    assert "1.75 (1.55-1.95)" in text
    assert "of fp32" in text
    assert "…" not in text
    assert "coreml fp32, 1 thr: not run: Core ML runs on macOS only" in text


def test_large_ratios_do_not_widen_the_table(tmp_path: Path) -> None:
    baseline, slow, *_ = some_results(tmp_path)
    snail = Measurement(slow.target, 1, rounds_ms=((240.0, 240.0), (1000.0, 1000.0)), **FIGURES)
    assert "185 (133-237)" in printed([baseline, snail])


def test_what_was_not_run_stays_in_the_document_with_its_reason(tmp_path: Path) -> None:
    document = results_json(results_of(some_results(tmp_path), 2, 0.1))
    assert document["rows"][3]["status"] == "not_run"
    assert document["rows"][3]["reason"] == "Core ML runs on macOS only"
    assert document["rows"][3]["median_ms"] is None
    assert document["machine"]["processor"]


def test_a_ratio_is_three_fields_of_its_row_in_the_document(tmp_path: Path) -> None:
    _, row, other, *_ = results_json(results_of(some_results(tmp_path), 2, 0.1))["rows"]
    assert (row["ratio"], row["ratio_low"], row["ratio_high"]) == (1.75, 1.55, 1.95)
    assert row["of_fp32"] is row["of_fp32_low"] is row["of_fp32_high"] is None
    assert other["of_fp32_low"] == 1.1


def test_the_document_has_the_fields_of_the_released_one(tmp_path: Path) -> None:
    released = json.loads((RESULTS / "benchmark.json").read_text(encoding="utf-8"))
    document = results_json(results_of(some_results(tmp_path), 2, 0.1))
    assert document.keys() == released.keys()
    assert document["machine"].keys() == released["machine"].keys()
    assert {frozenset(row) for row in document["rows"]} == {
        frozenset(row) for row in released["rows"]
    }


def test_sizes_count_every_file_of_a_package(tmp_path: Path) -> None:
    package = tmp_path / "model.mlpackage"
    (package / "Data").mkdir(parents=True)
    (package / "Manifest.json").write_bytes(b"12345")
    (package / "Data" / "weight.bin").write_bytes(b"\0" * 100_000)
    assert size_bytes(package) == 100_005
    assert zipped_bytes(package) < 2_000  # zeros


def test_zipped_size_is_that_of_a_real_archive(tmp_path: Path) -> None:
    file = tmp_path / "model.onnx"
    file.write_bytes(bytes(range(256)) * 100)
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        archive.write(file, file.name)
    assert zipped_bytes(file) == (tmp_path / "a.zip").stat().st_size


def test_the_picture_is_a_png_also_when_something_was_not_run(tmp_path: Path) -> None:
    picture = plot_latency(results_of(some_results(tmp_path), 1, 0.1))
    assert picture.startswith(b"\x89PNG")


def printed(measurements: list[Measurement]) -> str:
    console = Console(file=io.StringIO(), width=100)
    print_table(console, results_of(measurements, 2, 0.1))
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()
