"""The lines of Kotlin on the report page, compiled against the stand-ins of the runtimes."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from export.formats.snippet import KOTLIN
from export.manifest.manifest import read_manifest
from export.packages.snippets import snippets
from tests.kotlin.toolchain import Toolchain

ROOT = Path(__file__).parents[2]
FAKES = Path(__file__).parent / "fakes"
ALONE = ("ONNX Runtime alone", "PyTorch lite alone")  # the module's own line its tests compile


def as_function(name: str, code: str) -> str:
    """A file of Kotlin with the imports on top and the rest in a function."""
    lines = code.splitlines()
    imports = [line for line in lines if line.startswith("import ")]
    body = "\n".join(line for line in lines if line not in imports)
    return "\n".join(
        [
            f"package {name}",
            "import android.content.Context",
            *imports,
            f"fun use(context: Context, rgb: ByteArray): FloatArray {{\n{body}\nreturn probs\n}}\n",
        ]
    )


@pytest.mark.ci("starts the Kotlin compiler once more")
def test_the_lines_that_use_a_runtime_alone_compile_without_warnings(
    tmp_path: Path, tools: Toolchain
) -> None:
    manifest = read_manifest(ROOT / "android_assets")
    sources = []
    for artifact in manifest.artifacts:
        if artifact.precision != "fp32":
            continue
        name = artifact.format
        for snippet in snippets(name, "fp32", "android", artifact, manifest.model):
            if snippet.language == KOTLIN and snippet.title.startswith(ALONE):
                path = tmp_path / f"{name}.kt"
                path.write_text(as_function(name, snippet.text), encoding="utf-8")
                sources.append(str(path))
    assert len(sources) == 3
    jars = [*tools.jars, *tools.stdlib]
    fakes, java = tmp_path / "fakes", [str(path) for path in FAKES.rglob("*.java")]
    compile_java = [tools.javac, "--release", "8", "-nowarn", "-Xlint:-options"]
    path = os.pathsep.join(map(str, jars))
    subprocess.run([*compile_java, "-cp", path, "-d", str(fakes), *java], check=True)
    path = os.pathsep.join(map(str, [fakes, *jars]))
    command = [*tools.compile_kotlin, "-d", str(tmp_path / "out")]
    done = subprocess.run(
        [*command, "-cp", path, *sources], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
