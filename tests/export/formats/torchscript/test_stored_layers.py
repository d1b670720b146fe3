"""The bytecode of a lite file is a pickle: read without running what it says."""

from __future__ import annotations

import os
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch

from export.deploy.graph import DeployGraph
from export.deploy.layer_order import network_layers
from export.deploy.metadata import model_metadata
from export.errors import Unreadable
from export.formats.torchscript.format import convert, stored_layers
from export.formats.torchscript.stored_layers import packed_layers, prepacked_layers
from export.parity.weights import weight_violations
from tests.conftest import make_spec
from tests.export.conftest import Artifacts, Model
from tests.pipeline.program.small_networks import SIDE, small


class Reader:
    """An archive with one record."""

    def __init__(self, content: bytes) -> None:
        self.content = content

    def get_record(self, name: str) -> bytes:
        return self.content


class Evil:
    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (str(self.folder),)


def test_layers_are_read_equal_to_the_networks_whatever_their_memory_format(
    model: Model, artifacts: Artifacts
) -> None:
    reader = torch._C.PyTorchFileReader(str(artifacts["torchscript", "fp32"]))
    found = {layer.tensors["weight"].tobytes() for layer in prepacked_layers(reader, "x")}
    layers = network_layers(model.graph.pixels, model.spec.side)
    assert found == {np.ascontiguousarray(layer.tensors["weight"]).tobytes() for layer in layers}


def test_layers_behind_sizes_that_are_computed_are_read(tmp_path: Path) -> None:
    spec = make_spec(side=SIDE)
    graph = DeployGraph(small("shuffle"), spec).eval()
    path = tmp_path / "shuffle.ptl"
    convert(graph, spec, model_metadata(spec, "ab" * 32), "fp32", path)
    wanted = network_layers(graph.pixels, spec.side)
    assert weight_violations(stored_layers(path), wanted) == []


def test_a_bytecode_that_would_run_something_is_refused_and_runs_nothing(tmp_path: Path) -> None:
    trap = tmp_path / "ran"
    for read in (prepacked_layers, packed_layers):
        with pytest.raises(Unreadable, match="mkdir is not expected in a lite file"):
            read(Reader(pickle.dumps(Evil(trap))), "evil.ptl")
    assert not trap.exists()


def test_a_file_of_prepacked_layers_has_no_packed_ones(artifacts: Artifacts) -> None:
    reader = torch._C.PyTorchFileReader(str(artifacts["torchscript", "fp32"]))
    assert packed_layers(reader, "x") == []


@pytest.mark.parametrize("content", [b"", b"no pickle", pickle.dumps([1, 2])])
def test_what_is_no_bytecode_is_refused(content: bytes) -> None:
    with pytest.raises(Unreadable, match="bytecode cannot be read"):
        prepacked_layers(Reader(content), "x.ptl")
