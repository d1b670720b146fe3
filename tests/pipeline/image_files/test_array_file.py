"""Arrays in a file: what is written is read, by row, slice or list, and takes no memory."""

from __future__ import annotations

import multiprocessing
import tracemalloc
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from pipeline.errors import BadInput
from pipeline.image_files import array_file
from pipeline.image_files.array_file import ArrayFile, batches


def filled(dtype: type = np.uint8) -> tuple[ArrayFile, np.ndarray]:
    wanted = np.random.default_rng(0).normal(0, 100, (10, 4, 3)).astype(dtype)
    held = ArrayFile(wanted.shape, dtype)
    for row, values in enumerate(wanted):
        held[row] = values
    return held, wanted


@pytest.mark.parametrize("dtype", [np.uint8, np.float32, np.int64])
def test_what_is_written_is_read(dtype: type) -> None:
    held, wanted = filled(dtype)
    assert (held.shape, held.dtype, len(held)) == (wanted.shape, wanted.dtype, 10)
    for rows in (3, -1, np.int64(2), slice(2, 7), slice(None), slice(-3, None), slice(0, 9, 2)):
        np.testing.assert_array_equal(held[rows], wanted[rows])
    for rows in ([4, 1, 1], [], np.array([9, 0])):
        np.testing.assert_array_equal(held[rows], wanted[np.array(rows, int)])
    np.testing.assert_array_equal(np.stack(list(held)), wanted)
    np.testing.assert_array_equal(np.asarray(held), wanted)
    assert held[2:5].dtype == dtype


def test_rows_are_written_in_any_order_and_the_others_are_zero() -> None:
    held = ArrayFile((5, 2), np.float32)
    held.write(2, np.ones((2, 2), np.float32))
    assert held[:].sum(axis=1).tolist() == [0, 0, 2, 2, 0]


def test_a_row_that_does_not_exist_and_another_shape_are_errors() -> None:
    held = ArrayFile((5, 2), np.float32)
    with pytest.raises(IndexError):
        held[5]
    with pytest.raises(IndexError):
        held[-6] = np.zeros(2, np.float32)
    with pytest.raises(ValueError, match=r"\(3,\) where \(2,\)"):
        held[0] = np.zeros(3, np.float32)


def test_it_has_no_name(tmp_path: Path) -> None:
    held = ArrayFile((5, 2), np.float32, tmp_path)
    held[0] = np.ones(2, np.float32)
    assert list(tmp_path.iterdir()) == []


def test_a_place_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"cannot write below .*nowhere"):
        ArrayFile((5, 2), np.float32, tmp_path / "nowhere")


def test_no_room_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    held = ArrayFile((1000, 1000), np.float32, tmp_path)
    monkeypatch.setattr("os.pwrite", full)
    with pytest.raises(BadInput, match=r"cannot write 4 MB below .*: No space left on device"):
        held[0] = np.zeros(1000, np.float32)


def sums(held: ArrayFile) -> list[float]:
    return [float(row.sum()) for row in held]


def test_another_process_reads_the_same_file() -> None:
    held, wanted = filled(np.float32)
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as process:
        assert process.submit(sums, held).result() == [float(row.sum()) for row in wanted]
        held[0] = np.zeros((4, 3), np.float32)
        assert process.submit(sums, held).result()[0] == 0


def test_batches_cover_all_rows_once(monkeypatch: pytest.MonkeyPatch) -> None:
    held, wanted = filled()
    monkeypatch.setattr(array_file, "BATCH_BYTES", 40)
    for arrays in (held, wanted):
        parts = list(batches(arrays))
        assert [start for start, _ in parts] == [0, 3, 6, 9]
        np.testing.assert_array_equal(np.concatenate([part for _, part in parts]), wanted)
    monkeypatch.setattr(array_file, "BATCH_BYTES", 1)
    assert len(list(batches(held))) == 10


def test_memory_does_not_grow_with_the_number_of_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(array_file, "BATCH_BYTES", 100_000)

    def peak(count: int) -> int:
        tracemalloc.start()
        held = ArrayFile((count, 100, 100), np.uint8)
        for row in range(count):
            held[row] = np.full((100, 100), row % 256, np.uint8)
        assert sum(len(part) for _, part in batches(held)) == count
        top = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return top

    assert peak(1000) < 1.1 * peak(30)
