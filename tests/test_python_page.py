"""docs/python.md: its examples are run, in their order, on images drawn here."""

from __future__ import annotations

import ast
import inspect
import re
from pathlib import Path

import pytest
import torch

from export import api as export_api
from pipeline import api as pipeline_api
from tests.five_colours import COLOURS, paint

PAGE = Path(__file__).parents[1] / "docs" / "python.md"


def examples() -> list[str]:
    return re.findall(r"^```python\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.S | re.M)


def functions() -> dict[str, object]:
    """The name as an example imports it -> the function, in the order of the page."""
    found = {}
    for code in examples():
        for node in ast.walk(ast.parse(code)):
            if isinstance(node, ast.ImportFrom) and node.module in ("pipeline.api", "export.api"):
                module = pipeline_api if node.module == "pipeline.api" else export_api
                found |= {f"{node.module}.{a.name}": getattr(module, a.name) for a in node.names}
    return found


def test_the_page_has_an_example_of_every_function() -> None:
    offered = {
        f"{module.__name__}.{name}"
        for module in (pipeline_api, export_api)
        for name, value in vars(module).items()
        if inspect.isfunction(value) and value.__module__ == module.__name__ and name[0] != "_"
    }
    assert functions().keys() == offered


def test_every_argument_on_the_page_exists() -> None:
    """In a second, where running the examples takes a minute."""
    taken = {name.rsplit(".", 1)[1]: set() for name in functions()}
    for name, function in functions().items():
        taken[name.rsplit(".", 1)[1]] |= set(inspect.signature(function).parameters)
    calls = [n for code in examples() for n in ast.walk(ast.parse(code)) if isinstance(n, ast.Call)]
    ours = [n for n in calls if isinstance(n.func, ast.Name) and n.func.id in taken]
    assert len(ours) >= 7
    for call in ours:
        assert {keyword.arg for keyword in call.keywords} <= taken[call.func.id], ast.unparse(call)


def no_network(architecture: str) -> None:
    raise OSError(f"no weights of {architecture} for a test")


@pytest.mark.ci("trains, adopts, compresses and exports")
def test_the_examples_do_what_the_page_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("fastai")
    monkeypatch.setattr("pipeline.models.pretrained._torchvision_body", no_network)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")  # of the processes that convert
    torch.set_num_threads(1)
    for split, count in (("train", 4), ("valid", 3)):
        for label in COLOURS:
            for number in range(count):
                for path in paint(tmp_path / "photos" / split / label, label):
                    path.rename(path.with_name(f"photo {number}.png"))
    names: dict[str, object] = {}
    for code in examples():
        exec(compile(code, str(PAGE), "exec"), names)
    out = capsys.readouterr().out
    assert "été" in out
    assert "onnx fp32 pass" in out
    assert "onnx int8" in out
    assert (tmp_path / "adopted" / "checkpoint.json").is_file()
    assert len(list((tmp_path / "maps").rglob("*.heat.png"))) == 9
    asked = names["asked"]
    assert [state.status for state in asked.artifacts].count("run") >= 1
    assert len(asked.images) == 9
