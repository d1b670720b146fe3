"""The web asset folder as a static page: its files, from the manifest alone.

In: the manifest. Out: relative POSIX path -> text, from the templates in
``templates/web/``. The page reads manifest.json when it runs; only what must stand in it before
that (the notice, the name, which model comes first) is written into it here.
"""

from __future__ import annotations

import html
import json

from export.formats.register import FORMATS
from export.manifest.manifest import ArtifactEntry, Manifest
from export.packages.android import default_file
from export.packages.render import render


def package_files(manifest: Manifest) -> dict[str, str]:
    """The page's files: relative POSIX path -> text, sorted by path.

    Nothing, where the manifest lists no ONNX file: there is nothing that the page could run.
    """
    chosen = default_model(manifest)
    if chosen is None:
        return {}
    model = manifest.model
    values = {
        "schema": manifest.schema,
        "model": model,
        "title": model.name,
        "default_file": chosen.path,
        "quoted": json.dumps,
        "html": html.escape,
    }
    return render("web", values)


def page_artifacts(manifest: Manifest) -> list[ArtifactEntry]:
    """Those that the page can run."""
    runnable = {name for name, facts in FORMATS.items() if facts.web_page}
    return [artifact for artifact in manifest.artifacts if artifact.format in runnable]


def default_model(manifest: Manifest) -> ArtifactEntry | None:
    """The artifact that the page starts with: w4, else the smallest; None without an ONNX file."""
    found = page_artifacts(manifest)
    if not found:
        return None
    path = default_file(found)
    return next(artifact for artifact in found if artifact.path == path)
