"""One scan as a phantom: any box of its voxels, the same in every box that contains them."""

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from carbon_midl.lidc.annotations import Nodule, Scan
from carbon_midl.lidc.masks import Window, reader_masks, window_around
from carbon_midl.lidc.phantom.anatomy import AIR_HU, Anatomy, Chest
from carbon_midl.lidc.phantom.nodule import NoduleDensity, nodule_density
from carbon_midl.lidc.phantom.noise import Grain, reconstruction_noise
from carbon_midl.lidc.phantom.space import IMAGE_SIZE, Space, Volume
from carbon_midl.lidc.phantom.vessels import VesselTree, bronchi, occupancy

VERSION = 2  # another number whenever the same seed gives other images
LOWEST_HU, HIGHEST_HU = -1024, 3071
BRONCHUS_WALL_HU = -250
PADDING_HU = (
    -3024
)  # that some scanners put outside the circle they reconstruct: -2000, with a rescale intercept of -1024
PADDED = 0.9  # of the scans
AROUND_NODULE_MM = 8.0  # that its blurred edge and its spicules may reach beyond the outlines, besides
AROUND_NODULE_SHARE = 0.25  # of its size

# Streams of random numbers, one a part, so that one part of the picture does not depend on how another was drawn.
LOOK, LUNG, VESSELS, CHEST, NODULE, NOISE = range(6)


class Look(NamedTuple):
    """How one scan looks: the patient's chest and lung, the scanner's blur and noise."""

    chest: Chest
    lung_hu: float
    texture_hu: float
    blur_mm: float
    sharpness_per_mm: float
    noise_hu: float
    padding_hu: int | None
    circle_px: float

    @classmethod
    def of_scan(cls, scan: Scan, rng: Generator) -> "Look":
        """Draw a look; thin slices are noisier (fewer photons), and so are sharp kernels."""
        chest = Chest.of_patient(IMAGE_SIZE * scan.pixel_spacing_mm, scan.contrast_used, rng)
        sharpness = rng.uniform(0.25, 0.6)
        noise_hu = 16 * math.sqrt(2 / scan.slice_thickness_mm) * sharpness / 0.4
        return cls(
            chest=chest,
            lung_hu=rng.normal(-855, 22),
            texture_hu=rng.uniform(10, 26),
            blur_mm=0.2 / sharpness,
            sharpness_per_mm=sharpness,
            noise_hu=min(max(noise_hu, 5.0), 60.0) * math.exp(rng.normal(0, 0.5)),
            padding_hu=PADDING_HU if rng.random() < PADDED else None,
            circle_px=IMAGE_SIZE / 2 * rng.uniform(0.92, 1),
        )


@dataclass(frozen=True, eq=False)
class _PlacedNodule:
    """A nodule's density in the box around it."""

    space: Space
    density: NoduleDensity


