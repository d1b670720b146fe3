from __future__ import annotations

import copy
import random
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from fastai.basics import set_seed
from torch import Tensor, nn

from pipeline.compress.activation_quantization import calibrate
from pipeline.compress.distillation import RoundToGrid, _loss, finetune_on_grids
from pipeline.compress.gptq import round_network, weighted_layers
from pipeline.compress.recipes import Recipe
from pipeline.compress.reduced_network import Reduced, finetuned
from pipeline.config import TrainConfig
from pipeline.data import phantom
from pipeline.data.dataset import Dataset, read_dataset
from pipeline.data.loaders import build_loaders
from pipeline.quantization_grid import Grid, check_grid, short_scale
from tests.pipeline.small_network import logits, small_network

RECIPE = Recipe(levels=3, epochs=6, lr=3e-3, batch_size=8, threads=1)
CONFIG = TrainConfig(side=48, batch_size=8)


def make_grid(levels: int = 3, shape: tuple[int, ...] = (6, 4, 3, 3)) -> Grid:
    rng = np.random.default_rng(0)
    codes = rng.integers(-levels, levels, shape, endpoint=True).astype(np.int8)
    return Grid(codes, short_scale(rng.uniform(1e-3, 0.3, shape[0])), levels)


# --- rounding that learns


@pytest.mark.parametrize("shape", [(6, 4, 3, 3), (6, 10)])
@pytest.mark.parametrize("levels", [1, 3, 7, 127])
def test_at_the_start_a_weight_is_exactly_the_grids(levels, shape):
    grid = make_grid(levels, shape)
    weights = torch.from_numpy(grid.weights())
    assert torch.equal(RoundToGrid(grid)(weights), weights)


def test_any_scale_in_use_is_a_short_one():
    grid = make_grid()
    rounding = RoundToGrid(grid)
    with torch.no_grad():
        rounding.log_scale += torch.linspace(-0.5, 0.5, 6).reshape(6, 1, 1, 1)
    scale = rounding.scale().detach().flatten().numpy()
    assert np.array_equal(scale, short_scale(scale))
    assert scale == pytest.approx(grid.scale * np.exp(np.linspace(-0.5, 0.5, 6)), rel=2**-8)


def test_a_weight_between_two_codes_goes_to_the_nearer_and_one_beyond_the_last_to_the_last():
    grid = Grid(np.zeros((1, 5), np.int8), np.array([0.25], np.float32), 3)
    weight = torch.tensor([[0.3, -0.4, 0.7, 5.0, -5.0]])
    expected = torch.tensor([[0.25, -0.5, 0.75, 0.75, -0.75]])
    assert torch.equal(RoundToGrid(grid)(weight), expected)


def test_the_gradient_passes_the_rounding_and_stops_where_it_is_cut():
    grid = Grid(np.zeros((1, 4), np.int8), np.array([0.25], np.float32), 3)
    weight = torch.tensor([[0.3, -0.4, 5.0, -5.0]], requires_grad=True)
    RoundToGrid(grid)(weight).backward(torch.tensor([[1.0, 2.0, 4.0, 8.0]]))
    assert weight.grad is not None
    assert weight.grad == pytest.approx(torch.tensor([[1.0, 2.0, 0.0, 0.0]]))


def test_the_scale_learns_from_what_rounding_and_cutting_do_to_the_weight():
    grid = Grid(np.zeros((1, 3), np.int8), np.array([0.25], np.float32), 3)
    rounding = RoundToGrid(grid)
    # Of scale s: a weight w that is kept is s * round(w / s), one that is cut is s * 3. With the
    # rounding passed through, the slopes are round(w / s) - w / s and 3; times s for its logarithm.
    rounding(torch.tensor([[0.3, -0.4, 5.0]])).sum().backward()
    slopes = (1 - 1.2) + (-2 + 1.6) + 3
    assert rounding.log_scale.grad is not None
    assert rounding.log_scale.grad.item() == pytest.approx(slopes * 0.25, rel=1e-5)


# --- fine-tuning


@dataclass(frozen=True)
class Tuned:
    """A small network before and after, and what is needed to judge it."""

    teacher: nn.Module
    rounded: nn.Module
    student: nn.Module
    before: Mapping[str, Grid]
    grids: Mapping[str, Grid]
    lr: float
    held_out: list[Tensor]
    teacher_state: Mapping[str, Tensor]


