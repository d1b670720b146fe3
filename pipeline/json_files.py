"""JSON files: read with one kind of error, compared with a schema, written in one form.

In and out: documents as `json` gives them. Sorted and indented, a newline at the end, no NaN: the
same document is the same bytes. Types of documents are in the rooms that own them; `structure`
turns a document into one, `plain` turns it back.
"""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any, Final, TypeAlias, TypeVar

from pipeline.atomic_files import write_text
from pipeline.errors import BadInput

JsonObject: TypeAlias = dict[str, Any]
T = TypeVar("T")
EXCERPT: Final = 70  # characters of a value in a message


def read_json(
    path: Path,
    *,
    what: str,
    way_out: str,
    versions: Collection[int] = (),
    schema: Path | None = None,
) -> JsonObject:
    """The object in `path`, of one of the schema `versions`, valid by the `schema` file.

    Without `versions` the field ``schema`` is not checked, without `schema` nothing is validated (a
    caller that also reads earlier versions calls `validate` after it has brought them up to date).

    Args:
        what: the file's content in a message, such as ``checkpoint``.
        way_out: what a user does about it, such as ``train again``.

    Raises:
        BadInput: no such file, no JSON (NaN, endless nesting and half of a surrogate pair
            included), another version of the schema, or damaged.
    """
    try:
        text = path.read_text(encoding="utf-8")
        document = json.loads(text, parse_constant=_refuse_constant)
        if "\\ud" in text.lower():  # half of a surrogate pair is a string that no file can hold
            json.dumps(document, ensure_ascii=False).encode()
    except OSError as error:
        raise BadInput(f"no {what} at {path}: {error.strerror}; {way_out}") from error
    except (ValueError, RecursionError) as error:
        raise BadInput(f"{path} is not JSON: {error}; {way_out}") from error
    if not isinstance(document, dict):
        raise BadInput(f"{path} is not a JSON object; {way_out}")
    found = document.get("schema")
    if versions and (isinstance(found, bool) or found not in versions):
        known = " and ".join(map(str, sorted(versions)))
        raise BadInput(f"{path} has schema {found!r}, this version reads {known}; {way_out}")
    if schema is not None:
        validate(document, schema, str(path), way_out)
    return document


def validate(document: Mapping[str, object], schema: Path, where: str, way_out: str) -> None:
    """Compare a document with a JSON Schema file.

    Raises:
        BadInput: the first difference, with its place in the document; `where` names the document.
    """
    import jsonschema

    try:
        jsonschema.Draft202012Validator(_schema(schema)).validate(document)
    except jsonschema.ValidationError as error:
        place, said = error.json_path, error.message[:200]
        raise BadInput(f"{where} is damaged at {place}: {said}; {way_out}") from error


def to_json(document: Mapping[str, object]) -> str:
    """The document as text. Raises ValueError for NaN and infinity, which JSON does not have."""
    text = json.dumps(document, indent=2, sort_keys=True, allow_nan=False, ensure_ascii=False)
    return text + "\n"


def write_json(path: Path, document: Mapping[str, object]) -> None:
    """Write `to_json(document)` in one step; the folder is made if it is missing.

    Raises:
        BadInput: the place cannot be written.
    """
    write_text(path, to_json(document))


def structure(document: Mapping[str, object], kind: type[T], where: str, way_out: str) -> T:
    """The document as an object of a dataclass, fields checked by their types.

    Raises:
        BadInput: a field is missing or of another type, named by its place; `where` names the
            document.
    """
    import msgspec

    try:
        return msgspec.convert(document, kind)
    except msgspec.ValidationError as error:
        raise BadInput(f"{where} is damaged: {error}; {way_out}") from error


def plain(value: object) -> JsonObject:
    """A dataclass as a document: tuples are lists, nested dataclasses are objects."""
    import msgspec

    document = _lists(msgspec.to_builtins(value))
    assert isinstance(document, dict)
    return document


def differences(said: object, right: object, where: str) -> Iterator[str]:
    """The places at which two documents differ, with both values; `where` names the documents."""
    if isinstance(said, Mapping) and isinstance(right, Mapping):
        for key in sorted(said.keys() | right.keys()):
            yield from differences(said.get(key), right.get(key), f"{where}.{key}")
    elif said != right:
        yield f"{where} is {excerpt(said)}, not {excerpt(right)}"


def excerpt(value: object) -> str:
    """The beginning of a value, on one line, with nothing that a terminal obeys."""
    if value is None:
        return "nothing"
    text = json.dumps(value.strip() if isinstance(value, str) else value)
    return text if len(text) <= EXCERPT else f"{text[:EXCERPT]}..."


def _lists(value: object) -> object:
    """Lists for the tuples that msgspec leaves, which jsonschema does not take for arrays."""
    if isinstance(value, dict):
        return {key: _lists(item) for key, item in value.items()}
    return [_lists(item) for item in value] if isinstance(value, list | tuple) else value


def finite(document: Mapping[str, object]) -> dict[str, object]:
    """The document with null in place of NaN and infinity: figures that could not be computed."""
    return {key: _finite(value) for key, value in document.items()}


def _finite(value: object) -> object:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return finite(value)
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return value


@cache
def _schema(path: Path) -> JsonObject:
    document = json.loads(path.read_text(encoding="utf-8"))
    assert isinstance(document, dict)
    return document


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not a number in JSON")
