from __future__ import annotations

import json
import re
import textwrap
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
import tree_sitter
import tree_sitter_kotlin

from export.formats.description import Port
from export.formats.source_text import comment, kotlin
from export.manifest.manifest import (
    ArtifactEntry,
    Manifest,
    as_manifest,
    manifest_document,
    read_manifest,
)
from export.packages.android import (
    class_name,
    default_file,
    package_files,
    package_name,
)
from export.packages.android_readme import gradle_module_section
from export.packages.resize_proofs import formula_image, resize_proofs
from pipeline.resize.rule import Resize
from tests.export.made_assets import write_assets

ROOT = Path(__file__).parents[3]
WEIRD = ('it\'s "x" $y', "back\\slash ${1+1}", "*/ end /* of comment", "Lungenödem 肺炎 🫁", "a\nb")


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    """The Android manifest of a made-up release, as the project's own writer writes it."""
    return read_manifest(write_assets(tmp_path_factory.mktemp("assets"))["android"])


@pytest.fixture(scope="module")
def published() -> Manifest:
    """The manifest that this repository publishes."""
    return read_manifest(ROOT / "android_assets")


def changed(manifest: Manifest, **model: Any) -> Manifest:
    return replace(manifest, model=replace(manifest.model, **model))


def with_artifacts(manifest: Manifest, artifacts: Iterable[ArtifactEntry]) -> Manifest:
    return replace(manifest, artifacts=tuple(artifacts))


def weird(manifest: Manifest) -> Manifest:
    """Hostile values for every text that a person can write."""
    return changed(
        manifest,
        labels=WEIRD,
        positive=None,
        threshold=None,
        version='1.0"; */ $x',
        intended_use='Never */ """ $use ${it} \\ here.\n// no',
    )


def broken(text: str) -> Iterator[str]:
    """The places where the grammar of Kotlin does not understand `text`."""
    parser = tree_sitter.Parser(tree_sitter.Language(tree_sitter_kotlin.language()))
    nodes = [parser.parse(text.encode()).root_node]
    while nodes:
        node = nodes.pop()
        if node.type == "ERROR" or node.is_missing:
            yield f"line {node.start_point[0] + 1}: {text.splitlines()[node.start_point[0]]}"
        elif node.has_error:
            nodes += node.children


def model_file(files: dict[str, str]) -> str:
    return next(text for path, text in files.items() if path.endswith("/Model.kt"))


def strings(text: str) -> list[str]:
    """The string literals of Kotlin code, read back; only escapes that `kotlin` writes."""
    found = re.findall(r'"((?:[^"\\\n]|\\.)*)"', text)
    return [json.loads('"' + literal.replace("\\$", "$") + '"') for literal in found]


@pytest.mark.parametrize("which", ["made up", "published", "weird"])
def test_every_kotlin_file_is_kotlin(which: str, manifest: Manifest, published: Manifest) -> None:
    document = {"made up": manifest, "published": published, "weird": weird(manifest)}[which]
    files = package_files(document)
    kotlin_files = [path for path in files if path.endswith((".kt", ".kts"))]
    assert len(kotlin_files) >= 20
    for path in kotlin_files:
        assert list(broken(files[path])) == [], path


def test_the_grammar_finds_what_is_no_kotlin() -> None:
    assert list(broken('val label = "it\'s "x" $y"\nfun f( {')) != []


def test_the_android_manifest_is_xml(manifest: Manifest) -> None:
    ElementTree.fromstring(package_files(manifest)["src/main/AndroidManifest.xml"])


