"""``python -m export web``: an asset folder for the web becomes a site that any host can serve.

In: ``web_assets/``, matching its manifest. Out: a folder with the same files, the runtime in
``runtime/``, ``files.js`` (the hash of each file that the service worker may keep, by which it
distinguishes releases) and ``download.json`` (what a first visit downloads).
"""

from __future__ import annotations

import gzip
import hashlib
import html
import json
import re
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from socket import socket
from socketserver import BaseServer
from typing import Final

from export.manifest.manifest import (
    MANIFEST_FILE,
    SUM_FILE,
    Manifest,
    read_manifest,
)
from export.packages.web import default_model, page_artifacts
from export.publish.web_runtime import LOCK_FILE, NPM_FILES, PACKAGE, RUNTIME_FILES, runtime_files
from export.runtimes.cache import cache_folder
from export.verify import LABELS_FILE, README_FILE, CannotCheck, verify
from pipeline.atomic_files import refuse_foreign, staged_folder
from pipeline.errors import BadInput
from pipeline.file_hash import file_sha256
from pipeline.json_files import plain, read_json, write_json
from pipeline.terminal.command_line import command_line

RUNTIME_FOLDER: Final = "runtime"
FILES_FILE: Final = "files.js"
DOWNLOAD_FILE: Final = "download.json"
PAGE_FILE: Final = "index.html"
WORKER_FILE: Final = "service_worker.js"
PAGE_SUFFIXES: Final = (".html", ".css", ".js", ".svg", ".webmanifest")
# Not fetched by a browser: for npm and for whoever hosts the page.
NO_PAGE: Final = (*NPM_FILES, README_FILE)
POLICY: Final = re.compile(r'http-equiv="Content-Security-Policy" content="([^"]+)"')
HOST: Final = "127.0.0.1"
TYPES: Final = {
    ".js": "text/javascript",
    ".wasm": "application/wasm",
    ".webmanifest": "application/manifest+json",
}


@dataclass(frozen=True)
class Sizes:
    """Number of files, their bytes, and their bytes when each is compressed by gzip."""

    files: int
    bytes: int
    gzip_bytes: int


@dataclass(frozen=True)
class PageModel:
    """The model that the page starts with; `file` is its path in the site."""

    name: str
    version: str
    file: str
    precision: str


@dataclass(frozen=True)
class PageRuntime:
    """The npm package that runs it."""

    package: str
    version: str


@dataclass(frozen=True)
class Download:
    """What visitors download: ``download.json``.

    Attributes:
        first_visit: ``page``, ``examples``, ``runtime`` and ``model``; ``total`` is their sum.
        models: path of each model -> its size.
    """

    model: PageModel
    runtime: PageRuntime
    first_visit: Mapping[str, Sizes]
    models: Mapping[str, Sizes]


def build_site(assets: Path, target: Path, cache: Path | None = None) -> Download:
    """Write the site to `target`; return the content of ``download.json``. See `download_sizes`.

    `cache` is where the runtime is kept; None: the project's cache folder.

    Raises:
        BadInput: `assets` differs from its manifest or holds no page, or `target` cannot be
            written.
        MissingDependency: the runtime has to be fetched, and npm is missing or fails.
    """
    manifest = _checked(assets)
    _refuse_foreign(target, assets)
    runtime = runtime_files(assets, cache or cache_folder())
    with staged_folder(target) as site:
        for file in _listed(manifest):
            (site / file).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(assets / file, site / file)
        (site / RUNTIME_FOLDER).mkdir()
        for name, content in runtime.items():
            (site / RUNTIME_FOLDER / name).write_bytes(content)
        (site / FILES_FILE).write_text(_release(site, manifest), encoding="utf-8")
        download = download_sizes(site, manifest, _version(assets))
        write_json(site / DOWNLOAD_FILE, plain(download))
    return download


def download_sizes(site: Path, manifest: Manifest, runtime_version: str) -> Download:
    """What a first visit downloads, by part, and what each model adds."""
    chosen = default_model(manifest)
    assert chosen is not None  # `_checked` refuses a folder without a model
    runtime = [f"{RUNTIME_FOLDER}/{name}" for name in RUNTIME_FILES.values()]
    parts = {
        "page": [*_page_files(manifest), FILES_FILE, WORKER_FILE],
        "examples": _examples(manifest),
        "runtime": runtime,
        "model": [chosen.path],
    }
    sizes = {name: _sizes(site, files) for name, files in parts.items()}
    total = Sizes(
        sum(part.files for part in sizes.values()),
        sum(part.bytes for part in sizes.values()),
        sum(part.gzip_bytes for part in sizes.values()),
    )
    model = manifest.model
    return Download(
        PageModel(model.name, model.version, chosen.path, chosen.precision),
        PageRuntime(PACKAGE, runtime_version),
        {**sizes, "total": total},
        {artifact.path: _sizes(site, [artifact.path]) for artifact in page_artifacts(manifest)},
    )


def print_download(download: Download, target: Path) -> None:
    """A line for each part of a first visit."""
    print(f"{target}: a page for any static host")
    print(f"first visit: {'bytes':>12} {'by gzip':>12}")
    for name, sizes in download.first_visit.items():
        print(f"  {name:<9}  {sizes.bytes:>12,} {sizes.gzip_bytes:>12,}")
    runtime = download.runtime
    print(f"runtime: {runtime.package} {runtime.version}; model: {download.model.file}")


