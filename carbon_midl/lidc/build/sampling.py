"""The pixels of a crop: the scan's own, or resampled to a given size."""

import math
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from carbon_midl.lidc.annotations import Nodule
from carbon_midl.lidc.ct import AIR_HU
from carbon_midl.lidc.masks import Window, reader_masks, window_around


class Sampling(NamedTuple):
    """How the pixels of one nodule's crops lie on those of its scan.

    window: the scan's pixels that are needed. size: of a crop, px. first_px: where the crop's first pixel begins in the
    window, in the scan's pixels. step_px: how many of the scan's pixels one of the crop's spans.
    """

    window: Window
    size: int
    first_px: float = 0.0
    step_px: float = 1.0

    @classmethod
    def native(cls, nodule: Nodule, size: int) -> Self:
        """The scan's own pixels around a nodule."""
        return cls(window_around(nodule, size), size)

    @classmethod
    def at_spacing(cls, nodule: Nodule, size: int, scan_mm: float, crop_mm: float) -> Self:
        """Pixels of `crop_mm` around the same place."""
        step_px = crop_mm / scan_mm
        margin_px = 2 + math.ceil(4 * _blur_px(step_px))  # what interpolation and blur reach beyond the crop
        half_px = math.ceil(size * step_px / 2) + margin_px
        return cls(window_around(nodule, 2 * half_px), size, half_px - size * step_px / 2, step_px)

    def image(self, hu: NDArray[np.int16]) -> NDArray[np.int16]:
        """Cut the crop from a slice ``(rows, columns)``, HU; beyond its edges is air."""
        pixels = _cut(hu, self.window)
        if self.step_px == 1 and self.first_px == 0:
            return pixels
        from scipy.ndimage import affine_transform, gaussian_filter

        smooth = pixels.astype(np.float32)
        if self.step_px > 1:
            smooth = gaussian_filter(smooth, _blur_px(self.step_px))
        first_centre_px = self.first_px + self.step_px / 2 - 0.5
        resampled = affine_transform(
            smooth,
            (self.step_px, self.step_px),
            first_centre_px,
            output_shape=(self.size, self.size),
            order=1,
            mode="nearest",
        )
        return np.rint(resampled).astype(np.int16)

    def masks(self, nodule: Nodule) -> NDArray[np.bool_]:
        """Every reader's mask on every slice, bool ``(slices, 4, size, size)``.

        A resampled pixel belongs to a mask if at least half of its area does.
        """
        masks = reader_masks(nodule, self.window)
        if self.step_px == 1 and self.first_px == 0:
            return masks
        edges_px = self.first_px + self.step_px * np.arange(self.size + 1)
        # Half of a pixel is to remain half whatever the sums of floats are.
        return np.stack([_covered(_covered(mask, edges_px, -1), edges_px, -2) >= 0.5 - 1e-9 for mask in masks])


def _blur_px(step_px: float) -> float:
    """The standard deviation that keeps coarser pixels from aliasing; the same rule as scikit-image's."""
    return max(step_px - 1, 0) / 2


def _cut(hu: NDArray[np.int16], window: Window) -> NDArray[np.int16]:
    pixels = np.full((window.size, window.size), AIR_HU, dtype=np.int16)
    top, left = max(window.row, 0), max(window.column, 0)
    inside = hu[top : max(window.row + window.size, 0), left : max(window.column + window.size, 0)]
    row, column = top - window.row, left - window.column
    pixels[row : row + inside.shape[0], column : column + inside.shape[1]] = inside
    return pixels


def _covered(values: NDArray[np.generic], edges_px: NDArray[np.floating], axis: int) -> NDArray[np.float64]:
    """The mean of pixel values between edges along one axis, exact where edges cut through pixels."""
    moved = np.moveaxis(values, axis, -1).astype(np.float64)
    until = np.zeros((*moved.shape[:-1], moved.shape[-1] + 1))
    np.cumsum(moved, axis=-1, out=until[..., 1:])
    whole = np.floor(edges_px).astype(int)
    part = edges_px - whole
    integral = until[..., whole] * (1 - part) + until[..., np.minimum(whole + 1, moved.shape[-1])] * part
    return np.moveaxis(np.diff(integral) / np.diff(edges_px), -1, axis)
