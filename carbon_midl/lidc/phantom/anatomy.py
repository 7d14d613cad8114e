"""The chest of one scan: lung field, chest wall with ribs, spine, heart and great vessels, diaphragm.

A simplified chest of ellipses in mm, scaled to the scan's field of view, that gives way wherever a radiologist's
outline shows that there is lung. Distances are to the pleura, positive inside the lung.
"""

import math
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from carbon_midl.lidc.phantom.noise import Grain
from carbon_midl.lidc.phantom.space import Space, Volume

Size = float | Volume

AIR_HU = -1000
FAT_HU = -95
MUSCLE_HU = 50
SKIN_HU = 20
MARROW_HU = 140
CANAL_HU = 30
LIVER_HU, SPLEEN_HU = 65, 50
DOME_BEGINS = (0.66, 0.74)  # share of the scan, from the top, below which the right and the left dome rise
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
    fattiness: float
    marbling_hu: float
    cortex_hu: float
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
            muscle_mm=rng.uniform(9, 30),
            fat_mm=rng.uniform(4, 26),
            fattiness=rng.normal(0.9, 0.5),
            marbling_hu=rng.uniform(8, 36),
            cortex_hu=rng.uniform(750, 1500),
            rib_period_mm=rng.uniform(46, 64),
            rib_phase_mm=rng.uniform(0, 64),
            blood_hu=rng.uniform(90, 230) if contrast_used else rng.uniform(35, 55),
        )


class Surroundings(NamedTuple):
    """Everything that is not lung, ``(slices, rows, columns)``: `hu` its density, `lung_mm` the distance to it."""

    hu: Volume
    lung_mm: Volume


class _Retreat(NamedTuple):
    """How far a surface gives way to a nodule: most at its middle, less around it; mm."""

    middle_mm: tuple[float, float, float]
    reach_mm: float
    by_mm: float

    def share(self, space: Space) -> Volume:
        """How much of the movement each voxel takes part in, 0 to 1."""
        x, y, z = (
            (axis - np.float32(middle)) / np.float32(self.reach_mm)
            for axis, middle in zip((space.x_mm, space.y_mm, space.z_mm), self.middle_mm, strict=True)
        )
        fall = 1 + x * x + y * y + z * z
        return 1 / (fall * fall)


