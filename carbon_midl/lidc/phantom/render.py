"""All slices of one nodule: lung, vessels, chest and nodule put together, blurred, and with the scanner's noise."""

from typing import NamedTuple

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from carbon_midl.lidc.annotations import Nodule, Scan
from carbon_midl.lidc.contours import reader_masks, window_around
from carbon_midl.lidc.phantom.anatomy import AIR_HU, Chest, surroundings
from carbon_midl.lidc.phantom.nodule import nodule_density
from carbon_midl.lidc.phantom.noise import grain, reconstruction_noise
from carbon_midl.lidc.phantom.space import IMAGE_SIZE, Space, Volume
from carbon_midl.lidc.phantom.vessels import bronchi, occupancy, vessel_tree

BRONCHUS_WALL_HU = -250


class Look(NamedTuple):
    """How one scan looks: the patient's chest and lung, the scanner's blur and noise."""

    chest: Chest
    lung_hu: float
    texture_hu: float
    blur_mm: float
    sharpness_per_mm: float
    noise_hu: float

    @classmethod
    def of_scan(cls, scan: Scan, rng: Generator) -> "Look":
        """Draw a look; thin slices are noisier (fewer photons), and so are sharp kernels."""
        chest = Chest.of_patient(IMAGE_SIZE * scan.pixel_spacing_mm, scan.contrast_used, rng)
        sharpness = rng.uniform(0.25, 0.6)
        noise_hu = 24 * np.sqrt(2 / scan.slice_thickness_mm) * sharpness / 0.4
        return cls(
            chest=chest,
            lung_hu=rng.normal(-855, 22),
            texture_hu=rng.uniform(10, 26),
            blur_mm=0.2 / sharpness,
            sharpness_per_mm=sharpness,
            noise_hu=float(np.clip(noise_hu, 8, 70)) * rng.uniform(0.7, 1.4),
        )


def render_nodule(scan: Scan, nodule: Nodule, seed: int, size: int) -> tuple[NDArray[np.int16], NDArray[np.bool_]]:
    """Render all slices of one nodule.

    Returns:
        Images in HU, int16 ``(slices, size, size)``, and the readers' masks, bool ``(slices, 4, size, size)``.
    """
    window = window_around(nodule, size)
    masks = reader_masks(nodule, window)
    space = Space.around(scan, nodule, window)
    look = Look.of_scan(scan, np.random.default_rng([seed, scan.id]))
    # A stream each, so that one part of the picture does not depend on how another was drawn.
    streams = np.random.default_rng([seed, scan.id, nodule.number]).spawn(5)
    for_lung, for_vessels, for_chest, for_nodule, for_noise = streams
    hu = _lung(look, space, for_lung)
    hu = _insert_vessels(hu, look, space, for_vessels)
    around = surroundings(look.chest, space, np.any(masks, axis=1), for_chest)
    hu += _edge(-around.lung_mm, space.pixel_mm) * (around.hu - hu)
    share, nodule_hu = nodule_density(nodule, masks, space, look.lung_hu, for_nodule)
    hu += share * (nodule_hu - hu)
    hu = gaussian_filter(hu, (0, look.blur_mm / space.pixel_mm, look.blur_mm / space.pixel_mm), truncate=2.5)
    for picture in hu:
        picture += reconstruction_noise(picture.shape, space.pixel_mm, look.sharpness_per_mm, look.noise_hu, for_noise)
    return np.clip(np.rint(hu), -1024, 3071).astype(np.int16), masks


def _lung(look: Look, space: Space, rng: Generator) -> Volume:
    """Parenchyma: denser towards the back, where the patient lies on it, with the grain of lobules."""
    gradient = np.float32(0.25) * (space.y_mm - space.y_mm.mean())[None, :, None]
    lobules = grain(space, 9.0, rng) + grain(space, 3.5, rng)
    return np.float32(look.lung_hu) + gradient + np.float32(look.texture_hu) * lobules


def _insert_vessels(hu: Volume, look: Look, space: Space, rng: Generator) -> Volume:
    side = 1 if space.x_mm.mean() > look.chest.centre_mm[0] else -1
    hilum_mm = (look.chest.centre_mm[0] + side * 0.3 * look.chest.half_width_mm, look.chest.centre_mm[1])
    vessels = vessel_tree(space, hilum_mm, rng)
    airways = bronchi(vessels)
    hu = hu + occupancy(airways, space) * (BRONCHUS_WALL_HU - hu)
    lumen = airways._replace(radii_mm=0.68 * airways.radii_mm)
    hu += occupancy(lumen, space) * (AIR_HU - hu)
    return hu + occupancy(vessels, space) * (np.float32(0.6 * look.chest.blood_hu + 10) - hu)


def _edge(distance_mm: Volume, pixel_mm: float) -> Volume:
    """Share of a voxel that lies beyond a surface at a distance, 0 to 1."""
    return np.clip(distance_mm / np.float32(pixel_mm) + np.float32(0.5), 0, 1)
