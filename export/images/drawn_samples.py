"""The drawn images that stand in for a model's own: one kind for any model, one for chest X-rays.

In: a kind, which the owner of a model names (`pipeline.model_spec.Owner.samples`), and numbers.
Out: pictures, the same for the same numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from PIL import Image

from pipeline.data import phantom, pictures

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

EMBEDDED_SAMPLES: Final = 150
MARK: Final = "Synthetic test image"
FIRST_SAMPLE: Final = 10_001  # far from the phantoms that training draws


@dataclass(frozen=True)
class Samples:
    """A kind of drawn images.

    Attributes:
        names: of the classes that they are drawn of, in turn.
        draw: class and number -> uint8 (H, W) or (H, W, 3).
        mark: what files of them say in their metadata, so that nobody takes them for real.
    """

    names: tuple[str, ...]
    draw: Callable[[str, int], NDArray[np.uint8]]
    mark: str = MARK


SAMPLES: Final[Mapping[str, Samples]] = {
    "pictures": Samples(("picture",), lambda _, number: pictures.draw(number)),
    "chest_phantoms": Samples(phantom.LABELS, phantom.draw, f"{MARK}, not a patient"),
}


def drawn(kind: str, index: int, number: int) -> Image.Image:
    """An image, 8-bit grey or RGB, of class `index`, counted in turn."""
    samples = SAMPLES[kind]
    return Image.fromarray(samples.draw(samples.names[index % len(samples.names)], number))


def embedded_samples(kind: str) -> dict[str, Image.Image]:
    """Name -> image, `EMBEDDED_SAMPLES` of them."""
    classes = SAMPLES[kind].names
    named = {}
    for i in range(EMBEDDED_SAMPLES):
        number = FIRST_SAMPLE + i // len(classes)
        named[f"synthetic/{classes[i % len(classes)]}-{number}"] = drawn(kind, i, number)
    return named
