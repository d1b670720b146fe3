"""A fault in a network with depthwise convolutions, and in one with layer scales, is named.

In every format whose files can be read as a program.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from export.deploy.expected_program import Captures
from export.deploy.graph import DeployGraph
from export.deploy.metadata import model_metadata
from export.deploy.outputs import Answers
from export.errors import CannotRunHere, Unreadable
from export.formats.base import Lifter, verbs_of
from export.formats.register import FORMATS
from export.images.parity_images import ParityImages
from export.parity.network.network_parts import network_parts
from export.parity.reading import Reading
from export.parity.reference import Reference
from pipeline.program.capture import capture
from pipeline.resize.notation import resize_by
from tests.conftest import make_spec
from tests.pipeline.program.small_networks import Depthwise, Headed, LayerScale, drawn

SPEC = make_spec(
    labels=tuple("abcde"), positive=None, threshold=None, resize=resize_by("squish", 16)
)
LIFTED = [name for name in FORMATS if isinstance(verbs_of(name), Lifter)]


class Branches(Headed):
    """Two convolutions of one shape beside each other, one with an activation."""

    def make(self) -> None:
        super().make()
        self.left, self.right = nn.Conv2d(8, 4, 1), nn.Conv2d(8, 4, 1)

    def between(self, x: Tensor) -> Tensor:
        x = super().between(x)
        return torch.cat(self.branches(F.relu(self.left(x)), self.right(x)), 1)

    def branches(self, left: Tensor, right: Tensor) -> list[Tensor]:
        return [left, right]


class Mobile(Branches, Depthwise):
    """With depthwise convolutions."""


class Scaled(Branches, LayerScale):
    """With a layer scale."""


class Swapped(Branches):
    def branches(self, left: Tensor, right: Tensor) -> list[Tensor]:
        return [right, left]


class SwappedMobile(Swapped, Mobile):
    pass


class SwappedScaled(Swapped, Scaled):
    pass


class NoReLU6(Mobile):
    def between(self, x: Tensor) -> Tensor:
        y = F.hardswish(self.depthwise(self.grown(self.grow(x))))
        gate = self.wide(F.silu(self.narrow(y.mean((2, 3), keepdim=True))))
        x = x + self.shrink(y * F.hardsigmoid(gate))
        return torch.cat([F.relu(self.left(x)), self.right(x)], 1)


class NoGelu(Scaled):
    def between(self, x: Tensor) -> Tensor:
        y = self.shrink(self.grow(self.norm(x.permute(0, 2, 3, 1)))).permute(0, 3, 1, 2)
        x = x + self.scale * y
        return torch.cat([F.relu(self.left(x)), self.right(x)], 1)


def nudge(name: str) -> Callable[[nn.Module], None]:
    def change(network: nn.Module) -> None:
        with torch.no_grad():
            network.get_parameter(name).view(-1)[3] += 0.25

    return change


def set_(module: str, attribute: str, value: object) -> Callable[[nn.Module], None]:
    return lambda network: setattr(network.get_submodule(module), attribute, value)


def nothing(_: nn.Module) -> None:
    pass


@cache
def reference(kind: type[nn.Module]) -> Reference:
    images = ParityImages((), (), np.zeros((0, 16, 16, 3), np.uint8), "none")
    graph = DeployGraph(drawn(kind()), SPEC).eval()
    return Reference(SPEC, "0" * 64, graph, images, Answers(np.zeros((0, 5), np.float32)))


def parts(
    name: str, held: type[nn.Module], made: nn.Module, folder: Path, **how: Any
) -> dict[str, str]:
    path = folder / f"file{FORMATS[name].suffix}"
    graph = DeployGraph(made, SPEC).eval()
    verbs_of(name).convert(graph, SPEC, model_metadata(SPEC, "0" * 64), "fp32", path)
    return network_parts(Reading(verbs_of(name), path), reference(held), half=False, **how)


@pytest.mark.parametrize("name", LIFTED)
@pytest.mark.parametrize("kind", [Mobile, Scaled])
def test_a_right_file_passes(name: str, kind: type[nn.Module], tmp_path: Path) -> None:
    found = parts(name, kind, drawn(kind()), tmp_path)
    assert found == {"weights": "pass", "structure": "pass"}


FAULTS = {
    "depthwise weight": (Mobile, Mobile, nudge("depthwise.weight"), "weights", "depthwise.weight"),
    "batch norm": (Mobile, Mobile, nudge("grown.bias"), "weights", "grow.bias: 1 of 16 values"),
    "layer scale": (Scaled, Scaled, nudge("scale"), "weights", "scale: 1 of 8 values"),
    "layer norm": (Scaled, Scaled, nudge("norm.weight"), "weights", "norm.weight: 1 of 8 values"),
    "linear weight": (Scaled, Scaled, nudge("grow.weight"), "weights", "grow.weight: 1 of 128"),
    "branches": (Mobile, SwappedMobile, nothing, "structure", "cat takes its inputs in another"),
    "branches beside a scale": (
        Scaled,
        SwappedScaled,
        nothing,
        "structure",
        "cat takes its inputs in another",
    ),
    "relu6": (Mobile, NoReLU6, nothing, "structure", "no hardtanh"),
    "gelu": (Scaled, NoGelu, nothing, "structure", "no gelu"),
    "stride": (Mobile, Mobile, set_("stem", "stride", (1, 1)), "structure", "stem: conv2d with st"),
    "padding": (
        Mobile,
        Mobile,
        set_("depthwise", "padding", (0, 0)),
        "structure",
        "depthwise: conv2d with padding [0, 0], not [1, 1]",
    ),
    "epsilon": (
        Scaled,
        Scaled,
        set_("norm", "eps", 1e-3),
        "structure",
        "norm: layer_norm with eps",
    ),
}


@pytest.mark.parametrize("name", LIFTED)
@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_named_in_its_part(name: str, fault: str, tmp_path: Path) -> None:
    held, made, change, part, words = FAULTS[fault]
    network = drawn(made())
    change(network)
    if fault == "padding":  # of a side that the sum still takes
        network.shrink.padding = (1, 1)
    found = parts(name, held, network, tmp_path)
    assert words in found[part]
    other = {"weights": "structure", "structure": "weights"}[part]
    assert found[other] == "pass"


class Lacking:
    """A format whose lifter does not know an operation, and whose layers are all right."""

    def __init__(self, error: Exception) -> None:
        self.error = error

    def lifted(self, path: Path) -> Any:
        raise self.error

    def stored_layers(self, path: Path) -> Any:
        return reference(Scaled).layers


def test_an_operation_that_the_lifter_lacks_is_not_run_and_the_rest_is_not_checked() -> None:
    verbs: Any = Lacking(CannotRunHere("operation Foo of ONNX is not known here"))
    found = network_parts(Reading(verbs, Path("file")), reference(Scaled), half=False)
    assert found["structure"] == "not run: operation Foo of ONNX is not known here"
    assert found["weights"] == "not checked: scale, norm.weight, norm.bias"


class More(Lacking):
    """The same, with something else in its file."""

    def left_over(self, path: Path) -> list[str]:
        return ["1000 bytes that nobody reads"]


def test_what_nobody_reads_is_at_fault_whether_or_not_the_program_is_known() -> None:
    verbs: Any = More(CannotRunHere("operation Foo of ONNX is not known here"))
    found = network_parts(Reading(verbs, Path("file")), reference(Scaled), half=False)
    assert found["structure"] == "the file has 1000 bytes that nobody reads"
    held = reference(Scaled)
    verbs = More(CannotRunHere("never"))
    verbs.lifted = lambda path: held.program
    found = network_parts(Reading(verbs, Path("file")), held, half=False)
    assert found == {
        "weights": "pass",
        "structure": "the file has 1000 bytes that nobody reads",
    }


def test_a_file_that_contradicts_itself_is_at_fault() -> None:
    verbs: Any = Lacking(Unreadable("nothing uses the result of Relu a"))
    found = network_parts(Reading(verbs, Path("file")), reference(Scaled), half=False)
    assert found["structure"] == "nothing uses the result of Relu a"


def test_without_a_lifter_what_no_layer_holds_is_not_checked() -> None:
    verbs: Any = SimpleNamespace(stored_layers=lambda path: reference(Scaled).layers)
    found = network_parts(Reading(verbs, Path("file")), reference(Scaled), half=False)
    assert found == {"weights": "not checked: scale, norm.weight, norm.bias"}
    verbs = SimpleNamespace(stored_layers=lambda path: reference(Mobile).layers)
    found = network_parts(Reading(verbs, Path("file")), reference(Mobile), half=False)
    assert found == {"weights": "pass"}


def test_a_network_of_plain_operations_is_compared_as_a_program(tmp_path: Path) -> None:
    """It has no layers that could be called."""
    plain = capture(drawn(Scaled()), (16, 16)).network
    held = replace(reference(Scaled), graph=DeployGraph(plain, SPEC).eval(), captures=Captures())
    path, verbs = tmp_path / "file.onnx", verbs_of("onnx")
    verbs.convert(held.graph, SPEC, model_metadata(SPEC, "0" * 64), "fp32", path)
    found = network_parts(Reading(verbs, path), held, half=False)
    assert found == {"weights": "pass", "structure": "pass"}
    wrong = copy.deepcopy(plain)
    nudge("scale")(wrong)
    other = replace(held, graph=DeployGraph(wrong, SPEC).eval())
    found = network_parts(Reading(verbs, path), other, half=False)
    assert "; shrink.bias, scale: 1 of 8 values are not the checkpoint's" in found["weights"]
