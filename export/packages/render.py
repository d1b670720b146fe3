"""Templates below one folder become the texts of a package's files.

In: the name of a folder in ``export/packages/templates/`` and the values that its templates use.
Out: relative POSIX path -> text. A file that ends in ``.j2`` is a Jinja2 template; its path, less
``.j2``, is one as well (``src/{{ package_path }}/Labels.kt.j2``). Any other file is taken as it is.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Final

TEMPLATES: Final = Path(__file__).parent / "templates"
SUFFIX: Final = ".j2"


def render(folder: str, values: Mapping[str, object], root: Path = TEMPLATES) -> dict[str, str]:
    """Render every template below `root`/`folder`.

    Nothing is escaped: each language has its own rules, so a package passes the function that
    quotes for its language among the `values` and the template calls it. Blocks leave no empty
    lines behind (``trim_blocks``, ``lstrip_blocks``).

    Returns:
        relative POSIX path -> text, sorted by path.

    Raises:
        jinja2.UndefinedError: a template uses a value that is not in `values`.
        ValueError: a rendered path leaves the package, or two templates have the same one.
        FileNotFoundError: there is no such folder.
    """
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    templates = root / folder
    if not templates.is_dir():
        raise FileNotFoundError(f"no templates at {templates}")
    environment = Environment(
        loader=FileSystemLoader(templates),
        undefined=StrictUndefined,
        autoescape=False,  # each language quotes by its own function, HTML too
        keep_trailing_newline=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    texts: dict[str, str] = {}
    for file in sorted(path for path in templates.rglob("*") if path.is_file()):
        name = file.relative_to(templates).as_posix()
        path = _inside(environment.from_string(name.removesuffix(SUFFIX)).render(values), name)
        if path in texts:
            raise ValueError(f"two templates of {folder} are rendered to {path}")
        if name.endswith(SUFFIX):
            texts[path] = environment.get_template(name).render(values)
        else:
            texts[path] = file.read_text(encoding="utf-8")
    return dict(sorted(texts.items()))


def _inside(path: str, template: str) -> str:
    """The path if it stays below the package's folder."""
    pure = PurePosixPath(path)
    if pure.is_absolute() or ".." in pure.parts or pure.as_posix() != path or "\\" in path:
        raise ValueError(f"template {template} would be written to {path!r}")
    return path
