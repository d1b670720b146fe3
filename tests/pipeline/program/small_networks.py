"""Small networks of each kind, drawn so that every part matters."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pipeline.program.capture import capture
from pipeline.program.program import Program

SIDE = (16, 24)


def pixels(images: int = 2) -> Tensor:
    return torch.randn(images, 3, *SIDE, generator=torch.Generator().manual_seed(images))


class Headed(nn.Module):
    """A stem of 8 channels, what a subclass does, and a linear layer on the mean."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, stride=2, padding=1)
        self.head = nn.Linear(8, 5)
        self.make()

    def make(self) -> None:
        """The parts between."""

    def between(self, x: Tensor) -> Tensor:
        return x

    def forward(self, x: Tensor) -> Tensor:
        x = self.between(self.stem(x))
        logits: Tensor = self.head(torch.flatten(F.adaptive_avg_pool2d(x, 1), 1))
        return logits


class Residual(Headed):
    """In place where torchvision's is."""

    def make(self) -> None:
        self.first = nn.Conv2d(8, 8, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(8, eps=1e-3)
        self.second = nn.Conv2d(8, 8, 3, padding=1)
        self.relu = nn.ReLU(inplace=True)
        self.drop = nn.Dropout(0.5)

    def between(self, x: Tensor) -> Tensor:
        out = self.second(self.relu(self.norm(self.first(x))))
        out += x
        return self.drop(self.relu(out))


class Dense(Headed):
    """A batch norm before a ReLU and a convolution; what was computed goes on beside it."""

    def make(self) -> None:
        self.norm = nn.BatchNorm2d(8)
        self.grow = nn.Conv2d(8, 4, 1)
        self.shrink = nn.Conv2d(12, 8, 1)

    def between(self, x: Tensor) -> Tensor:
        new = self.grow(F.relu(self.norm(x)))
        return F.avg_pool2d(self.shrink(torch.cat([x, new], 1)), 2)


class Depthwise(Headed):
    """MobileNet's block: relu6, a depthwise convolution, squeeze and excitation, hard-swish."""

    def make(self) -> None:
        self.grow = nn.Conv2d(8, 16, 1, bias=False)
        self.grown = nn.BatchNorm2d(16)
        self.depthwise = nn.Conv2d(16, 16, 3, padding=1, groups=16, bias=False)
        self.narrow = nn.Conv2d(16, 4, 1)
        self.wide = nn.Conv2d(4, 16, 1)
        self.shrink = nn.Conv2d(16, 8, 1)

    def between(self, x: Tensor) -> Tensor:
        y = F.hardswish(self.depthwise(F.relu6(self.grown(self.grow(x)))))
        gate = self.wide(F.silu(self.narrow(y.mean((2, 3), keepdim=True))))
        return x + self.shrink(y * F.hardsigmoid(gate))


class LayerScale(Headed):
    """ConvNeXt's block: linear layers on channels that stand last, and a scale as a parameter."""

    def make(self) -> None:
        self.norm = nn.LayerNorm(8, eps=1e-6)
        self.grow = nn.Linear(8, 16)
        self.shrink = nn.Linear(16, 8)
        self.scale = nn.Parameter(torch.ones(8, 1, 1))

    def between(self, x: Tensor) -> Tensor:
        y = self.norm(x.permute(0, 2, 3, 1))
        y = self.shrink(F.gelu(self.grow(y))).permute(0, 3, 1, 2)
        return x + self.scale * y


class Shuffle(Headed):
    """Channels shuffled by sizes that are asked for, split and written over in place."""

    def make(self) -> None:
        self.other = nn.Conv2d(4, 4, 1)

    def between(self, x: Tensor) -> Tensor:
        one, other = x.chunk(2, dim=1)
        x = torch.cat([one, self.other(other)], 1)
        batch, channels, height, width = x.size()
        x = x.view(batch, 2, channels // 2, height, width).transpose(1, 2).contiguous()
        x = x.view(batch, -1, height, width)
        x[:, :3] += x[:, 3:6]
        return x


class SamePadding(Headed):
    """Padding by the size of what comes in, as TensorFlow pads; and a learnt slope."""

    def make(self) -> None:
        self.conv = nn.Conv2d(8, 8, 3, stride=2)
        self.slope = nn.PReLU(8)

    def between(self, x: Tensor) -> Tensor:
        short = [max((-(-n // 2) - 1) * 2 + 3 - n, 0) for n in x.shape[-2:]]
        pad = [short[1] // 2, short[1] - short[1] // 2, short[0] // 2, short[0] - short[0] // 2]
        return self.slope(self.conv(F.pad(x, pad)))


class Attention(Headed):
    """A class token, a table of places, and attention."""

    def make(self) -> None:
        self.token = nn.Parameter(torch.zeros(1, 1, 8))
        self.table = nn.Parameter(torch.zeros(9, 2))
        places = torch.arange(97)[:, None] * torch.arange(97)[None] % 9
        self.register_buffer("places", places, persistent=False)
        self.norm = nn.LayerNorm(8)
        self.qkv = nn.Linear(8, 24)
        self.out = nn.Linear(8, 8)

    def between(self, x: Tensor) -> Tensor:
        n, c = x.shape[:2]
        x = torch.cat([self.token.expand(n, -1, -1), x.flatten(2).transpose(1, 2)], dim=1)
        q, k, v = self.qkv(self.norm(x)).reshape(n, -1, 3, 2, c // 2).permute(2, 0, 3, 1, 4)
        bias = self.table[self.places].permute(2, 0, 1)
        y = F.scaled_dot_product_attention(q, k, v, attn_mask=bias)
        x = x + self.out(y.transpose(1, 2).reshape(n, -1, c))
        return x.transpose(1, 2)[:, :, 1:].unflatten(2, (8, 12))


KINDS: Mapping[str, Callable[[], nn.Module]] = {
    "plain": Headed,
    "residual": Residual,
    "dense": Dense,
    "depthwise": Depthwise,
    "layer scale": LayerScale,
    "shuffle": Shuffle,
    "same padding": SamePadding,
    "attention": Attention,
}


def drawn(network: nn.Module, seed: int = 0) -> nn.Module:
    """Every parameter and statistic drawn, in evaluation mode."""
    draws = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, tensor in network.state_dict().items():
            if name.endswith("running_var"):
                tensor.uniform_(0.5, 2, generator=draws)
            elif tensor.is_floating_point():
                tensor.normal_(std=0.4, generator=draws)
    return network.eval()


def small(kind: str) -> nn.Module:
    return drawn(KINDS[kind]())


@cache
def small_program(kind: str) -> Program:
    """That of `small`; no test changes it."""
    return program_of(small(kind))


def program_of(network: nn.Module) -> Program:
    return capture(network, SIDE)