def test_hashes_sizes_and_facts_are_those_of_the_manifest(published: Manifest) -> None:
    files = package_files(published)
    for artifact in published.artifacts:
        (file,) = artifact.files
        entry = re.search(
            rf'path = "{re.escape(file.path)}",\s*sizeBytes = {file.size_bytes}L,\s*'
            rf'sha256 = "{file.sha256}",\s*threads = (\d+)',
            model_file(files),
        )
        assert entry, file.path
        assert int(entry[1]) in artifact.session.values()
        assert re.search(
            rf'"{re.escape(file.path)}" to\s*"{file.sha256}"', files["build.gradle.kts"]
        )
    model = published.model
    assert model.positive is not None
    for fact in (
        f'CHECKPOINT_SHA256 = "{model.checkpoint_sha256}"',
        f"WIDTH = {model.input.width}",
        f"HEIGHT = {model.input.height}",
        "RESIZE: Resize = Resize(WIDTH, HEIGHT)\n",
        f"POSITIVE: Int? = {model.labels.index(model.positive)}",
        f"THRESHOLD: Float? = {model.threshold}f",
    ):
        assert fact in model_file(files)


def test_weird_names_come_back_as_they_were(manifest: Manifest) -> None:
    document = weird(manifest)
    text = model_file(package_files(document))
    found = strings(text)
    for said in (*WEIRD, document.model.version, document.model.intended_use):
        assert said in found
    assert "POSITIVE: Int? = null" in text
    assert "THRESHOLD: Float? = null" in text


@pytest.mark.parametrize("side", [1, 64, 299])
def test_another_side_goes_everywhere(manifest: Manifest, side: int) -> None:
    size = replace(manifest.model.input, height=side, width=side)
    files = package_files(changed(manifest, input=size))
    assert f"WIDTH = {side}\n" in model_file(files)
    assert f"HEIGHT = {side}\n" in model_file(files)
    proofs = next(text for path, text in files.items() if path.endswith("ResizeTest.kt"))
    for proof in resize_proofs(Resize(side, side)):
        assert f'Proof({proof.width}, {proof.height}, "{proof.sha256}")' in proofs


def test_another_resize_goes_everywhere(manifest: Manifest) -> None:
    rule = Resize(48, 96, "pad", "border")
    entry = replace(manifest.model.input.resize, mode="pad", fill="border")
    files = package_files(
        changed(manifest, input=replace(manifest.model.input, height=48, width=96, resize=entry))
    )
    said = "RESIZE: Resize = Resize(WIDTH, HEIGHT, Resize.Mode.PAD, Resize.Fill.BORDER)\n"
    assert said in model_file(files)
    assert "WIDTH = 96\n" in model_file(files)
    proofs = next(text for path, text in files.items() if path.endswith("ResizeTest.kt"))
    for proof in resize_proofs(rule):
        assert f'Proof({proof.width}, {proof.height}, "{proof.sha256}")' in proofs
    margin = replace(manifest.model.input.resize, margin=32)
    files = package_files(changed(manifest, input=replace(manifest.model.input, resize=margin)))
    assert "RESIZE: Resize = Resize(WIDTH, HEIGHT, margin = 32)\n" in model_file(files)


def test_another_model_is_another_package_with_other_classes(manifest: Manifest) -> None:
    files = package_files(changed(manifest, name="bone_age_2"))
    roots = {path for path in files if path.endswith("BoneAge2Classifier.kt")}
    assert roots == {"src/onnxruntime/kotlin/mobilemodels/boneage2/BoneAge2Classifier.kt"}
    for path, text in files.items():
        if path.endswith(".kt"):
            assert text.startswith("package mobilemodels.boneage2\n"), path
            assert "/mobilemodels/boneage2/" in path
    assert 'namespace = "mobilemodels.boneage2"' in files["build.gradle.kts"]
    assert '"bone_age_2.models"' in files["build.gradle.kts"]
    assert not any(
        "squeezenet" in text.lower() or "tiny" in text for text in texts_less_files(files)
    )


def texts_less_files(files: dict[str, str]) -> list[str]:
    """The texts without the names of model files, which stay those of the first model."""
    return [re.sub(r"tiny_\w+\.(onnx|ort|ptl)", "", text) for text in files.values()]


