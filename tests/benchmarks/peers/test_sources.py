from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks.peers.runtimes.stock_input import normaliser, write_normalisation
from benchmarks.peers.sources import PeerSources, stock_module, write_sources
from export.deploy.graph import build_graph
from pipeline.checkpoint import open_checkpoint

pytestmark = pytest.mark.slow("converts for the peers")

SIDE = 64


def test_all_sources_give_pytorchs_outputs(tmp_path: Path, checkpoint: Path) -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    sources = PeerSources(tmp_path / "sources", checkpoint, SIDE)
    expected = write_sources(sources)
    images = np.load(expected.images_file)
    assert images.shape[1:] == (SIDE, SIDE, 3)
    assert len(images) == len(expected.probs) > 13  # the hard ones and noise
    session = onnxruntime.InferenceSession(str(sources.onnx), providers=["CPUExecutionProvider"])
    traced = torch.jit.load(str(sources.torchscript))
    for image, probs in zip(images, expected.probs, strict=True):
        (by_onnx,) = session.run(None, {"image": image[None]})
        pixels = torch.from_numpy(image[None]).permute(0, 3, 1, 2).float()
        assert np.abs(by_onnx[0] - probs).max() < 1e-5
        assert np.abs(traced(pixels).detach().numpy()[0] - probs).max() < 1e-5


def test_the_stock_recipes_input_is_normalised_as_the_network_expects(
    tmp_path: Path, checkpoint: Path
) -> None:
    write_normalisation(checkpoint, tmp_path)
    rng = np.random.default_rng(1)
    images = rng.integers(0, 256, (1, SIDE, SIDE, 3), dtype=np.uint8)
    graph = build_graph(open_checkpoint(checkpoint))
    given = torch.from_numpy(normaliser(tmp_path)(images))
    assert (given.dtype, tuple(given.shape)) == (torch.float32, (1, 3, SIDE, SIDE))
    with torch.inference_mode():
        wanted = (torch.from_numpy(images).permute(0, 3, 1, 2) - graph.pixels.mean) / (
            graph.pixels.std
        )
        assert torch.allclose(given, wanted, atol=1e-5)
        assert torch.allclose(
            stock_module(checkpoint)(given), graph(torch.from_numpy(images))[0], atol=1e-5
        )
