"""The chest around a nodule: lung field, chest wall with ribs, spine, heart and great vessels.

A simplified chest of ellipses in mm, scaled to the scan's field of view, that gives way wherever a radiologist's
outline shows that there is lung. Distances are to the pleura, positive inside the lung.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from carbon_midl.lidc.phantom.noise import grain
from carbon_midl.lidc.phantom.space import Space, Volume

Size = float | Volume

AIR_HU = -1000
FAT_HU = -95
MUSCLE_HU = 50
SKIN_HU = 20
MARROW_HU = 140
CORTEX_HU = 620
CANAL_HU = 30
LIVER_HU, SPLEEN_HU = 65, 50
DOME_BEGINS = 0.72  # share of the scan, from the top, below which the diaphragm rises into the lungs
BLADE_ABOVE = 0.5  # height in the scan
TOUCHING_WITHIN_MM = 8.0  # pleura as near as this may touch the nodule
CLEARANCE_MM = 2.0  # and otherwise keeps off it


@dataclass(frozen=True)
class Chest:
    """One patient's chest; half axes and thicknesses in mm, from the middle of the image."""

    centre_mm: tuple[float, float]
    half_width_mm: float
    half_depth_mm: float
    heart_scale: float
    muscle_mm: float
    fat_mm: float
    rib_period_mm: float
    rib_phase_mm: float
    blood_hu: float

    @classmethod
    def of_patient(cls, field_of_view_mm: float, contrast_used: bool, rng: Generator) -> "Chest":
        """Draw a chest that fills a field of view as chests usually do."""
        return cls(
            centre_mm=(rng.normal(0, 5), rng.normal(-4, 6)),
            half_width_mm=field_of_view_mm * rng.uniform(0.365, 0.40),
            half_depth_mm=field_of_view_mm * rng.uniform(0.265, 0.30),
            heart_scale=rng.uniform(0.85, 1.2),
            muscle_mm=rng.uniform(11, 20),
            fat_mm=rng.uniform(4, 26),
            rib_period_mm=rng.uniform(46, 64),
            rib_phase_mm=rng.uniform(0, 64),
            blood_hu=rng.uniform(90, 230) if contrast_used else rng.uniform(35, 55),
        )


@dataclass(frozen=True, eq=False)
class Surroundings:
    """Everything that is not lung, ``(slices, rows, columns)``: `hu` its density, `lung_mm` the distance to it."""

    hu: Volume
    lung_mm: Volume


def surroundings(chest: Chest, space: Space, nodule: NDArray[np.bool_], rng: Generator) -> Surroundings:
    """Draw the chest around a nodule.

    Args:
        chest: the patient's.
        space: voxel positions.
        nodule: bool ``(slices, rows, columns)``, what any reader outlined; wall and organs keep out of it.
        rng: decides whether a nodule near the pleura touches it, and draws the texture of the soft tissue.
    """
    x = (space.x_mm - np.float32(chest.centre_mm[0]))[None, None, :]
    y = (space.y_mm - np.float32(chest.centre_mm[1]))[None, :, None]
    z = (space.z_mm - space.z_mm.mean())[:, None, None]
    waviness = grain(space, 30.0, rng)
    texture = grain(space, 2.0, rng)

    apex = np.clip((space.height - 0.72) / 0.28, 0, 1)  # the lungs taper above about the aortic arch
    taper = 1 - 0.35 * apex - 0.0015 * z * (apex > 0)
    wall = -_ellipse_mm(x, y, 0, 0, chest.half_width_mm * taper, chest.half_depth_mm * taper) + 1.5 * waviness
    organ_mm, organ_hu = _organs(chest, space, x, y, z)
    organ_mm = organ_mm + 1.6 * waviness

    # The wall gives way as a whole; an organ is dented, or it would shrink to a strip.
    everywhere = np.ones_like(wall[:1])
    from_nodule_mm = np.hypot(space.x_mm - space.x_mm.mean(), (space.y_mm - space.y_mm.mean())[:, None])
    nodule_mm = space.pixel_mm * np.sqrt(nodule.sum(axis=(1, 2)).max() / np.pi)
    nearby = np.exp(-0.5 * (from_nodule_mm[None] / np.float32(nodule_mm + 14)) ** 2)
    wall = wall + _give_way(wall, nodule, everywhere, touching=rng.random() < 0.55)
    organ_mm = organ_mm + _give_way(organ_mm, nodule, nearby, touching=rng.random() < 0.25)

    hu = _chest_wall(chest, space, x, y, z, -wall, waviness)
    inside = wall > 0
    hu = np.where(inside | (organ_mm < np.minimum(wall, 0)), organ_hu, hu) + 8 * texture
    return Surroundings(hu.astype(np.float32), np.minimum(wall, organ_mm).astype(np.float32))


