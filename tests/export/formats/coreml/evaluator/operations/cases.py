"""What an operation must give, by numbers that a hand computes from its definition."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from export.formats.coreml.evaluator.operations import operate

STORED = {"b": np.bool_, "f": np.float32, "i": np.int32}  # as a program holds constants


@dataclass(frozen=True)
class Case:
    """An operation, its arguments and its output; a tuple where it has several.

    Numbers and lists of them are given as constants: 1.0 is float32, 1 is int32, True is bool.
    """

    operation: str
    arguments: Mapping[str, Any]
    output: Any

    def check(self) -> None:
        """The operation gives these numbers, to 1e-6."""
        made = operate(self.operation, {k: as_stored(v) for k, v in self.arguments.items()})
        assert isinstance(made, tuple) == isinstance(self.output, tuple)
        pairs = (
            zip(made, self.output, strict=True)
            if isinstance(made, tuple)
            else [(made, self.output)]
        )
        for found, numbers in pairs:
            wanted = torch.tensor(numbers)
            wanted = wanted if wanted.dtype == torch.bool else wanted.float()
            torch.testing.assert_close(found, wanted, rtol=0, atol=1e-6)


def as_stored(given: Any) -> Any:
    """A constant as the evaluator's reader gives it."""
    if isinstance(given, str | np.ndarray | tuple):
        return list(map(as_stored, given)) if isinstance(given, tuple) else given
    array = np.array(given)
    return array.astype(STORED[array.dtype.kind])
