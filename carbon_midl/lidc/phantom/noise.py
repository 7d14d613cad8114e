"""Random fields: the grain of tissue, and the noise that a scanner's reconstruction leaves."""

import numpy as np
from numpy.random import Generator
from scipy.fft import irfft2, rfft2

from carbon_midl.lidc.phantom.space import Space, Volume


def grain(space: Space, period_mm: float, rng: Generator) -> Volume:
    """Return smooth noise of mean 0 and variance 1 that changes over `period_mm` in all three directions.

    Two pictures are mixed with an angle that turns with z, so that neighbouring slices resemble each other.
    """
    _, rows, columns = space.shape
    period_px = period_mm / space.pixel_mm
    down, across = _spline_weights(rows, period_px), _spline_weights(columns, period_px)
    knots = rng.standard_normal((2, down.shape[1], across.shape[1]), dtype=np.float32)
    pictures: Volume = down @ knots @ across.T
    angle = ((space.z_mm - space.z_mm[0]) / np.float32(period_mm))[:, None, None]
    return np.cos(angle) * pictures[0] + np.sin(angle) * pictures[1]


def _spline_weights(length: int, period: float) -> Volume:
    """Weights ``(length, knots)`` of cubic B-splines with a knot every `period`, scaled to keep the knots' variance."""
    knots = np.arange(-1, int(np.ceil(length / period)) + 2)
    distance = np.abs(np.arange(length)[:, None] / period - knots)
    near = 2 / 3 - distance**2 + distance**3 / 2
    far = np.clip(2 - distance, 0, None) ** 3 / 6
    weights = np.where(distance < 1, near, far)
    scaled: Volume = (weights / np.linalg.norm(weights, axis=1, keepdims=True)).astype(np.float32)
    return scaled


def reconstruction_noise(
    shape: tuple[int, int], pixel_mm: float, sharpness_per_mm: float, deviation_hu: float, rng: Generator
) -> Volume:
    """Return noise with the spectrum of filtered back-projection, one slice of ``shape``, HU.

    Its amplitude rises with spatial frequency (the ramp filter) up to a Gaussian roll-off that stands for the kernel.

    Args:
        shape: rows, columns.
        pixel_mm: pixel spacing, mm.
        sharpness_per_mm: frequency at which the kernel has fallen to exp(-1/2), cycles per mm; 0.25 smooth, 0.6 sharp.
        deviation_hu: standard deviation, HU.
        rng: source of the noise.
    """
    row = np.fft.fftfreq(shape[0], pixel_mm)[:, None]
    column = np.fft.rfftfreq(shape[1], pixel_mm)[None, :]
    frequency = np.hypot(row, column).astype(np.float32)
    response = (frequency + np.float32(0.02)) * np.exp(-0.5 * (frequency / np.float32(sharpness_per_mm)) ** 2)
    noise: Volume = irfft2(rfft2(rng.standard_normal(shape, dtype=np.float32)) * response, s=shape)
    return noise * np.float32(deviation_hu / max(float(noise.std()), 1e-6))
