"""The asset folders as packages: code for an app, generated from the manifest."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def package_code(platform: str, manifest: Mapping[str, Any]) -> dict[str, bytes]:
    """The code of one asset folder: relative POSIX path -> content.

    Args:
        platform: ``android``: a Gradle library module, ``ios``: a Swift package, ``web``: a
            static page.
        manifest: the document, which need not list its `files` yet.
    """
    # Imported here: jinja2 is not needed by who asks for one of the modules beside this.
    from export.packages import android, ios, web

    packages = {"android": android, "ios": ios, "web": web}
    return {
        path: text.encode() for path, text in packages[platform].package_files(manifest).items()
    }
