from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from matplotlib.container import BarContainer
from PIL import Image

from pipeline.config import TrainConfig
from pipeline.data.dataset import read_dataset
from pipeline.images import read_image
from pipeline.model_spec import INTENDED_USE
from pipeline.study import figures as study_figures
from pipeline.study.figures import TopologyAnswers
from tests.conftest import LABELS
from tests.pipeline.study_document import dataset, outcome, summary, trial

TRUTH = np.array([0, 0, 0, 1, 1, 1, 1, 1])
ILL = np.array([0.9, 0.8, 0.3, 0.7, 0.2, 0.1, 0.1, 0.05])
PROBS = np.stack([ILL, 1 - ILL], axis=1)


def answers(topology: str = "small", protocol: str = "paper", seeds: int = 1) -> TopologyAnswers:
    return TopologyAnswers(
        topology, protocol, tuple(range(2, 2 + seeds)), (TRUTH,) * seeds, (PROBS,) * seeds,
        ("ill", "well"), 0,
    )  # fmt: skip


def texts(figure) -> str:
    """Everything that is written on a figure."""
    from matplotlib.text import Text

    return "\n".join(text.get_text() for text in figure.findobj(Text))


def line(axes, label: str):
    (found,) = [line for line in axes.lines if line.get_label().startswith(label)]
    return found


def test_the_composition_shows_the_count_of_every_label_and_source():
    figure = study_figures.draw_composition({"paper": dataset(), "strict": dataset()})
    assert len(figure.axes) == 2
    for axes, protocol in zip(figure.axes, ("paper", "strict"), strict=True):
        widths = {bar.get_label(): [] for bar in axes.containers if isinstance(bar, BarContainer)}
        for bar in axes.containers:
            widths[bar.get_label()].append(bar.patches[0].get_width())
        assert widths == {"ill, north": [6, 4], "well, north": [3, 2], "well, south": [3, 2]}
        assert f"protocol {protocol}, n = 20" in axes.get_title()
        hatches = {bar.get_label(): bar.patches[0].get_hatch() for bar in axes.containers}
        assert hatches["well, north"] != hatches["well, south"]
    assert INTENDED_USE in texts(figure)


def test_the_samples_are_training_images_as_the_network_sees_them(image_folder):
    data = read_dataset(image_folder)
    config = TrainConfig(side=48)
    torch.manual_seed(7)
    random.seed(7)
    before = torch.get_rng_state(), random.getstate()
    plain, augmented, labels = study_figures.sample_pixels(data, config)
    assert torch.equal(torch.get_rng_state(), before[0])
    assert random.getstate() == before[1]
    assert plain.shape == augmented.shape == (8, 48, 48, 3)
    assert labels == [LABELS[0]] * 4 + [LABELS[1]] * 4
    known = {read_image(sample.path, 48).tobytes(): sample.label for sample in data.train}
    found = [known[np.uint8(np.round(pixels * 255)).tobytes()] for pixels in plain]
    assert found == labels
    assert np.abs(augmented - plain).max() > 0.05  # turned, zoomed, lit
    assert np.abs(augmented.mean() - plain.mean()) < 0.1  # and not normalised any more


def test_without_augmentation_both_rows_of_samples_are_alike(image_folder):
    plain_recipe = TrainConfig(side=48, rotate_deg=0, zoom=1.0, lighting=0, flip=False)
    plain, augmented, _ = study_figures.sample_pixels(read_dataset(image_folder), plain_recipe)
    assert augmented == pytest.approx(plain, abs=1e-5)


def test_the_grid_of_samples_shows_both_rows_and_says_of_what(image_folder):
    figure = study_figures.draw_samples(read_dataset(image_folder), TrainConfig(side=48), "paper")
    assert len([axes for axes in figure.axes if axes.images]) == 16
    assert "protocol paper, 8 of n = 24 training images" in texts(figure)
    assert "covid19, resized" in texts(figure)
    assert "non_covid19, augmented" in texts(figure)
    assert INTENDED_USE in texts(figure)


def test_the_losses_of_both_stages_are_drawn_for_every_topology():
    found = summary(
        {("small", "paper", 2): outcome(), ("large", "paper", 2): outcome(imagenet=False)}
    )
    figure = study_figures.draw_losses(found)
    assert len(figure.axes) == 2
    for axes, topology, start in zip(
        figure.axes, ("small", "large"), ("ImageNet", "random"), strict=True
    ):
        assert list(line(axes, "train").get_xdata()) == [1, 2, 3]
        assert list(line(axes, "train").get_ydata()) == pytest.approx([1, 1 / 2, 1 / 3])
        assert list(line(axes, "valid").get_ydata()) == pytest.approx([1.2, 0.6, 0.4])
        assert list(line(axes, "body unfrozen").get_xdata()) == [1.5, 1.5]
        assert axes.get_ylim() == (0, pytest.approx(1.08 * 1.2))
        assert axes.get_title().startswith(f"{topology}, paper (from {start})\nn = 12 + 8, seed 2")
    assert INTENDED_USE in texts(figure)


def test_failed_trials_have_no_loss_to_draw():
    from pipeline.study.summary import TrialResult

    found = summary(
        {("small", "paper", 2): outcome(), ("large", "paper", 2): TrialResult(None, "it broke")}
    )
    assert len(study_figures.draw_losses(found).axes) == 1


