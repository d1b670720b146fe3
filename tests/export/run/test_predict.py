"""Exported files are asked about images, by the real runtimes, and their answers compared."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from export.cli.main import main
from export.deploy.graph import reference_probs
from export.formats.base import verbs_of
from export.publish.assets import publish
from export.publish.build_manifest import Published
from export.run.artifact_facts import Listed, listed_artifacts
from export.run.opened_artifact import open_artifacts
from export.run.predict import image_answers
from pipeline.images import read_image
from tests.export.conftest import (
    Artifacts,
    Model,
    convert,
    read_model,
    write_sensitive_network,
    write_variants,
)
from tests.export.made_assets import PASSED, edit_manifest, flip
from tests.five_colours import FIVE, POOLED, five_spec, paint, write_pooled_network

pytestmark = pytest.mark.slow("converts a network of five classes")

MADE = (("onnx", "fp32"), ("onnx", "int8"), ("torchscript", "int8"), ("coreml", "fp16"))


@pytest.fixture(scope="module")
def colours(tmp_path_factory: pytest.TempPathFactory) -> Model:
    """A network of five classes, in fp32 and int8."""
    folder = tmp_path_factory.mktemp("colours") / "checkpoint"
    write_sensitive_network(folder, five_spec())
    write_variants(folder, int8=127)
    return read_model(folder)


@pytest.fixture(scope="module")
def made(colours: Model, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Its files, without a manifest."""
    folder = tmp_path_factory.mktemp("build")
    for name, precision in MADE:
        convert(colours, name, precision, folder)
    return folder


