"""Replaces ``python -m export``: leaves the report of an export, in which a file is rejected."""

import json
import sys
from pathlib import Path

options = sys.argv[2:]
build = Path(options[options.index("--build") + 1])
build.mkdir(parents=True)
verdicts = [
    ("onnx", "fp32", "pass", "", None),
    ("onnx", "w3", "rejected", "", {"broken_limits": ["7 of 50 labels flip"]}),
    ("coreml", "fp32", "pass", "", None),
    ("coreml", "w3", "fail", "weights differ", None),
    ("ort", "w3", "not_run", "no such package", None),
]
milliseconds = {"fp32": 8.0, "w3": 2.0}
artifacts = [
    {"format": f, "precision": p, "verdict": v, "parity": {"reason": why}, "accuracy": accuracy}
    | ({} if v == "not_run" else {"size_bytes": 1234567})
    | (
        {"latency_ms": None}
        if f == "coreml" or "--no-latency" in options
        else {"latency_ms": {"threads": {"1": {"median": milliseconds[p]}, "2": {"median": None}}}}
    )
    for f, p, v, why, accuracy in verdicts
]
(build / "report.json").write_text(json.dumps({"artifacts": artifacts}), encoding="utf-8")
raise SystemExit(1)
