"""Packed layers are those that the file's own code unpacks; their normalisation is given back."""

from __future__ import annotations

from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from export.deploy.graph import DeployGraph
from export.deploy.metadata import model_metadata
from export.errors import Unreadable
from export.formats.torchscript import packed_network, unpack_at_load
from export.formats.torchscript.format import convert, lifted
from pipeline.program.operations import arguments_of, operation_of
from pipeline.program.program import Program
from tests.conftest import make_spec
from tests.pipeline.program.small_networks import SIDE, Headed, drawn

SPEC = make_spec(side=SIDE)


class NoPadding(Headed):
    """Its first layer takes the normalisation into itself."""

    def make(self) -> None:
        self.stem = nn.Conv2d(3, 8, 3, stride=2)


def packed(folder: Path) -> Path:
    network = drawn(NoPadding())
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.copy_(parameter.half())
    path = folder / "packed.ptl"
    graph = DeployGraph(network, SPEC).eval()
    convert(graph, SPEC, model_metadata(SPEC, "ab" * 32), "fp16", path)
    return path


def weight_of(program: Program, operation: str) -> torch.Tensor:
    (node,) = (node for node in program.operations() if operation_of(node) == operation)
    return program.tensors()[str(arguments_of(node)["weight"].target)]  # type: ignore[union-attr]


def test_the_normalisation_stands_before_the_layer_that_took_it(tmp_path: Path) -> None:
    program = lifted(packed(tmp_path))
    names = [operation_of(node) for node in program.operations()]
    assert names[:3] == ["sub.Tensor", "div.Tensor", "conv2d"]
    wanted = drawn(NoPadding()).stem.weight.half().float()
    assert torch.equal(weight_of(program, "conv2d"), wanted)
    mean, std = (t for t in program.tensors().values() if t.shape == (1, 3, 1, 1))
    assert np.allclose(mean.flatten() / 255, SPEC.mean)
    assert np.allclose(std.flatten() / 255, SPEC.std)


def unpacking_otherwise(folder: Path, line: str, instead: str) -> Any:
    """`unpack_at_load.PackedLayers` with a line changed."""
    source = Path(unpack_at_load.__file__).read_text()
    assert source.count(line) == 1
    place = folder / "unpacking.py"
    place.write_text(source.replace(line, instead))
    spec = spec_from_file_location("unpacking", place)
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.PackedLayers


@pytest.mark.parametrize(
    ("line", "instead"),
    [
        ("weight = weight / std", "weight = weight * std"),
        ("bias = bias - (weight * mean)", "bias = bias + (weight * mean)"),
    ],
)
def test_code_that_merges_another_normalisation_is_refused(
    line: str, instead: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        packed_network, "PackedLayers", unpacking_otherwise(tmp_path, line, instead)
    )
    with pytest.raises(Unreadable, match="makes other numbers of its first layer"):
        lifted(packed(tmp_path))


def test_the_weights_are_what_the_code_of_the_file_makes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    line = "weight = weight.reshape(outputs, inputs)\n"
    doubling = unpacking_otherwise(tmp_path, line, f"{line[:-1]} * 2\n")
    monkeypatch.setattr(packed_network, "PackedLayers", doubling)
    wanted = 2 * drawn(NoPadding()).head.weight.half().float()
    assert torch.equal(weight_of(lifted(packed(tmp_path)), "linear"), wanted)
