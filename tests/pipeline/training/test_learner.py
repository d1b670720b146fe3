from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from pipeline import mixed_precision
from pipeline.data.dataset import Dataset, read_dataset
from pipeline.data.loaders import build_loaders
from pipeline.metrics.calibration import Calibration, StatedProbabilities
from pipeline.training.frozen_features import HeadAlone, feature_loaders
from pipeline.training.learner import divide_logits, fit
from pipeline.training.weight_averaging import moving_average
from tests.conftest import SIDE
from tests.pipeline.training.short_fit import RECIPE, fitted, network


@pytest.fixture
def dataset(image_folder: Path) -> Dataset:
    return read_dataset(image_folder)


def plain_logits(trained: torch.nn.Module, dataset: Dataset) -> torch.Tensor:
    """The network's own outputs for the valid images (N, K)."""
    trained.eval()
    with torch.no_grad():
        return torch.cat([trained(pixels) for pixels, _ in build_loaders(dataset, RECIPE).valid])


# --- the body's features


def test_a_head_on_cached_features_gives_the_whole_networks_outputs_once_folded(dataset):
    whole = network().eval()
    loaders = feature_loaders(whole.body, build_loaders(dataset, RECIPE), RECIPE)
    head = HeadAlone(whole.head, loaders.train_ds.tensors[0]).eval()

    def answers() -> torch.Tensor:
        with torch.no_grad():
            return torch.cat([head(batch) for batch, _ in loaders.valid])

    standardised = answers()
    assert not torch.allclose(standardised, plain_logits(whole, dataset), atol=1e-3)
    head.fold()
    assert torch.allclose(plain_logits(whole, dataset), standardised, atol=1e-5)
    assert torch.allclose(answers(), standardised, atol=1e-5)


def test_a_frozen_stage_alone_is_validated_with_the_final_outputs(dataset):
    trained, result = fitted(dataset, frozen_epochs=3, finetune_epochs=0, calibrate=False)
    loss = torch.nn.functional.cross_entropy(
        plain_logits(trained, dataset), torch.from_numpy(result.truth)
    )
    assert result.history[-1].valid_loss == pytest.approx(loss.item(), rel=1e-3)


def test_features_and_classes_of_the_train_images_stay_together(dataset):
    whole = network().eval()
    # A one-cycle of epochs shuffles the features; each must keep its own image's class.
    features = feature_loaders(whole.body, build_loaders(dataset, RECIPE), RECIPE)
    found = {tuple(f.flatten()[:8].tolist()): int(c) for f, c in features.train_ds}
    loader = build_loaders(dataset, RECIPE)
    expected = {}
    for sample, label in zip(dataset.train, (s.label for s in dataset.train), strict=True):
        pixels, _ = loader.train_ds[dataset.train.index(sample)]
        batch = loader.valid.after_batch((pixels[None],))[0].as_subclass(torch.Tensor)
        with torch.no_grad():
            pooled = whole.body(batch).mean((2, 3)).flatten()[:8]
        expected[tuple(pooled.tolist())] = dataset.labels.index(label)
    assert len(found) == len(dataset.train)
    for key, its in expected.items():
        nearest = min(found, key=lambda other: np.abs(np.subtract(other, key)).max())
        assert np.allclose(nearest, key, atol=1e-5)
        assert found[nearest] == its


def test_a_random_body_with_batch_norms_takes_its_statistics_from_the_images(dataset):
    body = network("resnet34").body
    feature_loaders(body, build_loaders(dataset, RECIPE), RECIPE)
    means = [m.running_mean for m in body.modules() if isinstance(m, torch.nn.BatchNorm2d)]
    assert all(mean.abs().sum() > 0 for mean in means)


def test_a_pretrained_body_keeps_its_statistics(dataset):
    body = network("resnet34").body
    norms = [m for m in body.modules() if isinstance(m, torch.nn.BatchNorm2d)]
    for norm in norms:
        norm.running_mean.fill_(0.1)
    before = {name: tensor.clone() for name, tensor in body.state_dict().items()}
    feature_loaders(body, build_loaders(dataset, RECIPE), RECIPE)
    assert all(torch.equal(tensor, before[name]) for name, tensor in body.state_dict().items())


# --- averaging


def test_the_average_follows_its_formula():
    average, value = torch.zeros(3), torch.ones(3)
    update = moving_average(0.9)
    update([average], [value], torch.tensor(0))
    assert torch.allclose(average, torch.full((3,), 0.9))  # kept 1 / 10 of nothing
    update([average], [value], torch.tensor(1000))
    assert torch.allclose(average, torch.full((3,), 0.91))


