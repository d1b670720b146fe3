"""``verify --golden``: real ONNX files, and a golden pack as it is published."""

from __future__ import annotations

import hashlib
import io
import json
import shutil
import struct
import subprocess
import sys
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper
from PIL import Image

from export import verify
from export.publish.build_manifest import file_entries
from export.verify import Replay, main, png_pixels, replay
from tests.export.made_assets import edit_manifest, flip, keep, write_assets

FILE = Path(__file__).resolve().parents[2] / "export" / "verify.py"
SIDE = 8
FORMATS = {"onnx": "tiny_fp32.onnx", "w4": "tiny_w4.onnx", "ort": "tiny_fp32.ort"}
OTHER = "tiny_int8.ptl"


def write_model(path: Path) -> None:
    """The means of red and green as probabilities."""
    weights = np.array([[4, -4], [-4, 4], [0, 0]], np.float32)
    nodes = [
        helper.make_node("Cast", ["image"], ["pixels"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMean", ["pixels"], ["mean"], axes=[1, 2], keepdims=0),
        helper.make_node("Div", ["mean", "scale"], ["scaled"]),
        helper.make_node("MatMul", ["scaled", "weights"], ["logits"]),
        helper.make_node("Softmax", ["logits"], ["probs"], axis=1),
    ]
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info("image", TensorProto.UINT8, (1, SIDE, SIDE, 3))],
        [
            helper.make_tensor_value_info("logits", TensorProto.FLOAT, (1, 2)),  # not asked for
            helper.make_tensor_value_info("probs", TensorProto.FLOAT, (1, 2)),
        ],
        [
            helper.make_tensor("scale", TensorProto.FLOAT, (), [255.0]),
            helper.make_tensor("weights", TensorProto.FLOAT, (3, 2), weights.ravel()),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, path)


def images() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(3)
    noise = rng.integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)
    red = np.zeros((SIDE, SIDE, 3), np.uint8)
    red[..., 0] = 200
    slope = np.arange(SIDE * SIDE * 3, dtype=np.uint8).reshape(SIDE, SIDE, 3)
    return {"noise": noise, "red": red, "slope": slope}


def answers(model: Path, pixels: np.ndarray) -> list[float]:
    session = onnxruntime.InferenceSession(model)
    return [float(p) for p in session.run(["probs"], {"image": pixels[None]})[0][0]]


def png(pixels: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def golden_pack(model: Path) -> dict[str, bytes]:
    cases, files = [], {}
    for name, pixels in images().items():
        tensor = f"golden/tensors/{name}.png"
        files[tensor] = png(pixels)
        case = {
            "name": name,
            "image": tensor,
            "tensor": tensor,
            "tensor_sha256": hashlib.sha256(pixels.tobytes()).hexdigest(),
            "why": "for the test",
            "probs": dict.fromkeys((*FORMATS.values(), OTHER), answers(model, pixels)),
        }
        cases.append(case)
    pack = {
        "schema": 1,
        "model": {"name": "tiny", "version": "1.2.3", "checkpoint_sha256": "cd" * 32},
        "side": SIDE,
        "labels": ["covid19", "non_covid19"],
        "cases": cases,
        "tolerances": dict.fromkeys((*FORMATS.values(), OTHER), 1e-5),
        "pixel_tolerance": {"max_abs": 2, "mean_abs": 0.1},
    }
    files["golden/golden.json"] = json.dumps(pack).encode()
    return files


def rehash(folder: Path) -> None:
    """As if all files there had been published like this."""

    def renew(document: dict[str, Any]) -> None:
        for artifact in document["artifacts"]:
            entries = [vars(entry) for entry in file_entries(folder, artifact["path"])]
            artifact.update(files=entries, size_bytes=sum(e["size_bytes"] for e in entries))
        beside = sorted(
            {entry["path"] for entry in document["files"]}
            | {p.relative_to(folder).as_posix() for p in (folder / "golden").rglob("*.*")}
        )
        document["files"] = [
            vars(file_entries(folder, path)[0]) for path in beside if (folder / path).exists()
        ]

    edit_manifest(folder, renew)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = write_assets(tmp_path_factory.mktemp("golden") / "assets")["android"]
    for path in FORMATS.values():  # onnxruntime looks at the content
        write_model(folder / path)
    (folder / FORMATS["ort"]).rename(folder / "model.onnx")
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(folder / FORMATS["ort"])
    onnxruntime.InferenceSession(folder / "model.onnx", options)
    (folder / "model.onnx").unlink()
    for path, content in golden_pack(folder / FORMATS["onnx"]).items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(content)
    rehash(folder)
    return folder


@pytest.fixture
def folder(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made, tmp_path / "android"))


