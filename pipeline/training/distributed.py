"""One model trained by several processes, each with its share of every batch (data parallel).

A launcher (`LAUNCH`) starts the processes and gives each a number, its rank. The batch is that of
one process: with 2 processes and a batch of 16 each computes 8 images per step, and the gradients
are averaged (Li et al., VLDB 2020). So the recipe does not depend on their number. Every process
runs the whole validation, with the figures that a single one would have. The first process, rank 0,
writes and prints.
"""

from __future__ import annotations

import copy
import os
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Final

from pipeline.errors import BadInput, UserError, require

if TYPE_CHECKING:
    import torch
    from fastai.data.core import TfmdDL
    from fastai.distributed import DistributedTrainer
    from fastai.learner import Learner
    from torch import nn

LAUNCH: Final = "accelerate launch --multi_gpu --num_processes 2 -m pipeline train ..."
PATIENCE: Final = timedelta(hours=12)  # a lost process is noticed at once, a slow one waited for
HIDDEN: Final = ("WORLD_SIZE", "RANK")


class ProcessLost(UserError):
    """Another process of this training has ended."""


def process_count() -> int:
    """How many processes train this model."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def rank() -> int:
    """The number of this process among them, from 0 on."""
    return int(os.environ.get("RANK", "0"))


def check_launch(batch_size: int) -> None:
    """Refuse what these processes cannot train, before any image is read.

    Raises:
        BadInput: the batch cannot be shared evenly, or the launcher started one process where it
            was asked for several.
        MissingDependency: accelerate is not installed.
    """
    by_accelerate = {"ACCELERATE_MIXED_PRECISION", "MASTER_ADDR"} <= os.environ.keys()
    if by_accelerate and "WORLD_SIZE" not in os.environ:
        # `accelerate launch --cpu --num_processes 2` leaves the second process to MPI.
        raise BadInput(
            "accelerate was asked for several processes and has started one (with --cpu it always "
            f"does); use: {LAUNCH} (despite its name it starts them on CPUs too)"
        )
    count = process_count()
    if count == 1:
        return
    require("accelerate", what="training by several processes")
    if batch_size % count:
        raise BadInput(
            f"a batch of {batch_size} cannot be shared evenly by {count} processes; "
            f"give --batch-size {max(1, round(batch_size / count)) * count}"
        )


@contextmanager
def process_group() -> Iterator[None]:
    """Join the processes that the launcher started; only the first one prints. With one: nothing.

    Raises:
        ProcessLost: another process has ended; its own message says why.
    """
    count = process_count()
    if count == 1:
        yield
        return
    import torch
    from torch import distributed

    def stop(*_: object) -> None:
        raise KeyboardInterrupt  # so that nothing half-written is left when the launcher ends us

    number = rank()
    signal.signal(signal.SIGTERM, stop)
    backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
    distributed.init_process_group(backend, timeout=PATIENCE)
    try:
        with (
            Path(os.devnull).open("w") as nowhere,
            redirect_stdout(nowhere if number else sys.stdout),
        ):
            yield
    except UserError as error:
        if not number:
            raise
        raise type(error)(f"process {number} of {count}: {error}") from error
    except RuntimeError as error:
        if not isinstance(error, distributed.DistError) and "gloo" not in str(error):
            raise
        raise ProcessLost(
            f"process {number} of {count}: another process has ended; its message says why"
        ) from error
    distributed.destroy_process_group()


@contextmanager
def first_alone() -> Iterator[None]:
    """The first process runs the block, then all others, which find its results."""
    if rank():
        _wait_for_all()
    yield
    if not rank():
        _wait_for_all()


@contextmanager
def first_until_done() -> Iterator[bool]:
    """Yield whether this is the first process; the others wait at the end until it is done."""
    yield rank() == 0
    _wait_for_all()


def _wait_for_all() -> None:
    import torch

    if process_count() > 1:
        torch.distributed.all_reduce(torch.zeros(1))  # on the CPU, by gloo, GPU or not


def share_weights(network: nn.Module) -> None:
    """Every process copies the first one's weights and buffers."""
    from torch import distributed

    if process_count() > 1:
        for tensor in network.state_dict().values():
            distributed.broadcast(tensor, 0)


