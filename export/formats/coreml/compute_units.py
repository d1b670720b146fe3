"""The processors that Core ML may use: as the manifest says it, as Swift says it."""

from __future__ import annotations

from typing import Final

COMPUTE_UNITS: Final = {
    "all": ".all",
    "cpu_only": ".cpuOnly",
    "cpu_and_gpu": ".cpuAndGPU",
    "cpu_and_ne": ".cpuAndNeuralEngine",
}
