"""Fixtures: a browser, windows of a phone and of a desktop, a folder served, and axe's verdict."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any, Final

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

HERE: Final = Path(__file__).parent
AXE: Final = HERE / "node_modules" / "axe-core" / "axe.min.js"
BUILD: Final = HERE.parents[1] / "build"
SHOTS: Final = BUILD / "screenshots"
BROWSERS: Final = ("chromium", "chromium-browser", "google-chrome")
PATIENCE_MS: Final = 300_000  # for what must appear; a busy machine is slow
# Width and height of the window in CSS pixels.
WINDOWS: Final = {"phone": (390, 844), "desktop": (1280, 900)}
FLAGS: Final = (
    "--no-sandbox",  # CI runs as root
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--use-fake-device-for-media-stream",
    "--use-fake-ui-for-media-stream",
)


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Chromium as Debian packages it: nothing is downloaded."""
    found = next(filter(None, map(shutil.which, BROWSERS)), None)
    if found is None:
        pytest.skip(f"no browser: none of {', '.join(BROWSERS)} (Debian: apt-get install chromium)")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=list(FLAGS))
        yield browser
        browser.close()


class Window:
    """A page, with everything that went wrong in it."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.errors: list[str] = []  # of the console, and exceptions that nobody caught
        self.requests: list[str] = []  # every address that was asked for
        page.on("console", self._heard)
        page.on("pageerror", lambda error: self.errors.append(f"uncaught: {error}"))
        page.on("request", lambda request: self.requests.append(request.url))

    def _heard(self, message: Any) -> None:
        if message.type in ("error", "warning"):
            self.errors.append(f"{message.type}: {message.text}")

    def foreign_requests(self, own: str) -> list[str]:
        """Requests that left the site `own`; data and blob addresses leave nothing."""
        return [r for r in self.requests if not r.startswith((own, "data:", "blob:"))]

    def shot(self, name: str) -> None:
        """Keep a picture of the whole page, for people to look at: build/screenshots/NAME.png."""
        SHOTS.mkdir(parents=True, exist_ok=True)
        self.page.screenshot(path=SHOTS / f"{name}.png", full_page=True)

    def accessibility_faults(self) -> list[str]:
        """What axe finds of serious or critical impact, a sentence each."""
        if not AXE.is_file():
            pytest.skip("no axe-core: npm ci --prefix tests/browser (make test-web does it)")
        self.page.evaluate(AXE.read_text(encoding="utf-8"))  # a page's policy forbids a tag
        found = self.page.evaluate("axe.run({resultTypes: ['violations']})")  # the rest takes long
        return [
            f"{fault['id']} ({fault['impact']}): {fault['help']}; {node['html'][:200]}"
            for fault in found["violations"]
            if fault["impact"] in ("serious", "critical")
            for node in fault["nodes"]
        ]


@pytest.fixture
def open_window(browser: Browser) -> Iterator[Callable[..., Window]]:
    """``open_window("phone", color_scheme="dark")``: a new window that shares nothing with others.

    Other keyword arguments are those of Playwright's `new_context`.
    """
    with ExitStack() as stack:

        def opened(size: str = "desktop", **options: Any) -> Window:
            width, height = WINDOWS[size]
            viewport = {"width": width, "height": height}
            context = browser.new_context(viewport=viewport, **options)  # type: ignore[arg-type]
            context.set_default_timeout(PATIENCE_MS)
            stack.callback(context.close)
            return Window(context.new_page())

        yield opened


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: Any) -> None:
        pass


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """The folder on this machine's own address; gives ``http://127.0.0.1:PORT/``."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=str(folder)))
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The published page with its runtime, as `python -m export web` makes it."""
    from export.publish.web_site import build_site
    from tests.browser.web_app import published

    target = tmp_path_factory.mktemp("web") / "site"
    build_site(published(), target)
    return target


@pytest.fixture(scope="session")
def modules(browser: Browser, site: Path) -> Iterator[Any]:
    """A window of the site's origin without the page's own script: its modules, to be called."""
    from tests.browser.web_app import App

    with served(site) as address:
        context = browser.new_context()
        context.set_default_timeout(PATIENCE_MS)
        app = App(Window(context.new_page()), address)
        app.page.goto(f"{address}labels.txt")
        yield app
        context.close()


@pytest.fixture
def open_app(open_window: Callable[..., Window]) -> Iterator[Callable[..., Any]]:
    """``open_app(site, "phone")``: a site served, and a window for it; nothing is opened yet."""
    from tests.browser.web_app import App

    with ExitStack() as stack:

        def opened(site: Path, size: str = "desktop", **options: Any) -> App:
            return App(open_window(size, **options), stack.enter_context(served(site)))

        yield opened
