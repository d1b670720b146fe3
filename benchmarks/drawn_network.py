"""A checkpoint of any network without training: its weights are drawn, to behave like learnt ones.

In: a spec and a seed. Out: a checkpoint folder. What converting and proving cost depends on the
network and the side alone, not on what was learnt; faults show only where outputs vary, and a
network that no training would leave so can enlarge rounding without bound. So:

- convolutions and linear layers have weights of He's variance, normalisations scales and shifts
  that differ from channel to channel, and so has every parameter of another kind that a library
  starts as one number throughout (layer scales, slopes);
- batch norms hold the statistics of what they see, one batch of images through the whole network;
- a residual branch adds little to what it is added to, as trained ones do: what ends it is small
  (`BRANCH_SCALE`). Branches are found in the network's program (`pipeline.program`): of a sum, the
  side with more convolutions and linear layers on its shortest way, where the other has none, or
  where it has `BRANCH_LAYERS` at least;
- the last layer reads what it is given along the directions in which images differ, and its logits
  spread by `LOGIT_SPREAD`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from export.deploy.graph import PixelGraph
from export.images.stress_images import stress_images
from pipeline.checkpoint import write_checkpoint
from pipeline.errors import BadInput
from pipeline.models.networks import build_network
from pipeline.program.capture import capture
from pipeline.program.operations import operation_of
from pipeline.resize.notation import height_width

if TYPE_CHECKING:
    from pathlib import Path

    from torch import fx

    from pipeline.model_spec import ModelSpec
    from pipeline.program.program import Program
    from pipeline.resize.rule import Size

SMOOTH_IMAGES: Final = 11  # 24 with the hard set
# Of a residual branch, which starts from 0 (`pipeline.models.networks`) and stays near it. The
# error that fp16 weights cause in the evidence of a ResNet-152 grows with it: 3e-3 of the largest
# value at 0.1, as after 13 epochs of training on X-rays, 1.6e-2 at 0.2, 4.8e-2 at 0.3; at 1 it is
# chaotic.
BRANCH_SCALE: Final = 0.1
# Parallel convolutions that are summed and could be merged into one (RepVGG, MobileOne) are no
# branches of each other; beside what they read they are.
BRANCH_LAYERS: Final = 2
LOGIT_SPREAD: Final = 2.0  # probabilities from 0.1 to 0.9: neither saturated nor all alike
SCALES: Final = (0.5, 1.5)  # of normalisations, and of other parameters that start as one number
WEIGHTED: Final = (nn.Conv2d, nn.Linear)
NORMS: Final = (_BatchNorm, nn.LayerNorm, nn.GroupNorm)


def write_drawn_checkpoint(folder: Path, spec: ModelSpec, seed: int = 0) -> Path:
    """Draw a network of the spec's architecture, calibrate it, write it to `folder`."""
    network = drawn_network(spec, seed)
    folder.mkdir(parents=True, exist_ok=True)
    write_checkpoint(folder, spec, network.state_dict())
    return folder


def drawn_network(spec: ModelSpec, seed: int = 0) -> nn.Module:
    """A calibrated network of the spec's architecture, in evaluation mode."""
    torch.manual_seed(seed)
    return calibrate(build_network(spec.architecture, len(spec.labels)), spec, seed)


def calibrate(network: nn.Module, spec: ModelSpec, seed: int = 0) -> nn.Module:
    """Draw a network's weights (see the module); return it in evaluation mode.

    The rule for weights is He's (arXiv:1502.01852): activations neither vanish nor explode.
    """
    bare = PixelGraph(network, spec)
    pixels = (_calibration_images(spec.side, seed) - bare.mean) / bare.std
    network.eval()
    with torch.no_grad():
        _draw(network)
        _quieten_branches(network, spec)
        _take_statistics(network, pixels)
        _spread_logits(network, pixels)
    return network


def _draw(network: nn.Module) -> None:
    for module in network.modules():
        if isinstance(module, WEIGHTED):
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
            if module.bias is not None:
                nn.init.normal_(module.bias, std=0.1)
        elif isinstance(module, NORMS):
            if module.weight is not None:
                nn.init.uniform_(module.weight, *SCALES)
            if module.bias is not None:
                nn.init.normal_(module.bias, std=0.1)
        else:
            for parameter in module.parameters(recurse=False):
                if parameter.numel() > 1 and (parameter == parameter.flatten()[0]).all():
                    parameter.mul_(torch.empty_like(parameter).uniform_(*SCALES))


