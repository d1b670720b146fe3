"""The facts of TorchScript-lite, for apps on the PyTorch lite interpreter."""

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
from export.formats.torchscript.android import ANDROID, THREADS

EXACT: Final = Tolerance(1e-4, 0.0, "the twin's very weights, unpacked exactly; arithmetic in fp32")


FACTS: Final = FormatFacts(
    name="torchscript",
    title="TorchScript-lite",
    suffix=".ptl",
    platforms=("android",),
    requirements=(Requirement("torch", extra=""),),
    runtime="torch",
    # By version of the bytecode. Read by torch 2.1.2, the version line of the last
    # pytorch_android_lite and LibTorch-Lite.
    least_runtime=LeastRuntime("pytorch_lite", "pytorch_lite", {8: "2.1.0"}),
    session={THREADS: 1},
    precisions={
        "fp32": Precision(
            "fp32",
            Tolerance(
                1e-4, 0.0, "XNNPACK sums in another order: 1e-6 on real images, 1e-5 on pure noise"
            ),
            "fp32",
        ),
        "fp16": Precision("fp16", EXACT, "fp32"),
        "int8": Precision(
            "int8",
            Tolerance(
                3e-2,
                0.01,
                "a sum that falls between two codes is rounded either way, once in a hundred "
                "thousand; all layers after it take that up",
                INTEGER_EVIDENCE,
            ),
            "int8",
        ),
        "w4": Precision("w4", EXACT, "fp32"),
        "w3": Precision("w3", EXACT, "fp32"),
    },
    refused={},
    app_precision="",
    converter_start_s=2.0,
    returns_tuple=True,
    android=ANDROID,
    swift_package=False,
    web_page=False,
    integration=Integration(
        texts={
            "android": """\
`pytorch_android_lite` {pytorch_lite} (`LiteModuleLoader`). That runtime is no longer developed:
prefer ONNX in a new app. Input: a uint8 tensor `(1, {height}, {width}, 3)`; {outputs}.
Set one thread: `LitePyTorchAndroid.setNumThreads({num_threads})`. int8 needs the engine
`qnnpack`, which is the one that Android has.
"""
        },
        outputs="output: {probs}",
        outputs_with_evidence="output: a tuple (`IValue.toTuple()`) of probs, {probs}, and "
        "evidence, {evidence}",
    ),
    other_builds=(
        RuntimeBuild(
            name="arm64-torch",
            target="arm64",
            arch="arm64",
            module="torch",
            packages=(
                "torch==2.1.2",  # the version line of the last pytorch_android_lite, 2.1.0
                "numpy==1.26.4",
                "typing_extensions==4.16.0",
                "sympy==1.14.0",
                "mpmath==1.3.0",
            ),
            threads=1,
        ),
    ),
)
