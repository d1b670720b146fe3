"""The floor plan: rooms import downwards, no files import in a circle, no folder is crowded."""

from __future__ import annotations

from collections import Counter
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import grimp
import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("pipeline", "export", "benchmarks")
MOST_MODULES = 13  # in a folder, besides its __init__


@cache
def graph() -> grimp.ImportGraph:
    """Every import among the files of the product, those for types alone included."""
    return grimp.build_graph(*PACKAGES, cache_dir=None)


def test_every_import_contract_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    from importlinter.cli import lint_imports

    monkeypatch.chdir(ROOT)
    assert lint_imports(no_cache=True) == 0, "run lint-imports to see which import breaks what"


def test_no_files_import_each_other_in_a_circle() -> None:
    imports = {name: graph().find_modules_directly_imported_by(name) for name in graph().modules}
    try:
        TopologicalSorter(imports).prepare()
    except CycleError as error:
        pytest.fail(f"a circle: {' imports '.join(reversed(error.args[1]))}")


def test_a_circle_of_two_would_be_found() -> None:
    with pytest.raises(CycleError):
        TopologicalSorter({"a": {"b"}, "b": {"a"}}).prepare()


def test_no_folder_has_more_than_13_modules() -> None:
    modules = Counter(
        path.parent.relative_to(ROOT).as_posix()
        for package in PACKAGES
        for path in (ROOT / package).rglob("*.py")
        if path.name != "__init__.py" and "templates" not in path.parts
    )
    assert {folder: n for folder, n in modules.items() if n > MOST_MODULES} == {}


def test_export_does_not_know_the_benchmarks() -> None:
    known = {n for n in graph().modules if n.startswith("export")}
    assert [
        n
        for n in known
        if any(d.startswith("benchmarks") for d in graph().find_modules_directly_imported_by(n))
    ] == []
