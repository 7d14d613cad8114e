"""Where the voxels of a phantom lie, in mm."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from carbon_midl.lidc.annotations import Nodule, Scan
from carbon_midl.lidc.contours import Window

IMAGE_SIZE = 512  # rows and columns of every LIDC-IDRI scan

Volume = NDArray[np.floating[Any]]  # (slices, rows, columns), or what broadcasts to it


@dataclass(frozen=True, eq=False)
class Space:
    """Voxel positions of the crops of one nodule, mm, from the middle of the scan's image.

    x_mm: ``(size,)`` of the columns, to the patient's left. y_mm: ``(size,)`` of the rows, to the back.
    z_mm: ``(slices,)``, to the head. height: of the nodule in the scan, from 0 at its lowest slice to 1 at its highest.
    """

    x_mm: Volume
    y_mm: Volume
    z_mm: Volume
    pixel_mm: float
    thickness_mm: float
    field_of_view_mm: float
    height: float

    @property
    def shape(self) -> tuple[int, int, int]:
        """Slices, rows, columns."""
        return len(self.z_mm), len(self.y_mm), len(self.x_mm)

    @classmethod
    def around(cls, scan: Scan, nodule: Nodule, window: Window) -> "Space":
        """Return the space of a window on the slices of a nodule."""
        z_mm = scan.slice_z_mm
        slices = nodule.slice_indices()
        steps = np.arange(window.size) - (IMAGE_SIZE - 1) / 2
        middle_mm = (z_mm[slices.start] + z_mm[slices.stop - 1]) / 2
        return cls(
            x_mm=((steps + window.column) * scan.pixel_spacing_mm).astype(np.float32),
            y_mm=((steps + window.row) * scan.pixel_spacing_mm).astype(np.float32),
            z_mm=z_mm[slices.start : slices.stop].astype(np.float32),
            pixel_mm=scan.pixel_spacing_mm,
            thickness_mm=scan.slice_thickness_mm,
            field_of_view_mm=IMAGE_SIZE * scan.pixel_spacing_mm,
            height=float((middle_mm - z_mm[0]) / max(z_mm[-1] - z_mm[0], 1.0)),
        )
