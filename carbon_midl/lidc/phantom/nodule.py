"""The density of a nodule, from its real outlines and its readers' ratings."""

from typing import NamedTuple

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from carbon_midl.lidc.annotations import Nodule
from carbon_midl.lidc.phantom.noise import Grain
from carbon_midl.lidc.phantom.space import Space, Volume
from carbon_midl.lidc.phantom.vessels import occupancy, tubes

RATING = (1, 2, 3, 4, 5)
DENSITY_HU = (-660, -570, -400, -90, 45)  # by texture: ground glass, ..., part solid, ..., solid
CORE_HU = 30
FLUID_HU, FAT_HU, CAVITY_HU = 5, -80, -900
CALCIUM_HU = 480
CONTRAST = (0.42, 0.55, 0.72, 0.88, 1.0)  # by subtlety: extremely subtle to obvious
BLUR_MM = (1.6, 1.2, 0.85, 0.55, 0.35)  # by margin: poorly defined to sharp


class NoduleDensity(NamedTuple):
    """What a nodule puts in place of the lung: `share` of each voxel, 0 to 1, of density `hu`."""

    share: Volume
    hu: Volume


def nodule_density(
    nodule: Nodule, masks: NDArray[np.bool_], space: Space, lung_hu: float, rng: Generator
) -> NoduleDensity:
    """Give a nodule its density.

    Args:
        nodule: the real nodule; the mean of its readers' ratings is used.
        masks: bool ``(slices, 4, rows, columns)`` of its readers.
        space: voxel positions.
        lung_hu: density of the lung around it, towards which a subtle nodule fades.
        rng: draws the grain, the spicules and what the ratings leave open.
    """
    readers = len(nodule.readings)
    outlined = masks[:, :readers].mean(axis=1, dtype=np.float32)
    blur_px = float(np.interp(nodule.mean_rating("margin"), RATING, BLUR_MM)) / space.pixel_mm
    # Readers trace the first pixels outside: the nodule's edge lies half a pixel beyond the mask, at less than half.
    soft = gaussian_filter(outlined, (0.5, blur_px, blur_px), truncate=3)
    share = _ramp(soft, 0.03, 0.82)
    if spiculation := nodule.mean_rating("spiculation") - 1:
        share = np.maximum(share, _spicules(outlined, spiculation, space, rng))

    texture = nodule.mean_rating("texture")
    density = float(np.interp(texture, RATING, DENSITY_HU)) + rng.normal(0, 40)
    hu = density + (45 + 8 * (5 - texture)) * _grain(space, 2.5, rng)
    from_middle = _from_middle(outlined, space)
    if 2 <= texture < 4.5:
        core = _ramp(0.62 - from_middle + 0.25 * _grain(space, 5.0, rng), -0.1, 0.15) * (outlined > 0.5)
        hu += core * (CORE_HU - hu)
    hu = _contents(nodule, hu, from_middle, space, rng)
    # One reader of four has seen what three have not, or not held to be a nodule: such ones are fainter as well.
    contrast = float(np.interp(nodule.mean_rating("subtlety"), RATING, CONTRAST)) * (0.66 + 0.04 * readers)
    return NoduleDensity(share, lung_hu + np.float32(contrast) * (hu - lung_hu))


