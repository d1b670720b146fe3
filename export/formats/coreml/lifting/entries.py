"""The table of entries: the type of an operation of MIL -> how it is written into a program.

An entry takes the builder of a program and the arguments by name: nodes, numbers, and integers,
booleans and strings as the file stores them. It answers the node of its result, or a tuple of them.
Definitions: coremltools 9.0, converters/mil/mil/ops/defs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from export.formats.coreml.lifting.activations import ACTIVATIONS
from export.formats.coreml.lifting.arithmetic import ARITHMETIC
from export.formats.coreml.lifting.layers import LAYERS
from export.formats.coreml.lifting.reductions import REDUCTIONS
from export.formats.coreml.lifting.shapes import SHAPES

if TYPE_CHECKING:
    from collections.abc import Mapping

    from export.formats.coreml.lifting.arguments import Entry

ENTRIES: Final[Mapping[str, Entry]] = {
    **ACTIVATIONS,
    **ARITHMETIC,
    **LAYERS,
    **REDUCTIONS,
    **SHAPES,
}
