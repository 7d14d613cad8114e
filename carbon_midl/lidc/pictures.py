"""Pictures of crops: contact sheets and segmentations with the readers' outlines."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from carbon_midl.lidc.crops import CropArchive

if TYPE_CHECKING:
    import pandas as pd

# Okabe and Ito's colours, which people with colour-blindness can tell apart.
READER_COLOURS = ("#56B4E9", "#E69F00", "#009E73", "#CC79A7")
PREDICTION_COLOUR = "#F0E442"
_TINT = (0.94, 0.89, 0.26, 0.4)
# Between crops, in parts of their size: beside them, and above them for a line of text.
_BESIDE, _ABOVE = 0.06, 0.18


def contact_sheet(archive: CropArchive, rows: Sequence[int] | NDArray[np.int64], columns: int = 6) -> Figure:
    """Show the crops in ``rows`` with each reader's outline in a colour of its own."""
    crops = archive.index.iloc[list(rows)].itertuples()
    titles = [f"{str(crop.patient_id)[-4:]} · nodule {crop.nodule} · slice {crop.slice}" for crop in crops]
    return _sheet(archive, rows, titles, columns)


def segmentations(
    archive: CropArchive,
    rows: Sequence[int] | NDArray[np.int64],
    predicted: NDArray[np.bool_],
    scores: "pd.Series[float]",
    columns: int = 6,
) -> Figure:
    """Show the network's masks ``(len(rows), H, W)``, each with its Dice, over the readers' outlines."""
    return _sheet(archive, rows, [f"Dice {score:.2f}" for score in scores], columns, predicted)


def spread(scores: "pd.Series[float]", count: int) -> NDArray[np.int64]:
    """Return positions of ``count`` crops from the worst score to the best, evenly spaced in rank."""
    order = np.argsort(scores.to_numpy(), kind="stable")
    return order[np.linspace(0, len(order) - 1, min(count, len(order))).round().astype(int)]


def _sheet(
    archive: CropArchive,
    rows: Sequence[int] | NDArray[np.int64],
    titles: Sequence[str],
    columns: int,
    predicted: NDArray[np.bool_] | None = None,
) -> Figure:
    """Crops side by side with the readers' outlines, in one pair of axes: a pair for each takes ten times as long."""
    from matplotlib import pyplot as plt
    from skimage.measure import find_contours

    size, lines = archive.size, -(-len(rows) // columns)
    across, down = round(size * (1 + _BESIDE)), round(size * (1 + _ABOVE))
    # Placed by hand: a layout engine would draw everything once more.
    height_in = 1.75 * lines + 0.9
    figure = plt.figure(figsize=(1.6 * columns, height_in))
    axis = figure.add_axes((0.01, 0.4 / height_in, 0.98, 1 - 0.9 / height_in))
    axis.set_axis_off()
    canvas = np.full((lines * down - (down - size), columns * across - (across - size)), np.nan)
    tint = np.zeros((*canvas.shape, 4))
    crops = zip(archive.inputs(rows), archive.reader_masks(rows), titles, strict=True)
    for number, (image, masks, title) in enumerate(crops):
        x, y = number % columns * across, number // columns * down
        canvas[y : y + size, x : x + size] = image
        if predicted is not None:
            tint[y : y + size, x : x + size] = predicted[number][..., None] * np.array(_TINT)
        for mask, colour in zip(masks, READER_COLOURS, strict=True):
            # Along the edges of the pixels, half a pixel outside the middles of those at the border.
            for line in find_contours(np.pad(mask, 1).astype(float), 0.5):
                axis.plot(line[:, 1] - 1 + x, line[:, 0] - 1 + y, color=colour, linewidth=0.9)
        axis.text(x + size / 2, y - 0.03 * size, title, fontsize=7, ha="center", va="bottom")
        if archive.is_phantom:
            inside = 0.02 * size
            axis.text(x + inside, y + inside, "phantom", color="white", fontsize=6, va="top", alpha=0.8)
    axis.imshow(canvas, cmap="gray", vmin=0, vmax=1)
    handles = [Line2D([], [], color=colour, label=f"outline {n}") for n, colour in enumerate(READER_COLOURS, start=1)]
    if predicted is not None:
        axis.imshow(tint)
        handles.append(Line2D([], [], color=PREDICTION_COLOUR, linewidth=6, alpha=0.5, label="U-Net"))
    figure.legend(handles=handles, loc="lower center", ncols=len(handles), fontsize=8, frameon=False)
    if archive.is_phantom:
        figure.suptitle("Phantom: synthetic images around real LIDC-IDRI outlines", fontsize=9, y=0.98)
    return figure
