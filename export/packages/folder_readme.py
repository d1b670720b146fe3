"""The README in an asset folder: what an app developer needs, from the manifest alone."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Final

from export.deploy.outputs import EVIDENCE
from export.formats.facts import Integration
from export.formats.register import FORMATS
from export.manifest.manifest import ArtifactEntry, Manifest, ModelEntry
from export.packages.android_readme import gradle_module_section
from export.packages.ios_readme import swift_package_section
from export.packages.web_readme import web_page_section
from export.parity.entries import AccuracyEntry
from pipeline.model_spec import MOST_NAMED, named
from pipeline.terminal.markdown import shown, shown_as_code

PLATFORM_TITLES: Final = {"android": "Android", "ios": "iOS", "web": "the web"}
PACKAGE_SECTIONS: Final = {
    "android": gradle_module_section,
    "ios": swift_package_section,
    "web": web_page_section,
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


def asset_readme(platform: str, manifest: Manifest, beside: Collection[str] = ()) -> str:
    """Markdown for the README.md of a platform's asset folder.

    `beside`: paths of the files that lie in the folder beside the artifacts.
    """
    model = manifest.model
    rule = (
        "the most probable label"
        if model.positive is None
        else f"{shown_as_code(model.positive)} where its probability is at least {model.threshold}"
    )
    shape = _evidence_shape(manifest)
    lines = [
        f"# {model.name} {model.version} for {PLATFORM_TITLES[platform]}",
        "",
        f"**{shown(model.intended_use)}**",
        "",
        "Made by `python -m export all`; do not edit. `manifest.json` says the same for programs:",
        "check each file's SHA-256 with it before you load it.",
        "",
        "## Preprocessing",
        "",
        "1. Turn the image upright (EXIF), make it 8-bit RGB, and resize it: "
        f"{model.rule.sentence()}; {model.input.resize.filter}, antialiased.",
        "2. Pass the pixels 0 to 255 as they are, rows first, R G B each. Normalisation and "
        "softmax are inside the model: no division by 255, no mean, no second softmax.",
        f"3. Outputs follow `labels.txt`: {_labels(model.labels)}. Decide {rule}.",
        "",
        *_evidence(shape, model),
        PACKAGE_SECTIONS[platform](manifest, f"{platform}_assets"),
        "## Files",
        "",
        "| file | precision | bytes | least runtime | to PyTorch with the same weights "
        "| to the fp32 model |",
        "| --- | --- | ---: | --- | --- | --- |",
        *(_row(artifact) for artifact in manifest.artifacts),
        "",
        *_precisions(manifest),
        *_undecided(manifest),
        *_rejected(manifest),
    ]
    for name, facts in FORMATS.items():
        of_format = [a for a in manifest.artifacts if a.format == name]
        if of_format:
            values = {
                "width": model.input.width,
                "height": model.input.height,
                "classes": len(model.labels),
                "outputs": _outputs(facts.integration, shape, len(model.labels)),
                **of_format[0].requires,
                **of_format[0].session,
            }
            text = facts.integration.texts[platform].format(**values)
            lines += [f"### {facts.title}", text]
    if OPERATORS_FILE in beside:
        note = REDUCED_BUILD.format(
            operators=OPERATORS_FILE,
            types=TYPES_FILE,
            version=manifest.tools["onnxruntime"],
            target=BUILD_TARGETS[platform],
        )
        lines += ["### A smaller onnxruntime", note]
    return "\n".join(lines)


def _evidence_shape(manifest: Manifest) -> tuple[int, ...] | None:
    """(1, K, h, w) of the artifacts that give evidence; None if none does."""
    shapes = [
        port.shape
        for artifact in manifest.artifacts
        for port in artifact.outputs
        if port.name == EVIDENCE
    ]
    return shapes[0] if shapes else None


def _outputs(integration: Integration, shape: Sequence[int] | None, classes: int) -> str:
    """What stands in a format's text of its outputs."""
    probs = f"float32 `(1, {classes})`"
    if shape is None:
        return integration.outputs.format(probs=probs)
    array = f"float32 `({', '.join(map(str, shape))})`"
    return integration.outputs_with_evidence.format(probs=probs, evidence=array)


def _labels(labels: Sequence[str]) -> str:
    """All of a few; of many the first ones, since the file has them all."""
    said = shown(named(labels))
    return said if len(labels) <= MOST_NAMED else f"{said}, see there"