def _give_way(distance_mm: Volume, nodule: NDArray[np.bool_], where: Volume, touching: bool) -> Volume:
    """How far to move a surface off the nodule, or, where it is close and shall touch, towards it; mm.

    `where`, 1 or less, says how much of the movement each voxel takes part in.
    """
    if not nodule.any():
        return np.zeros_like(where)
    distance, weight = distance_mm[nodule], np.broadcast_to(where, nodule.shape)[nodule]
    if touching and distance.min() < TOUCHING_WITHIN_MM:
        return where * (-distance / weight).max()
    return where * np.maximum((CLEARANCE_MM - distance) / weight, 0).max()


def _organs(chest: Chest, space: Space, x: Volume, y: Volume, z: Volume) -> tuple[Volume, Volume]:
    """Distance to, and density of, the nearest of what lies between, behind and below the lungs."""
    width, depth = chest.half_width_mm, chest.half_depth_mm
    low = 1 - space.height
    heart = chest.heart_scale * (0.55 + 0.6 * min(low, 0.75))
    spine_mm = _ellipse_mm(x, y, 0, 0.82 * depth, 0.145 * width, 0.185 * depth)
    arch_mm = _ellipse_mm(x, y, 0, 1.1 * depth, 0.14 * width, 0.17 * depth)
    canal_mm = _ellipse_mm(x, y, 0, 1.08 * depth, 0.075 * width, 0.09 * depth)
    bone_mm = np.minimum(spine_mm, arch_mm)
    bone_hu = MARROW_HU + (CORTEX_HU - MARROW_HU) * _shell(bone_mm, 1.0)
    aorta_mm = _ellipse_mm(x, y, 0.19 * width, 0.44 * depth, 0.095 * width, 0.095 * width)
    heart_mm = _ellipse_mm(x, y, 0.13 * width * heart, -0.2 * depth, 0.37 * width * heart, 0.45 * depth * heart)
    midline_mm = _ellipse_mm(x, y, 0, -0.1 * depth, 0.13 * width, 0.95 * depth)
    organs: list[tuple[Any, Volume]] = [
        (np.where(canal_mm < 0, np.float32(CANAL_HU), bone_hu), bone_mm),
        (np.float32(chest.blood_hu), aorta_mm),
        (np.float32(0.8 * chest.blood_hu + 10), heart_mm),
        (np.float32(FAT_HU + 60), midline_mm),
    ]
    if low > DOME_BEGINS:
        growth = np.sqrt(max((low - DOME_BEGINS) / (1 - DOME_BEGINS), 0.05)) - 0.006 * z
        organs += [
            (
                np.float32(tissue_hu),
                _ellipse_mm(x, y, side * 0.48 * width, 0.05 * depth, 0.36 * width * growth, 0.62 * depth * growth),
            )
            for side, tissue_hu in ((-1, LIVER_HU), (1, SPLEEN_HU))
        ]
    hu, surface_mm = organs[0]
    nearest_mm: Volume = surface_mm
    for organ_hu, organ_mm in organs[1:]:
        hu = np.where(organ_mm < nearest_mm, organ_hu, hu)
        nearest_mm = np.minimum(organ_mm, nearest_mm)
        surface_mm = _rounded_union(organ_mm, surface_mm, 9.0)
    return surface_mm, hu


