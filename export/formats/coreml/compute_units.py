"""The processors that Core ML may use, by their names in the manifest and in Swift."""

from __future__ import annotations

from typing import Final

COMPUTE_UNITS: Final = {
    "all": ".all",
    "cpu_only": ".cpuOnly",
    "cpu_and_gpu": ".cpuAndGPU",
    "cpu_and_ne": ".cpuAndNeuralEngine",
}
