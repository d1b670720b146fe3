"""``python -m tests.kotlin [ASSETS]``: the Kotlin of the Android module, compiled and tested here.

Exit codes: 0 all tests passed, 1 a test failed or the code does not compile, 2 no compiler here.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from tests.kotlin.module_tests import (
    KotlinRefused,
    compile_pure,
    run_module_tests,
    write_module,
)
from tests.kotlin.toolchain import MissingToolchain, find_toolchain


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.kotlin", description=__doc__)
    parser.add_argument("assets", type=Path, nargs="?", default=Path("android_assets"))
    assets = parser.parse_args().assets
    if not (assets / "manifest.json").is_file():
        print(f"{assets} has no manifest.json; `python -m export all` makes it", file=sys.stderr)
        return 2
    try:
        tools = find_toolchain()
    except MissingToolchain as error:
        print(error, file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory() as work:
        try:
            compile_pure(write_module(assets, Path(work) / "alone"), Path(work), tools)
            run = run_module_tests(assets.resolve(), Path(work), tools)
        except KotlinRefused as error:
            print(error)
            return 1
    print(run.output)
    golden = "with" if (assets / "golden" / "golden.json").is_file() else "WITHOUT"
    print(
        f"{run.tests} tests in Kotlin by {tools.kotlinc}, {run.vectors} images compared with "
        f"Pillow, {golden} a golden pack: {'passed' if run.passed else 'FAILED'}"
    )
    return 0 if run.passed else 1


if __name__ == "__main__":
    raise SystemExit(main())
