"""What only the contents of the images tell, and that each is decoded once."""

from __future__ import annotations

import pickle
import shutil
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipeline.data import reading
from pipeline.data.dataset import read_dataset
from pipeline.data.kept_pixels import KeptPixels, PixelRecipe
from pipeline.data.reading import in_threads, read_images
from pipeline.data.resize_filters import resized_versions
from pipeline.errors import BadInput
from pipeline.file_hash import file_sha256
from pipeline.images import read_image
from pipeline.resize.rule import Resize

SIDE = 32
RULE = Resize(SIDE, SIDE)


def draw(folder: Path, count: int, tone: int, first: int = 0) -> None:
    """Images of a tone, each another one."""
    folder.mkdir(parents=True, exist_ok=True)
    for i in range(first, first + count):
        pixels = np.random.default_rng([tone, i]).integers(0, 60, (24, 24, 3)) + tone
        Image.fromarray(pixels.astype(np.uint8)).save(folder / f"{tone}-{i:02}.png")


@pytest.fixture
def split(tmp_path: Path) -> Path:
    """Cats and dogs: 8 of each in train, 4 other ones in valid."""
    for k, label in enumerate(("cat", "dog")):
        draw(tmp_path / "pets" / "train" / label, 8, 60 * k)
        draw(tmp_path / "pets" / "valid" / label, 4, 60 * k, first=8)
    return tmp_path / "pets"


def test_each_sample_gets_the_hash_of_its_file_and_the_fingerprint_stays(split: Path) -> None:
    before = read_dataset(split)
    fingerprint = before.fingerprint()
    after = read_images(before)
    assert after == before
    for sample in (*after.train, *after.valid):
        assert sample.sha256 == file_sha256(sample.path)
        sample.path.unlink()  # it is not asked again
    assert after.fingerprint() == fingerprint


