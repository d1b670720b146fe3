"""Pictures of a comparison: the data set, what the networks see, losses, and their outputs.

In: a `StudyComparison` and the finished trials. Out: PNG files. Each `draw_` function returns a
matplotlib figure and writes nothing. Colours are those of Okabe & Ito (2008), which people with any
colour vision can distinguish; no line relies on its colour alone.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from pipeline.atomic_files import staged_folder
from pipeline.study.documents import FROZEN
from pipeline.study.trial import FINAL_FILE, read_predictions

if TYPE_CHECKING:
    from pathlib import Path

    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    from pipeline.config import TrainConfig
    from pipeline.data.dataset import Dataset
    from pipeline.study.documents import StudyComparison
    from pipeline.study.trial import Trial

COLOURS: Final = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
LINES: Final = ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)))
HATCHES: Final = ("", "///", "...", "xxx", "\\\\\\")
SAMPLES_EACH: Final = 4
BINS: Final = 10
DPI: Final = 110
NOTICE: Final[dict[str, Any]] = {"fontsize": 7, "color": "#444444"}


@dataclass(frozen=True)
class TopologyAnswers:
    """The outputs of a topology under a protocol, one seed after another.

    Attributes:
        truth: one array (N,) per seed.
        probs: one array (N, K) per seed.
        labels: K names.
        positive: index in `labels`; None for more than two.
    """

    topology: str
    protocol: str
    seeds: tuple[int, ...]
    truth: tuple[NDArray[np.int64], ...]
    probs: tuple[NDArray[np.float64], ...]
    labels: tuple[str, ...]
    positive: int | None

    @property
    def images(self) -> int:
        """All outputs: an image counts once per seed."""
        return sum(len(truth) for truth in self.truth)

    def questions(self) -> list[tuple[NDArray[np.bool_], NDArray[np.float64]]]:
        """Per seed: whether it is the class, and the probability given to it; (M,) each.

        Of the positive label; with more than two labels, of each class against the rest, pooled.
        """
        found = []
        for truth, probs in zip(self.truth, self.probs, strict=True):
            if self.positive is None:
                found.append((np.eye(probs.shape[1], dtype=bool)[truth].ravel(), probs.ravel()))
            else:
                found.append((truth == self.positive, probs[:, self.positive]))
        return found


def write_figures(
    folder: Path, comparison: StudyComparison, trials: Sequence[Trial]
) -> dict[str, str]:
    """Draw everything into `folder`, which is replaced; titles by path, for the report."""
    if not trials:
        return {}
    answers = read_answers(trials)
    first = {trial.protocol: trial for trial in reversed(trials)}
    drawings: dict[str, tuple[str, Callable[[], Figure]]] = {
        "composition.png": (
            "Composition of the data set",
            lambda: draw_composition({p: t.dataset for p, t in sorted(first.items())}),
        ),
        "samples.png": (
            "What the networks see",
            lambda: draw_samples(trials[0].dataset, trials[0].config, trials[0].protocol),
        ),
        "losses.png": ("Training and validation loss", lambda: draw_losses(comparison)),
        "roc.png": ("ROC curves", lambda: draw_roc(answers)),
        "reliability.png": ("Reliability of the probabilities", lambda: draw_reliability(answers)),
        "confusion.png": ("Confusion matrices", lambda: draw_confusion(answers)),
    }
    with staged_folder(folder) as staging:
        for name, (_, draw) in drawings.items():
            figure = draw()
            figure.supxlabel(comparison.request.said.intended_use, **NOTICE)  # in place of ours
            figure.savefig(staging / name, dpi=DPI)
    return {f"{folder.name}/{name}": title for name, (title, _) in drawings.items()}


def read_answers(trials: Sequence[Trial]) -> list[TopologyAnswers]:
    """The final outputs of finished trials, grouped by topology and protocol."""
    together: dict[tuple[str, str], list[Trial]] = {}
    for trial in trials:
        together.setdefault((trial.protocol, trial.topology), []).append(trial)
    found = []
    for (protocol, topology), members in together.items():
        tables = [read_predictions(trial.folder / FINAL_FILE) for trial in members]
        labels = tables[0][0]
        positive = members[0].positive
        found.append(
            TopologyAnswers(
                topology,
                protocol,
                tuple(trial.seed for trial in members),
                tuple(table[1] for table in tables),
                tuple(table[2] for table in tables),
                labels,
                None if positive is None else labels.index(positive),
            )
        )
    return found


def draw_composition(datasets: Mapping[str, Dataset]) -> Figure:
    """Bars of the images in train and valid, by label (colour) and source (hatch)."""
    figure = _figure(9, 1.2 + 1.1 * len(datasets))
    panels = figure.subplots(len(datasets), 1, squeeze=False, sharex=True)[:, 0]
    everything = [s for d in datasets.values() for s in (*d.train, *d.valid)]
    labels = sorted({sample.label for sample in everything})
    sources = sorted({sample.source or "" for sample in everything})
    for axes, (protocol, dataset) in zip(panels, datasets.items(), strict=True):
        for split, samples in (("train", dataset.train), ("valid", dataset.valid)):
            counts = Counter((sample.label, sample.source or "") for sample in samples)
            left = 0
            for (label, source), count in sorted(counts.items()):
                bar = axes.barh(
                    split,
                    count,
                    left=left,
                    color=_colour(labels.index(label)),
                    hatch=HATCHES[sources.index(source) % len(HATCHES)],
                    edgecolor="white",
                    label=f"{label}, {source}" if source else label,
                )
                axes.bar_label(
                    bar, [str(count)], label_type="center", fontsize=9, color="black",
                    bbox={"facecolor": "white", "edgecolor": "none", "pad": 1.5},
                )  # fmt: skip
                left += count
        images = len(dataset.train) + len(dataset.valid)
        axes.set_title(
            f"protocol {protocol}, n = {images}: {_shortened(dataset.split_rule)}", fontsize=9
        )
        axes.invert_yaxis()
    panels[-1].set_xlabel("images")
    handles = {
        text: handle
        for axes in panels
        for handle, text in zip(*axes.get_legend_handles_labels(), strict=True)
    }
    figure.legend(handles.values(), handles.keys(), loc="outside right upper", fontsize=8)
    return _finished(figure, "Composition of the data set")


def draw_samples(dataset: Dataset, config: TrainConfig, protocol: str) -> Figure:
    """Training images of each label: after the resize rule, and below as augmented for training."""
    plain, augmented, labels = sample_pixels(dataset, config)
    columns = max(labels.count(label) for label in labels)
    kinds = sorted(set(labels))
    figure = _figure(1.7 * columns + 0.6, 3.6 * len(kinds) + 0.8)
    grid = figure.subplots(2 * len(kinds), columns, squeeze=False)
    for axes in grid.ravel():
        axes.set_axis_off()
    for row, label in enumerate(kinds):
        chosen = [i for i, its in enumerate(labels) if its == label]
        for column, i in enumerate(chosen):
            for below, pixels in ((0, plain), (1, augmented)):
                axes = grid[2 * row + below, column]
                axes.imshow(pixels[i], vmin=0, vmax=1)
                if column == 0:
                    word = "augmented" if below else "resized"
                    axes.set_title(f"{label}, {word}", loc="left", fontsize=9)
    title = f"As the network sees them, {config.rule.pixels} px\n"
    title += f"protocol {protocol}, {len(labels)} of n = {len(dataset.train)} training images"
    return _finished(figure, title)


def sample_pixels(
    dataset: Dataset, config: TrainConfig
) -> tuple[NDArray[np.float32], NDArray[np.float32], list[str]]:
    """Some training images, resized and augmented: float32 (M, H, W, 3) in 0..1, labels (M).

    The augmentation is the one that training uses, on a copy of the random state: drawing does not
    change the training.
    """
    import random

    state = random.getstate()  # before fastai is imported, which may draw from it

    import torch
    from fastai.torch_core import TensorCategory, TensorImage

    from pipeline.data.loaders import build_loaders
    from pipeline.images import read_image

    rng = np.random.default_rng(config.seed)
    chosen = []
    for label in dataset.labels:
        of_label = [sample for sample in dataset.train if sample.label == label]
        order = rng.permutation(len(of_label))[:SAMPLES_EACH]
        chosen += [of_label[i] for i in order]
    pixels = np.stack([read_image(sample.path, config.rule) for sample in chosen])
    classes = torch.tensor([dataset.labels.index(sample.label) for sample in chosen])
    batch = TensorImage(torch.from_numpy(pixels.copy()).permute(0, 3, 1, 2))
    try:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(config.seed)
            random.seed(config.seed)
            loader = build_loaders(dataset, config).train
            loader.before_iter()  # tells the transforms that these are training images
            seen, _ = loader.after_batch((batch, TensorCategory(classes)))
    finally:
        random.setstate(state)
    normalised = np.asarray(torch.Tensor(seen.cpu()).permute(0, 2, 3, 1), dtype=np.float32)
    std, mean = (np.asarray(values, dtype=np.float32) for values in (config.std, config.mean))
    augmented: NDArray[np.float32] = np.clip(normalised * std + mean, 0, 1).astype(np.float32)
    plain: NDArray[np.float32] = pixels.astype(np.float32) / np.float32(255)
    return plain, augmented, [sample.label for sample in chosen]


def draw_losses(comparison: StudyComparison) -> Figure:
    """Training and validation loss by epoch, a panel for each topology and protocol."""
    from matplotlib.ticker import MaxNLocator

    done = [entry.done.record for entry in comparison.trials if entry.done is not None]
    panels, figure = _panels([(record.protocol, record.topology) for record in done], 2.6)
    # One scale for all panels, or they could not be compared.
    epochs_of_all = [epoch for record in done for epoch in record.history]
    every = [loss for e in epochs_of_all for loss in (e.train_loss, e.valid_loss)]
    highest = max((loss for loss in every if loss is not None), default=1.0)
    longest = max(len(record.history) for record in done)
    for (protocol, topology), axes in panels.items():
        members = [r for r in done if (r.protocol, r.topology) == (protocol, topology)]
        for number, record in enumerate(members):
            epochs = range(1, len(record.history) + 1)
            losses = {
                "train": [epoch.train_loss for epoch in record.history],
                "valid": [epoch.valid_loss for epoch in record.history],
            }
            for name, colour, style in (("train", 0, "--"), ("valid", 1, "-")):
                axes.plot(
                    epochs,
                    np.array(losses[name], dtype=float),
                    ls=style, marker="o", ms=3, lw=1.3, color=_colour(colour),
                    label=name if number == 0 else None,
                )  # fmt: skip
        frozen = sum(epoch.stage == FROZEN for epoch in members[0].history)
        if 0 < frozen < len(members[0].history):
            axes.axvline(frozen + 0.5, color="grey", ls=":", lw=1.2, label="body unfrozen")
        counts = {split: sum(n.values()) for split, n in members[0].images.items()}
        start = "ImageNet" if members[0].imagenet else "random"
        axes.set_title(
            f"{topology}, {protocol} (from {start})\nn = {counts['train']} + {counts['valid']}"
            f"{_seeds([record.seed for record in members])}",
            fontsize=8,
        )
        axes.set(xlabel="epoch", ylabel="cross-entropy loss", ylim=(0, 1.08 * highest))
        axes.set_xlim(0.5, longest + 0.5)
        axes.xaxis.set_major_locator(MaxNLocator(6, integer=True, min_n_ticks=1))
        axes.grid(alpha=0.3)
    _legend(figure, panels)
    return _finished(figure, "Training and validation loss, frozen and fine-tuned stage")


def draw_roc(answers: Sequence[TopologyAnswers]) -> Figure:
    """ROC curves on the validation images, a panel for each protocol, a line for each seed."""
    from sklearn.metrics import auc, roc_curve

    protocols = list(dict.fromkeys(a.protocol for a in answers))
    figure = _figure(5.0 * len(protocols), 5.2)
    for axes, protocol in zip(
        figure.subplots(1, len(protocols), squeeze=False)[0], protocols, strict=True
    ):
        members = [a for a in answers if a.protocol == protocol]
        for number, its in enumerate(members):
            curves = [roc_curve(truth, scores) for truth, scores in its.questions()]
            area = float(np.mean([auc(false, true) for false, true, _ in curves]))
            for line, (false, true, _) in enumerate(curves):
                axes.plot(
                    false, true, color=_colour(number), ls=LINES[number % len(LINES)], lw=1.6,
                    label=f"{its.topology}, AUROC {area:.3f}" if line == 0 else None,
                )  # fmt: skip
        axes.plot([0, 1], [0, 1], color="grey", lw=0.8, label="chance")
        axes.set(xlabel="1 - specificity", ylabel="recall", aspect="equal")
        n = len(members[0].truth[0])
        axes.set_title(f"protocol {protocol}, n = {n} valid{_seeds(members[0].seeds)}", fontsize=9)
        axes.grid(alpha=0.3)
        axes.legend(fontsize=8, loc="lower right")
    return _finished(figure, f"ROC curves, {_whose(answers)}")


def draw_reliability(answers: Sequence[TopologyAnswers]) -> Figure:
    """The observed share where the network says p: ideally the diagonal (bins of 0.1)."""
    panels, figure = _panels([(a.protocol, a.topology) for a in answers], 2.8)
    for its in answers:
        axes = panels[its.protocol, its.topology]
        truth, scores = (np.concatenate(part) for part in zip(*its.questions(), strict=True))
        said, found, counts = reliability(truth, scores)
        axes.plot([0, 1], [0, 1], color="grey", lw=1, ls=":", label="as often as said")
        axes.plot(said, found, color=_colour(0), lw=1.2, label="observed share")
        axes.scatter(
            said, found, s=12 + 120 * counts / counts.max(), color=_colour(1), zorder=3,
            edgecolor="white", label="bin, larger with more images",
        )  # fmt: skip
        axes.set(xlabel="probability said", ylabel="share observed", aspect="equal")
        axes.set(xlim=(-0.06, 1.06), ylim=(-0.06, 1.06))
        axes.set_title(
            f"{its.topology}, {its.protocol}\nn = {its.images}{_seeds(its.seeds)}", fontsize=8
        )
        axes.grid(alpha=0.3)
    _legend(figure, panels)
    return _finished(figure, f"Reliability, {_whose(answers)}")


def reliability(
    truth: NDArray[np.bool_], scores: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.int64]]:
    """Mean score, observed share and count of each bin of width 0.1 that is not empty."""
    bins = np.minimum((scores * BINS).astype(int), BINS - 1)
    counts = np.bincount(bins, minlength=BINS)
    used = counts > 0
    said = np.bincount(bins, weights=scores, minlength=BINS)[used] / counts[used]
    found = np.bincount(bins, weights=truth.astype(float), minlength=BINS)[used] / counts[used]
    return said, found, counts[used]


def draw_confusion(answers: Sequence[TopologyAnswers]) -> Figure:
    """Truth by decision at the most probable class, counts over all seeds."""
    panels, figure = _panels([(a.protocol, a.topology) for a in answers], 2.9)
    for its in answers:
        axes = panels[its.protocol, its.topology]
        matrix = confusion(its)
        shares = matrix / matrix.sum(axis=1, keepdims=True)
        axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
        for row, column in np.ndindex(*matrix.shape):
            axes.text(
                column, row, f"{matrix[row, column]}\n{shares[row, column]:.0%}",
                ha="center", va="center", fontsize=8,
                color="white" if shares[row, column] > 0.5 else "black",
            )  # fmt: skip
        ticks = range(len(its.labels))
        axes.set_xticks(ticks, its.labels, fontsize=7, rotation=20)
        axes.set_yticks(ticks, its.labels, fontsize=7, rotation=90, va="center")
        axes.set(xlabel="decided", ylabel="true")
        summed = ", summed" if len(its.seeds) > 1 else ""
        axes.set_title(
            f"{its.topology}, {its.protocol}\nn = {its.images}{_seeds(its.seeds)}{summed}",
            fontsize=8,
        )
    return _finished(figure, "Confusion matrices of the validation images")


def confusion(answers: TopologyAnswers) -> NDArray[np.int64]:
    """Counts (K, K), rows are the truth."""
    matrix = np.zeros((len(answers.labels),) * 2, dtype=np.int64)
    for truth, probs in zip(answers.truth, answers.probs, strict=True):
        np.add.at(matrix, (truth, probs.argmax(axis=1)), 1)
    return matrix


def _figure(width: float, height: float) -> Figure:
    """Without pyplot: nothing global, no window, and any thread may draw."""
    from matplotlib.figure import Figure

    return Figure(figsize=(max(width, 6.0), height), layout="constrained")


def _panels(
    keys: Sequence[tuple[str, str]], side: float
) -> tuple[dict[tuple[str, str], Axes], Figure]:
    """Axes by (protocol, topology): a row for each protocol, a column for each topology."""
    keys = list(dict.fromkeys(keys))
    rows, columns = (list(dict.fromkeys(key[part] for key in keys)) for part in (0, 1))
    figure = _figure(side * len(columns), (side + 0.3) * len(rows) + 0.8)
    grid = figure.subplots(len(rows), len(columns), squeeze=False)
    panels = {}
    for (row, protocol), (column, topology) in (
        (r, c) for r in enumerate(rows) for c in enumerate(columns)
    ):
        if (protocol, topology) in keys:
            panels[protocol, topology] = grid[row, column]
        else:
            grid[row, column].set_axis_off()
    return panels, figure


def _legend(figure: Figure, panels: Mapping[tuple[str, str], Axes]) -> None:
    """One for all panels, which share it."""
    handles: dict[str, Artist] = {}
    for axes in panels.values():
        for handle, text in zip(*axes.get_legend_handles_labels(), strict=True):
            handles.setdefault(text, handle)
    figure.legend(handles.values(), handles.keys(), loc="outside right upper", fontsize=8)


def _finished(figure: Figure, title: str) -> Figure:
    from pipeline.model_spec import INTENDED_USE

    figure.suptitle(title, fontsize=11)
    figure.supxlabel(INTENDED_USE, **NOTICE)
    return figure


def _whose(answers: Sequence[TopologyAnswers]) -> str:
    first = answers[0]
    if first.positive is None:
        return "each label against the rest, pooled"
    return f"positive label {first.labels[first.positive]}"


def _seeds(seeds: Sequence[int]) -> str:
    return f", seed{'s' if len(seeds) > 1 else ''} {', '.join(map(str, seeds))}"


def _shortened(text: str) -> str:
    return text.split(";", 1)[0]


def _colour(number: int) -> str:
    return COLOURS[number % len(COLOURS)]
