"""Debian packages downloaded and unpacked into a folder, never installed.

In: names of packages. Out: their files below a folder. The system's packages, architectures and apt
lists stay as they are, and no root rights are needed.
"""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from export.runtimes.subprocesses import find_program, run_program
from pipeline.errors import MissingDependency

# Our own lists, cache and state; the hooks of the system's apt would change the system's.
APT_CONFIG: Final = """\
#clear APT::Update::Pre-Invoke;
#clear APT::Update::Post-Invoke;
#clear APT::Update::Post-Invoke-Success;
#clear DPkg::Post-Invoke;
APT::Sandbox::User "root";
APT::Install-Recommends "false";
APT::Keep-Downloaded-Packages "true";
Acquire::Languages "none";
Dir::State "{folder}/state";
Dir::State::status "{folder}/status";
Dir::Cache "{folder}/cache";
Dir::Log "{folder}/log";
"""
# Instead of the system's sources: a release of Debian that may be newer than the system.
APT_SOURCES: Final = """\
Dir::Etc::sourcelist "{folder}/sources.list";
Dir::Etc::sourceparts "{folder}/sources.list.d";
"""
KEYRING: Final = Path("/usr/share/keyrings/debian-archive-keyring.gpg")


def unpack(packages: Sequence[str], folder: Path, way_out: str, config: str = "") -> None:
    """Download packages, without their dependencies, from the system's sources; unpack them.

    Raises:
        MissingDependency: apt-get or dpkg-deb is missing, or the packages are not available; the
            message ends with `way_out`.
    """
    apt_get = find_program("apt-get", way_out)
    with _apt_folder(APT_CONFIG + config) as place:
        apt = [apt_get, "--quiet", "-c", str(place / "apt.conf")]
        run_program([*apt, "update"], "apt-get cannot read the package lists", way_out)
        run_program(
            [*apt, "download", *packages],
            f"the system's package sources do not offer {', '.join(packages)}",
            way_out,
            folder=place / "downloads",
        )
        _unpack_all(place / "downloads", folder, way_out)


def unpack_system(packages: Sequence[str], suite: str, folder: Path, way_out: str) -> None:
    """Download packages of the Debian release `suite`, with all their dependencies; unpack them.

    They come from the archive of the system's own packages. The folder is then a root to start
    programs in.

    Raises:
        MissingDependency: not a Debian, a tool is missing, or the packages are not available; the
            message ends with `way_out`.
    """
    apt_get = find_program("apt-get", way_out)
    archive = _debian_archive(apt_get, way_out)
    signed = f"[signed-by={KEYRING}] " if KEYRING.exists() else ""
    with _apt_folder(APT_CONFIG + APT_SOURCES) as place:
        sources = f"deb {signed}{archive} {suite} main\n"
        (place / "sources.list").write_text(sources, encoding="utf-8")
        (place / "sources.list.d").mkdir()
        apt = [apt_get, "--quiet", "-c", str(place / "apt.conf")]
        run_program([*apt, "update"], f"apt-get cannot read the lists of {suite}", way_out)
        run_program(
            [*apt, "install", "--yes", "--download-only", *packages],
            f"Debian's {suite} does not offer {', '.join(packages)}",
            way_out,
        )
        _unpack_all(place / "cache" / "archives", folder, way_out)


@contextmanager
def _apt_folder(config: str) -> Iterator[Path]:
    """A folder for one run of apt-get, with its configuration in it."""
    with tempfile.TemporaryDirectory() as scratch:
        place = Path(scratch)
        for name in ("state/lists/partial", "cache/archives/partial", "log", "downloads"):
            (place / name).mkdir(parents=True)
        (place / "status").touch()
        (place / "apt.conf").write_text(config.replace("{folder}", scratch), encoding="utf-8")
        yield place


def _debian_archive(apt_get: str, way_out: str) -> str:
    """The address of the archive that the system's Debian packages come from."""
    listing = subprocess.run(
        [
            *(apt_get, "indextargets", "--format", "$(REPO_URI)"),
            *("Identifier: Packages", "Component: main", "Origin: Debian", "Label: Debian"),
        ],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if listing.returncode != 0 or not listing.stdout.strip():
        raise MissingDependency(
            f"this system has no package lists of Debian; run apt-get update; {way_out}"
        )
    return listing.stdout.split()[0]


def _unpack_all(downloads: Path, folder: Path, way_out: str) -> None:
    dpkg_deb = find_program("dpkg-deb", way_out)
    for archive in sorted(downloads.glob("*.deb")):
        unpack = [dpkg_deb, "-x", str(archive), str(folder)]
        run_program(unpack, f"{archive.name} cannot be unpacked", way_out)
