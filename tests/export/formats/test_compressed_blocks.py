"""Blocks of networks made for phones, compressed, in files: each is proven, and explained."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from export.deploy.graph import DeployGraph, PixelGraph, reference_answers
from export.deploy.metadata import model_metadata
from export.formats.base import verbs_of
from export.formats.register import FORMATS
from export.images.parity_images import ParityImages
from export.images.stress_images import stress_images
from export.parity.check import check_artifact
from export.parity.layer_diff import explain
from export.parity.reference import Reference
from pipeline.compress.activation_quantization import calibrate, int8_variant
from pipeline.compress.gptq import round_network, weighted_layers
from pipeline.models.batch_norm_folding import compressible_network
from pipeline.models.networks import with_evidence
from tests.conftest import make_spec
from tests.export.formats.onnx.made_networks import operations, optimised
from tests.pipeline.small_blocks import BODIES, small_block

pytestmark = pytest.mark.slow("converts small networks of every block")

IDENTITY = "cd" * 32
SIDE = 64
SPEC = make_spec(
    name="blocks", labels=("blå", "grün", "赤"), positive=None, threshold=None, side=SIDE
)


FILES = (
    ("onnx", "int8"),
    ("ort", "int8"),
    ("torchscript", "int8"),
    ("onnx", "w4"),
    ("torchscript", "w4"),
)


@cache
def reference(kind: str, precision: str) -> Reference:
    network = compressible_network(small_block(kind))
    hard = stress_images(SIDE)
    pixels = np.stack(list(hard.values()))
    bare = PixelGraph(network, SPEC)
    seen = (torch.from_numpy(pixels.transpose(0, 3, 1, 2)).float() - bare.mean) / bare.std
    levels = 127 if precision == "int8" else 7
    grids = round_network(network, [seen], dict.fromkeys(weighted_layers(network), levels), seed=0)
    if precision == "int8":
        network = int8_variant(with_evidence(network), calibrate(network, [seen]), grids)
    graph = DeployGraph(network, SPEC, grids).eval()
    images = ParityImages(tuple(hard), ("hard",) * len(hard), pixels, "hard images")
    return Reference(SPEC, IDENTITY, graph, images, reference_answers(graph, pixels))


@pytest.mark.parametrize("kind", BODIES)
@pytest.mark.parametrize(("name", "precision"), FILES)
def test_a_compressed_block_is_proven(name: str, precision: str, kind: str, tmp_path: Path) -> None:
    held = reference(kind, precision)
    path = tmp_path / f"{SPEC.name}_{precision}{FORMATS[name].suffix}"
    metadata = model_metadata(SPEC, IDENTITY)
    verbs_of(name).convert(held.graph, SPEC, metadata, precision, path)
    found = check_artifact(name, precision, path, held)
    assert found.status == "pass", found.reason
    assert not explain(name, precision, path, held, held.images.names[0]).differs


SUMS = {"depthwise": 1, "residual": 2, "average": 2, "squeeze": 0, "layer norm": 1}


@pytest.mark.parametrize("kind", SUMS)
def test_onnxruntime_computes_the_layers_and_sums_of_a_block_in_integers(
    kind: str, tmp_path: Path
) -> None:
    """All but the last layer, whose output are the logits."""
    held, path = reference(kind, "int8"), tmp_path / "block.onnx"
    verbs_of("onnx").convert(held.graph, SPEC, model_metadata(SPEC, IDENTITY), "int8", path)
    written, run = operations(onnx.load(path)), operations(optimised(path, tmp_path))
    assert run["QLinearConv"] == written["Conv"] - 1
    assert (run["Conv"], run["FusedConv"]) == (1, 0)
    assert run["QGemm"] == written["Gemm"]
    assert run["QLinearAdd"] == SUMS[kind]
    assert run["Clip"] == run["Relu"] == 0
