"""The fastai part of compression: fine-tuning through the rounding, with the model as teacher.

In: a network on grids, the network it came from, training images. Out: better grids. Weights are
rounded in each forward pass and trained as if they were not (straight-through estimator, Bengio et
al., arXiv:1308.3432). No labels are used: the targets are the teacher's outputs and those of each
of its blocks (FitNets, Romero et al., arXiv:1412.6550), since the aim is the same model, not a
better one.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from pipeline.compress.activation_quantization import rounded_places
from pipeline.compress.gptq import round_others
from pipeline.mixed_precision import chosen_arithmetic, half_precision
from pipeline.quantization_grid import LEAST_SCALE, SCALE_BITS, Grid, short_scale

if TYPE_CHECKING:
    from fastai.callback.core import Callback
    from fastai.data.core import DataLoaders

    from pipeline.compress.recipes import Recipe

LOGITS_WEIGHT: Final = 4.0  # with about eight blocks, the logits count more than any of them
TINY: Final = 1e-6
RISE: Final = 2.0  # beyond it, EfficientNet-Lite0 ended seven times worse than rounding alone
PATIENCE: Final = 3  # epochs in a row: a single one is shaken by few images
LESS: Final = 4.0
TRIES: Final = 5


class RoundToGrid(nn.Module):
    """A weight rounded to its grid, with a trainable scale (LSQ, Esser et al., ICLR 2020).

    The gradient ignores the rounding, of the codes to integers and of the scale to few bits. The
    scale is trained as its logarithm: proportional steps, never negative.
    """

    def __init__(self, grid: Grid) -> None:
        super().__init__()
        self.levels = grid.levels
        self.log_scale = nn.Parameter(torch.from_numpy(grid.scale_like(grid.codes)).log())

    def scale(self) -> Tensor:
        """(O, 1, ...), each with the significant bits of a grid's scale."""
        exact = self.log_scale.exp().clamp(min=LEAST_SCALE)
        mantissa, exponent = torch.frexp(exact.detach())
        steps = 2.0**SCALE_BITS
        short = torch.ldexp((mantissa * steps).round() / steps, exponent)
        return exact + (short - exact).detach()

    def forward(self, weight: Tensor) -> Tensor:
        scale = self.scale()
        codes = torch.clamp(weight / scale, -self.levels, self.levels)
        return (codes + (codes.round() - codes).detach()) * scale


def finetune_on_grids(
    student: nn.Module,
    grids: Mapping[str, Grid],
    teacher: nn.Module,
    loaders: DataLoaders,
    recipe: Recipe,
    fixed: Collection[str] = (),
) -> tuple[dict[str, Grid], float]:
    """Fine-tune `student` in place; return grids with new codes and scales, and the learning rate.

    Which steps are too large depends on the network. Where the validation loss stays above `RISE`
    times that of rounding alone, it begins again with a rate `LESS` times smaller; after `TRIES` of
    that nothing is learnt, at a rate of 0.

    Args:
        student: with the weights of `grids`, plain or traced with its activations rounded
            (`pipeline.compress.activation_quantization`).
        grids: by weight name.
        teacher: the network it came from, traced if the student is; not changed.
        loaders: fastai `DataLoaders`; labels are not used.
        recipe: epochs, learning rate, seed.
        fixed: names of `grids` whose layers stay as they are.
    """
    import fastai.callback.progress
    import fastai.callback.schedule  # noqa: F401
    from fastai.basics import set_seed
    from fastai.learner import Learner

    from pipeline.metrics.epoch_lines import for_a_log

    set_seed(recipe.seed, reproducible=True)
    learning = {name: grid for name, grid in grids.items() if name not in fixed}
    for name, grid in learning.items():
        parametrize.register_parametrization(_layer(student, name), "weight", RoundToGrid(grid))
    # Channels-last: a training step in two thirds of the time on a CPU.
    for network, learns in ((student, True), (teacher.eval(), False)):
        network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        network.requires_grad_(learns)
    for name in fixed:
        _layer(student, name).requires_grad_(False)
    for module in student.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.requires_grad_(False)  # scale and shift, in fp16
    start = {name: tensor.clone() for name, tensor in student.state_dict().items()}
    with _inner_outputs(teacher) as wanted, _inner_outputs(student) as found:
        learner = Learner(
            loaders,
            student,
            loss_func=lambda logits, target, **_: _loss(logits, target, found, wanted),
            cbs=[_evaluating(), _asking(teacher, wanted, found), *_half_precision(recipe)],
            wd=0.0,
        )
        with learner.no_bar(), learner.no_logging():
            (before,) = learner.validate()
        for_a_log(learner)
        for lr in (recipe.lr / LESS**i for i in range(TRIES)):
            rises = _stopping_if_the_loss_rises(before)
            learner.fit_one_cycle(recipe.epochs, lr, cbs=rises, reset_opt=True)
            if not rises.risen:
                break
            print(f"the loss rises at a learning rate of {lr:g}", flush=True)
            student.load_state_dict(start)
        else:
            print("rounding alone is kept", flush=True)
            lr = 0.0
    student.eval()
    taken = {name: _take_codes(student, name, grid) for name, grid in learning.items()}
    round_others(student, grids)
    return dict(grids) | taken, lr


