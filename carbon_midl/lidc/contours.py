"""From a radiologist's outlines to masks, pixel by pixel as pylidc's `Annotation.boolean_mask` gives them."""

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from matplotlib.path import Path as Polygon
from numpy.typing import NDArray

from carbon_midl.lidc import READERS
from carbon_midl.lidc.annotations import Contour, Nodule


class Window(NamedTuple):
    """A square of the scan's pixels: its first row and column, which may lie outside the image, and its size in px."""

    row: int
    column: int
    size: int


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
        for index in {contour.slice_index for contour in reading.contours}:
            masks[index - slices.start, reader] = rasterise(
                (contour for contour in reading.contours if contour.slice_index == index), window
            )
    return masks


def rasterise(contours: Iterable[Contour], window: Window) -> NDArray[np.bool_]:
    """Return the bool mask ``(size, size)`` that one reader's contours on one slice enclose in a window.

    The contour's own points lie outside the nodule. Contours that cut holes take effect after the others.
    """
    mask = np.zeros((window.size, window.size), dtype=bool)
    for contour in sorted(contours, key=lambda contour: not contour.includes):
        corner = contour.points.min(axis=0)
        enclosed = _enclosed(contour.points - corner)
        # The part of the contour's box that lies in the window.
        row, column = (corner - (window.row, window.column)).tolist()
        top, left = max(row, 0), max(column, 0)
        here = mask[top : max(row + enclosed.shape[0], 0), left : max(column + enclosed.shape[1], 0)]
        there = enclosed[top - row :, left - column :][: here.shape[0], : here.shape[1]]
        if contour.includes:
            here |= there
        else:
            here &= ~there
        outline = contour.points - (window.row, window.column)
        outline = outline[((outline >= 0) & (outline < window.size)).all(axis=1)]
        mask[outline[:, 0], outline[:, 1]] = False
    return mask


def _enclosed(points: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Which pixels of the box from (0, 0) to the last point a polygon encloses.

    Tested with matplotlib's `contains_points` as pylidc does, so that pixels which lie on an edge fall alike.
    """
    height, width = (points.max(axis=0) + 1).tolist()
    pixels = np.indices((height, width)).reshape(2, -1).T
    closed = points if (points[0] == points[-1]).all() else np.concatenate((points, points[:1]))
    inside: NDArray[np.bool_] = Polygon(closed, closed=True).contains_points(pixels)
    return inside.reshape(height, width)