class ScanPhantom:
    """One scan of LIDC-IDRI with its real nodules in an invented chest; it follows from the scan and the seed.

    Args:
        scan: geometry, nodules and ratings.
        seed: 0 or more.
    """

    def __init__(self, scan: Scan, seed: int) -> None:
        self.scan = scan
        self._seed = seed
        self._look = look = Look.of_scan(scan, self._rng(LOOK))
        lung = self._rng(LUNG)
        self._lobules = [Grain(scan.pixel_spacing_mm, period_mm, lung) for period_mm in (9.0, 3.5)]
        self._anatomy = Anatomy(look.chest, scan.pixel_spacing_mm, self._rng(CHEST))
        self._nodules = [self._place(nodule) for nodule in scan.nodules]
        half_height_mm = (scan.slice_z_mm[-1] - scan.slice_z_mm[0]) / 2
        x_mm, y_mm = look.chest.centre_mm
        side_mm = 0.3 * look.chest.half_width_mm
        hila_mm = np.array([[x_mm + side * side_mm, y_mm, half_height_mm] for side in (-1, 1)])
        self._vessels = VesselTree(hila_mm, self._anatomy.in_lung, (seed, scan.id, VESSELS))

    def crops(
        self, nodule: Nodule, size: int, keep_padding: bool = False
    ) -> tuple[NDArray[np.int16], NDArray[np.bool_]]:
        """Render all slices of one nodule.

        Args:
            nodule: one of the scan's.
            size: height and width of the crops, px.
            keep_padding: leave what lies outside the scanner's circle at the value that the files have there; else it
                is air, as `carbon_midl.lidc.dicom` reads it.

        Returns:
            Images in HU, int16 ``(slices, size, size)``, and the readers' masks, bool ``(slices, 4, size, size)``.
        """
        window = window_around(nodule, size)
        images = np.full((len(nodule.slice_indices()), size, size), LOWEST_HU, dtype=np.int16)
        rows, columns = (range(max(first, 0), min(first + size, IMAGE_SIZE)) for first in (window.row, window.column))
        within = self.render(nodule.slice_indices(), rows, columns)
        if not keep_padding:
            within = np.maximum(within, LOWEST_HU)
        images[:, rows.start - window.row :, columns.start - window.column :][:, : len(rows), : len(columns)] = within
        return images, reader_masks(nodule, window)

    def slice(self, index: int) -> NDArray[np.int16]:
        """Render one whole slice as the files have it, HU, int16 ``(512, 512)``; `index` counts in ascending z."""
        picture: NDArray[np.int16] = self.render(range(index, index + 1), range(IMAGE_SIZE), range(IMAGE_SIZE))[0]
        return picture

    def render(self, slices: range, rows: range, columns: range) -> NDArray[np.int16]:
        """Render a box of voxels inside the image, HU, int16 ``(slices, rows, columns)``, padding included."""
        look = self._look
        blur_px = look.blur_mm / self.scan.pixel_spacing_mm
        margin = math.ceil(2.5 * blur_px) + 1
        space = Space(self.scan, slices, rows, columns)
        hu = self._tissue(space.widened(margin))
        hu = gaussian_filter(hu, (0, blur_px, blur_px), truncate=2.5)[:, margin:-margin, margin:-margin]
        hu += reconstruction_noise(space, look.sharpness_per_mm, look.noise_hu, (self._seed, self.scan.id, NOISE))
        image = np.clip(np.rint(hu), LOWEST_HU, HIGHEST_HU).astype(np.int16)
        if look.padding_hu is not None:
            radius_mm = look.circle_px * space.pixel_mm
            outside = space.x_mm * space.x_mm + space.y_mm * space.y_mm > np.float32(radius_mm * radius_mm)
            image[np.broadcast_to(outside, image.shape)] = look.padding_hu
        return image

    @property
    def padding_hu(self) -> int | None:
        """What the files have outside the circle that the scanner reconstructs; None where they have air."""
        return self._look.padding_hu

    def _tissue(self, space: Space) -> Volume:
        """Densities before the scanner's blur and noise."""
        look = self._look
        # Parenchyma: denser towards the back, where the patient lies on it, with the grain of lobules.
        hu = np.float32(look.lung_hu) + np.float32(0.25) * space.y_mm
        hu = hu + np.float32(look.texture_hu) * (self._lobules[0].at(space) + self._lobules[1].at(space))
        vessels = self._vessels.near(space)
        airways = bronchi(vessels)
        hu += occupancy(airways, space) * (BRONCHUS_WALL_HU - hu)
        lumen = airways._replace(radii_mm=np.float32(0.68) * airways.radii_mm)
        hu += occupancy(lumen, space) * (AIR_HU - hu)
        hu += occupancy(vessels, space) * (np.float32(0.6 * look.chest.blood_hu + 10) - hu)
        around = self._anatomy.around(space)
        beyond_pleura = np.clip(np.float32(0.5) - around.lung_mm / np.float32(space.pixel_mm), 0, 1)
        hu += beyond_pleura * (around.hu - hu)
        for placed in self._nodules:
            _insert(hu, space, placed)
        return hu

    def _place(self, nodule: Nodule) -> _PlacedNodule:
        """Make room for a nodule in the chest and give it its density."""
        (first_row, last_row), (first_column, last_column), _ = nodule.bounding_box().tolist()
        size = max(last_row - first_row, last_column - first_column) + 1
        margin = math.ceil(AROUND_NODULE_MM / self.scan.pixel_spacing_mm + AROUND_NODULE_SHARE * size)
        window = Window(first_row - margin, first_column - margin, size + 2 * margin)
        masks = reader_masks(nodule, window)
        rows, columns = (range(first, first + window.size) for first in (window.row, window.column))
        space = Space(self.scan, nodule.slice_indices(), rows, columns)
        self._anatomy.make_room(space, np.any(masks, axis=1))
        density = nodule_density(nodule, masks, space, self._look.lung_hu, self._rng(NODULE, nodule.number))
        return _PlacedNodule(space, density)

    def _rng(self, *stream: int) -> Generator:
        return np.random.default_rng([self._seed, self.scan.id, *stream])


def _insert(hu: Volume, space: Space, placed: _PlacedNodule) -> None:
    """Put a nodule in place of what is in the box, where the two overlap."""
    here, there = [], []
    for box, nodule in zip(
        (space.slices, space.rows, space.columns),
        (placed.space.slices, placed.space.rows, placed.space.columns),
        strict=True,
    ):
        first, last = max(box.start, nodule.start), min(box.stop, nodule.stop)
        if first >= last:
            return
        here.append(slice(first - box.start, last - box.start))
        there.append(slice(first - nodule.start, last - nodule.start))
    target = hu[tuple(here)]
    share, density_hu = placed.density.share[tuple(there)], placed.density.hu[tuple(there)]
    target += share * (density_hu - target)
