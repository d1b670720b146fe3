"""Render the Android module, compile it, run its tests on a JVM.

In: an asset folder. Out: a `JvmRun`. Pure Kotlin (``src/core``) can be compiled alone, so that no
Android class can slip into it; the whole is compiled against the stand-ins in ``fakes/``.
"""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from export.manifest.manifest import read_manifest
from export.packages.android import GROUP, class_name, package_files, package_name
from export.packages.render import render
from tests.kotlin.toolchain import Toolchain
from tests.kotlin.vectors import write_vectors

HERE: Final = Path(__file__).parent
PURE: Final = ("src/core/kotlin",)
ANDROID: Final = (
    "src/main/kotlin",
    "src/onnxruntime/kotlin",
    "src/pytorch/kotlin",
    "src/androidTest/kotlin",
    "src/androidTestOnnxruntime/kotlin",
    "src/androidTestPytorch/kotlin",
)
UNIT_TESTS: Final = ("src/golden/kotlin", "src/test/kotlin")


@dataclass(frozen=True)
class JvmRun:
    """The result: `tests` counts those that ran, `output` is JUnit's or the compiler's."""

    passed: bool
    tests: int
    vectors: int
    output: str


class KotlinRefused(Exception):
    """A compiler refused the rendered code; the message is its own."""


def write_module(assets: Path, folder: Path) -> Path:
    """Render the module for the manifest in `assets` into `folder`, which is returned."""
    manifest = replace(read_manifest(assets), files=())
    texts = package_files(manifest)
    name = manifest.model.name
    checks = {
        "package": f"{GROUP}.{package_name(name)}",
        "class_name": class_name(name),
    }
    texts |= {f"checks/{p}": text for p, text in render("checks", checks, root=HERE).items()}
    for path, text in texts.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text, encoding="utf-8")
    return folder


def compile_pure(module: Path, work: Path, tools: Toolchain) -> None:
    """Compile what an app on a JVM uses as well, without any stand-in. Raises KotlinRefused."""
    _kotlinc(tools, [module / root for root in PURE], work / "pure", [])


def run_module_tests(assets: Path, work: Path, tools: Toolchain) -> JvmRun:
    """Render, compile and test the module of the asset folder `assets` below `work`.

    Raises:
        KotlinRefused: the code does not compile, or not without warnings.
    """
    module, vectors = work / "module", work / "vectors"
    write_module(assets, module)
    count = write_vectors(vectors, assets)
    fakes, rest = work / "fakes", work / "rest"
    sources = [str(path) for path in sorted((HERE / "fakes").rglob("*.java"))]
    junit = os.pathsep.join(str(jar) for jar in tools.jars)
    _compile(
        [
            tools.javac,
            "--release",
            "8",
            "-nowarn",
            "-Xlint:-options",
            "-cp",
            junit,
            "-d",
            str(fakes),
            *sources,
        ]
    )
    # All in one module, as Gradle compiles it: tests see what is internal.
    roots = [module / root for root in (*PURE, *UNIT_TESTS, *ANDROID)]
    _kotlinc(tools, [*roots, module / "checks"], rest, [fakes, *tools.jars, *tools.stdlib])
    path = os.pathsep.join(str(part) for part in (rest, fakes, *tools.jars, *tools.stdlib))
    run = subprocess.run(
        [tools.java, "-Djava.awt.headless=true", f"-Dmodule.folder={assets}",
         f"-Dvectors.folder={vectors}", "-cp", path, "org.junit.runner.JUnitCore", *_tests(module)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    ran = re.search(r"^(?:OK \(|Tests run: )(\d+)", run.stdout, re.MULTILINE)
    return JvmRun(run.returncode == 0, int(ran[1]) if ran else 0, count, run.stdout + run.stderr)


def _tests(module: Path) -> list[str]:
    """Classes of the unit tests; those for a device are started by `AndroidPartTest` alone."""
    files = [*(module / "src/test").rglob("*Test.kt"), *(module / "checks").glob("*Test.kt")]
    package = re.search(r"^package (\S+)$", files[0].read_text(encoding="utf-8"), re.MULTILINE)
    assert package
    return sorted(f"{package[1]}.{file.stem}" for file in files)


def _kotlinc(tools: Toolchain, roots: Sequence[Path], out: Path, path: Sequence[Path]) -> None:
    command = [*tools.compile_kotlin, "-d", str(out)]
    if path:
        command += ["-cp", os.pathsep.join(str(part) for part in path)]
    _compile([*command, *(str(root) for root in roots)])


def _compile(command: Sequence[str]) -> None:
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    if run.returncode:
        raise KotlinRefused(f"{Path(command[0]).name}:\n{run.stdout}{run.stderr}")