def test_the_counter_of_a_batch_norm_is_copied():
    counter = torch.tensor(3)
    moving_average(0.5)([counter], [torch.tensor(7)], 0)
    assert counter == 7


def test_averaged_weights_lie_between_the_first_and_the_last(dataset):
    start = network().state_dict()["head.1.weight"]
    _, last = fitted(dataset, calibrate=False)
    averaged, mean = fitted(dataset, calibrate=False, averaging=0.9)
    weights = averaged.state_dict()["head.1.weight"]
    latest = fitted(dataset, calibrate=False)[0].state_dict()["head.1.weight"]
    assert 0 < torch.dist(weights, start) < torch.dist(latest, start)
    assert not np.array_equal(mean.probs, last.probs)


def test_what_is_validated_is_what_stays(dataset):
    averaged, result = fitted(dataset, calibrate=False, averaging=0.9)
    answers = plain_logits(averaged, dataset)
    loss = torch.nn.functional.cross_entropy(answers, torch.from_numpy(result.truth))
    assert result.history[-1].valid_loss == pytest.approx(loss.item(), rel=1e-4)
    assert np.allclose(result.probs, answers.softmax(1).numpy(), atol=1e-6)


# --- calibration, in the network


def test_dividing_the_last_layer_divides_the_logits():
    whole = network().eval()
    torch.nn.init.normal_(whole.head[1].bias)
    pixels = torch.randn(2, 3, SIDE, SIDE)
    with torch.no_grad():
        before = whole(pixels)
        divide_logits(whole, 2.5)
        assert torch.allclose(whole(pixels), before / 2.5, atol=1e-6)


def test_the_temperature_is_in_the_networks_last_layer(dataset, monkeypatch):
    plain, before = fitted(dataset, calibrate=False)
    found = StatedProbabilities(0.1, 0.1)

    def chosen(logits, truth, patients, labels):
        assert np.allclose(logits, plain_logits(plain, dataset).numpy(), atol=1e-6)
        assert patients == [sample.patient_or_file for sample in dataset.valid]
        assert labels == dataset.labels
        return Calibration(2.5, len(truth), found, found)

    monkeypatch.setattr("pipeline.training.learner.calibrate", chosen)
    calibrated, after = fitted(dataset)
    assert (before.temperature, before.calibration) == (1.0, None)
    assert after.temperature == 2.5
    expected = plain_logits(plain, dataset) / after.temperature
    assert torch.allclose(plain_logits(calibrated, dataset), expected, atol=1e-6)
    assert np.allclose(after.probs, expected.softmax(1).numpy(), atol=1e-6)


# --- mixup, crops, half precision


@pytest.mark.parametrize("change", [{"mixup": 0.4}, {"crop": 0.4}, {"label_smoothing": 0.2}])
def test_each_part_of_a_recipe_changes_what_is_learned(dataset, change):
    plain, _ = fitted(dataset)
    changed, _ = fitted(dataset, **change)
    assert not torch.equal(
        plain.state_dict()["head.1.weight"], changed.state_dict()["head.1.weight"]
    )


def test_bfloat16_is_used_in_training_steps_alone(dataset, monkeypatch):
    seen = {True: set(), False: set()}
    trained = network()

    def note(module: torch.nn.Module, _: object, output: torch.Tensor) -> None:
        seen[module.training].add(output.dtype)

    trained.body[0].register_forward_hook(note)
    fit(trained, dataset, 0, replace(RECIPE, arithmetic="bf16"))
    assert seen == {True: {torch.bfloat16}, False: {torch.float32}}
    assert {p.dtype for p in trained.parameters()} == {torch.float32}


def test_auto_follows_the_processor(monkeypatch):
    for features, expected in (({"avx512_bf16": True}, "bf16"), ({"avx512_f": True}, "fp32")):
        monkeypatch.setattr(torch.cpu, "get_capabilities", lambda f=features: f)
        assert mixed_precision.chosen_arithmetic("auto") == expected
        assert mixed_precision.chosen_arithmetic("fp32") == "fp32"


def test_an_older_torch_that_cannot_detect_bf16_trains_in_fp32(monkeypatch):
    monkeypatch.delattr(torch.cpu, "get_capabilities")
    assert mixed_precision.chosen_arithmetic("auto") == "fp32"


def test_an_image_is_decoded_once_in_all_epochs(dataset, monkeypatch):
    from pipeline.data import kept_pixels

    read, original = [], kept_pixels.read_upright

    def counting(path: Path) -> object:
        read.append(path)
        return original(path)

    monkeypatch.setattr(kept_pixels, "read_upright", counting)
    fitted(dataset, frozen_epochs=2, finetune_epochs=2)
    assert sorted(read) == sorted(s.path for s in (*dataset.train, *dataset.valid))
