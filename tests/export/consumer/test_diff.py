from __future__ import annotations

import copy
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from export.cli import main as cli
from export.consumer.diff import SUBJECTS, Change, compare, read
from export.consumer.diff_report import to_json, to_markdown
from export.publish.assets import FOLDERS
from pipeline.errors import BadInput
from tests.export.made_assets import write_assets

HERE = Path(__file__).resolve().parents[3]
Manifest = dict[str, Any]
Edit = Callable[[Manifest], object]


@pytest.fixture(scope="session")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_assets(tmp_path_factory.mktemp("diff") / "assets")["android"]


@pytest.fixture
def old(written: Path) -> Manifest:
    return json.loads((written / "manifest.json").read_text(encoding="utf-8"))


@pytest.fixture
def new(old: Manifest) -> Manifest:
    return copy.deepcopy(old)


def artifact(manifest: Manifest, key: str) -> Manifest:
    (found,) = [a for a in manifest["artifacts"] if f"{a['format']} {a['precision']}" == key]
    return found


def remove(manifest: Manifest, key: str) -> None:
    manifest["artifacts"].remove(artifact(manifest, key))


def to_schema_2(manifest: Manifest) -> None:
    """As the schema was before it listed all files."""
    manifest["schema"] = 2
    del manifest["files"]
    for entry in manifest["artifacts"]:
        del entry["zipped_bytes"]


def age(manifest: Manifest) -> None:
    """As the first schema was."""
    to_schema_2(manifest)
    manifest["schema"] = 1
    del manifest["rejected"]
    for entry in manifest["artifacts"]:
        for name in ("checkpoint_sha256", "accuracy", "session"):
            del entry[name]


def every(manifest: Manifest, field: str, name: str, value: object) -> None:
    for entry in manifest["artifacts"]:
        entry[field][0][name] = value


def breaking(old: Manifest, new: Manifest) -> list[tuple[str, str, Any, Any]]:
    changes = [change for change in compare(old, new) if change.breaking]
    assert all(change.action.endswith(".") for change in changes)
    return [(change.subject, change.what, change.old, change.new) for change in changes]


def document_of(manifest: Manifest, folder: Path) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    return folder


# --- no change ----------------------------------------------------------------------------------


@pytest.mark.parametrize("folder", FOLDERS.values())
def test_a_published_manifest_does_not_differ_from_itself(folder: str) -> None:
    manifest = read(HERE / folder)
    assert compare(manifest, copy.deepcopy(manifest)) == ()


def test_no_change_is_said_in_so_many_words(old: Manifest, new: Manifest) -> None:
    text = to_markdown(old, new, compare(old, new))
    assert text == "## tiny 1.2.3 → tiny 1.2.3\n\nNo change: the manifests are the same.\n"


def test_the_order_of_the_artifacts_is_no_change_of_any_of_them(
    old: Manifest, new: Manifest
) -> None:
    new["artifacts"].reverse()
    assert [change.subject for change in compare(old, new)] == ["other"]


# --- what breaks apps ---------------------------------------------------------------------------

