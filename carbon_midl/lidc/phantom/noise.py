"""Random fields: the grain of tissue, and the noise that a scanner's reconstruction leaves."""

import math

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from scipy.ndimage import correlate1d

from carbon_midl.lidc.phantom.space import IMAGE_SIZE, Space, Volume

BEYOND_PX = 32  # how far beyond the image's edge a box may reach, for what filters need


class Grain:
    """Smooth noise of mean 0 and variance 1 that changes over a period in all three directions, through a whole scan.

    Two pictures of cubic B-splines are mixed with an angle that turns with z, so that neighbouring slices resemble each
    other. The splines are summed tap by tap rather than as a matrix product, whose rounding depends on its shape.

    Args:
        pixel_mm: pixel spacing, mm.
        period_mm: over which the noise changes.
        rng: draws the pictures.
    """

    def __init__(self, pixel_mm: float, period_mm: float, rng: Generator) -> None:
        self._period_mm = period_mm
        self._period_px = period_mm / pixel_mm
        knots = math.ceil((IMAGE_SIZE + 2 * BEYOND_PX) / self._period_px) + 4
        self._knots = rng.standard_normal((2, knots, knots), dtype=np.float32)

    def at(self, space: Space) -> Volume:
        """Return the noise in a box, float32 ``(slices, rows, columns)``."""
        row_knot, row_weights = self._taps(space.rows)
        column_knot, column_weights = self._taps(space.columns)
        first, last = row_knot[0], row_knot[-1] + 4
        strips = _summed([self._knots[:, first:last, column_knot + tap] * column_weights[tap] for tap in range(4)])
        pictures = _summed([strips[:, row_knot - first + tap] * row_weights[tap][:, None] for tap in range(4)])
        angles = [float(z_mm) / self._period_mm for z_mm in space.z_mm[:, 0, 0]]
        return np.stack([np.float32(math.cos(a)) * pictures[0] + np.float32(math.sin(a)) * pictures[1] for a in angles])

    def _taps(self, indices: range) -> tuple[NDArray[np.int64], list[Volume]]:
        """The first of four knots that each position depends on, and their weights, of unit norm."""
        position = (np.arange(indices.start, indices.stop) + BEYOND_PX) / self._period_px + 1
        knot = np.floor(position).astype(np.int64)
        t = position - knot
        u = 1 - t
        weights = [u * u * u / 6, 2 / 3 - t * t * (1 - t / 2), 2 / 3 - u * u * (1 - u / 2), t * t * t / 6]
        norm = np.sqrt(_summed([weight * weight for weight in weights]))
        return knot - 1, [(weight / norm).astype(np.float32) for weight in weights]


def reconstruction_noise(space: Space, sharpness_per_mm: float, deviation_hu: float, seed: tuple[int, ...]) -> Volume:
    """Return noise like that of filtered back-projection, HU, ``(slices, rows, columns)``.

    White noise through a band pass, the difference of two Gaussians: its amplitude rises from zero at frequency zero,
    as the ramp filter's does, up to a roll-off that stands for the kernel. Each slice of the scan has noise of its own.

    Args:
        space: the box.
        sharpness_per_mm: frequency at which the kernel has fallen to exp(-1/2), cycles per mm; 0.25 smooth, 0.6 sharp.
        deviation_hu: standard deviation, HU.
        seed: of the scan's noise.
    """
    narrow, wide = (_gaussian_taps(1 / (2 * math.pi * sharpness_per_mm * space.pixel_mm) * k) for k in (1.0, 2.0))
    reach = len(wide) // 2
    narrow = np.pad(narrow, reach - len(narrow) // 2)
    # Of the difference of the two separable kernels.
    norm = math.sqrt((narrow @ narrow) ** 2 + (wide @ wide) ** 2 - 2 * (narrow @ wide) ** 2)
    size = IMAGE_SIZE + 2 * BEYOND_PX
    rows, columns = (
        slice(indices.start + BEYOND_PX - reach, indices.stop + BEYOND_PX + reach)
        for indices in (space.rows, space.columns)
    )
    noise = np.empty(space.shape, dtype=np.float32)
    inner = slice(reach, -reach)
    for number, index in enumerate(space.slices):
        white = np.random.default_rng([*seed, index]).standard_normal((size, size), dtype=np.float32)[rows, columns]
        sharp, smooth = (
            correlate1d(correlate1d(white, taps, axis=0), taps, axis=1)[inner, inner] for taps in (narrow, wide)
        )
        noise[number] = (sharp - smooth) * np.float32(deviation_hu / norm)
    return noise


def _gaussian_taps(deviation_px: float) -> NDArray[np.float64]:
    reach = max(1, math.ceil(3 * deviation_px))
    taps = np.exp(-0.5 * (np.arange(-reach, reach + 1) / deviation_px) ** 2)
    normalised: NDArray[np.float64] = taps / taps.sum()
    return normalised


def _summed(terms: list[Volume]) -> Volume:
    """Add in the order given, so that each element is rounded alike in every box."""
    total = terms[0]
    for term in terms[1:]:
        total = total + term
    return total