def test_nothing_is_undefined_and_no_place_of_this_machine_is_named(
    published: Manifest,
) -> None:
    for path, text in package_files(published).items():
        assert not re.search(r"\{\{|\{%|\bUndefined\b|\bNone\b", text), path
        assert str(ROOT) not in text, path
        assert str(Path.home()) not in text, path
        assert text.endswith("\n"), path
        assert max(map(len, text.splitlines())) <= 120, path


def test_the_same_manifest_gives_the_same_files(manifest: Manifest) -> None:
    again = as_manifest(json.loads(json.dumps(manifest_document(manifest))), "read again")
    assert package_files(manifest) == package_files(again)


def test_what_is_pure_knows_nothing_of_android(published: Manifest) -> None:
    pure = {p: t for p, t in package_files(published).items() if p.startswith("src/core/")}
    assert len(pure) >= 7
    for path, text in pure.items():
        imports = re.findall(r"^import (\S+)", text, re.MULTILINE)
        assert all(name.startswith(("java.io.", "java.security.")) for name in imports), path


def test_the_research_notice_is_next_to_the_classifiers(published: Manifest) -> None:
    use = published.model.intended_use
    assert "never" in use
    said = [path for path, text in package_files(published).items() if use in text]
    assert {Path(path).name for path in said} >= {
        "build.gradle.kts",
        "Model.kt",
        "Prediction.kt",
        "SqueezenetCxrClassifier.kt",
        "SqueezenetCxrLiteClassifier.kt",
    }


def test_w4_in_onnx_goes_into_an_app_that_does_not_choose(manifest: Manifest) -> None:
    artifacts = manifest.artifacts
    assert default_file(artifacts) == "tiny_w4.onnx"
    less = [a for a in artifacts if a.precision != "w4"]
    assert default_file(less) == "tiny_fp32.onnx"
    assert default_file([a for a in less if a.format != "onnx"]) == "tiny_fp32.ort"
    assert default_file([a for a in less if a.format == "torchscript"]) == "tiny_int8.ptl"


@pytest.mark.parametrize(
    ("promised", "used"),
    [("1.15", "1.27.0"), ("1.27", "1.27.0"), ("1.30", "1.30.0"), ("2.0.1",) * 2],
)
def test_the_runtime_is_never_older_than_promised(
    manifest: Manifest, promised: str, used: str
) -> None:
    document = with_artifacts(
        manifest,
        (
            replace(a, requires={**a.requires, "onnxruntime": promised})
            if "onnxruntime" in a.requires
            else a
            for a in manifest.artifacts
        ),
    )
    script = package_files(document)["build.gradle.kts"]
    assert f'"com.microsoft.onnxruntime:onnxruntime-android:{used}"' in script
    assert f"promise {promised} or newer" in script


def test_a_release_without_one_of_the_runtimes_does_not_name_it(manifest: Manifest) -> None:
    lite = [a for a in manifest.artifacts if a.format == "torchscript"]
    document = with_artifacts(manifest, lite)
    script = package_files(document)["build.gradle.kts"]
    assert "com.microsoft" not in script
    assert '"org.pytorch:pytorch_android_lite:2.1.0"' in script
    document = with_artifacts(manifest, [a for a in manifest.artifacts if a.format == "ort"])
    assert "org.pytorch:" not in package_files(document)["build.gradle.kts"]


def test_a_release_without_a_model_for_android_is_no_module(manifest: Manifest) -> None:
    document = with_artifacts(manifest, [])
    assert package_files(document) == {}
    assert gradle_module_section(document, "android_assets") == ""


