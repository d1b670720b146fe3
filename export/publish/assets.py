"""Publish: the asset folders that app developers pull, each put in place as a whole.

In: artifacts that did not fail, still in the build folder. Out: ``android_assets/``,
``ios_assets/`` and ``web_assets/`` with the artifacts, ``labels.txt``, a README for the app
developer, files that callers add, and ``manifest.json``, which lists all of them with size and
hash.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from export.formats.description import FileEntry
from export.manifest.manifest import (
    MANIFEST_FILE,
    SUM_FILE,
    Manifest,
    write_manifest,
)
from export.packages.folder_readme import asset_readme
from export.publish.build_manifest import Published, build_manifest, file_entries
from export.verify import unsafe
from pipeline.atomic_files import refuse_foreign, staged_folder

if TYPE_CHECKING:
    from pipeline.model_spec import ModelSpec

FOLDERS: Final = {"android": "android_assets", "ios": "ios_assets", "web": "web_assets"}
LABELS_FILE: Final = "labels.txt"
README_FILE: Final = "README.md"
# (platform, manifest without `files`) -> POSIX path in the asset folder -> content.
ExtraFiles = Callable[[str, Manifest], Mapping[str, bytes]]


def refuse_foreign_assets(root: Path, platforms: Iterable[str]) -> None:
    """Make sure that only asset folders of ours, or nothing, would be replaced below `root`.

    Raises:
        BadInput: a file is in the way, or a folder that holds something else.
    """
    for platform in platforms:
        _refuse_foreign_folder(root / FOLDERS[platform])


def publish(
    root: Path,
    spec: ModelSpec,
    checkpoint_sha256: str,
    by_platform: Mapping[str, Sequence[Published]],
    rejected: Mapping[str, Sequence[Published]] | None = None,
    extras: Sequence[ExtraFiles] = (),
) -> list[Path]:
    """Write the asset folders below `root`; return their paths.

    All of them are staged before the first is replaced, so that a full disk or Ctrl-C while
    copying leaves every old folder unchanged. A platform without artifacts keeps its old folder.
    Artifacts `rejected` by the quality gate are listed in the manifest and not copied. Each of
    `extras` adds files to every folder, made from its manifest or known before.

    Raises:
        BadInput: `root` cannot be written, or holds a folder that is not ours.
        ValueError: an extra file leaves the folder, or would replace another file.
    """
    refuse_foreign_assets(root, by_platform)
    folders = []
    with ExitStack() as stack:
        for platform, artifacts in by_platform.items():
            if not artifacts:
                continue
            folder = root / FOLDERS[platform]
            staging = stack.enter_context(staged_folder(folder))
            kept_back = (rejected or {}).get(platform, ())
            manifest = build_manifest(spec, checkpoint_sha256, artifacts, kept_back)
            _fill(staging, platform, manifest, [a.path for a in artifacts], extras)
            folders.append(folder)
    return folders


def publish_again(
    root: Path, manifests: Mapping[str, Manifest], extras: Sequence[ExtraFiles]
) -> list[Path]:
    """Write all that stands beside the artifacts again; the artifacts stay as they are.

    Args:
        manifests: platform -> what the folder's manifest is to say, its `files` aside.
        extras: as `publish`.

    Raises:
        BadInput: `root` cannot be written.
    """
    folders = [root / FOLDERS[platform] for platform in manifests]
    with ExitStack() as stack:
        for folder, (platform, manifest) in zip(folders, manifests.items(), strict=True):
            staging = stack.enter_context(staged_folder(folder))
            artifacts = [folder / artifact.path for artifact in manifest.artifacts]
            _fill(staging, platform, replace(manifest, files=()), artifacts, extras)
    return folders


def _fill(
    staging: Path,
    platform: str,
    manifest: Manifest,
    artifacts: Sequence[Path],
    extras: Sequence[ExtraFiles],
) -> None:
    for artifact in artifacts:
        _copy(artifact, staging / artifact.name)
    names = {artifact.name for artifact in artifacts}
    for extra in extras:
        _add(staging, extra(platform, manifest), names)
    beside = [entry.path for entry in _beside(staging, names)]
    _add(staging, own_files(platform, manifest, beside), names)
    write_manifest(staging, replace(manifest, files=_beside(staging, names)))


def _refuse_foreign_folder(folder: Path) -> None:
    foreign = (
        f"{folder} has no {MANIFEST_FILE}, so it is not ours to replace; move it away or "
        "give another --out"
    )
    refuse_foreign(folder, lambda names: "" if MANIFEST_FILE in names else foreign)


def own_files(platform: str, manifest: Manifest, beside: Sequence[str]) -> dict[str, bytes]:
    """The labels and the README of an asset folder, which has the files `beside` them."""
    labels = "".join(f"{label}\n" for label in manifest.model.labels)
    readme = asset_readme(platform, manifest, beside)
    return {LABELS_FILE: labels.encode(), README_FILE: readme.encode()}


def _add(folder: Path, files: Mapping[str, bytes], artifacts: set[str]) -> None:
    for path, content in files.items():
        target = folder / path
        fault = unsafe(path)
        if path in (MANIFEST_FILE, SUM_FILE) or target.exists():
            fault = fault or "is there already"
        if path.split("/")[0] in artifacts:
            fault = fault or "lies in an artifact"
        if fault:
            raise ValueError(f"file {path!r} for {folder.name} {fault}")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)


def _beside(folder: Path, artifacts: set[str]) -> tuple[FileEntry, ...]:
    """Every file that belongs to none of the artifacts, sorted by path."""
    names = [path.name for path in folder.iterdir() if path.name not in artifacts]
    entries = [entry for name in names for entry in file_entries(folder, name)]
    return tuple(sorted(entries, key=lambda entry: entry.path))


def _copy(source: Path, target: Path) -> None:
    if source.is_dir():
        shutil.copytree(source, target)
    else:
        shutil.copy(source, target)
