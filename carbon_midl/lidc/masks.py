"""From radiologists' outlines to masks, pixel by pixel as pylidc's `Annotation.boolean_mask` gives them.

A nodule's masks come as pixels of a crop (`reader_masks`), or as what the statistics need of them (`Outlines`).
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
from matplotlib.path import Path as Polygon
from numpy.typing import NDArray
from scipy.sparse import csr_array
from tqdm import tqdm

from carbon_midl.lidc import READERS
from carbon_midl.lidc.annotations import Contour, Nodule, Scan

FRAME_PX = 128
"""Every consensus lies in the middle of a square of this size, as in a crop; no nodule of the collection is larger."""
CONSENSUS_READERS = 2
"""A pixel is in the consensus if at least so many of the four readers outlined it."""
BANDS_MM = {"under 6 mm": 0.0, "6 to 8 mm": 6.0, "8 to 15 mm": 8.0, "15 mm and more": 15.0}
"""Sizes of nodules with their lower bounds; 6 and 8 mm are where guidelines change what they recommend."""


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


@dataclass(frozen=True, eq=False)
class Outlines:
    """The outlines of one nodule in numbers.

    overlap_px: ``(slices, readers, readers)`` pixels that two readers both outlined; on the diagonal, one's own area.
    consensus: ``(slices, FRAME_PX²)``, 1 where at least two readers outlined the pixel. Slices as in
    `nodule.slice_indices()`, readers only those who outlined the nodule.
    """

    scan: Scan
    nodule: Nodule
    overlap_px: NDArray[np.int64]
    consensus: csr_array

    @property
    def patient_id(self) -> str:
        """The patient."""
        return self.scan.patient_id

    @cached_property
    def area_px(self) -> NDArray[np.int64]:
        """Area by slice and reader, ``(slices, readers)``; 0 where the reader outlined nothing."""
        return self.overlap_px.diagonal(axis1=1, axis2=2)

    @cached_property
    def diameter_mm(self) -> float:
        """Diameter of the circle as large as the nodule is in its largest slice, mean over its readers."""
        diameters_px = 2 * np.sqrt(self.area_px.max(axis=0) / np.pi)
        return float(diameters_px.mean()) * self.scan.pixel_spacing_mm

    @property
    def band(self) -> str:
        """The nodule's size, a key of `BANDS_MM`."""
        return [name for name, low_mm in BANDS_MM.items() if self.diameter_mm >= low_mm][-1]


def outlines_of(scans: Iterable[Scan]) -> list[Outlines]:
    """Rasterise the outlines of every nodule of some scans; less than a minute for the whole collection."""
    return [_outlines(scan, nodule) for scan in tqdm(scans, unit="scan", disable=None) for nodule in scan.nodules]


def _outlines(scan: Scan, nodule: Nodule) -> Outlines:
    # A window no larger than the nodule: most are a few pixels wide, and overlaps are found several times faster.
    window = window_around(nodule, int(np.diff(nodule.bounding_box()[:2]).max()) + 3)
    masks = reader_masks(nodule, window)[:, : len(nodule.readings)]
    flat = masks.reshape(*masks.shape[:2], -1).astype(np.float32)
    overlap_px = np.rint(flat @ flat.transpose(0, 2, 1)).astype(np.int64)
    frame = window_around(nodule, FRAME_PX)
    slices, rows, columns = np.nonzero(masks.sum(axis=1) >= CONSENSUS_READERS)
    pixels = (rows + window.row - frame.row) * FRAME_PX + columns + window.column - frame.column
    shape = (len(masks), FRAME_PX**2)
    consensus = csr_array((np.ones(len(slices), dtype=np.float32), (slices, pixels)), shape=shape)
    return Outlines(scan, nodule, overlap_px, consensus)