LABELS = "labels, in the order of the outputs"
BREAKING: dict[str, tuple[Edit, tuple[str, str, Any, Any]]] = {
    "labels in another order": (
        lambda m: m["model"].update(labels=["non_covid19", "covid19"]),
        ("labels", LABELS, ["covid19", "non_covid19"], ["non_covid19", "covid19"]),
    ),
    "a label renamed": (
        lambda m: m["model"].update(labels=["covid19", "other"]),
        ("labels", LABELS, ["covid19", "non_covid19"], ["covid19", "other"]),
    ),
    "a label more": (
        lambda m: m["model"]["labels"].append("flu"),
        ("labels", LABELS, ["covid19", "non_covid19"], ["covid19", "non_covid19", "flu"]),
    ),
    "input name": (
        lambda m: m["model"]["input"].update(name="pixels"),
        ("input", "name", "image", "pixels"),
    ),
    "input dtype": (
        lambda m: m["model"]["input"].update(dtype="float32"),
        ("input", "dtype", "uint8", "float32"),
    ),
    "layout": (
        lambda m: m["model"]["input"].update(layout="NCHW"),
        ("input", "layout", "NHWC", "NCHW"),
    ),
    "channels": (
        lambda m: m["model"]["input"].update(channels="BGR"),
        ("input", "channels", "RGB", "BGR"),
    ),
    "width": (lambda m: m["model"]["input"].update(width=96), ("input", "width", 64, 96)),
    "height": (lambda m: m["model"]["input"].update(height=96), ("input", "height", 64, 96)),
    "a new rule for the input": (
        lambda m: m["model"]["input"].update(crop="centre"),
        ("input", "crop", None, "centre"),
    ),
    "resize mode": (
        lambda m: m["model"]["input"]["resize"].update(mode="crop"),
        ("input", "resize, mode", "squish", "crop"),
    ),
    "resize filter": (
        lambda m: m["model"]["input"]["resize"].update(filter="bicubic"),
        ("input", "resize, filter", "bilinear", "bicubic"),
    ),
    "antialias": (
        lambda m: m["model"]["input"]["resize"].update(antialias=False),
        ("input", "resize, antialias", True, False),
    ),
    "the port of a file": (
        lambda m: artifact(m, "onnx w4")["inputs"][0].update(name="x"),
        (
            "input",
            "onnx w4",
            [{"name": "image", "dtype": "uint8", "shape": [1, 64, 64, 3]}],
            [{"name": "x", "dtype": "uint8", "shape": [1, 64, 64, 3]}],
        ),
    ),
    "the output of all files": (
        lambda m: every(m, "outputs", "dtype", "float16"),
        (
            "output",
            "all files",
            [{"name": "probs", "dtype": "float32", "shape": [1, 2]}],
            [{"name": "probs", "dtype": "float16", "shape": [1, 2]}],
        ),
    ),
    "the label that the threshold speaks of": (
        lambda m: m["model"].update(positive="non_covid19"),
        ("decision", "positive", "covid19", "non_covid19"),
    ),
    "no threshold any more": (
        lambda m: m["model"].update(threshold=None),
        ("decision", "threshold", 0.4, None),
    ),
    "a higher runtime": (
        lambda m: artifact(m, "onnx w4")["requires"].update(onnxruntime="1.20"),
        ("requirements", "onnx w4: onnxruntime", "1.15", "1.20"),
    ),
    "a runtime that was not asked for": (
        lambda m: artifact(m, "ort fp32")["requires"].update(android="26"),
        ("requirements", "ort fp32: android", None, "26"),
    ),
    "a version that cannot be ordered": (
        lambda m: artifact(m, "torchscript int8")["requires"].update(pytorch_lite="nightly"),
        ("requirements", "torchscript int8: pytorch_lite", "2.1.0", "nightly"),
    ),
    "no least runtime stated any more": (
        lambda m: artifact(m, "onnx fp32")["requires"].pop("onnxruntime"),
        ("requirements", "onnx fp32: onnxruntime", "1.15", None),
    ),
    "a file gone": (
        lambda m: remove(m, "onnx w4"),
        ("files", "onnx w4", "tiny_w4.onnx", None),
    ),
    "a file renamed": (
        lambda m: artifact(m, "onnx w4").update(path="tiny2_w4.onnx"),
        ("files", "onnx w4", "tiny_w4.onnx", "tiny2_w4.onnx"),
    ),
    "the layout of the manifest": (age, ("layout", "schema", 3, 1)),
}


