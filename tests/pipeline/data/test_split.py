"""A checkpoint's images are split as they were for its training."""

from __future__ import annotations

import inspect

from pipeline.config import TrainConfig
from pipeline.data.dataset import read_dataset
from pipeline.data.split import Split, split_of
from tests.conftest import make_spec


def test_the_split_is_that_of_the_training() -> None:
    training = {"seed": 7, "valid_fraction": 0.1}
    spec = make_spec(training=training, data={"group_column": "scene"})
    assert split_of(spec) == Split(7, 0.1, "scene")


def test_what_a_checkpoint_does_not_say_is_the_recipes_own() -> None:
    recipe = TrainConfig()
    assert split_of(make_spec()) == Split(recipe.seed, recipe.valid_fraction, None)
    defaults = {
        name: parameter.default
        for name, parameter in inspect.signature(read_dataset).parameters.items()
        if parameter.kind is inspect.Parameter.KEYWORD_ONLY
    }
    assert Split(**defaults) == Split()
