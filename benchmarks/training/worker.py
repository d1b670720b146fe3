"""One training in one process, timed to a validation AUROC: ours, or fastai as in its tutorials.

Arguments: name, data, seed, threads, target. It prints a JSON line per epoch, ``{"seconds": ...,
"auroc": ...}``, and stops when the target is reached. The clock starts after all imports and before
the first image is read.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final

import torch
from fastai.callback.core import Callback
from fastai.vision import all as vision

from pipeline.config import TrainConfig
from pipeline.data.dataset import read_dataset
from pipeline.metrics.classification import auroc
from pipeline.models.networks import build_network
from pipeline.models.pretrained import initialise_body
from pipeline.training.learner import fit

if TYPE_CHECKING:
    from pipeline.data.dataset import Dataset

ARCHITECTURE: Final = "squeezenet1_1"
PLAIN_EPOCHS: Final = 10  # after the frozen one; our recipe sets its own number


class Reached(Exception):
    """The target is reached: nothing is left to time."""


class Watch(Callback):  # type: ignore[misc]
    """Prints time and validation AUROC after every epoch."""

    def __init__(self, positive: int, target: float, start: float) -> None:
        super().__init__()
        self.positive, self.target, self.start = positive, target, start

    def before_validate(self) -> None:
        self.answers: list[tuple[torch.Tensor, torch.Tensor]] = []

    def after_batch(self) -> None:
        if not self.training:
            self.answers.append((self.pred.detach().float(), self.y))

    def after_validate(self) -> None:
        logits, classes = (torch.cat(parts) for parts in zip(*self.answers, strict=True))
        found = auroc(classes.numpy(), logits.softmax(1).numpy(), self.positive)
        line = {"seconds": time.perf_counter() - self.start, "auroc": found}
        print(json.dumps(line), flush=True)
        if found >= self.target:
            raise Reached(f"AUROC {found}")  # fastai adds words to the message: there must be one


def train_ours(dataset: Dataset, seed: int, watch: Watch) -> None:
    """`python -m pipeline train` with its default recipe."""
    network = build_network(ARCHITECTURE, len(dataset.labels))
    initialise_body(network, ARCHITECTURE, "auto")
    fit(network, dataset, watch.positive, TrainConfig(seed=seed), watch)


def train_plain(dataset: Dataset, seed: int, watch: Watch) -> None:
    """`vision_learner(...).fine_tune(...)`: fastai's own loaders, head, schedule and defaults.

    It starts from the same ImageNet weights as ours.
    """
    vision.set_seed(seed, reproducible=True)
    samples = [*dataset.train, *dataset.valid]
    valid = range(len(dataset.train), len(samples))
    loaders = vision.DataBlock(
        blocks=(vision.ImageBlock, vision.CategoryBlock(vocab=list(dataset.labels), sort=False)),
        get_x=lambda sample: sample.path,
        get_y=lambda sample: sample.label,
        splitter=vision.IndexSplitter(list(valid)),
        item_tfms=vision.Resize(TrainConfig().side),
        batch_tfms=[
            *vision.aug_transforms(),
            vision.Normalize.from_stats(*vision.imagenet_stats, cuda=False),
        ],
    ).dataloaders(samples, bs=TrainConfig().batch_size)
    learner = vision.vision_learner(loaders, vision.squeezenet1_1, pretrained=False, cbs=watch)
    start = build_network(ARCHITECTURE, len(dataset.labels))
    initialise_body(start, ARCHITECTURE, "auto")
    learner.model[0][0].load_state_dict(start.body.state_dict())
    learner.fine_tune(PLAIN_EPOCHS)


TRAININGS: Final[Mapping[str, Callable[[Dataset, int, Watch], None]]] = {
    "ours": train_ours,
    "plain fastai": train_plain,
}


def main() -> None:
    """Train once, as the arguments say."""
    name, data, seed, threads, target = sys.argv[1:]
    torch.set_num_threads(int(threads))
    initialise_body(
        build_network(ARCHITECTURE, 2), ARCHITECTURE, "auto"
    )  # fetched before the clock
    start = time.perf_counter()
    dataset = read_dataset(Path(data))
    watch = Watch(_positive(dataset), float(target), start)
    try:
        TRAININGS[name](dataset, int(seed), watch)
    except Reached:
        return


def _positive(dataset: Dataset) -> int:
    """The rarer label, as in `python -m pipeline train`."""
    counts = dataset.counts()["train"]
    return dataset.labels.index(min(reversed(dataset.labels), key=lambda label: counts[label]))


if __name__ == "__main__":
    main()
