"""Small asset folders by the project's own writer: the files are made up, the rest is real."""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from export.formats.base import Description, Port
from export.latency.entry import LatencyEntry, ThreadLatency
from export.manifest.manifest import MANIFEST_FILE, SCHEMA, SUM_FILE, Manifest
from export.parity.check import Agreement, ParityResult
from export.parity.quality_gate import GateResult
from export.publish.assets import FOLDERS, ExtraFiles, publish
from export.publish.build_manifest import Published
from tests.conftest import make_spec
from tests.export.conftest import tree

PASSED = ParityResult(
    "pass", "", 13, 1e-7, 1e-8, 0, 0, "hard/red", {"hard": Agreement(13, 1e-7, 1e-8, 0)}
)
FIGURES = {"images": 150, "auroc": 0.9, "parent_auroc": 0.91, "recall": 0.8, "label_flips": 1}
REQUIRES: dict[str, dict[str, str | int]] = {
    "onnx": {"ir_version": 8, "opset": 17, "onnxruntime": "1.15"},
    "ort": {"ort_format": 6, "onnxruntime": "1.16"},
    "torchscript": {"bytecode": 8, "operators": "aten::add, aten::cat", "pytorch_lite": "2.1.0"},
    "coreml": {"specification_version": 7, "ios": "16.0"},
}
SUFFIXES = {"onnx": ".onnx", "ort": ".ort", "torchscript": ".ptl", "coreml": ".mlpackage"}
ANDROID = (("onnx", "fp32"), ("onnx", "w4"), ("ort", "fp32"), ("torchscript", "int8"))
IOS = (("onnx", "fp32"), ("coreml", "fp16"), ("coreml", "w4"))
WEB = (("onnx", "fp32"), ("onnx", "w4"))
PACKAGE = ("Data/com.apple.CoreML/model.mlmodel", "Data/com.apple.CoreML/weights/weight.bin")
FLIPPED = {"start": lambda size: 0, "middle": lambda size: size // 2, "end": lambda size: size - 1}
BESIDE = {"golden/golden.json": b'{"cases": []}\n', "src/main/Classifier.kt": b"class Classifier\n"}


def beside(platform: str, manifest: Manifest) -> dict[str, bytes]:
    """Files of the package: some known before, one made from the manifest."""
    return {**BESIDE, "made.txt": f"{platform} {manifest.model.name}\n".encode()}


def edit_manifest(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Change the manifest as a release with another one would have it, its own sum included."""
    document = json.loads((folder / MANIFEST_FILE).read_text(encoding="utf-8"))
    change(document)
    content = json.dumps(document).encode()
    (folder / MANIFEST_FILE).write_bytes(content)
    if document["schema"] == SCHEMA:
        line = f"{hashlib.sha256(content).hexdigest()}  {MANIFEST_FILE}\n"
        (folder / SUM_FILE).write_text(line, encoding="utf-8")


def age(folder: Path, schema: int) -> None:
    """Make a folder what an earlier release would have published."""

    def change(document: dict[str, Any]) -> None:
        document["schema"] = schema
        for entry in document.pop("files"):
            if entry["path"] not in ("labels.txt", "README.md"):
                (folder / entry["path"]).unlink()
        for artifact in document["artifacts"]:
            del artifact["zipped_bytes"]
        if schema == 1:
            del document["rejected"]
            for artifact in document["artifacts"]:
                for name in ("checkpoint_sha256", "accuracy", "session"):
                    del artifact[name]

    edit_manifest(folder, change)
    (folder / SUM_FILE).unlink()
    for place in sorted((p for p in folder.rglob("*") if p.is_dir()), reverse=True):
        if not any(place.iterdir()):
            place.rmdir()


def write_assets(
    root: Path, seed: int = 0, extras: Sequence[ExtraFiles] | None = None, **changes: object
) -> dict[str, Path]:
    """Platform -> asset folder below `root`; another `seed` gives other files of the same names.

    `extras` are the files next to the artifacts; None: a few that represent a package.
    """
    spec = make_spec(**changes)
    height, width = spec.resize.size
    build = root / "build"
    build.mkdir(parents=True)
    rng = random.Random(seed)
    made = {}
    for name, precision in dict.fromkeys((*ANDROID, *IOS, *WEB)):
        path = build / f"{spec.name}_{precision}{SUFFIXES[name]}"
        if name == "coreml":
            for part in PACKAGE:
                (path / part).parent.mkdir(parents=True, exist_ok=True)
                (path / part).write_bytes(rng.randbytes(300))
            text = json.dumps({"identifier": str(seed)}, indent=2)
            (path / "Manifest.json").write_text(text + "\n", encoding="utf-8")
            image, shape, dtype = "image RGB", (width, height), "label -> float64"
        else:
            path.write_bytes(rng.randbytes(500))
            image, shape, dtype = "uint8", (1, height, width, 3), "float32"
        described = Description(
            (Port("image", image, shape),),
            (Port("probs", dtype, (1, len(spec.labels))),),
            {},
            spec.labels,
            REQUIRES[name],
        )
        gate_result = None if precision == "fp32" else GateResult("recorded", FIGURES)
        latency = LatencyEntry({"cores": 2}, {"1": ThreadLatency(2.5, 3.0)})
        made[name, precision] = Published(
            name, precision, path, described, PASSED, "ab" * 32, gate_result, latency
        )
    platforms = {"android": ANDROID, "ios": IOS, "web": WEB}
    by_platform = {platform: [made[key] for key in keys] for platform, keys in platforms.items()}
    publish(root, spec, "cd" * 32, by_platform, extras=[beside] if extras is None else extras)
    return {platform: root / folder for platform, folder in FOLDERS.items()}


def flip(path: Path, place: str) -> None:
    content = bytearray(path.read_bytes())
    content[FLIPPED[place](len(content))] ^= 1
    path.write_bytes(content)


def keep(folder: Path, *names: str) -> None:
    """What an app copied: the manifest and these."""
    for path in tree(folder):
        if path != "manifest.json" and not any(
            path == name or path.startswith(f"{name}/") for name in names
        ):
            (folder / path).unlink()
    for place in sorted((p for p in folder.rglob("*") if p.is_dir()), reverse=True):
        if not any(place.iterdir()):
            place.rmdir()
