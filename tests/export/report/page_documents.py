"""Report documents for the tests of the page: one of each verdict, with figures made up."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from export.formats.facts import Tolerance
from export.images.parity_images import ParityImages
from export.latency.entry import LatencyEntry, ThreadLatency
from export.parity.check import Agreement, ParityResult
from export.parity.evidence import EvidenceAgreement
from export.parity.quality_gate import GateResult
from export.report.accuracy import classification
from export.report.differences import Answered, differences, worst_images
from export.report.document import VerdictRow, report_of
from export.report.page.sources import PageSources, Planted, Source, Timed
from export.report.report import PublishedFile, Report, report_json
from pipeline.json_files import plain, structure
from tests.conftest import LABELS, make_spec

T = TypeVar("T")
N = 40
SPEC = make_spec()
RNG = np.random.default_rng(5)
TRUTH = np.arange(N - 10) % 2
REFERENCE = np.stack([p := RNG.uniform(0, 1, N), 1 - p], axis=1).astype(np.float32)
IMAGES = ParityImages(
    tuple(f"valid/{i:03}.jpg" for i in range(N - 10)) + tuple(f"hard/{i}" for i in range(10)),
    ("validation",) * (N - 10) + ("hard",) * 10,
    np.zeros((N, 1, 1, 3), np.uint8),
    "30 validation images of made-up data and 10 hard images",
    tuple(TRUTH.tolist()),
)
TOLERANCE = Tolerance(1e-3, 0.0, "why so much", 1e-2)
LATENCY = LatencyEntry(
    {"processor": "a processor", "cores": 2, "system": "a system"},
    {"1": ThreadLatency(1.625, 2.25), "2": ThreadLatency(0.875, 1.5)},
)
FIGURES = {
    "images": 30,
    "auroc": 0.875,
    "parent_auroc": 0.9375,
    "auroc_drop": {"value": 0.0625, "low": 0.01, "high": 0.1},
    "recall": 0.8125,
    "parent_recall": 0.84375,
    "label_flips": 3,
}
PORTS = {
    "inputs": [{"name": "image", "dtype": "uint8", "shape": [1, 64, 64, 3]}],
    "outputs": [
        {"name": "probs", "dtype": "float32", "shape": [1, 2]},
        {"name": "evidence", "dtype": "float32", "shape": [1, 2, 3, 3]},
    ],
}
FILE = {
    "path": "tiny_fp32.onnx",
    "zipped_bytes": 800_123,
    "files": [{"path": "tiny_fp32.onnx", "size_bytes": 900_321, "sha256": "ab" * 32}],
    **PORTS,
    "requires": {"ir_version": 8, "opset": 17, "onnxruntime": "1.15"},
    "session": {"intra_op_num_threads": 2, "graph_optimization_level": "ORT_ENABLE_ALL"},
}


def answers(noise: float) -> np.ndarray:
    """The reference's, off by at most `noise`."""
    moved = REFERENCE[:, 0] + np.linspace(0, noise, N, dtype=np.float32)
    return np.stack([moved, 1 - moved], axis=1).astype(np.float32)


def row(name: str, precision: str, status: str, noise: float, **changes: Any) -> VerdictRow:
    probs = answers(noise)
    diff = float(np.abs(probs.astype(np.float64) - REFERENCE).max())
    reason = f"max |Δp| {diff:.1e} > 1e-03 on hard/9" if status == "fail" else ""
    parity = ParityResult(
        status,  # type: ignore[arg-type]
        reason,
        N,
        diff,
        diff / 2,
        2 if status == "fail" else 0,
        0,
        "hard/9",
        {"validation": Agreement(30, diff / 3, diff / 6, 0), "hard": Agreement(10, diff, diff, 0)},
        TOLERANCE,
        "run by a runtime",
        {"outputs": reason or "pass"},
        probs,
        EvidenceAgreement(3.5e-3, (1, 2, 3, 3), "hard/9"),
    )
    values = {
        "size_bytes": 900_321,
        "latency": LATENCY,
        "differences": differences(probs, REFERENCE),
        "classification": classification(TRUTH, probs, SPEC),
    }
    return VerdictRow(name, precision, changes.pop("place", ""), parity, **{**values, **changes})


