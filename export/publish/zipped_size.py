"""What a file adds to the download of an app: its bytes in a zip archive.

An APK, an AAB and an IPA are zip archives with deflate. In: a file or folder. Out: bytes.
"""

from __future__ import annotations

import io
import zipfile
from pathlib import Path
from typing import Final

from pipeline.file_hash import file_sha256

# Names and hashes of the files -> bytes. The folders of three platforms hold the same files, and
# deflating those of a large network takes as long as converting it.
KNOWN: Final[dict[tuple[tuple[str, str], ...], int]] = {}


def zipped_bytes(path: Path) -> int:
    """Bytes of `path` as a zip archive (deflate), which is about what a phone downloads."""
    files = sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]
    names = [file.relative_to(path.parent).as_posix() for file in files]
    key = tuple(zip(names, map(file_sha256, files), strict=True))
    if key not in KNOWN:
        archive = io.BytesIO()
        with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as content:
            for file, name in zip(files, names, strict=True):
                content.write(file, name)
        KNOWN[key] = len(archive.getvalue())
    return KNOWN[key]
