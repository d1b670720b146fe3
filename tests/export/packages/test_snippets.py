"""The code on the report page: Python is run, Kotlin and Swift are parsed (and Kotlin compiled).

The lines of HTML are the README's, which tests/browser runs.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tree_sitter
import tree_sitter_kotlin
import tree_sitter_swift
from PIL import Image, ImageOps

from export.formats.snippet import HTML, KOTLIN, PYTHON, SWIFT, Snippet, python_resized
from export.manifest.manifest import ArtifactEntry, Manifest, read_manifest
from export.packages.android_readme import kotlin_usage
from export.packages.folder_readme import asset_readme
from export.packages.ios_readme import swift_usage
from export.packages.snippets import snippets
from export.packages.web_readme import html_usage
from pipeline.images import read_image
from pipeline.resize.rule import FILLS, Resize

ROOT = Path(__file__).parents[3]
PLACES = {"android": "android_assets", "ios": "ios_assets", "web": "web_assets"}
# fp32 and int8 of each format: the others differ from these in their weights alone.
RUN = [
    pytest.param(f"squeezenet_cxr_{precision}{suffix}", marks=marks)
    for suffix, marks in (
        (".onnx", ()),
        (".ort", ()),
        (".ptl", pytest.mark.slow("imports torch in another process")),
    )
    for precision in ("fp32", "int8")
]
GRAMMARS = {KOTLIN: tree_sitter_kotlin, SWIFT: tree_sitter_swift}


def manifests() -> Iterator[tuple[str, Manifest]]:
    for platform, folder in PLACES.items():
        yield platform, read_manifest(ROOT / folder)


def made(platform: str, manifest: Manifest, entry: ArtifactEntry) -> list[Snippet]:
    return snippets(entry.format, entry.precision, platform, entry, manifest.model)


def every() -> list[tuple[str, ArtifactEntry, Snippet]]:
    return [
        (platform, entry, snippet)
        for platform, manifest in manifests()
        for entry in manifest.artifacts
        for snippet in made(platform, manifest, entry)
    ]


def broken(snippet: Snippet) -> list[str]:
    """The places where the grammar of the language does not understand the code."""
    if snippet.language == HTML:
        opened, comment, lines = snippet.text.partition("\n-->\n")
        whole = comment and opened.startswith("<!--") and "--" not in opened[4:]
        return [] if whole and html_script(lines) else [snippet.text]
    parser = tree_sitter.Parser(tree_sitter.Language(GRAMMARS[snippet.language].language()))
    nodes, found = [parser.parse(snippet.text.encode()).root_node], []
    while nodes:
        node = nodes.pop()
        if node.type == "ERROR" or node.is_missing:
            found.append(snippet.text.splitlines()[node.start_point[0]])
        elif node.has_error:
            nodes += node.children
    return found


def html_script(lines: str) -> bool:
    """Whether these are the README's, of some precision."""
    precisions = [None, *("fp32", "fp16", "int8", "w4", "w3")]
    return lines in [html_usage("web_assets", True, precision) for precision in precisions]


def test_every_snippet_parses() -> None:
    for _, entry, snippet in every():
        if snippet.language == PYTHON:
            compile(snippet.text, entry.path, "exec")
        else:
            assert broken(snippet) == [], f"{entry.path}\n{snippet.text}"


def test_every_snippet_names_the_file_its_hashes_and_its_ports() -> None:
    for _, entry, snippet in every():
        lines = snippet.text.partition("\n-->")[0].splitlines()
        head = [line for line in lines if line.startswith(("//", "#", "  "))]
        for file in entry.files:
            assert any(file.path in line and file.sha256 in line for line in head)
        for way, ports in (("in", entry.inputs), ("out", entry.outputs)):
            for port in ports:
                shape = ", ".join(map(str, port.shape))
                said = f"{way} {port.name}: {port.dtype} ({shape})"
                assert any(said in line for line in head), (said, head)


@pytest.mark.parametrize(
    ("platform", "format_name", "languages"),
    [
        ("android", "onnx", [KOTLIN, KOTLIN, PYTHON]),
        ("android", "ort", [KOTLIN, KOTLIN, PYTHON]),
        ("android", "torchscript", [KOTLIN, KOTLIN, PYTHON]),
        ("ios", "onnx", [SWIFT, PYTHON]),
        ("web", "onnx", [HTML, PYTHON]),
        ("ios", "coreml", [SWIFT, SWIFT, PYTHON]),
    ],
)
def test_each_platform_has_its_languages(
    platform: str, format_name: str, languages: list[str]
) -> None:
    found = [
        [s.language for s in made(platform, manifest, entry)]
        for p, manifest in manifests()
        if p == platform
        for entry in manifest.artifacts
        if entry.format == format_name
    ]
    assert found
    assert all(of_file == languages for of_file in found)


