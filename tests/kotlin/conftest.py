"""The compiler of this machine; without one the tests that compile are skipped."""

from __future__ import annotations

import pytest

from tests.kotlin.toolchain import MissingToolchain, Toolchain, find_toolchain


@pytest.fixture(scope="session")
def tools() -> Toolchain:
    try:
        return find_toolchain()
    except MissingToolchain as error:
        pytest.skip(str(error))
