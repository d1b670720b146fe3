"""The facts of Core ML: an .mlpackage with an ML Program."""

from __future__ import annotations

from typing import Final

from export.formats.facts import (
    HALF_EVIDENCE,
    FormatFacts,
    Integration,
    LeastRuntime,
    Precision,
    Requirement,
    Tolerance,
)


def _rounded(bits: int) -> Tolerance:
    """The variant has the same weights: only the fp16 arithmetic differs.

    Measured on 150 X-rays: 2.3e-3, 2.2e-3 and 1.3e-3 with 8, 4 and 3 bits, no flips.
    """
    reason = f"the twin's weights of {bits} bits, computed in fp16"
    return Tolerance(5e-3, 0.01, reason, HALF_EVIDENCE)


FACTS: Final = FormatFacts(
    name="coreml",
    title="Core ML",
    suffix=".mlpackage",
    platforms=("ios",),
    requirements=(Requirement("coremltools", extra="coreml"),),
    runtime="coremltools",
    # By version of the specification; from coremltools' own table.
    least_runtime=LeastRuntime("ios", "iOS", {7: "16.0", 9: "18.0"}),
    session={"compute_units": "all"},
    precisions={
        "fp32": Precision(
            "fp32", Tolerance(1e-4, 0.0, "the same arithmetic in another order"), "fp32"
        ),
        "fp16": Precision(
            "fp16",
            Tolerance(
                5e-3,
                0.01,
                "11 significant bits a layer: logits near 20 move in steps of 1/64",
                HALF_EVIDENCE,
            ),
            "fp16",
        ),
        "int8": Precision("w8", _rounded(8), "fp16"),  # iOS 16 has no quantised activations
        "w4": Precision("w4", _rounded(4), "fp16"),
        "w3": Precision("w3", _rounded(3), "fp16"),
    },
    refused={},
    app_precision="",
    converter_start_s=8.0,
    returns_tuple=False,
    android=None,
    swift_package=True,
    web_page=False,
    integration=Integration(
        texts={
            "ios": """\
The least iOS stands in the table. Takes the image itself (Vision: `imageCropAndScaleOption =
.scaleFill`), gives `label`, `probs`, a probability by label{outputs}.
int8, w4 and w3 are precisions of the weights; arithmetic is in fp16.
Compute units: {compute_units}.
"""
        },
        outputs="",
        outputs_with_evidence=", and `evidence`, a multi-array, {evidence}",
    ),
    other_builds=(),
)