def test_session_options_are_the_manifests() -> None:
    platform, manifest = next(manifests())
    session = {"intra_op_num_threads": 7, "graph_optimization_level": "ORT_ENABLE_BASIC"}
    published = next(a for a in manifest.artifacts if a.format == "onnx")
    entry = replace(published, session=session)
    _, kotlin, python = made(platform, manifest, entry)
    assert "setIntraOpNumThreads(7)" in kotlin.text
    assert "OptLevel.BASIC_OPT" in kotlin.text
    assert "intra_op_num_threads = 7" in python.text
    assert "GraphOptimizationLevel.ORT_ENABLE_BASIC" in python.text


@pytest.mark.parametrize("path", RUN)
def test_the_python_lines_run_the_published_file(path: str, tmp_path: Path) -> None:
    platform, manifest = next(manifests())
    entry = next(a for a in manifest.artifacts if a.path == path)
    code = next(s.text for s in made(platform, manifest, entry) if s.language == PYTHON)
    pixels = np.random.default_rng(0).integers(0, 256, (300, 260, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "photo.jpg")
    shutil.copy(ROOT / "android_assets" / path, tmp_path)
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    probs = json.loads(done.stdout.strip().splitlines()[-1].replace("'", '"'))
    assert tuple(probs) == manifest.model.labels
    assert sum(probs.values()) == pytest.approx(1, abs=1e-3)


def test_of_very_many_labels_the_python_lines_read_the_file(tmp_path: Path) -> None:
    platform, manifest = next(manifests())
    labels = tuple(f"label {i} 赤" for i in range(600))
    many = replace(manifest, model=replace(manifest.model, labels=labels))
    entry = next(a for a in many.artifacts if a.format == "onnx")
    code = next(s.text for s in made(platform, many, entry) if s.language == PYTHON)
    assert "label 0" not in code
    Image.new("RGB", (260, 300)).save(tmp_path / "photo.jpg")
    shutil.copy(ROOT / "android_assets" / entry.path, tmp_path)
    (tmp_path / "labels.txt").write_text("".join(f"{x}\n" for x in labels), encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    probs = json.loads(done.stdout.strip().splitlines()[-1].replace("'", '"'))
    assert tuple(probs) == labels[:2]


def test_a_changed_file_is_refused_by_the_python_lines(tmp_path: Path) -> None:
    platform, manifest = next(manifests())
    entry = next(a for a in manifest.artifacts if a.format == "onnx")
    code = next(s.text for s in made(platform, manifest, entry) if s.language == PYTHON)
    content = (ROOT / "android_assets" / entry.path).read_bytes()
    (tmp_path / entry.path).write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path
    )
    assert "AssertionError" in done.stderr


def test_hostile_names_stay_literals_and_comments() -> None:
    hostile = "x\"; */ $y ${1} \\ '\n"
    for platform, manifest in manifests():
        document = replace(manifest, model=replace(manifest.model, labels=(hostile, "b")))
        for entry in document.artifacts:
            files = (replace(entry.files[0], path=hostile), *entry.files[1:])
            renamed = replace(entry, path=hostile, files=files)
            for snippet in made(platform, document, renamed):
                if snippet.language == PYTHON:
                    compile(snippet.text, "snippet", "exec")
                else:
                    assert broken(snippet) == [], snippet.text


def test_page_and_readme_show_the_same_lines() -> None:
    for platform, manifest in manifests():
        readme = asset_readme(platform, manifest)
        mapped = any(port.name == "evidence" for port in manifest.artifacts[0].outputs)
        used = {
            "android": kotlin_usage(
                "mobilemodels.squeezenetcxr", "SqueezenetCxrClassifier", mapped
            ),
            "ios": swift_usage("SqueezenetCxr", mapped),
            "web": html_usage("web_assets", mapped),
        }[platform]
        for line in used.splitlines():
            assert line in readme


def test_of_an_unknown_format_there_are_none() -> None:
    platform, manifest = next(manifests())
    unknown = replace(manifest.artifacts[0], format="tflite")
    assert made(platform, manifest, unknown) == []


RULES = {
    "squish": Resize(64, 48),
    "margin": Resize(64, 64, margin=16),
    "crop": Resize(48, 64, "crop"),
    **{f"pad {fill}": Resize(48, 64, "pad", fill) for fill in FILLS},
    **{f"centre {fill}": Resize(64, 64, "centre", fill) for fill in FILLS},
}


@pytest.mark.parametrize("rule", RULES.values(), ids=RULES)
@pytest.mark.parametrize("size", [(200, 90), (31, 170), (20, 30), (97, 53)])
def test_the_lines_that_resize_in_python_give_the_rules_pixels(
    rule: Resize, size: tuple[int, int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(size)
    pixels = rng.integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    photo = tmp_path / "photo.jpg"
    Image.fromarray(pixels).save(photo, "PNG")  # lossless, under the name that the lines have
    monkeypatch.chdir(tmp_path)
    names = {"Image": Image, "ImageOps": ImageOps, "np": np}
    exec(python_resized(rule), names)
    np.testing.assert_array_equal(np.asarray(names["resized"]), read_image(photo, rule))