@pytest.mark.parametrize(
    ("asked", "called"), [("ORT_ENABLE_BASIC", "BASIC_OPT"), ("ORT_DISABLE_ALL", "NO_OPT")]
)
def test_the_session_is_made_as_the_manifest_says(
    manifest: Manifest, asked: str, called: str
) -> None:
    files = package_files(with_level(manifest, asked))
    classifier = next(t for p, t in files.items() if p.endswith("TinyClassifier.kt"))
    assert f"OptLevel.{called})" in classifier
    assert model_file(files).count("threads = 7\n") == 2
    with pytest.raises(ValueError, match="ORT_ENABLE_MAGIC"):
        package_files(with_level(manifest, "ORT_ENABLE_MAGIC"))


def with_level(manifest: Manifest, level: str) -> Manifest:
    session: dict[str, str | int] = {"graph_optimization_level": level, "intra_op_num_threads": 7}
    return with_artifacts(
        manifest,
        (replace(a, session=session) if a.format == "onnx" else a for a in manifest.artifacts),
    )


def with_outputs(manifest: Manifest, at: int, *names: str) -> Manifest:
    """The same with the outputs of one artifact called so."""
    artifacts = list(manifest.artifacts)
    outputs = tuple(Port(name, "float32", (1, 2)) for name in names)
    artifacts[at] = replace(artifacts[at], outputs=outputs)
    return with_artifacts(manifest, artifacts)


def test_the_readme_names_what_is_in_the_module(manifest: Manifest) -> None:
    document = with_outputs(manifest, 0, "probs", "evidence")
    section = gradle_module_section(document, "android_assets")
    files = package_files(manifest)
    code = "".join(text for path, text in files.items() if path.endswith(".kt"))
    assert manifest.model.intended_use in section
    assert "import mobilemodels.tiny.*" in section
    assert "`tiny_w4.onnx` goes into the app. `tiny.models=...`" in section
    for word in ("TinyClassifier(", "readImage(", "heatMapBitmap(", "Upright", "INTENDED_USE"):
        assert word in section
        assert word in code
    for folder in re.findall(r"`(src/\w+)\*?`", section):
        assert any(path.startswith(folder) for path in files), folder
    blocks = re.findall(r"```kotlin\n(.*?) *```", section, re.DOTALL)
    assert len(blocks) == 2
    for block in blocks:
        assert list(broken(textwrap.dedent(block))) == []


def test_the_readme_describes_a_heat_map_where_there_is_one(manifest: Manifest) -> None:
    assert "heatMap" not in gradle_module_section(manifest, "android_assets")
    document = with_outputs(manifest, -1, "probs", "evidence")
    assert "heatMapBitmap(" in gradle_module_section(document, "android_assets")


def test_names_are_names_in_kotlin() -> None:
    assert class_name("squeezenet_cxr") == "SqueezenetCxr"
    assert class_name("3d_net") == "Model3dNet"
    assert package_name("Squeezenet_CXR") == "squeezenetcxr"
    assert package_name("3d_net") == "model3dnet"
    assert package_name("class") == "modelclass"
    assert package_name("___") == "model"


def test_text_is_quoted_for_kotlin() -> None:
    assert kotlin('$a "b" \\') == '"\\$a \\"b\\" \\\\"'
    assert kotlin("ä🫁\n") == '"\\u00e4\\ud83e\\udec1\\u000a"'
    assert comment("a */ b\n/* c") == "a * / b / * c"
    assert "*/" not in comment("**//")


def test_the_threshold_is_the_float_that_python_compares_with(manifest: Manifest) -> None:
    for threshold in (0.1, 0.3174, 1 / 3, 1e-6, 0.9999999):
        text = model_file(package_files(changed(manifest, threshold=threshold)))
        said = re.search(r"THRESHOLD: Float\? = (\S+)f$", text, re.MULTILINE)
        assert said
        assert np.float32(said[1]) == np.float32(threshold)


def test_the_images_of_the_resize_proofs_are_made_by_the_formula() -> None:
    pixels = formula_image(5, 3).reshape(-1, 3)
    for i, (red, green, blue) in enumerate(pixels.tolist()):
        assert (i * 2654435761 % 2**32) >> 8 == (red << 16) + (green << 8) + blue