def _chest_wall(
    chest: Chest, space: Space, x: Volume, y: Volume, z: Volume, depth_mm: Volume, waviness: Volume
) -> Volume:
    """Density at a depth beyond the pleura: muscle with ribs and shoulder blade, fat, skin, air."""
    around_mm = np.arctan2(y, x * np.float32(chest.half_depth_mm / chest.half_width_mm)) * np.float32(
        (chest.half_width_mm + chest.half_depth_mm) / 2
    )
    # Ribs run downwards to the front, so that a slice cuts each one obliquely and the cut wanders from slice to slice.
    period = np.float32(chest.rib_period_mm)
    shifted_mm = around_mm + 1.6 * z + np.float32(chest.rib_phase_mm)
    along_mm = shifted_mm % period - period / 2
    variety = np.sin(np.floor(shifted_mm / period) * 2.4)  # from rib to rib
    rib_mm = _ellipse_mm(
        along_mm,
        depth_mm - 7 - (0.1 + 0.05 * variety) * along_mm + waviness,
        0,
        0,
        (0.28 + 0.08 * variety) * period,
        np.float32(3.6) + 0.7 * variety,
    )
    blade_mm = _ellipse_mm(
        np.abs(x) - 0.78 * np.float32(chest.half_width_mm), depth_mm - 24 - 3 * waviness, 0, 0, 30.0, 2.6
    ) + 40 * (y < 0)
    bone_mm = np.minimum(rib_mm, blade_mm) if space.height > BLADE_ABOVE else rib_mm
    bone = MARROW_HU + (CORTEX_HU - MARROW_HU) * _shell(bone_mm, 0.9) + 40 * waviness
    muscle_mm = chest.muscle_mm + 4 * waviness + np.clip(y / 5, 0, 8)
    streaks = np.where(np.sin(depth_mm / 2.2 + 2 * waviness) > 0.75, FAT_HU + 40, MUSCLE_HU)
    skin_mm = chest.muscle_mm + chest.fat_mm + 8
    layers: list[tuple[NDArray[np.bool_], Any]] = [
        (bone_mm < 0.6, bone),
        (depth_mm < 2 + 9 * (waviness > -1), np.float32(MUSCLE_HU)),
        (depth_mm < muscle_mm, streaks),
        (depth_mm < skin_mm, np.float32(FAT_HU)),
        (depth_mm < skin_mm + 2, np.float32(SKIN_HU)),
    ]
    return np.select([where for where, _ in layers], [tissue for _, tissue in layers], np.float32(AIR_HU))


def _rounded_union(a: Volume, b: Volume, radius_mm: float) -> Volume:
    """Distance to either of two shapes, with the groove between them filled (polynomial smooth minimum)."""
    share = np.clip(0.5 + (b - a) / np.float32(2 * radius_mm), 0, 1)
    return b + share * (a - b) - np.float32(radius_mm) * share * (1 - share)


def _shell(distance_mm: Volume, thickness_mm: float) -> Volume:
    """1 within a bone's cortex, falling to 0 inside."""
    return np.clip(1.3 - np.abs(distance_mm + thickness_mm / 2) / thickness_mm, 0, 1)


def _ellipse_mm(x: Volume, y: Volume, x0: float, y0: float, half_width: Size, half_depth: Size) -> Volume:
    """First-order distance to an ellipse, positive outside, mm (value over gradient of its implicit function)."""
    dx, dy = x - np.float32(x0), y - np.float32(y0)
    value = np.sqrt((dx / half_width) ** 2 + (dy / half_depth) ** 2) + np.float32(1e-3)
    gradient = np.sqrt((dx / half_width**2) ** 2 + (dy / half_depth**2) ** 2) + np.float32(1e-5)
    return value * (value - 1) / gradient
