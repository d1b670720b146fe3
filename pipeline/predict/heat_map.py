"""The heat map: where in an image the evidence for a label lies, as a picture.

In: evidence (K, h, w) in logits, the class activation map whose mean over h and w are the logits
(Zhou et al., arXiv:1512.04150), and the pixels that the model got. Out: a PNG: the image in grey,
in orange what speaks for the label, in violet what speaks against it. The colours and the scale are
those of the page in ``web_assets``.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from pipeline.atomic_files import write_bytes
from pipeline.errors import BadInput
from pipeline.predict.image_files import kind_of, places_below

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from PIL import Image

    from pipeline.predict.prediction import Prediction

SUFFIX: Final = ".heat.png"
LEAST_FULL_SCALE: Final = 1.0  # logits: below it nothing is worth a full colour
SPEAKS_FOR: Final = (0xE6, 0x61, 0x00)  # told apart by people who do not tell red from green
SPEAKS_AGAINST: Final = (0x5D, 0x3A, 0x9B)
OPACITY: Final = 0.7  # of the strongest evidence; none is transparent
LEAST_SIDE: Final = 448  # pixels; a smaller input is enlarged, for people
NO_EVIDENCE: Final = (
    "the network's head keeps no map of evidence: it mixes all places before it decides between "
    "the labels"
)


def contrast(evidence: NDArray[np.floating[Any]], index: int) -> NDArray[np.float32]:
    """What speaks for one class more than for the others: (K, h, w) -> float32 (h, w), in logits.

    Its map minus the mean of the others', since only differences of logits move probabilities.
    """
    others = np.delete(evidence.astype(np.float64), index, axis=0)
    return np.asarray(evidence[index] - others.mean(axis=0), dtype=np.float32)


def full_scale(values: NDArray[np.float32]) -> float:
    """Logits of the strongest colour."""
    return max(float(np.abs(values).max()), LEAST_FULL_SCALE)


def draw_heat_map(pixels: NDArray[np.uint8], values: NDArray[np.float32]) -> Image.Image:
    """The picture of a contrast (h, w) over the pixels (H, W, 3); RGB, its sides multiples of them.

    A cell of the map becomes a smooth patch with its middle where the cell's middle is.
    """
    from PIL import Image

    height, width = pixels.shape[:2]
    times = max(1, -(-LEAST_SIDE // min(height, width)))
    size = (times * width, times * height)
    grey = Image.fromarray(pixels).convert("L").resize(size, Image.Resampling.BILINEAR)
    share = Image.fromarray(np.clip(values / full_scale(values), -1, 1).astype(np.float32))
    level = np.asarray(share.resize(size, Image.Resampling.BILINEAR))[..., None]
    colour = np.where(level < 0, SPEAKS_AGAINST, SPEAKS_FOR)
    opacity = OPACITY * np.abs(level)
    mixed = opacity * colour + (1 - opacity) * np.asarray(grey, dtype=np.float32)[..., None]
    return Image.fromarray(mixed.round().astype(np.uint8))


def write_heat_map(
    path: Path,
    pixels: NDArray[np.uint8],
    evidence: NDArray[np.floating[Any]],
    prediction: Prediction,
) -> None:
    """Write the PNG for the decided label; its description, a text in it, says what it shows.

    Raises:
        BadInput: the place cannot be written.
    """
    from PIL.PngImagePlugin import PngInfo

    values = contrast(evidence, list(prediction.probs).index(prediction.label))
    said = PngInfo()
    said.add_itxt(
        "Description",
        f"Evidence for {prediction.label} over the mean of the other labels: orange speaks for it, "
        f"violet against it, full colour is {full_scale(values):.1f} logits",
    )
    content = io.BytesIO()
    draw_heat_map(pixels, values).save(content, "png", pnginfo=said)
    write_bytes(path, content.getvalue())


def heat_map_places(
    folder: Path | None, places: Sequence[Path], images: Sequence[Path]
) -> dict[Path, Path]:
    """Image -> where its heat map goes below `folder`; empty without a folder.

    Args:
        places: as given; `folder` must not lie in one of them, or the next run would take the heat
            maps for images.
        images: the files of these places.

    Raises:
        BadInput: `folder` is a file, or lies in one of `places`.
    """
    if folder is None:
        return {}
    if kind_of(folder) not in ("folder", "nothing"):
        raise BadInput(f"{folder} is a file, and heat maps need a folder")
    for place in places:
        if kind_of(place) == "folder" and folder.resolve().is_relative_to(place.resolve()):
            raise BadInput(
                f"the heat maps in {folder} would be taken for images of {place} the next time; "
                "give a folder outside of it"
            )
    return places_below(folder, images, SUFFIX)
