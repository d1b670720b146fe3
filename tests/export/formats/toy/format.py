"""A toy format: PyTorch's own pickle of the deploy graph, run by PyTorch."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import torch

from export.deploy.graph import output_shapes, reference_answers
from export.deploy.layer_order import network_layers
from export.deploy.metadata import labels_in
from export.formats.base import Description, Port, Runner

from .facts import FACTS

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from export.deploy.graph import DeployGraph
    from export.deploy.layers import Layer, LayerTrace
    from export.deploy.outputs import Answers
    from pipeline.model_spec import ModelSpec

RUN_BY: Final = "run by toys"
ALSO: Final[tuple[Runner, ...]] = ()


def convert(
    graph: DeployGraph, spec: ModelSpec, metadata: Mapping[str, str], precision: str, path: Path
) -> None:
    """Pickle everything."""
    content = {"graph": graph, "side": spec.side, "metadata": dict(metadata)}
    torch.save({**content, "outputs": output_shapes(graph, spec)}, path)


def load(path: Path, threads: int = 1) -> Any:
    """The graph."""
    torch.set_num_threads(threads)
    return _content(path)["graph"]


def run(session: Any, images: NDArray[np.uint8]) -> Answers:
    """By PyTorch."""
    return reference_answers(session, images)


def describe(path: Path) -> Description:
    """As the file says it."""
    content = _content(path)
    image = Port("image", "uint8", (1, content["side"], content["side"], 3))
    outputs = tuple(Port(name, "float32", shape) for name, shape in content["outputs"].items())
    least, metadata = FACTS.least_runtime, content["metadata"]
    requires: dict[str, str | int] = {"toy_version": 1, least.key: least.versions[1]}
    return Description((image,), outputs, metadata, labels_in(metadata), requires)


def stored_layers(path: Path) -> list[Layer]:
    """Of the graph in the file."""
    content = _content(path)
    return network_layers(content["graph"].pixels, content["side"])


def trace_layers(path: Path, image: NDArray[np.uint8]) -> list[LayerTrace] | None:
    """Not watched."""
    return None


def why_not_convert() -> str:
    """Nothing is needed."""
    return ""


def why_not_run() -> str:
    """Nothing is needed."""
    return ""


def _content(path: Path) -> dict[str, Any]:
    content: dict[str, Any] = torch.load(path, weights_only=False)
    return content
