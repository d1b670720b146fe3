"""The page as people use it: images by every way, the answer, the models, and what can go wrong."""

from __future__ import annotations

import json
import re
import shutil
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from export.manifest.manifest import read_manifest
from export.packages.web import default_model
from tests.browser.conftest import WINDOWS
from tests.browser.web_app import App, OpenApp, golden

IMAGES = "golden/images"
NOTICE = "Research only. Not a medical device; never use it for diagnosis."
SMALL_TARGETS = """async () =>
  Array.from(document.querySelectorAll("button, select, summary, a, input"))
    .filter((one) => one.checkVisibility())
    .map((one) => one.closest("label.choice") ?? one)
    .map((one) => [one.id || one.textContent, one.getBoundingClientRect()])
    .filter(([name, box]) => box.height < 43.5 || box.width < 43.5)
    .filter(([name]) => !name.startsWith("Skip"))
    .map(([name, box]) => `${name}: ${box.width} x ${box.height}`)"""
HEAT = """async () => {
    const canvas = document.getElementById("heat");
    const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
    const colours = {};
    for (let at = 0; at < data.length; at += 4) {
        if (data[at + 3] > 128) colours[data[at] > data[at + 2] ? "for" : "against"] = true;
    }
    const { width, height } = canvas;
    let strongest = 0;
    for (let at = 0; at < width * height; at++) {
        if (data[at * 4 + 3] > data[strongest * 4 + 3]) strongest = at;
    }
    return {
        colours: Object.keys(colours).sort(),
        opacity: getComputedStyle(canvas).opacity,
        row: Math.floor((Math.floor(strongest / width) / height) * 13) + 1,
        column: Math.floor(((strongest % width) / width) * 13) + 1,
    };
}"""
HAND_OVER = """async (address, {path, type}) => {
    const blob = await (await fetch(address + path)).blob();
    const transfer = new DataTransfer();
    transfer.items.add(new File([blob], path.split("/").at(-1), { type: blob.type }));
    const event = type === "paste"
        ? new ClipboardEvent("paste", { clipboardData: transfer, bubbles: true })
        : new DragEvent("drop", { dataTransfer: transfer, bubbles: true, cancelable: true });
    document.getElementById("drop").dispatchEvent(event);
}"""


TWO_AT_ONCE = """async (address, paths) => {
    const files = await Promise.all(paths.map(async (path) => {
        const blob = await (await fetch(address + path)).blob();
        return new File([blob], path.split("/").at(-1), { type: blob.type });
    }));
    const name = document.getElementById("picture-name");
    const seen = [];
    const look = () => seen.at(-1) === name.textContent || seen.push(name.textContent);
    const observer = new MutationObserver(look);
    observer.observe(name, { childList: true, characterData: true, subtree: true });
    for (const file of files) {
        const transfer = new DataTransfer();
        transfer.items.add(file);
        const event = new DragEvent("drop", { dataTransfer: transfer, bubbles: true });
        document.body.dispatchEvent(event);
        look();
        await new Promise((resolve) => setTimeout(resolve, 60)); // the first is being decoded
    }
    while (!name.textContent.includes("pixels")) {
        await new Promise((resolve) => setTimeout(resolve, 20));
    }
    // Time for the first of them, 12 megapixels, to come in late.
    await new Promise((resolve) => setTimeout(resolve, 2000));
    observer.disconnect();
    return seen;
}"""
KEEP_TRACKS = """
    globalThis.tracks = [];
    const media = navigator.mediaDevices;
    const ask = media.getUserMedia.bind(media);
    media.getUserMedia = async (wanted) => {
        const stream = await ask(wanted);
        tracks.push(...stream.getTracks());
        return stream;
    };
"""
TRACKS = "tracks.map((track) => `${track.kind} ${track.readyState}`)"


@pytest.fixture
def app(open_app: OpenApp, site: Path) -> Iterator[App]:
    """The page, opened; whatever the test does, nothing may go wrong unseen or leave the device."""
    opened: App = open_app(site).open()
    yield opened
    assert opened.window.errors == []
    assert opened.window.foreign_requests(opened.address) == []


