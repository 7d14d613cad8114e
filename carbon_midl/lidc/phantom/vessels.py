"""Branching tubes: the lung's vessels and bronchi, and the spicules of a nodule."""

from typing import NamedTuple

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from carbon_midl.lidc.phantom.space import Space, Volume

STEP_MM = 2.5  # a vessel runs straight for so long
STEPS = 16
SMALLEST_RADIUS_MM = 0.22
TREES_PER_LITRE = 620
BRONCHUS_FROM_RADIUS_MM = 1.2
ABOVE_AND_BELOW_MM = 16.0  # of the slices, where trees start as well


class Tubes(NamedTuple):
    """Points along tubes, closer together than a radius.

    points_mm: ``(n, 3)`` x, y, z. radii_mm: ``(n,)``. rise: ``(n,)``, how much of the direction lies along z, 0 to 1.
    """

    points_mm: Volume
    radii_mm: Volume
    rise: Volume


def vessel_tree(space: Space, hilum_mm: tuple[float, float], rng: Generator) -> Tubes:
    """Grow vessels that run from the hilum to the pleura, curving, thinning and branching, through a space.

    Trees start anywhere in the space and somewhat above and below it, so that vessels cross its slices at every angle.
    """
    low = np.array([space.x_mm[0], space.y_mm[0], space.z_mm[0] - ABOVE_AND_BELOW_MM])
    high = np.array([space.x_mm[-1], space.y_mm[-1], space.z_mm[-1] + ABOVE_AND_BELOW_MM])
    count = rng.poisson(TREES_PER_LITRE * np.prod((high - low) / 100.0))
    position = rng.uniform(low, high, (count, 3))
    outward = position - np.array([*hilum_mm, (low[2] + high[2]) / 2])
    from_hilum_mm = np.linalg.norm(outward, axis=1, keepdims=True)
    direction = _unit(outward / (from_hilum_mm + 1) + rng.normal(0, 0.42, (count, 3)))
    radius = np.exp(rng.normal(-0.5, 0.45, count)) * np.clip(55 / (from_hilum_mm[:, 0] + 20), 0.5, 2.0)
    segments = []
    for _ in range(STEPS):
        towards = position + STEP_MM * direction
        segments.append((position, towards, radius))
        branching = rng.random(len(radius)) < 0.17
        side = _unit(rng.normal(0, 1, (len(radius), 3)))
        branch = _unit(direction + 1.0 * side)[branching]
        direction = np.concatenate((_unit(direction + np.where(branching, 0.35, 0.26)[:, None] * -side), branch))
        position = np.concatenate((towards, towards[branching]))
        radius = np.concatenate((radius * np.where(branching, 0.84, 0.955), 0.68 * radius[branching]))
        alive = radius > SMALLEST_RADIUS_MM
        position, direction, radius = position[alive], direction[alive], radius[alive]
    return tubes(*(np.concatenate(part) for part in zip(*segments, strict=True)))


def bronchi(vessels: Tubes) -> Tubes:
    """Return the airways that accompany the larger vessels, as wide as they are and at their side."""
    large = vessels.radii_mm > BRONCHUS_FROM_RADIUS_MM
    radii = vessels.radii_mm[large]
    points = vessels.points_mm[large] + radii[:, None] * np.array([1.7, -1.2, 0.0], dtype=np.float32)
    return Tubes(points, radii, vessels.rise[large])


def tubes(starts_mm: NDArray[np.float64], ends_mm: NDArray[np.float64], radii_mm: NDArray[np.float64]) -> Tubes:
    """Return points along straight pieces from `starts_mm` to `ends_mm`, both ``(n, 3)``, of `radii_mm` ``(n,)``."""
    length = np.linalg.norm(ends_mm - starts_mm, axis=1)
    count = np.maximum(np.ceil(length / np.maximum(0.7 * radii_mm, 0.35)).astype(int), 1)
    piece = np.repeat(np.arange(len(count)), count)
    share = (np.arange(len(piece)) - np.repeat(np.cumsum(count) - count, count)) / count[piece]
    points = starts_mm[piece] + share[:, None] * (ends_mm - starts_mm)[piece]
    rise = np.abs(ends_mm - starts_mm)[:, 2] / np.maximum(length, 1e-6)
    return Tubes(points.astype(np.float32), radii_mm[piece].astype(np.float32), rise[piece].astype(np.float32))


def occupancy(parts: Tubes, space: Space) -> Volume:
    """Return how much of each voxel the tubes fill, 0 to 1, ``(slices, rows, columns)``.

    A tube thinner than a pixel, or that runs along a slice thicker than itself, fills its voxels only partly.
    """
    filled = np.zeros(space.shape, dtype=np.float32)
    pixel = np.float32(space.pixel_mm)
    half_slice = np.float32(space.thickness_mm / 2)
    column = (parts.points_mm[:, 0] - space.x_mm[0]) / pixel
    row = (parts.points_mm[:, 1] - space.y_mm[0]) / pixel
    reach = np.ceil(parts.radii_mm / pixel + 0.5).astype(int)
    run_mm = 2 * half_slice * np.sqrt(1 - parts.rise**2)
    share = np.clip(2 * parts.radii_mm / (run_mm + 1e-3), 0, 1) * np.clip(2 * parts.radii_mm / pixel, 0, 1)
    _, rows, columns = space.shape
    nearby = (row > -reach) & (row < rows + reach) & (column > -reach) & (column < columns + reach)
    for k, z_mm in enumerate(space.z_mm):
        off_mm = np.maximum(np.abs(parts.points_mm[:, 2] - z_mm) - half_slice, 0)
        touching = nearby & (off_mm < parts.radii_mm)
        for width in np.unique(reach[touching]):
            chosen = np.flatnonzero(touching & (reach == width))
            offsets = np.arange(-width, width + 1)
            at_row = np.rint(row[chosen]).astype(int)[:, None] + offsets
            at_column = np.rint(column[chosen]).astype(int)[:, None] + offsets
            distance_mm = np.sqrt(
                ((at_row - row[chosen, None]) * pixel)[:, :, None] ** 2
                + ((at_column - column[chosen, None]) * pixel)[:, None, :] ** 2
                + (off_mm[chosen] ** 2)[:, None, None]
            )
            value = np.clip((parts.radii_mm[chosen, None, None] - distance_mm) / pixel + 0.5, 0, 1)
            value *= share[chosen, None, None]
            row_inside, column_inside = (at_row >= 0) & (at_row < rows), (at_column >= 0) & (at_column < columns)
            inside = row_inside[:, :, None] & column_inside[:, None, :]
            flat = at_row[:, :, None] * columns + at_column[:, None, :]
            np.maximum.at(filled[k].reshape(-1), flat[inside], value[inside].astype(np.float32))
    return filled


def _unit(vectors: NDArray[np.float64]) -> NDArray[np.float64]:
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