def replayed(folder: Path) -> dict[str, Replay]:
    return {played.path: played for played in replay(folder, verify.verify(folder))}


def statuses(folder: Path) -> dict[str, str]:
    return {path: played.status for path, played in replayed(folder).items()}


def edit_pack(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    path = folder / "golden" / "golden.json"
    pack = json.loads(path.read_bytes())
    change(pack)
    path.write_text(json.dumps(pack))
    rehash(folder)


PASSED = {**dict.fromkeys(FORMATS.values(), "pass"), OTHER: "not run"}


def test_every_file_that_onnxruntime_runs_gives_the_published_outputs(folder: Path) -> None:
    assert verify.verify(folder).differences == ()
    assert statuses(folder) == PASSED
    passed = replayed(folder)[FORMATS["onnx"]].message
    assert passed.startswith(f"3 images by onnxruntime {onnxruntime.__version__}, max |Δp| ")
    assert "python -m export check" in replayed(folder)[OTHER].message


def test_another_output_fails_with_the_image_and_both_numbers(folder: Path) -> None:
    def shift(pack: dict[str, Any]) -> None:
        probs = pack["cases"][1]["probs"][FORMATS["w4"]]
        pack["cases"][1]["probs"][FORMATS["w4"]] = [probs[0] - 0.01, probs[1] + 0.01]

    edit_pack(folder, shift)
    assert statuses(folder) == {**PASSED, FORMATS["w4"]: "fail"}
    message = replayed(folder)[FORMATS["w4"]].message
    assert message.endswith("max |Δp| 1.0e-02 on red, allowed 1.0e-05")


@pytest.mark.parametrize("case", [0, 1, 2])
def test_an_output_that_is_no_number_fails_wherever_it_is(case: int, folder: Path) -> None:
    nothing = {FORMATS["onnx"]: [None, None]}
    edit_pack(folder, lambda pack: pack["cases"][case]["probs"].update(nothing))
    assert statuses(folder) == {**PASSED, FORMATS["onnx"]: "fail"}


def test_an_output_of_another_length_fails(folder: Path) -> None:
    def shorten(pack: dict[str, Any]) -> None:
        for case in pack["cases"]:
            case["probs"][FORMATS["onnx"]] = case["probs"][FORMATS["onnx"]][:1]

    edit_pack(folder, shorten)
    played = replayed(folder)[FORMATS["onnx"]]
    assert played.status == "fail"
    assert "2 probabilities, expected 1" in played.message


def test_a_file_that_the_runtime_does_not_take_fails(folder: Path) -> None:
    (folder / FORMATS["w4"]).write_bytes(b"no model")
    rehash(folder)
    assert statuses(folder) == {**PASSED, FORMATS["w4"]: "fail"}
    assert "cannot run it" in replayed(folder)[FORMATS["w4"]].message


def test_a_file_that_is_not_as_published_is_never_run(folder: Path) -> None:
    flip(folder / FORMATS["onnx"], "end")
    (folder / FORMATS["ort"]).unlink()
    played = replayed(folder)
    for name in ("onnx", "ort"):
        assert played[FORMATS[name]].status == "not run"
        assert "missing or changed" in played[FORMATS[name]].message
    assert played[FORMATS["w4"]].status == "pass"


def test_an_artifact_without_golden_outputs_is_not_run(folder: Path) -> None:
    edit_pack(folder, lambda pack: pack["cases"][0]["probs"].pop(FORMATS["onnx"]))
    edit_pack(folder, lambda pack: pack["tolerances"].pop(FORMATS["ort"]))
    assert statuses(folder) == {
        FORMATS["onnx"]: "not run",
        FORMATS["w4"]: "pass",
        FORMATS["ort"]: "not run",
        OTHER: "not run",
    }


BROKEN_PACKS: dict[str, tuple[Callable[[dict[str, Any]], object], str]] = {
    "schema": (lambda pack: pack.update(schema=2), "schema 2, known here: 1"),
    "model": (
        lambda pack: pack["model"].update(checkpoint_sha256="ab" * 32),
        "it is of another model",
    ),
    "no cases": (lambda pack: pack.update(cases=[]), "cases is not an array of at least 1"),
    "side": (lambda pack: pack.update(side=SIDE * 2), "not a PNG of 16 x 16 pixels"),
    "hash": (
        lambda pack: pack["cases"][0].update(tensor_sha256="0" * 64),
        "SHA-256 of its pixels is not the pack's",
    ),
    "path": (
        lambda pack: pack["cases"][0].update(tensor="../../secret.png"),
        "the manifest does not list ../../secret.png",
    ),
}


@pytest.mark.parametrize(("change", "reason"), BROKEN_PACKS.values(), ids=BROKEN_PACKS)
def test_a_pack_that_cannot_be_used_is_not_run_with_the_reason(
    change: Callable[[dict[str, Any]], object], reason: str, folder: Path
) -> None:
    edit_pack(folder, change)
    assert set(statuses(folder).values()) == {"not run"}
    assert all(reason in played.message for played in replayed(folder).values())


def test_a_damaged_pack_is_a_difference_and_is_not_run(folder: Path) -> None:
    flip(folder / "golden" / "tensors" / "red.png", "middle")
    assert {played.message for played in replayed(folder).values()} == {
        "the golden pack is missing or changed"
    }
    assert main([str(folder), "--golden"]) == 1


def test_a_folder_without_a_pack_is_not_run(folder: Path) -> None:
    shutil.rmtree(folder / "golden")
    rehash(folder)
    assert {p.message for p in replayed(folder).values()} == {"the folder has no golden pack"}
    assert main([str(folder), "--golden"]) == 0
    assert main([str(folder), "--golden", "--strict"]) == 1


def test_a_part_of_the_folder_is_replayed_where_its_pack_is_shipped(folder: Path) -> None:
    keep(folder, "tiny_w4.onnx", "golden")
    wanted = ["tiny_w4.onnx", "golden"]
    played = {p.path: p.status for p in replay(folder, verify.verify(folder, only=wanted))}
    assert played == {**dict.fromkeys(PASSED, "not run"), "tiny_w4.onnx": "pass"}


# --- the command line ---------------------------------------------------------------------------


def test_the_command_prints_a_line_for_each_artifact(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(folder), "--golden"]) == 0
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("golden")]
    assert [line.split(": ")[1:3] for line in lines] == [[s, path] for path, s in PASSED.items()]


