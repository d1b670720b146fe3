from __future__ import annotations

import io
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from export.formats.register import FORMATS
from export.golden.document import PACK_FILE, document_text, read_document
from export.golden.pack import golden_files, pixels_sha256, read_pack
from export.golden.replay import within
from export.images.drawn_samples import MARK
from export.images.golden_images import (
    BLENDED,
    DEEP,
    EXACT,
    JPEG_COLOUR,
    JPEG_GREY,
    GoldenImage,
    golden_images,
)
from export.manifest.manifest import read_manifest
from export.parity.entries import RoundingEntry
from export.parity.reference import build_references
from export.publish.assets import FOLDERS
from pipeline.errors import BadInput
from pipeline.image_files.orientation import ORIENTATION
from pipeline.images import read_image
from pipeline.resize.pixels import resized
from pipeline.resize.rule import Resize
from tests.conftest import SIDE
from tests.export.conftest import Exported, Model

ROOT = Path(__file__).parents[3]

RULE = Resize(SIDE, SIDE)
NAMES = [image.name for image in golden_images(RULE)]
LIMIT_BYTES = 600_000


def golden(name: str, rule: Resize = RULE) -> GoldenImage:
    return next(image for image in golden_images(rule) if image.name == name)


def opened(name: str) -> Image.Image:
    return Image.open(io.BytesIO(golden(name).content))


# --- the images -------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_an_image_file_becomes_its_tensor(name: str, tmp_path: Path) -> None:
    image = golden(name)
    path = tmp_path / f"{name}{image.suffix}"
    path.write_bytes(image.content)
    np.testing.assert_array_equal(read_image(path, SIDE), image.pixels)


@pytest.mark.parametrize(
    "rule",
    [
        Resize(48, 64, "crop"),
        Resize(64, 64, "pad", "reflection"),
        Resize(96, 33, "centre", "zeros"),
        Resize(64, 64, margin=16),
    ],
    ids=str,
)
def test_the_images_of_a_model_become_pixels_by_its_own_resize(
    rule: Resize, tmp_path: Path
) -> None:
    for image in golden_images(rule):
        path = tmp_path / f"{image.name}{image.suffix}"
        path.write_bytes(image.content)
        assert image.pixels.shape == (*rule.size, 3)
        np.testing.assert_array_equal(read_image(path, rule), image.pixels)
    size = golden("right_size", rule).content
    assert Image.open(io.BytesIO(size)).size == (rule.width, rule.height)
    different = golden("wide", rule).pixels, golden("wide", Resize(*rule.size)).pixels
    assert not np.array_equal(*different)  # it would show which of the two was done


def test_the_same_bytes_are_written_again() -> None:
    before = [image.content for image in golden_images(RULE)]
    golden_images.cache_clear()
    assert [image.content for image in golden_images(RULE)] == before


def test_names_and_pixels_are_all_different_and_every_image_says_what_it_is() -> None:
    images = golden_images(RULE)
    assert len(set(NAMES)) == len(images) == 17
    assert len({image.pixels.tobytes() for image in images}) == len(images)
    for image in images:
        assert MARK.encode() in image.content
        assert image.why.endswith(".")


def test_the_oddities_that_apps_meet_are_there() -> None:
    assert {opened(name).mode for name in NAMES} == {"L", "LA", "RGB", "RGBA", "P", "I;16"}
    assert {opened(name).format for name in NAMES} == {"PNG", "JPEG"}
    turned = {opened(name).getexif().get(ORIENTATION, 1) for name in NAMES}
    assert turned == {1, 3, 5, 6, 8}
    sizes = {opened(name).size for name in NAMES}
    assert {(1, 1), (3, 5), (4000, 3000), (1200, 40), (SIDE, SIDE), (227, 331)} <= sizes
    assert {golden(name).tolerance for name in NAMES} == {
        *(EXACT, JPEG_GREY, JPEG_COLOUR, DEEP, BLENDED)
    }


def test_only_jpeg_and_what_platforms_round_is_given_a_tolerance() -> None:
    for image in golden_images(RULE):
        lossy = image.suffix == ".jpg"
        assert lossy == (image.tolerance in (JPEG_GREY, JPEG_COLOUR)), image.name
        assert (image.tolerance.max_abs == 0) == (image.tolerance.mean_abs == 0)


