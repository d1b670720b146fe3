"""``python -m export diff OLD NEW``: what a release of the assets changes, and what breaks apps.

In: two manifests, read from asset folders or given as files, of any known schema. Out: a `Change`
for each thing that differs. Files are not read: `export.verify` compares them with their manifest.

A change breaks apps if an app that was written for OLD and takes NEW unchanged would fail to load
it, feed it wrongly, or read its output wrongly.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeVar

from export.formats.register import FORMATS
from export.verify import (
    MANIFEST_FILE,
    ArtifactDocument,
    CannotCheck,
    ManifestDocument,
    PortDocument,
    RejectedDocument,
    by_top,
    load_manifest,
)
from pipeline.errors import BadInput

DESCRIPTION: Final = """\
Compare two asset folders, or two manifests, for a pull request: labels, input, output, decision,
oldest runtimes, files, sizes, latency, accuracy, agreement, identity. Markdown on stdout, breaking
changes first, each with what an app must do.
"""
EPILOG: Final = """\
exit codes: 0 no change breaks apps, 1 one does, 2 one of the two cannot be read
"""
# Versions that a file is written in. The other keys of `requires` say which runtime reads them;
# these count only where there are no others.
FILE_VERSIONS: Final = ("opset", "ir_version", "ort_format", "bytecode", "specification_version")
OPERATORS: Final = "operators"
# Figures of `accuracy` and `parity` that are compared.
ACCURACY: Final = ("source", "images", "auroc", "recall", "label_flips", "accepted")
AGREEMENT: Final = ("status", "images", "max_abs_diff", "label_flips")
INPUT_ACTIONS: Final = {
    "name": "Feed the input by its new name.",
    "dtype": "Feed pixels of the new type.",
    "layout": "Rearrange the pixels to the new layout.",
    "channels": "Put the channels in the new order.",
    "width": "Resize images to the new size.",
    "height": "Resize images to the new size.",
}
LAYOUT_ACTIONS: Final = {
    (
        2,
        3,
    ): "Take the new verify.py. A reader of manifest.json that insists on schema 2 must accept 3, "
    "which only adds `files` and `zipped_bytes`.",
}
TUPLE_ACTION: Final = (
    "Take the first element of the tuple that the file now returns; it used to return one tensor."
)
FOR_PEOPLE: Final = ("README.md", "golden")  # no app stops working without them
T = TypeVar("T")


@dataclass(frozen=True)
class Change:
    """One thing that differs.

    Attributes:
        subject: what it is about; one of `SUBJECTS`.
        what: the field, or the artifacts and the field.
        old, new: JSON values; None: not there, or not stated.
        action: what an app must do; empty unless the change breaks apps.
        note: anything else to know.
    """

    subject: str
    what: str
    old: object
    new: object
    action: str = ""
    note: str = ""

    @property
    def breaking(self) -> bool:
        """Whether an app written for the old assets breaks."""
        return bool(self.action)


def read(path: Path) -> ManifestDocument:
    """The manifest of an asset folder, or the one in the file `path`.

    Raises:
        BadInput: none there, none of a known schema, or a format and precision listed twice.
    """
    try:
        document, _ = load_manifest(path / MANIFEST_FILE if path.is_dir() else path)
    except CannotCheck as error:
        raise BadInput(str(error)) from error
    keys = [_key(artifact) for artifact in document["artifacts"]]
    twice = sorted({key for key in keys if keys.count(key) > 1})
    if twice:
        raise BadInput(f"{path} lists {', '.join(twice)} twice; it is unclear which one to compare")
    return document


def compare(old: ManifestDocument, new: ManifestDocument) -> tuple[Change, ...]:
    """All changes, by subject in the order of `SUBJECTS`; empty: none."""
    changes = tuple(change for compared in SUBJECTS.values() for change in compared(old, new))
    if not changes and old != new:
        return (Change("other", "fields that are not compared", "", ", ".join(_paths(old, new))),)
    return changes


def _layout(old: ManifestDocument, new: ManifestDocument) -> Iterator[Change]:
    action = LAYOUT_ACTIONS.get(
        (old["schema"], new["schema"]), "Read manifest.json by its new schema (docs/manifest.md)."
    )
    yield from _differing("layout", "schema", old["schema"], new["schema"], action)


def _labels(old: ManifestDocument, new: ManifestDocument) -> Iterator[Change]:
    labels = old["model"]["labels"], new["model"]["labels"]
    same = sorted(labels[0]) == sorted(labels[1])
    action = (
        "Read the new labels.txt: each output now belongs to another label."
        if same
        else "Read the new labels.txt, and decide what the app does with each label."
    )
    yield from _differing("labels", "labels, in the order of the outputs", *labels, action)


def _input(old: ManifestDocument, new: ManifestDocument) -> Iterator[Change]:
    before, after = dict(old["model"]["input"]), dict(new["model"]["input"])
    resize = _object(before.pop("resize")), _object(after.pop("resize"))
    for name in _union(before, after):
        action = INPUT_ACTIONS.get(name, "Prepare the input by the new rule.")
        yield from _differing("input", name, before.get(name), after.get(name), action)
    for name in _union(*resize):
        action = "Resize by the new rule; the old one gives other outputs."
        what = f"resize, {name}"
        yield from _differing("input", what, resize[0].get(name), resize[1].get(name), action)
    for names, was, now in _by_artifact(old, new, lambda artifact: artifact["inputs"]):
        yield Change("input", names, was, now, "Feed the file the input that it now takes.")


def _output(old: ManifestDocument, new: ManifestDocument) -> Iterator[Change]:
    """An output added after the old ones breaks nothing: only code that asks for it gets it."""

    def outputs(artifact: ArtifactDocument) -> tuple[bool, list[PortDocument]]:
        ports = artifact["outputs"]
        facts = FORMATS.get(artifact["format"])
        return facts is not None and facts.returns_tuple and len(ports) > 1, ports

    for names, (was_tuple, was), (is_tuple, now) in _by_artifact(old, new, outputs):
        if now[: len(was)] != was:
            yield Change("output", names, was, now, "Read the output as the file now gives it.")
        elif is_tuple and not was_tuple:
            yield Change("output", names, was, now, TUPLE_ACTION)
        else:
            added = ", ".join(str(port["name"]) for port in now[len(was) :])
            note = f"{added} is new; the other outputs are unchanged"
            yield Change("output", names, was, now, note=note)


def _decision(old: ManifestDocument, new: ManifestDocument) -> Iterator[Change]:
    before, after = old["model"], new["model"]
    action = "Compare the threshold with the probability of the new label."
    yield from _differing("decision", "positive", before["positive"], after["positive"], action)
    was, now = before["threshold"], after["threshold"]
    if (was is None) != (now is None):
        action = (
            "Decide by the most probable label; there is no threshold any more."
            if now is None
            else "Decide by the threshold, no longer by the most probable label."
        )
        yield Change("decision", "threshold", was, now, action)
    elif was != now:
        note = "an app that stores the number itself must take the new one"
        yield Change("decision", "threshold", was, now, note=note)


def _requirements(old: ManifestDocument, new: ManifestDocument) -> Iterator[Change]:
    shared = [(before["requires"], after["requires"]) for _, before, after in _shared(old, new)]
    for name in _union(*(requires for pair in shared for requires in pair)):
        if name == OPERATORS:
            yield from _operators(old, new)
            continue
        for names, (was, _), (now, stated) in _by_artifact(old, new, _required(name)):
            if was == now:
                continue
            action = ""
            if now is None and not stated:
                action = "Test on the oldest runtime that the app supports: none is stated now."
            elif _is_newer(was, now) and (name not in FILE_VERSIONS or not stated):
                action = f"Raise the app's least {name} to {now}, or stay with the old file."
            yield Change("requirements", f"{names}: {name}", was, now, action)


def _operators(old: ManifestDocument, new: ManifestDocument) -> Iterator[Change]:
    for names, was, now in _by_artifact(old, new, lambda a: a["requires"].get(OPERATORS)):
        before, after = (
            {o.strip() for o in str(v or "").split(",") if o.strip()} for v in (was, now)
        )
        note = "matters to runtimes that were built with chosen operators only"
        what = f"{names}: operators no longer used, newly used"
        yield Change(
            "requirements", what, sorted(before - after), sorted(after - before), note=note
        )


def _files(old: ManifestDocument, new: ManifestDocument) -> Iterator[Change]:
    before, after = _artifacts(old), _artifacts(new)
    rejected = _rejections(new)
    for key in [key for key in before if key not in after]:
        note = f"not published: {rejected[key]}" if key in rejected else ""
        path = before[key]["path"]
        yield Change("files", key, path, None, "Load another file, or stay with the old.", note)
    for key in [key for key in after if key not in before]:
        yield Change("files", key, None, after[key]["path"])
    for key in [k for k in rejected if k not in before and k not in _rejections(old)]:
        yield Change("files", key, None, None, note=f"not published: {rejected[key]}")
    for names, was, now in _by_artifact(old, new, lambda artifact: artifact["path"]):
        yield Change("files", names, was, now, "Load the file by its new name.")
    contents = [
        key
        for key, was, now in _shared(old, new)
        if {f["sha256"] for f in was["files"]} != {f["sha256"] for f in now["files"]}
    ]
    if contents:
        yield Change("files", "with new contents", "", ", ".join(contents))
    yield from _files_beside(old, new)


def _files_beside(old: ManifestDocument, new: ManifestDocument) -> Iterator[Change]:
    """The files that belong to no artifact: labels, generated code, golden pack."""
    before, after = (
        {entry["path"]: entry["sha256"] for entry in manifest.get("files", ())}
        for manifest in (old, new)
    )
    if not before or not after:
        note = "schema 2 does not list them"
        was, now = ", ".join(by_top([*before])), ", ".join(by_top([*after]))
        yield from _differing("files", "next to the artifacts", was, now, note=note)
        return
    gone = [path for path in before if path not in after]
    needed = [path for path in gone if path.split("/")[0] not in FOR_PEOPLE]
    others = [path for path in gone if path not in needed]
    added = [path for path in after if path not in before]
    contents = [path for path in after if path in before and before[path] != after[path]]
    if needed:
        action = "Stop using these, or stay with the old release."
        yield Change("files", "next to the artifacts, gone", ", ".join(needed), None, action)
    if others:
        yield Change("files", "next to the artifacts, gone", ", ".join(by_top(others)), None)
    if added:
        yield Change("files", "next to the artifacts, added", None, ", ".join(by_top(added)))
    if contents:
        what = "next to the artifacts, with new contents"
        yield Change("files", what, "", ", ".join(by_top(contents)))


def _sizes(old: ManifestDocument, new: ManifestDocument) -> Iterator[Change]:
    for key, before, after in _shared(old, new):
        was, now = before["size_bytes"], after["size_bytes"]
        if was != now:
            yield Change("size", f"{key}: bytes", was, now, note=f"{now / was - 1:+.1%}")
        zipped = before.get("zipped_bytes"), after.get("zipped_bytes")
        if zipped[0] and zipped[1] and zipped[0] != zipped[1]:  # schema 2 does not have them
            note = f"{zipped[1] / zipped[0] - 1:+.1%}"
            yield Change("size", f"{key}: bytes zipped", *zipped, note=note)


def _latency(old: ManifestDocument, new: ManifestDocument) -> Iterator[Change]:
    for key, before, after in _shared(old, new):
        times = before["latency_ms"] or {}, after["latency_ms"] or {}
        machines = times[0].get("machine"), times[1].get("machine")
        note = "on another machine" if None not in machines and machines[0] != machines[1] else ""
        was, now = map(_medians, times)
        for count in _union(was, now):
            what = f"{key}: median ms, {count} thread{'s' * (count != '1')}"
            yield from _differing("latency", what, was.get(count), now.get(count), note=note)


def _accuracy(old: ManifestDocument, new: ManifestDocument) -> Iterator[Change]:
    metrics = old["model"]["metrics"], new["model"]["metrics"]
    for name in _union(*metrics):
        what = f"model: {name}"
        yield from _differing("accuracy", what, metrics[0].get(name), metrics[1].get(name))
    for key, before, after in _shared(old, new):
        figures = _object(before.get("accuracy")), _object(after.get("accuracy"))
        for name in ACCURACY:
            was, now = (figure.get(name) for figure in figures)
            yield from _differing("accuracy", f"{key}: {name}", was, now)


def _agreement(old: ManifestDocument, new: ManifestDocument) -> Iterator[Change]:
    for key, before, after in _shared(old, new):
        was, now = _object(before["parity"]), _object(after["parity"])
        for name in AGREEMENT:
            note = after["parity"]["reason"] if name == "status" else ""
            yield from _differing("agreement", f"{key}: {name}", was[name], now[name], note=note)
        allowed = _object(was["tolerance"]), _object(now["tolerance"])
        for name in _union(*allowed):
            if name != "reason":
                what = f"{key}: allowed {name}"
                yield from _differing("agreement", what, allowed[0].get(name), allowed[1].get(name))


def _session(old: ManifestDocument, new: ManifestDocument) -> Iterator[Change]:
    for names, was, now in _by_artifact(old, new, lambda artifact: artifact.get("session")):
        note = "set these in the runtime; the outputs do not depend on them"
        yield Change("session", names, was, now, note=note)


def _identity(old: ManifestDocument, new: ManifestDocument) -> Iterator[Change]:
    before, after = old["model"], new["model"]
    fields = _object(before), _object(after)
    for name in ("name", "version", "architecture", "intended_use"):
        yield from _differing("identity", name, fields[0][name], fields[1][name])
    same = "though the version is the same" if before["version"] == after["version"] else ""
    hashes = before["checkpoint_sha256"], after["checkpoint_sha256"]
    yield from _differing("identity", "checkpoint_sha256", *hashes, note=same)
    for names, was, now in _by_artifact(old, new, lambda a: a.get("checkpoint_sha256")):
        if was and now and (was, now) != hashes:
            yield Change("identity", f"{names}: checkpoint_sha256", was, now)
    for tool in _union(old["tools"], new["tools"]):
        yield from _differing("identity", tool, old["tools"].get(tool), new["tools"].get(tool))


# In the order in which they are reported.
SUBJECTS: Final[Mapping[str, Callable[[ManifestDocument, ManifestDocument], Iterator[Change]]]] = {
    "labels": _labels,
    "input": _input,
    "output": _output,
    "decision": _decision,
    "requirements": _requirements,
    "files": _files,
    "layout": _layout,
    "size": _sizes,
    "latency": _latency,
    "accuracy": _accuracy,
    "agreement": _agreement,
    "session": _session,
    "identity": _identity,
}


def _differing(
    subject: str, what: str, old: object, new: object, action: str = "", note: str = ""
) -> Iterator[Change]:
    if old != new:
        yield Change(subject, what, old, new, action, note)


def _key(artifact: ArtifactDocument | RejectedDocument) -> str:
    return f"{artifact['format']} {artifact['precision']}"


def _artifacts(manifest: ManifestDocument) -> dict[str, ArtifactDocument]:
    return {_key(artifact): artifact for artifact in manifest["artifacts"]}


def _rejections(manifest: ManifestDocument) -> dict[str, str]:
    """What was made and not published -> why."""
    listed = manifest.get("rejected", ())
    return {_key(entry): "; ".join(entry["accuracy"]["broken_limits"]) for entry in listed}


def _shared(
    old: ManifestDocument, new: ManifestDocument
) -> list[tuple[str, ArtifactDocument, ArtifactDocument]]:
    """The artifacts in both, in the order of the new."""
    before = _artifacts(old)
    return [(key, before[key], now) for key, now in _artifacts(new).items() if key in before]


def _by_artifact(
    old: ManifestDocument, new: ManifestDocument, value: Callable[[ArtifactDocument], T]
) -> Iterator[tuple[str, T, T]]:
    """(artifacts, old, new) where a value differs: one for all artifacts that change alike."""
    groups: dict[str, list[str]] = {}
    pairs = {}
    shared = _shared(old, new)
    for key, before, after in shared:
        was, now = value(before), value(after)
        if was != now:
            group = json.dumps([was, now], sort_keys=True)
            groups.setdefault(group, []).append(key)
            pairs[group] = (was, now)
    for group, keys in groups.items():
        names = "all files" if len(keys) == len(shared) > 1 else ", ".join(keys)
        yield names, *pairs[group]


def _medians(latency: Mapping[str, object]) -> dict[str, object]:
    """Median by thread count, where stated: the schema leaves this open."""
    timed = _object(latency.get("threads")).items()
    return {count: times.get("median") for count, times in timed if isinstance(times, dict)}


def _required(name: str) -> Callable[[ArtifactDocument], tuple[str | int | None, bool]]:
    """A version that an artifact requires, and whether it states any least runtime."""

    def required(artifact: ArtifactDocument) -> tuple[str | int | None, bool]:
        requires = artifact["requires"]
        least = any(key not in (*FILE_VERSIONS, OPERATORS) for key in requires)
        return requires.get(name), least

    return required


def _is_newer(old: str | int | None, new: str | int | None) -> bool:
    """Whether `new` is above `old`; a version that cannot be ordered counts as above."""
    if old is None or new is None:
        return new is not None
    versions = []
    for value in (str(old), str(new)):
        if re.fullmatch(r"\d+(\.\d+)*", value) is None:
            return True
        parts = [int(part) for part in value.split(".")]
        while parts and parts[-1] == 0:  # 16.0 is 16
            parts.pop()
        versions.append(parts)
    return versions[1] > versions[0]


def _object(value: object) -> Mapping[str, object]:
    """A JSON object as a mapping; empty for null."""
    return value if isinstance(value, dict) else {}


def _union(*mappings: Mapping[str, object]) -> list[str]:
    """The keys of all, each once, in order of appearance."""
    return list(dict.fromkeys(key for mapping in mappings for key in mapping))


def _paths(old: object, new: object, where: str = "") -> Iterator[str]:
    """The places where two JSON values differ."""
    if isinstance(old, dict) and isinstance(new, dict):
        for key in _union(old, new):
            yield from _paths(old.get(key), new.get(key), f"{where}.{key}".lstrip("."))
    elif isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        for index, (was, now) in enumerate(zip(old, new, strict=True)):
            yield from _paths(was, now, f"{where}[{index}]")
    elif old != new:
        yield where
