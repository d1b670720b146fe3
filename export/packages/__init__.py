"""The asset folders as packages: code for an app, generated from the manifest."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from export.manifest.manifest import Manifest


def package_code(platform: str, manifest: Manifest) -> dict[str, bytes]:
    """The code of one asset folder: relative POSIX path -> content.

    Args:
        platform: ``android``: a Gradle library module, ``ios``: a Swift package, ``web``: a
            static page.
        manifest: it need not list its `files` yet.
    """
    # Imported here: jinja2 is not needed by who asks for one of the modules beside this.
    from export.packages import android, ios, web

    packages = {"android": android, "ios": ios, "web": web}
    return {
        path: text.encode() for path, text in packages[platform].package_files(manifest).items()
    }