def broken(site: Path, tmp_path: Path) -> Path:
    """A copy to be damaged."""
    return Path(shutil.copytree(site, tmp_path / "site"))


def without_answer(app: App) -> bool:
    return not app.page.is_visible("#details") and not app.page.is_visible("#figure")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", WINDOWS)
def test_the_page_looks_and_works_well_at_each_width(
    size: str, scheme: str, open_app: OpenApp, site: Path
) -> None:
    app = open_app(site, size, color_scheme=scheme).open()
    for name in ("empty", "answered"):
        if name == "answered":
            app.classify(site / IMAGES / "grey.png")
            app.page.click("summary")
        assert app.page.evaluate("document.documentElement.scrollWidth") == WINDOWS[size][0]
        assert app.run(SMALL_TARGETS) == []
        assert app.page.is_visible(f".notice:has-text('{NOTICE}')")
        app.page.evaluate("scrollTo(0, 0)")
        app.window.shot(f"web_{size}_{scheme}_{name}")
        assert app.window.accessibility_faults() == []
    assert app.window.errors == []
    assert app.window.foreign_requests(app.address) == []


def test_the_page_fits_the_narrowest_phone_and_keeps_the_notice_in_sight(
    open_window: Any, open_app: OpenApp, site: Path
) -> None:
    app = open_app(site, reduced_motion="reduce")
    app.page.set_viewport_size({"width": 320, "height": 560})
    app.open().classify(site / IMAGES / "wide.png")
    assert app.page.evaluate("document.documentElement.scrollWidth") == 320
    app.page.evaluate("scrollTo(0, document.body.scrollHeight)")
    box = app.page.locator(".notice").bounding_box()
    assert box is not None
    assert 0 <= box["y"] < 20
    app.page.evaluate("scrollTo(0, 0)")
    app.window.shot("web_narrow")


@pytest.mark.parametrize("precision", ["w4", "fp32", "int8", "w3", "fp16"])
def test_the_page_says_what_the_golden_pack_says(precision: str, app: App, site: Path) -> None:
    artifact = next(a for a in read_manifest(site).artifacts if a.precision == precision)
    model = read_manifest(site).model
    if precision != "w4":
        app.choose(precision)
        app.page.locator("#verdict:text-is('Ready. Choose an image.')").wait_for()
    case = next(case for case in golden(site)["cases"] if case["name"] == "grey")
    said = app.classify(site / case["image"])
    probs = dict(zip(model.labels, case["probs"][artifact.path], strict=True))
    positive = model.positive
    label = positive if probs[positive] >= model.threshold else model.labels[1]
    found = re.fullmatch(rf"{label}\nwith a probability of ([0-9.]+)%", said)
    assert found
    assert float(found[1]) == pytest.approx(100 * probs[label], abs=0.2)
    facts = app.page.inner_text("#facts")
    assert artifact.path in facts
    assert artifact.files[0].sha256[:12] in facts
    assert re.search(r"[0-9.]+ ms, the median of 5", facts)
    assert app.page.locator(".choice input:checked").input_value() == artifact.path


def test_another_model_classifies_the_shown_image_again(app: App, site: Path) -> None:
    before = app.classify(site / IMAGES / "grey.png")
    app.choose("int8")
    app.page.locator("#facts", has_text="_int8.onnx").wait_for()
    assert app.page.inner_text("#answer") != before