def open_server(site: Path, port: int) -> ThreadingHTTPServer:
    """A server of the folder on the loopback address, not yet serving.

    Raises:
        BadInput: the port is taken.
    """
    page = (site / PAGE_FILE).read_text(encoding="utf-8")
    handler = partial(_Handler, policy=_policy(page), directory=str(site))
    try:
        return _Server((HOST, port), handler)
    except OSError as error:
        raise BadInput(f"port {port} on {HOST}: {error.strerror}; give another --port") from error


def serve_site(site: Path, port: int) -> None:
    """Serve until Ctrl-C."""
    with open_server(site, port) as server:
        print(f"http://{HOST}:{server.server_address[1]}/ (Ctrl-C stops it)", flush=True)
        server.serve_forever()


class _Server(ThreadingHTTPServer):
    def handle_error(self, request: socket | tuple[bytes, socket], client_address: object) -> None:
        """A browser that closes the connection is not an error."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


class _Handler(SimpleHTTPRequestHandler):
    """Serves without a log, with the headers that a good host sends."""

    extensions_map = {**SimpleHTTPRequestHandler.extensions_map, **TYPES}  # noqa: RUF012

    def __init__(
        self,
        request: socket | tuple[bytes, socket],
        client_address: object,
        server: BaseServer,
        *,
        policy: str,
        directory: str,
    ) -> None:
        self._policy = policy  # before the rest: `__init__` handles the request at once
        super().__init__(request, client_address, server, directory=directory)

    def end_headers(self) -> None:
        self.send_header("Content-Security-Policy", self._policy)
        self.send_header("X-Content-Type-Options", "nosniff")
        self.send_header("Cache-Control", "no-cache")
        super().end_headers()

    def log_message(self, *_: object) -> None:
        pass


def _checked(assets: Path) -> Manifest:
    """The manifest of a folder that matches it and has a page."""
    try:
        verdict = verify(assets)
    except CannotCheck as error:
        raise BadInput(f"{error}; `python -m export all` makes it") from error
    if verdict.differences:
        first = verdict.differences[0]
        raise BadInput(
            f"{assets} is not as its manifest says ({first.kind}: {first.path}); "
            f"`{command_line('export', 'verify', assets)}` lists all"
        )
    manifest = read_manifest(assets)
    if default_model(manifest) is None or PAGE_FILE not in _listed(manifest):
        raise BadInput(f"{assets} holds no page; give the folder for the web, such as web_assets")
    return manifest


def _refuse_foreign(target: Path, assets: Path) -> None:
    """Make sure that only a site of ours, or nothing, is replaced."""
    if target.resolve() == assets.resolve() or assets.resolve().is_relative_to(target.resolve()):
        raise BadInput(f"--out {target} would replace {assets}; give another folder")
    foreign = f"{target} has no {DOWNLOAD_FILE}, so it is not ours to replace; give another --out"
    refuse_foreign(target, lambda names: "" if DOWNLOAD_FILE in names else foreign)


def _listed(manifest: Manifest) -> list[str]:
    """Every file of the asset folder, including the manifest and its checksum."""
    of_artifacts = [file for artifact in manifest.artifacts for file in artifact.files]
    paths = [entry.path for entry in (*of_artifacts, *manifest.files)]
    return [*paths, MANIFEST_FILE, SUM_FILE]


def _page_files(manifest: Manifest) -> list[str]:
    """The files of the page, without those that change with every release."""
    files = [
        path
        for path in _listed(manifest)
        if path.endswith(PAGE_SUFFIXES) and path not in (*NO_PAGE, WORKER_FILE)
    ]
    return [*files, LABELS_FILE, MANIFEST_FILE, SUM_FILE]


def _examples(manifest: Manifest) -> list[str]:
    wanted = {example.file for example in manifest.model.words.examples}
    return [path for path in _listed(manifest) if path in wanted]


def _release(site: Path, manifest: Manifest) -> str:
    """``files.js``: the files kept at the first visit, and those that may be kept later."""
    chosen = default_model(manifest)
    runtime = [f"{RUNTIME_FOLDER}/{name}" for name in RUNTIME_FILES.values()]
    kept = {
        *_page_files(manifest),
        *_examples(manifest),
        *runtime,
        *([chosen.path] if chosen else []),
    }
    others = {artifact.path for artifact in page_artifacts(manifest)}
    files = {
        path: {"sha256": file_sha256(site / path), "kept": path in kept}
        for path in sorted(kept | others)
    }
    # The worker itself counts: another worker makes another release.
    identity = json.dumps([files, file_sha256(site / WORKER_FILE)], sort_keys=True).encode()
    release = {
        "id": hashlib.sha256(identity).hexdigest()[:16],
        "policy": _policy((site / PAGE_FILE).read_text(encoding="utf-8")),
        "files": files,
    }
    return f"self.RELEASE = {json.dumps(release, indent=1, sort_keys=True)};\n"


def _policy(page: str) -> str:
    """The Content-Security-Policy in the page."""
    found = POLICY.search(page)
    if found is None:
        raise BadInput(f"{PAGE_FILE} has no Content-Security-Policy; was it made by hand?")
    return html.unescape(found[1])


def _version(assets: Path) -> str:
    """The version of the runtime that the lock pins."""
    lock = read_json(assets / LOCK_FILE, what="lock of npm", way_out="export again")
    return str(lock["packages"][f"node_modules/{PACKAGE}"]["version"])


def _sizes(site: Path, files: Sequence[str]) -> Sizes:
    contents = [(site / path).read_bytes() for path in files]
    return Sizes(
        len(contents),
        sum(map(len, contents)),
        sum(len(gzip.compress(content, 9, mtime=0)) for content in contents),
    )
