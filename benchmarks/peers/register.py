"""The register of peers: one literal. Importing it imports no peer's packages."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from benchmarks.peers.base import Peer
from benchmarks.peers.runtimes import (
    executorch_peer,
    litert_peer,
    ncnn_peer,
    openvino_peer,
    stock_onnx,
    stock_torchscript,
)

PEERS: Final[Mapping[str, Peer]] = {
    "openvino": openvino_peer,
    "ncnn": ncnn_peer,
    "litert": litert_peer,
    "executorch": executorch_peer,
    "stock-onnx": stock_onnx,
    "stock-torchscript": stock_torchscript,
}
