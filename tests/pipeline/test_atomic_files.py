from __future__ import annotations

import errno
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from pipeline.atomic_files import (
    make_folder,
    refuse_foreign,
    staged_folder,
    write_bytes,
    write_text,
)
from pipeline.errors import BadInput

ROOT = Path(__file__).parents[2]


def contents(folder: Path) -> dict[str, str]:
    """Every file below `folder`, hidden ones too, with its text."""
    return {
        path.relative_to(folder).as_posix(): path.read_text()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@pytest.fixture
def target(tmp_path: Path) -> Path:
    """A folder that was put in place before, and nothing next to it."""
    folder = tmp_path / "place" / "model"
    folder.mkdir(parents=True)
    (folder / "weights").write_text("old")
    return folder


def full_disk(self: Path, *_: object, **__: object) -> None:
    """As a disk does it: the file is there, cut short."""
    with self.open("wb") as file:
        file.write(b"ne")
    raise OSError(errno.ENOSPC, "No space left on device")


def stop(*_: object, **__: object) -> None:
    raise KeyboardInterrupt


# --- folders


def test_a_new_folder_appears_with_its_parents_and_nothing_else(tmp_path):
    with staged_folder(tmp_path / "a" / "b" / "model") as staging:
        (staging / "weights").write_text("new")
    assert contents(tmp_path) == {"a/b/model/weights": "new"}
    assert [path.name for path in (tmp_path / "a" / "b").iterdir()] == ["model"]


def test_a_folder_is_replaced_whole_and_not_merged(target):
    with staged_folder(target) as staging:
        (staging / "labels").write_text("new")
    assert contents(target.parent) == {"model/labels": "new"}
    assert [path.name for path in target.parent.iterdir()] == ["model"]


def test_the_target_is_untouched_while_the_new_one_is_made(target):
    with staged_folder(target) as staging:
        (staging / "weights").write_text("new")
        assert contents(target) == {"weights": "old"}


def test_what_is_put_in_place_is_readable_by_all_users(target):
    with staged_folder(target) as staging:
        (staging / "weights").write_text("new")
    assert target.stat().st_mode & 0o777 == 0o755


def test_a_relative_target_stays_where_it_was_meant_when_the_block_changes_directory(
    tmp_path, monkeypatch
):
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path)
    with staged_folder(Path("model")) as staging:
        (staging / "weights").write_text("new")
        monkeypatch.chdir(tmp_path / "elsewhere")
    assert contents(tmp_path) == {"model/weights": "new"}


def fill_and_raise(target: Path, error: type[BaseException]) -> None:
    with staged_folder(target) as staging:
        (staging / "weights").write_text("new")
        raise error


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt, SystemExit, MemoryError])
def test_an_exception_in_the_block_leaves_the_old_folder_and_nothing_next_to_it(target, error):
    with pytest.raises(error):
        fill_and_raise(target, error)
    assert contents(target.parent) == {"model/weights": "old"}
    assert [path.name for path in target.parent.iterdir()] == ["model"]


def test_an_exception_where_there_was_nothing_leaves_nothing(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        fill_and_raise(tmp_path / "model", KeyboardInterrupt)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("failing_rename", [1, 2])
@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError(errno.EIO, "Input/output error")])
def test_a_failure_in_the_exchange_puts_the_old_folder_back(
    target, monkeypatch, failing_rename, error
):
    rename, calls = Path.rename, []

    def fail_once(self: Path, new: Path) -> Path:
        calls.append(self)
        if len(calls) == failing_rename:
            raise error
        return rename(self, new)

    monkeypatch.setattr(Path, "rename", fail_once)
    with pytest.raises((KeyboardInterrupt, BadInput)), staged_folder(target) as staging:
        (staging / "weights").write_text("new")
    assert len(calls) >= failing_rename
    assert contents(target.parent) == {"model/weights": "old"}
    assert [path.name for path in target.parent.iterdir()] == ["model"]


def test_a_full_disk_keeps_the_old_folder_and_says_so(target, monkeypatch):
    monkeypatch.setattr(Path, "write_bytes", full_disk)
    with pytest.raises(BadInput, match=r"model: No space left"), staged_folder(target) as staging:
        (staging / "weights").write_bytes(b"new")
    assert contents(target.parent) == {"model/weights": "old"}
    assert [path.name for path in target.parent.iterdir()] == ["model"]


def test_an_error_of_another_place_is_not_blamed_on_the_target(target, tmp_path):
    missing = tmp_path / "elsewhere" / "image.png"
    with pytest.raises(FileNotFoundError), staged_folder(target):
        missing.read_bytes()
    assert contents(target) == {"weights": "old"}


