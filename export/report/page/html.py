"""Sections as one HTML file: template, style, script and Vega inside it, nothing fetched.

A content security policy in the file itself forbids all requests and allows only these two scripts,
by their hashes: the text of a label or a reason can never become code.
"""

from __future__ import annotations

import hashlib
from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import groupby
from pathlib import Path
from typing import Final

from export.report.page.blocks import Block, Chart, Figure, Fold, Section, StatusWord, Table

TEMPLATES: Final = Path(__file__).parent / "templates"
BUNDLED: Final = "window.vegaEmbed = vegaEmbed;"
SIGNIFICANT: Final = 6  # digits of figures in charts; tables and tooltips show fewer


@dataclass(frozen=True)
class Opening:
    """The head of the page, above the sections.

    Attributes:
        status: of the whole report.
        headline: the same in a few words.
        facts: (name, text).
        source: the document that the page is made from.
    """

    title: str
    status: StatusWord
    headline: str
    opening: str
    intended_use: str
    facts: Sequence[tuple[str, str]]
    source: str


def render_page(opening: Opening, sections: Sequence[Section]) -> str:
    """The file's text."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        undefined=StrictUndefined,
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.tests["figure"] = lambda cell: isinstance(cell, Figure)
    environment.tests["verdict"] = lambda cell: isinstance(cell, StatusWord)
    environment.filters["tables"] = _shown_tables
    environment.filters["side_by_side"] = _side_by_side
    vega, script = _inline(vega_bundle()), _inline(_text("page.js"))
    style = _text("page.css")
    hashes = " ".join(f"'sha256-{_hash(text)}'" for text in (vega, script))
    policy = (
        f"default-src 'none'; script-src {hashes}; style-src 'unsafe-inline'; img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )
    return environment.get_template("page.html.j2").render(
        **vars(opening),
        sections=sections,
        specs={chart.name: _rounded(chart.spec) for chart in _charts(sections)},
        policy=policy,
        style=style,
        vega=vega,
        script=script,
    )


@cache
def vega_bundle() -> str:
    """Vega, Vega-Lite and Vega-Embed as one script, from the package vl-convert."""
    import vl_convert

    return str(vl_convert.javascript_bundle(BUNDLED))


def _charts(sections: Sequence[Section]) -> list[Chart]:
    found: list[Chart] = []
    waiting = [block for section in reversed(sections) for block in reversed(section.blocks)]
    while waiting:
        block = waiting.pop()
        if isinstance(block, Chart):
            found.append(block)
        elif isinstance(block, Fold):
            waiting += reversed(block.blocks)
    return found


def _side_by_side(blocks: Sequence[Block]) -> list[tuple[bool, list[Block]]]:
    """Blocks in runs of charts and of others: (whether they are charts, blocks)."""
    return [(charts, list(run)) for charts, run in groupby(blocks, lambda b: isinstance(b, Chart))]


def _shown_tables(chart: Chart) -> list[Table]:
    return [table for table in chart.tables if table.rows]


def _rounded(value: object) -> object:
    """Round to fewer digits than the document has: enough for a picture, in a small file."""
    if isinstance(value, float):
        return float(f"{value:.{SIGNIFICANT}g}")
    if isinstance(value, Mapping):
        return {key: _rounded(item) for key, item in value.items()}
    return [_rounded(item) for item in value] if isinstance(value, list | tuple) else value


def _text(name: str) -> str:
    return (TEMPLATES / name).read_text(encoding="utf-8")


def _inline(script: str) -> str:
    """A script that is safe inside HTML: nothing in it ends the element or opens a comment.

    Both sequences occur only in strings and regular expressions; a backslash changes nothing there.
    """
    return script.replace("</script", "<\\/script").replace("<!--", "<\\!--")


def _hash(text: str) -> str:
    return b64encode(hashlib.sha256(text.encode()).digest()).decode()
