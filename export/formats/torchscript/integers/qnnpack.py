"""A network in integer arithmetic, on QNNPACK's kernels.

In: the deploy graph of an int8 variant, whose rounding places and grids are already in it. Out: a
traced module. Between the first and the last layer tensors are uint8, but for what there are no
kernels for.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

import torch

from export.deploy.batch_norm_folding import norms_as_convolutions
from export.deploy.graph import example_input
from export.errors import ConversionFailed
from export.formats.torchscript.integers.kernels import in_integers
from export.formats.torchscript.row_normalisation import RowGraph
from pipeline.compress import fx_quantization

if TYPE_CHECKING:
    from export.deploy.graph import DeployGraph
    from pipeline.model_spec import ModelSpec

ENGINE: Final = "qnnpack"


def integer_network(graph: DeployGraph, spec: ModelSpec) -> Any:
    """The graph traced with integer kernels instead of its rounded arithmetic.

    Call it, and save its result, inside `qnnpack`.

    Raises:
        ConversionFailed: the graph is not an int8 variant.
    """
    network = graph.pixels.network
    if not isinstance(network, torch.fx.GraphModule):
        raise ConversionFailed(
            "int8 is made from an int8 variant (export.deploy.variants), not from this graph"
        )
    integer: torch.nn.Module
    if fx_quantization.rounded_places(network):
        integer = fx_quantization.in_integers(network)
    else:
        integer = norms_as_convolutions(in_integers(network, graph.grids))
    integer_graph = RowGraph(integer, graph, spec.side).eval()
    return torch.jit.trace(integer_graph, example_input(spec))  # type: ignore[no-untyped-call]


@contextmanager
def qnnpack() -> Iterator[None]:
    """Use QNNPACK's integer kernels inside; another engine packs layers in another layout.

    Raises:
        ConversionFailed: this torch has no QNNPACK.
    """
    before = torch.backends.quantized.engine
    if ENGINE not in torch.backends.quantized.supported_engines:
        raise ConversionFailed(f"torch {torch.__version__} is built without QNNPACK")
    torch.backends.quantized.engine = ENGINE
    try:
        yield
    finally:
        torch.backends.quantized.engine = before