def test_what_it_does_is_said_before_it_is_done(
    split: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []

    def note(*_: object, **__: object) -> str:
        said.append(capsys.readouterr().out)
        return "0" * 63 + str(len(said))

    monkeypatch.setattr(reading, "file_sha256", note)
    monkeypatch.setattr(reading, "MOST_THREADS", 1)
    read_images(read_dataset(split))
    assert said[0] == "reading 24 images\n"


def test_how_far_it_is_is_told_now_and_then(
    split: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    seconds = iter(range(0, 1000, 3))
    monkeypatch.setattr("time.monotonic", lambda: next(seconds))
    list(reading._told(range(20), 20))
    said = capsys.readouterr().out.splitlines()
    assert said[0] == "reading 20 images"
    assert said[1:] == [f"  {n} of 20" for n in (4, 8, 12, 16, 20)]


# --- damage


@pytest.mark.parametrize("damage", [b"", b"not an image", "cut"])
def test_a_damaged_image_is_refused_by_name(split: Path, damage: bytes | str) -> None:
    path = split / "train" / "cat" / "0-04.png"
    path.write_bytes(path.read_bytes()[:70] if isinstance(damage, str) else damage)
    with pytest.raises(BadInput, match=r"0-04\.png.*; replace or remove it$") as caught:
        read_images(read_dataset(split))
    assert "more)" not in str(caught.value)


def test_the_other_damaged_images_are_counted(split: Path) -> None:
    for number in (2, 5, 7):
        (split / "train" / "cat" / f"0-0{number}.png").write_bytes(b"")
    with pytest.raises(BadInput, match=r"0-02\.png.*\(and 2 more\)"):
        read_images(read_dataset(split))


def test_an_image_that_went_away_is_refused_by_name(split: Path) -> None:
    dataset = read_dataset(split)
    dataset.valid[0].path.unlink()
    with pytest.raises(BadInput, match=r"0-08\.png cannot be read"):
        read_images(dataset)


def test_an_image_of_floating_point_numbers_is_refused_with_the_reason(split: Path) -> None:
    for name in ("a.tif", "b.tif"):
        Image.fromarray(np.ones((8, 8), np.float32)).save(split / "train" / "cat" / name)
    with pytest.raises(BadInput, match=r"a\.tif has pixels that are floating.*\(and 1 more\)"):
        read_images(read_dataset(split))


# --- labels and sides


def test_one_image_under_two_labels_is_refused(split: Path) -> None:
    shutil.copy(split / "train/cat/0-00.png", split / "train/dog/other_name.png")
    words = (
        r"train/cat/0-00\.png and train/dog/other_name\.png are the same image, with the labels "
        "'cat' and 'dog';"
    )
    with pytest.raises(BadInput, match=words):
        read_images(read_dataset(split))
    shutil.copy(split / "train/cat/0-01.png", split / "valid/dog/another.png")
    with pytest.raises(BadInput, match=r"\(and 1 more such images\)"):
        read_images(read_dataset(split))


def test_images_of_train_that_are_in_valid_too_are_counted(
    split: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for label in ("cat", "dog"):
        for path in sorted((split / "train" / label).iterdir()):
            shutil.copy(path, split / "valid" / label / f"copy_{path.name}")
    found = read_images(read_dataset(split))
    words = "16 of 24 validation images are in train too (same bytes)"
    assert f"NOTE: {words}\n" in capsys.readouterr().out
    assert found.split_rule == f"by folder; {words}"  # the model card has it


def test_copies_within_valid_are_counted(split: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for i in range(3):
        shutil.copy(split / "valid/cat/0-08.png", split / f"valid/cat/copy{i}.png")
    assert "; 3 of 11 validation images are copies of others" in (
        read_images(read_dataset(split)).split_rule
    )
    assert "NOTE: 3 of 11" in capsys.readouterr().out


def test_copies_within_train_are_no_fault(split: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copy(split / "train/cat/0-00.png", split / "train/cat/copy.png")
    assert read_images(read_dataset(split)).split_rule == "by folder"
    assert "NOTE" not in capsys.readouterr().out


# --- 16 bits


def write_deep(root: Path, largest: int) -> None:
    for label in ("cat", "dog"):
        (root / label).mkdir(parents=True)
        for i in range(8):
            pixels = np.random.default_rng([len(label), i, ord(label[0])]).integers(
                0, largest, (8, 8), dtype=np.uint16
            )
            pixels[0, 0] = largest if (label, i) == ("dog", 3) else 5
            Image.fromarray(pixels).save(root / label / f"{i}.png")


@pytest.mark.parametrize(("largest", "said"), [(255, True), (4095, True), (4096, False)])
def test_sixteen_bits_that_use_twelve_are_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], largest: int, said: bool
) -> None:
    write_deep(tmp_path / "x", largest)
    read_images(read_dataset(tmp_path / "x"))
    words = f"NOTE: the largest value in the 16 images with 16 bits is {largest}, and 65535"
    assert (words in capsys.readouterr().out) == said


def test_so_are_those_whose_high_byte_comes_first(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for label in ("cat", "dog"):
        (tmp_path / label).mkdir()
        for i in range(8):
            content = bytes([1, i, 2, len(label) + ord(label[0])]) * 32
            Image.frombytes("I;16B", (8, 8), content).save(tmp_path / label / f"{i}.tif")
    with Image.open(tmp_path / "cat" / "0.tif") as image:
        assert image.mode == "I;16B"
    read_images(read_dataset(tmp_path))
    largest = 2 * 256 + 3 + ord("d")
    words = f"NOTE: the largest value in the 16 images with 16 bits is {largest}, and 65535"
    assert words in capsys.readouterr().out


def test_images_with_8_bits_are_not_said_to_be_dark(
    split: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    read_images(read_dataset(split))
    assert "16 bits" not in capsys.readouterr().out


# --- decoded once, and kept


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often each file was decoded."""
    from PIL import ImageFile

    counts: Counter[str] = Counter()
    load = ImageFile.ImageFile.load

    def counting(self: ImageFile.ImageFile) -> object:
        if self.tile:
            counts[Path(self.filename).name] += 1
        return load(self)

    monkeypatch.setattr(ImageFile.ImageFile, "load", counting)
    return counts


@pytest.mark.parametrize("versions", [False, True])
@pytest.mark.parametrize("rule", [RULE, Resize(24, 40, "pad", "reflection")])
def test_pixels_are_kept_while_images_are_read(
    split: Path, decoded: Counter[str], rule: Resize, versions: bool
) -> None:
    dataset = read_dataset(split)
    samples = (*dataset.train, *dataset.valid)
    recipe = PixelRecipe(rule, versions)
    kept = KeptPixels(samples, recipe)
    found = read_images(dataset, kept)
    assert found.pixels is kept
    pixels = [kept.of(sample) for sample in (*found.train, *found.valid, *samples)]
    assert len(decoded) == 24
    assert set(decoded.values()) == {1}
    for sample, its in zip((*samples, *samples), pixels, strict=True):
        whole = resized_versions if versions else read_image
        assert its.dtype == np.uint8
        assert its.shape == recipe.shape
        np.testing.assert_array_equal(its, whole(sample.path, rule))


def test_what_has_no_room_is_decoded_when_it_is_asked_for(
    split: Path, decoded: Counter[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Usage:
        free = 2 * 10 * SIDE * SIDE * 3  # half of it is taken

    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage)
    dataset = read_dataset(split)
    samples = (*dataset.train, *dataset.valid)
    kept = KeptPixels(samples, PixelRecipe(RULE))
    for _ in range(3):
        for sample in samples:
            np.testing.assert_array_equal(kept.of(sample), read_image(sample.path, SIDE))
    assert sorted(Counter(decoded.values()).items()) == [(1 + 3, 10), (3 + 3, 14)]


def test_a_disk_that_fills_up_costs_time_and_nothing_else(
    split: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    dataset = read_dataset(split)
    kept = KeptPixels((*dataset.train, *dataset.valid), PixelRecipe(RULE))
    kept.of(dataset.train[0])
    monkeypatch.setattr("os.pwrite", full)
    for sample in (*read_images(dataset, kept).train, *dataset.train[:1]):
        np.testing.assert_array_equal(kept.of(sample), read_image(sample.path, SIDE))


def test_another_process_keeps_its_own(split: Path) -> None:
    dataset = read_dataset(split)
    found = read_images(dataset, KeptPixels(dataset.train, PixelRecipe(RULE)))
    sent = pickle.loads(pickle.dumps(found))  # noqa: S301 - our own
    assert sent == found
    assert sent.pixels is None


def test_results_come_in_order_and_an_error_comes_through() -> None:
    assert list(in_threads(lambda x: x * x, range(50))) == [x * x for x in range(50)]
    with pytest.raises(ZeroDivisionError):
        list(in_threads(lambda x: 1 // (x - 3), range(50)))
