"""The page of ``web_assets/`` in a window: opened, given an image, asked what it says."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import pytest

from export.manifest.manifest import MANIFEST_FILE, read_manifest, write_manifest
from export.publish.build_manifest import file_entries
from tests.browser.conftest import Window

ROOT: Final = Path(__file__).parents[2]
PUBLISHED: Final = Path(os.environ.get("WEB_ASSETS", ROOT / "web_assets"))
READY: Final = "#verdict:text-is('Ready. Choose an image.')"


def published() -> Path:
    """The folder that users pull: the committed one, or another that WEB_ASSETS names."""
    if not (PUBLISHED / MANIFEST_FILE).is_file():
        pytest.skip(
            f"no {MANIFEST_FILE} at {PUBLISHED}: `python -m export all` publishes web_assets/"
        )
    return PUBLISHED


def rereleased(source: Path, target: Path, changes: Mapping[str, bytes]) -> Path:
    """The asset folder with other files, published as if they were its own."""
    shutil.copytree(source, target)
    for path, content in changes.items():
        (target / path).write_bytes(content)
    manifest = read_manifest(target)
    files = [
        file_entries(target, entry.path)[0] if entry.path in changes else entry
        for entry in manifest.files
    ]
    write_manifest(target, replace(manifest, files=tuple(files)))
    return target


class App:
    """The page in a window."""

    def __init__(self, window: Window, address: str) -> None:
        self.window = window
        self.page = window.page
        self.address = address

    def open(self) -> App:
        """Go there and wait until a model is loaded."""
        self.page.goto(self.address)
        self.page.locator(READY).wait_for()
        return self

    def open_and_keep(self) -> App:
        """Go there and wait until the release is kept for offline use."""
        self.open()
        self.page.locator("#offline-state[data-state=kept]").wait_for()
        return self

    def give(self, *files: Path | dict[str, Any]) -> None:
        """Choose image files, one after the other, without waiting."""
        for file in files:
            self.page.set_input_files("#file", file)  # type: ignore[arg-type]

    def classify(self, file: Path | dict[str, Any]) -> str:
        """Choose an image and wait for what the page says of it."""
        self.give(file)
        self.page.locator("#details").wait_for()
        return self.page.inner_text("#answer")

    def choose(self, precision: str) -> None:
        """Choose a model, as a person does."""
        self.page.locator(".choice", has_text=precision).first.click()

    def fault(self) -> str:
        """Wait for the message of a fault."""
        self.page.locator("#fault").wait_for()
        return self.page.inner_text("#fault-message")

    def run(self, code: str, argument: object = None) -> Any:
        """Call an asynchronous function of JavaScript with (address, argument)."""
        return self.page.evaluate(
            f"([address, argument]) => ({code})(address, argument)", [self.address, argument]
        )


def golden(site: Path) -> dict[str, Any]:
    """golden.json of a site."""
    document: dict[str, Any] = json.loads((site / "golden" / "golden.json").read_text())
    return document


OpenApp = Callable[..., App]