def _evidence(shape: tuple[int, ...] | None, model: ModelEntry) -> list[str]:
    """What the second output is, and what it is not."""
    if shape is None:
        return []
    _, _, rows, columns = shape
    over = "whole image" if model.rule.method == "squish" else "input"
    labels = model.labels
    first = shown_as_code(labels[0])
    rest = f"that of {shown_as_code(labels[1])}" if len(labels) == 2 else "the mean of the others"
    return [
        f"## The output `{EVIDENCE}`",
        "",
        f"For each label, in their order, a map of {rows} rows and {columns} columns over the "
        f"{over}, top left first: how much each place spoke for the label, in logits, and "
        "below zero against it. The mean over a label's map is its logit, and softmax of the "
        f"logits is `probs`: with {len(labels)} labels, what sets {first} apart is its map "
        f"less {rest}.",
        "",
        "It shows where **this network** saw evidence (a class activation map, Zhou et al., "
        "arXiv:1512.04150), right or wrong: the edge of an image, a mark or the background as "
        "readily as the thing itself. It is **not** a map of "
        f"{shown(model.words.looks_for)}, it has no outlines, and a place of it depends on pixels "
        "well beyond that place. Scale it by the largest absolute value of its image, enlarge it "
        "smoothly, and say beside it what it is. "
        f"{shown(model.intended_use)}",
        "",
    ]


def _row(artifact: ArtifactEntry) -> str:
    parity = artifact.parity
    if parity.status == "pass":
        verdict = (
            f"max \\|Δp\\| {parity.max_abs_diff:.1e}, {parity.label_flips} of "
            f"{parity.images} labels differ"
        )
        if parity.evidence:
            verdict += f", evidence {parity.evidence.max_rel_diff:.1e}"
        if parity.rounding:
            verdict += f"; on {parity.rounding.images} the network itself enlarges rounding"
    else:
        verdict = f"not run: {parity.reason}"
    runtime = FORMATS[artifact.format].least_runtime
    least = f"{runtime.title} {artifact.requires[runtime.key]}"
    return (
        f"| `{artifact.path}` | {artifact.precision} | {artifact.size_bytes:,} | {least} "
        f"| {verdict} | {_accuracy(artifact.accuracy)} |"
    )


def _accuracy(accuracy: AccuracyEntry | None) -> str:
    if accuracy is None:
        return "is the fp32 model"
    if accuracy.auroc_drop is None:
        return "its weights in 16 bits; not compared on labelled images"
    recorded = ", when it was compressed" if accuracy.source == "recorded" else ""
    rate = accuracy.flip_rate
    span = "" if rate is None or rate.low is None else f" ({rate.low:.1%} to {rate.high:.1%})"
    said = (
        f"AUROC {accuracy.auroc:.4f} for {accuracy.parent_auroc:.4f}, "
        f"{accuracy.label_flips} of {accuracy.images} labels differ{span}{recorded}"
    )
    if accuracy.accepted:
        return f"**loses too much, published on request**: {'; '.join(accuracy.broken_limits)}"
    return said


def _precisions(manifest: Manifest) -> list[str]:
    """What the names mean, of those that are here."""
    here = {artifact.precision for artifact in manifest.artifacts}
    return [*(f"- **{name}**: {said}" for name, said in PRECISIONS.items() if name in here), ""]


def _undecided(manifest: Manifest) -> list[str]:
    """What so few images cannot tell."""
    names = [
        f"{entry.format} {entry.precision}"
        for entry in manifest.artifacts
        if entry.accuracy and entry.accuracy.undecided_limits and not entry.accuracy.accepted
    ]
    if not names:
        return []
    return [
        "Too few labelled images to tell surely whether the model loses more than is allowed "
        f"(`undecided_limits` in `manifest.json`): {', '.join(names)}.",
        "",
    ]


def _rejected(manifest: Manifest) -> list[str]:
    """What was kept back by the quality gate, with its reasons."""
    lines = [
        f"- {entry.format} {entry.precision} ({entry.size_bytes:,} bytes): "
        + "; ".join(entry.accuracy.broken_limits)
        for entry in manifest.rejected
    ]
    if not lines:
        return []
    return [
        "Made and proven, but not published, for the accuracy lost; `export all --accept rejected` "
        "does it all the same:",
        "",
        *lines,
        "",
    ]
