"""The report page as people open it: a file, in a window of a phone or of a desktop."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from export.report.page.write import page_of
from tests.browser.conftest import Window
from tests.export.report.page_documents import benchmark, document, sources, timed, to_spec

Open = Callable[..., Window]
SIZES = ("phone", "desktop")
SCHEMES = ("light", "dark")
DRAWN = "document.documentElement.dataset.drawnMs"


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("page") / "report.html"
    path.write_text(page_of(sources()), encoding="utf-8")
    return path


def opened(open_window: Open, path: Path, size: str = "desktop", **options: Any) -> Window:
    window = open_window(size, **options)
    window.page.goto(path.as_uri())
    # Not `wait_for_function`, which evaluates text in the page: its policy allows no eval.
    window.page.locator("html[data-drawn-ms]").wait_for(state="attached")
    return window


@pytest.fixture
def window(open_window: Open, path: Path) -> Window:
    return opened(open_window, path)


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("size", SIZES)
def test_it_is_accessible_quiet_and_alone(
    size: str, scheme: str, open_window: Open, path: Path
) -> None:
    window = opened(open_window, path, size, color_scheme=scheme)
    assert window.errors == []
    assert window.requests == [path.as_uri()]
    assert window.page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    window.shot(f"report-{size}-{scheme}")
    # axe is put in from outside, which the page's own policy would not run.
    judged = opened(open_window, path, size, color_scheme=scheme, bypass_csp=True)
    judged.page.evaluate("document.querySelectorAll('details').forEach(d => { d.open = true })")
    assert judged.accessibility_faults() == []


def test_what_it_took_to_draw_is_recorded(
    window: Window, record_property: Callable[[str, object], None]
) -> None:
    """Some 300 ms where nobody else is at work; no bound, since somebody may be."""
    drawn = int(window.page.evaluate(DRAWN))
    record_property("drawn_ms", drawn)
    assert drawn > 0


def test_every_chart_is_drawn_with_a_mark_for_each_figure(window: Window, path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    names = [
        place.get_attribute("data-chart") for place in window.page.locator("[data-chart]").all()
    ]
    assert len(names) == 10

    def marks(name: str, kind: str) -> int:
        place = window.page.locator(f"[data-chart={name}] g.mark-{kind}.role-mark")
        return sum(
            one.evaluate("(g) => g.querySelectorAll('path, rect').length") for one in place.all()
        )

    for name in names:
        assert window.page.locator(f"[data-chart={name}] svg").count() == 1
    run = [a for a in document()["artifacts"] if a["differences"]]
    bins = sum(len(a["differences"]["histogram"]) for a in run)
    assert marks("agreement", "rect") == bins + len(run)  # and a tick each
    assert marks("agreement", "symbol") == len(run)
    timed = [a for a in run if a["latency_ms"]]
    assert marks("size-latency", "symbol") == len(timed)
    assert marks("size-accuracy", "symbol") == len(run)
    assert marks("peers", "rect") == 2
    answers = sum(len(image["answers"]) for image in document()["worst_images"])
    assert marks("worst", "symbol") == answers
    assert marks("mistakes", "symbol") == 2
    assert to_spec(text, "roc")["layer"]
    assert marks("roc", "line") == 1 + 1 + len(run)  # guessing, PyTorch, and each file


@pytest.mark.parametrize("size", SIZES)
def test_no_word_of_a_chart_is_cut_off(size: str, open_window: Open, tmp_path: Path) -> None:
    made = timed([f"a runtime of a longer name {i}" for i in range(4)])
    for row, group in zip(made["rows"], ("ours", "peer", "recipe", "pytorch"), strict=True):
        row["group"] = group
    path = tmp_path / "report.html"
    path.write_text(page_of(sources(peers=benchmark(made, "peers.json"))), encoding="utf-8")
    window = opened(open_window, path, size)
    cut = window.page.evaluate(
        """() => Array.from(document.querySelectorAll('[data-chart] text')).filter(text => {
            const outer = text.closest('svg').getBoundingClientRect();
            const inner = text.getBoundingClientRect();
            return inner.right > outer.right + 1 || inner.left < outer.left - 1;
        }).map(text => text.closest('[data-chart]').dataset.chart + ': ' + text.textContent)"""
    )
    assert cut == []


def test_colours_follow_light_and_dark_without_drawing_again(window: Window) -> None:
    colour = (
        "getComputedStyle(document.querySelector('[data-chart=peers] g.mark-rect path')).fill"
        " + getComputedStyle(document.querySelector('[data-chart=peers] text')).fill"
        " + getComputedStyle(document.body).backgroundColor"
    )
    window.page.emulate_media(color_scheme="light")
    light = window.page.evaluate(colour)
    window.page.emulate_media(color_scheme="dark")
    dark = window.page.evaluate(colour)
    assert "rgb" in light
    assert light.split(")")[0] != dark.split(")")[0]
    assert light.split(")")[1] != dark.split(")")[1]
    window.page.emulate_media(media="print")
    assert window.page.evaluate("getComputedStyle(document.body).backgroundColor") in (
        "rgb(255, 255, 255)",
        "rgba(0, 0, 0, 0)",
    )


def test_the_keyboard_reaches_navigation_tables_folds_and_copy_buttons(window: Window) -> None:
    window.page.evaluate("document.querySelector('#integrate details').open = true")
    reached = set()
    for _ in range(120):
        window.page.keyboard.press("Tab")
        reached.add(
            window.page.evaluate(
                "(() => { const e = document.activeElement; return e.className || e.tagName })()"
            )
        )
    assert {"skip", "A", "scroll", "SUMMARY", "copy", "PRE"} <= reached


@pytest.mark.parametrize("allowed", [True, False], ids=["clipboard", "no clipboard"])
def test_copy_gives_the_code_by_keyboard_and_says_so(
    allowed: bool, open_window: Open, path: Path
) -> None:
    options = {"permissions": ["clipboard-read", "clipboard-write"]} if allowed else {}
    window = opened(open_window, path, **options)
    page = window.page
    if not allowed:
        page.evaluate("Object.defineProperty(navigator, 'clipboard', { value: undefined })")
        remember = "() => { window.copied = String(getSelection()) }"
        page.evaluate(f"document.addEventListener('copy', {remember})")
    page.evaluate("document.querySelector('#integrate details').open = true")
    button = page.locator("#integrate button.copy").first
    button.focus()
    page.keyboard.press("Enter")
    page.locator("#said:not(:empty)").wait_for(state="attached")
    assert page.locator("#said").inner_text() == "Copied"
    code = page.locator("#integrate code").first.text_content()
    read = page.evaluate("navigator.clipboard.readText()" if allowed else "window.copied")
    assert read.strip() == (code or "").strip()
    assert "tiny_fp32.onnx" in read
    assert window.errors == []


def test_a_tooltip_shows_the_figure(window: Window) -> None:
    window.page.locator("[data-chart=peers] g.mark-rect path").first.hover()
    tip = window.page.locator("#vg-tooltip-element.visible")
    tip.wait_for()
    assert "onnx fp32" in tip.inner_text()


def test_without_scripts_the_tables_stand(open_window: Open, path: Path) -> None:
    window = open_window("phone", java_script_enabled=False)
    window.page.goto(path.as_uri())
    assert window.page.get_by_text("The charts need JavaScript").is_visible()
    assert window.page.get_by_role("table", name="Verdict per artifact").is_visible()
    fold = window.page.locator("details").first
    fold.locator("summary").click()
    assert fold.locator("table").is_visible()
    assert not window.page.locator("button.copy").first.is_visible()
    assert window.errors == []


def test_with_scripts_nothing_is_said_of_missing_charts(window: Window) -> None:
    assert not window.page.get_by_text("The charts need JavaScript").is_visible()


def test_hostile_names_run_nothing_and_are_shown(open_window: Open, tmp_path: Path) -> None:
    hostile = "</script><script>window.broken = 1</script><img src=http://x/ onerror=broken=1>"
    text = json.dumps(document())
    for name in ("hard/9", "Core ML runs on macOS only", "divided_twice"):
        text = text.replace(name, json.dumps(hostile)[1:-1] + name)
    path = tmp_path / "hostile.html"
    path.write_text(page_of(sources(json.loads(text))), encoding="utf-8")
    window = opened(open_window, path)
    assert window.page.evaluate("window.broken") is None
    assert window.requests == [path.as_uri()]
    assert window.errors == []
    assert window.page.get_by_text(hostile).first.count() == 1


def test_for_the_printer_what_is_folded_opens_and_closes_again(window: Window) -> None:
    closed = "document.querySelectorAll('details:not([open])').length"
    before = window.page.evaluate(closed)
    window.page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert window.page.evaluate(closed) == 0
    window.page.evaluate("dispatchEvent(new Event('afterprint'))")
    assert window.page.evaluate(closed) == before > 0