def test_the_heat_map_lies_over_the_image_and_is_given_in_numbers(app: App, site: Path) -> None:
    app.classify(site / IMAGES / "grey.png")
    first = app.page.inner_text("#map-told")
    assert re.search(r"row \d+ of 13, column \d+ of 13, .* [+−][0-9.]+ logits", first)
    # Heading cells, then 13 x 13 numbers.
    assert app.page.locator("#map-table td").count() == 1 + 13 * 13
    boxes = [app.page.locator(f"#{name}").bounding_box() for name in ("picture", "heat")]
    assert boxes[0] == boxes[1]
    place = re.search(r"row (\d+) of 13, column (\d+) of 13", first)
    assert place
    row, column = map(int, place.groups())
    assert app.run(HEAT) == {"colours": ["for"], "opacity": "0.65", "row": row, "column": column}
    assert row != column  # or a map that is turned over would not show
    app.page.select_option("#map-class", label="non_covid19")
    assert app.run(HEAT)["colours"] == ["against"]  # of two classes, one is the other's opposite
    assert app.page.inner_text("#map-told") != first
    app.page.fill("#map-opacity", "20")
    assert app.run(HEAT)["opacity"] == "0.2"


def test_the_last_of_two_images_is_the_one_that_is_classified(app: App, site: Path) -> None:
    expected = app.classify(site / IMAGES / "grey.png")
    seen = app.run(TWO_AT_ONCE, [f"{IMAGES}/huge.png", f"{IMAGES}/grey.png"])
    assert seen == ["huge.png", "grey.png", "grey.png, 336 x 283 pixels"]
    assert app.page.inner_text("#answer") == expected


@pytest.mark.parametrize("type_", ["drop", "paste"])
def test_an_image_is_dropped_or_pasted(type_: str, app: App) -> None:
    app.run(HAND_OVER, {"path": f"{IMAGES}/grey_jpeg.jpg", "type": type_})
    app.page.locator("#picture-name", has_text="grey_jpeg.jpg, 287 x 272").wait_for()
    assert app.page.is_visible("#details")


def test_an_image_is_chosen_by_keyboard_alone(app: App, site: Path) -> None:
    grey = site / IMAGES / "grey.png"
    with app.page.expect_file_chooser() as asked:
        app.page.locator("#drop").press("Enter")
    asked.value.set_files(grey)
    app.page.locator("#details").wait_for()
    assert app.page.evaluate("document.activeElement.id") == "choose"


def test_a_drawn_example_is_there_for_who_has_no_image(app: App) -> None:
    assert "A drawn chest, not a patient" in app.page.inner_text("#examples")
    app.page.locator("#example-list button").nth(2).click()
    # EXIF turns it: it is stored as 285 x 329.
    app.page.locator("#picture-name", has_text="upright_photo.jpg, 329 x 285").wait_for()


def test_a_picture_is_taken_with_the_camera(open_app: OpenApp, site: Path) -> None:
    app = open_app(site, "phone", permissions=["camera"])
    app.page.add_init_script(KEEP_TRACKS)
    app.open().page.click("#camera-start")
    app.page.click("#camera-take")
    app.page.locator("#details").wait_for()
    assert "camera picture" in app.page.inner_text("#picture-name")
    assert not app.page.is_visible("#camera")
    assert app.page.evaluate(TRACKS) == ["video ended"]
    app.page.click("#camera-start")
    app.page.locator("#camera-take").wait_for()
    assert not app.page.is_visible("#figure")
    app.window.shot("web_camera")
    app.page.click("#camera-stop")
    assert app.page.is_visible("#drop")
    assert app.page.evaluate(TRACKS) == ["video ended", "video ended"]
    assert app.window.errors == []
    assert app.window.foreign_requests(app.address) == []


@pytest.mark.parametrize(
    ("name", "said"),
    [("NotAllowedError", "The camera was refused"), ("NotFoundError", "has no camera")],
)
def test_a_camera_that_is_refused_or_absent_says_the_way_out(
    name: str, said: str, open_app: OpenApp, site: Path
) -> None:
    app = open_app(site)
    app.page.add_init_script(
        "navigator.mediaDevices.getUserMedia = async () => "
        f"{{ throw new DOMException('no', '{name}'); }};"
    )
    app.open().page.click("#camera-start")
    fault = app.fault()
    assert said in fault
    assert "choose an image file" in fault.lower()
    assert app.page.is_visible("#drop")


# --- What can go wrong ---------------------------------------------------------------------------