def test_the_exit_code_is_1_where_an_output_differs(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    edit_pack(folder, lambda pack: pack["tolerances"].update({FORMATS["onnx"]: -1.0}))
    assert main([str(folder)]) == 0  # the files are as they were published
    assert main([str(folder), "--golden", "--json"]) == 1
    document = json.loads(capsys.readouterr().out.split("manifest.json: ")[1].split("\n", 1)[1])
    assert document["status"] == "differs"
    assert [entry["status"] for entry in document["golden"]] == ["fail", "pass", "pass", "not run"]


def test_without_onnxruntime_it_is_not_run_and_says_what_to_install(
    folder: Path, tmp_path: Path
) -> None:
    """The bare interpreter, as on a machine that has Python alone."""
    command = [sys.executable, "-S", "-I", str(FILE), str(folder), "--golden"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0
    lines = [line for line in done.stdout.splitlines() if line.startswith("golden pack: not run: ")]
    assert len(lines) == 4
    assert all(line.endswith(": pip install onnxruntime") for line in lines)
    assert subprocess.run([*command, "--strict"], capture_output=True).returncode == 1


# --- PNG ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", range(5))
def test_every_filter_of_png_is_undone(kind: int) -> None:
    """Filtered here by the formulas of the specification, whole images at a time."""
    pixels = np.random.default_rng(kind).integers(0, 256, (6, 6, 3), dtype=np.uint8)
    padded = np.zeros((7, 7, 3), int)
    padded[1:, 1:] = pixels
    left, up, corner = padded[1:, :-1], padded[:-1, 1:], padded[:-1, :-1]
    slope = left + up - corner
    near = np.stack([abs(slope - left), abs(slope - up), abs(slope - corner)]).argmin(0)
    paeth = np.choose(near, [left, up, corner])
    guess = [0 * left, left, up, (left + up) // 2, paeth][kind]
    lines = ((pixels - guess) & 255).astype(np.uint8).reshape(6, -1)
    file = written(b"".join(bytes([kind]) + line.tobytes() for line in lines), 6)
    assert png_pixels(file, 6) == pixels.tobytes()
    with Image.open(io.BytesIO(file)) as image:
        assert image.tobytes() == pixels.tobytes()  # Pillow reads the same of it


def written(raw: bytes, side: int) -> bytes:
    """A PNG with these filtered rows, its data in two chunks."""

    def chunk(name: bytes, content: bytes) -> bytes:
        check = struct.pack(">I", zlib.crc32(name + content))
        return struct.pack(">I", len(content)) + name + content + check

    packed = zlib.compress(raw)
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0))
    data = chunk(b"IDAT", packed[:20]) + chunk(b"IDAT", packed[20:])
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"tEXt", b"a\0b") + data + chunk(b"IEND", b"")


