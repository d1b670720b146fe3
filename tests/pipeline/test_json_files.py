from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import pytest

from pipeline.errors import BadInput
from pipeline.json_files import finite, plain, read_json, structure, to_json, write_json


@dataclass(frozen=True)
class Inner:
    numbers: tuple[int, ...]


@dataclass(frozen=True)
class Outer:
    name: str
    inner: Inner
    share: float | None = None


VALUE = Outer("ä", Inner((1, 2)), 0.5)
DOCUMENT = {"name": "ä", "inner": {"numbers": [1, 2]}, "share": 0.5}


def read(path: Path) -> dict[str, object]:
    return read_json(path, what="list", way_out="write it again", versions=(1, 2))


def test_a_dataclass_becomes_a_document_of_lists_and_comes_back_equal() -> None:
    assert plain(VALUE) == DOCUMENT
    assert structure(DOCUMENT, Outer, "x.json", "write it again") == VALUE


def test_a_field_of_another_type_is_named_by_its_place() -> None:
    broken = {**DOCUMENT, "inner": {"numbers": [1, "two"]}}
    with pytest.raises(BadInput, match=r"x\.json is damaged: .*inner\.numbers.*; write it again"):
        structure(broken, Outer, "x.json", "write it again")


def test_what_is_written_is_sorted_and_indented_and_ends_with_a_newline(tmp_path: Path) -> None:
    write_json(tmp_path / "x.json", DOCUMENT)
    text = (tmp_path / "x.json").read_text(encoding="utf-8")
    assert text == json.dumps(DOCUMENT, indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def test_json_has_no_nan_but_null() -> None:
    document = {"a": float("nan"), "b": {"c": [1.5, float("inf"), (2,)]}, "d": "nan"}
    with pytest.raises(ValueError, match="JSON compliant"):
        to_json(document)
    assert finite(document) == {"a": None, "b": {"c": [1.5, None, [2]]}, "d": "nan"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "no list at .*: No such file or directory; write it again"),
        ("{", r"x\.json is not JSON: .*; write it again"),
        ('{"schema": NaN}', r"x\.json is not JSON: NaN is not a number"),
        ("[]", r"x\.json is not a JSON object; write it again"),
        ('{"schema": 3}', r"has schema 3, this version reads 1 and 2; write it again"),
        ('{"schema": true}', "has schema True"),
    ],
)
def test_what_cannot_be_read_is_refused_with_the_way_out(
    text: str | None, message: str, tmp_path: Path
) -> None:
    if text is not None:
        (tmp_path / "x.json").write_text(text)
    with pytest.raises(BadInput, match=message):
        read(tmp_path / "x.json")


def test_half_of_a_surrogate_pair_is_refused_and_a_whole_pair_is_read(tmp_path: Path) -> None:
    (tmp_path / "half.json").write_text('{"schema": 1, "name": "\\ud800"}')
    with pytest.raises(BadInput, match=r"is not JSON: .*surrogates not allowed; write it again"):
        read(tmp_path / "half.json")
    (tmp_path / "pair.json").write_text('{"schema": 1, "name": "\\uD83D\\uDE00"}')
    assert read(tmp_path / "pair.json")["name"] == "\U0001f600"
