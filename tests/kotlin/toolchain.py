"""What compiles and runs the Kotlin of the Android module on this machine.

In: the machine, and ``KOTLINC`` for another compiler than the one on the path. Out: a `Toolchain`.
"""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Final

JARS: Final = ("junit4.jar", "hamcrest.jar", "com.android.json.jar")
# Before Kotlin 1.8 `use` for AutoCloseable is in a separate jar.
STDLIB: Final = ("kotlin-stdlib.jar", "kotlin-stdlib-jdk7.jar")
JAVA_FOLDER: Final = Path("/usr/share/java")  # where Debian's packages put them
# The compiler ends before the JVM's second compiler would pay: half of the processor time.
FOR_SHORT_RUNS: Final = ("-J-XX:TieredStopAtLevel=1", "-J-XX:+UseSerialGC")
WAY_OUT: Final = (
    "on Debian: apt-get install kotlin junit4 libandroid-json-java default-jdk-headless"
)


class MissingToolchain(Exception):
    """The Kotlin tests need something that is not installed; the message says how to get it."""


@dataclass(frozen=True)
class Toolchain:
    """Programs and jars: JUnit 4, Hamcrest, org.json as Android has it; Kotlin's own library."""

    kotlinc: str
    java: str
    javac: str
    jars: tuple[Path, ...]
    stdlib: tuple[Path, ...]

    @property
    def compile_kotlin(self) -> tuple[str, ...]:
        """The compiler, for Android's Java 8, without warnings."""
        return (self.kotlinc, *FOR_SHORT_RUNS, "-Werror", "-jvm-target", "1.8")


def find_toolchain() -> Toolchain:
    """The tools of this machine.

    Raises:
        MissingToolchain: one of them is missing.
    """
    kotlinc = os.environ.get("KOTLINC", "kotlinc")
    programs = {name: shutil.which(name) for name in (kotlinc, "java", "javac")}
    jars = [JAVA_FOLDER / name for name in JARS]
    missing = [name for name, path in programs.items() if path is None]
    missing += [str(jar) for jar in jars if not jar.is_file()]
    if missing:
        raise MissingToolchain(f"the Kotlin tests need {', '.join(missing)}; {WAY_OUT}")
    found = {name: str(path) for name, path in programs.items()}
    library = Path(found[kotlinc]).resolve().parents[1] / "lib"
    stdlib = [
        next((p for p in (library / n, JAVA_FOLDER / n) if p.is_file()), None) for n in STDLIB
    ]
    if None in stdlib:
        raise MissingToolchain(f"{found[kotlinc]} has no {' or '.join(STDLIB)}; {WAY_OUT}")
    return Toolchain(
        found[kotlinc],
        found["java"],
        found["javac"],
        tuple(jars),
        tuple(jar for jar in stdlib if jar is not None),
    )
