"""The README in an asset folder: what an app developer needs, from the manifest alone."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final

from export.deploy.outputs import EVIDENCE
from export.packages.android_readme import gradle_module_section
from export.packages.ios_readme import swift_package_section
from export.packages.web_readme import web_page_section

PLATFORM_TITLES: Final = {"android": "Android", "ios": "iOS", "web": "the web"}
PACKAGE_SECTIONS: Final = {
    "android": gradle_module_section,
    "ios": swift_package_section,
    "web": web_page_section,
}
FORMAT_TITLES: Final = {
    "onnx": "ONNX",
    "ort": "ORT format",
    "torchscript": "TorchScript-lite",
    "coreml": "Core ML",
}
INTEGRATION: Final = {
    "onnx": """\
{packages} {onnxruntime} or newer. Input `image`: uint8
`(1, {height}, {width}, 3)`. Output `probs`: float32 `(1, {classes})`{evidence}. Session options:
leave the graph optimisation level at its default (all), which unpacks fp16, w4 and w3 once, at
load; set `intra_op_num_threads` to {intra_op_num_threads}. An output that is not asked for by name
is not copied out.
""",
    "ort": """\
The same network with its graph optimised ahead, for onnxruntime {onnxruntime} or newer, reduced
builds included. Input, outputs and options as for ONNX. There is no w4 or w3: an ORT file holds its
weights unpacked.
""",
    "torchscript": """\
`pytorch_android_lite` {pytorch_lite} (`LiteModuleLoader`). That runtime is no longer developed:
prefer ONNX in a new app. Input: a uint8 tensor `(1, {height}, {width}, 3)`; {lite_output}.
Set one thread: `LitePyTorchAndroid.setNumThreads({num_threads})`. int8 needs the engine
`qnnpack`, which is the one that Android has.
""",
    "coreml": """\
The least iOS stands in the table. Takes the image itself (Vision: `imageCropAndScaleOption =
.scaleFill`), gives `label`, `probs`, a probability by label{coreml_evidence}.
int8, w4 and w3 are precisions of the weights; arithmetic is in fp16.
Compute units: {compute_units}.
""",
}
PRECISIONS: Final = {
    "fp32": "as trained",
    "fp16": "weights in 16 bits; arithmetic in fp32, for Core ML in fp16",
    "int8": "weights and activations in 8 bits, integer arithmetic; for Core ML weights alone",
    "w4": "weights in 4 bits, unpacked at load; arithmetic as in fp32, for Core ML in fp16",
    "w3": "weights in 3 bits in the mean, likewise",
}
OPERATORS_FILE: Final = "required_operators.config"
TYPES_FILE: Final = "required_operators_and_types.config"
# https://onnxruntime.ai/docs/build/custom.html, android.html and ios.html beside it
REDUCED_BUILD: Final = """\
`{operators}` lists the operators that the ONNX and ORT files here need at any of onnxruntime's
optimisation levels; `{types}` the types of their inputs too. A build with these
alone is the smaller part of an app's download. `$ASSETS` is this folder:

```sh
git clone --depth 1 --branch v{version} https://github.com/microsoft/onnxruntime
cd onnxruntime
./build.sh --config MinSizeRel {target} \\
  --parallel --skip_tests --disable_ml_ops \\
  --include_ops_by_config "$ASSETS/{operators}"
```

With `--include_ops_by_config "$ASSETS/{types}" --enable_reduced_operator_type_support`
it gets smaller, and with `--minimal_build` smaller again: that one loads ORT files alone. Not
built here: try the result with the golden pack.
"""
BUILD_TARGETS: Final = {
    "android": """\
--android --android_abi arm64-v8a --android_api 24 \\
  --android_sdk_path "$ANDROID_HOME" --android_ndk_path "$ANDROID_NDK_HOME" \\
  --build_shared_lib --build_java""",
    "ios": """\
