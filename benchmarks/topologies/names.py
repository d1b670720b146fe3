"""The networks of the benchmark, by the names that `pipeline train --architecture` takes.

The paper's, our own, and of each library those that people put on phones or compare with: every
kind of block is there (residual, dense, depthwise, squeeze-and-excitation, channel shuffle,
parallel branches, mixed kernels, layer norms, attention over channels).
"""

from __future__ import annotations

from typing import Final

from pipeline.architecture_names import ARCHITECTURES

# fmt: off
TORCHVISION: Final = (
    "alexnet", "vgg16", "squeezenet1_0",
    "resnet18", "resnet50", "resnext50_32x4d", "wide_resnet50_2", "densenet121", "googlenet",
    "mobilenet_v2", "mobilenet_v3_small", "mobilenet_v3_large", "mnasnet1_0", "shufflenet_v2_x1_0",
    "efficientnet_b0", "efficientnet_v2_s", "regnet_x_400mf", "regnet_y_400mf", "convnext_tiny",
)
FASTAI: Final = ("xresnet18", "xresnet34", "xresnet50")
TIMM: Final = (
    "efficientnet_lite0", "mobilenetv4_conv_small", "mobileone_s0", "repvgg_a0", "ghostnet_100",
    "resnet18d", "rexnet_100", "hardcorenas_a", "mixnet_s", "semnasnet_100", "fbnetc_100",
    "tinynet_a", "convnext_atto", "edgenext_xx_small",
)
# fmt: on
NAMES: Final = (
    *ARCHITECTURES,
    *TORCHVISION,
    *(f"fastai/{name}" for name in FASTAI),
    *(f"timm/{name}" for name in TIMM),
)
