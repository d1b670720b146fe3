from __future__ import annotations

import json
import zipfile
from pathlib import Path

from benchmarks.measure import Measurement, Target
from benchmarks.plot import plot_latency
from benchmarks.results import results_document, size_bytes, zipped_bytes


def some_results(tmp_path: Path) -> list[Measurement]:
    file = tmp_path / "model.onnx"
    file.write_bytes(b"\0" * 5000)
    onnx, other = Target("onnx", "fp32", file, 64), Target("ort", "fp32", file, 64)
    figures = {"load_ms": 1.0, "first_ms": 2.0, "peak_mb": 50.0, "runtime_mb": 40.0}
    return [
        Measurement(onnx, 1, latencies_ms=(2.0, 2.0, 2.0), **figures),
        Measurement(other, 1, latencies_ms=(3.0, 3.0, 3.0), **figures),
        Measurement(Target("coreml", "fp32", file, 64), 1, "not_run", "Core ML runs on macOS only"),
    ]


def test_ratios_are_to_onnx_fp32_at_the_same_thread_count(tmp_path: Path) -> None:
    rows = results_document(some_results(tmp_path), 1, 0.1).rows
    assert [row["ratio"] for row in rows] == [1.0, 1.5, None]


def test_what_was_not_run_stays_in_the_document_with_its_reason(tmp_path: Path) -> None:
    document = json.loads(results_document(some_results(tmp_path), 1, 0.1).to_json())
    assert document["rows"][2]["status"] == "not_run"
    assert document["rows"][2]["reason"] == "Core ML runs on macOS only"
    assert document["rows"][2]["median_ms"] is None
    assert document["machine"]["processor"]


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
    picture = plot_latency(results_document(some_results(tmp_path), 1, 0.1))
    assert picture.startswith(b"\x89PNG")
