"""A checkpoint as a model that answers: pixels in, probabilities and evidence out, by PyTorch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipeline.errors import BadInput
from pipeline.images import read_image
from pipeline.predict.prediction import LabelRule
from pipeline.terminal.console import shown

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray
    from torch import nn

    from pipeline.checkpoint import Checkpoint
    from pipeline.model_spec import ModelSpec


@dataclass(frozen=True, eq=False)
class CheckpointModel:
    """A checkpoint whose network is in memory.

    Attributes:
        network: in evaluation mode: float32 (N, 3, H, W), normalised -> logits (N, K), or logits
            and evidence (N, K, h, w).
    """

    spec: ModelSpec
    network: nn.Module

    @property
    def rule(self) -> LabelRule:
        """How its probabilities become a label."""
        return LabelRule(self.spec.labels, self.spec.positive, self.spec.threshold)

    def pixels(self, path: Path) -> NDArray[np.uint8]:
        """An image file as the model gets it: uint8 (H, W, 3) RGB. Raises BadInput."""
        return read_image(path, self.spec.resize)

    def answer(
        self, pixels: NDArray[np.uint8]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32] | None]:
        """uint8 (H, W, 3) -> probabilities (K,), and evidence (K, h, w) where the head keeps it."""
        import torch

        from pipeline.data.preprocessing import normalise

        with torch.inference_mode():
            outputs = self.network(normalise(pixels[None], self.spec.mean, self.spec.std))
            logits, *evidence = outputs if isinstance(outputs, tuple) else (outputs,)
            probs = torch.softmax(logits, dim=1)[0].numpy()
        return probs, evidence[0][0].numpy() if evidence else None


def load_model(checkpoint: Checkpoint) -> CheckpointModel:
    """The model of a checkpoint; of one in int8 with its activations rounded, as in a file.

    Raises:
        BadInput: the weights are damaged or do not fit the spec.
    """
    from pipeline.compress.activation_quantization import int8_variant
    from pipeline.models.networks import load_network, with_evidence

    network = with_evidence(load_network(checkpoint))
    compression = checkpoint.spec.compression
    if compression is not None and compression.activations:
        try:
            network = int8_variant(network, compression.activations, checkpoint.grids())
        except KeyError as error:
            raise BadInput(
                f"{checkpoint.folder} has no scale for {error}; compress again"
            ) from error
    return CheckpointModel(checkpoint.spec, network)


def calibration_note(spec: ModelSpec) -> str:
    """What is known about the calibration of its probabilities, as a phrase."""
    found = spec.calibration
    if found and found.refused:
        return f"probabilities as the network gives them: {shown(found.refused)}"
    temperature = spec.training.get("temperature", 1.0)  # alone in older checkpoints
    if isinstance(temperature, int | float) and (found or temperature != 1.0):
        return f"probabilities calibrated on its validation images (temperature {temperature:.2f})"
    return "probabilities as the network gives them: it records no calibration"
