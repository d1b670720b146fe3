"""A format is one folder and one line: nothing else names one, and one added is everywhere."""

from __future__ import annotations

import ast
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import MISSING, dataclass, fields
from importlib import import_module
from pathlib import Path

import pytest

from export.formats.facts import FormatFacts, Tolerance
from export.formats.register import FOLDERS, FORMATS, android_runtimes
from export.formats.snippet import snippets_of

ROOT = Path(__file__).parents[3]
TOY = Path(__file__).parent / "toy"
PRODUCT = ("pipeline", "export", "benchmarks")
ANDROID = "export/packages/templates/android/src/test/kotlin/{{ package_path }}"
CLASSIFIER = "src/onnxruntime/kotlin/{{ package_path }}/{{ class_name }}Classifier.kt.j2"
# File, literal -> why it is allowed there.
EXCEPTIONS = {
    (f"export/formats/onnx/templates/android/{CLASSIFIER}", ".ort"): "one Kotlin class runs the "
    "files of both formats of its runtime; it lies with the first",
    (f"{ANDROID}/ModelFileTest.kt.j2", ".ptl"): "any suffix would do; the bytes are published",
    ("export/publish/reduced_build.py", ".ort"): "onnxruntime's script reads ORT files alone, so "
    "that ONNX files are written as such; which files there are is not decided by this",
    ("export/packages/templates/web/modules/manifest.js", "onnx"): "the page is written for "
    "onnxruntime-web, and its bytes are published: they change with a release alone",
}


# --- nothing else names a format ----------------------------------------------------------------


def named_in_code(text: str, names: set[str]) -> Iterator[str]:
    """String constants, those in f-strings too, that are a name or begin with one as a word."""
    tree = ast.parse(text)
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    docs = {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, documented) and ast.get_docstring(node) is not None
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docs:
            first = node.value.split(" ")[0]
            if first in names:
                yield first


def named_in_template(text: str, names: set[str]) -> Iterator[str]:
    """Names in quotes."""
    wanted = "|".join(map(re.escape, sorted(names)))
    yield from re.findall(rf"[\"']({wanted})[\"' ]", text)


def names_of(facts: FormatFacts) -> set[str]:
    return {facts.name, facts.suffix}


def others_names(path: Path) -> set[str]:
    """The names of all formats but the one in whose folder `path` is."""
    relative = path.relative_to(ROOT).as_posix()
    return {
        name
        for facts in FORMATS.values()
        if not relative.startswith(f"export/formats/{facts.name}/")
        for name in names_of(facts)
    }


def found_names() -> set[tuple[str, str]]:
    found = set()
    for path in (file for part in PRODUCT for file in sorted((ROOT / part).rglob("*"))):
        is_template = "templates" in path.parts and path.suffix in {".j2", ".js", ".pro", ".swift"}
        if path.suffix == ".py" or is_template:
            named = named_in_template if is_template else named_in_code
            text = path.read_text(encoding="utf-8")
            for name in named(text, others_names(path)):
                found.add((path.relative_to(ROOT).as_posix(), name))
    return found


def test_no_other_place_names_a_format() -> None:
    found = found_names()
    assert found - EXCEPTIONS.keys() == set()
    assert EXCEPTIONS.keys() - found == set(), "not needed any more"
    assert all(len(reason.split()) > 5 for reason in EXCEPTIONS.values())


@pytest.mark.parametrize(
    "code",
    ['x = "onnx"', 'x = f"onnx {y}"', 'x = "onnx fp32"', 'f(".ort")', 'x = f"{y}.ort"', "x['ort']"],
)
def test_a_name_is_found(code: str) -> None:
    assert list(named_in_code(code, {"onnx", "ort", ".ort"}))


@pytest.mark.parametrize("code", ['"""onnx is said."""', 'x = "onnxruntime"', "import onnx"])
def test_a_word_like_it_is_not_a_name(code: str) -> None:
    assert not list(named_in_code(code, {"onnx", "ort", ".ort"}))


# --- the facts ----------------------------------------------------------------------------------


def test_no_fact_has_a_default() -> None:
    """A default would mean less, without anyone deciding it; of a tolerance it is the strictest."""
    modules = vars(import_module("export.formats.facts")).values()
    classes = [c for c in modules if isinstance(c, type) and hasattr(c, "__dataclass_fields__")]
    classes = [c for c in classes if c.__module__ == "export.formats.facts"]
    assert FormatFacts in classes
    assert Tolerance(0.0, 0.0, "").max_evidence_diff == min(
        precision.tolerance.max_evidence_diff
        for facts in FORMATS.values()
        for precision in facts.precisions.values()
    )
    for field in (field for kind in classes if kind is not Tolerance for field in fields(kind)):
        assert field.default is MISSING, field.name
        assert field.default_factory is MISSING, field.name


def test_a_format_lies_in_the_folder_of_its_name() -> None:
    assert tuple(f"export.formats.{name}" for name in FORMATS) == FOLDERS


