"""The page without a network, and a new release in the place of an old one."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from export.publish.web_site import build_site
from tests.browser.conftest import served
from tests.browser.web_app import READY, App, OpenApp, published, rereleased

GREY = "golden/images/grey.png"
CACHES = "async () => (await caches.keys()).length"
STYLE = "async (address) => (await fetch(`${address}style.css`)).text()"
KEEP = """async (address, path) => {
    const { isKept, keep } = await import(`${address}modules/offline.js`);
    const before = await isKept(path);
    await keep(path);
    return [before, await isKept(path)];
}"""
# Browsers differ in what they call offline after a reload; what the page says then is its own.
SAYS_OFFLINE = "Object.defineProperty(Navigator.prototype, 'onLine', { get: () => false })"
# Asks for the service worker once more, as the page did, until it is installed or was refused.
SETTLED = """async (address) => {
    const worker_file = `${address}service_worker.js`;
    const options = { updateViaCache: "none" };
    const registration = await navigator.serviceWorker.register(worker_file, options);
    await registration.update().catch(() => null);
    const worker = registration.installing;
    if (!worker) return;
    await new Promise((resolve) => {
        worker.addEventListener("statechange", resolve);
        if (worker.state !== "installing") resolve();
    });
}"""
NEW_STYLE = "\n/* of the next release */\n"


def reload(app: App) -> None:
    app.page.reload()
    app.page.locator(READY).wait_for()


def test_after_the_first_visit_the_page_works_without_a_network(
    open_app: OpenApp, site: Path
) -> None:
    app = open_app(site, "phone").open_and_keep()
    before = app.classify(site / GREY)
    app.page.context.set_offline(True)
    app.page.add_init_script(SAYS_OFFLINE)
    reload(app)
    app.page.locator("#offline-state:text-is('Offline; works all the same')").wait_for()
    assert app.classify(site / GREY) == before
    app.page.locator("#example-list button").nth(1).click()
    app.page.locator("#picture-name", has_text="grey_jpeg.jpg, 287 x 272").wait_for()
    app.window.shot("web_offline")
    assert app.window.errors == []
    assert app.window.foreign_requests(app.address) == []


def test_after_the_first_visit_the_server_may_be_gone(
    open_window: object, site: Path, open_app: OpenApp
) -> None:
    with served(site) as address:
        app = App(open_window("desktop"), address).open_and_keep()  # type: ignore[operator]
    reload(app)
    app.classify(site / GREY)
    app.choose("w3")
    assert "the file is not kept here" in app.fault()
    app.page.locator(".choice input:checked[value$='_w4.onnx']").wait_for()
    assert "_w4.onnx" in app.page.inner_text("#facts")


def test_a_model_that_was_chosen_once_is_kept(open_app: OpenApp, site: Path) -> None:
    app = open_app(site).open_and_keep()
    kept = app.page.locator(".choice", has_text="Kept for offline use")
    assert kept.count() == 1
    app.choose("int8")
    kept.nth(1).wait_for()
    app.page.context.set_offline(True)
    reload(app)
    app.classify(site / GREY)
    app.choose("int8")
    app.page.locator("#facts", has_text="_int8.onnx").wait_for()
    app.choose("fp16")
    assert "Choose a model that is marked as kept" in app.fault()


def test_a_model_that_is_chosen_before_anything_is_kept_is_kept_later(
    open_app: OpenApp, site: Path
) -> None:
    app = open_app(site)
    app.page.goto(app.address)
    app.choose("int8")
    app.page.locator("#offline-state[data-state=kept]").wait_for()
    app.page.locator(".choice", has_text="int8").filter(has_text="Kept for offline use").wait_for()
    path = next(site.glob("*_w3.onnx")).name
    assert app.run(KEEP, path) == [False, True]


def test_everything_that_is_kept_was_hashed(open_app: OpenApp, site: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(site, tmp_path / "site"))
    with (copy / "style.css").open("a") as style:
        style.write("/* changed on the way */")
    app = open_app(copy).open()
    app.run(SETTLED)
    assert app.page.locator("#offline-state[data-state=kept]").count() == 0
    assert app.run(CACHES) == 0


@pytest.fixture
def next_release(tmp_path: Path) -> Path:
    """The page's next release, with another style and another runtime module."""
    source = published()
    style = (source / "style.css").read_text() + NEW_STYLE
    label = (source / "app.js").read_text().replace("Ready. Choose", "Ready, anew. Choose")
    changes = {"style.css": style.encode(), "app.js": label.encode()}
    return rereleased(source, tmp_path / "next", changes)


def test_a_new_release_takes_the_place_of_the_old_one_as_a_whole(
    open_app: OpenApp, next_release: Path, tmp_path: Path
) -> None:
    place = tmp_path / "site"
    build_site(published(), place)
    app = open_app(place).open_and_keep()
    assert not app.page.is_visible("#update")
    build_site(next_release, place)
    app.page.reload()
    # Until it is asked to update, it serves only the old one.
    app.page.locator("#update").wait_for()
    app.page.locator(READY).wait_for()
    assert NEW_STYLE not in app.run(STYLE)
    app.window.shot("web_update")
    other = app.page.context.new_page()  # a second window of the page
    other.goto(app.address)
    other.locator(READY).wait_for()
    app.page.click("#update-take")
    for page in (app.page, other):
        page.locator("#verdict:has-text('Ready, anew.')").wait_for()
    assert NEW_STYLE in app.run(STYLE)
    assert app.run(CACHES) == 1
    app.page.context.set_offline(True)
    app.page.reload()
    app.page.locator("#verdict:has-text('Ready, anew.')").wait_for()


def test_a_new_release_that_is_not_whole_replaces_nothing(
    open_app: OpenApp, next_release: Path, tmp_path: Path
) -> None:
    place = tmp_path / "site"
    build_site(published(), place)
    app = open_app(place).open_and_keep()
    build_site(next_release, place)
    (place / "modules" / "resize.js").write_text("// half on the server\n")
    app.page.reload()
    app.page.locator(READY).wait_for()
    app.run(SETTLED)
    assert not app.page.is_visible("#update")
    assert NEW_STYLE not in app.run(STYLE)
    assert app.run(CACHES) == 1
    app.classify(place / GREY)
