from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path

import psutil
import pytest

from export.cli.main import main
from export.formats.register import FORMATS, all_precisions
from export.publish.assets import FOLDERS
from export.run.convert import Conversion
from export.run.export_request import ExportRequest
from pipeline.data.owners_words import OwnersWords
from tests.conftest import wait_until_ended, write_images
from tests.export.conftest import ARTIFACTS, Exported, Model, StandIn, tree

HERE = Path(__file__).resolve().parents[3]
HEAVY = "torch numpy onnx onnxruntime onnxsim coremltools torchvision rich PIL fastai jsonschema"


@pytest.fixture
def empty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working folder."""
    folder = tmp_path / "cwd"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


def assert_refused(
    arguments: list[str], part: str, empty: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit 2, one line on stderr that holds `part`, nothing written."""
    assert main(arguments) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert error.count("\n") == 1
    assert part in error
    assert list(empty.iterdir()) == []


# --- help -------------------------------------------------------------------------------------


def test_help_exits_0_and_names_the_commands() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "export", "--help"], cwd=HERE, capture_output=True, text=True
    )
    assert done.returncode == 0
    assert done.stderr == ""
    for word in ("all", "check", "verify", "diff", "doctor", "exit codes", "Research use only"):
        assert word in done.stdout


@pytest.mark.parametrize(
    "command", [[], ["all"], ["check"], ["predict"], ["verify"], ["diff"], ["doctor"]], ids=str
)
def test_help_imports_nothing_heavy(command: list[str]) -> None:
    code = (
        "import sys\nfrom export.cli.main import main\n"
        f"try: main({[*command, '--help']})\nexcept SystemExit as done: assert done.code == 0\n"
        f"print('HEAVY', sorted(set('{HEAVY}'.split()) & sys.modules.keys()))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=HERE, capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1] == "HEAVY []"


def test_the_names_in_the_help_are_the_registers(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["all", "--help"])
    shown = " ".join(capsys.readouterr().out.split())
    assert f"some of {', '.join(FORMATS)} " in shown
    assert f"some of {', '.join(all_precisions())} " in shown
    assert {precision for _, precision in ARTIFACTS} == set(all_precisions())


def test_no_command_is_a_wrong_request() -> None:
    with pytest.raises(SystemExit) as stopped:
        main([])
    assert stopped.value.code == 2


# --- wrong requests ---------------------------------------------------------------------------


def test_an_unknown_format_is_refused(
    model: Model, empty: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["all", "--checkpoint", str(model.folder), "--formats", "onnx,tflite"]
    assert_refused(arguments, "unknown format 'tflite'", empty, capsys)


def test_an_unknown_precision_is_refused_with_the_known_ones(
    model: Model, empty: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["all", "--checkpoint", str(model.folder), "--precisions", "fp32,int4"]
    assert_refused(arguments, "no precision 'int4'; there are: fp32, fp16", empty, capsys)


def test_a_precision_that_the_formats_asked_for_do_not_have_is_refused(
    model: Model, empty: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["all", "--checkpoint", str(model.folder), "--formats", "ort"]
    said = "ort: no precision 'w4'; there are: fp32, int8"
    assert_refused([*arguments, "--precisions", "w4"], said, empty, capsys)


@pytest.mark.parametrize("precisions", ["", ",", " "])
def test_no_precision_at_all_is_refused(
    precisions: str, empty: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["all", "--precisions", precisions]
    assert_refused(arguments, "--precisions names none", empty, capsys)


def test_what_to_accept_has_to_be_known(empty: Path, capsys: pytest.CaptureFixture[str]) -> None:
    said = "--accept int4: there are fp32, fp16, int8, w4, w3, or `rejected` for all"
    assert_refused(["all", "--train", "--accept", "int4"], said, empty, capsys)


@pytest.mark.parametrize(
    ("given", "accepted"),
    [
        ("", ()),
        ("int8", ("int8",)),
        ("w4, w3", ("w4", "w3")),
        ("REJECTED", ("fp32", "fp16", "int8", "w4", "w3")),
    ],
)
def test_what_to_accept_is_precisions_or_all_that_is_rejected(
    given: str,
    accepted: tuple[str, ...],
    empty: Path,
    model: Model,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    requests: list[ExportRequest] = []
    monkeypatch.setattr(
        "export.run.export_all.export_all", lambda request, _: requests.append(request) or 0
    )
    assert main(["all", "--checkpoint", str(model.folder), "--accept", given]) == 0
    assert [request.accept for request in requests] == [accepted]


def test_after_training_what_is_exported_is_compressed_blanks_or_not(
    empty: Path, model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    compressed: list[Sequence[str]] = []
    monkeypatch.setattr("pipeline.training.train.train", lambda *_, **__: model.folder)
    monkeypatch.setattr(
        "pipeline.compress.compress.compress",
        lambda checkpoint, data, precisions, **_: compressed.append(precisions),
    )
    monkeypatch.setattr("export.run.export_all.export_all", lambda *_: 0)
    assert main(["all", "--train", "--precisions", "fp32, w4"]) == 0
    assert compressed == [["w4"]]


@pytest.mark.parametrize("formats", ["", ",", " "])
def test_no_format_at_all_is_refused(
    formats: str, empty: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert_refused(["all", "--formats", formats], "--formats names none", empty, capsys)


@pytest.mark.parametrize("command", ["all", "check"])
def test_a_missing_checkpoint_is_refused(
    command: str, exported: Exported, empty: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = [command, "--checkpoint", "nowhere"]
    if command == "check":
        arguments += ["--assets", str(exported.root)]
    assert_refused(arguments, "no checkpoint at nowhere", empty, capsys)


@pytest.mark.parametrize("command", ["all", "check"])
def test_missing_data_are_refused(
    command: str,
    exported: Exported,
    model: Model,
    empty: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    arguments = [command, "--checkpoint", str(model.folder), "--data", "nowhere"]
    if command == "check":
        arguments += ["--assets", str(exported.root)]
    assert_refused(arguments, "nowhere does not exist", empty, capsys)


def test_data_of_other_labels_are_refused(
    model: Model, empty: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for split in ("train", "valid"):
        for label in ("cat", "dog"):
            write_images(tmp_path / "pets" / split, label, 1)
    arguments = ["all", "--checkpoint", str(model.folder), "--data", str(tmp_path / "pets")]
    assert_refused(arguments, "'cat', 'dog'", empty, capsys)


def test_training_and_a_checkpoint_at_once_are_refused(
    model: Model, empty: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["all", "--train", "--checkpoint", str(model.folder)]
    assert_refused(arguments, "give only one", empty, capsys)


@pytest.mark.parametrize("option", ["--intended-use", "--looks-for", "--group-column"])
def test_the_owners_words_are_part_of_a_checkpoint_and_not_of_an_export(
    option: str, model: Model, empty: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["all", "--checkpoint", str(model.folder), option, "words"]
    assert_refused(arguments, "give them with --train", empty, capsys)


@pytest.mark.parametrize(
    "wrong",
    [
        ["--formats", "tflite"],
        ["--precisions", "int4"],
        ["--jobs", "0"],
        ["--images", "0"],
    ],
)
def test_a_wrong_request_is_refused_before_training(
    wrong: list[str],
    empty: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def train(*arguments: object, **options: object) -> None:
        raise AssertionError("an hour of training, for nothing")

    monkeypatch.setattr("pipeline.training.train.train", train)
    assert_refused(["all", "--train", *wrong], wrong[1], empty, capsys)


@pytest.mark.parametrize("option", ["--images", "--jobs"])
@pytest.mark.parametrize("number", ["0", "-1"])
def test_a_number_below_one_is_refused(
    option: str, number: str, model: Model, empty: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["all", "--checkpoint", str(model.folder), f"{option}={number}"]
    assert_refused(arguments, f"{option} {number}: need at least 1", empty, capsys)


def test_damaged_weights_are_refused(
    model: Model, empty: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "damaged"
    folder.mkdir()
    for file in (p for p in model.folder.iterdir() if p.is_file()):
        (folder / file.name).write_bytes(file.read_bytes())
    content = bytearray((folder / "model.safetensors").read_bytes())
    content[-1] ^= 1
    (folder / "model.safetensors").write_bytes(content)
    assert_refused(["all", "--checkpoint", str(folder)], "is damaged", empty, capsys)


def test_assets_that_are_not_there_are_refused(
    model: Model, empty: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["check", "--checkpoint", str(model.folder)]
    assert_refused(arguments, "`python -m export all` makes them", empty, capsys)


def test_a_file_in_place_of_the_build_folder_is_refused(
    model: Model, data: Path, empty: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("x")
    arguments = ["all", "--checkpoint", str(model.folder), "--data", str(data)]
    assert_refused([*arguments, "--build", str(tmp_path / "file")], "file", empty, capsys)


def test_a_missing_package_is_refused_with_the_command_that_installs_it(
    model: Model,
    empty: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(
        "pipeline.errors.find_spec", lambda name: None if name == "coremltools" else find_spec(name)
    )
    arguments = ["all", "--checkpoint", str(model.folder)]
    command = "python -m pip install -c constraints.txt -e '.[coreml]'"
    assert_refused(arguments, command, empty, capsys)


def test_a_missing_package_of_a_format_left_out_is_no_matter(
    model: Model,
    empty: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(
        "pipeline.errors.find_spec", lambda name: None if name == "coremltools" else find_spec(name)
    )
    arguments = ["all", "--checkpoint", str(model.folder), "--formats", "onnx", "--data", "nowhere"]
    assert_refused(arguments, "nowhere does not exist", empty, capsys)


# --- requests that are served -----------------------------------------------------------------


def request(model: Model, data: Path, *more: str) -> list[str]:
    options = ["--checkpoint", str(model.folder), "--data", str(data), "--no-latency"]
    return ["all", *options, *more]


ASSETS = Path("build", "export", "assets")


@pytest.mark.slow("exports every format")
def test_everything_goes_below_build_which_git_ignores(
    converted: StandIn, model: Model, data: Path, empty: Path
) -> None:
    assert main(request(model, data)) == 0
    assert converted.asked == ARTIFACTS
    assert [p.name for p in empty.iterdir()] == ["build"]
    assert sorted(p.name for p in ASSETS.iterdir()) == sorted(FOLDERS.values())
    assert (empty / "build" / "export" / "report.json").is_file()
    assert "build/" in (HERE / ".gitignore").read_text().splitlines()


def test_a_folder_that_is_not_ours_is_refused_before_anything_is_converted(
    converted: StandIn,
    model: Model,
    data: Path,
    empty: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """`export_all` promises its BadInput before anything is written."""
    (empty / "ios_assets").mkdir()
    (empty / "ios_assets" / "Assets.swift").write_text("// somebody's work")
    assert main(request(model, data, "--out", ".")) == 2
    assert "not ours to replace" in capsys.readouterr().err
    assert converted.asked == []
    assert tree(empty) == {"ios_assets/Assets.swift": b"// somebody's work"}


def test_a_part_of_the_precisions_is_all_that_is_made(
    converted: StandIn, model: Model, data: Path, empty: Path
) -> None:
    assert main(request(model, data, "--precisions", "w4, int8")) == 0
    assert converted.asked == [(n, p) for n, p in ARTIFACTS if p in ("w4", "int8")]
    part = ASSETS / "ios_assets"
    assert {p.name for p in part.glob("tiny_*")} == {
        *("tiny_int8.onnx", "tiny_w4.onnx", "tiny_int8.mlpackage", "tiny_w4.mlpackage")
    }


def test_a_part_goes_where_out_says(
    converted: StandIn, model: Model, data: Path, empty: Path
) -> None:
    assert main(request(model, data, "--formats", "ort", "--out", "app")) == 0
    assert (empty / "app" / "android_assets" / "tiny_fp32.ort").is_file()
    assert not (empty / "android_assets").exists()


@pytest.mark.slow("exports every format")
def test_train_trains_first_and_exports_what_was_trained(
    converted: StandIn,
    model: Model,
    data: Path,
    empty: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked = []

    def train(
        config: object, place: Path, *, overwrite: bool, words: OwnersWords, group_column: str
    ) -> Path:
        asked.append((config.finetune_epochs, place, overwrite, words.looks_for, group_column))
        return model.folder

    def compress(*arguments: object, **options: object) -> None:
        asked.append((*arguments, options))

    monkeypatch.setattr("pipeline.training.train.train", train)
    monkeypatch.setattr("pipeline.compress.compress.compress", compress)
    options = ["--train", "--preset", "quick", "--data", str(data), "--no-latency"]
    options += ["--looks-for", "balls", "--group-column", "scene"]
    assert main(["all", *options]) == 0
    compressed = (model.folder, data, ["int8", "w4", "w3"], {"changes": {"epochs": 0}})
    assert asked == [(2, data, True, "balls", "scene"), compressed]
    assert (ASSETS / "ios_assets" / "manifest.json").is_file()


@pytest.mark.parametrize(("wanted", "made"), [("fp32,fp16", None), ("w3,fp32", ["w3"])])
def test_train_compresses_to_what_is_asked_for_and_the_paper_preset_fine_tunes(
    wanted: str,
    made: list[str] | None,
    converted: StandIn,
    model: Model,
    data: Path,
    empty: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked = []
    monkeypatch.setattr("pipeline.training.train.train", lambda *_, **__: model.folder)
    monkeypatch.setattr(
        "pipeline.compress.compress.compress", lambda *a, **o: asked.append((*a, o))
    )
    options = ["--data", str(data), "--no-latency", "--formats", "onnx", "--precisions", wanted]
    assert main(["all", "--train", *options]) == 0
    assert asked == ([] if made is None else [(model.folder, data, made, {"changes": {}})])


def test_ctrl_c_exits_130_and_leaves_the_old_assets(
    model: Model,
    data: Path,
    exported: Exported,
    assets: Path,
    empty: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def interrupted(*arguments: object) -> Iterator[Conversion]:
        yield Conversion("onnx", "fp32", exported.build / "tiny_fp32.onnx", 0.1)
        raise KeyboardInterrupt

    monkeypatch.setattr("export.run.export_all.convert_all", interrupted)
    before = tree(assets)
    assert main(request(model, data, "--out", str(assets))) == 130
    assert "the published assets are unchanged" in capsys.readouterr().err
    assert tree(assets) == before
    assert sorted(p.name for p in assets.iterdir()) == sorted(FOLDERS.values())


def test_a_bug_keeps_its_traceback(
    model: Model, data: Path, empty: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*arguments: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("export.run.export_all.convert_all", broken)
    with pytest.raises(ZeroDivisionError):
        main(request(model, data))


def started(model: Model, data: Path, assets: Path, build: Path) -> subprocess.Popen[str]:
    """An export in a process group of its own, when a converter is at work."""
    arguments = request(model, data, "--out", str(assets), "--build", str(build))
    process = subprocess.Popen(
        [sys.executable, "-m", "export", *arguments],
        cwd=HERE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        # A job that was started in the background ignores SIGINT, and so would its children.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    while not list(build.glob("*.log")):  # until a converter is at work
        assert process.poll() is None
        time.sleep(0.05)
    return process


@pytest.mark.ci("exports every format in processes of its own")
@pytest.mark.skipif(os.name == "nt", reason="a terminal's Ctrl-C is a signal to the group")
def test_ctrl_c_in_a_terminal_stops_all_processes_and_leaves_the_old_assets(
    model: Model, data: Path, assets: Path, tmp_path: Path
) -> None:
    before = tree(assets)
    process = started(model, data, assets, tmp_path / "build")
    os.killpg(process.pid, signal.SIGINT)
    _, error = process.communicate()
    assert process.returncode == 130
    assert "stopped; the published assets are unchanged" in error
    assert tree(assets) == before
    assert sorted(p.name for p in assets.iterdir()) == sorted(FOLDERS.values())


@pytest.mark.ci("exports every format in processes of its own")
@pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")
@pytest.mark.parametrize("how", ["SIGKILL", "SIGTERM"])
def test_no_converter_outlives_an_export_that_is_killed(
    how: str, model: Model, data: Path, assets: Path, tmp_path: Path
) -> None:
    before = tree(assets)
    process = started(model, data, assets, tmp_path / "build")
    below = psutil.Process(process.pid).children(recursive=True)
    assert below
    process.send_signal(signal.Signals[how])
    process.communicate()  # until nobody holds its pipe
    wait_until_ended(below)
    assert tree(assets) == before


@pytest.mark.slow("exports every format")
def test_the_command_as_a_user_types_it(model: Model, data: Path, empty: Path) -> None:
    arguments = request(model, data, "--formats", "torchscript", "--out", "app")
    done = subprocess.run(
        [sys.executable, "-m", "export", *arguments],
        cwd=empty,
        env={**os.environ, "PYTHONPATH": str(HERE)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert "5 passed, 0 failed, 3 not run of 8 artifacts" in done.stdout
    assert (empty / "app" / "android_assets" / "tiny_fp32.ptl").is_file()
