"""Commands that are printed: quoted for a shell, and made by one function everywhere."""

from __future__ import annotations

import ast
import re
import shlex
import subprocess
from pathlib import Path

import pytest

from pipeline.terminal.command_line import command_line

ROOT = Path(__file__).parents[3]
COMMAND = re.compile(r"python3? -m (pipeline|export|benchmarks)\b[^`\n]*(\{|\s$)")
HOLE = "{"


def test_a_command_holds_the_options_that_are_given_and_no_others() -> None:
    line = command_line("export", "all", checkpoint=Path("build/a"), data=None, out="there")
    assert line == "python -m export all --checkpoint build/a --out there"
    assert command_line("export", "check", strict=True, junit=None, images=3) == (
        "python -m export check --strict --images 3"
    )
    assert command_line("export", "all", formats=("onnx", "ort"), no_latency=False) == (
        "python -m export all --formats onnx,ort"
    )


@pytest.mark.parametrize(
    "name", ["it's here", 'a "b" $HOME', "a;b&c", "grün 赤", "*", "-x", "a\\b"]
)
def test_a_shell_reads_every_name_back_as_it_is(name: str) -> None:
    line = command_line("pipeline", "show", Path(name), data=Path(name))
    script = f'python() {{ printf "%s\\0" "$@"; }}; {line}'
    done = subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=True)
    *read, end = done.stdout.split("\0")
    assert read == shlex.split(line)[1:]
    assert end == ""
    word, data = (f"./{name}", f"--data={name}") if name == "-x" else (name, f"--data\0{name}")
    assert "\0".join(read) == f"-m\0pipeline\0show\0{word}\0{data}"


# --- no other place makes commands --------------------------------------------------------------


def texts(tree: ast.AST) -> list[tuple[int, str]]:
    """Every string of a file with ``{`` for what is put into it; docstrings are left out."""
    inside = {id(part) for f in ast.walk(tree) if isinstance(f, ast.JoinedStr) for part in f.values}
    said = {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Module | ast.FunctionDef | ast.ClassDef) and node.body
        if isinstance(node.body[0], ast.Expr)
    }
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            parts = [str(p.value) if isinstance(p, ast.Constant) else HOLE for p in node.values]
            found.append((node.lineno, "".join(parts)))
        elif (
            isinstance(node, ast.Constant)
            and isinstance(node.value, str)
            and id(node) not in inside | said
        ):
            found.append((node.lineno, node.value))
    return found


def made_by_hand(source: str) -> list[str]:
    """Strings that put something into a command of this project themselves."""
    return [
        f"line {line}: {found[0]}"
        for line, text in texts(ast.parse(source))
        if (found := COMMAND.search(text))
    ]


def test_every_command_with_something_in_it_is_made_by_the_one_function() -> None:
    found = {
        path.relative_to(ROOT).as_posix(): by_hand
        for room in ("pipeline", "export", "benchmarks")
        for path in sorted((ROOT / room).rglob("*.py"))
        if (by_hand := made_by_hand(path.read_text(encoding="utf-8")))
    }
    assert found == {}


@pytest.mark.parametrize(
    "source",
    [
        'print(f"next: python -m export all --checkpoint {folder}")',
        'text = "see `python -m export verify {folder}`".format(folder=folder)',
        'print("try python -m pipeline show " + str(folder))',
        'print(f"python -m pipeline compress {folder} "\n      f"--data {data}")',
    ],
)
def test_a_command_made_by_hand_would_be_found(source: str) -> None:
    assert len(made_by_hand(source)) == 1


def test_a_command_that_is_named_alone_is_not_taken_for_one() -> None:
    assert made_by_hand('text = f"{path} is damaged; `python -m export all` makes it"') == []
