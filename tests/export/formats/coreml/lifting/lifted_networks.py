"""Small networks as packages, and the programs that these must be."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from export.deploy.graph import DeployGraph
from export.deploy.half_weights import halved_graph
from export.deploy.metadata import model_metadata
from export.formats.coreml import format as coreml_format
from pipeline.program.batch_norm_folding import folded
from pipeline.program.capture import capture
from pipeline.program.comparison import compare
from pipeline.resize.notation import resize_by
from tests.conftest import make_spec
from tests.export.formats.coreml import made_networks
from tests.pipeline.program import small_networks

if TYPE_CHECKING:
    from pipeline.model_spec import ModelSpec
    from pipeline.program.program import Program

IDENTITY = "ab" * 32
FIVE = {"labels": tuple("abcde"), "positive": "a"}  # classes of `small_networks`


class Affine(small_networks.Headed):
    """A learnt scale and shift: no layer of its own."""

    def make(self) -> None:
        self.scale, self.shift = (nn.Parameter(torch.ones(1, 8, 1, 1)) for _ in range(2))

    def between(self, x: Tensor) -> Tensor:
        return F.relu(x) * self.scale + self.shift


class FlatNorm(small_networks.Headed):
    """A batch norm of (N, C), and a slope for all channels."""

    def make(self) -> None:
        self.norm, self.slope = nn.BatchNorm1d(8), nn.PReLU()

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.head(self.norm(self.slope(self.stem(x)).mean((2, 3))))
        return logits


class UnitLength(small_networks.Headed):
    """Divides by lengths, of at least a number that is 0 in fp16."""

    def between(self, x: Tensor) -> Tensor:
        return F.normalize(F.relu(x), dim=1)


OWN = {"affine": Affine, "flat batch norm": FlatNorm, "unit length": UnitLength}


@dataclass(frozen=True, eq=False)
class Lifted:
    """A package, and the program that it must be."""

    path: Path
    expected: Program
    half: bool

    def differences(self, path: Path | None = None) -> list[str]:
        """Sentences on what is wrong with the package, or with another in its place."""
        found = coreml_format.lifted(path or self.path)
        return compare(self.expected, found, half=self.half)


def made_graph(kind: str) -> tuple[DeployGraph, ModelSpec]:
    """One of the networks of the tests of Core ML, or of those of programs."""
    if kind in made_networks.BLOCKS:
        return made_networks.drawn(kind)
    if kind in OWN:
        return graph_of(small_networks.drawn(OWN[kind]()))
    return graph_of(small_networks.small(kind.removeprefix("small ")))


def graph_of(network: nn.Module) -> tuple[DeployGraph, ModelSpec]:
    spec = make_spec(**FIVE, resize=resize_by("squish", small_networks.SIDE))
    return DeployGraph(network, spec).eval(), spec


def lifted_of(
    graph: DeployGraph,
    spec: ModelSpec,
    precision: str,
    path: Path,
    change: Callable[[nn.Module], object] = lambda network: None,
) -> Lifted:
    """Convert a graph, of which the program is expected; `change` it before it is converted."""
    half = precision != "fp32"
    graph = halved_graph(graph) if precision == "fp16" else graph
    program = folded(capture(graph.pixels, spec.resize.size))
    expected = coreml_format.as_written(program, half=half)
    change(graph.pixels.network)
    coreml_format.convert(graph, spec, model_metadata(spec, IDENTITY), precision, path)
    return Lifted(path, expected, half)
