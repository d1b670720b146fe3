"""The iOS package as texts: what the templates make of a manifest, and that all of it parses."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import tree_sitter_swift
from tree_sitter import Language, Node, Parser

from export.formats.source_text import swift_comment, swift_string
from export.manifest.manifest import ArtifactEntry, Manifest, read_manifest
from export.packages.ios import (
    default_model,
    module_name,
    package_files,
)
from pipeline.resize.rule import Resize
from tests.export.made_assets import write_assets

ROOT = Path(__file__).parents[3]
PUBLISHED = ROOT / "ios_assets"
PARSER = Parser(Language(tree_sitter_swift.language()))
WEIRD = ('it\'s "x" \\(y)', "b\n\tü\u2028\u0007{{ name }}")
NAMED = re.compile(r"\b(?:let|var|func|case|enum|struct|class|init)\s+`?(\w+)")
MEMBER = re.compile(r"\b(ModelFacts|ImageClassifier|GoldenPack|Classification)\.(\w+)")


def published() -> Manifest:
    return read_manifest(PUBLISHED)


def made(root: Path, **changes: object) -> Manifest:
    return read_manifest(write_assets(root, **changes)["ios"])


def changed(manifest: Manifest, change: Callable[[ArtifactEntry], ArtifactEntry]) -> Manifest:
    return replace(manifest, artifacts=tuple(map(change, manifest.artifacts)))


def faults(node: Node) -> list[str]:
    """Where the grammar finds something wrong or missing."""
    found = [f"{node.type} at {node.start_point}"] if node.is_error or node.is_missing else []
    return found + [fault for child in node.children for fault in faults(child)]


def literals(text: str) -> list[str]:
    """String literals of Swift source, as written."""
    found, nodes = [], [PARSER.parse(text.encode()).root_node]
    while nodes:
        node = nodes.pop()
        if node.type == "line_string_literal":
            assert node.text is not None
            found.append(node.text.decode())
        else:
            nodes += reversed(node.children)
    return found


@pytest.fixture(scope="module")
def files() -> dict[str, str]:
    return package_files(published())


@pytest.mark.parametrize("case", ["published", "odd"])
def test_every_source_parses(case: str, tmp_path: Path) -> None:
    odd: dict[str, Any] = {
        "name": "_9_lives", "side": 33, "labels": WEIRD, "positive": WEIRD[1], "threshold": 1e-7
    }  # fmt: skip
    manifest = published() if case == "published" else made(tmp_path, **odd)
    sources = package_files(manifest)
    assert len(sources) >= 20
    for path, text in sources.items():
        assert path.endswith(".swift")
        assert not faults(PARSER.parse(text.encode()).root_node), path


def test_the_grammar_finds_a_missing_brace(files: dict[str, str]) -> None:
    for path, text in files.items():
        last = text.rindex("}") if "}" in text else text.rindex(")")
        assert faults(PARSER.parse((text[:last] + text[last + 1 :]).encode()).root_node), path


def test_nothing_of_a_template_is_left_and_nothing_of_this_machine_is_in(
    files: dict[str, str],
) -> None:
    for path, text in files.items():
        for left in ("{{", "{%", "%}", "Undefined", "None", str(ROOT), "\t", "\r"):
            assert left not in text, (path, left)
        assert "{" not in path
        assert text.endswith(("}\n", ")\n", "#endif\n")), path
        assert all(len(line) <= 110 for line in text.splitlines()), path


def test_the_package_is_named_after_the_model(files: dict[str, str]) -> None:
    roots = {path.split("/")[0] for path in files}
    assert roots == {"Package.swift", "Sources", "Tests"}
    folders = {"/".join(path.split("/")[:2]) for path in files if "/" in path}
    assert folders == {"Sources/SqueezenetCxr", "Tests/SqueezenetCxrTests"}
    tests = [text for path, text in files.items() if path.startswith("Tests/") and "XCTest" in text]
    assert tests
    assert all("@testable import SqueezenetCxr\n" in text for text in tests)


@pytest.mark.parametrize(
    ("name", "module"),
    [
        ("squeezenet_cxr", "SqueezenetCxr"),
        ("tiny", "Tiny"),
        ("a__b_", "AB"),
        ("myNet_v2", "MyNetV2"),
        ("9_lives", "Model9Lives"),
        ("_", "Model"),
    ],
)
def test_a_module_name_is_one_that_swift_takes(name: str, module: str) -> None:
    assert module_name(name) == module


def test_every_file_of_the_manifest_is_checked_by_its_hash(files: dict[str, str]) -> None:
    facts = files["Sources/SqueezenetCxr/ModelFacts.swift"]
    listed = re.findall(r'path: "([^"]+)",\s+sizeBytes: (\d+),\s+sha256: "([0-9a-f]{64})"', facts)
    expected = [
        (file.path, str(file.size_bytes), file.sha256)
        for artifact in published().artifacts
        if artifact.format == "coreml"
        for file in artifact.files
    ]
    assert sorted(listed) == sorted(expected)
    assert len(listed) == 15


def test_the_facts_are_the_manifests(tmp_path: Path) -> None:
    manifest = made(tmp_path, name="two_x", side=96, threshold=0.125)
    facts = package_files(manifest)["Sources/TwoX/ModelFacts.swift"]
    assert 'name = "two_x"' in facts
    assert 'version = "1.2.3"' in facts
    assert "resize = Resize(width: 96, height: 96)\n" in facts
    assert "positive: Int? = 0\n" in facts
    assert "threshold: Float? = 0.125\n" in facts
    assert swift_string(manifest.model.intended_use) in facts


RESIZES = {
    "width: 96, height: 64, mode: .crop": Resize(64, 96, "crop"),
    "width: 64, height: 64, mode: .pad, fill: .border": Resize(64, 64, "pad", "border"),
    "width: 96, height: 64, mode: .centre, fill: .zeros": Resize(64, 96, "centre", "zeros"),
    "width: 96, height: 64": Resize(64, 96),
    "width: 64, height: 64, margin: 16": Resize(64, 64, margin=16),
}


@pytest.mark.parametrize(("said", "rule"), RESIZES.items(), ids=RESIZES)
def test_the_models_own_resize_is_in_the_facts(said: str, rule: Resize, tmp_path: Path) -> None:
    facts = package_files(made(tmp_path, name="two_x", resize=rule))
    assert f"resize = Resize({said})\n" in facts["Sources/TwoX/ModelFacts.swift"]


def test_evidence_is_never_taken_for_the_probabilities() -> None:
    def evidence_first(artifact: ArtifactEntry) -> ArtifactEntry:
        probs, evidence = artifact.outputs
        assert (probs.name, evidence.name) == ("probs", "evidence")
        return replace(artifact, outputs=(evidence, probs))

    facts = package_files(changed(published(), evidence_first))[
        "Sources/SqueezenetCxr/ModelFacts.swift"
    ]
    assert 'probabilitiesName = "probs"\n' in facts
    assert 'evidenceName = "evidence"\n' in facts


def test_without_a_positive_label_there_is_no_threshold(tmp_path: Path) -> None:
    manifest = made(tmp_path, labels=("a", "b", "c"), positive=None, threshold=None)
    facts = package_files(manifest)["Sources/Tiny/ModelFacts.swift"]
    assert "positive: Int? = nil\n" in facts
    assert "threshold: Float? = nil\n" in facts


def test_the_default_is_the_smallest_model_that_the_oldest_ios_loads() -> None:
    manifest = published()
    chosen = default_model(manifest)
    assert chosen is not None
    assert chosen.path == "squeezenet_cxr_int8.mlpackage"
    smaller = [
        artifact
        for artifact in manifest.artifacts
        if artifact.format == "coreml" and artifact.size_bytes < chosen.size_bytes
    ]
    assert {artifact.requires["ios"] for artifact in smaller} == {"18.0"}
    assert (
        'let model = "squeezenet_cxr_int8.mlpackage"\n' in package_files(manifest)["Package.swift"]
    )


def test_each_model_names_the_systems_that_load_it(files: dict[str, str]) -> None:
    package = files["Package.swift"]
    assert '"squeezenet_cxr_fp16.mlpackage": ("16.0", "13.0"),' in package
    assert '"squeezenet_cxr_w4.mlpackage": ("18.0", "15.0"),' in package


def test_a_system_of_2025_has_one_number_for_both_platforms() -> None:
    def of_2025(artifact: ArtifactEntry) -> ArtifactEntry:
        if (artifact.format, artifact.precision) != ("coreml", "w4"):
            return artifact
        return replace(artifact, requires={**artifact.requires, "ios": "26.1"})

    manifest = changed(published(), of_2025)
    assert 'w4.mlpackage": ("26.1", "26.1"),' in package_files(manifest)["Package.swift"]


def test_resources_and_sources_are_there(files: dict[str, str]) -> None:
    text = files["Package.swift"]
    for source in re.findall(r'sources: \["([^"]+)"\]', text):
        assert any(path.startswith(f"{source}/") for path in files), source
    for name in re.findall(r'"(\w+\.mlpackage)": \(', text):
        assert (PUBLISHED / name / "Manifest.json").is_file()


def test_members_that_are_used_are_declared(files: dict[str, str]) -> None:
    declared = {name for text in files.values() for name in NAMED.findall(text)}
    used = {member for text in files.values() for _, member in MEMBER.findall(text)}
    assert len(used) > 15
    assert used - declared <= {"self"}


@pytest.mark.parametrize(
    ("text", "literal"),
    [
        ("plain ü", '"plain ü"'),
        ('say "x"', '"say \\"x\\""'),
        ("\\(exit(1))", '"\\\\(exit(1))"'),
        ("a\nb\tc\r\0", '"a\\nb\\tc\\r\\0"'),
        ("\u2028\u0007", '"\\u{2028}\\u{7}"'),
    ],
)
def test_any_text_becomes_one_string_literal(text: str, literal: str) -> None:
    assert swift_string(text) == literal
    assert literals(f"let x = {literal}\n") == [literal]


def test_weird_labels_stay_text(tmp_path: Path) -> None:
    manifest = made(tmp_path, labels=WEIRD, positive=WEIRD[0])
    facts = package_files(manifest)["Sources/Tiny/ModelFacts.swift"]
    listed = facts[facts.index("labels: [String] = [") : facts.index("The place in")]
    assert literals(listed) == [swift_string(label) for label in WEIRD]


def test_a_comment_cannot_be_left() -> None:
    assert swift_comment("one\ntwo */ \u2028three") == "one two */ three"


def test_unknown_compute_units_are_refused() -> None:
    session = {"compute_units": "abacus"}
    manifest = changed(published(), lambda artifact: replace(artifact, session=session))
    with pytest.raises(ValueError, match="abacus"):
        package_files(manifest)


def test_without_a_core_ml_model_there_is_no_package() -> None:
    whole = published()
    others = tuple(a for a in whole.artifacts if a.format != "coreml")
    manifest = replace(whole, artifacts=others)
    assert package_files(manifest) == {}
    assert default_model(manifest) is None


def test_research_only_is_stated_where_the_code_is_read(files: dict[str, str]) -> None:
    for name in ("ModelFacts", "Apple/ImageClassifier", "Classification", "EvidenceMap"):
        text = files[f"Sources/SqueezenetCxr/{name}.swift"].lower()
        assert "research" in text, name
        assert "diagnosis" in text, name
