"""The facts of a toy format: PyTorch's own pickle of the network."""

from __future__ import annotations

from typing import Final

from export.formats.facts import (
    FormatFacts,
    Integration,
    LeastRuntime,
    Precision,
    Requirement,
    Tolerance,
)

FACTS: Final = FormatFacts(
    name="toy",
    title="Toy format",
    suffix=".toy",
    platforms=("android", "ios", "web"),
    requirements=(Requirement("torch", extra=""),),
    runtime="torch",
    least_runtime=LeastRuntime("toy_runtime", "toy runtime", {1: "1.0"}),
    session={"toys": 3},
    precisions={
        "fp32": Precision("fp32", Tolerance(1e-4, 0.0, "it is PyTorch itself"), "fp32"),
    },
    refused={},
    app_precision="",
    converter_start_s=2.0,
    returns_tuple=False,
    android=None,
    swift_package=False,
    web_page=False,
    integration=Integration(
        texts=dict.fromkeys(("android", "ios", "web"), "Play with {toys} toys{outputs}.\n"),
        outputs="",
        outputs_with_evidence=" and {evidence}",
    ),
    other_builds=(),
)
