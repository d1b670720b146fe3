from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

from export.cli import main as cli
from export.consumer.budget import MODEL_LIMIT_BYTES, parse_bytes, to_markdown, weigh
from export.run.export_all import _over_budget
from pipeline.errors import BadInput
from tests.export.made_assets import write_assets

HERE = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="module")
def assets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Android: onnx fp32 of 500 bytes and w4 of 300, ort of 500, torchscript of 500."""
    root = tmp_path_factory.mktemp("budget") / "assets"
    folder = write_assets(root)["android"]
    smaller = folder / "tiny_w4.onnx"
    smaller.write_bytes(smaller.read_bytes()[:300])
    return root


@pytest.fixture
def android(assets: Path) -> Path:
    return assets / "android_assets"


@pytest.mark.parametrize("folder", ["android_assets", "ios_assets"])
def test_every_format_that_is_published_has_a_file_of_less_than_half_a_megabyte(
    folder: str,
) -> None:
    budget = weigh(HERE / folder)
    assert budget.limit_bytes == MODEL_LIMIT_BYTES == 500_000
    assert budget.faults == []
    chosen = [weight for weight in budget.weights if weight.chosen]
    assert {weight.format for weight in chosen} == {weight.format for weight in budget.weights}


def test_the_smallest_of_each_format_counts(android: Path) -> None:
    budget = weigh(android, limit_bytes=400)
    assert [w.key for w in budget.weights if w.chosen] == [
        "onnx w4",
        "ort fp32",
        "torchscript int8",
    ]
    assert budget.faults == [
        "ort fp32 (tiny_fp32.ort) has 500 bytes, 100 over the limit of 400",
        "torchscript int8 (tiny_int8.ptl) has 500 bytes, 100 over the limit of 400",
    ]


@pytest.mark.parametrize("pattern", ["w4", "onnx w4", "tiny_w4.onnx", "*w4*"])
def test_what_an_app_ships_is_named_by_precision_format_or_path(
    pattern: str, android: Path
) -> None:
    assert [w.key for w in weigh(android, 300, [pattern]).weights if w.chosen] == ["onnx w4"]
    assert weigh(android, 300, [pattern]).faults == []
    (fault,) = weigh(android, 299, [pattern]).faults
    assert "1 over the limit of 299" in fault


def test_all_that_is_named_counts_not_only_the_smallest(android: Path) -> None:
    (fault,) = weigh(android, 400, ["onnx"]).faults
    assert fault.startswith("onnx fp32")


def test_the_download_is_what_real_archives_have_and_the_runtime(assets: Path) -> None:
    ios = assets / "ios_assets"
    zipped = 0
    for name in ("tiny_fp32.onnx", "tiny_w4.mlpackage"):
        place = ios / name
        files = sorted(f for f in [place, *place.rglob("*")] if f.is_file())
        with zipfile.ZipFile(assets / "a.zip", "w", zipfile.ZIP_DEFLATED, compresslevel=9) as z:
            for file in files:
                z.write(file, file.relative_to(ios))
        zipped += (assets / "a.zip").stat().st_size
    budget = weigh(ios, only=["onnx fp32", "coreml w4"], total_limit_bytes=zipped + 10)
    assert budget.download_bytes == zipped
    assert budget.faults == []
    budget = weigh(ios, 10**6, ["onnx fp32", "coreml w4"], zipped + 10, runtime_bytes=11)
    assert budget.faults == [
        f"the download has {zipped + 11:,} bytes, 1 over the limit of {zipped + 10:,}"
    ]


def test_an_export_is_over_its_budget_where_a_format_has_no_file_within(assets: Path) -> None:
    folders = [assets / "android_assets", assets / "ios_assets"]
    assert _over_budget(folders, None) == []
    assert _over_budget(folders, 1000) == []
    faults = _over_budget(folders, 400)
    assert [fault.split(" (")[0] for fault in faults] == [
        "android_assets: ort fp32",
        "android_assets: torchscript int8",
        "ios_assets: onnx fp32",
        "ios_assets: coreml fp16",
        "ios_assets: coreml w4",
    ]


def test_a_limit_of_the_download_needs_what_the_app_ships(android: Path) -> None:
    with pytest.raises(BadInput, match="need --only"):
        weigh(android, total_limit_bytes=1)
    with pytest.raises(BadInput, match="need --only"):
        weigh(android, runtime_bytes=1)


def test_bad_input_says_what_there_is(android: Path, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"--only w5: no such artifact.*onnx w4"):
        weigh(android, only=["w4", "w5"])
    with pytest.raises(BadInput, match="no manifest at"):
        weigh(tmp_path)
    folder = write_assets(tmp_path / "made")["android"]
    (folder / "tiny_fp32.ort").unlink()
    with pytest.raises(BadInput, match=r"tiny_fp32\.ort is missing; see `python -m export verify"):
        weigh(folder)


@pytest.mark.parametrize(
    ("text", "size_bytes"),
    [
        ("500KB", 500_000),
        ("0.5MB", 500_000),
        ("512KiB", 524_288),
        ("1.5 mib", 1_572_864),
        ("7", 7),
        ("7B", 7),
    ],
)
def test_sizes_are_read_as_people_write_them(text: str, size_bytes: int) -> None:
    assert parse_bytes(text) == size_bytes


@pytest.mark.parametrize("text", ["", "KB", "-1", "0", "0.1", "1GB", "1e6", "5 00", "nan", "1,000"])
def test_what_is_no_size_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not a size; write it as 500KB"):
        parse_bytes(text)


def test_the_table_lists_all_and_judges_what_counts(android: Path) -> None:
    lines = to_markdown(weigh(android, 400, ["onnx"]), ["onnx"]).splitlines()
    assert [line.split(" | ")[-1] for line in lines[2:6]] == [
        "over by 100 |",
        "within |",
        " |",
        " |",
    ]
    assert "without the runtime." in lines[7]
    assert lines[-1].startswith("Over: onnx fp32")


def test_the_command_exits_0_within_and_1_over_the_limit(
    android: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["budget", str(android), "--limit", "500B"]) == 0
    assert cli.main(["budget", str(android), "--limit", "499"]) == 1
    assert "1 over the limit of 499" in capsys.readouterr().out
    assert cli.main(["budget", str(android), "--only", "w5"]) == 2
    assert "--only w5" in capsys.readouterr().err
    with pytest.raises(SystemExit) as stopped:
        cli.main(["budget", str(android), "--limit", "much"])
    assert stopped.value.code == 2
    assert "'much' is not a size" in capsys.readouterr().err