def png(width: int, height: int) -> bytes:
    """A black PNG of one bit a pixel."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        check = struct.pack(">I", zlib.crc32(kind + content))
        return struct.pack(">I", len(content)) + kind + content + check

    header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    rows = zlib.compress(bytes((1 + (width + 7) // 8) * height))
    parts = chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + parts


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("notes.txt", b"no image at all", "notes.txt is not an image that this browser can read"),
        ("empty.png", b"", "empty.png is not an image"),
        ("half.png", png(300, 300)[:40], "half.png is not an image"),
        ("chest.dcm", bytes(128) + b"DICM", "save any other as PNG first"),
        ("long.png", png(20000, 4), "long.png has 20000 x 4 pixels, and at most 64 megapixels"),
        ("large.png", png(9000, 9000), "large.png has 9000 x 9000 pixels"),
    ],
)
def test_what_is_no_image_or_too_large_is_refused_and_the_next_one_classified(
    name: str, content: bytes, said: str, app: App, site: Path
) -> None:
    app.classify(site / IMAGES / "grey.png")
    app.give({"name": name, "mimeType": "image/png", "buffer": content})
    assert said in app.fault()
    assert without_answer(app)
    if name == "notes.txt":
        app.window.shot("web_fault")
        assert app.window.accessibility_faults() == []
    app.classify(site / IMAGES / "grey.png")
    assert not app.page.is_visible("#fault")


def test_an_image_of_many_megapixels_is_classified_and_the_page_stays_responsive(
    app: App,
) -> None:
    """Timers go off between the choice of the image and its answer."""
    app.run("""async () => {
        globalThis.ticks = 0;
        const name = document.getElementById("picture-name");
        const tick = () => {
            if (name.textContent.includes("8000 x 7000")) return;
            globalThis.ticks += 1;
            setTimeout(tick, 10);
        };
        document.getElementById("file").addEventListener("change", () => setTimeout(tick, 10));
    }""")
    app.give({"name": "many.png", "mimeType": "image/png", "buffer": png(8000, 7000)})
    app.page.locator("#picture-name", has_text="8000 x 7000").wait_for()
    assert app.page.evaluate("ticks") > 5


def damage_byte(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(bytes(content))


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:1000])


def another(path: Path) -> None:
    path.write_bytes(path.with_name(path.name.replace("_w3", "_fp32")).read_bytes())


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (damage_byte, "is not the file that was published"),
        (truncate, "is not the file that was published"),
        (another, "is not the file that was published"),
        (Path.unlink, "is not on the server (status 404)"),
    ],
)
@pytest.mark.parametrize("kept", [False, True], ids=["first visit", "kept"])
def test_a_model_file_that_is_not_the_published_one_is_not_used(
    kept: bool, damage: Any, said: str, open_app: OpenApp, site: Path, tmp_path: Path
) -> None:
    copy = broken(site, tmp_path)
    damage(next(copy.glob("*_w3.onnx")))
    app = open_app(copy, service_workers="allow" if kept else "block").open()
    if kept:
        app.page.locator("#offline-state[data-state=kept]").wait_for()
        app.page.reload()
        app.page.locator("#verdict:text-is('Ready. Choose an image.')").wait_for()
    app.choose("w3")
    assert f"_w3.onnx {said}" in app.fault()
    # The earlier model still classifies, and its name is shown.
    app.page.locator(".choice input:checked[value$='_w4.onnx']").wait_for()
    app.classify(site / IMAGES / "grey.png")
    assert "_w4.onnx" in app.page.inner_text("#facts")


@pytest.mark.parametrize(
    ("damage", "said"),
    [(damage_byte, r"SHA-256 \w{12}, expected \w{12}"), (truncate, "cut off after 1,000 of")],
)
def test_a_damaged_first_model_is_reported_and_another_can_be_chosen(
    damage: Any, said: str, open_app: OpenApp, site: Path, tmp_path: Path
) -> None:
    copy = broken(site, tmp_path)
    chosen = default_model(read_manifest(copy))
    assert chosen is not None
    damage(copy / chosen.path)
    app = open_app(copy, service_workers="block")
    app.page.goto(app.address)
    assert re.search(said, app.fault())
    app.window.shot("web_damaged_model")
    assert app.page.locator(".choice input:checked").count() == 0
    app.choose("fp32")
    app.page.locator("#verdict:text-is('Ready. Choose an image.')").wait_for()
    app.classify(site / IMAGES / "grey.png")


def change_schema(folder: Path) -> None:
    import hashlib

    document = json.loads((folder / "manifest.json").read_text())
    document["schema"] = 4
    content = json.dumps(document).encode()
    (folder / "manifest.json").write_bytes(content)
    line = f"{hashlib.sha256(content).hexdigest()}  manifest.json\n"
    (folder / "manifest.json.sha256").write_text(line)


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda folder: (folder / "manifest.json").unlink(), "manifest.json is not on the server"),
        (lambda folder: damage_byte(folder / "manifest.json"), "its SHA-256 differs"),
        (change_schema, "manifest.json has the schema 4, and this page reads 3"),
    ],
)
def test_a_manifest_that_cannot_be_used_is_reported(
    damage: Any, said: str, open_app: OpenApp, site: Path, tmp_path: Path
) -> None:
    copy = broken(site, tmp_path)
    damage(copy)
    app = open_app(copy, service_workers="block")
    app.page.goto(app.address)
    assert said in app.fault()
    assert NOTICE in app.page.inner_text(".notice")


@pytest.mark.parametrize("name", ["ort.wasm.min.js", "ort-wasm-simd-threaded.wasm.gzip"])
def test_a_missing_runtime_says_how_to_get_it(
    name: str, open_app: OpenApp, site: Path, tmp_path: Path
) -> None:
    copy = broken(site, tmp_path)
    (copy / "runtime" / name).unlink()
    app = open_app(copy, service_workers="block")
    app.page.goto(app.address)
    assert "`python -m export web` puts it there" in app.fault()


def test_a_browser_without_webassembly_and_one_that_alters_pixels_are_reported(app: App) -> None:
    kinds = app.run("""async (address) => {
        const { openSession } = await import(`${address}modules/session.js`);
        const { decode } = await import(`${address}modules/decode.js`);
        const kind = async (doing) => doing().then(() => "none", (error) => error.kind);
        const read = OffscreenCanvasRenderingContext2D.prototype.getImageData;
        OffscreenCanvasRenderingContext2D.prototype.getImageData = function (...box) {
            const found = read.apply(this, box);
            found.data[5] ^= 1;
            return found;
        };
        const blob = await (await fetch(`${address}golden/images/grey.png`)).blob();
        const altered = await kind(() => decode(blob));
        OffscreenCanvasRenderingContext2D.prototype.getImageData = read;
        delete globalThis.WebAssembly;
        const without = await kind(() => openSession(new ArrayBuffer(8), {}, `${address}runtime/`));
        return [altered, without];
    }""")
    assert kinds == ["pixels-altered", "no-wasm"]


def test_the_classifier_works_in_a_page_of_ones_own(
    open_app: OpenApp, site: Path, tmp_path: Path
) -> None:
    """By the lines of the README."""
    place = tmp_path / "own"
    place.mkdir()
    shutil.copytree(site, place / "web_assets")
    lines = re.search(
        r"<script type=\"module\">(.*?)</script>", (site / "README.md").read_text(), re.S
    )
    assert lines
    fetched = 'const file = await (await fetch("web_assets/golden/images/grey.png")).blob();'
    code = lines[1].replace("const answer", f"{fetched} const answer")
    done = "document.body.textContent = answer.label + ' ' + answer.evidence.rows;"
    script = f'<script type="module">{code}{done}</script>'
    (place / "index.html").write_text(f"<!doctype html><title>own</title><body></body>{script}")
    app = open_app(place)
    app.page.goto(app.address)
    app.page.locator("body:has-text('13')").wait_for()
    assert app.page.inner_text("body") == "covid19 13"
