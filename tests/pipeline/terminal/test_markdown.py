"""What an owner writes is what a reader of the Markdown sees."""

from __future__ import annotations

import pytest
from markdown_it import MarkdownIt

from pipeline.terminal.markdown import shown, shown_as_code

WORDS = (
    "Research only. Not a medical device; never use it for diagnosis.",
    "für *Übungen*, _nicht_ für __Ärzte__ ~~heute~~",
    "<script>alert(1)</script> & <b>not bold</b> &copy; &#64;",
    "[here](https://example.org) ![image](x.png) <https://example.org>",
    "a | table | cell",
    "`code` and ``more`` \\ back\\slashes\\",
    "non_covid19, label_1_of_2",
    "# no heading",
    "肺炎 🫁 ‏שלום",
)


def read(markdown: str) -> list[tuple[str, str]]:
    """Kind and text of what is inside the lines."""
    blocks = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])
    tokens = blocks.parse(markdown)
    return [(t.type, t.content) for block in tokens for t in block.children or ()]


@pytest.mark.parametrize("words", WORDS)
def test_words_are_shown_as_they_are(words: str) -> None:
    said = read(f"**{shown(words)}**, {shown(words)} *{shown(words)}*.")
    marks = ["strong_open", "strong_close", "em_open", "em_close"]
    assert [kind for kind, _ in said if kind in marks] == marks
    assert {kind for kind, _ in said} <= {*marks, "text", "text_special"}
    assert "".join(text for kind, text in said if kind not in marks) == f"{words}, {words} {words}."


@pytest.mark.parametrize("words", WORDS)
def test_code_is_shown_as_it_is(words: str) -> None:
    assert read(f"It is {shown_as_code(words)}.")[1] == ("code_inline", words)


def test_words_of_several_lines_stay_in_one() -> None:
    assert shown("a\n\n# b\n- c") == "a \\# b - c"
    assert shown_as_code("a\nb") == "`a b`"


def test_plain_words_stay_as_they_are() -> None:
    assert shown(WORDS[0]) == WORDS[0]
    assert shown(WORDS[6]) == WORDS[6]
