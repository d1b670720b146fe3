from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from export.deploy.graph import (
    DeployGraph,
    ProbsAlone,
    build_graph,
    example_input,
    output_shapes,
    reference_answers,
    reference_probs,
)
from export.deploy.variants import VARIANTS
from export.images.stress_images import stress_images
from pipeline.models.networks import load_network
from tests.conftest import SIDE, make_spec
from tests.export.conftest import Model


class ChannelMeans(nn.Module):
    """Replaces the network: logits are the means of its input, by channel."""

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


def test_evidence_averages_to_the_logits_that_softmax_takes(model: Model) -> None:
    evidence = model.answers.evidence
    assert evidence is not None
    assert evidence.dtype == np.float32
    assert evidence.shape == (len(model.images.names), len(model.spec.labels), 3, 3)
    expected = softmax_by_hand(evidence.mean(axis=(2, 3)))
    np.testing.assert_allclose(model.reference, expected, atol=1e-6)


def test_evidence_is_the_networks_own_place_by_place(model: Model) -> None:
    network = load_network(model.checkpoint)
    normalised = normalise_by_hand(model.images.pixels).transpose(0, 3, 1, 2)
    with torch.inference_mode():
        expected = network.evidence(torch.from_numpy(normalised.astype(np.float32)))
    assert model.answers.evidence is not None
    np.testing.assert_allclose(model.answers.evidence, expected.numpy(), atol=1e-4)


@pytest.mark.parametrize("variant", VARIANTS)
def test_every_variant_gives_evidence_that_averages_to_its_own_logits(
    variant: str, model: Model
) -> None:
    answers = model.references.of(variant).answers
    assert answers.evidence is not None
    expected = softmax_by_hand(answers.evidence[:].mean(axis=(2, 3)))
    np.testing.assert_allclose(answers.probs, expected, atol=1e-6)


def test_evidence_lies_in_memory_in_the_order_of_its_axes(model: Model) -> None:
    """A phone's runtime may return a tensor in its layout in memory."""
    with torch.inference_mode():
        _, evidence = model.graph(torch.from_numpy(model.images.pixels[:1].copy()))
    assert evidence.stride() == (2 * 3 * 3, 3 * 3, 3, 1)


def test_a_network_that_pools_first_gives_probabilities_alone() -> None:
    graph = DeployGraph(ChannelMeans(), make_spec())
    assert output_shapes(graph, make_spec()).keys() == {"probs"}
    images = np.zeros((2, SIDE, SIDE, 3), np.uint8)
    assert reference_answers(graph, images).evidence is None


def test_the_outputs_are_named_and_measured(model: Model) -> None:
    shapes = output_shapes(model.graph, model.spec)
    assert list(shapes.items()) == [("probs", (1, 2)), ("evidence", (1, 2, 3, 3))]


def test_probabilities_alone_are_the_same_and_leave_the_mode_as_it_was(model: Model) -> None:
    alone = ProbsAlone(model.graph)
    assert not any(module.training for module in alone.modules())
    np.testing.assert_array_equal(reference_probs(alone, model.images.pixels), model.reference)


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
    graph = build_graph(model.checkpoint)
    assert not any(module.training for module in graph.modules())
    again = [reference_probs(graph, model.images.pixels) for _ in range(2)]
    np.testing.assert_array_equal(*again)


def test_the_example_input_is_one_fixed_uint8_image() -> None:
    example = example_input(make_spec())
    assert example.dtype == torch.uint8
    assert example.shape == (1, SIDE, SIDE, 3)
    assert torch.equal(example, example_input(make_spec()))


def test_the_outputs_of_the_tiny_network_vary_so_that_faults_can_show(model: Model) -> None:
    first = model.reference[:, 0]
    assert first.min() < 0.2
    assert first.max() > 0.8
    assert ((first > 0.01) & (first < 0.99)).sum() >= len(stress_images(SIDE)) / 2
