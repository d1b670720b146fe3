"""The Android asset folder as a Gradle library module: its files, from the manifest alone.

In: the manifest document. Out: relative POSIX path -> text, from the templates in
``templates/android/``. Nothing is read from disk but these, so the same manifest gives the same
files.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np

from export.packages.render import render
from export.packages.resize_proofs import ResizeProof, resize_proofs

GROUP: Final = "mobilemodels"  # the Kotlin package of a model is GROUP.name
RUNS_ON: Final = ("onnx", "ort", "torchscript")
# The first of these that is published goes into an app that does not choose.
DEFAULT_FILES: Final = (("onnx", "w4"),)
# Newest release whose libraries were seen reported to fit pages of 16 KB, which Google Play wants
# (https://github.com/microsoft/onnxruntime-extensions/issues/1093). Never below what is promised.
ONNXRUNTIME_ANDROID: Final = "1.27.0"
OPTIMISATION: Final = {
    "ORT_ENABLE_ALL": "ALL_OPT",
    "ORT_ENABLE_EXTENDED": "EXTENDED_OPT",
    "ORT_ENABLE_BASIC": "BASIC_OPT",
    "ORT_DISABLE_ALL": "NO_OPT",
}
THREADS: Final = ("intra_op_num_threads", "num_threads")
KEYWORDS: Final = frozenset(
    """abstract as assert boolean break byte case catch char class const continue default do double
    else enum extends false final finally float for fun goto if implements import in instanceof int
    interface is long native new null object package private protected public return short static
    strictfp super switch synchronized this throw throws transient true try typealias typeof val var
    void volatile when while""".split()  # noqa: SIM905
)


def package_files(manifest: Mapping[str, Any]) -> dict[str, str]:
    """The module's files: relative POSIX path -> text, sorted by path.

    Nothing, where no artifact in the manifest runs on Android: a module would be empty.

    Raises:
        ValueError: an ONNX file asks for an optimisation that ONNX Runtime does not have.
    """
    model = manifest["model"]
    artifacts = android_artifacts(manifest)
    if not artifacts:
        return {}
    package = f"{GROUP}.{package_name(model['name'])}"
    values: dict[str, Any] = {
        "model": model,
        "package": package,
        "package_path": package.replace(".", "/"),
        "class_name": class_name(model["name"]),
        "asset_folder": f"{GROUP}/{model['name']}",
        "positive": _positive(model),
        "threshold": _threshold(model),
        "files": [_file(artifact) for artifact in artifacts],
        "default_file": default_file(artifacts),
        "onnxruntime": _onnxruntime(artifacts),
        "pytorch_lite": _least(artifacts, "pytorch_lite"),
        "optimisation": _optimisation(artifacts),
        "proofs": [_proof(proof) for proof in resize_proofs(model["input"]["height"])],
        "kotlin": kotlin,
        "comment": comment,
    }
    return render("android", values)


def android_artifacts(manifest: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Those that a runtime on Android loads, in the order of the manifest."""
    return [artifact for artifact in manifest["artifacts"] if artifact["format"] in RUNS_ON]


def package_name(name: str) -> str:
    """The last part of a model's Kotlin package: ``squeezenet_cxr`` -> ``squeezenetcxr``."""
    letters = re.sub("[^a-z0-9]", "", name.lower())
    return letters if letters[:1].isalpha() and letters not in KEYWORDS else f"model{letters}"


def class_name(name: str) -> str:
    """The beginning of a model's class names: ``squeezenet_cxr`` -> ``SqueezenetCxr``."""
    words = re.findall("[A-Za-z0-9]+", name)
    camel = "".join(word[:1].upper() + word[1:] for word in words)
    return camel if camel[:1].isalpha() else f"Model{camel}"


def default_file(artifacts: Sequence[Mapping[str, Any]]) -> str:
    """The model file of an app that chooses none.

    It is w4 in ONNX, else the smallest in ONNX, else in ORT, else the smallest of all.
    """
    for wanted in DEFAULT_FILES:
        for artifact in artifacts:
            if (artifact["format"], artifact["precision"]) == wanted:
                return str(artifact["path"])
    for formats in (("onnx",), ("ort",), RUNS_ON):
        fitting = [a for a in artifacts if a["format"] in formats]
        if fitting:
            return str(min(fitting, key=lambda a: a["size_bytes"])["path"])
    raise ValueError("no artifact for Android")


def kotlin(text: str) -> str:
    """`text` as a Kotlin string literal, quotes included; what is not ASCII is escaped."""
    escaped = []
    for letter in text:
        if letter in '\\"$':
            escaped.append(f"\\{letter}")
        elif " " <= letter <= "~":
            escaped.append(letter)
        else:
            units = letter.encode("utf-16-be")
            escaped += [f"\\u{units[i : i + 2].hex()}" for i in range(0, len(units), 2)]
    return f'"{"".join(escaped)}"'


def comment(text: str) -> str:
    """`text` for the inside of a comment: one line that can neither end it nor open another."""
    one_line = " ".join(text.split())
    return one_line.replace("*/", "* /").replace("/*", "/ *")


def _positive(model: Mapping[str, Any]) -> int | None:
    return None if model["positive"] is None else model["labels"].index(model["positive"])


def _threshold(model: Mapping[str, Any]) -> str | None:
    """The threshold in float32, as `decide` compares; the shortest digits."""
    return None if model["threshold"] is None else str(np.float32(model["threshold"]))


def _file(artifact: Mapping[str, Any]) -> dict[str, Any]:
    (file,) = artifact["files"]
    session = artifact["session"]
    return {**file, "threads": next(int(session[key]) for key in THREADS if key in session)}


def _least(artifacts: Sequence[Mapping[str, Any]], runtime: str) -> str | None:
    """The newest of the versions of `runtime` that the artifacts promise as their least."""
    promised = [a["requires"][runtime] for a in artifacts if runtime in a["requires"]]
    return max(promised, key=_version) if promised else None


def _onnxruntime(artifacts: Sequence[Mapping[str, Any]]) -> dict[str, str] | None:
    promised = _least(artifacts, "onnxruntime")
    if promised is None:
        return None
    whole = promised + ".0" * (2 - promised.count("."))
    return {"promised": promised, "version": max(whole, ONNXRUNTIME_ANDROID, key=_version)}


def _version(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split("."))


def _optimisation(artifacts: Sequence[Mapping[str, Any]]) -> str | None:
    """The optimisation level of the ONNX files, as ONNX Runtime's Java API calls it."""
    sessions = [a["session"] for a in artifacts if a["format"] == "onnx"]
    levels = {s["graph_optimization_level"] for s in sessions if "graph_optimization_level" in s}
    if levels - OPTIMISATION.keys() or len(levels) > 1:
        raise ValueError(f"optimisation {sorted(levels)} is not one of {', '.join(OPTIMISATION)}")
    return OPTIMISATION[levels.pop()] if levels else None


def _proof(proof: ResizeProof) -> dict[str, Any]:
    return {"width": proof.width, "height": proof.height, "sha256": proof.sha256}
