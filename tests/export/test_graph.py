from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from export.graph import DeployGraph, build_graph, example_input, reference_probs
from export.hard_images import hard_images
from tests.conftest import SIDE, make_spec
from tests.export.conftest import Model


class ChannelMeans(nn.Module):
    """Stands in for the network: logits are the means of what arrives, by channel."""

    def forward(self, pixels: Tensor) -> Tensor:
        self.seen = pixels
        return pixels.mean(dim=(2, 3))


def softmax_by_hand(logits: np.ndarray) -> np.ndarray:
    exponentials = np.exp(logits.astype(np.float64))
    return exponentials / exponentials.sum(axis=1, keepdims=True)


def normalise_by_hand(images: np.ndarray) -> np.ndarray:
    spec = make_spec()
    return (images.astype(np.float64) / 255 - spec.mean) / spec.std


def test_pixels_arrive_cast_normalised_and_channels_first() -> None:
    images = np.random.default_rng(0).integers(0, 256, (2, 5, 7, 3), dtype=np.uint8)
    images[0, 0, 0] = (0, 128, 255)
    network = ChannelMeans()
    DeployGraph(network, make_spec())(torch.from_numpy(images))
    assert network.seen.dtype == torch.float32
    expected = normalise_by_hand(images).transpose(0, 3, 1, 2)
    np.testing.assert_allclose(network.seen.numpy(), expected, atol=1e-6)


def test_outputs_are_the_softmax_of_the_logits() -> None:
    images = np.random.default_rng(1).integers(0, 256, (4, 8, 8, 3), dtype=np.uint8)
    probs = reference_probs(DeployGraph(ChannelMeans(), make_spec()), images)
    expected = softmax_by_hand(normalise_by_hand(images).mean(axis=(1, 2)))
    np.testing.assert_allclose(probs, expected, atol=1e-6)


def test_the_graph_of_a_checkpoint_is_its_network_between_both(model: Model) -> None:
    normalised = normalise_by_hand(model.images.pixels).transpose(0, 3, 1, 2)
    with torch.inference_mode():
        logits, _ = model.graph.pixels.network(torch.from_numpy(normalised.astype(np.float32)))
    np.testing.assert_allclose(model.reference, softmax_by_hand(logits.numpy()), atol=1e-6)


def test_rows_sum_to_one(model: Model) -> None:
    assert model.reference.dtype == np.float32
    assert model.reference.shape == (len(model.images.names), len(model.spec.labels))
    np.testing.assert_allclose(model.reference.sum(axis=1), 1, atol=1e-6)


def test_a_batch_equals_one_by_one(model: Model) -> None:
    rng = np.random.default_rng(2)
    noise = rng.integers(0, 256, (20, SIDE, SIDE, 3), dtype=np.uint8)  # more than one batch
    one_by_one = [reference_probs(model.graph, image[None])[0] for image in noise]
    np.testing.assert_allclose(reference_probs(model.graph, noise), one_by_one, atol=1e-5)


def test_the_graph_is_in_evaluation_mode_so_dropout_is_off(model: Model) -> None:
    graph = build_graph(model.folder, model.spec)
    assert not any(module.training for module in graph.modules())
    again = [reference_probs(graph, model.images.pixels) for _ in range(2)]
    np.testing.assert_array_equal(*again)


def test_the_example_input_is_one_fixed_uint8_image() -> None:
    example = example_input(make_spec())
    assert example.dtype == torch.uint8
    assert example.shape == (1, SIDE, SIDE, 3)
    assert torch.equal(example, example_input(make_spec()))


def test_the_answers_of_the_tiny_network_vary_so_that_faults_can_show(model: Model) -> None:
    first = model.reference[:, 0]
    assert first.min() < 0.2
    assert first.max() > 0.8
    assert ((first > 0.01) & (first < 0.99)).sum() >= len(hard_images(SIDE)) / 2
