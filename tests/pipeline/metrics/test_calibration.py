from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.special import softmax

from pipeline.metrics.calibration import divide_logits, fit_temperature
from pipeline.models.networks import build_network
from tests.conftest import SIDE


def answers(temperature: float, classes: int = 2, images: int = 4000) -> tuple:
    """Logits that are `temperature` times too large for the classes drawn from them."""
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(images, classes)) * 1.5
    truth = np.array([rng.choice(classes, p=p) for p in softmax(logits, axis=1)])
    return (logits * temperature).astype(np.float32), truth


@pytest.mark.parametrize("classes", [2, 5])
@pytest.mark.parametrize("temperature", [0.4, 1.0, 3.0])
def test_the_temperature_that_was_put_in_is_found_again(temperature, classes):
    logits, truth = answers(temperature, classes)
    assert fit_temperature(logits, truth) == pytest.approx(temperature, rel=0.1)


def test_a_network_without_a_mistake_on_few_images_is_not_made_certain():
    logits = np.array([[2.0, 0.0]] * 6 + [[0.0, 2.0]] * 6)
    truth = np.array([0] * 6 + [1] * 6)
    temperature = fit_temperature(logits, truth)
    confidence = softmax(logits / temperature, axis=1).max()
    assert confidence == pytest.approx(7 / 8, abs=1e-3)  # Platt's target, (6 + 1) / (6 + 2)


def test_dividing_the_last_layer_divides_the_logits():
    network = build_network("squeezenet1_1", 3).eval()
    torch.nn.init.normal_(network.head[1].bias)
    pixels = torch.randn(2, 3, SIDE, SIDE)
    with torch.no_grad():
        before = network(pixels)
        divide_logits(network, 2.5)
        assert torch.allclose(network(pixels), before / 2.5, atol=1e-6)
