"""``python -m export web``: the site is whole, states its sizes, and refuses what it cannot serve.

npm is a program of the tests here, which installs from a folder; `make test-web` runs the real one.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import shutil
import threading
import urllib.request
from pathlib import Path

import pytest

from export.cli import main as cli
from export.manifest.manifest import read_manifest
from export.packages import package_code
from export.publish.web_runtime import RUNTIME_FILES, runtime_files
from export.publish.web_site import build_site, open_server
from pipeline.errors import BadInput, MissingDependency
from pipeline.json_files import plain
from pipeline.model_spec import Example, Owner
from tests.export.conftest import tree
from tests.export.made_assets import write_assets

NPM = """\
#!/bin/sh
test "$1" = ci || exit 1
echo run >> "{log}"
test -e "{failing}" && {{ echo "npm error network is down" >&2; exit 1; }}
mkdir -p node_modules/onnxruntime-web && cp -r "{package}/dist" node_modules/onnxruntime-web/
"""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("assets")
    return write_assets(root, extras=[package_code])


@pytest.fixture
def assets(made: dict[str, Path], tmp_path: Path) -> Path:
    return Path(shutil.copytree(made["web"], tmp_path / "web_assets"))


@pytest.fixture
def npm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with `package/dist` and, of each run, a line in `log`; `failing` makes it fail."""
    place = tmp_path / "npm"
    (place / "package" / "dist").mkdir(parents=True)
    for path in RUNTIME_FILES:
        (place / "package" / path).write_text(f"// {path}\n" * 100)
    program = place / "bin" / "npm"
    program.parent.mkdir()
    paths = {name: place / name for name in ("log", "failing", "package")}
    program.write_text(NPM.format(**paths))
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:/usr/bin:/bin")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return place


def runs(npm: Path) -> int:
    return len((npm / "log").read_text().splitlines()) if (npm / "log").exists() else 0


def test_a_site_is_the_assets_with_the_runtime_next_to_them(
    assets: Path, npm: Path, tmp_path: Path
) -> None:
    build_site(assets, tmp_path / "site")
    site, source = tree(tmp_path / "site"), tree(assets)
    assert {path: site[path] for path in source} == source
    added = {path for path in site if path not in source}
    runtime = {f"runtime/{name}" for name in RUNTIME_FILES.values()}
    assert added == {*runtime, "files.js", "download.json"}
    packed = site["runtime/ort-wasm-simd-threaded.wasm.gzip"]
    wasm = npm / "package" / "dist" / "ort-wasm-simd-threaded.wasm"
    assert gzip.decompress(packed) == wasm.read_bytes()


def test_the_list_for_the_service_worker_has_the_hash_of_each_file(
    assets: Path, npm: Path, tmp_path: Path
) -> None:
    site = tmp_path / "site"
    build_site(assets, site)
    text = (site / "files.js").read_text()
    release = json.loads(text.removeprefix("self.RELEASE = ").removesuffix(";\n"))
    for path, entry in release["files"].items():
        assert entry["sha256"] == hashlib.sha256((site / path).read_bytes()).hexdigest()
    kept = {path for path, entry in release["files"].items() if entry["kept"]}
    needed = {"index.html", "app.js", "style.css", "manifest.json", "manifest.json.sha256"}
    assert {*needed, "labels.txt", "tiny_w4.onnx", "runtime/ort.wasm.min.js"} <= kept
    assert set(release["files"]) - kept == {"tiny_fp32.onnx"}
    assert not {"service_worker.js", "files.js", "package.json", "README.md"} & set(
        release["files"]
    )
    assert "connect-src 'self'" in release["policy"]


def test_the_examples_are_those_that_the_owner_names_and_are_kept(
    npm: Path, tmp_path: Path
) -> None:
    names = ("examples/1.jpg", "golden/images/grey.png", "golden/images/not_there.png")
    owner = Owner(examples=tuple(Example(name, "a picture") for name in names))
    there = {names[0]: b"1", names[1]: b"22", "golden/images/huge.png": b"333"}
    made = write_assets(tmp_path / "made", extras=[package_code, lambda *_: there], owner=owner)
    download = build_site(made["web"], tmp_path / "site")
    assert download.first_visit["examples"].bytes == 3
    text = (tmp_path / "site" / "files.js").read_text()
    release = json.loads(text.removeprefix("self.RELEASE = ").removesuffix(";\n"))
    assert release["files"]["examples/1.jpg"]["kept"]
    assert "golden/images/huge.png" not in release["files"]


def test_another_file_makes_another_release_and_the_same_ones_the_same(
    assets: Path, npm: Path, tmp_path: Path
) -> None:
    build_site(assets, tmp_path / "first")
    build_site(assets, tmp_path / "again")
    assert tree(tmp_path / "first") == tree(tmp_path / "again")
    (npm / "package" / "dist" / "ort.wasm.min.mjs").write_text("// another runtime\n")
    shutil.rmtree(tmp_path / "cache")
    build_site(assets, tmp_path / "again")
    first, again = ((tmp_path / name / "files.js").read_text() for name in ("first", "again"))
    assert first != again


def test_the_download_is_the_sum_of_what_a_first_visit_fetches(
    assets: Path, npm: Path, tmp_path: Path
) -> None:
    site = tmp_path / "site"
    download = build_site(assets, site)
    assert json.loads((site / "download.json").read_text()) == plain(download)
    parts = dict(plain(download)["first_visit"])
    total = parts.pop("total")
    assert set(parts) == {"page", "examples", "runtime", "model"}
    for key, sum_of in total.items():
        assert sum_of == sum(part[key] for part in parts.values())
    model = (site / "tiny_w4.onnx").read_bytes()
    assert parts["model"] == {
        "files": 1,
        "bytes": len(model),
        "gzip_bytes": len(gzip.compress(model, 9, mtime=0)),
    }
    text = (site / "files.js").read_text()
    release = json.loads(text.removeprefix("self.RELEASE = ").removesuffix(";\n"))
    kept = [path for path, entry in release["files"].items() if entry["kept"]]
    fetched = [*kept, "files.js", "service_worker.js"]
    assert total["bytes"] == sum((site / path).stat().st_size for path in fetched)


