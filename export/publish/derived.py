"""What a published folder says is derived again: from the checkpoint, and from its own files.

In: an asset folder whose files have the hashes of its manifest. Out: what differs from what would
be published today. A hash shows that a file is the one that was listed; it does not show that
whoever listed it was right. Figures that were measured (parity, accuracy, latency, zipped sizes,
versions of tools) are taken as they stand, as far as they do not contradict each other.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import zip_longest
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Final

from export.formats.register import FORMATS
from export.packages import package_code
from export.packages.folder_readme import OPERATORS_FILE, TYPES_FILE
from export.publish.assets import own_files
from export.publish.build_manifest import model_entry, tool_versions
from export.publish.examples import example_files
from pipeline.json_files import differences, excerpt, plain

if TYPE_CHECKING:
    from export.formats.description import Description
    from export.manifest.manifest import ArtifactEntry, Manifest
    from export.parity.entries import ParityEntry
    from pipeline.checkpoint import Checkpoint

RUNTIME: Final = "onnxruntime"
WAY_OUT: Final = "export again, or `python -m export refresh`"


def derived_entry(
    entry: ArtifactEntry, description: Description, checkpoint_sha256: str
) -> ArtifactEntry:
    """The entry of an artifact with all that follows from elsewhere, and its figures as they are.

    Args:
        entry: of the manifest.
        description: what the file says of itself.
        checkpoint_sha256: of the variant that it should be made of.
    """
    facts = FORMATS[entry.format]
    tolerance = facts.precisions[entry.precision].tolerance if entry.parity.tolerance else None
    return replace(
        entry,
        size_bytes=sum(file.size_bytes for file in entry.files),
        inputs=description.inputs,
        outputs=description.outputs,
        requires=description.requires,
        checkpoint_sha256=checkpoint_sha256,
        parity=replace(entry.parity, tolerance=tolerance),
        session=facts.session,
    )


def entry_faults(
    entry: ArtifactEntry, description: Description, checkpoint_sha256: str
) -> Iterator[str]:
    """Where an entry is not its `derived_entry`, or its figures cannot all be true."""
    where = f"{entry.format} {entry.precision}"
    derived = derived_entry(entry, description, checkpoint_sha256)
    yield from differences(plain(entry), plain(derived), where)
    yield from _contradictions(entry.parity, where)


def folder_faults(
    platform: str,
    folder: Path,
    manifest: Manifest,
    checkpoint: Checkpoint,
    sound: Sequence[ArtifactEntry],
) -> Iterator[str]:
    """Where manifest and generated files of a folder are not what they would be today.

    Args:
        platform: key in `export.publish.assets.FOLDERS`.
        manifest: of the folder; it lists its files.
        checkpoint: the one that it names.
        sound: artifacts whose files can be read.
    """
    model = model_entry(checkpoint.spec, checkpoint.sha256)
    yield from differences(plain(manifest.model), plain(model), "model")
    bare = replace(manifest, model=model, files=())
    files = package_code(platform, bare)
    if platform == "web":
        files |= example_files(checkpoint)
    configs = _operator_configs(folder, manifest, sound)
    listed = {entry.path for entry in manifest.files}
    beside = sorted(listed - own_files(platform, bare, ()).keys())
    files |= own_files(platform, bare, beside)
    for path in sorted(files):
        if path not in listed:
            yield f"{path}, which is published with such a model, is missing; {WAY_OUT}"
        elif (folder / path).read_bytes() != files[path]:
            where = _first_line(folder / path, files[path])
            yield f"{path} is not what is generated for this model{where}"
    for path, lacking in configs.items():
        if lacking:
            yield f"{path} lacks {lacking}, which the published files need; {WAY_OUT}"
    known = files.keys() | {OPERATORS_FILE, TYPES_FILE}
    for path in sorted(listed - known):
        if not path.startswith("golden/"):  # `export.golden.replay` looks at these
            yield f"{path} belongs to nothing that is published"


def _contradictions(parity: ParityEntry, where: str) -> Iterator[str]:
    """Figures of the parity check that cannot all be true."""
    of_sets = list(parity.sets.values())
    if of_sets and parity.images != (counted := sum(one.images for one in of_sets)):
        yield f"{where}.parity.images is {parity.images}; its sets have {counted}"
    largest = [one.max_abs_diff for one in of_sets if one.max_abs_diff is not None]
    if largest and parity.max_abs_diff != max(largest):
        yield (
            f"{where}.parity.max_abs_diff is {parity.max_abs_diff}; the largest of its sets is "
            f"{max(largest)}"
        )
    flips = [one.label_flips for one in of_sets if one.label_flips is not None]
    if flips and parity.label_flips != sum(flips):
        yield f"{where}.parity.label_flips is {parity.label_flips}; its sets have {sum(flips)}"


def _operator_configs(
    folder: Path, manifest: Manifest, sound: Sequence[ArtifactEntry]
) -> dict[str, str]:
    """Path -> operators and types that are needed here and that it does not list.

    Another processor may need fewer, so more than is needed is no fault; another version of the
    runtime needs others, so that nothing can be said then.
    """
    if manifest.tools.get(RUNTIME) != tool_versions().get(RUNTIME):
        return {}
    from export.publish.reduced_build import operator_configs

    models = [folder / a.path for a in sound if FORMATS[a.format].runtime == RUNTIME]
    with TemporaryDirectory() as optimised:
        configs = operator_configs(models, Path(optimised))
    listed = {entry.path for entry in manifest.files}
    return {
        path: _lacking(_operators((folder / path).read_text()), _operators(content.decode()))
        if path in listed
        else "what it should hold"
        for path, content in configs.items()
    }


def _operators(text: str) -> dict[str, Any]:
    """The lines ``domain;version;Name{types},Name`` -> place -> types."""
    found: dict[str, Any] = {}
    for line in text.splitlines():
        if line.startswith("#") or line.count(";") < 2:
            continue
        domain, version, rest = line.split(";", 2)
        while rest:
            name = re.split(r"[{,]", rest, maxsplit=1)[0]
            rest = rest[len(name) :]
            types: dict[str, Any] = {}
            if rest.startswith("{"):
                types, end = json.JSONDecoder().raw_decode(rest)
                rest = rest[end:]
            found[f"{domain} {version} {name}"] = types
            rest = rest.removeprefix(",")
    return found


def _lacking(said: Mapping[str, Any], needed: Mapping[str, Any]) -> str:
    """The first operator or type that is needed and not listed; empty: there is none."""
    for operator, types in needed.items():
        if operator not in said:
            return operator
        for side, places in types.items() if said[operator] else ():  # without any: all types
            for place, names in places.items():
                for name in names:
                    if name not in said[operator].get(side, {}).get(place, ()):
                        return f"{name} of {operator}"
    return ""


def _first_line(path: Path, content: bytes) -> str:
    """Where a generated text differs first, and how."""
    try:
        said = path.read_text(encoding="utf-8").splitlines()
    except UnicodeDecodeError:
        return ""
    for number, (one, other) in enumerate(zip_longest(said, content.decode().splitlines()), 1):
        if one != other:
            return f": line {number} is {excerpt(one)}, not {excerpt(other)}"
    return ""