def test_the_roc_curve_is_that_of_the_positive_label():
    figure = study_figures.draw_roc([answers(), answers("large"), answers(protocol="strict")])
    assert [len(axes.lines) for axes in figure.axes] == [3, 2]  # and the line of chance
    curve = line(figure.axes[0], "small, AUROC")
    assert curve.get_label() == "small, AUROC 0.933"  # 14 of 15 pairs
    at_zero = curve.get_ydata()[curve.get_xdata() == 0].max()
    assert at_zero == pytest.approx(2 / 3)
    assert curve.get_xdata()[curve.get_ydata() == 1].min() == pytest.approx(1 / 5)
    assert "protocol paper, n = 8 valid, seed 2" in figure.axes[0].get_title()
    styles = [(curve.get_color(), curve.get_linestyle()) for curve in figure.axes[0].lines[:2]]
    assert styles[0][0] != styles[1][0]
    assert styles[0][1] != styles[1][1]  # not by colour alone
    assert INTENDED_USE in texts(figure)


def test_every_seed_has_its_curve_and_one_name():
    (axes,) = study_figures.draw_roc([answers(seeds=3)]).axes
    assert len(axes.lines) == 4
    assert [text.get_text() for text in axes.get_legend().get_texts()] == [
        "small, AUROC 0.933",
        "chance",
    ]


def test_reliability_is_the_observed_share_of_each_bin():
    truth = np.array([False, False, True, True, True, False])
    scores = np.array([0.01, 0.05, 0.09, 0.95, 1.0, 0.55])
    said, found, counts = study_figures.reliability(truth, scores)
    assert said == pytest.approx([0.05, 0.55, 0.975])
    assert found == pytest.approx([1 / 3, 0, 1])
    assert counts.tolist() == [3, 1, 2]


def test_the_reliability_diagram_draws_the_bins_and_the_diagonal():
    (axes,) = study_figures.draw_reliability([answers()]).axes
    said, found, _ = study_figures.reliability(TRUTH == 0, ILL)
    drawn = line(axes, "observed share")
    assert list(drawn.get_xdata()) == pytest.approx(said)
    assert list(drawn.get_ydata()) == pytest.approx(found)
    assert list(line(axes, "as often as said").get_xdata()) == [0, 1]
    assert axes.get_title() == "small, paper\nn = 8, seed 2"


def test_the_confusion_matrix_has_the_truth_in_rows():
    probs = np.where(np.arange(8) == 4, 0.9, ILL)  # one more of the well is called ill
    once = replace(answers(), probs=(np.stack([probs, 1 - probs], axis=1),))
    twice = replace(once, truth=once.truth * 2, probs=once.probs * 2)
    assert study_figures.confusion(once).tolist() == [[2, 1], [2, 3]]
    assert study_figures.confusion(twice).tolist() == [[4, 2], [4, 6]]
    (axes,) = study_figures.draw_confusion([once]).axes
    assert [text.get_text() for text in axes.texts] == ["2\n67%", "1\n33%", "2\n40%", "3\n60%"]
    assert [text.get_text() for text in axes.get_yticklabels()] == ["ill", "well"]
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("decided", "true")


def test_three_labels_are_asked_one_against_the_rest():
    probs = np.array([[0.8, 0.1, 0.1], [0.2, 0.7, 0.1], [0.1, 0.1, 0.8]])
    three = TopologyAnswers(
        "small", "paper", (2,), (np.array([0, 1, 2]),), (probs,), ("a", "b", "c"), None
    )
    ((truth, scores),) = three.questions()
    assert truth.sum() == 3
    assert scores[truth].tolist() == [0.8, 0.7, 0.8]
    assert len(study_figures.draw_roc([three]).axes) == 1
    assert study_figures.confusion(three).tolist() == np.eye(3).tolist()


def test_outputs_are_read_from_the_trials(tmp_path):
    trials = [trial("small", "paper", seed, tmp_path) for seed in (2, 3)]
    for its in trials:
        its.folder.mkdir()
        (its.folder / "predictions.csv").write_text(
            "file,label,ill,well\na.jpg,ill,0.75,0.25\nb.jpg,well,0.5,0.5\n"
        )
    (found,) = study_figures.read_answers(trials)
    assert found.seeds == (2, 3)
    assert [truth.tolist() for truth in found.truth] == [[0, 1]] * 2
    assert found.probs[1].tolist() == [[0.75, 0.25], [0.5, 0.5]]
    assert found.images == 4
    assert found.positive == 0


def test_every_picture_is_written_and_is_one(tmp_path, image_folder, monkeypatch):
    real = read_dataset(image_folder)
    its = replace(
        trial("small", "paper", 2, tmp_path),
        dataset=real,
        config=TrainConfig(side=32),
        positive="ill",
    )
    its.folder.mkdir()
    (its.folder / "predictions.csv").write_text(
        "file,label,ill,well\na.jpg,ill,0.75,0.25\nb.jpg,well,0.5,0.5\n"
    )
    found = summary({("small", "paper", 2): outcome()})
    pictures = study_figures.write_figures(tmp_path / "figures", found, [its])
    assert sorted(Path(path).name for path in pictures) == [
        "composition.png", "confusion.png", "losses.png", "reliability.png", "roc.png",
        "samples.png",
    ]  # fmt: skip
    for path in pictures:
        with Image.open(tmp_path / path) as picture:
            assert picture.format == "PNG"
            assert min(picture.size) > 200
            assert len(np.unique(np.asarray(picture))) > 20  # something is drawn


def test_without_a_finished_trial_there_is_nothing_to_draw(tmp_path):
    assert study_figures.write_figures(tmp_path / "figures", {}, []) == {}
    assert not (tmp_path / "figures").exists()


def test_colours_and_hatches_do_not_repeat_among_five():
    assert len(set(study_figures.COLOURS)) >= 5
    assert len(set(map(str, study_figures.LINES))) == 5