@pytest.fixture(scope="module")
def published(colours: Model, made: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Its files in asset folders, as `publish` writes them."""
    root = tmp_path_factory.mktemp("assets")
    files = {}
    for name, precision in MADE:
        (path,) = made.glob(f"*_{precision}{SUFFIX[name]}")
        held = colours.held_for(name, precision).checkpoint_sha256
        described = verbs_of(name).describe(path)
        files[name, precision] = Published(name, precision, path, described, PASSED, held)
    android = [files["onnx", "fp32"], files["onnx", "int8"], files["torchscript", "int8"]]
    ios = [files["coreml", "fp16"], files["onnx", "fp32"]]
    publish(root, colours.spec, colours.identity, {"android": android, "ios": ios})
    return root


SUFFIX = {"onnx": ".onnx", "torchscript": ".ptl", "coreml": ".mlpackage"}


@pytest.fixture
def assets(published: Path, tmp_path: Path) -> Path:
    """A copy, to be damaged."""
    return Path(shutil.copytree(published, tmp_path / "assets"))


def ask(*arguments: object) -> int:
    return main(["predict", *map(str, arguments)])


def answers_in(path: Path) -> dict[str, dict[str, object]]:
    """Artifact's file name -> its answer to the one image in a document."""
    (image,) = json.loads(path.read_text(encoding="utf-8"))["images"]
    return {Path(artifact).name: answer for artifact, answer in image["answers"].items()}


def fp32(colours: Model, image: Path) -> np.ndarray:
    """PyTorch's own answer to an image file."""
    return reference_probs(colours.graph, read_image(image, colours.spec.resize)[None])[0]


# --- one file


def test_a_published_file_gives_pytorchs_answer_from_the_image_file_on(
    colours: Model, published: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    images = paint(tmp_path / "photos")
    file = published / "android_assets" / "colours_fp32.onnx"
    assert ask(file, tmp_path / "photos", "--top", "1") == 0
    head, how, *lines = capsys.readouterr().out.splitlines()
    said = f"the most probable label decides. {colours.spec.intended_use}"
    assert head == f"colours 1.2.3: {said}"
    assert how == f"{file}: run by onnxruntime"
    for image, line in zip(images, lines, strict=True):
        probs = fp32(colours, image)
        label = FIVE[int(probs.argmax())]
        assert line == f"{image}: {label} ({label} {probs.max():.3f}, ...)"


def test_a_file_by_itself_says_its_labels_and_that_its_hash_was_not_compared(
    colours: Model, made: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (image,) = paint(tmp_path, "été")
    for name, precision in MADE:
        target = tmp_path / f"{name}{precision}.json"
        (file,) = made.glob(f"*_{precision}{SUFFIX[name]}")
        assert ask(file, image, "--json", target) == 0
        assert "its hash was not compared" in capsys.readouterr().out
        (answer,) = answers_in(target).values()
        assert sorted(answer["probs"]) == sorted(FIVE)


# --- side by side


def test_files_stand_side_by_side_each_by_its_own_runtime(
    published: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (image,) = paint(tmp_path, "赤")
    target = tmp_path / "a.json"
    folders = [published / "android_assets", published / "ios_assets"]
    assert ask(*folders, "--image", image, "--json", target) == 0
    document = json.loads(target.read_text(encoding="utf-8"))
    how = {Path(state["path"]).name: state["how"] for state in document["artifacts"]}
    assert how["colours_fp32.onnx"] == "run by onnxruntime"
    assert how["colours_int8.ptl"] == "run by the lite interpreter"
    assert "evaluated on" in how["colours_fp16.mlpackage"] or how["colours_fp16.mlpackage"] == (
        "run by Core ML"
    )
    assert {state["intended_use"] for state in document["artifacts"]} == {five_spec().intended_use}
    assert len(document["images"][0]["answers"]) == 5
    assert document["max_abs_diff"] == document["images"][0]["max_abs_diff"] < 0.2
    assert document["faults"] == 0
    out = capsys.readouterr().out
    assert f"\n{image}\n  {folders[0] / 'colours_fp32.onnx'}" in out
    assert "images are decided differently; max |Δp|" in out


def test_core_ml_off_a_mac_says_what_stands_in_for_it(
    published: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("sys.platform", "linux")
    (image,) = paint(tmp_path, "été")
    assert ask(published / "ios_assets" / "colours_fp16.mlpackage", image) == 0
    assert "since Core ML runs on macOS only" in capsys.readouterr().out


def test_files_of_one_model_that_are_too_far_apart_are_exit_1(
    published: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (image,) = paint(tmp_path, "été")
    onnx = verbs_of("onnx")

    def off(session: object, images: np.ndarray) -> object:
        answers = run(session, images)
        return replace(answers, probs=answers.probs[:, ::-1].copy())

    run = onnx.run
    monkeypatch.setattr(onnx, "run", off)
    files = [
        published / "android_assets" / name for name in ("colours_int8.onnx", "colours_int8.ptl")
    ]
    assert ask(*files, "--image", image) == 1
    assert "hold the same model: |Δp|" in capsys.readouterr().out


def test_files_of_other_weights_may_be_apart_and_that_is_said(
    published: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A file in int8 answers otherwise than one in fp32: no fault, but shown."""
    (image,) = paint(tmp_path, "été")
    ptl = verbs_of("torchscript")
    run = ptl.run

    def off(session: object, images: np.ndarray) -> object:
        answers = run(session, images)
        return replace(answers, probs=answers.probs[:, ::-1].copy())

    monkeypatch.setattr(ptl, "run", off)
    android = published / "android_assets"
    assert ask(android / "colours_fp32.onnx", android / "colours_int8.ptl", "--image", image) == 0
    assert "1 of 1 images are decided differently" in capsys.readouterr().out


def test_models_of_other_labels_are_not_compared(
    published: Path,
    artifacts: Artifacts,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (image,) = paint(tmp_path, "été")
    other = artifacts["onnx", "fp32"]
    assert ask(published / "android_assets" / "colours_fp32.onnx", other, "--image", image) == 2
    assert "different labels" in capsys.readouterr().err


# --- heat maps


def test_each_file_draws_its_own_heat_maps(published: Path, tmp_path: Path) -> None:
    (image,) = paint(tmp_path / "photos", "été")
    maps = tmp_path / "maps"
    android = published / "android_assets"
    files = [android / "colours_fp32.onnx", android / "colours_int8.ptl"]
    assert ask(*files, "--image", image, "--heat-map", maps) == 0
    assert sorted(p.relative_to(maps).as_posix() for p in maps.rglob("*.png")) == [
        "colours_fp32.onnx/été 1.png.heat.png",
        "colours_int8.ptl/été 1.png.heat.png",
    ]


def test_a_file_without_evidence_says_so_and_answers(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """As of an adopted learner, whose head pools before it decides."""
    folder = write_pooled_network(tmp_path / "pooled", five_spec(head=POOLED))
    file = convert(read_model(folder), "onnx", "fp32", tmp_path)
    (image,) = paint(tmp_path / "photos", "été")
    assert ask(file, image, "--heat-map", tmp_path / "maps") == 0
    out = capsys.readouterr().out
    assert f"heat maps of {file}: not run: the network's head keeps no map" in out
    assert not (tmp_path / "maps").exists()


# --- what is not run, and what must not be


@pytest.mark.parametrize("name", ["colours_fp32.onnx", "colours_int8.ptl"])
def test_no_runtime_gets_a_file_whose_hash_is_not_the_manifests(
    name: str,
    assets: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    file = assets / "android_assets" / name
    flip(file, "middle")
    for format_name in ("onnx", "torchscript"):
        for verb in ("load", "describe"):
            monkeypatch.setattr(verbs_of(format_name), verb, forbidden)
    (image,) = paint(tmp_path, "été")
    assert ask(file, image) == 1
    assert f"{file}: FAIL: {name} has changed: its SHA-256 is not" in capsys.readouterr().out


def forbidden(*_: object, **__: object) -> None:
    raise AssertionError("a damaged file reached native code")


def test_a_package_with_a_stray_file_is_not_run(
    assets: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    package = assets / "ios_assets" / "colours_fp16.mlpackage"
    (package / "stray.txt").touch()
    (image,) = paint(tmp_path, "été")
    assert ask(package, image) == 1
    assert "stray.txt is not in the manifest" in capsys.readouterr().out


def test_a_damaged_file_does_not_keep_the_others_from_answering(
    assets: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    android = assets / "android_assets"
    flip(android / "colours_fp32.onnx", "middle")
    (image,) = paint(tmp_path, "été")
    assert ask(android, "--image", image) == 1
    out = capsys.readouterr().out
    assert f"{android / 'colours_fp32.onnx'}: FAIL" in out
    assert f"  {android / 'colours_int8.ptl'} " in out


def test_a_file_without_its_runtime_is_not_run_and_the_others_answer(
    published: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    without: Callable[[str], None],
) -> None:
    without("onnxruntime")
    (image,) = paint(tmp_path, "été")
    android = published / "android_assets"
    assert ask(android, "--image", image) == 0
    out = capsys.readouterr().out
    assert (
        f"{android / 'colours_fp32.onnx'}: not run: onnxruntime is not installed; python -m" in out
    )
    assert f"  {android / 'colours_int8.ptl'} " in out
    assert ask(android / "colours_fp32.onnx", image) == 2  # nothing is left that could answer


@pytest.fixture
def without(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """As if a package were not installed."""
    from pipeline import errors

    find = errors.find_spec

    def hide(name: str) -> None:
        monkeypatch.setattr(errors, "find_spec", lambda n: None if n == name else find(n))

    return hide


def test_a_damaged_file_by_itself_is_told_in_a_line(
    made: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "colours.onnx"
    file.write_bytes((made / "colours_fp32.onnx").read_bytes()[:500])
    (image,) = paint(tmp_path, "été")
    assert ask(file, image) == 1
    assert f"{file}: FAIL: onnxruntime cannot load" in capsys.readouterr().out


def test_a_runtime_that_fails_on_an_image_is_a_fault_of_the_file(
    published: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (image,) = paint(tmp_path, "été")
    states, opened = open_artifacts(
        listed_artifacts([published / "android_assets" / "colours_fp32.onnx"])
    )
    assert [state.status for state in states] == ["run"]

    def fails(images: np.ndarray) -> object:
        raise RuntimeError("kernel\ndetails")

    (found,) = image_answers([replace(opened[0], run=fails)], [image], {})
    assert found.answers == {}
    assert found.faults[0].endswith("colours_fp32.onnx: RuntimeError while running: kernel")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda m: m["artifacts"][0].update(format="tflite"), "lists tflite, unknown"),
        (lambda m: m["artifacts"][0].update(path="../x.onnx"), "is damaged"),
        (lambda m: m["artifacts"][0]["files"][0].update(path="/etc/passwd"), "is damaged"),
        (lambda m: m.update(artifacts=m["artifacts"][1:]), "does not list colours_fp32.onnx"),
    ],
)
def test_a_manifest_that_does_not_fit_is_refused(
    change: Callable[[dict[str, object]], object],
    message: str,
    assets: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    folder = assets / "android_assets"
    edit_manifest(folder, change)
    (image,) = paint(tmp_path, "été")
    place = folder / "colours_fp32.onnx" if "list colours" in message else folder
    assert ask(place, image) == 2
    assert message in capsys.readouterr().err


def test_an_unreadable_image_is_told_and_the_others_are_answered(
    published: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    images = paint(tmp_path)
    images[0].write_bytes(b"no image")
    assert ask(published / "android_assets" / "colours_fp32.onnx", tmp_path) == 2
    streams = capsys.readouterr()
    assert streams.err.startswith(f"error: {images[0]} is not an image")
    assert f"{images[1]}: " in streams.out


def test_a_file_that_says_nothing_of_its_input_is_refused(tmp_path: Path) -> None:
    import onnx
    from onnx import TensorProto, helper

    node = helper.make_node("Identity", ["image"], ["probs"])
    ports = [
        helper.make_tensor_value_info(n, TensorProto.FLOAT, [1, 2]) for n in ("image", "probs")
    ]
    graph = helper.make_graph([node], "strange", [ports[0]], [ports[1]])
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(made, tmp_path / "strange.onnx")
    states, opened = open_artifacts([Listed(tmp_path / "strange.onnx", "onnx")])
    assert opened == []
    assert states[0].status == "fail"
    assert "does not say its labels" in states[0].reason
