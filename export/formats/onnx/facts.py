"""The facts of ONNX: one file for onnxruntime on Android, iOS and the Web."""

from __future__ import annotations

from typing import Final

from export.formats.facts import (
    INTEGER_EVIDENCE,
    FormatFacts,
    Integration,
    LeastRuntime,
    Precision,
    Requirement,
    RuntimeBuild,
    Tolerance,
)
from export.formats.onnx.android import ANDROID, LEVEL, THREADS

EXACT: Final = Tolerance(1e-4, 0.0, "the twin's very weights, unpacked exactly; arithmetic in fp32")
INT8: Final = Tolerance(
    3e-2,
    0.01,
    "a sum that falls between two codes is rounded either way, once in a thousand",
    INTEGER_EVIDENCE,
)
TEXT: Final = """\
PACKAGE {onnxruntime} or newer. Input `image`: uint8
`(1, {height}, {width}, 3)`. Output `probs`: float32 `(1, {classes})`{outputs}. Session options:
leave the graph optimisation level at its default (all), which unpacks fp16, w4 and w3 once, at
load; set `intra_op_num_threads` to {intra_op_num_threads}. An output that is not asked for by name
is not copied out.
"""
REQUIREMENTS: Final = tuple(
    Requirement(module, "onnx") for module in ("onnx", "onnxruntime", "onnxsim")
)
ARM64: Final = RuntimeBuild(
    name="arm64-onnxruntime",
    target="arm64",
    arch="arm64",
    module="onnxruntime",
    packages=("onnxruntime==1.32.0", "numpy==2.4.6"),  # those of constraints.txt
    threads=1,
)


FACTS: Final = FormatFacts(
    name="onnx",
    title="ONNX",
    suffix=".onnx",
    platforms=("android", "ios", "web"),
    requirements=REQUIREMENTS,
    runtime="onnxruntime",
    # By opset. The oldest that Python 3.11 can test (`other_builds`); 1.12 introduced opset 17.
    least_runtime=LeastRuntime("onnxruntime", "onnxruntime", {17: "1.15"}),
    session={THREADS: 2, LEVEL: "ORT_ENABLE_ALL"},
    precisions={
        "fp32": Precision(
            "fp32",
            Tolerance(
                1e-4,
                0.0,
                "the same arithmetic in another order: 1e-6 on real images, 1e-5 on pure noise",
            ),
            "fp32",
        ),
        "fp16": Precision("fp16", EXACT, "fp32"),
        "int8": Precision("int8", INT8, "int8"),
        "w4": Precision("w4", EXACT, "fp32"),
        "w3": Precision("w3", EXACT, "fp32"),
    },
    refused={},
    app_precision="w4",
    converter_start_s=3.0,
    returns_tuple=False,
    android=ANDROID,
    swift_package=False,
    web_page=True,
    integration=Integration(
        texts={
            "android": TEXT.replace("PACKAGE", "`onnxruntime-android`"),
            "ios": TEXT.replace("PACKAGE", "`onnxruntime-objc`"),
            "web": TEXT.replace(
                "PACKAGE",
                "`onnxruntime-web` as `package.json` pins it, or another onnxruntime,",
            ),
        },
        outputs="",
        outputs_with_evidence="; `evidence`: {evidence}",
    ),
    other_builds=(
        ARM64,
        RuntimeBuild(
            name="oldest-onnx",
            target="oldest",
            arch="native",
            module="onnxruntime",
            # The oldest with a wheel for Python 3.11.
            packages=("onnxruntime==1.15.0", "numpy==1.26.4"),
            threads=1,
        ),
    ),
)
