from __future__ import annotations

import hashlib
from pathlib import Path

from pipeline.file_hash import file_sha256


def test_the_hash_of_a_large_file_is_that_of_its_whole_content(tmp_path: Path) -> None:
    content = bytes(range(256)) * 10_000  # more than two blocks
    (tmp_path / "x").write_bytes(content)
    assert file_sha256(tmp_path / "x") == hashlib.sha256(content).hexdigest()
