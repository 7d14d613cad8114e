"""Pictures of crops: contact sheets and segmentations with the readers' outlines."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

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
    sheet = _Sheet(archive, rows, columns, _reader_handles())
    for number, row in enumerate(rows):
        crop = archive.index.iloc[int(row)]
        sheet.title(number, f"{crop['patient_id'][-4:]} · nodule {crop['nodule']} · slice {crop['slice']}", fontsize=7)
    return sheet.figure


def segmentations(
    archive: CropArchive,
    rows: Sequence[int] | NDArray[np.int64],
    predicted: NDArray[np.bool_],
    scores: "pd.Series[float]",
    columns: int = 6,
) -> Figure:
    """Show the network's masks over the readers' outlines.

    Args:
        archive: the crops.
        rows: which crops.
        predicted: the network's masks, ``(len(rows), H, W)``.
        scores: Dice of each.
        columns: crops a row of the picture.
    """
    handles = [*_reader_handles(), Line2D([], [], color=PREDICTION_COLOUR, linewidth=6, alpha=0.5, label="U-Net")]
    sheet = _Sheet(archive, rows, columns, handles)
    sheet.tint(predicted)
    for number, score in enumerate(scores):
        sheet.title(number, f"Dice {score:.2f}", fontsize=8)
    return sheet.figure


def spread(scores: "pd.Series[float]", count: int) -> NDArray[np.int64]:
    """Return positions of ``count`` crops from the worst score to the best, evenly spaced in rank."""
    order = np.argsort(scores.to_numpy(), kind="stable")
    return order[np.linspace(0, len(order) - 1, min(count, len(order))).round().astype(int)]


class _Sheet:
    """Crops side by side with the readers' outlines, in one pair of axes: a pair for each takes ten times as long."""

    def __init__(
        self, archive: CropArchive, rows: Sequence[int] | NDArray[np.int64], columns: int, legend: list[Any]
    ) -> None:
        from matplotlib import pyplot as plt

        self._size, lines = archive.size, -(-len(rows) // columns)
        across, down = round(self._size * (1 + _BESIDE)), round(self._size * (1 + _ABOVE))
        self._corners = [(number % columns * across, number // columns * down) for number in range(len(rows))]
        self._shape = (lines * down - (down - self._size), columns * across - (across - self._size))
        # Placed by hand: a layout engine would draw everything once more.
        height_in = 1.75 * lines + 0.9
        self.figure = plt.figure(figsize=(1.6 * columns, height_in))
        self._axis = self.figure.add_axes((0.01, 0.4 / height_in, 0.98, 1 - 0.9 / height_in))
        self._axis.set_axis_off()
        self.figure.legend(handles=legend, loc="lower center", ncols=len(legend), fontsize=8, frameon=False)
        self._draw(archive.inputs(rows), np.full(self._shape, np.nan), cmap="gray", vmin=0, vmax=1)
        for (x, y), masks in zip(self._corners, archive.reader_masks(rows), strict=True):
            self._outline(x, y, masks)
        if archive.is_phantom:
            self.figure.suptitle("Phantom: synthetic images around real LIDC-IDRI outlines", fontsize=9, y=0.98)
            for x, y in self._corners:
                inside = 0.02 * self._size
                self._axis.text(x + inside, y + inside, "phantom", color="white", fontsize=6, va="top", alpha=0.8)

    def title(self, number: int, text: str, fontsize: int) -> None:
        """Write above a crop."""
        x, y = self._corners[number]
        self._axis.text(x + self._size / 2, y - 0.03 * self._size, text, fontsize=fontsize, ha="center", va="bottom")

    def tint(self, masks: NDArray[np.bool_]) -> None:
        """Tint masks, ``(crops, H, W)``."""
        self._draw(masks[..., None] * np.array(_TINT), np.zeros((*self._shape, 4)))

    def _draw(self, tiles: NDArray[Any], canvas: NDArray[Any], **how: Any) -> None:
        for (x, y), tile in zip(self._corners, tiles, strict=True):
            canvas[y : y + self._size, x : x + self._size] = tile
        self._axis.imshow(canvas, **how)

    def _outline(self, x: float, y: float, masks: NDArray[np.bool_]) -> None:
        """Draw the border of each reader's mask; a border of pixels on the outline is drawn half a pixel outside."""
        from skimage.measure import find_contours

        for mask, colour in zip(masks, READER_COLOURS, strict=True):
            for line in find_contours(np.pad(mask, 1).astype(float), 0.5):
                self._axis.plot(line[:, 1] - 1 + x, line[:, 0] - 1 + y, color=colour, linewidth=0.9)


def _reader_handles() -> list[Any]:
    return [Line2D([], [], color=colour, label=f"reader {number + 1}") for number, colour in enumerate(READER_COLOURS)]
