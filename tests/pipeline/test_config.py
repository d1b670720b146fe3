from __future__ import annotations

from dataclasses import FrozenInstanceError, fields

import pytest

from pipeline.architecture_names import ARCHITECTURES
from pipeline.config import PRESETS, TrainConfig
from pipeline.errors import BadInput
from pipeline.models.networks import NETWORKS
from pipeline.resize.rule import Resize

LIMITS = {
    "averaging": (0, 0.9999),
    "mixup": (0, 10),
    "label_smoothing": (0, 0.9),
    "crop": (0.05, 1),
    "least_recall": (0, 1),
    "side": (32, 1024),
    "batch_size": (1, 4096),
    "valid_fraction": (0.05, 0.5),
    "frozen_epochs": (0, 10_000),
    "finetune_epochs": (0, 10_000),
    "frozen_lr": (0, 10),
    "finetune_lr": (0, 10),
    "seed": (0, 2**32 - 1),
    "threads": (0, 1024),
}


@pytest.mark.parametrize("name", LIMITS)
def test_the_ends_of_a_limit_are_allowed(name):
    for value in LIMITS[name]:
        assert getattr(TrainConfig(**{name: value}), name) == value


@pytest.mark.parametrize("name", LIMITS)
def test_what_lies_beyond_a_limit_is_refused_with_its_name_and_value(name):
    low, high = LIMITS[name]
    step = 1 if isinstance(low, int) else 0.01
    for value in (low - step, high + step):
        with pytest.raises(BadInput, match=rf"{name} {value} is not between {low} and {high}"):
            TrainConfig(**{name: value})


@pytest.mark.parametrize("side", [(31, 64), (64, 1025)])
def test_each_side_of_a_rectangle_has_the_limits_of_a_square(side):
    with pytest.raises(BadInput, match=r"of the side (31|1025) is not between 32 and 1024"):
        TrainConfig(side=side)


def test_the_rule_has_the_method_and_the_height_and_width():
    assert TrainConfig().rule == Resize(224, 224)
    assert TrainConfig(side=(64, 96), resize="pad:zeros").rule == Resize(64, 96, "pad", "zeros")


def test_an_unknown_resize_is_refused():
    with pytest.raises(BadInput, match="resize 'stretch' is not one of squish, crop, pad"):
        TrainConfig(resize="stretch")


@pytest.mark.parametrize("name", ["valid_fraction", "frozen_lr", "finetune_lr"])
def test_not_a_number_is_refused(name):
    with pytest.raises(BadInput, match=name):
        TrainConfig(**{name: float("nan")})


def test_no_epochs_at_all_are_refused():
    with pytest.raises(BadInput, match="no epochs"):
        TrainConfig(frozen_epochs=0, finetune_epochs=0)


def test_a_recipe_cannot_be_changed_once_made():
    with pytest.raises(FrozenInstanceError):
        TrainConfig().seed = 3


def test_presets_hold_only_their_differences():
    default = TrainConfig()
    assert PRESETS["paper"] == {}
    for differences in PRESETS.values():
        assert differences.keys() <= {f.name for f in fields(TrainConfig)}
        for name, value in differences.items():
            assert value != getattr(default, name), name


@pytest.mark.parametrize("preset", PRESETS)
def test_every_preset_is_a_recipe(preset):
    recipe = TrainConfig(**PRESETS[preset])
    for name, value in PRESETS[preset].items():
        assert getattr(recipe, name) == value


def test_quick_is_quicker_than_the_default():
    quick, default = TrainConfig(**PRESETS["quick"]), TrainConfig()
    assert quick.frozen_epochs + quick.finetune_epochs < (
        default.frozen_epochs + default.finetune_epochs
    )


def test_an_unknown_arithmetic_is_refused_with_the_known_ones():
    with pytest.raises(BadInput, match="'fp8' is not one of auto, fp32, bf16"):
        TrainConfig(arithmetic="fp8")


def test_the_architectures_are_those_that_can_be_built():
    assert ARCHITECTURES == NETWORKS
    with pytest.raises(BadInput, match="unknown architecture 'resnet9000'"):
        TrainConfig(architecture="resnet9000")
