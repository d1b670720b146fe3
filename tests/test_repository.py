"""What must hold for the repository as a whole."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


def tracked() -> list[Path]:
    listing = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if listing.returncode:
        pytest.skip("not a git checkout")
    return [ROOT / name for name in listing.stdout.split("\0") if name and (ROOT / name).exists()]


def test_no_pickle_and_no_picture_is_tracked_but_golden_ones_that_say_what_they_are() -> None:
    unwanted = {".pkl", ".pickle", ".pth", ".pt", ".jpg", ".jpeg", ".png", ".dcm", ".tif"}
    assert [p for p in tracked() if p.suffix.lower() in unwanted and not golden(p)] == []


def golden(path: Path) -> bool:
    """A drawn image of a golden pack, or the tensor of one."""
    from export.images.drawn_samples import MARK
    from export.images.golden_images import golden_images
    from pipeline.resize.rule import Resize

    names = {image.name for image in golden_images(Resize(224, 224))}
    folder = "/".join(path.relative_to(ROOT).parts[1:-1])
    if folder == "golden/images":
        return MARK.encode() in path.read_bytes()
    return folder == "golden/tensors" and path.stem in names


def test_no_file_names_a_place_of_this_machine_or_an_index_host() -> None:
    home, here = str(Path.home()), str(ROOT)
    word = re.compile(r"--(extra-)?index-url|--find-links|https?://[^\s/]*(pypi|mirror|proxy)")
    for path in tracked():
        content = path.read_bytes()
        assert here.encode() not in content, path
        assert len(home) < 3 or f"{home}/".encode() not in content, path
        if path != Path(__file__):
            assert not word.search(content.decode("utf-8", errors="ignore")), path


def test_no_result_or_page_of_docs_names_a_place_of_some_machine() -> None:
    place = re.compile(r"(?<![\w.:/])/(tmp|home|root|Users|work)/")
    for path in tracked():
        if path.is_relative_to(ROOT / "docs") and path.suffix in (".json", ".md"):
            found = place.search(path.read_text(encoding="utf-8"))
            assert found is None, f"{path}: {found and found.string[found.start() :][:60]}"


def test_constraints_pin_every_direct_dependency() -> None:
    pinned = {
        re.split("[=<>]", line)[0].lower().replace("_", "-")
        for line in (ROOT / "constraints.txt").read_text().splitlines()
        if "==" in line
    }
    import tomllib

    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"].values()
    wanted = [*project["dependencies"], *(line for extra in extras for line in extra)]
    names = {re.split(r"[\[=<>]", line)[0].lower() for line in wanted} - {project["name"]}
    assert names - pinned == set()


def test_generated_docs_are_what_the_results_say() -> None:
    makefile = (ROOT / "Makefile").read_text()
    generated = re.search(r"^GENERATED := (.*)$", makefile, re.MULTILINE)
    assert generated
    run = subprocess.run(
        [sys.executable, "-m", "cogapp", "--check", "-P", "-I", ".", *generated[1].split()],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, f"{run.stdout}{run.stderr}\n`make docs` writes them again"


def test_the_research_only_notice_is_where_people_look() -> None:
    for place in ("README.md", "MODEL_CARD.md"):
        assert "research" in (ROOT / place).read_text().lower()
        assert "diagnosis" in (ROOT / place).read_text().lower()
    for place in ("android_assets", "ios_assets", "web_assets"):
        assert "never use it for diagnosis" in (ROOT / place / "README.md").read_text()


def test_no_test_module_imports_another() -> None:
    """What two test modules share is in a module without tests, or a fixture."""
    imported = re.compile(r"^\s*(from|import) tests\.(\S+\.)?test_", re.MULTILINE)
    for path in tracked():
        if path.is_relative_to(ROOT / "tests") and path.suffix == ".py":
            found = imported.search(path.read_text(encoding="utf-8"))
            assert found is None, f"{path}: {found and found[0].strip()}..."