def _quieten_branches(network: nn.Module, spec: ModelSpec) -> None:
    """Scale what ends each residual branch; a layer scale is drawn, whatever it starts from.

    A network that no program can hold keeps its branches as they were drawn.
    """
    try:
        program = capture(network, spec.resize.size)
    except BadInput:
        return
    tensors = {**dict(network.named_parameters()), **dict(network.named_buffers())}
    for end in dict.fromkeys(_branch_ends(program)):
        for held in end.all_input_nodes:
            if held.op != "get_attr" or not isinstance(tensors[str(held.target)], nn.Parameter):
                continue
            if operation_of(end) == "mul.Tensor":
                tensors[str(held.target)].uniform_(*SCALES)
            tensors[str(held.target)].mul_(BRANCH_SCALE)


def _branch_ends(program: Program) -> Iterator[fx.Node]:
    """The last calls with parameters of each residual branch, one on each way to the sum."""
    above: dict[fx.Node, set[fx.Node]] = {}  # a node and what it depends on
    for node in program.network.graph.nodes:
        above[node] = {node}.union(*(above[source] for source in node.all_input_nodes))
        if operation_of(node) != "add.Tensor" or len(node.all_input_nodes) != 2:
            continue
        one, other = node.all_input_nodes
        sides = [(one, above[one] - above[other]), (other, above[other] - above[one])]
        (short, _, _), (long, end, branch) = sorted(
            ((_layers(*side), *side) for side in sides), key=lambda found: found[0]
        )
        if long > short and (short == 0 or long >= BRANCH_LAYERS):
            yield from _last_with_parameters(end, branch)


def _layers(end: fx.Node, side: set[fx.Node]) -> int:
    """How many convolutions and linear layers the shortest way through a side passes."""
    depth: dict[fx.Node, int] = {}
    for node in end.graph.nodes:  # sources first
        if node in side:
            sources = [source for source in node.all_input_nodes if source.op != "get_attr"]
            before = min((depth.get(source, 0) for source in sources), default=0)
            depth[node] = before + (operation_of(node) in ("conv2d", "linear"))
    return depth.get(end, 0)


def _last_with_parameters(end: fx.Node, side: set[fx.Node]) -> Iterator[fx.Node]:
    if any(source.op == "get_attr" for source in end.all_input_nodes):
        yield end
        return
    for source in end.all_input_nodes:
        if source in side:
            yield from _last_with_parameters(source, side)


def _calibration_images(side: Size, seed: int) -> Tensor:
    """The hard set and smooth random images, float32 (N, 3, H, W), 0..255."""
    hard = np.stack(list(stress_images(side).values())).transpose(0, 3, 1, 2)
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(SMOOTH_IMAGES, 3, 7, 7, generator=generator)
    smooth = F.interpolate(coarse, size=height_width(side), mode="bicubic").clamp(0, 1) * 255
    return torch.cat([torch.from_numpy(hard).float(), smooth])


def _take_statistics(network: nn.Module, pixels: Tensor) -> None:
    """Each batch norm's running statistics become those of this batch; all else is as it serves."""
    norms = [module for module in network.modules() if isinstance(module, _BatchNorm)]
    if not norms:
        return
    kept = [norm.momentum for norm in norms]
    for norm in norms:
        norm.momentum, norm.training = 1.0, True
    network(pixels)
    for norm, momentum in zip(norms, kept, strict=True):
        norm.momentum, norm.training = momentum, False


def _spread_logits(network: nn.Module, pixels: Tensor) -> None:
    """Give the last weighted layer, a convolution or a linear layer, the weights of a trained one.

    It reads its inputs along their principal directions, in which images differ most. Along random
    directions it would read mostly what all images share, and rounding errors.
    """
    last = [m for m in network.modules() if isinstance(m, nn.Conv2d | nn.Linear)][-1]
    assert last.bias is not None
    rows: list[Tensor] = []
    watch = last.register_forward_pre_hook(lambda _, inputs: rows.append(_pooled(inputs[0])))
    for image in pixels:
        network(image[None])
    watch.remove()
    features = torch.cat(rows).double()  # (N, C)
    middle = features.mean(dim=0)
    directions = torch.linalg.svd(features - middle, full_matrices=False).Vh[: len(last.weight)]
    weight = directions * (LOGIT_SPREAD / (features @ directions.T).std(dim=0))[:, None]
    last.weight.copy_(weight.reshape(last.weight.shape))
    last.bias.copy_(-(features @ weight.T).median(dim=0).values)


def _pooled(features: Tensor) -> Tensor:
    """(N, C, h, w) or (N, C) -> (N, C)."""
    return features.flatten(2).mean(dim=2) if features.ndim == 4 else features