class Anatomy:
    """The chest around all nodules of a scan.

    Args:
        chest: the patient's.
        pixel_mm: pixel spacing, mm.
        rng: decides whether nodules near a surface touch it, and draws the waviness and texture of soft tissue.
    """

    def __init__(self, chest: Chest, pixel_mm: float, rng: Generator) -> None:
        self.chest = chest
        self._rng = rng
        self._waviness = Grain(pixel_mm, 30.0, rng)
        self._texture = Grain(pixel_mm, 2.0, rng)
        self._marbling = Grain(pixel_mm, 4.0, rng)
        self._strands = Grain(pixel_mm, 9.0, rng)
        self._wall_retreats: list[_Retreat] = []
        self._organ_retreats: list[_Retreat] = []

    def make_room(self, space: Space, outlined: NDArray[np.bool_]) -> None:
        """Let wall and organs give way to a nodule, or come close enough to touch it.

        Args:
            space: a box around the nodule.
            outlined: bool ``(slices, rows, columns)``, what any reader outlined.
        """
        if not outlined.any():
            return
        k, i, j = (int(np.median(indices)) for indices in np.nonzero(outlined))
        middle = float(space.x_mm[0, 0, j]), float(space.y_mm[0, i, 0]), float(space.z_mm[k, 0, 0])
        radius_mm = space.pixel_mm * math.sqrt(float(outlined.sum(axis=(1, 2)).max()) / math.pi)
        # The wall gives way as a whole; an organ is dented, or it would shrink to a strip.
        for retreats, surface_mm, reach_mm, touching in (
            (self._wall_retreats, self._wall_mm(space), radius_mm + 90, 0.55),
            (self._organ_retreats, self._organs(space)[0], 1.5 * radius_mm + 22, 0.25),
        ):
            retreat = _Retreat(middle, reach_mm, 1.0)
            distance_mm = surface_mm[outlined]
            share = np.broadcast_to(retreat.share(space), outlined.shape)[outlined]
            touches = self._rng.random() < touching and float(distance_mm.min()) < TOUCHING_WITHIN_MM
            by_mm = (-distance_mm if touches else (CLEARANCE_MM - distance_mm).clip(0)) / share
            retreats.append(retreat._replace(by_mm=float(by_mm.max())))

    def around(self, space: Space) -> Surroundings:
        """Draw the chest in a box."""
        wall_mm = self._wall_mm(space)
        organ_mm, organ_hu = self._organs(space)
        hu = self._chest_wall(space, -wall_mm)
        organ_hu = organ_hu + np.float32(self.chest.marbling_hu / 2) * self._marbling.at(space)
        hu = np.where((wall_mm > 0) | (organ_mm < np.minimum(wall_mm, 0)), organ_hu, hu) + 8 * self._texture.at(space)
        return Surroundings(hu, np.minimum(wall_mm, organ_mm))

    def in_lung(self, points_mm: Volume) -> NDArray[np.bool_]:
        """Whether points ``(n, 3)`` may lie in the lung, or less than a centimetre beyond it."""
        x, y, _ = (points_mm - np.array([*self.chest.centre_mm, 0.0])).T
        return _ellipse_mm(x, y, 0, 0, self.chest.half_width_mm, self.chest.half_depth_mm) < 10

    def _from_centre(self, space: Space) -> tuple[Volume, Volume]:
        x_mm, y_mm = self.chest.centre_mm
        return space.x_mm - np.float32(x_mm), space.y_mm - np.float32(y_mm)

    def _wall_mm(self, space: Space) -> Volume:
        chest = self.chest
        x, y = self._from_centre(space)
        apex = np.clip((space.height - np.float32(0.72)) / np.float32(0.28), 0, 1)
        taper = 1 - np.float32(0.35) * apex  # the lungs taper above about the aortic arch
        wall_mm = np.float32(1.5) * self._waviness.at(space) - _ellipse_mm(
            x, y, 0, 0, chest.half_width_mm * taper, chest.half_depth_mm * taper
        )
        return _moved(wall_mm, self._wall_retreats, space)

    def _organs(self, space: Space) -> tuple[Volume, Volume]:
        """Distance to, and density of, the nearest of what lies between, behind and below the lungs."""
        chest = self.chest
        width, depth = chest.half_width_mm, chest.half_depth_mm
        x, y = self._from_centre(space)
        low = 1 - space.height
        heart = np.float32(chest.heart_scale) * (np.float32(0.55) + np.float32(0.6) * np.minimum(low, 0.75))
        spine_mm = _ellipse_mm(x, y, 0, 0.82 * depth, 0.145 * width, 0.185 * depth)
        arch_mm = _ellipse_mm(x, y, 0, 1.1 * depth, 0.14 * width, 0.17 * depth)
        canal_mm = _ellipse_mm(x, y, 0, 1.08 * depth, 0.075 * width, 0.09 * depth)
        bone_mm = np.minimum(spine_mm, arch_mm)
        bone_hu = MARROW_HU + np.float32(chest.cortex_hu - MARROW_HU) * _shell(bone_mm, 1.0)
        aorta_mm = _ellipse_mm(x, y, 0.19 * width, 0.44 * depth, 0.095 * width, 0.095 * width)
        heart_mm = _ellipse_mm(x, y, 0.13 * width * heart, -0.2 * depth, 0.37 * width * heart, 0.45 * depth * heart)
        midline_mm = _ellipse_mm(x, y, 0, -0.1 * depth, 0.13 * width, 0.95 * depth)
        organs: list[tuple[Any, Volume]] = [
            (np.where(canal_mm < 0, np.float32(CANAL_HU), bone_hu), bone_mm),
            (np.float32(chest.blood_hu), aorta_mm),
            (np.float32(0.8 * chest.blood_hu + 10), heart_mm),
            (np.float32(FAT_HU + 60), midline_mm),
        ]
        for side, tissue_hu, begins in zip((-1, 1), (LIVER_HU, SPLEEN_HU), DOME_BEGINS, strict=True):
            risen = np.sqrt(np.clip((low - np.float32(begins)) / np.float32(1 - begins), 1e-4, 1))
            dome_mm = _ellipse_mm(x, y, side * 0.48 * width, 0.05 * depth, 0.36 * width * risen, 0.62 * depth * risen)
            organs.append((np.float32(tissue_hu), np.where(low > begins, dome_mm, np.float32(1e3))))
        hu, surface_mm = organs[0]
        nearest_mm: Volume = surface_mm
        for organ_hu, organ_mm in organs[1:]:
            hu = np.where(organ_mm < nearest_mm, organ_hu, hu)
            nearest_mm = np.minimum(organ_mm, nearest_mm)
            surface_mm = _rounded_union(organ_mm, surface_mm, 9.0)
        surface_mm = surface_mm + np.float32(1.6) * self._waviness.at(space)
        return _moved(surface_mm, self._organ_retreats, space), hu

    def _chest_wall(self, space: Space, depth_mm: Volume) -> Volume:
        """Density at a depth beyond the pleura: muscle with ribs and shoulder blade, fat, skin, air."""
        chest = self.chest
        x, y = self._from_centre(space)
        waviness = self._waviness.at(space)
        around_mm = _angle(y, x * np.float32(chest.half_depth_mm / chest.half_width_mm)) * np.float32(
            (chest.half_width_mm + chest.half_depth_mm) / 2
        )
        # Ribs run downwards to the front: a slice cuts each one obliquely, and the cut wanders from slice to slice.
        period = np.float32(chest.rib_period_mm)
        place = (around_mm + np.float32(1.6) * space.z_mm + np.float32(chest.rib_phase_mm)) / period
        rib = np.floor(place)
        along_mm = (place - rib - np.float32(0.5)) * period
        variety = 2 * _fraction(rib * np.float32(0.618)) - 1  # from rib to rib
        rib_mm = _ellipse_mm(
            along_mm,
            depth_mm - 7 - (np.float32(0.1) + np.float32(0.05) * variety) * along_mm + waviness,
            0,
            0,
            (np.float32(0.28) + np.float32(0.08) * variety) * period,
            np.float32(3.6) + np.float32(0.7) * variety,
        )
        blade_mm = _ellipse_mm(
            np.abs(x) - 0.78 * np.float32(chest.half_width_mm), depth_mm - 24 - 3 * waviness, 0, 0, 30.0, 2.6
        )
        bone_mm = np.where((space.height > BLADE_ABOVE) & (y >= 0), np.minimum(rib_mm, blade_mm), rib_mm)
        marbling, strands = self._marbling.at(space), self._strands.at(space)
        bone = MARROW_HU + np.float32(chest.cortex_hu - MARROW_HU) * _shell(bone_mm, 0.9)
        bone = bone + 40 * waviness + 60 * marbling
        muscle_mm = np.float32(chest.muscle_mm) + 4 * waviness + np.clip(y / 5, 0, 8)
        # Muscle in layers along the wall, with fat between them and, in some patients, all through them.
        between = np.abs(2 * _fraction(depth_mm / np.float32(13.8) + waviness / 3 + strands / 9) - 1) > np.float32(0.8)
        fat = np.clip(2 * (strands + np.float32(0.5) * marbling - np.float32(chest.fattiness)), 0, 1)
        fat = np.where(between, np.maximum(fat, np.float32(0.7)), fat)
        muscle = MUSCLE_HU + np.float32(chest.marbling_hu) * marbling
        muscle = muscle + fat * (FAT_HU - muscle)
        fibrous = np.clip(1 - np.abs(strands + np.float32(0.3) * marbling) * 9, 0, 1)
        subcutaneous = FAT_HU + 8 * marbling + 70 * fibrous
        skin_mm = chest.muscle_mm + chest.fat_mm + 8
        layers: list[tuple[NDArray[np.bool_], Any]] = [
            (bone_mm < np.float32(0.6), bone),
            (depth_mm < muscle_mm, muscle),
            (depth_mm < np.float32(skin_mm), subcutaneous),
            (depth_mm < np.float32(skin_mm + 2), np.float32(SKIN_HU)),
        ]
        return np.select([where for where, _ in layers], [tissue for _, tissue in layers], np.float32(AIR_HU))