def _stopping_if_the_loss_rises(before: float) -> Any:
    """A fastai callback: ends a training whose validation loss stays above `RISE` x `before`."""
    from fastai.callback.core import Callback, CancelFitException
    from fastai.learner import Recorder

    class Stopping(Callback):  # type: ignore[misc]
        order = Recorder.order + 1  # which has the figures of the epoch
        above = 0  # epochs in a row

        def after_epoch(self) -> None:
            right = self.recorder.values[-1][1] <= RISE * before
            self.above = 0 if right else self.above + 1
            if self.risen:
                raise CancelFitException

        @property
        def risen(self) -> bool:
            return self.above >= PATIENCE

    return Stopping()


def _evaluating() -> Callback:
    """A fastai callback that learns in evaluation mode, as the teacher answers.

    Without dropout and dropped paths, and with the statistics of batch norms as they are.
    """
    from fastai.callback.core import Callback

    class Evaluating(Callback):  # type: ignore[misc]
        def before_train(self) -> None:
            self.learn.model.eval()

    return Evaluating()


def _asking(teacher: nn.Module, wanted: list[Tensor], found: list[Tensor]) -> Callback:
    """A fastai callback that replaces the labels by the teacher's logits."""
    from fastai.callback.core import Callback
    from fastai.callback.fp16 import MixedPrecision

    class Asking(Callback):  # type: ignore[misc]
        order = MixedPrecision.order + 1  # in the arithmetic of the student

        def before_batch(self) -> None:
            wanted.clear()
            found.clear()
            with torch.no_grad():
                self.learn.yb = (teacher(self.learn.xb[0].as_subclass(Tensor)),)

    return Asking()


def _half_precision(recipe: Recipe) -> list[Callback]:
    return [half_precision()] if chosen_arithmetic(recipe.arithmetic) == "bf16" else []


def _loss(logits: Tensor, target: Tensor, found: list[Tensor], wanted: list[Tensor]) -> Tensor:
    """Squared error of the logits and of every block's output, each relative to its power.

    Only differences between logits count, as in a softmax.
    """
    answer, right = (_centred(values.as_subclass(Tensor)) for values in (logits, target))
    loss = LOGITS_WEIGHT * _relative_error(answer, right)
    for output, wish in zip(found, wanted, strict=True):
        loss = loss + _relative_error(output, wish)
    return loss


def _centred(logits: Tensor) -> Tensor:
    return logits - logits.mean(dim=1, keepdim=True)


def _relative_error(output: Tensor, wish: Tensor) -> Tensor:
    output, wish = output.float(), wish.float()  # a difference of close numbers
    return ((output - wish) ** 2).mean() / ((wish**2).mean() + TINY)


@contextmanager
def _inner_outputs(network: nn.Module) -> Iterator[list[Tensor]]:
    """A list that fills with the outputs of the body's blocks: its children with several layers.

    In a traced network blocks are not called; there it is what passes each rounded place.
    """
    outputs: list[Tensor] = []

    def note(_: nn.Module, __: object, output: object) -> None:
        if isinstance(output, Tensor):
            outputs.append(output.as_subclass(Tensor))

    watched = [place for _, place in rounded_places(network)] or [
        block
        for block in getattr(network, "body", network).children()
        if sum(1 for _ in block.children()) > 1
    ]
    hooks = [module.register_forward_hook(note) for module in watched]
    try:
        yield outputs
    finally:
        for hook in hooks:
            hook.remove()


def _take_codes(student: nn.Module, name: str, grid: Grid) -> Grid:
    """Make the rounded weight a plain parameter; return the new grid."""
    layer = _layer(student, name)
    rounding = layer.parametrizations.weight[0]
    with torch.no_grad():
        scale = rounding.scale()
        latent = layer.parametrizations.weight.original
        codes = torch.clamp(latent / scale, -grid.levels, grid.levels).round()
    better = Grid(
        codes.to(torch.int8).contiguous().numpy(), short_scale(scale.flatten().numpy()), grid.levels
    )
    parametrize.remove_parametrizations(layer, "weight")
    with torch.no_grad():
        layer.weight.copy_(torch.from_numpy(better.weights()))
    return better


def _layer(network: nn.Module, weight: str) -> Any:
    """The layer of a weight; a traced network has fused it with the ReLU that follows."""
    layer = network.get_submodule(weight.removesuffix(".weight"))
    return getattr(layer, "0", layer)