@pytest.mark.parametrize("name", FORMATS)
def test_the_facts_of_a_format_fit_each_other(name: str) -> None:
    facts = FORMATS[name]
    assert facts.integration.texts.keys() == set(facts.platforms)
    assert facts.app_precision in {"", *facts.precisions}
    assert (facts.android is None) or "android" in facts.platforms
    assert not facts.swift_package or "ios" in facts.platforms
    assert not facts.web_page or "web" in facts.platforms
    assert {build.module for build in facts.other_builds} <= {facts.runtime}
    assert facts.session
    assert all(facts.least_runtime.versions.values())
    assert {maker.platform for maker in snippets_of(name)} <= {"", *facts.platforms}
    if facts.android is not None:
        assert facts.android.threads in facts.session
        assert facts.android.key == facts.least_runtime.key
        for source_set in (facts.android.source_set, facts.android.test_source_set):
            assert (facts.android.templates / "src" / source_set / "kotlin").is_dir()


def test_runtimes_on_android_do_not_share_a_name() -> None:
    runtimes = android_runtimes()
    for names in zip(*((r.switch, r.source_set, r.class_suffix) for r in runtimes), strict=True):
        assert len(set(names)) == len(runtimes)


# --- a format that is added ---------------------------------------------------------------------


@dataclass(frozen=True)
class Project:
    """A copy of the product with the toy format in it, and how to run it."""

    folder: Path

    def python(self, *arguments: object) -> str:
        done = subprocess.run(
            [sys.executable, *map(str, arguments)],
            cwd=self.folder,
            capture_output=True,
            text=True,
            env={"PATH": "", "OMP_NUM_THREADS": "1", "COLUMNS": "200"},
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """One folder and one line: nothing else is changed."""
    folder = tmp_path_factory.mktemp("project")
    for part in PRODUCT:
        left_out = shutil.ignore_patterns("__pycache__", "released")
        shutil.copytree(ROOT / part, folder / part, ignore=left_out)
    shutil.copytree(TOY, folder / "export" / "formats" / "toy")
    register = folder / "export" / "formats" / "register.py"
    last = f'    "{FOLDERS[-1]}",\n'
    text = register.read_text()
    assert text.count(last) == 1
    register.write_text(text.replace(last, f'{last}    "export.formats.toy",\n'))
    return Project(folder)


@pytest.fixture(scope="module")
def toys(project: Project, checkpoint: Path) -> Project:
    """The same after an export of the toy format alone."""
    project.python(
        *("-m", "export", "all", "--formats", "toy", "--checkpoint", checkpoint),
        *("--out", ".", "--build", "build", "--images", 2),
    )
    return project


def test_the_command_line_offers_it(project: Project) -> None:
    shown = " ".join(project.python("-m", "export", "all", "--help").split())
    assert f"some of {', '.join(FORMATS)}, toy (default: all)" in shown
    assert "Core ML, Toy format)" in project.python("-m", "export", "--help")


@pytest.mark.slow("a copy of the project, in processes of its own")
def test_the_doctor_looks_at_it(project: Project) -> None:
    code = (
        "from export.run.doctor import examine; "
        "print([(f.convert, f.run) for f in examine(try_it=False) if f.format == 'toy'])"
    )
    assert project.python("-c", code).strip() == "[('yes', 'yes')]"


@pytest.mark.ci("exports by a copy of the project")
def test_it_is_converted_proven_published_and_timed(toys: Project) -> None:
    manifest = json.loads((toys.folder / "android_assets" / "manifest.json").read_text())
    (artifact,) = manifest["artifacts"]
    assert (artifact["format"], artifact["precision"]) == ("toy", "fp32")
    assert artifact["parity"]["status"] == "pass"
    assert artifact["parity"]["how"] == "run by toys"
    assert artifact["session"] == {"toys": 3}
    assert artifact["requires"] == {"toy_version": 1, "toy_runtime": "1.0"}
    assert artifact["latency_ms"]["threads"]["1"]["median"] > 0
    assert (toys.folder / "android_assets" / artifact["path"]).suffix == ".toy"


@pytest.mark.ci("exports by a copy of the project")
@pytest.mark.parametrize("platform", ["android", "ios", "web"])
def test_the_readme_of_each_folder_says_how_to_use_it(platform: str, toys: Project) -> None:
    text = (toys.folder / f"{platform}_assets" / "README.md").read_text()
    assert "### Toy format\nPlay with 3 toys and float32" in text
    assert "| toy runtime 1.0 |" in text


@pytest.mark.ci("exports by a copy of the project")
def test_the_report_has_its_figures_and_its_code(toys: Project) -> None:
    report = json.loads((toys.folder / "build" / "report.json").read_text())
    found = [a for a in report["artifacts"] if a["format"] == "toy"]
    assert [(a["precision"], a["verdict"]) for a in found] == [("fp32", "pass")]
    page = (toys.folder / "build" / "report.html").read_text()
    assert "toy = torch.load(" in page
    assert "toy fp32" in page


@pytest.mark.ci("exports by a copy of the project")
def test_the_benchmark_times_it(toys: Project, checkpoint: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from benchmarks.targets import published_targets; "
        "print([t.name for t in published_targets(Path(), Path(sys.argv[1]))])"
    )
    assert toys.python("-c", code, checkpoint).strip() == "['toy fp32', 'PyTorch eager']"