def _moved(distance_mm: Volume, retreats: list[_Retreat], space: Space) -> Volume:
    for retreat in retreats:
        if retreat.by_mm:
            distance_mm = distance_mm + np.float32(retreat.by_mm) * retreat.share(space)
    return distance_mm


def _rounded_union(a: Volume, b: Volume, radius_mm: float) -> Volume:
    """Distance to either of two shapes, with the groove between them filled (polynomial smooth minimum)."""
    share = np.clip(np.float32(0.5) + (b - a) / np.float32(2 * radius_mm), 0, 1)
    return b + share * (a - b) - np.float32(radius_mm) * share * (1 - share)


def _shell(distance_mm: Volume, thickness_mm: float) -> Volume:
    """1 within a bone's cortex, falling to 0 inside."""
    from_middle = np.abs(distance_mm + np.float32(thickness_mm / 2)) / np.float32(thickness_mm)
    return np.clip(np.float32(1.3) - from_middle, 0, 1)


def _fraction(values: Volume) -> Volume:
    return values - np.floor(values)


def _angle(y: Volume, x: Volume) -> Volume:
    """Angle of a point in radians to within 0.004, by arithmetic that rounds alike everywhere (see `Space`)."""
    larger = np.maximum(np.maximum(np.abs(x), np.abs(y)), np.float32(1e-6))
    ratio = np.minimum(np.abs(x), np.abs(y)) / larger
    octant = ratio * (np.float32(math.pi / 4) + np.float32(0.273) * (1 - ratio))
    quadrant = np.where(np.abs(y) > np.abs(x), np.float32(math.pi / 2) - octant, octant)
    half = np.where(x < 0, np.float32(math.pi) - quadrant, quadrant)
    return np.where(y < 0, -half, half)


def _ellipse_mm(x: Volume, y: Volume, x0: Size, y0: float, half_width: Size, half_depth: Size) -> Volume:
    """First-order distance to an ellipse, positive outside, mm (value over gradient of its implicit function)."""
    across, down = (x - np.float32(x0)) / half_width, (y - np.float32(y0)) / half_depth
    value = np.sqrt(across * across + down * down) + np.float32(1e-3)
    across, down = across / half_width, down / half_depth
    gradient = np.sqrt(across * across + down * down) + np.float32(1e-5)
    return value * (value - 1) / gradient
