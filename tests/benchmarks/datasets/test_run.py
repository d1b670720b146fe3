from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from benchmarks.cli.main import main
from benchmarks.datasets.row import DataSets, read_datasets
from benchmarks.datasets.summary import line, markdown, timed

HERE = Path(__file__).parent


@pytest.fixture(scope="module")
def code(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with other commands of the same names, which train and convert nothing."""
    root = tmp_path_factory.mktemp("code")
    for package in ("pipeline", "export"):
        (root / package).mkdir()
        (root / package / "__init__.py").touch()
        shutil.copy(HERE / f"planted_{package}.py", root / package / "__main__.py")
    return root


def run(code: Path, out: Path, *names: str, options: tuple[str, ...] = ()) -> DataSets:
    only = ("--only", ",".join(names)) if names else ()
    main(["datasets", *only, *options, "--code", str(code), "--out", str(out), "--side", "48"])
    return read_datasets(out / "datasets.json")


@pytest.fixture(scope="module")
def found(code: Path, tmp_path_factory: pytest.TempPathFactory) -> DataSets:
    return run(code, tmp_path_factory.mktemp("datasets"), "photo_tiles", "colours5")


def test_a_row_says_what_the_commands_of_that_folder_left(found: DataSets) -> None:
    tiles, colours = found.rows
    assert (tiles.name, tiles.labels, tiles.train, tiles.valid) == ("photo_tiles", 2, 76, 24)
    assert tiles.figures == {"accuracy": 0.9123, "calibration_error": 0.0521}
    assert colours.figures == {"accuracy": 0.9123, "calibration_error": 0.0821}
    assert set(colours.seconds) == {"train", "compress", "export"}
    assert [(c.precision, c.epochs, c.label_flips) for c in colours.compressed] == [
        ("int8", 0, 0),
        ("w4", 20, 1),
        ("w3", 40, 7),
    ]
    assert colours.compressed[2].broken == ("7 of 50 labels flip",)
    reasons = {f"{f.format} {f.precision}": (f.verdict, f.reason) for f in colours.files}
    assert reasons["onnx fp32"] == ("pass", "")
    assert reasons["onnx w3"] == ("rejected", "7 of 50 labels flip")
    assert reasons["coreml w3"] == ("fail", "weights differ")
    assert found.side == 48


def test_the_line_says_what_passed_of_what_was_run(found: DataSets) -> None:
    assert line(found.rows[0]) == "photo_tiles: accuracy 0.912; passed: fp32 2 of 2, w3 0 of 2"


def test_the_table_has_before_and_after_and_why_a_file_is_not_published(found: DataSets) -> None:
    text = markdown(found, found)
    assert "| photo_tiles: colour, pieces of two photographs | 2 | 76 + 24 | 0.912 |" in text
    assert "- **photo_tiles: onnx w3** rejected: 7 of 50 labels flip" in text


def test_a_command_that_fails_is_a_row_with_its_last_words(
    code: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert (
        main(["datasets", "--only", "textures8", "--code", str(code), "--out", str(tmp_path)]) == 1
    )
    (row,) = read_datasets(tmp_path / "datasets.json").rows
    assert row.stopped == "compress: exit code 1: error: no memory left"
    assert row.files == ()
    assert row.stopped in capsys.readouterr().out
    assert timed(read_datasets(tmp_path / "datasets.json")) == f"- **textures8**: {row.stopped}"
    log = (tmp_path / "datasets" / "textures8" / "compress.log").read_text(encoding="utf-8")
    assert "-m pipeline compress" in log.splitlines()[0]


def test_rows_that_are_not_measured_again_are_kept(code: Path, tmp_path: Path) -> None:
    run(code, tmp_path, "colours5")
    assert [row.name for row in run(code, tmp_path, "photo_tiles").rows] == [
        "photo_tiles",
        "colours5",
    ]


def test_another_network_is_a_row_beside_the_first(code: Path, tmp_path: Path) -> None:
    run(code, tmp_path, "colours5")
    rows = run(code, tmp_path, "colours5", options=("--architecture", "timm/tiny")).rows
    assert [(row.name, row.architecture) for row in rows] == [
        ("colours5", ""),
        ("colours5", "timm/tiny"),
    ]
    assert [row.figures["accuracy"] for row in rows if row.figures] == [0.9123, 0.5]
    both = read_datasets(tmp_path / "datasets.json")
    accuracies = [text.split(" | ")[3] for text in markdown(both, both).splitlines()[2:4]]
    assert accuracies == ["0.912", "0.500"]
    assert "| squeezenet1_1, colours5 |" in timed(both)
    assert "| timm/tiny, colours5 |" in timed(both)


def test_a_folder_of_ones_own_has_the_labels_and_images_that_training_found(
    code: Path, tmp_path: Path
) -> None:
    for place in ("train/süß", "train/herb", "valid/süß", "valid/herb"):
        (tmp_path / "Obst" / place).mkdir(parents=True)
        (tmp_path / "Obst" / place / "1.png").touch()
    (tmp_path / "Obst" / "train" / "herb" / "2.png").touch()
    (row,) = run(code, tmp_path / "out", options=("--data", str(tmp_path / "Obst"))).rows
    assert (row.name, row.about, row.labels) == ("Obst", "herb, süß", 2)
    assert (row.train, row.valid) == (3, 2)
    assert "3 of 3" not in line(row)


def test_a_folder_named_like_a_data_set_does_not_take_its_row(
    code: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "digits").mkdir()
    options = ["--data", str(tmp_path / "digits"), "--code", str(code)]
    assert main(["datasets", *options, "--out", str(tmp_path / "out")]) == 2
    assert "a data set has that name; rename the folder" in capsys.readouterr().err


def test_latency_is_asked_for_and_told_beside_that_of_fp32(code: Path, tmp_path: Path) -> None:
    found = run(code, tmp_path, "photo_tiles", options=("--latency",))
    times = {(f.format, f.precision): f.latency_ms for f in found.rows[0].files}
    assert times["onnx", "w3"] == {"1": 2.0}
    assert times["coreml", "fp32"] == {}
    head, _, whole, w3, *_ = timed(found).splitlines()
    assert head.endswith("| MB of onnx | onnx, ms | coreml, ms | ort, ms |")
    assert whole.endswith("| fp32 |  | 2 of 2 | 1.23 | 8.00 |  |  |")
    assert w3.endswith("| w3 | 7 of 50 | 0 of 2 | 1.23 | 2.00 (0.25 x) |  | 2.00 |")
    assert "- **photo_tiles: onnx w3** rejected: 7 of 50 labels flip" in timed(found)


def test_rows_of_two_sides_are_not_mixed(
    code: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(code, tmp_path, "colours5")
    options = ["--only", "photo_tiles", "--code", str(code), "--out", str(tmp_path)]
    assert main(["datasets", *options, "--side", "64"]) == 2
    assert "--side 64: the results of an earlier run are of 48 px" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--only", "colour5"], "no data set 'colour5'; there are: photo_tiles, colours5"),
        (["--side", "16"], "--side needs at least 32"),
        (["--data", "nowhere"], "--data nowhere: there is no such folder or table"),
        (["--data", "elsewhere/digits.csv"], "--data elsewhere/digits.csv: there is no such"),
        (["--data", ".", "--only", "digits"], "--data and --only exclude each other"),
        (["--code", "nowhere"], "--code nowhere: there is no pipeline/ in it"),
    ],
)
def test_a_bad_request_is_refused_before_anything_is_written(
    options: list[str], told: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["datasets", *options, "--out", str(tmp_path / "out")]) == 2
    assert told in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