@pytest.mark.parametrize("side", [1, 2, 37, 64])
def test_what_pillow_writes_is_read(side: int) -> None:
    rng = np.random.default_rng(side)
    smooth = rng.integers(0, 40, (side, side, 3)).cumsum(axis=1).astype(np.uint8)
    for pixels in (smooth, rng.integers(0, 256, (side, side, 3), dtype=np.uint8)):
        assert png_pixels(png(pixels), side) == pixels.tobytes()


def test_the_pixels_of_a_rectangle_are_read_by_height_and_width() -> None:
    pixels = np.random.default_rng(3).integers(0, 256, (5, 9, 3), dtype=np.uint8)
    assert png_pixels(png(pixels), [5, 9]) == pixels.tobytes()
    with pytest.raises(ValueError, match="not a PNG of 5 x 9 pixels"):
        png_pixels(png(pixels), [9, 5])


@pytest.mark.parametrize("mode", ["L", "RGBA", "P", "I;16"])
def test_another_kind_of_png_is_refused(mode: str) -> None:
    file = io.BytesIO()
    Image.new(mode, (8, 8)).save(file, "PNG")
    with pytest.raises(ValueError, match="not a PNG of 8 x 8 pixels in 8-bit RGB"):
        png_pixels(file.getvalue(), 8)


def test_a_damaged_png_is_refused() -> None:
    def rows(kind: int) -> bytes:
        return b"".join(bytes([kind]) + bytes(18) for _ in range(6))

    whole = written(rows(0), 6)
    assert png_pixels(whole, 6) == bytes(6 * 18)
    for broken in (b"", whole[:30], whole[:50], whole.replace(b"IDAT", b"iDAT")):
        with pytest.raises(ValueError, match="PNG"):
            png_pixels(broken, 6)
    with pytest.raises(ValueError, match="there is no filter 9"):
        png_pixels(written(rows(9), 6), 6)