@pytest.fixture(scope="module")
def phantoms(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    root = tmp_path_factory.mktemp("phantoms") / "phantoms"
    phantom.write_dataset(root, 24, 8, seed=2)
    return read_dataset(root)


def fine_tune(dataset: Dataset, recipe: Recipe, between: Any = None) -> Tuned:
    teacher = small_network(seed=1)
    batches = [batch for batch, _ in build_loaders(dataset, CONFIG).valid]
    images = [batch.as_subclass(Tensor) for batch in batches]
    student = copy.deepcopy(teacher)
    levels = dict.fromkeys(weighted_layers(student), recipe.levels) | {"head.1": 127}
    before = round_network(student, images, levels, recipe.seed)
    rounded = copy.deepcopy(student)
    state = {name: tensor.clone() for name, tensor in teacher.state_dict().items()}
    set_seed(0)  # a loader draws the seed of its order when it is made
    loaders = build_loaders(dataset, CONFIG)
    if between is not None:
        between()
    grids, lr = finetune_on_grids(student, before, teacher, loaders, recipe)
    return Tuned(teacher, rounded, student, before, grids, lr, images, state)


@pytest.fixture(scope="module")
def tuned(phantoms: Dataset) -> Tuned:
    return fine_tune(phantoms, RECIPE)


@pytest.mark.slow("fine-tunes a compressed network")
def test_fine_tuning_brings_the_outputs_for_unseen_images_nearer_to_the_teachers(tuned):
    def answer(network: nn.Module) -> Tensor:
        return logits(network, tuned.held_out).diff(dim=1)  # all that a softmax sees

    wanted = answer(tuned.teacher)
    errors = [(answer(n) - wanted).abs().mean().item() for n in (tuned.student, tuned.rounded)]
    assert errors[0] < 0.6 * errors[1]


@pytest.mark.slow("fine-tunes a compressed network")
def test_steps_that_make_it_worse_are_taken_back_and_tried_smaller(phantoms, tuned, capsys):
    found = fine_tune(phantoms, replace(RECIPE, lr=64 * RECIPE.lr))
    assert tuned.lr == RECIPE.lr
    assert found.lr in (RECIPE.lr, 4 * RECIPE.lr, 16 * RECIPE.lr)
    assert "the loss rises at a learning rate of 0.192" in capsys.readouterr().out
    wanted = logits(found.teacher, found.held_out)
    left = [
        float((logits(network, found.held_out) - wanted).abs().mean())
        for network in (found.student, found.rounded)
    ]
    assert left[0] < left[1]


@pytest.mark.slow("fine-tunes a compressed network")
def test_where_all_steps_are_too_large_it_stays_as_it_was(phantoms, monkeypatch):
    monkeypatch.setattr("pipeline.compress.distillation.TRIES", 2)
    found = fine_tune(phantoms, replace(RECIPE, lr=10.0))
    assert found.lr == 0
    for name, grid in found.before.items():
        assert np.array_equal(found.grids[name].codes, grid.codes), name
        assert np.array_equal(found.grids[name].scale, grid.scale), name


@pytest.mark.slow("fine-tunes a compressed network")
def test_what_comes_out_are_grids_with_the_levels_that_went_in(tuned):
    assert tuned.grids.keys() == tuned.before.keys()
    for name, grid in tuned.grids.items():
        check_grid(grid, name)
        assert grid.levels == tuned.before[name].levels
        assert grid.codes.shape == tuned.before[name].codes.shape
        assert (grid.codes.dtype, grid.scale.dtype) == (np.int8, np.float32)


@pytest.mark.slow("fine-tunes a compressed network")
def test_codes_and_scales_have_both_learned(tuned):
    changed = 0
    for name, grid in tuned.grids.items():
        assert not np.array_equal(grid.scale, tuned.before[name].scale), name
        changed += int(np.sum(grid.codes != tuned.before[name].codes))
    assert changed > 10


@pytest.mark.parametrize("temperature", [0.25, 8.0])
def test_a_temperature_that_divides_all_logits_does_not_change_what_is_an_error(temperature):
    """As after a calibration: the teacher's logits are flat or steep, its answers are the same."""
    answers, wanted = torch.randn(2, 16, 5, generator=torch.Generator().manual_seed(0))
    loss = _loss(answers, wanted, [], []).item()
    divided = _loss(answers / temperature, wanted / temperature, [], []).item()
    assert divided == pytest.approx(loss, rel=1e-3)


@pytest.mark.slow("fine-tunes a compressed network")
def test_the_students_weights_are_plain_parameters_exactly_on_the_grids(tuned):
    state = tuned.student.state_dict()
    assert state.keys() == tuned.teacher_state.keys()
    for name, tensor in state.items():
        if name in tuned.grids:
            assert torch.equal(tensor, torch.from_numpy(tuned.grids[name].weights())), name
        else:
            assert torch.equal(tensor, tensor.half().float()), name
            assert not torch.equal(tensor, tuned.rounded.state_dict()[name]), name


@pytest.mark.slow("fine-tunes a compressed network")
def test_the_student_is_left_in_evaluation_mode_with_no_hook(tuned):
    assert not tuned.student.training
    assert not any(m._forward_hooks for n in (tuned.student, tuned.teacher) for m in n.modules())
    assert torch.equal(
        logits(tuned.student, tuned.held_out[:1]), logits(tuned.student, tuned.held_out[:1])
    )


@pytest.mark.slow("fine-tunes a compressed network")
def test_the_teacher_is_not_changed(tuned):
    state = tuned.teacher.state_dict()
    assert state.keys() == tuned.teacher_state.keys()
    assert all(torch.equal(state[name], tuned.teacher_state[name]) for name in state)
    assert all(parameter.grad is None for parameter in tuned.teacher.parameters())


@pytest.mark.slow("fine-tunes a compressed network")
def test_a_network_whose_activations_are_rounded_learns_through_that_too(phantoms):
    """Coarse on purpose: five levels for what passes each place.

    So few that how much is learnt varies with the scales; it is measured at three of them.
    """
    teacher = small_network(seed=1)
    images = [b.as_subclass(Tensor) for b, _ in build_loaders(phantoms, CONFIG).valid]
    levels = dict.fromkeys(weighted_layers(teacher), 127)
    network = copy.deepcopy(teacher)
    grids = round_network(network, images, levels, RECIPE.seed)
    scales = calibrate(network, images)
    wanted = logits(teacher, images).diff(dim=1)
    left = []
    for factor in (45, 50, 55):
        coarse = {name: (scale * factor, zero // factor) for name, (scale, zero) in scales.items()}
        start = Reduced(network, grids, coarse)
        set_seed(0)
        tuned = finetuned(start, teacher, build_loaders(phantoms, CONFIG), RECIPE)
        assert tuned.activations == coarse
        for name, grid in tuned.grids.items():
            check_grid(grid, name)
            weight = tuned.network.state_dict()[name]
            assert torch.equal(weight, torch.from_numpy(grid.weights())), name
        after, before = (
            float((logits(r.variant(), images).diff(dim=1) - wanted).abs().mean())
            for r in (tuned, start)
        )
        left.append(after / before)
    assert np.mean(left) < 0.6, left


@pytest.mark.slow("fine-tunes a compressed network")
def test_labels_are_not_looked_at(phantoms):
    """With every label swapped the codes are the same, bit for bit."""
    other = {phantom.LABELS[0]: phantom.LABELS[1], phantom.LABELS[1]: phantom.LABELS[0]}
    exchanged = replace(
        phantoms, train=tuple(replace(s, label=other[s.label]) for s in phantoms.train)
    )
    short = replace(RECIPE, epochs=1)
    first, again = (fine_tune(d, short).grids for d in (phantoms, exchanged))
    assert first.keys() == again.keys()
    for name, grid in first.items():
        assert grid.codes.tobytes() == again[name].codes.tobytes(), name
        assert grid.scale.tobytes() == again[name].scale.tobytes(), name


@pytest.mark.slow("fine-tunes a compressed network")
def test_the_seed_decides_and_nothing_that_happened_before(phantoms):
    short = replace(RECIPE, epochs=1)
    first = fine_tune(phantoms, short)
    again = fine_tune(phantoms, short, between=lambda: (torch.rand(7), random.random()))
    other = fine_tune(phantoms, replace(short, seed=3))
    assert all(
        np.array_equal(grid.codes, again.grids[name].codes)
        and np.array_equal(grid.scale, again.grids[name].scale)
        for name, grid in first.grids.items()
    )
    assert any(
        not np.array_equal(grid.codes, other.grids[name].codes)
        for name, grid in first.grids.items()
    )


@pytest.mark.slow("fine-tunes a compressed network")
def test_nothing_is_written_to_the_working_directory(tmp_path, monkeypatch, phantoms):
    monkeypatch.chdir(tmp_path)
    fine_tune(phantoms, replace(RECIPE, epochs=1))
    assert list(Path.cwd().iterdir()) == []
