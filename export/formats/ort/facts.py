"""The facts of the ORT format: the ONNX file, optimised ahead, for the same runtime."""

from __future__ import annotations

from typing import Final

from export.formats.facts import (
    FormatFacts,
    Integration,
    LeastRuntime,
    Precision,
    RuntimeBuild,
    Tolerance,
)
from export.formats.onnx.android import ANDROID, THREADS
from export.formats.onnx.facts import ARM64, INT8, REQUIREMENTS

FOLDED: Final = (
    "constants are folded when an ORT file is written, so that packed weights would be stored "
    "unpacked; the ONNX file is as small as it should be"
)


FACTS: Final = FormatFacts(
    name="ort",
    title="ORT format",
    suffix=".ort",
    platforms=("android",),
    requirements=REQUIREMENTS,
    runtime="onnxruntime",
    # By the version of the format; 1.15.1 refuses version 6.
    least_runtime=LeastRuntime("onnxruntime", "onnxruntime", {6: "1.16"}),
    session={THREADS: 2},
    precisions={
        "fp32": Precision(
            "fp32",
            Tolerance(1e-4, 0.0, "as ONNX: the same kernels, fused ahead instead of at load"),
            "fp32",
        ),
        "int8": Precision("int8", INT8, "int8"),
    },
    refused={"fp16": FOLDED, "w4": FOLDED, "w3": FOLDED},
    app_precision="",
    converter_start_s=3.0,
    returns_tuple=False,
    android=ANDROID,
    swift_package=False,
    web_page=False,
    integration=Integration(
        texts={
            "android": """\
The same network with its graph optimised ahead, for onnxruntime {onnxruntime} or newer, reduced
builds included. Input, outputs and options as for ONNX. There is no w4 or w3: an ORT file holds its
weights unpacked.
"""
        },
        outputs="",
        outputs_with_evidence="",
    ),
    other_builds=(
        ARM64,
        RuntimeBuild(
            name="oldest-ort",
            target="oldest",
            arch="native",
            module="onnxruntime",
            # The oldest that reads version 6 of the ORT format; 1.15.1 refuses it.
            packages=("onnxruntime==1.16.0", "numpy==1.26.4"),
            threads=1,
        ),
    ),
)
