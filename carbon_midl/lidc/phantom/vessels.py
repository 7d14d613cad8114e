"""Branching tubes: the lung's vessels and bronchi, and the spicules of a nodule."""

from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from itertools import product
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from carbon_midl.lidc.phantom.space import IMAGE_SIZE, Space, Volume

STEP_MM = 2.5  # a vessel runs straight for so long
STEPS = 12
REACH_MM = 28.0  # vessels that start farther away are not seen: they end before, nearly always
SMALLEST_RADIUS_MM = 0.22
TREES_PER_LITRE = 620
BLOCK_MM = 32.0
BRONCHUS_FROM_RADIUS_MM = 1.2


class Tubes(NamedTuple):
    """Points along tubes, closer together than a radius.

    points_mm: ``(n, 3)`` x, y, z. radii_mm: ``(n,)``. rise: ``(n,)``, how much of the direction lies along z, 0 to 1.
    """

    points_mm: Volume
    radii_mm: Volume
    rise: Volume


class VesselTree:
    """The vessels of one scan: they run from the hila to the pleura, curving, thinning and branching.

    Space is divided into blocks, each with a random stream of its own, and vessels start anywhere in a block. So the
    vessels near a nodule can be grown without those of the rest of the lung, and are the same in every crop.

    Args:
        hila_mm: x, y, z of the left and of the right lung's.
        in_lung: whether points ``(n, 3)`` lie in the lung, where alone vessels start.
        seed: of the scan's vessels.
    """

    def __init__(
        self, hila_mm: NDArray[np.float64], in_lung: Callable[[Volume], NDArray[np.bool_]], seed: Sequence[int]
    ) -> None:
        self._hila_mm = hila_mm
        self._in_lung = in_lung
        self._seed = tuple(seed)
        self._block = lru_cache(maxsize=4096)(self._grow)

    def near(self, space: Space) -> Tubes:
        """Return the vessels that may be seen in a box."""
        blocks = [self._block(*block) for block in _blocks_within(space, REACH_MM)]
        return Tubes(*(np.concatenate(part) for part in zip(*blocks, strict=True)))

    def _grow(self, *block: int) -> Tubes:
        """Grow the vessels that start in a block; its numbers count from the middle of the image and lowest slice."""
        rng = np.random.default_rng([*self._seed, *(number + 1024 for number in block)])
        corner = np.array(block) * BLOCK_MM
        position = corner + rng.uniform(0, BLOCK_MM, (rng.poisson(TREES_PER_LITRE * (BLOCK_MM / 100) ** 3), 3))
        position = position[self._in_lung(position)]
        hila = self._hila_mm[(position[:, 0] > 0).astype(int)]
        outward = position - hila
        from_hilum_mm = np.linalg.norm(outward, axis=1, keepdims=True)
        direction = _unit(outward / (from_hilum_mm + 1) + rng.normal(0, 0.42, outward.shape))
        radius = np.exp(rng.normal(-0.5, 0.45, len(position))) * np.clip(55 / (from_hilum_mm[:, 0] + 20), 0.5, 2.0)
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
    _, rows, columns = space.shape
    # In pixels of the scan, not of the box, so that rounding does not depend on the box.
    column = parts.points_mm[:, 0] / pixel
    row = parts.points_mm[:, 1] / pixel
    first_row, first_column = (values.flat[0] / pixel for values in (space.y_mm, space.x_mm))
    reach = np.ceil(parts.radii_mm / pixel + 0.5).astype(int)
    nearby = (row > first_row - reach - 1) & (row < first_row + rows + reach)
    nearby &= (column > first_column - reach - 1) & (column < first_column + columns + reach)
    parts, row, column, reach = Tubes(*(part[nearby] for part in parts)), row[nearby], column[nearby], reach[nearby]
    run_mm = 2 * half_slice * np.sqrt(1 - parts.rise * parts.rise)
    share = np.clip(2 * parts.radii_mm / (run_mm + np.float32(1e-3)), 0, 1) * np.clip(2 * parts.radii_mm / pixel, 0, 1)
    for k, z_mm in enumerate(space.z_mm[:, 0, 0]):
        off_mm = np.maximum(np.abs(parts.points_mm[:, 2] - z_mm) - half_slice, 0)
        touching = off_mm < parts.radii_mm
        for width in np.unique(reach[touching]):
            chosen = np.flatnonzero(touching & (reach == width))
            at_row, rows_mm = _pixels_around(row[chosen], space.rows, space.y_mm, width)
            at_column, columns_mm = _pixels_around(column[chosen], space.columns, space.x_mm, width)
            down_mm = rows_mm - parts.points_mm[chosen, 1, None]
            across_mm = columns_mm - parts.points_mm[chosen, 0, None]
            distance_mm = np.sqrt(
                (down_mm * down_mm)[:, :, None]
                + (across_mm * across_mm)[:, None, :]
                + (off_mm[chosen] * off_mm[chosen])[:, None, None]
            )
            value = np.clip((parts.radii_mm[chosen, None, None] - distance_mm) / pixel + np.float32(0.5), 0, 1)
            value *= share[chosen, None, None]
            inside = ((at_row >= 0) & (at_row < rows))[:, :, None] & ((at_column >= 0) & (at_column < columns))[:, None]
            inside &= value > 0
            flat = at_row[:, :, None] * columns + at_column[:, None, :]
            np.maximum.at(filled[k].reshape(-1), flat[inside], value[inside])
    return filled


def _pixels_around(
    middle_px: Volume, indices: range, positions_mm: Volume, width: int
) -> tuple[NDArray[np.int64], Volume]:
    """Places in a box of the pixels around points, and the pixels' positions in mm, each ``(points, 2 width + 1)``."""
    nearest = np.rint(middle_px + np.float32((IMAGE_SIZE - 1) / 2)).astype(int)
    at = nearest[:, None] + np.arange(-width, width + 1) - indices.start
    return at, positions_mm.reshape(-1)[at.clip(0, len(indices) - 1)]


def _blocks_within(space: Space, margin_mm: float) -> Iterator[tuple[int, ...]]:
    """The blocks that touch a box widened by a margin."""
    spans = []
    for positions_mm in (space.x_mm, space.y_mm, space.z_mm):
        first, last = float(positions_mm.flat[0]) - margin_mm, float(positions_mm.flat[-1]) + margin_mm
        spans.append(range(int(np.floor(first / BLOCK_MM)), int(np.floor(last / BLOCK_MM)) + 1))
    return product(*spans)


def _unit(vectors: NDArray[np.float64]) -> NDArray[np.float64]:
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
