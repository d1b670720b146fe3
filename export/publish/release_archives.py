"""``python -m export archive``: the asset folders as zip files to publish, with their checksums.

In: the asset folders, each matching its manifest. Out: ``NAME-VERSION-PLATFORM.zip`` for each and a
``SHA256SUMS`` for sha256sum to check. The same folders give the same bytes again, and an existing
archive is never replaced by a different one: apps pin what was published once.
"""

from __future__ import annotations

import hashlib
import io
import zipfile
from pathlib import Path
from typing import Final

from export.publish.assets import FOLDERS
from export.verify import CannotCheck, verify
from pipeline.atomic_files import make_folder
from pipeline.errors import BadInput
from pipeline.terminal.command_line import command_line

SUMS_FILE: Final = "SHA256SUMS"
OLDEST_TIME: Final = (1980, 1, 1, 0, 0, 0)  # the first that zip can store
READABLE: Final = 0o100644 << 16  # a regular file that everybody may read
UNIX: Final = 3


def archive_assets(root: Path, target: Path, tag: str | None = None) -> list[Path]:
    """Write the archives of all folders below `root` into `target`; return all paths.

    With `tag`, such as ``v2.0.0``, the assets must be of that version.

    Raises:
        BadInput: a folder differs from its manifest, has another version than the tag or another
            folder, or an archive of the same name has other content.
    """
    contents: dict[str, bytes] = {}
    versions = set()
    for platform, name in FOLDERS.items():
        folder = root / name
        try:
            verdict = verify(folder)
        except CannotCheck as error:
            raise BadInput(str(error)) from error
        if verdict.differences:
            first = verdict.differences[0]
            raise BadInput(
                f"{folder} is not as its manifest says ({first.kind}: {first.path}); "
                f"`{command_line('export', 'verify', folder)}` lists all"
            )
        version = verdict.model["version"]
        versions.add(version)
        if tag is not None and tag != f"v{version}":
            raise BadInput(f"tag {tag} is not v{version}, the version of {folder}")
        file = f"{verdict.model['name']}-{version}-{platform}.zip"
        contents[file] = _zipped(folder, set(verdict.not_covered))
    if len(versions) > 1:
        raise BadInput(f"the folders have several versions: {', '.join(sorted(versions))}")
    contents[SUMS_FILE] = "".join(
        f"{hashlib.sha256(content).hexdigest()}  {name}\n" for name, content in contents.items()
    ).encode()
    make_folder(target)
    for name, content in contents.items():
        path = target / name
        if path.exists() and path.read_bytes() != content:
            raise BadInput(
                f"{path} exists with other content; a published archive is never replaced: "
                "raise the model's version, or move it away"
            )
    for name, content in contents.items():
        (target / name).write_bytes(content)
    return [target / name for name in contents]


def _zipped(folder: Path, not_covered: set[str]) -> bytes:
    """Every file that the manifest covers, below the folder's name, sorted, without times."""
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as content:
        for file in sorted(path for path in folder.rglob("*") if path.is_file()):
            path = file.relative_to(folder)
            if path.parts[0] in not_covered and path.name != "README.md":
                continue
            entry = zipfile.ZipInfo(f"{folder.name}/{path.as_posix()}", OLDEST_TIME)
            entry.external_attr, entry.create_system = READABLE, UNIX
            entry.compress_type = zipfile.ZIP_DEFLATED
            content.writestr(entry, file.read_bytes(), compresslevel=9)
    return archive.getvalue()
