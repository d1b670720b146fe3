"""The Swift compiler of the cache: how it is fetched and called, with programs made up."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from export.runtimes import cache, debian, swift
from export.runtimes.__main__ import main
from pipeline.errors import MissingDependency

TELL = '#!/bin/sh\necho "$0 $*"; echo "in $(pwd) with $ANSWER"; exit 3\n'


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The only folder of programs besides the system's own; an empty cache."""
    folder = tmp_path / "programs"
    folder.mkdir()
    found = shutil.which

    def which(name: str) -> str | None:
        path = folder / name
        if path.exists():
            return str(path)
        return None if name in ("swift", "apt-get") else found(name)

    monkeypatch.setattr(shutil, "which", which)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return folder


def write_program(folder: Path, name: str, text: str) -> None:
    (folder / name).write_text(text)
    (folder / name).chmod(0o755)


def test_without_a_compiler_the_error_names_the_way_out(programs: Path, tmp_path: Path) -> None:
    assert not swift.is_installed()
    with pytest.raises(MissingDependency, match="make swift"):
        swift.run_swift(["swiftc", "--version"], tmp_path)


def test_swift_on_the_path_is_taken_and_called_by_its_driver(
    programs: Path, tmp_path: Path
) -> None:
    write_program(programs, "swift", TELL)
    write_program(programs, "swiftc", TELL)
    assert swift.is_installed()
    done = swift.run_swift(["swift-test", "--filter", "a b"], tmp_path, {"ANSWER": "4 2"})
    assert done.returncode == 3
    assert done.stdout == f"{programs}/swift test --filter a b\nin {tmp_path} with 4 2\n"
    done = swift.run_swift(["swiftc", "-o", "x"], tmp_path)
    assert done.stdout.startswith(f"{programs}/swiftc -o x\n")


def test_the_install_command_says_that_swift_is_there(
    programs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_program(programs, "swift", TELL)
    assert main(["install", "swift"]) == 0
    assert "swift: there already" in capsys.readouterr().out
    assert main(["list"]) == 0
    assert capsys.readouterr().out.splitlines()[-1].split() == ["swift", "swiftlang", "installed"]


def test_a_system_without_debians_lists_is_refused_and_nothing_is_left(
    programs: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr("sys.platform", "linux")
    write_program(programs, "apt-get", "#!/bin/sh\nexit 0\n")
    assert main(["install", "swift"]) == 2
    error = capsys.readouterr().err
    assert "no package lists of Debian" in error
    assert "make swift needs" in error
    assert not cache.entry("swift").exists()


def test_the_compiler_comes_from_the_systems_archive_and_leaves_its_lists_alone(
    programs: Path, tmp_path: Path
) -> None:
    log = tmp_path / "log"
    write_program(
        programs,
        "apt-get",
        f"""#!/bin/sh
echo "$*" >> {log}
case "$*" in
indextargets*) echo "somewhere:/debian/"; echo "somewhere:/other/"; exit 0;;
esac
shift; cat "$2" >> {log}
grep sourcelist "$2" | cut -d'"' -f2 | xargs cat >> {log}
echo "E: no such suite"; exit 100
""",
    )
    with pytest.raises(MissingDependency, match=r"lists of trixie \(E: no such suite\); way out"):
        debian.unpack_system(["swiftlang"], "trixie", tmp_path / "root", "way out")
    lines = log.read_text().splitlines()
    assert any(
        line.startswith("deb ") and line.endswith("somewhere:/debian/ trixie main")
        for line in lines
    )
    places = [line.split('"')[1] for line in lines if line.startswith("Dir::")]
    assert len(places) >= 6
    assert len({Path(place).parts[:-1] for place in places}) == 1
    assert not Path(places[0]).exists()


@pytest.mark.skipif(not swift.is_installed(), reason="no Swift compiler; make swift fetches one")
def test_the_compiler_runs_in_the_folder_that_it_is_given(tmp_path: Path) -> None:
    (tmp_path / "hello.swift").write_text("import Foundation\nlet answer = 6 * 7\n")
    done = swift.run_swift(["swiftc", "-emit-module", "hello.swift"], tmp_path)
    assert done.returncode == 0, done.stdout
    assert (tmp_path / "hello.swiftmodule").is_file()
    done = swift.run_swift(["swiftc", "-typecheck", "gone.swift"], tmp_path)
    assert done.returncode != 0
    assert "gone.swift" in done.stdout
