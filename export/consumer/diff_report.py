"""The comparison of two manifests as Markdown for a pull request, and as JSON for programs."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict

from export.consumer.diff import Change
from export.verify import ManifestDocument
from pipeline.terminal.markdown import shown


def to_markdown(old: ManifestDocument, new: ManifestDocument, changes: Sequence[Change]) -> str:
    """First what breaks apps, each with what to do; then a table of the rest."""
    before, after = old["model"], new["model"]
    lines = [
        f"## {_cell(before['name'])} {_cell(before['version'])} → "
        f"{_cell(after['name'])} {_cell(after['version'])}",
        "",
        _summary(old, new, changes),
        "",
    ]
    breaking = [change for change in changes if change.breaking]
    rest = [change for change in changes if not change.breaking]
    if breaking:
        lines += [
            "### What breaks apps",
            "",
            "| subject | what | old | new | what an app must do |",
            "| --- | --- | --- | --- | --- |",
        ]
        for change in breaking:
            action = f"{change.action} ({change.note})" if change.note else change.action
            lines.append(f"{_row(change)} {_cell(action)} |")
        lines.append("")
    if rest:
        lines += [
            "### What else changes",
            "",
            "| subject | what | old | new | |",
            "| --- | --- | --- | --- | --- |",
        ]
        lines += [f"{_row(change)} {_cell(change.note)} |" for change in rest]
        lines.append("")
    return "\n".join(lines)


def to_json(old: ManifestDocument, new: ManifestDocument, changes: Sequence[Change]) -> str:
    """The comparison for programs: sorted, with the raw values."""
    document = {
        "old": _identity(old),
        "new": _identity(new),
        "breaking": sum(change.breaking for change in changes),
        "changes": [{**asdict(change), "breaking": change.breaking} for change in changes],
    }
    return json.dumps(document, indent=2, sort_keys=True) + "\n"


def _summary(old: ManifestDocument, new: ManifestDocument, changes: Sequence[Change]) -> str:
    if not changes:
        return "No change: the manifests are the same."
    count = sum(change.breaking for change in changes)
    total = [sum(a["size_bytes"] for a in manifest["artifacts"]) for manifest in (old, new)]
    return (
        f"**{count or 'No'} change{'s' * (count != 1)} that break{'s' * (count == 1)} apps**, "
        f"{len(changes) - count} other. Files: {len(old['artifacts'])} of {total[0]:,} bytes → "
        f"{len(new['artifacts'])} of {total[1]:,} bytes."
    )


def _identity(manifest: ManifestDocument) -> dict[str, object]:
    model = manifest["model"]
    return {
        "schema": manifest["schema"],
        "name": model["name"],
        "version": model["version"],
        "checkpoint_sha256": model["checkpoint_sha256"],
    }


def _row(change: Change) -> str:
    values = change.what, _said(change.old), _said(change.new)
    return f"| {change.subject} | " + " | ".join(map(_cell, values)) + " |"


def _said(value: object) -> str:
    """A JSON value for people."""
    if value is None:
        return "none"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, list):
        return ", ".join(map(_said, value)) or "none"
    if isinstance(value, Mapping) and {"value", "low", "high"} <= value.keys():
        return f"{_said(value['value'])} ({_said(value['low'])} to {_said(value['high'])})"
    if isinstance(value, Mapping) and {"name", "dtype", "shape"} <= value.keys():
        return f"{value['name']}: {value['dtype']} ({', '.join(map(str, value['shape']))})"
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {_said(inner)}" for key, inner in value.items())
    return str(value)


def _cell(text: str) -> str:
    """Text as a cell of a table: nothing in it acts as Markdown, HTML or a mention."""
    return shown(text if text.isprintable() else text.encode("unicode_escape").decode("ascii"))
