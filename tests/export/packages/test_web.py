"""The page of ``web_assets/`` as files: its content before a browser reads the manifest."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from export.formats.description import Port
from export.manifest.manifest import SCHEMA, Manifest, read_manifest
from export.packages import package_code
from export.packages.web import default_model, package_files
from export.packages.web_readme import web_page_section
from export.publish.assets import FOLDERS
from pipeline.model_spec import Owner
from tests.export.made_assets import write_assets

TEMPLATES = Path(__file__).parents[3] / "export" / "packages" / "templates" / "web"


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    return read_manifest(write_assets(tmp_path_factory.mktemp("assets"))["web"])


class Page(HTMLParser):
    """What a page loads, and the ids in it."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.loads: list[str] = []
        self.ids: list[str] = []
        self.inline: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if name in ("src", "href") and value and not value.startswith("#"):
                self.loads.append(value)
            if name == "id":
                self.ids.append(value or "")
            if name == "style" or name.startswith("on"):
                self.inline.append(f"{tag} {name}")
        if tag == "script" and not dict(attrs).get("src"):
            self.inline.append("script")


def test_the_page_loads_only_files_next_to_it(manifest: Manifest) -> None:
    files = package_files(manifest)
    page = Page(files["index.html"])
    beside = {*files, "manifest.json", "labels.txt"}
    assert set(page.loads) <= beside
    assert page.inline == []
    assert len(page.ids) == len(set(page.ids))
    imported = re.compile(r'from "(\./[\w/.]+)"')
    for path, text in files.items():
        if path.endswith(".js"):
            for name in imported.findall(text):
                assert (Path(path).parent / name).as_posix() in files, (path, name)
            assert "http://" not in text.replace("http://localhost", "")
            hosts = re.findall(r"https://[\w.]+", text)
            assert set(hosts) <= {"https://github.com"}, path  # in a comment


def test_every_id_that_a_module_asks_for_is_in_the_page(manifest: Manifest) -> None:
    files = package_files(manifest)
    ids = set(Page(files["index.html"]).ids)
    asked = re.compile(r'(?:byId|getElementById)\("([\w-]+)"\)')
    for path, text in files.items():
        assert set(asked.findall(text)) <= ids, path


def test_the_notice_and_the_name_stand_in_the_page_and_are_quoted(manifest: Manifest) -> None:
    hostile: dict[str, Any] = {"name": 'a "b" <c>', "intended_use": "Research & </p><script>only"}
    hostile["owner"] = Owner("<b>photos", "</p><script>balls")
    files = package_files(replace(manifest, model=replace(manifest.model, **hostile)))
    page = files["index.html"]
    assert page.count("Research &amp; &lt;/p&gt;&lt;script&gt;only") == 3
    assert "<h1>a &quot;b&quot; &lt;c&gt;</h1>" in page
    assert "classify &lt;b&gt;photos on this device" in page
    assert "no map of &lt;/p&gt;&lt;script&gt;balls." in page
    assert json.loads(files["app.webmanifest"])["name"] == 'a "b" <c>'


def test_the_policy_lets_nothing_out_and_no_inline_code_in(manifest: Manifest) -> None:
    policy = re.search(r'Security-Policy" content="([^"]+)"', package_files(manifest)["index.html"])
    assert policy
    allowed = dict(part.split(" ", 1) for part in policy[1].split("; "))
    assert allowed.pop("default-src") == "'none'"
    for sources in allowed.values():
        assert set(sources.split()) <= {"'self'", "'none'", "blob:", "'wasm-unsafe-eval'"}
    assert allowed["connect-src"] == "'self'"


def test_the_release_says_which_schema_it_reads_and_which_model_comes_first(
    manifest: Manifest,
) -> None:
    text = package_files(manifest)["modules/release.js"]
    assert f"SCHEMA = {SCHEMA};" in text
    assert 'DEFAULT_FILE = "tiny_w4.onnx";' in text
    others = tuple(a for a in manifest.artifacts if a.precision != "w4")
    chosen = default_model(replace(manifest, artifacts=others))
    assert chosen is not None
    assert chosen.path == "tiny_fp32.onnx"


def test_a_release_without_an_onnx_file_has_no_page(manifest: Manifest) -> None:
    artifacts = tuple(replace(artifact, format="ort") for artifact in manifest.artifacts)
    other = replace(manifest, artifacts=artifacts)
    assert package_code("web", other) == {}
    assert web_page_section(other, "web_assets") == ""


def test_the_lock_pins_what_the_package_asks_for_and_names_no_host() -> None:
    wanted = json.loads((TEMPLATES / "package.json").read_text())["dependencies"]
    text = (TEMPLATES / "package-lock.json").read_text()
    assert "resolved" not in text
    assert "://" not in text
    packages = json.loads(text)["packages"]
    assert packages[""]["dependencies"] == wanted
    for name, entry in packages.items():
        if name:
            assert entry["integrity"].startswith("sha512-"), name
    for name, version in wanted.items():
        assert re.fullmatch(r"\d+\.\d+\.\d+", version)
        assert packages[f"node_modules/{name}"]["version"] == version


def test_the_readme_describes_evidence_only_where_there_is_some(manifest: Manifest) -> None:
    assert "evidence" not in web_page_section(manifest, "web_assets")
    evidence = Port("evidence", "float32", (1, 2, 3, 3))
    artifacts = tuple(replace(a, outputs=(*a.outputs, evidence)) for a in manifest.artifacts)
    section = web_page_section(replace(manifest, artifacts=artifacts), "web_assets")
    assert "answer.evidence" in section
    assert 'from "./web_assets/modules/classifier.js"' in section


def test_the_export_publishes_the_page_with_what_it_needs(exported: Any) -> None:
    folder = exported.root / FOLDERS["web"]
    listed = {entry.path for entry in read_manifest(folder).files}
    assert {"index.html", ".npmrc", "package-lock.json", "golden/golden.json"} <= listed
    for path in package_code("web", read_manifest(folder)):
        assert path in listed
