"""Pictures of a training run."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from pipeline.training.learner import EpochFigures


def plot_curves(history: Sequence[EpochFigures], title: str, path: Path) -> None:
    """Losses, and accuracy, recall and AUROC of the validation images, per epoch, as a PNG."""
    import matplotlib as mpl

    mpl.use("Agg")  # no window: training also runs where there is no screen
    from matplotlib import pyplot as plt

    epochs = range(1, len(history) + 1)
    frozen = sum(epoch.stage == "frozen" for epoch in history)
    figure, (losses, figures) = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
    losses.plot(epochs, [e.train_loss for e in history], "o-", ms=3, label="train")
    losses.plot(epochs, [e.valid_loss for e in history], "o-", ms=3, label="valid")
    losses.set(xlabel="epoch", ylabel="cross-entropy loss", ylim=(0, None))
    for name in ("accuracy", "recall", "auroc"):
        figures.plot(epochs, [getattr(e, name) for e in history], "o-", ms=3, label=name)
    figures.set(xlabel="epoch", ylabel="on validation images", ylim=(0, 1.02))
    for axes in (losses, figures):
        if 0 < frozen < len(history):
            axes.axvline(frozen + 0.5, color="grey", ls="--", lw=1, label="body unfrozen")
        axes.grid(alpha=0.3)
        axes.legend()
    figure.suptitle(title)
    figure.savefig(path, dpi=110)
    plt.close(figure)