@pytest.mark.parametrize("refused", [(tempfile, "mkdtemp"), (Path, "mkdir")])
def test_a_parent_that_cannot_be_written_is_bad_input(tmp_path, monkeypatch, refused):
    def deny(*_: object, **__: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(*refused, deny)
    with (
        pytest.raises(BadInput, match=r"model: Permission denied"),
        staged_folder(tmp_path / "new" / "model"),
    ):
        pytest.fail("the block must not run")


def test_a_file_in_the_way_is_bad_input_and_stays(tmp_path):
    (tmp_path / "model").write_text("a thesis")
    with (
        pytest.raises(BadInput, match=r"model is a file, and a folder"),
        staged_folder(tmp_path / "model"),
    ):
        pytest.fail("the block must not run")
    assert contents(tmp_path) == {"model": "a thesis"}


def test_a_parent_that_is_a_file_is_bad_input(tmp_path):
    (tmp_path / "file").write_text("a thesis")
    with (
        pytest.raises(BadInput, match="cannot write next to"),
        staged_folder(tmp_path / "file" / "model"),
    ):
        pytest.fail("the block must not run")
    assert contents(tmp_path) == {"file": "a thesis"}


KILLED_BETWEEN_THE_RENAMES = """
import os, sys
from pathlib import Path
from pipeline.atomic_files import staged_folder

rename = Path.rename
def once_then_die(self, new):
    if ".staging-" in self.name:
        os._exit(9)
    return rename(self, new)
Path.rename = once_then_die
with staged_folder(Path(sys.argv[1])) as staging:
    (staging / "weights").write_text("new")
"""


def test_a_kill_between_the_two_renames_is_repaired_at_the_next_use(target):
    killed = subprocess.run(
        [sys.executable, "-c", KILLED_BETWEEN_THE_RENAMES, str(target)], cwd=ROOT, check=False
    )
    assert killed.returncode == 9
    assert not target.exists()
    assert (target.parent / ".model.previous").is_dir()

    with staged_folder(target):
        assert contents(target) == {"weights": "old"}


def test_a_repair_holds_even_if_the_next_use_fails(target):
    target.rename(target.with_name(".model.previous"))
    with pytest.raises(KeyboardInterrupt), staged_folder(target):
        raise KeyboardInterrupt
    assert contents(target.parent) == {"model/weights": "old"}


def test_a_kill_after_both_renames_keeps_the_new_folder(target):
    previous = target.with_name(".model.previous")
    previous.mkdir()
    (previous / "weights").write_text("older")
    with pytest.raises(KeyboardInterrupt), staged_folder(target):
        raise KeyboardInterrupt
    assert contents(target.parent) == {"model/weights": "old"}
    assert not previous.exists()


def test_a_target_that_is_a_link_to_a_folder_can_be_replaced_twice(target):
    link = target.with_name("link")
    link.symlink_to(target)
    for text in ("new", "newer"):
        with staged_folder(link) as staging:
            (staging / "weights").write_text(text)
        assert (link / "weights").read_text() == text
        assert not link.with_name(".link.previous").is_symlink()


def test_a_folder_is_made_with_its_parents_and_left_as_it_is_if_there(tmp_path):
    make_folder(tmp_path / "a" / "b")
    (tmp_path / "a" / "b" / "file").write_text("kept")
    make_folder(tmp_path / "a" / "b")
    assert contents(tmp_path) == {"a/b/file": "kept"}


def test_a_folder_that_cannot_be_made_is_bad_input(tmp_path):
    (tmp_path / "file").write_text("a thesis")
    for folder in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(BadInput, match="cannot make the folder"):
            make_folder(folder)
    assert contents(tmp_path) == {"file": "a thesis"}


# --- files


def test_a_file_is_written_with_its_parents_and_nothing_else(tmp_path):
    write_text(tmp_path / "a" / "b" / "report.json", "é\n")
    assert (tmp_path / "a" / "b" / "report.json").read_bytes() == "é\n".encode()
    assert [path.name for path in (tmp_path / "a" / "b").iterdir()] == ["report.json"]


def test_a_file_is_replaced(tmp_path):
    path = tmp_path / "report.json"
    write_bytes(path, b"a longer old content")
    write_bytes(path, b"new")
    assert contents(tmp_path) == {"report.json": "new"}


def test_a_full_disk_keeps_the_old_file_and_says_so(tmp_path, monkeypatch):
    path = tmp_path / "report.json"
    path.write_text("old")
    monkeypatch.setattr(Path, "write_bytes", full_disk)
    with pytest.raises(BadInput, match=r"cannot write .*report\.json: No space left"):
        write_bytes(path, b"new")
    assert contents(tmp_path) == {"report.json": "old"}


def test_an_interrupt_keeps_the_old_file_and_leaves_nothing_next_to_it(tmp_path, monkeypatch):
    path = tmp_path / "report.json"
    path.write_text("old")
    monkeypatch.setattr(Path, "replace", stop)
    with pytest.raises(KeyboardInterrupt):
        write_bytes(path, b"new")
    assert contents(tmp_path) == {"report.json": "old"}


def test_a_folder_in_the_way_of_a_file_is_bad_input_and_stays(target):
    with pytest.raises(BadInput, match="cannot write"):
        write_bytes(target, b"new")
    assert contents(target.parent) == {"model/weights": "old"}


def test_only_what_is_not_there_empty_or_ours_may_be_replaced(tmp_path: Path) -> None:
    def fault(names: set[str]) -> str:
        return "" if "ours" in names else f"holds {', '.join(sorted(names))}"

    refuse_foreign(tmp_path / "nowhere", fault)
    refuse_foreign(tmp_path, fault)
    (tmp_path / "thesis").mkdir()
    with pytest.raises(BadInput, match=r"^holds thesis$"):
        refuse_foreign(tmp_path, fault)
    (tmp_path / "ours").touch()
    refuse_foreign(tmp_path, fault)
    with pytest.raises(BadInput, match="ours is a file, and a folder must be written there"):
        refuse_foreign(tmp_path / "ours")