--ios --use_xcode --apple_sysroot iphoneos --osx_arch arm64 \\
  --apple_deploy_target 15.1 --build_apple_framework""",
    "web": "--build_wasm --enable_wasm_simd --enable_wasm_threads",
}
ONNX_PACKAGES: Final = {
    "android": "`onnxruntime-android`",
    "ios": "`onnxruntime-objc`",
    "web": "`onnxruntime-web` as `package.json` pins it, or another onnxruntime,",
}
LEAST_RUNTIME: Final = {"onnxruntime": "onnxruntime", "pytorch_lite": "pytorch_lite", "ios": "iOS"}


def asset_readme(platform: str, manifest: Mapping[str, Any], beside: Collection[str] = ()) -> str:
    """Markdown for the README.md of a platform's asset folder.

    `beside`: paths of the files that lie in the folder beside the artifacts.
    """
    model = manifest["model"]
    resize = model["input"]["resize"]
    rule = (
        "the most probable label"
        if model["positive"] is None
        else f"`{model['positive']}` where its probability is at least {model['threshold']}"
    )
    shape = _evidence_shape(manifest)
    lines = [
        f"# {model['name']} {model['version']} for {PLATFORM_TITLES[platform]}",
        "",
        f"**{model['intended_use']}**",
        "",
        "Made by `python -m export all`; do not edit. `manifest.json` says the same for programs:",
        "check each file's SHA-256 with it before you load it.",
        "",
        "## Preprocessing",
        "",
        "1. Turn the image upright (EXIF), make it 8-bit RGB, resize the whole of it to "
        f"{model['input']['width']} x {model['input']['height']} pixels: {resize['mode']} "
        f"(no crop, aspect ratio not kept), {resize['filter']}, antialiased.",
        "2. Pass the pixels 0 to 255 as they are, rows first, R G B each. Normalisation and "
        "softmax are inside the model: no division by 255, no mean, no second softmax.",
        f"3. Outputs follow `labels.txt`: {', '.join(model['labels'])}. Decide {rule}.",
        "",
        *_evidence(shape, model["labels"]),
        PACKAGE_SECTIONS[platform](manifest, f"{platform}_assets"),
        "## Files",
        "",
        "| file | precision | bytes | least runtime | to PyTorch with the same weights "
        "| to the fp32 model |",
        "| --- | --- | ---: | --- | --- | --- |",
        *(_row(artifact) for artifact in manifest["artifacts"]),
        "",
        *_precisions(manifest),
        *_rejected(manifest),
    ]
    values = {
        **model["input"],
        "packages": ONNX_PACKAGES[platform],
        "classes": len(model["labels"]),
        **_said_of(shape, model["labels"]),
    }
    for name, title in FORMAT_TITLES.items():
        of_format = [a for a in manifest["artifacts"] if a["format"] == name]
        if of_format:
            facts = {**values, **of_format[0]["requires"], **of_format[0]["session"]}
            lines += [f"### {title}", INTEGRATION[name].format(**facts)]
    if OPERATORS_FILE in beside:
        note = REDUCED_BUILD.format(
            operators=OPERATORS_FILE,
            types=TYPES_FILE,
            version=manifest["tools"]["onnxruntime"],
            target=BUILD_TARGETS[platform],
        )
        lines += ["### A smaller onnxruntime", note]
    return "\n".join(lines)


def _evidence_shape(manifest: Mapping[str, Any]) -> list[int] | None:
    """(1, K, h, w) of the artifacts that give evidence; None if none does."""
    shapes = [
        port["shape"]
        for artifact in manifest["artifacts"]
        for port in artifact["outputs"]
        if port["name"] == EVIDENCE
    ]
    return shapes[0] if shapes else None


def _said_of(shape: list[int] | None, labels: Sequence[str]) -> dict[str, str]:
    """What stands in `INTEGRATION` of the second output."""
    probs = f"float32 `(1, {len(labels)})`"
    if shape is None:
        return {"evidence": "", "coreml_evidence": "", "lite_output": f"output: {probs}"}
    array = f"float32 `({', '.join(map(str, shape))})`"
    return {
        "evidence": f"; `{EVIDENCE}`: {array}",
        "coreml_evidence": f", and `{EVIDENCE}`, a multi-array, {array}",
        "lite_output": f"output: a tuple (`IValue.toTuple()`) of probs, {probs}, and {EVIDENCE}, "
        f"{array}",
    }


def _evidence(shape: list[int] | None, labels: Sequence[str]) -> list[str]:
    """What the second output is, and what it is not."""
    if shape is None:
        return []
    _, _, rows, columns = shape
    return [
        f"## The output `{EVIDENCE}`",
        "",
        f"For each label, in their order, a map of {rows} rows and {columns} columns over the "
        "whole image, top left first: how much each place spoke for the label, in logits, and "
        "below zero against it. The mean over a label's map is its logit, and softmax of the "
        f"logits is `probs`: with {len(labels)} labels, what sets `{labels[0]}` apart is its map "
        + (f"less that of `{labels[1]}`." if len(labels) == 2 else "less the mean of the others."),
        "",
        "It shows where **this network** saw evidence (a class activation map, Zhou et al., "
        "arXiv:1512.04150), right or wrong: the edge of an image, a marker or a cable as readily "
        "as a lung. It is **not** a map of lesions, it has no outlines, and a place of it "
        "depends on pixels well beyond that place. Scale it by the largest absolute value of its "
        "image, enlarge it smoothly, and say beside it what it is. Research only, never diagnosis.",
        "",
    ]


def _row(artifact: Mapping[str, Any]) -> str:
    parity = artifact["parity"]
    if parity["status"] == "pass":
        verdict = (
            f"max \\|Δp\\| {parity['max_abs_diff']:.1e}, {parity['label_flips']} of "
            f"{parity['images']} labels differ"
        )
        if parity.get("evidence"):
            verdict += f", evidence {parity['evidence']['max_rel_diff']:.1e}"
    else:
        verdict = f"not run: {parity['reason']}"
    least = next(
        f"{said} {artifact['requires'][key]}"
        for key, said in LEAST_RUNTIME.items()
        if key in artifact["requires"]
    )
    return (
        f"| `{artifact['path']}` | {artifact['precision']} | {artifact['size_bytes']:,} | {least} "
        f"| {verdict} | {_accuracy(artifact['accuracy'])} |"
    )


def _accuracy(accuracy: Mapping[str, Any] | None) -> str:
    if accuracy is None:
        return "is the fp32 model"
    if "auroc_drop" not in accuracy:
        return "within its tolerance"
    recorded = ", when it was compressed" if accuracy["source"] == "recorded" else ""
    return (
        f"AUROC {accuracy['auroc']:.4f} for {accuracy['parent_auroc']:.4f}, "
        f"{accuracy['label_flips']} of {accuracy['images']} labels differ{recorded}"
    )


def _precisions(manifest: Mapping[str, Any]) -> list[str]:
    """What the names mean, of those that are here."""
    here = {artifact["precision"] for artifact in manifest["artifacts"]}
    return [*(f"- **{name}**: {said}" for name, said in PRECISIONS.items() if name in here), ""]


def _rejected(manifest: Mapping[str, Any]) -> list[str]:
    """What was kept back by the promotion gate, with its reasons."""
    lines = [
        f"- {entry['format']} {entry['precision']} ({entry['size_bytes']:,} bytes): "
        + "; ".join(entry["accuracy"]["broken_limits"])
        for entry in manifest["rejected"]
    ]
    return ["Made and proven, but not published, for the accuracy lost:", "", *lines, ""] * bool(
        lines
    )
