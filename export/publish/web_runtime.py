"""The runtime of the page: the files of onnxruntime-web that it loads, fetched by npm.

In: the ``package.json`` and ``package-lock.json`` of an asset folder for the web; npm compares its
downloads with the hashes in the lock. Out: the files' bytes. They are kept in the project's cache
folder, by the hash of the lock, with a list of their own hashes: damaged files are fetched again.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import shutil
import subprocess
from pathlib import Path
from typing import Final

from pipeline.atomic_files import staged_folder
from pipeline.errors import BadInput, MissingDependency

PACKAGE: Final = "onnxruntime-web"
LOCK_FILE: Final = "package-lock.json"
NPM_FILES: Final = (".npmrc", "package.json", LOCK_FILE)
HASHES_FILE: Final = "hashes.json"
# File of the npm package -> name in the runtime folder of the page. It is the build for WebAssembly
# only: the others of the package include WebGL, WebGPU or WebNN. .js, since not every host serves
# .mjs correctly; packed to a quarter of its bytes, since not every host compresses .wasm. Not .gz:
# some hosts send that with a Content-Encoding.
RUNTIME_FILES: Final = {
    "dist/ort.wasm.min.mjs": "ort.wasm.min.js",
    "dist/ort-wasm-simd-threaded.mjs": "ort-wasm-simd-threaded.js",
    "dist/ort-wasm-simd-threaded.wasm": "ort-wasm-simd-threaded.wasm.gzip",
}
PACKED: Final = ".gzip"
NPM_LIMIT_S: Final = 600


def runtime_files(assets: Path, cache: Path) -> dict[str, bytes]:
    """Name in the runtime folder -> content, of the version that `assets` pins.

    Raises:
        BadInput: the asset folder has no lock, or a file is missing from the package.
        MissingDependency: npm is not installed, or could not fetch the package.
    """
    try:
        lock = (assets / LOCK_FILE).read_bytes()
    except OSError as error:
        raise BadInput(
            f"{assets / LOCK_FILE}: {error.strerror}; is it a folder for the web?"
        ) from error
    folder = cache / f"{PACKAGE}-{hashlib.sha256(lock).hexdigest()[:16]}"
    kept = _kept(folder)
    if kept is None:
        with staged_folder(folder) as staging:
            _fetch(assets, staging)
        kept = _kept(folder)
    if kept is None:
        raise BadInput(f"{folder} does not hold what was just written to it; is the disk damaged?")
    return kept


def _kept(folder: Path) -> dict[str, bytes] | None:
    """The files in the cache, if they are unchanged."""
    try:
        hashes = json.loads((folder / HASHES_FILE).read_text(encoding="utf-8"))
        files = {name: (folder / name).read_bytes() for name in RUNTIME_FILES.values()}
    except (OSError, ValueError):
        return None
    return files if hashes == {name: _sha256(content) for name, content in files.items()} else None


def _fetch(assets: Path, folder: Path) -> None:
    """Install the package in a folder below `folder`, keep the few files needed, drop the rest."""
    npm = shutil.which("npm")
    if npm is None:
        raise MissingDependency(
            "the runtime of the page is fetched by npm, not installed here; "
            "Debian: apt-get install npm, others: https://nodejs.org"
        )
    place = folder / "npm"
    place.mkdir()
    for name in NPM_FILES:
        shutil.copy(assets / name, place / name)
    command = [npm, "ci", "--no-audit", "--no-fund", "--ignore-scripts"]
    try:
        done = subprocess.run(
            command, cwd=place, capture_output=True, text=True, timeout=NPM_LIMIT_S, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise MissingDependency(f"npm ci took longer than {NPM_LIMIT_S} s; try again") from error
    if done.returncode:
        said = [line for line in done.stderr.splitlines() if line.startswith("npm err")]
        said = said or done.stderr.splitlines()
        raise MissingDependency(
            f"npm ci could not fetch {PACKAGE}: {' '.join(said[:3]) or 'no message'}"
        )
    for path, name in RUNTIME_FILES.items():
        source = place / "node_modules" / PACKAGE / path
        if not source.is_file():
            raise BadInput(
                f"{PACKAGE} of {assets / LOCK_FILE} has no {path}; pin a version that has"
            )
        content = source.read_bytes()
        packed = gzip.compress(content, 9, mtime=0) if name.endswith(PACKED) else content
        (folder / name).write_bytes(packed)
    shutil.rmtree(place)
    hashes = {name: _sha256((folder / name).read_bytes()) for name in RUNTIME_FILES.values()}
    (folder / HASHES_FILE).write_text(json.dumps(hashes, indent=2, sort_keys=True) + "\n")


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
