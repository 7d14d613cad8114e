"""Pictures of crops: contact sheets and segmentations with the readers' outlines."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from carbon_midl.lidc import READERS
from carbon_midl.lidc.crops import CropArchive

if TYPE_CHECKING:
    import pandas as pd

# Okabe and Ito's colours, which people with colour-blindness can tell apart.
READER_COLOURS = ("#56B4E9", "#E69F00", "#009E73", "#CC79A7")
PREDICTION_COLOUR = "#F0E442"


def contact_sheet(archive: CropArchive, rows: Sequence[int] | NDArray[np.int64], columns: int = 6) -> Figure:
    """Show the crops in ``rows`` with each reader's outline in a colour of its own."""
    figure, axes = _grid(archive, len(rows), columns, legend=_reader_handles())
    for axis, row in zip(axes, rows, strict=False):
        _show_crop(axis, archive, int(row))
        _outline(axis, archive.reader_masks([int(row)])[0])
        crop = archive.index.iloc[int(row)]
        axis.set_title(f"{crop['patient_id'][-4:]} · nodule {crop['nodule']} · slice {crop['slice']}", fontsize=7)
    return figure


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
    figure, axes = _grid(archive, len(rows), columns, legend=handles)
    for axis, row, mask, score in zip(axes, rows, predicted, scores, strict=False):
        _show_crop(axis, archive, int(row))
        tint = np.zeros((*mask.shape, 4))
        tint[mask] = (0.94, 0.89, 0.26, 0.4)
        axis.imshow(tint)
        _outline(axis, archive.reader_masks([int(row)])[0])
        axis.set_title(f"Dice {score:.2f}", fontsize=8)
    return figure


def spread(scores: "pd.Series[float]", count: int) -> NDArray[np.int64]:
    """Return positions of ``count`` crops from the worst score to the best, evenly spaced in rank."""
    order = np.argsort(scores.to_numpy(), kind="stable")
    return order[np.linspace(0, len(order) - 1, min(count, len(order))).round().astype(int)]


def _grid(archive: CropArchive, count: int, columns: int, legend: list[Any]) -> tuple[Figure, list[Axes]]:
    from matplotlib import pyplot as plt

    lines = -(-count // columns)
    figure, axes = plt.subplots(
        lines, columns, figsize=(1.6 * columns, 1.75 * lines + 0.6), squeeze=False, layout="constrained"
    )
    for axis in axes.flat:
        axis.set_axis_off()
    figure.legend(handles=legend, loc="outside lower center", ncols=len(legend), fontsize=8, frameon=False)
    if archive.is_phantom:
        figure.suptitle("Phantom: synthetic images around real LIDC-IDRI outlines", fontsize=9)
    return figure, list(axes.flat)


def _reader_handles() -> list[Any]:
    return [Line2D([], [], color=colour, label=f"reader {number + 1}") for number, colour in enumerate(READER_COLOURS)]


def _show_crop(axis: Axes, archive: CropArchive, row: int) -> None:
    axis.imshow(archive.inputs([row])[0], cmap="gray", vmin=0, vmax=1)
    if archive.is_phantom:
        axis.text(0.02, 0.98, "phantom", transform=axis.transAxes, color="white", fontsize=6, va="top", alpha=0.8)


def _outline(axis: Axes, masks: NDArray[np.bool_]) -> None:
    """Draw the border of each reader's mask; a border of pixels on the outline is drawn half a pixel outside."""
    from skimage.measure import find_contours

    for reader in range(READERS):
        for line in find_contours(np.pad(masks[reader], 1).astype(float), 0.5):
            axis.plot(line[:, 1] - 1, line[:, 0] - 1, color=READER_COLOURS[reader], linewidth=0.9)
