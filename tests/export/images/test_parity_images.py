from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from export.images.drawn_samples import EMBEDDED_SAMPLES
from export.images.parity_images import ParityImages, gather_images
from export.images.stress_images import stress_images
from pipeline.errors import BadInput
from pipeline.images import read_image
from tests.conftest import LABELS, SIDE, make_spec, write_images

SPEC = make_spec()
GOLDEN = 17


@pytest.fixture(scope="module")
def embedded() -> ParityImages:
    return gather_images(SPEC, None, limit=1000)


def test_the_hard_set_is_always_there(embedded: ParityImages, data: Path) -> None:
    for images in (embedded, gather_images(SPEC, data, limit=1)):
        hard = [n for n, g in zip(images.names, images.groups, strict=True) if g == "hard"]
        assert hard == list(stress_images(SIDE))


def test_the_embedded_samples_stand_in_for_data(embedded: ParityImages) -> None:
    assert embedded.groups.count("synthetic") == EMBEDDED_SAMPLES
    assert embedded.pixels.shape == (EMBEDDED_SAMPLES + GOLDEN + 13, SIDE, SIDE, 3)
    assert embedded.pixels.dtype == np.uint8
    assert len(set(embedded.names)) == len(embedded.names)
    assert embedded.source == "150 embedded synthetic samples, 17 golden and 13 hard images"
    assert len({image.tobytes() for image in embedded.pixels}) == len(embedded.pixels)


def test_validation_images_are_read_by_the_resize_rule(data: Path) -> None:
    images = gather_images(SPEC, data, limit=1000)
    assert images.groups[:6] == ("validation",) * 6
    for name, pixels in list(zip(images.names, images.pixels, strict=True))[:6]:
        assert name.startswith("valid/")
        np.testing.assert_array_equal(pixels, read_image(data / name, SIDE))
    assert images.source == "6 validation images of xrays, 17 golden and 13 hard images"


def test_a_limit_takes_images_from_first_to_last(data: Path) -> None:
    images = gather_images(SPEC, data, limit=2)
    labels = [Path(name).parts[1] for name in images.names[:2]]
    assert labels == list(LABELS)
    assert images.source == "2 of 6 validation images of xrays, 17 golden and 13 hard images"


def test_data_of_other_labels_are_refused_with_both_named(tmp_path: Path) -> None:
    for split in ("train", "valid"):
        for label in ("cat", "dog"):
            write_images(tmp_path / split, label, 1)
    with pytest.raises(BadInput, match=r"labels 'cat', 'dog'.*'covid19', 'non_covid19'"):
        gather_images(SPEC, tmp_path, limit=10)


def test_what_was_left_out_of_the_data_is_said(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place = tmp_path / "xrays"
    shutil.copytree(data, place)
    gather_images(SPEC, place, limit=10)
    assert "left out" not in capsys.readouterr().out
    (place / "valid" / LABELS[0] / "größer.HEIC").write_bytes(b"not read here")
    gather_images(SPEC, place, limit=10)
    assert f"left out: 1 .HEIC in valid/{LABELS[0]}" in capsys.readouterr().out


def test_no_name_is_an_absolute_path_since_it_may_be_published(data: Path, tmp_path: Path) -> None:
    """A table may name its files absolutely; `worst_image` goes into the manifest."""
    table = tmp_path / "table.csv"
    rows = [
        f"{path},{path.parent.name},{path.parent.parent.name}"
        for path in sorted(data.rglob("*.jpg"))
    ]
    table.write_text("\n".join(["file,label,split", *rows]) + "\n")
    try:
        names = gather_images(SPEC, table, limit=10).names
    except BadInput:
        return  # refused: as good
    assert [name for name in names if Path(name).is_absolute()] == []
