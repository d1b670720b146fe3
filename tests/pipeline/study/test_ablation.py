from __future__ import annotations

import json
from dataclasses import fields, replace
from pathlib import Path

import pytest

from pipeline.checkpoint import write_checkpoint
from pipeline.config import TrainConfig
from pipeline.errors import BadInput
from pipeline.json_files import plain
from pipeline.models.networks import build_network
from pipeline.study import ablation
from pipeline.study.ablation import RELEASED, VARIANTS, Spread, ablate
from tests.conftest import make_spec

SEEDS = (2, 3)


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch) -> list[tuple[TrainConfig, Path]]:
    """Instead of training: a checkpoint whose AUROC encodes the recipe; returns the requests."""
    asked: list[tuple[TrainConfig, Path]] = []

    def train(config: TrainConfig, data: Path, out: Path, **_: object) -> Path:
        asked.append((config, out))
        training = {f.name: getattr(config, f.name) for f in fields(config)}
        auroc = 0.9 + config.seed / 100 + config.mixup / 10
        spec = make_spec(
            architecture=config.architecture,
            training=training,
            metrics={
                "auroc": {"value": auroc, "low": 0.8, "high": 1.0},
                "calibration_error": 0.05,
            },
        )
        out.mkdir(parents=True)
        write_checkpoint(out, spec, build_network("squeezenet1_1", 2).state_dict())
        return out

    monkeypatch.setattr("pipeline.training.train.train", train)
    return asked


def test_every_variant_is_the_recipe_with_something_changed():
    assert VARIANTS["as released"] == {}
    for name, changes in VARIANTS.items():
        if changes:
            assert replace(RELEASED, **changes) != RELEASED, name


def test_the_recipe_is_trained_with_every_seed_and_a_variant_with_the_first(trained, tmp_path):
    results = ablate(
        tmp_path, SEEDS, tmp_path / "out", ["as released", "mixup 0.4 in place of consistency"]
    )
    assert [(c.seed, c.mixup) for c, _ in trained] == [(2, 0.0), (3, 0.0), (2, 0.4)]
    recipe, mixed = results.rows
    assert recipe.figures["auroc"] == Spread((0.92, 0.93), 0.925, pytest.approx(0.0071, abs=1e-4))
    assert mixed.seeds == (2,)
    assert mixed.figures["auroc"] == Spread((0.96,), 0.96, None)
    assert json.loads((tmp_path / "out" / "ablation.json").read_text()) == plain(results)


def test_what_is_trained_is_not_trained_again_unless_the_recipe_is_another(
    trained, tmp_path, monkeypatch
):
    question = (tmp_path, SEEDS, tmp_path / "out", ["as released"])
    first = ablate(*question)
    assert ablate(*question) == first
    assert len(trained) == 2
    monkeypatch.setattr(ablation, "RELEASED", replace(RELEASED, averaging=0.5))
    with pytest.raises(FileExistsError):  # the stand-in trains: `train` itself replaces the folder
        ablate(*question)


def test_an_unknown_variant_is_refused_with_the_known_ones(tmp_path):
    with pytest.raises(BadInput, match="no variant 'bigger'; there are: as released"):
        ablate(tmp_path, SEEDS, tmp_path / "out", ["bigger"])
