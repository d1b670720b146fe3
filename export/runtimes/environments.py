"""The register of foreign environments: one readable literal, every package pinned.

Packages are installed without their dependencies: what is listed is all that loading and running a
model imports, found by trying.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

Target = Literal["arm64", "oldest"]


@dataclass(frozen=True)
class Environment:
    """A runtime build other than the one installed.

    Attributes:
        name: also of its folder in the cache.
        target: what ``make`` and ``python -m export.runtimes install`` call it with its like.
        arch: ``native``: of this machine; ``arm64``: aarch64, emulated where that is not native.
        module: the runtime, as it is imported.
        packages: pinned requirements, the runtime first.
        formats: keys of `FORMATS` whose files it runs.
        threads: that the runtime may use.
    """

    name: str
    target: Target
    arch: Literal["native", "arm64"]
    module: str
    packages: tuple[str, ...]
    formats: tuple[str, ...]
    threads: int = 1


ENVIRONMENTS: Final[Mapping[str, Environment]] = {
    environment.name: environment
    for environment in (
        Environment(
            name="arm64-onnxruntime",
            target="arm64",
            arch="arm64",
            module="onnxruntime",
            packages=("onnxruntime==1.32.0", "numpy==2.4.6"),  # those of constraints.txt
            formats=("onnx", "ort"),
        ),
        Environment(
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
            formats=("torchscript",),
        ),
        Environment(
            name="oldest-onnx",
            target="oldest",
            arch="native",
            module="onnxruntime",
            # The oldest with a wheel for Python 3.11.
            packages=("onnxruntime==1.15.0", "numpy==1.26.4"),
            formats=("onnx",),
        ),
        Environment(
            name="oldest-ort",
            target="oldest",
            arch="native",
            module="onnxruntime",
            # The oldest that reads version 6 of the ORT format; 1.15.1 refuses it.
            packages=("onnxruntime==1.16.0", "numpy==1.26.4"),
            formats=("ort",),
        ),
    )
}
