"""A Swift compiler with its package manager, to build and test the package of ``ios_assets/``.

The one on the PATH if there is one (a Mac with Xcode, a Linux with Swift). Otherwise Debian's,
unpacked into the entry ``swift`` of the cache and run there in its own mount namespace, which
needs no root rights. Linux has no Core ML: the code that needs it is left out there, or
compiled with stand-ins (``tests/export/swift``).
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

from export.runtimes import cache
from export.runtimes.debian import unpack_system
from export.runtimes.subprocesses import find_program
from pipeline.errors import MissingDependency

SWIFT: Final = "swift"
SUITE: Final = "trixie"  # the oldest Debian with Swift 6
PACKAGES: Final = ("swiftlang", "libstdc++-14-dev", "libc6-dev", "base-files", "dash", "coreutils")
# Not needed for building and testing, and half of the 2.6 GB.
NEEDLESS: Final = (
    "usr/libexec/swift/lib/swift_static",
    "usr/libexec/swift/lib/swift/embedded",
    "usr/libexec/swift/lib/liblldb.so*",
    "usr/libexec/swift/lib/libsourcekitdInProc.so",
    "usr/libexec/swift/bin/lldb*",
    "usr/libexec/swift/bin/clangd",
    "usr/libexec/swift/bin/sourcekit-lsp",
    "usr/libexec/gcc/*/*/cc1*",
    "usr/libexec/gcc/*/*/lto*",
    "usr/share/locale",
    "usr/share/doc",
)
INSIDE: Final = "/work"
HOME: Final = "/home"  # stays, as anybody's: what the compiler and its package manager keep there
PATH_INSIDE: Final = "/usr/libexec/swift/bin:/usr/bin:/bin"
WAY_OUT: Final = "make swift needs Swift on the PATH, or Debian 12 and a network"
# $1 is the root, $2 the folder to work in, the rest the command.
ENTER: Final = f"""\
root=$1 folder=$2; shift 2
mount --rbind /proc "$root/proc" && mount --rbind /dev "$root/dev" &&
mount -t tmpfs tmpfs "$root/tmp" && mount --bind "$folder" "$root{INSIDE}" &&
exec chroot "$root" /usr/bin/env -i "PATH={PATH_INSIDE}" HOME={HOME} LANG=C.UTF-8 \
/bin/sh -c 'cd {INSIDE} && exec "$@"' sh "$@"
"""


def is_installed() -> bool:
    """Whether Swift can be run here."""
    return shutil.which(SWIFT) is not None or cache.is_whole(SWIFT, _recipe())


def install(say: Callable[[str], None]) -> None:
    """Fetch the compiler if there is none.

    Raises:
        MissingDependency: not a Debian, no network, or namespaces are forbidden here.
        BadInput: the cache folder cannot be written.
    """
    if is_installed():
        say(f"{SWIFT}: there already")
        return
    if sys.platform != "linux":
        raise MissingDependency(f"Swift comes with Xcode; {WAY_OUT}")
    say(f"{SWIFT}: fetching {', '.join(PACKAGES)} of Debian's {SUITE} (about 550 MB)")
    cache.fill(SWIFT, _recipe(), _build)


def run_swift(
    arguments: Sequence[str], folder: Path, variables: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a program of the toolchain, such as ``("swift-build",)``, in `folder`.

    The program sees little more than this folder: paths among the arguments are relative to it.

    Args:
        arguments: the program (``swift-build``, ``swift-test``, ``swiftc``) and its arguments.
        folder: to work in.
        variables: environment variables besides those that Swift needs.

    Returns:
        Its exit code and its output, both streams in `stdout`.

    Raises:
        MissingDependency: Swift is not installed.
    """
    settings = [f"{name}={value}" for name, value in (variables or {}).items()]
    if shutil.which(SWIFT):
        command = ["env", *settings, *_by_driver(arguments)]
        return _run(command, folder)
    if not cache.is_whole(SWIFT, _recipe()):
        raise MissingDependency(f"there is no Swift on this machine; {WAY_OUT}")
    return _run(_entered(cache.entry(SWIFT), folder, ["env", *settings, *arguments]), folder)


def _by_driver(arguments: Sequence[str]) -> list[str]:
    """``swift-test`` becomes ``swift test``: only the driver is sure to be on the PATH."""
    program, *rest = arguments
    return [*program.split("-", 1), *rest] if program.startswith("swift-") else [program, *rest]


def _recipe() -> tuple[str, ...]:
    return (*PACKAGES, SUITE, ENTER)


def _build(root: Path) -> None:
    unpack_system(PACKAGES, SUITE, root, WAY_OUT)
    for pattern in NEEDLESS:
        for needless in root.glob(pattern):
            shutil.rmtree(needless) if needless.is_dir() else needless.unlink()
    for name in ("proc", "dev", "tmp", HOME.strip("/"), INSIDE.strip("/")):
        (root / name).mkdir(exist_ok=True)
    started = _run(_entered(root, root / "tmp", ["swiftc", "--version"]), root)
    if started.returncode != 0:
        words = started.stdout.strip().splitlines()[-1:] or [f"exit code {started.returncode}"]
        raise MissingDependency(f"Swift does not start ({words[0]}); {WAY_OUT}")


def _entered(root: Path, folder: Path, command: Sequence[str]) -> list[str]:
    unshare = find_program("unshare", WAY_OUT)
    return [
        *(unshare, "--user", "--map-root-user", "--mount", "/bin/sh", "-c", ENTER, "enter"),
        *(str(root), str(folder.resolve()), *command),
    ]


def _run(command: Sequence[str], folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command,
        cwd=folder,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        check=False,
    )
