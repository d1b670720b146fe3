"""What a file adds to the download of an app: its bytes in a zip archive.

An APK, an AAB and an IPA are zip archives with deflate. In: a file or folder. Out: bytes.
"""

from __future__ import annotations

import io
import zipfile
from pathlib import Path


def zipped_bytes(path: Path) -> int:
    """Bytes of it as a zip archive (deflate), which is about what a phone downloads."""
    archive = io.BytesIO()
    files = sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as content:
        for file in files:
            content.write(file, file.relative_to(path.parent))
    return len(archive.getvalue())
