"""Networks of torchvision, fastai and timm as programs: run, folded, kept and compared."""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from pipeline.program.batch_norm_folding import folded
from pipeline.program.capture import capture
from pipeline.program.comparison import compare
from pipeline.program.operations import arguments_of, operation_of
from pipeline.program.program import Program
from pipeline.program.reading import read_program
from pipeline.program.writing import write_program

CLASSES = 5
# One of each kind of block; `python -m benchmarks topologies` is for all names and sizes.
TORCHVISION = """
    mobilenet_v3_small efficientnet_b0 shufflenet_v2_x1_0 regnet_y_400mf googlenet swin_t
""".split()  # noqa: SIM905
XRESNETS = ["xresnet18"]
TIMM = """
    tf_efficientnet_lite0 mobilenetv4_conv_small repvgg_a0 ghostnet_100 mixnet_s convnext_atto
    edgenext_xx_small fastvit_t8 repvit_m1 vit_tiny_patch16_224 levit_128s mobilevit_xxs
    efficientvit_b0
""".split()  # noqa: SIM905
FIXED_SIDE = {"vit_tiny_patch16_224", "levit_128s"}
LIBRARIES = {"tv": TORCHVISION, "xr": XRESNETS, "timm": TIMM}
NAMES = [f"{library}:{name}" for library, names in LIBRARIES.items() for name in names]


def built(name: str) -> nn.Module:
    """Without weights of anyone: drawn where a network starts at zero, statistics of noise."""
    library, _, model = name.partition(":")
    torch.manual_seed(0)
    if library == "tv":
        from torchvision.models import get_model

        options = {"aux_logits": False, "init_weights": False} if model == "googlenet" else {}
        network = get_model(model, weights=None, num_classes=CLASSES, **options)
    elif library == "timm":
        timm = pytest.importorskip("timm")
        network = timm.create_model(model, pretrained=False, num_classes=CLASSES)
    else:
        xresnet = pytest.importorskip("fastai.vision.models.xresnet")
        network = getattr(xresnet, model)(n_out=CLASSES)
    with torch.no_grad():
        for parameter in network.parameters():
            if not parameter.any():
                parameter.normal_(std=0.1)
        for module in network.modules():
            if isinstance(module, nn.modules.batchnorm._BatchNorm):
                module.momentum = None  # the mean of what it has seen
        network.train()(noise(8, side_of(name), seed=9))
    return network.eval()


def side_of(name: str) -> int:
    return 224 if name.partition(":")[2] in FIXED_SIDE else 128


def noise(images: int, side: int, seed: int) -> Tensor:
    return torch.randn(images, 3, side, side, generator=torch.Generator().manual_seed(seed))


def fault_of_folding(program: Program, side: int) -> float:
    """In float64: what deep networks make of the last bit of float32 is no fault of folding."""
    plain = replace(program, network=copy.deepcopy(program.network).double())
    for node in plain.operations():
        if operation_of(node) == "batch_norm":
            epsilon = arguments_of(node)["eps"]
            node.args = tuple(float(np.float32(a)) if a == epsilon else a for a in node.args)
    plain.network.recompile()
    torch.set_default_dtype(torch.float64)
    try:
        x = torch.randn(2, 3, side, side, generator=torch.Generator().manual_seed(2))
        with torch.inference_mode():
            return relative(folded(plain).network(x), plain.network(x))
    finally:
        torch.set_default_dtype(torch.float32)


def relative(found: Tensor, wanted: Tensor) -> float:
    return float((found - wanted).abs().max() / wanted.abs().max())


@pytest.mark.ci("captures 20 networks, seconds each")
@pytest.mark.parametrize("name", NAMES)
def test_a_known_network_is_a_program(name: str, tmp_path: Path) -> None:
    network, side = built(name), side_of(name)
    program = capture(network, (side, side))
    made = folded(program)
    write_program(tmp_path, made)
    again = read_program(tmp_path)
    assert compare(made, again) == []
    for images in (1, 3):
        x = noise(images, side, images)
        with torch.inference_mode():
            wanted = network(x)
            assert wanted.shape == (images, CLASSES)
            assert relative(program.network(x), wanted) < 1e-5
            assert torch.equal(again.network(x), made.network(x))
    assert fault_of_folding(program, side) < 1e-9
    told = {entry for entries in program.sources.values() for entry in entries}
    assert told | {*program.unused} == network.state_dict().keys()
    assert all(entry.endswith("num_batches_tracked") for entry in program.unused)