def test_the_high_byte_of_16_bits_is_within_the_tolerance_and_shows() -> None:
    high = (np.asarray(opened("grey_16_bit")) >> 8).astype(np.uint8)
    pixels = resized(Image.fromarray(high).convert("RGB"), RULE)
    assert within(pixels, golden("grey_16_bit").pixels, DEEP)
    assert (pixels != golden("grey_16_bit").pixels).any()


def test_premultiplied_bitmaps_are_within_the_tolerance_whichever_way_they_round() -> None:
    rgba = np.asarray(opened("colour_alpha")).astype(int)
    for half in (0, 127):
        onto_black = ((rgba[..., :3] * rgba[..., 3:] + half) // 255).astype(np.uint8)
        pixels = resized(Image.fromarray(onto_black), RULE)
        assert within(pixels, golden("colour_alpha").pixels, BLENDED)


def test_a_count_more_than_is_allowed_is_too_much() -> None:
    pixels = golden("grey").pixels
    one_off = pixels.copy()
    one_off[3, 4, 1] ^= 1
    assert within(pixels, pixels, EXACT)
    assert not within(one_off, pixels, EXACT)
    far = np.clip(pixels.astype(int) + 1, 0, 255).astype(np.uint8)
    assert not within(far, pixels, JPEG_GREY)  # by the mean, though none is off by more than 1


# --- the pack ---------------------------------------------------------------------------------


@pytest.mark.parametrize("platform", FOLDERS)
def test_both_folders_hold_the_pack_and_their_manifests_list_it(
    platform: str, exported: Exported
) -> None:
    folder = exported.root / FOLDERS[platform]
    listed = {entry.path for entry in read_manifest(folder).files}
    pack = read_pack(folder)
    assert [case.name for case in pack.cases] == NAMES
    assert PACK_FILE in listed
    for case in pack.cases:
        assert case.image.relative_to(folder).as_posix() in listed
        assert f"golden/tensors/{case.name}.png" in listed
        assert case.image.read_bytes() == golden(case.name).content
    files = [path for path in (folder / "golden").rglob("*") if path.is_file()]
    assert len(files) == 2 * len(NAMES) + 2
    assert "golden/README.md" in listed


def test_it_has_the_variants_probabilities_for_every_artifact(
    exported: Exported, model: Model
) -> None:
    import torch

    from export.deploy.graph import listed

    for folder in (exported.root / name for name in FOLDERS.values()):
        pack = read_pack(folder)
        manifest = read_manifest(folder)
        assert pack.model.checkpoint_sha256 == model.identity
        assert pack.labels == model.spec.labels
        for artifact in manifest.artifacts:
            name, precision = artifact.format, artifact.precision
            graph = model.held_for(name, precision).graph
            for case in pack.cases:
                with torch.inference_mode():
                    answer = graph(torch.from_numpy(case.pixels.copy())[None])
                probs = listed(answer)[0].numpy()[0]
                np.testing.assert_allclose(case.probs[artifact.path], probs, atol=1e-6)
            tolerance = FORMATS[name].precisions[precision].tolerance
            assert pack.tolerances[artifact.path] == tolerance.max_abs_diff
        assert pack.tolerances.keys() == {a.path for a in manifest.artifacts}


def test_where_the_network_enlarges_rounding_an_app_is_allowed_as_much(
    exported: Exported, model: Model, data: Path
) -> None:
    manifest = read_manifest(exported.root / FOLDERS["web"])
    first, *others = manifest.artifacts
    golden = replace(first.parity.sets["golden"], max_abs_diff=0.01)
    parity = replace(
        first.parity,
        sets={**first.parity.sets, "golden": golden},
        rounding=RoundingEntry(2, 0.02, 0.1),
    )
    changed = replace(manifest, artifacts=(replace(first, parity=parity), *others))
    files = golden_files(changed, build_references(model.checkpoint, data, 1, ()))
    tolerances = json.loads(files[PACK_FILE])["tolerances"]
    assert tolerances[first.path] == 0.02
    for artifact in others:
        usual = FORMATS[artifact.format].precisions[artifact.precision].tolerance
        assert tolerances[artifact.path] == usual.max_abs_diff


@pytest.mark.parametrize("folder", FOLDERS.values())
def test_the_released_pack_is_written_as_it_was_read(folder: str) -> None:
    released = ROOT / folder
    assert document_text(read_document(released)).encode() == (released / PACK_FILE).read_bytes()


def test_the_outputs_differ_from_case_to_case(exported: Exported) -> None:
    """A model with constant outputs would show no fault."""
    pack = read_pack(exported.root / FOLDERS["android"])
    probs = [case.probs["tiny_fp32.onnx"][0] for case in pack.cases]
    assert max(probs) - min(probs) > 0.1


def test_a_tensor_is_the_raw_bytes_that_its_hash_is_of(exported: Exported) -> None:
    import hashlib

    folder = exported.root / FOLDERS["ios"]
    for case in json.loads((folder / PACK_FILE).read_text())["cases"]:
        with Image.open(folder / case["tensor"]) as tensor:
            assert (tensor.mode, tensor.size) == ("RGB", (SIDE, SIDE))
            assert hashlib.sha256(tensor.tobytes()).hexdigest() == case["tensor_sha256"]


def test_the_loosest_pixel_tolerance_is_given_for_all(exported: Exported) -> None:
    document = json.loads((exported.root / FOLDERS["ios"] / PACK_FILE).read_text())
    each = [case["pixel_tolerance"] for case in document["cases"]]
    assert document["pixel_tolerance"] == {
        name: max(tolerance[name] for tolerance in each) for name in ("max_abs", "mean_abs")
    }


def test_a_pack_for_the_released_size_is_small() -> None:
    total = 0
    for image in golden_images(Resize(224, 224)):
        tensor = io.BytesIO()
        Image.fromarray(image.pixels).save(tensor, "PNG")
        total += len(image.content) + len(tensor.getvalue())
    assert total < LIMIT_BYTES


# --- packs that are refused -------------------------------------------------------------------


def edit(folder: Path, change: Callable[[dict[str, Any]], None]) -> None:
    document = json.loads((folder / PACK_FILE).read_text())
    change(document)
    (folder / PACK_FILE).write_text(json.dumps(document))


def test_a_folder_without_a_pack_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="no golden pack at"):
        read_pack(tmp_path)


