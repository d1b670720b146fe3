from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from pipeline import errors
from pipeline.errors import EXTRAS, BadInput, MissingDependency, UserError, require

PYPROJECT = Path(__file__).parents[2] / "pyproject.toml"


def test_what_is_installed_is_not_missed():
    require("json", "numpy", what="counting")


def test_what_is_missing_is_named_with_the_command_that_installs_it(monkeypatch):
    monkeypatch.setattr(
        errors, "find_spec", lambda name: None if name in ("fastai", "altair") else object()
    )
    with pytest.raises(MissingDependency) as caught:
        require("fastai", "sklearn", "altair", what="training")
    message = str(caught.value)
    assert message.startswith("training needs fastai, altair, not installed here")
    assert ".[report,train]" in message


def test_every_extra_that_a_message_may_name_exists():
    extras = tomllib.loads(PYPROJECT.read_text())["project"]["optional-dependencies"]
    assert set(EXTRAS.values()) <= extras.keys()


def test_every_error_a_user_can_fix_has_one_base():
    assert issubclass(BadInput, UserError)
    assert issubclass(MissingDependency, UserError)
