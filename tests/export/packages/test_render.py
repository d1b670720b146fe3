from __future__ import annotations

from pathlib import Path

import jinja2
import pytest

from export.packages.render import render


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A folder of templates: one whose path is a template as well, and one file as it is."""
    folder = tmp_path / "language" / "src" / "{{ package }}"
    folder.mkdir(parents=True)
    (folder / "Labels.kt.j2").write_text("{% for x in labels %}\n    {{ x }}\n{% endfor %}\nend\n")
    (tmp_path / "language" / "plain.xml").write_text("<a>{{ not a value }}</a>\n")
    return tmp_path


VALUES = {"package": "org/tiny", "labels": ["one & only", "<two>"]}


def test_paths_and_texts_are_rendered_and_other_files_are_left_alone(root: Path) -> None:
    assert render("language", VALUES, root) == {
        "plain.xml": "<a>{{ not a value }}</a>\n",
        "src/org/tiny/Labels.kt": "    one & only\n    <two>\nend\n",
    }


@pytest.mark.parametrize("missing", VALUES)
def test_a_value_that_nobody_gives_is_an_error(root: Path, missing: str) -> None:
    values = {key: value for key, value in VALUES.items() if key != missing}
    with pytest.raises(jinja2.UndefinedError, match=missing):
        render("language", values, root)


@pytest.mark.parametrize("package", ["/etc", "../..", "a//b", "./a", "a\\b", ""])
def test_no_path_leaves_the_package(root: Path, package: str) -> None:
    if package == "/etc":
        (root / "language" / "{{ package }}.j2").write_text("")
    with pytest.raises(ValueError, match="would be written to"):
        render("language", {**VALUES, "package": package}, root)


def test_two_templates_for_one_file_are_an_error(root: Path) -> None:
    (root / "language" / "plain.xml.j2").write_text("")
    with pytest.raises(ValueError, match=r"two templates .* plain\.xml"):
        render("language", VALUES, root)


def test_a_folder_that_is_not_there_is_an_error(root: Path) -> None:
    with pytest.raises(FileNotFoundError, match="other"):
        render("other", VALUES, root)