@pytest.mark.parametrize(("edit", "expected"), BREAKING.values(), ids=BREAKING)
def test_what_breaks_apps_is_found_says_what_to_do_and_exits_1(
    edit: Edit,
    expected: tuple[str, str, Any, Any],
    old: Manifest,
    new: Manifest,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    edit(new)
    assert breaking(old, new) == [expected]
    folders = document_of(old, tmp_path / "old"), document_of(new, tmp_path / "new")
    assert cli.main(["diff", *map(str, folders)]) == 1
    text = capsys.readouterr().out
    assert "**1 change that breaks apps**" in text
    assert "### What breaks apps" in text


def test_a_file_written_in_newer_versions_breaks_apps_only_if_no_least_runtime_is_stated(
    old: Manifest, new: Manifest
) -> None:
    artifact(new, "onnx w4")["requires"]["opset"] = 21
    (change,) = compare(old, new)
    assert (change.what, change.old, change.new) == ("onnx w4: opset", 17, 21)
    assert not change.breaking
    del artifact(old, "onnx w4")["requires"]["onnxruntime"]
    del artifact(new, "onnx w4")["requires"]["onnxruntime"]
    assert breaking(old, new) == [("requirements", "onnx w4: opset", 17, 21)]


@pytest.mark.parametrize(
    ("before", "after", "breaks"),
    [("1.9", "1.15", True), ("1.15", "1.9", False), ("16", "16.0", False), ("16.0", "18", True)],
)
def test_versions_are_ordered_as_numbers(
    before: str, after: str, breaks: bool, old: Manifest, new: Manifest
) -> None:
    artifact(old, "ort fp32")["requires"]["onnxruntime"] = before
    artifact(new, "ort fp32")["requires"]["onnxruntime"] = after
    (change,) = compare(old, new)
    assert change.breaking is breaks


def test_the_same_change_of_several_files_is_one(old: Manifest, new: Manifest) -> None:
    for key in ("onnx fp32", "onnx w4"):
        artifact(new, key)["requires"]["onnxruntime"] = "1.16"
    expected = ("requirements", "onnx fp32, onnx w4: onnxruntime", "1.15", "1.16")
    assert breaking(old, new) == [expected]


def test_a_file_that_the_quality_gate_kept_back_says_why(old: Manifest, new: Manifest) -> None:
    accuracy = {"source": "measured", "limits": {}, "broken_limits": ["AUROC drops by 0.1"]}
    entry = {"format": "onnx", "precision": "w4", "size_bytes": 500, "accuracy": accuracy}
    new["rejected"].append(entry)
    remove(new, "onnx w4")
    (change,) = compare(old, new)
    assert change.breaking
    assert change.note == "not published: AUROC drops by 0.1"
    new["rejected"].append({**entry, "precision": "w3"})
    notes = [c.note for c in compare(old, new) if c.what == "onnx w3" and not c.breaking]
    assert notes == ["not published: AUROC drops by 0.1"]


# --- what does not ------------------------------------------------------------------------------

ZIPPED = 627  # 500 bytes that do not pack, and the archive around them
OTHER: dict[str, tuple[Edit, tuple[str, str, Any, Any]]] = {
    "threshold": (
        lambda m: m["model"].update(threshold=0.5),
        ("decision", "threshold", 0.4, 0.5),
    ),
    "size": (
        lambda m: artifact(m, "onnx w4").update(size_bytes=400),
        ("size", "onnx w4: bytes", 500, 400),
    ),
    "zipped size": (
        lambda m: artifact(m, "onnx w4").update(zipped_bytes=1),
        ("size", "onnx w4: bytes zipped", ZIPPED, 1),
    ),
    "contents": (
        lambda m: artifact(m, "onnx w4")["files"][0].update(sha256="0" * 64),
        ("files", "with new contents", "", "onnx w4"),
    ),
    "latency": (
        lambda m: artifact(m, "onnx w4")["latency_ms"]["threads"]["1"].update(median=9.0),
        ("latency", "onnx w4: median ms, 1 thread", 2.5, 9.0),
    ),
    "latency not measured": (
        lambda m: artifact(m, "onnx w4").update(latency_ms=None),
        ("latency", "onnx w4: median ms, 1 thread", 2.5, None),
    ),
    "latency of another form": (
        lambda m: artifact(m, "onnx w4").update(latency_ms={"threads": [1]}),
        ("latency", "onnx w4: median ms, 1 thread", 2.5, None),
    ),
    "accuracy of the model": (
        lambda m: m["model"].update(metrics={"auroc": 0.95}),
        ("accuracy", "model: auroc", {"value": 0.9, "low": 0.8, "high": 0.95}, 0.95),
    ),
    "accuracy of a file": (
        lambda m: artifact(m, "onnx w4")["accuracy"].update(auroc=0.8),
        ("accuracy", "onnx w4: auroc", 0.9, 0.8),
    ),
    "agreement": (
        lambda m: artifact(m, "onnx w4")["parity"].update(label_flips=3),
        ("agreement", "onnx w4: label_flips", 0, 3),
    ),
    "what is allowed": (
        lambda m: artifact(m, "onnx w4")["parity"].update(tolerance={"max_abs_diff": 0.1}),
        ("agreement", "onnx w4: allowed max_abs_diff", None, 0.1),
    ),
    "session": (
        lambda m: artifact(m, "ort fp32").update(session={"intra_op_num_threads": 4}),
        ("session", "ort fp32", {"intra_op_num_threads": 2}, {"intra_op_num_threads": 4}),
    ),
    "version": (
        lambda m: m["model"].update(version="1.3.0"),
        ("identity", "version", "1.2.3", "1.3.0"),
    ),
    "identity": (
        lambda m: m["model"].update(checkpoint_sha256="0" * 64),
        ("identity", "checkpoint_sha256", "cd" * 32, "0" * 64),
    ),
    "identity of a file": (
        lambda m: artifact(m, "onnx w4").update(checkpoint_sha256="0" * 64),
        ("identity", "onnx w4: checkpoint_sha256", "ab" * 32, "0" * 64),
    ),
    "tools": (lambda m: m["tools"].update(torch="9.9"), ("identity", "torch", None, "9.9")),
    "a lower runtime": (
        lambda m: artifact(m, "onnx w4")["requires"].update(onnxruntime="1.9"),
        ("requirements", "onnx w4: onnxruntime", "1.15", "1.9"),
    ),
    "operators": (
        lambda m: artifact(m, "torchscript int8")["requires"].update(operators="aten::add, x"),
        (
            "requirements",
            "torchscript int8: operators no longer used, newly used",
            ["aten::cat"],
            ["x"],
        ),
    ),
    "what is not compared": (
        lambda m: artifact(m, "onnx w4")["parity"].update(worst_image="b", mean_abs_diff=0.5),
        (
            "other",
            "fields that are not compared",
            "",
            "artifacts[1].parity.mean_abs_diff, artifacts[1].parity.worst_image",
        ),
    ),
}


@pytest.mark.parametrize(("edit", "expected"), OTHER.values(), ids=OTHER)
def test_what_breaks_no_app_is_listed_and_exits_0(
    edit: Edit,
    expected: tuple[str, str, Any, Any],
    old: Manifest,
    new: Manifest,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    if "tolerance" in expected[1] or expected[0] == "agreement":
        artifact(old, "onnx w4")["parity"]["tolerance"] = None
        new = copy.deepcopy(old)
    if expected[0] == "identity" and expected[1] == "torch":
        old["tools"].pop("torch", None)
        new["tools"].pop("torch", None)
    edit(new)
    (change,) = compare(old, new)
    assert (change.subject, change.what, change.old, change.new) == expected
    assert not change.breaking
    folders = document_of(old, tmp_path / "old"), document_of(new, tmp_path / "new")
    assert cli.main(["diff", *map(str, folders)]) == 0
    text = capsys.readouterr().out
    assert "**No changes that break apps**, 1 other" in text
    assert "What breaks apps" not in text


def test_a_new_file_breaks_no_app(old: Manifest, new: Manifest) -> None:
    remove(old, "onnx w4")
    assert compare(old, new) == (Change("files", "onnx w4", None, "tiny_w4.onnx"),)


def test_what_is_no_longer_proven_says_why(old: Manifest, new: Manifest) -> None:
    parity = artifact(new, "onnx w4")["parity"]
    parity.update(status="not_run", reason="there is no runtime here")
    (change,) = compare(old, new)
    assert (change.old, change.new, change.note) == ("pass", "not_run", "there is no runtime here")


def test_times_of_two_machines_are_distinguished(old: Manifest, new: Manifest) -> None:
    artifact(new, "onnx w4")["latency_ms"] = {
        "machine": {"cores": 8},
        "threads": {"1": {"median": 1.0}},
    }
    (change,) = compare(old, new)
    assert change.note == "on another machine"


def test_other_weights_under_the_same_version_are_remarked(old: Manifest, new: Manifest) -> None:
    new["model"]["checkpoint_sha256"] = "0" * 64
    (change,) = compare(old, new)
    assert change.note == "though the version is the same"
    new["model"]["version"] = "2.0.0"
    assert {change.note for change in compare(old, new)} == {""}


def test_any_changed_value_of_a_manifest_is_a_change(old: Manifest) -> None:
    """A change of any leaf is noticed."""

    def leaves(value: Any, at: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
        if isinstance(value, dict) and value:
            return [leaf for key in value for leaf in leaves(value[key], (*at, key))]
        if isinstance(value, list) and value:
            return [leaf for i in range(len(value)) for leaf in leaves(value[i], (*at, i))]
        return [at]

    places = [place for place in leaves(old) if place[-1] not in ("format", "precision")]
    assert len(places) > 100
    changed = 0
    for place in places:
        new = copy.deepcopy(old)
        holder = new
        for key in place[:-1]:
            holder = holder[key]
        value = holder[place[-1]]
        if isinstance(value, str | int | float):  # others would not be read
            holder[place[-1]] = f"{value}x" if isinstance(value, str) else value + 1
            assert compare(old, new), place
            changed += 1
    assert changed > 100


# --- reading ------------------------------------------------------------------------------------


def test_a_folder_and_its_manifest_are_the_same(written: Path) -> None:
    assert read(written) == read(written / "manifest.json")


def test_assets_of_the_first_schema_are_compared(
    old: Manifest, new: Manifest, tmp_path: Path
) -> None:
    age(old)
    found = compare(read(document_of(old, tmp_path / "old")), new)
    subjects = {change.subject for change in found}
    assert subjects == {"layout", "files", "accuracy", "session"}
    (first,) = [change for change in found if change.breaking]
    assert (first.what, first.old, first.new) == ("schema", 1, 3)


def test_the_step_from_schema_2_says_what_it_asks_for_and_what_is_listed_now(
    old: Manifest, new: Manifest, tmp_path: Path
) -> None:
    to_schema_2(old)
    files, layout = compare(read(document_of(old, tmp_path / "old")), new)
    assert (layout.what, layout.old, layout.new) == ("schema", 2, 3)
    assert "Take the new verify.py." in layout.action
    assert files.new == "README.md, golden (1 file), labels.txt, made.txt, src (1 file)"
    assert files.note == "schema 2 does not list them"
    assert not files.breaking


EVIDENCE = {"name": "evidence", "dtype": "float32", "shape": [1, 2, 4, 4]}


def test_a_second_output_breaks_only_where_one_tensor_becomes_a_tuple(
    old: Manifest, new: Manifest
) -> None:
    for entry in new["artifacts"]:
        entry["outputs"].append(EVIDENCE)
    named, tupled = compare(old, new)
    assert named.what == "onnx fp32, onnx w4, ort fp32"
    assert named.note == "evidence is new; the other outputs are unchanged"
    assert not named.breaking
    assert tupled.what == "torchscript int8"
    assert tupled.action.startswith("Take the first element of the tuple")


def test_a_third_output_breaks_nothing_and_a_lost_or_moved_one_does(
    old: Manifest, new: Manifest
) -> None:
    for entry in old["artifacts"]:
        entry["outputs"].append(EVIDENCE)
    for entry in new["artifacts"]:
        entry["outputs"] += [EVIDENCE, {**EVIDENCE, "name": "more"}]
    assert [change.breaking for change in compare(old, new)] == [False, False]
    assert [change.breaking for change in compare(new, old)] == [True, True]
    for entry in new["artifacts"]:
        entry["outputs"] = list(reversed(entry["outputs"][:2]))
    changes = compare(old, new)
    assert [change.what for change in changes] == [
        "onnx fp32, onnx w4, ort fp32",
        "torchscript int8",
    ]
    assert {change.action for change in changes} == {"Read the output as the file now gives it."}


def paths_of(manifest: Manifest) -> list[str]:
    return [entry["path"] for entry in manifest["files"]]


def test_files_next_to_the_artifacts_are_compared(old: Manifest, new: Manifest) -> None:
    def entry(path: str) -> dict[str, Any]:
        return {"path": path, "size_bytes": 1, "sha256": "0" * 64}

    assert "golden/golden.json" in paths_of(old)
    new["files"] = [e for e in old["files"] if not e["path"].startswith("golden/")]
    new["files"] += [entry("golden/2.png"), entry("golden/3.png"), entry("new.txt")]
    new["files"][0] = entry(paths_of(new)[0])
    what = "next to the artifacts"
    assert [(c.what, c.old, c.new, c.breaking) for c in compare(old, new)] == [
        (f"{what}, gone", "golden (1 file)", None, False),
        (f"{what}, added", None, "golden (2 files), new.txt", False),
        (f"{what}, with new contents", "", "README.md", False),
    ]


@pytest.mark.parametrize("path", ["labels.txt", "src/main/Classifier.kt"])
def test_a_file_that_an_app_uses_and_that_is_gone_breaks_it(
    path: str, old: Manifest, new: Manifest
) -> None:
    new["files"] = [e for e in old["files"] if e["path"] != path]
    assert breaking(old, new) == [("files", "next to the artifacts, gone", path, None)]


def test_what_cannot_be_read_exits_2_with_one_line(
    old: Manifest, written: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    old["schema"] = 4
    unknown = document_of(old, tmp_path / "unknown")
    old.update(schema=2, artifacts=old["artifacts"] * 2)
    twice = document_of(old, tmp_path / "twice")
    (tmp_path / "text").write_text("no JSON")
    for place, part in (
        (unknown, "schema 4, known here: 1, 2 and 3"),
        (twice, "lists onnx fp32, onnx w4, ort fp32, torchscript int8 twice"),
        (tmp_path / "text", "is not JSON"),
        (tmp_path / "nothing", "No such file"),
    ):
        for places in ((place, written), (written, place)):
            assert cli.main(["diff", *map(str, places)]) == 2
            captured = capsys.readouterr()
            assert captured.out == ""
            assert captured.err.startswith("error: ")
            assert captured.err.count("\n") == 1
            assert part in captured.err
    with pytest.raises(BadInput):
        read(tmp_path)


# --- the report ---------------------------------------------------------------------------------


@pytest.fixture
def release(new: Manifest) -> Manifest:
    """A release with changes of several subjects."""
    new["model"].update(version="2.0.0", labels=["non_covid19", "covid19"])
    artifact(new, "onnx fp32")["requires"]["onnxruntime"] = "1.20"
    artifact(new, "onnx w4").update(size_bytes=400)
    remove(new, "ort fp32")
    return new


def test_the_markdown_lists_what_breaks_first(old: Manifest, release: Manifest) -> None:
    text = to_markdown(old, release, compare(old, release))
    assert text.splitlines() == [
        "## tiny 1.2.3 → tiny 2.0.0",
        "",
        "**3 changes that break apps**, 2 other. Files: 4 of 2,000 bytes → 3 of 1,400 bytes.",
        "",
        "### What breaks apps",
        "",
        "| subject | what | old | new | what an app must do |",
        "| --- | --- | --- | --- | --- |",
        "| labels | labels, in the order of the outputs | covid19, non_covid19 "
        "| non_covid19, covid19 "
        "| Read the new labels.txt: each output now belongs to another label. |",
        "| requirements | onnx fp32: onnxruntime | 1.15 | 1.20 | Raise the app's least onnxruntime "
        "to 1.20, or stay with the old file. |",
        "| files | ort fp32 | tiny_fp32.ort | none | Load another file, or stay with the old. |",
        "",
        "### What else changes",
        "",
        "| subject | what | old | new | |",
        "| --- | --- | --- | --- | --- |",
        "| size | onnx w4: bytes | 500 | 400 | -20.0% |",
        "| identity | version | 1.2.3 | 2.0.0 |  |",
    ]


def test_the_subjects_come_in_their_order(old: Manifest, release: Manifest) -> None:
    order = [list(SUBJECTS).index(change.subject) for change in compare(old, release)]
    assert order == sorted(order)


def test_nothing_in_a_manifest_is_markdown(old: Manifest, new: Manifest) -> None:
    new["model"]["labels"] = ["a|b`c`\n## x", "<img src=x> &lt; @all [y](z)"]
    text = to_markdown(old, new, compare(old, new))
    (row,) = [line for line in text.splitlines() if line.startswith("| labels")]
    cells = row.split(" | ")
    assert len(cells) == 5
    said = "a&#124;b\\`c\\`\\\\n\\#\\# x, &#60;img src=x> &#38;lt; &#64;all \\[y\\](z)"
    assert cells[3] == said


def test_json_has_the_raw_values(
    old: Manifest, release: Manifest, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folders = document_of(old, tmp_path / "old"), document_of(release, tmp_path / "new")
    assert cli.main(["diff", *map(str, folders), "--json"]) == 1
    text = capsys.readouterr().out
    assert text == to_json(old, release, compare(old, release))
    document = json.loads(text)
    assert document["breaking"] == 3
    assert document["new"]["version"] == "2.0.0"
    (size,) = [change for change in document["changes"] if change["subject"] == "size"]
    assert (size["old"], size["new"], size["breaking"]) == (500, 400, False)


def test_comparing_imports_nothing_heavy(written: Path) -> None:
    code = (
        "import sys\nfrom export.cli.main import main\n"
        f"assert main(['diff', {str(written)!r}, {str(written)!r}]) == 0\n"
        f"assert main(['verify', {str(written)!r}]) == 0\n"
        "heavy = {'torch', 'numpy', 'jsonschema', 'onnx', 'rich', 'PIL'} & sys.modules.keys()\n"
        "print('HEAVY', sorted(heavy))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=HERE, capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1] == "HEAVY []"
