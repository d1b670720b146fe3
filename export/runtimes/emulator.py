"""An Arm Linux to run Python in, on a machine that is not Arm: user-mode emulation by QEMU.

Two entries of the cache: ``arm64-root``, the loader, C libraries and Python 3.11 of Debian 12 for
arm64, unpacked and never installed; and ``qemu``, the emulator, if the system has none. The
system's packages, architectures and apt lists stay as they are, and no root rights are needed.
"""

from __future__ import annotations

import platform
import shutil
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Final

from export.runtimes import cache
from export.runtimes.debian import unpack
from export.runtimes.environments import Environment
from pipeline.errors import MissingDependency

EMULATOR: Final = "qemu-aarch64-static"
EMULATOR_PACKAGE: Final = "qemu-user-static"
ROOT: Final = "arm64-root"
QEMU: Final = "qemu"
PYTHON: Final = "python3.11"
DEBIAN_PACKAGES: Final = (
    "libc6", "libgcc-s1", "libstdc++6", "zlib1g", "libexpat1", "libffi8",
    "libpython3.11-minimal", "libpython3.11-stdlib", "python3.11-minimal",
)  # fmt: skip
# A Cortex-A72. Without this onnxruntime reads the host's file, finds no Arm core and crashes.
CPUINFO: Final = "".join(
    f"processor\t: {core}\n"
    "BogoMIPS\t: 100.00\n"
    "Features\t: fp asimd evtstrm aes pmull sha1 sha2 crc32 cpuid\n"
    "CPU implementer\t: 0x41\n"
    "CPU architecture: 8\n"
    "CPU variant\t: 0x0\n"
    "CPU part\t: 0xd08\n"
    "CPU revision\t: 3\n\n"
    for core in range(4)
)
CPU: Final = "cortex-a72"
WAY_OUT: Final = "make arm64 needs an Arm machine, or Debian 12 and a network"
APT_FOR_ARM: Final = """\
#clear APT::Architectures;
APT::Architecture "arm64";
APT::Architectures { "arm64"; };
"""


def is_emulated(environment: Environment) -> bool:
    """Whether the environment's machine code is not this machine's."""
    return environment.arch == "arm64" and platform.machine() not in ("aarch64", "arm64")


def is_installed() -> bool:
    """Whether an Arm Python can be emulated here."""
    return cache.is_whole(ROOT, _root_recipe()) and _emulator() is not None


def install(say: Callable[[str], None]) -> None:
    """Fetch the missing ones of the two entries.

    Raises:
        MissingDependency: apt-get or dpkg-deb is missing, or a package is not available.
        BadInput: the cache folder cannot be written.
    """
    if sys.platform != "linux":
        raise MissingDependency(f"QEMU emulates Arm programs on Linux only; {WAY_OUT}")
    if not cache.is_whole(ROOT, _root_recipe()):
        say(f"{ROOT}: fetching {PYTHON} for arm64 and its C libraries")
        cache.fill(ROOT, _root_recipe(), _build_root)
    if _emulator() is None:
        say(f"{QEMU}: fetching {EMULATOR_PACKAGE}")
        cache.fill(QEMU, (EMULATOR_PACKAGE,), _build_qemu)


def emulated_python(packages: Path) -> list[str]:
    """The command of an Arm Python that imports from the folder `packages`."""
    root = cache.entry(ROOT)
    return [
        *(str(_emulator() or EMULATOR), "-cpu", CPU, "-L", str(root)),
        *("-E", f"PYTHONHOME={root}/usr", "-E", f"PYTHONPATH={packages}"),
        f"{root}/usr/bin/{PYTHON}",
    ]


def _emulator() -> Path | None:
    on_path = shutil.which(EMULATOR)
    if on_path:
        return Path(on_path)
    return cache.entry(QEMU) / EMULATOR if cache.is_whole(QEMU, (EMULATOR_PACKAGE,)) else None


def _root_recipe() -> tuple[str, ...]:
    return (*DEBIAN_PACKAGES, CPUINFO)


def _build_root(root: Path) -> None:
    unpack(DEBIAN_PACKAGES, root, WAY_OUT, APT_FOR_ARM)
    (root / "proc").mkdir()
    (root / "proc" / "cpuinfo").write_text(CPUINFO, encoding="utf-8")


def _build_qemu(folder: Path) -> None:
    """Keep one of the emulators in the package: together they have 370 MB."""
    with tempfile.TemporaryDirectory(dir=folder) as unpacked:
        unpack((EMULATOR_PACKAGE,), Path(unpacked), WAY_OUT)
        shutil.move(Path(unpacked) / "usr" / "bin" / EMULATOR, folder / EMULATOR)
