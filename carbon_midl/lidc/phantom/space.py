"""Where the pixels of a phantom lie: places in a scan's image, and their positions in mm."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from carbon_midl.lidc.annotations import Scan

IMAGE_SIZE = 512  # rows and columns of every LIDC-IDRI scan

Volume = NDArray[np.floating[Any]]  # (slices, rows, columns), or what broadcasts to it


@dataclass(frozen=True, eq=False)
class Space:
    """A box of a scan's voxels: a range of slices, rows and columns, which may reach beyond the image.

    Positions are computed from the scan's own rows, columns and slices, never from those of the box, and only by
    operations that IEEE 754 rounds alike wherever an element lies in an array. So a voxel gets the same value in every
    box that contains it, to the last bit: that is what makes a crop equal to the same place of a whole slice.
    """

    scan: Scan
    slices: range
    rows: range
    columns: range

    @property
    def shape(self) -> tuple[int, int, int]:
        """Slices, rows, columns."""
        return len(self.slices), len(self.rows), len(self.columns)

    @property
    def pixel_mm(self) -> float:
        """Pixel spacing, mm."""
        return self.scan.pixel_spacing_mm

    @property
    def thickness_mm(self) -> float:
        """Slice thickness, mm."""
        return self.scan.slice_thickness_mm

    @cached_property
    def x_mm(self) -> Volume:
        """``(1, 1, columns)`` from the middle of the image to the patient's left."""
        return self._in_plane_mm(self.columns)[None, None, :]

    @cached_property
    def y_mm(self) -> Volume:
        """``(1, rows, 1)`` from the middle of the image to the back."""
        return self._in_plane_mm(self.rows)[None, :, None]

    @cached_property
    def z_mm(self) -> Volume:
        """``(slices, 1, 1)`` from the scan's lowest slice to the head."""
        z_mm = self.scan.slice_z_mm - self.scan.slice_z_mm[0]
        return z_mm[self.slices.start : self.slices.stop].astype(np.float32)[:, None, None]

    @cached_property
    def height(self) -> Volume:
        """``(slices, 1, 1)`` in the scan, from 0 at its lowest slice to 1 at its highest."""
        return self.z_mm / np.float32(max(self.scan.slice_z_mm[-1] - self.scan.slice_z_mm[0], 1.0))

    def widened(self, margin: int) -> "Space":
        """The same slices with so many more rows and columns on each side."""
        return Space(self.scan, self.slices, _widened(self.rows, margin), _widened(self.columns, margin))

    def _in_plane_mm(self, indices: range) -> Volume:
        steps = np.arange(indices.start, indices.stop) - (IMAGE_SIZE - 1) / 2
        return (steps * self.scan.pixel_spacing_mm).astype(np.float32)


def _widened(indices: range, margin: int) -> range:
    return range(indices.start - margin, indices.stop + margin)