@contextmanager
def alone() -> Iterator[None]:
    """Within, fastai assumes one process, and does not gather the results of all.

    It asks the environment every time; with the same images in all processes it would count each
    several times.
    """
    hidden = {name: os.environ.pop(name) for name in HIDDEN if name in os.environ}
    try:
        yield
    finally:
        os.environ.update(hidden)


@contextmanager
def shared_training(learner: Learner, seed: int) -> Iterator[None]:
    """Within, `learner` (fastai) trains with its share of every batch. With one process: nothing.

    All start from the first one's weights and see the images in its order; augmentation and dropout
    differ, by `seed` and rank.
    """
    if process_count() == 1:
        yield
        return
    from fastai.basics import set_seed
    from fastai.callback.progress import ProgressCallback

    device = learner.dls.device
    on_gpu = device is not None and device.type == "cuda"
    _check_gpus(on_gpu)
    trainer = _shared_trainer(on_gpu)
    learner.add_cb(trainer)
    if rank():
        learner.remove_cb(ProgressCallback)
        set_seed((seed + rank()) % 2**32, reproducible=True)
    try:
        yield
    finally:
        learner.remove_cb(trainer)


def share_of(order: Sequence[int], batch_size: int, rank: int, count: int) -> list[int]:
    """The images of process `rank` of `count`: an equal part of each batch of `order`.

    All parts of a batch have the same size, so that the mean of the processes' gradients is the
    gradient of the batch. For that the last batch may be filled up with its own images.
    """
    ours: list[int] = []
    for start in range(0, len(order), batch_size):
        batch = list(order[start : start + batch_size])
        size = -(-len(batch) // count)
        filled = (batch * count)[: size * count]
        ours += filled[rank * size : (rank + 1) * size]
    return ours


def _check_gpus(on_gpu: bool) -> None:
    import torch

    here = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    if on_gpu and torch.cuda.device_count() < here:
        raise BadInput(
            f"{here} processes on a machine with {torch.cuda.device_count()} GPUs; start as many "
            "as there are, or train on CPUs with CUDA_VISIBLE_DEVICES= (empty)"
        )


def _shared_trainer(on_gpu: bool) -> DistributedTrainer:
    """Fastai's `DistributedTrainer`, sharing batches instead of the data set."""
    import torch
    from fastai.distributed import DistributedDL, DistributedTrainer

    class SharedLoader(DistributedDL):  # type: ignore[misc]
        """The share that this process takes of every batch of a loader.

        Fastai's own method divides the images among the processes first, which gives other batches,
        each as large as the whole batch of one process.
        """

        def __init__(self, loader: TfmdDL, device: torch.device) -> None:
            share = copy.copy(loader)
            share.bs = loader.bs // process_count()
            super().__init__(share, rank=rank(), world_size=process_count(), device=device)
            self.batch_size = loader.bs

        def __len__(self) -> int:
            return int(-(-len(self.dataset) // self.batch_size))

        def get_idxs(self) -> list[int]:
            """The share of this process in the order that the first process has drawn."""
            order = self._broadcast(list(self.dl.get_idxs()), 0)
            return share_of(order, self.batch_size, self.rank, self.world_size)

        def _broadcast(self, order: list[int], source: int) -> list[int]:
            sent = torch.tensor(order)  # fastai's own takes it to a GPU, which may not be there
            torch.distributed.broadcast(sent, source)
            return list(sent.tolist())

        def to_detach(self, batch: object, cpu: bool = True, gather: bool = True) -> object:
            return self._to_detach(batch, cpu, gather)

    class SharedTrainer(DistributedTrainer):  # type: ignore[misc]
        """Validation loaders, which do not shuffle, stay whole."""

        def __init__(self) -> None:
            # Batch statistics over all processes: torch supports this on GPUs only.
            super().__init__(sync_bn=on_gpu, cpu=not on_gpu)
            self.shared: dict[int, SharedLoader] = {}  # kept: its order goes on from fit to fit

        def _wrap_dl(self, loader: TfmdDL) -> TfmdDL:
            if isinstance(loader, SharedLoader) or not loader.shuffle:
                return loader
            if id(loader) not in self.shared:
                self.shared[id(loader)] = SharedLoader(loader, self.learn.model.device)
            return self.shared[id(loader)]

        def before_validate(self) -> None:
            self.by_itself = alone()
            self.by_itself.__enter__()

        def after_validate(self) -> None:
            self.by_itself.__exit__(None, None, None)

    return SharedTrainer()