def test_a_changed_tensor_is_refused(assets: Path) -> None:
    folder = assets / FOLDERS["ios"]
    pixels = golden("grey").pixels.copy()
    pixels[0, 0, 0] ^= 1
    Image.fromarray(pixels).save(folder / "golden/tensors/grey.png")
    with pytest.raises(BadInput, match=r"tensors/grey\.png does not hold the pixels"):
        read_pack(folder)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda d: d.update(schema=2), "has schema 2, this version reads 1"),
        (lambda d: d.pop("labels"), "'labels' is a required property"),
        (lambda d: d["cases"][0].update(image="../secret.png"), "leaves the folder by .."),
        (lambda d: d["cases"][0].update(tensor="/etc/passwd"), "is absolute"),
        (lambda d: d["cases"][1]["probs"].popitem(), "needs one probability per label"),
        (
            lambda d: d["cases"][1]["probs"]["tiny_fp32.onnx"].pop(),
            "needs one probability per label",
        ),
        (lambda d: d.update(side=SIDE + 1), "does not hold the pixels"),
    ],
)
def test_a_damaged_pack_is_refused_with_the_place(
    change: Callable[[dict[str, Any]], None], said: str, assets: Path
) -> None:
    folder = assets / FOLDERS["android"]
    edit(folder, change)
    with pytest.raises(BadInput, match=said.replace("..", r"\.\.")):
        read_pack(folder)


def test_text_that_is_not_json_is_refused(assets: Path) -> None:
    folder = assets / FOLDERS["android"]
    (folder / PACK_FILE).write_text("{")
    with pytest.raises(BadInput, match="is not JSON"):
        read_pack(folder)


def test_a_name_that_is_no_case_is_refused_with_those_there_are(exported: Exported) -> None:
    with pytest.raises(BadInput, match="no golden case 'gray'; there are: grey, grey_jpeg"):
        read_pack(exported.root / FOLDERS["ios"]).case("gray")


def test_a_hash_is_of_the_pixels_alone() -> None:
    pixels = golden("odd_size").pixels
    assert pixels_sha256(pixels) == pixels_sha256(pixels[:, :, ::-1][:, :, ::-1])
    assert pixels_sha256(pixels) != pixels_sha256(pixels[:, :, ::-1])


def test_files_of_drawn_chests_say_that_they_are_of_no_patient() -> None:
    files = [image.content for image in golden_images(RULE, "chest_phantoms")]
    assert all(b"not a patient" in content for content in files)
    assert not any(b"patient" in image.content for image in golden_images(RULE))