def _contents(nodule: Nodule, hu: Volume, from_middle: Volume, space: Space, rng: Generator) -> Volume:
    """Put in what the internal structure and the calcification, as most readers rated them, say."""
    structure = _most_frequent([reading.ratings.internal_structure for reading in nodule.readings])
    if structure in (2, 3):
        hu = np.minimum(hu, FLUID_HU if structure == 2 else FAT_HU)
    elif structure == 4:
        hu = hu + _ramp(0.55 - from_middle, -0.08, 0.08) * (CAVITY_HU - hu)
    calcification = _most_frequent([reading.ratings.calcification for reading in nodule.readings])
    if calcification == 6:
        return hu
    if calcification == 1:  # popcorn
        calcium = _ramp(_grain(space, 4.0, rng), 0.2, 0.8)
    elif calcification == 2:  # laminated
        calcium = _ramp(np.cos(from_middle * 12), 0.1, 0.7)
    elif calcification == 3:  # solid
        calcium = np.ones_like(hu)
    elif calcification == 4:  # non-central
        shifted = np.roll(from_middle, rng.choice((-2, 2)), axis=rng.choice((1, 2)))
        calcium = _ramp(0.45 - shifted, -0.15, 0.1)
    else:  # central
        calcium = _ramp(0.5 - from_middle, -0.15, 0.1)
    return hu + calcium * rng.uniform(0.6, 1.4) * CALCIUM_HU


def _from_middle(outlined: Volume, space: Space) -> Volume:
    """Distance from the nodule's middle as a share of its radius: 0 in the middle, about 1 at the edge."""
    k, i, j = _middle(outlined)
    z_mm = space.z_mm[:, 0, 0]
    z = ((z_mm - np.interp(k, np.arange(len(z_mm)), z_mm)) / space.pixel_mm)[:, None, None]
    row = (np.arange(outlined.shape[1], dtype=np.float32) - i)[None, :, None]
    column = (np.arange(outlined.shape[2], dtype=np.float32) - j)[None, None, :]
    return np.sqrt(row**2 + column**2 + z**2) / np.float32(_radius_px(outlined))


def _spicules(outlined: Volume, strength: float, space: Space, rng: Generator) -> Volume:
    """Thin strands from inside the nodule to beyond its edge; `strength` 0 to 4 gives their number and length."""
    k, i, j = _middle(outlined)
    radius_mm = _radius_px(outlined) * space.pixel_mm
    middle = np.array(
        [
            space.x_mm[0, 0, 0] + j * space.pixel_mm,
            space.y_mm[0, 0, 0] + i * space.pixel_mm,
            np.interp(k, np.arange(len(space.z_mm)), space.z_mm[:, 0, 0]),
        ]
    )
    count = rng.poisson(7 * strength)
    direction = rng.normal(0, 1, (count, 3)) * (1, 1, 0.5)
    direction /= np.linalg.norm(direction, axis=1, keepdims=True)
    length_mm = radius_mm * rng.uniform(1.1, 1.4, count) + rng.exponential(0.9 * strength, count)
    strands = tubes(
        np.broadcast_to(middle, (count, 3)) + 0.4 * radius_mm * direction,
        middle + length_mm[:, None] * direction,
        rng.uniform(0.4, 0.9, count),
    )
    return occupancy(strands, space)


def _middle(outlined: Volume) -> tuple[float, float, float]:
    """Centre of mass: slice, row, column; the middle of the crop where nothing is outlined."""
    total = float(outlined.sum())
    if total == 0:
        slices, rows, columns = outlined.shape
        return (slices - 1) / 2, (rows - 1) / 2, (columns - 1) / 2
    k, i, j = (
        float((outlined.sum(axis=tuple(a for a in range(3) if a != axis)) * np.arange(outlined.shape[axis])).sum())
        for axis in range(3)
    )
    return k / total, i / total, j / total


def _radius_px(outlined: Volume) -> float:
    """Radius of the disc with the area that the largest slice has."""
    return float(max(np.sqrt(outlined.sum(axis=(1, 2)).max() / np.pi), 1.0))


def _grain(space: Space, period_mm: float, rng: Generator) -> Volume:
    return Grain(space.pixel_mm, period_mm, rng).at(space)


def _ramp(values: Volume, low: float, high: float) -> Volume:
    """0 below `low`, 1 above `high`, smooth between."""
    t = np.clip((values - np.float32(low)) / np.float32(high - low), 0, 1)
    return t * t * (3 - 2 * t)


def _most_frequent(ratings: list[int]) -> int:
    return max(sorted(set(ratings)), key=ratings.count)
