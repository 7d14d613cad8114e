"""From radiologists' outlines to masks, pixel by pixel as pylidc's `Annotation.boolean_mask` gives them."""

from typing import Any, NamedTuple

import numpy as np
from matplotlib.path import Path as Polygon
from numpy.typing import NDArray

from carbon_midl.errors import InputError
from carbon_midl.lidc import READERS, SMALLEST_SIZE
from carbon_midl.lidc.annotations import Contour, Nodule

Crop = tuple[NDArray[np.int16], NDArray[np.bool_], dict[str, Any]]
"""An image in HU ``(size, size)``, the readers' masks ``(4, size, size)``, and the crop's place in an archive:
``patient_id``, ``nodule``, ``slice``."""


class Window(NamedTuple):
    """A square of the scan's pixels: its first row and column, which may lie outside the image, and its size in px."""

    row: int
    column: int
    size: int


def check_size(size: int) -> None:
    """Raise InputError unless crops can be ``size`` px high and wide."""
    if size < SMALLEST_SIZE or size % 2:
        raise InputError(f"size: {size} px, expected an even number of at least {SMALLEST_SIZE}.")


def window_around(nodule: Nodule, size: int) -> Window:
    """Return the window of `size` px whose middle is that of the box around all readers' outlines on all slices."""
    (first_row, last_row), (first_column, last_column), _ = nodule.bounding_box().tolist()
    return Window((first_row + last_row) // 2 - size // 2, (first_column + last_column) // 2 - size // 2, size)


def reader_masks(nodule: Nodule, window: Window) -> NDArray[np.bool_]:
    """Rasterise every reader's outlines on every slice of a nodule.

    Returns:
        bool ``(slices, 4, size, size)``, slices as in `nodule.slice_indices()`, readers in pylidc's order; empty
        where a reader did not outline the nodule or its outline does not reach the slice or the window.
    """
    slices = nodule.slice_indices()
    masks = np.zeros((len(slices), READERS, window.size, window.size), dtype=bool)
    for reader, reading in enumerate(nodule.readings):
        # Contours that cut holes come after those that they cut, whatever their order in the database.
        for contour in sorted(reading.contours, key=lambda contour: not contour.includes):
            _draw(masks[contour.slice_index - slices.start, reader], contour, window)
    return masks


def _draw(mask: NDArray[np.bool_], contour: Contour, window: Window) -> None:
    """Set what a contour encloses of a mask ``(size, size)``, or clear it where the contour cuts a hole."""
    points = contour.points - (window.row, window.column)
    # Only the part of the contour's bounding box that lies in the window.
    (top, left), (bottom, right) = points.min(axis=0).clip(0), points.max(axis=0).clip(max=window.size - 1)
    box = mask[top : max(bottom + 1, 0), left : max(right + 1, 0)]
    pixels = np.add(np.indices(box.shape).reshape(2, -1).T, (top, left))
    enclosed = Polygon(np.vstack((points, points[:1])), closed=True).contains_points(pixels)
    box[enclosed.reshape(box.shape)] = contour.includes
    # A contour is drawn on the first pixels outside the nodule, so its own points never belong to it.
    row, column = points[((points >= 0) & (points < window.size)).all(axis=1)].T
    mask[row, column] = False