def test_the_runtime_is_fetched_once_and_again_when_it_was_damaged(
    assets: Path, npm: Path, tmp_path: Path
) -> None:
    cache = tmp_path / "kept"
    first = runtime_files(assets, cache)
    assert runtime_files(assets, cache) == first
    assert runs(npm) == 1
    (damaged,) = cache.glob("*/ort.wasm.min.js")
    damaged.write_text("// another\n")
    assert runtime_files(assets, cache) == first
    assert runs(npm) == 2


def test_npm_that_is_missing_or_fails_says_the_way_out_and_leaves_nothing(
    assets: Path, npm: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (npm / "failing").touch()
    with pytest.raises(MissingDependency, match="npm error network is down"):
        build_site(assets, tmp_path / "site")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(MissingDependency, match=r"apt-get install npm.*nodejs\.org"):
        build_site(assets, tmp_path / "site")
    assert not (tmp_path / "site").exists()
    assert list((tmp_path / "cache").glob("*/*")) == []


def test_a_package_without_a_file_of_the_runtime_is_bad_input(
    assets: Path, npm: Path, tmp_path: Path
) -> None:
    (npm / "package" / "dist" / "ort.wasm.min.mjs").unlink()
    with pytest.raises(BadInput, match=r"has no dist/ort\.wasm\.min\.mjs; pin a version"):
        build_site(assets, tmp_path / "site")


@pytest.mark.parametrize("path", ["tiny_w4.onnx", "app.js", "package-lock.json"])
def test_assets_that_are_not_as_their_manifest_says_are_refused(
    path: str, assets: Path, npm: Path, tmp_path: Path
) -> None:
    with (assets / path).open("ab") as file:
        file.write(b" ")
    with pytest.raises(BadInput, match=rf"changed: {path}\); `python -m export verify"):
        build_site(assets, tmp_path / "site")
    assert runs(npm) == 0


def test_a_folder_of_another_platform_holds_no_page(
    made: dict[str, Path], npm: Path, tmp_path: Path
) -> None:
    with pytest.raises(BadInput, match="holds no page; give the folder for the web"):
        build_site(made["ios"], tmp_path / "site")


def test_nothing_but_a_site_is_replaced(assets: Path, npm: Path, tmp_path: Path) -> None:
    build_site(assets, tmp_path / "site")
    build_site(assets, tmp_path / "site")
    work = tmp_path / "work"
    work.mkdir()
    (work / "thesis.txt").write_text("mine")
    with pytest.raises(BadInput, match="not ours to replace"):
        build_site(assets, work)
    for target in (assets, assets.parent):
        with pytest.raises(BadInput, match="would replace"):
            build_site(assets, target)
    assert tree(work) == {"thesis.txt": b"mine"}


def test_the_server_sends_the_policy_and_the_types_that_a_browser_needs(
    assets: Path, npm: Path, tmp_path: Path
) -> None:
    build_site(assets, tmp_path / "site")
    with open_server(tmp_path / "site", 0) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        port = server.server_address[1]
        for path, kind in (("app.js", "text/javascript"), ("", "text/html")):
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/{path}") as response:
                assert response.headers["Content-Type"].startswith(kind)
                assert "default-src 'none'" in response.headers["Content-Security-Policy"]
        with pytest.raises(BadInput, match=f"port {port} on 127.0.0.1.*another --port"):
            open_server(tmp_path / "site", port)
        server.shutdown()
        thread.join()


def test_the_command_states_the_download_and_writes_it_where_asked(
    assets: Path, npm: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, figures = tmp_path / "site", tmp_path / "docs" / "web.json"
    assert cli.main(["web", str(assets), "--out", str(out), "--json", str(figures)]) == 0
    printed = capsys.readouterr().out
    assert json.loads(figures.read_text()) == json.loads((out / "download.json").read_text())
    model = json.loads(figures.read_text())["first_visit"]["model"]
    assert f"model      {model['bytes']:>12,} {model['gzip_bytes']:>12,}" in printed
    assert "onnxruntime-web 1.30.0; model: tiny_w4.onnx" in printed


def test_what_cannot_be_served_exits_with_2(
    assets: Path, npm: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["web", str(tmp_path / "none")]) == 2
    assert "`python -m export all` makes it" in capsys.readouterr().err
    assert cli.main(["web", str(assets), "--port", "70000"]) == 2
    assert "--port 70000: need 0 to 65535" in capsys.readouterr().err


def test_the_page_that_is_published_states_its_sizes_in_the_readme() -> None:
    results = Path(__file__).parents[3] / "docs" / "results" / "web.json"
    download = json.loads(results.read_text())
    readme = (Path(__file__).parents[3] / "README.md").read_text()
    total = download["first_visit"]["total"]
    assert f"{total['bytes']:,}" in readme
    # What the project promises of the model that a first visit downloads.
    assert download["first_visit"]["model"]["bytes"] <= 450_000


def test_the_manifest_of_the_site_is_that_of_the_assets(
    assets: Path, npm: Path, tmp_path: Path
) -> None:
    build_site(assets, tmp_path / "site")
    assert read_manifest(tmp_path / "site") == read_manifest(assets)
