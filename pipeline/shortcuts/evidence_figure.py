"""The picture of the evidence: validation images, and next to each where its decision comes from.

It shows the images themselves. If these are not to be shown, it stays in a build or checkpoint
folder of one's own and never goes into a repository: `.gitignore` names the file.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from pipeline.images import read_image
from pipeline.shortcuts.evidence_maps import BORDER, PER_GROUP

if TYPE_CHECKING:
    from pathlib import Path

    from matplotlib.axes import Axes
    from numpy.typing import NDArray

    from pipeline.data.dataset import Sample
    from pipeline.model_spec import ModelSpec
    from pipeline.shortcuts.evidence_maps import Tile

# Blue over grey to red in even steps for the eye (Moreland, ISVC 2009).
COLOURS: Final = "coolwarm"
OPACITY: Final = 0.85  # of the strongest evidence; none is transparent
PER_ROW: Final = PER_GROUP
MOST_AVERAGED: Final = 200  # images in a mean image
TILE, PAIR_GAP, ROW_GAP, MARGIN = 1.8, 0.22, 0.62, 0.35  # inches
HEADER, FOOTER = 0.85, 0.85
DARK, GREY, WRONG = "#222222", "#666666", "#b40426"


@dataclass(frozen=True)
class EvidenceCell:
    """An image uint8 (H, W, 3), its map (h, w), the end of the colour scale, the caption.

    `is_mean`: of a whole label.
    """

    image: NDArray[np.uint8]
    contrast: NDArray[np.float32]
    strongest: float
    caption: str
    colour: str = GREY
    is_mean: bool = False


def plot_evidence(
    path: Path,
    tiles: Sequence[Tile],
    samples: Sequence[Sample],
    contrast: NDArray[np.float32],
    spec: ModelSpec,
    title: str,
) -> None:
    """Write the grid as a PNG: a row for each group of tiles, last the mean map of each label.

    Args:
        path: of the picture.
        tiles: `pipeline.shortcuts.evidence_maps.choose_tiles` of `samples`.
        samples: N validation images.
        contrast: (N, h, w), see `pipeline.shortcuts.inference.Readout`.
        spec: of the model.
        title: above it all.
    """
    import matplotlib as mpl

    mpl.use("Agg")  # no window: training also runs where there is no screen
    from matplotlib import pyplot as plt

    strongest = _strongest(contrast[[tile.row for tile in tiles]])
    rows = [
        *_tile_rows(tiles, samples, contrast, spec, strongest),
        *_mean_rows(tiles, samples, contrast, spec),
    ]
    width = 2 * MARGIN + PER_ROW * 2 * TILE + (PER_ROW - 1) * PAIR_GAP
    height = HEADER + len(rows) * (TILE + ROW_GAP) + FOOTER
    figure = plt.figure(figsize=(width, height), facecolor="white")

    def write(x: float, y: float, text: str, **style: Any) -> None:
        figure.text(x / width, y / height, text, **{"color": DARK, **style})

    write(MARGIN, height - 0.36, title, size=14, weight="bold")
    legend = "Left: the image as the model gets it. Right: where its decision comes from."
    write(MARGIN, height - 0.62, legend, size=9.5, color=GREY)
    top = height - HEADER
    for heading, cells in rows:
        write(MARGIN, top - 0.16, heading, size=10.5, weight="bold")
        bottom = top - 0.24 - TILE
        for column, cell in enumerate(cells):
            left = MARGIN + column * (2 * TILE + PAIR_GAP)
            for x, pixels in ((left, cell.image), (left + TILE, _overlay(cell))):
                axes = figure.add_axes((x / width, bottom / height, TILE / width, TILE / height))
                shape = pixels.shape[0] / pixels.shape[1]
                axes.imshow(pixels, extent=(0, 1, 0, 1), aspect=shape, interpolation="bilinear")
                axes.set_axis_off()
                if cell.is_mean and x > left:
                    _draw_border(axes)
            write(left, bottom - 0.17, cell.caption, size=8.5, color=cell.colour)
        top -= TILE + ROW_GAP
    scale = figure.add_axes((MARGIN / width, 0.5 / height, 2 * TILE / width, 0.13 / height))
    _draw_scale(scale, spec, strongest)
    note = (
        "Logits at each place; their mean over the image is the decision.\n"
        "Dashed: the border that the number on the page refers to."
    )
    write(MARGIN + 2 * TILE + 2 * PAIR_GAP, 0.36, note, size=8.5, color=GREY, linespacing=1.5)
    figure.savefig(path, dpi=110)
    plt.close(figure)


def _tile_rows(
    tiles: Sequence[Tile],
    samples: Sequence[Sample],
    contrast: NDArray[np.float32],
    spec: ModelSpec,
    strongest: float,
) -> Iterator[tuple[str, list[EvidenceCell]]]:
    for group in dict.fromkeys(tile.group for tile in tiles):
        cells = []
        for tile in tiles:
            if tile.group == group:
                what = f"p({spec.positive or tile.label}) = {tile.prob:.2f}"
                ending = "right" if tile.right else "wrong"
                cells.append(
                    EvidenceCell(
                        read_image(samples[tile.row].path, spec.resize),
                        contrast[tile.row],
                        strongest,
                        f"{tile.number}  {tile.choice}: {what}, {ending}",
                        GREY if tile.right else WRONG,
                    )
                )
        yield group, cells


def _mean_rows(
    tiles: Sequence[Tile],
    samples: Sequence[Sample],
    contrast: NDArray[np.float32],
    spec: ModelSpec,
) -> Iterator[tuple[str, list[EvidenceCell]]]:
    """The mean image and the mean map of each label that has tiles, in their order."""
    rows_of = {
        label: [i for i, sample in enumerate(samples) if sample.label == label]
        for label in dict.fromkeys(tile.label for tile in tiles)
    }
    maps = {label: contrast[rows].mean(axis=0) for label, rows in rows_of.items()}
    strongest = _strongest(np.stack(list(maps.values())))
    cells = []
    for label, mean_map in maps.items():
        rows = rows_of[label]
        chosen = [rows[i] for i in _spread(len(rows))]
        images = [read_image(samples[i].path, spec.resize).astype(np.float64) for i in chosen]
        mean = np.asarray(np.mean(images, axis=0).round(), dtype=np.uint8)
        caption = f"mean of {len(rows)} images of {label}"
        cells.append(EvidenceCell(mean, mean_map, strongest, caption, is_mean=True))
    for i in range(0, len(cells), PER_ROW):
        heading = f"all images of a label (full colour here: {strongest:.1f})"
        yield heading if not i else "", cells[i : i + PER_ROW]


def _spread(count: int) -> list[int]:
    """Positions of at most `MOST_AVERAGED` images, evenly over `count`."""
    return [int(i) for i in np.linspace(0, count - 1, min(count, MOST_AVERAGED)).round()]


def _strongest(maps: NDArray[np.float32]) -> float:
    """The end of the colour scale; one place in a hundred may be beyond it."""
    return max(float(np.percentile(np.abs(maps), 99)), 1e-6)


def _overlay(cell: EvidenceCell) -> NDArray[np.float64]:
    """The image in grey, the evidence over it in colour: float (H, W, 3) in 0..1.

    A cell of the map becomes a smooth patch with its middle where the cell's middle is.
    """
    import matplotlib as mpl
    from PIL import Image

    height, width = cell.image.shape[:2]
    small = Image.fromarray(np.clip(cell.contrast / cell.strongest, -1, 1).astype(np.float32))
    level = np.asarray(small.resize((width, height), Image.Resampling.BILINEAR), dtype=np.float64)
    colour = mpl.colormaps[COLOURS]((level + 1) / 2)[..., :3]
    opacity = OPACITY * np.sqrt(np.abs(level))[..., None]
    grey = cell.image.mean(axis=2, keepdims=True) / 255
    return np.asarray(opacity * colour + (1 - opacity) * grey)


def _draw_border(axes: Axes) -> None:
    from matplotlib.patches import Rectangle

    inner = Rectangle((BORDER, BORDER), 1 - 2 * BORDER, 1 - 2 * BORDER)
    inner.set(fill=False, edgecolor="white", linestyle=(0, (4, 3)), linewidth=0.9, alpha=0.9)
    axes.add_patch(inner)


def _draw_scale(axes: Axes, spec: ModelSpec, strongest: float) -> None:
    import matplotlib as mpl

    axes.imshow(
        np.linspace(0, 1, 256)[None],
        cmap=mpl.colormaps[COLOURS],
        aspect="auto",
        extent=(-1, 1, 0, 1),
    )
    axes.set(yticks=[], xticks=[-1, 0, 1])
    axes.set_xticklabels([f"−{strongest:.1f}", "0", f"+{strongest:.1f}"])
    axes.tick_params(labelsize=8, length=0, pad=3, colors=GREY)
    for spine in axes.spines.values():
        spine.set_visible(False)
    for place, side, text in zip((0.0, 1.0), ("left", "right"), _ends(spec), strict=True):
        axes.text(place, 1.5, text, size=8.5, color=DARK, ha=side, transform=axes.transAxes)


def _ends(spec: ModelSpec) -> tuple[str, str]:
    """The meaning of the two ends of the scale."""
    if spec.positive is None:
        return "against the image's own label", "for it"
    other = next(label for label in spec.labels if label != spec.positive)
    return f"for {other}", f"for {spec.positive}"
