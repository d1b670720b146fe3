"""The README in an asset folder: what an app developer needs, from the manifest alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

INTEGRATION: Final = {
    "onnx": """\
### ONNX (`{path}`)
`onnxruntime-android` or `onnxruntime-objc` {onnxruntime} or newer. Input `image`: uint8
`(1, {height}, {width}, 3)`. Output `probs`: float32 `(1, {classes})`.
""",
    "ort": """\
### ORT format (`{path}`)
The same network with its graph optimised ahead, for onnxruntime {onnxruntime} or newer, reduced
builds included. Input and output as for ONNX.
""",
    "torchscript": """\
### TorchScript-lite (`{path}`)
`pytorch_android_lite` {pytorch_lite} (`LiteModuleLoader`). That runtime is no longer developed:
prefer ONNX in a new app. Input: a uint8 tensor `(1, {height}, {width}, 3)`; output: float32
`(1, {classes})`. Set one thread: `PyTorchAndroid.setNumThreads(1)`.
""",
    "coreml": """\
### Core ML, {precision} (`{path}`)
iOS {ios} or newer. Takes the image itself (Vision: `imageCropAndScaleOption = .scaleFill`), gives
`label` and `probs`, a probability by label.
""",
}


def asset_readme(platform: str, manifest: Mapping[str, Any]) -> str:
    """Markdown for ``android_assets/README.md`` or ``ios_assets/README.md``."""
    model = manifest["model"]
    resize = model["input"]["resize"]
    rule = (
        "the most probable label"
        if model["positive"] is None
        else f"`{model['positive']}` where its probability is at least {model['threshold']}"
    )
    lines = [
        f"# {model['name']} {model['version']} for {'Android' if platform == 'android' else 'iOS'}",
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
        "## Files",
        "",
        "| file | format | precision | bytes | agreement with PyTorch |",
        "| --- | --- | --- | ---: | --- |",
        *(_row(artifact) for artifact in manifest["artifacts"]),
        "",
    ]
    values = {**model["input"], "classes": len(model["labels"])}
    for artifact in manifest["artifacts"]:
        facts = {**values, **artifact["requires"], **artifact}
        lines.append(INTEGRATION[artifact["format"]].format(**facts))
    return "\n".join(lines)


def _row(artifact: Mapping[str, Any]) -> str:
    parity = artifact["parity"]
    if parity["status"] == "pass":
        verdict = (
            f"pass: max \\|Δp\\| {parity['max_abs_diff']:.1e}, {parity['label_flips']} label flips "
            f"on {parity['images']} images"
        )
    else:
        verdict = f"not run: {parity['reason']}"
    return (
        f"| `{artifact['path']}` | {artifact['format']} | {artifact['precision']} "
        f"| {artifact['size_bytes']:,} | {verdict} |"
    )
