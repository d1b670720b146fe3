"""A checkpoint of any topology without training: random weights, calibrated until outputs vary.

In: a spec and a seed. Out: a checkpoint folder. What converting and proving cost depends on the
topology and the side alone, not on what was learnt; faults show only where outputs vary.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.models.resnet import BasicBlock, Bottleneck

from export.deploy.graph import PixelGraph
from export.images.stress_images import stress_images
from pipeline.checkpoint import write_checkpoint
from pipeline.models.networks import build_network
from pipeline.resize.notation import height_width

if TYPE_CHECKING:
    from pathlib import Path

    from pipeline.model_spec import ModelSpec
    from pipeline.resize.rule import Size

SMOOTH_IMAGES: Final = 11  # 24 with the hard set
# Of a residual branch, which starts from 0 (`pipeline.models.networks`) and stays near it. The
# error that fp16 weights cause in the evidence of a ResNet-152 grows with it: 3e-3 of the largest
# value at 0.1, as after 13 epochs of training on X-rays, 1.6e-2 at 0.2, 4.8e-2 at 0.3; at 1 it is
# chaotic.
BRANCH_SCALE: Final = 0.1
LOGIT_SPREAD: Final = 2.0  # probabilities from 0.1 to 0.9: neither saturated nor all alike


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
    """Draw a network's weights by He's rule (arXiv:1502.01852); return it in evaluation mode.

    Batch norms get different scales and shifts, and the statistics of one batch that passed through
    them, so that activations neither vanish nor explode at any depth. The last layer is scaled and
    shifted until the logits of each class spread by `LOGIT_SPREAD` around 0.
    """
    bare = PixelGraph(network, spec)
    pixels = (_calibration_images(spec.side, seed) - bare.mean) / bare.std
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
                if module.bias is not None:
                    nn.init.normal_(module.bias, std=0.1)
            elif isinstance(module, nn.BatchNorm2d):
                nn.init.uniform_(module.weight, 0.5, 1.5)
                nn.init.normal_(module.bias, std=0.1)
        for module in network.modules():
            if isinstance(module, BasicBlock | Bottleneck):
                _last_norm(module).weight.mul_(BRANCH_SCALE)
        _take_statistics(network, pixels)
        _spread_logits(network, pixels)
    return network.eval()


def _last_norm(block: BasicBlock | Bottleneck) -> nn.BatchNorm2d:
    norm = block.bn3 if isinstance(block, Bottleneck) else block.bn2
    assert isinstance(norm, nn.BatchNorm2d)
    return norm


def _calibration_images(side: Size, seed: int) -> Tensor:
    """The hard set and smooth random images, float32 (N, 3, H, W), 0..255."""
    hard = np.stack(list(stress_images(side).values())).transpose(0, 3, 1, 2)
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(SMOOTH_IMAGES, 3, 7, 7, generator=generator)
    smooth = F.interpolate(coarse, size=height_width(side), mode="bicubic").clamp(0, 1) * 255
    return torch.cat([torch.from_numpy(hard).float(), smooth])


def _take_statistics(network: nn.Module, pixels: Tensor) -> None:
    """Each batch norm's running statistics become those of this batch."""
    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]
    if not norms:
        return
    kept = [norm.momentum for norm in norms]
    for norm in norms:
        norm.momentum = 1.0
    network.train()
    network(pixels)
    for norm, momentum in zip(norms, kept, strict=True):
        norm.momentum = momentum


def _spread_logits(network: nn.Module, pixels: Tensor) -> None:
    """Give the last weighted layer, a convolution or a linear layer, the weights of a trained one.

    It reads its inputs along their principal directions, in which images differ most. Along random
    directions it would read mostly what all images share, and rounding errors.
    """
    last = [m for m in network.modules() if isinstance(m, nn.Conv2d | nn.Linear)][-1]
    assert last.bias is not None
    rows: list[Tensor] = []
    watch = last.register_forward_pre_hook(lambda _, inputs: rows.append(_pooled(inputs[0])))
    network.eval()
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
