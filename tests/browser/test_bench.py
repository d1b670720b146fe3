"""The bench itself: what it is to notice, it notices."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from tests.browser.conftest import Window, served

BAD = """<!doctype html><html><head><title></title></head><body>
<img src="missing.png"><script>console.error("told"); throw new Error("thrown")</script>
</body></html>"""


def test_errors_requests_and_faults_of_a_page_are_seen(
    open_window: Callable[..., Window], tmp_path: Path
) -> None:
    (tmp_path / "index.html").write_text(BAD)
    window = open_window("phone")
    with served(tmp_path) as address:
        window.page.goto(address)
        assert any("told" in error for error in window.errors)
        assert any("thrown" in error for error in window.errors)
        assert f"{address}missing.png" in window.requests
        assert window.foreign_requests("http://elsewhere") == window.requests
        assert any(
            fault.startswith("image-alt (critical)") for fault in window.accessibility_faults()
        )