def document() -> dict[str, Any]:
    """What `export all` writes: a pass, a fail, one rejected, one not run."""
    passed = row("onnx", "fp32", "pass", 1e-6, place="android ios", file=typed(FILE, PublishedFile))
    broken = ("AUROC drops by 0.0625, more than 0.005",)
    rows = [
        passed,
        row("ort", "fp32", "fail", 0.02, size_bytes=910_000, latency=None),
        row(
            "onnx",
            "w3",
            "pass",
            5e-4,
            size_bytes=90_001,
            gate_result=GateResult("measured", FIGURES, broken),
        ),
        VerdictRow("coreml", "fp16", "", ParityResult("not_run", "Core ML runs on macOS only")),
    ]
    answered = [
        Answered(r.name, "fp32", r.parity.probs, 1e-3) for r in rows if r.parity.probs is not None
    ]
    figures = plain(classification(TRUTH, REFERENCE, SPEC))
    epochs = [
        {"epoch": i, "stage": stage, "train_loss": 1 / i, "valid_loss": 1.5 / i, "auroc": 1 - 1 / i}
        for i, stage in enumerate(("frozen", "frozen", "finetune", "finetune"), 1)
    ]
    return {
        **report_json(report_of("all", rows, IMAGES.source)),
        "finished": "2026-01-02T03:04:05+00:00",
        "seconds": 12.5,
        "model": {
            "name": SPEC.name,
            "version": SPEC.version,
            "checkpoint_sha256": "cd" * 32,
            "architecture": SPEC.architecture,
            "labels": list(LABELS),
            "positive": SPEC.positive,
            "threshold": SPEC.threshold,
            "side": SPEC.side,
            "metrics": {**SPEC.metrics, "calibration_error": 0.0315},
            "data": {},
            "intended_use": SPEC.intended_use,
        },
        "classification": {"status": "done", "reason": "", "figures": figures},
        "worst_images": [
            plain(image) for image in worst_images(answered, {"fp32": REFERENCE}, IMAGES, LABELS)
        ],
        "training": {
            "history": {
                "status": "done",
                "reason": "",
                "source": "history.csv",
                "epochs": len(epochs),
                "rows": epochs,
            },
            "validation": {
                "status": "done",
                "reason": "",
                "source": "predictions.csv",
                "figures": figures,
            },
        },
        "published": ["android_assets", "ios_assets"],
        "refused": {"ort": {"w4": "constants are folded"}},
        "robustness": {
            "schema": 1,
            "status": "pass",
            "reason": "",
            "images": 30,
            "artifact": "tiny_fp32.onnx",
            "source": "30 validation images",
            "rows": [
                mistake("plain_bilinear", 0.0, 0.01),
                mistake("divided_twice", 0.625, None),
            ],
        },
        "tools": {"onnx": "1.2.3", "torch": "4.5.6"},
    }


def mistake(name: str, rate: float, limit: float | None) -> dict[str, Any]:
    return {
        "name": name,
        "does": f"what {name} does",
        "seen_in": "apps",
        "source": "",
        "changed": 30,
        "flips": int(rate * 30),
        "flip_rate": rate,
        "low": rate / 2,
        "high": min(1.0, rate + 0.125),
        "limit": limit,
        "auroc": 0.75,
        "max_abs_diff": 0.5,
        "mean_abs_diff": 0.1,
        "verdict": "pass" if limit is not None else "",
    }


def timed_rows(names: list[str]) -> list[dict[str, Any]]:
    return [
        {
            "name": name,
            "group": "ours" if i == 0 else "peer",
            "threads": 1,
            "status": "done",
            "reason": "",
            "size_bytes": 900_321,
            "max_abs_diff": 1e-6,
            "load_ms": 5.5,
            "first_ms": 3.5,
            "median_ms": 1.5 + i,
            "p90_ms": 2.5 + i,
            "peak_mb": 70.0,
        }
        for i, name in enumerate(names)
    ]


def timed(names: list[str]) -> dict[str, Any]:
    machine = {"processor": "a processor", "cores": 2, "system": "a system"}
    return {"machine": machine, "rounds": 10, "round_s": 0.3, "rows": timed_rows(names)}


FAULTS = {
    "faults": [
        {"format": name, "fault": fault, "caught_by": ["outputs", "weights"]}
        for fault in ("a weight not a number", "cut in half")
        for name in ("onnx fp32", "coreml fp16")
    ],
    "controls": [{"format": "onnx fp32", "control": "a copy", "caught_by": []}],
}
NONE = Source(None, "", "nobody made it")


def sources(report: dict[str, Any] | None = None, **changes: Source[Any]) -> PageSources:
    """All sources, those of `changes` instead of made-up ones."""
    values = {
        "benchmark": benchmark(timed(["onnx fp32"]), "a/benchmark.json"),
        "peers": benchmark(timed(["onnx fp32", "another fp32"]), "a/peers.json"),
        "faults": planted(FAULTS, "a/faults.json"),
        **changes,
    }
    return PageSources(typed(report or document(), Report), "a/report.json", **values)


def benchmark(document: dict[str, Any], path: str) -> Source[Timed]:
    return Source(typed(document, Timed), path)


def planted(document: dict[str, Any], path: str) -> Source[Planted]:
    return Source(typed(document, Planted), path)


def typed(document: dict[str, Any], kind: type[T]) -> T:
    return structure(document, kind, "a document of a test", "fix the test")


def write(path: Path, content: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content), encoding="utf-8")
    return path


def large_document() -> dict[str, Any]:
    """As of very many images of a thousand classes, 40 artifacts and a long training."""
    report = document()
    images, classes = 20_000, 1000
    rng = np.random.default_rng(1)
    truth = rng.integers(0, classes, images)
    logits = rng.normal(size=(images, classes)).astype(np.float32)
    probs = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    spec = make_spec(labels=tuple(f"c{i}" for i in range(classes)), positive=None, threshold=None)
    many = ParityImages(
        tuple(map(str, range(images))), ("validation",) * images, np.zeros(0), "", ()
    )
    found = plain(differences(probs, probs + np.float32(1e-6)))
    made = plain(classification(truth[:2000], probs[:2000], spec))
    first = report["artifacts"][0]
    report["artifacts"] = [
        {**first, "precision": f"p{i}", "differences": found, "classification": made}
        for i in range(40)
    ]
    answered = [Answered(f"onnx p{i}", "fp32", probs + np.float32(1e-6), 1e-3) for i in range(4)]
    report["worst_images"] = [
        plain(image) for image in worst_images(answered, {"fp32": probs}, many, spec.labels)
    ]
    report["training"]["history"]["rows"] *= 125
    return report


def to_spec(page: str, name: str) -> Any:
    """A chart's specification, read back from a page."""
    specs = page.partition('id="specs">')[2].partition("</script>")[0]
    return json.loads(specs)[name]
