"""A model of one channel gets its very input from the three channels of a grey picture."""

from __future__ import annotations

import numpy as np
import torch
from PIL import Image
from torch import nn

from pipeline.adopt.any_learner.grey import FromColours, is_grey, state_of_colours


def model_of_grey() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.Flatten(), nn.Linear(1024, 2)).eval()


def test_a_picture_that_is_grey_gives_the_models_own_answer() -> None:
    model = model_of_grey()
    grey = torch.rand(2, 1, 16, 16)
    with torch.no_grad():
        assert torch.allclose(
            FromColours(model)(grey.expand(-1, 3, -1, -1)), model(grey), atol=1e-6
        )


def test_a_colour_becomes_the_grey_that_pillow_makes_but_for_its_rounding() -> None:
    colours = np.random.default_rng(0).integers(0, 256, (16, 16, 3), dtype=np.uint8)
    pillow = np.asarray(Image.fromarray(colours).convert("L"))
    pixels = torch.from_numpy(colours).permute(2, 0, 1)[None].float()
    with torch.no_grad():
        ours = FromColours(nn.Identity())(pixels)[0, 0].numpy()
    assert np.abs(ours - pillow).max() <= 0.5 + 1e-3


def test_a_state_of_one_channel_becomes_that_of_a_network_of_three() -> None:
    state = model_of_grey().state_dict()
    made = state_of_colours(state)
    assert is_grey(state)
    assert not is_grey(made)
    assert made["0.weight"].shape == (4, 3, 3, 3)
    assert torch.allclose(made["0.weight"].sum(1, keepdim=True), state["0.weight"], atol=1e-6)
    assert all(torch.equal(made[name], state[name]) for name in state if name != "0.weight")
