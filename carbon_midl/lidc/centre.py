"""The central part of every crop of an archive, at the same resolution: a smaller archive for the same task."""

import math
from pathlib import Path

import numpy as np
from tqdm import tqdm

from carbon_midl.errors import InputError
from carbon_midl.lidc.crops import CropArchive, CropWriter

# Crops whose pixels are in memory at once.
_CHUNK = 512


def centre_crops(archive: CropArchive, out: Path, size: int) -> tuple[int, int]:
    """Write the central ``size`` × ``size`` px of every crop as an archive of its own.

    A network trains on it four times as fast for half the size. Whatever a reader outlined outside the centre is lost.

    Args:
        archive: the larger crops.
        out: the archive's directory; must not exist yet, or be empty.
        size: height and width of the new crops, px; smaller than those of ``archive``.

    Returns:
        Mask pixels of all readers in ``archive``, and how many of them lie outside the centre.

    Raises:
        InputError: ``size`` is not smaller than the crops, or ``out`` holds something.
    """
    if not 0 < size < archive.size:
        raise InputError(f"size: {size} px; expected 1 to {archive.size - 1}, since {archive.path} has {archive.size}.")
    start = (archive.size - size) // 2
    centre = slice(start, start + size)
    source = archive.source | {"centre_of": archive.fingerprint, "centre_of_size": archive.size}
    marked = lost = 0
    with CropWriter(out, size, archive.intensity, source) as writer:
        parts = np.array_split(np.arange(len(archive)), math.ceil(len(archive) / _CHUNK))
        for rows in tqdm(parts, unit="512 crops", disable=None):
            masks = archive.reader_masks(rows)
            kept = masks[..., centre, centre]
            marked += int(masks.sum())
            lost += int(masks.sum() - kept.sum())
            for image, readers, (patient, nodule, number, _) in zip(
                archive.images[rows][..., centre, centre],
                kept,
                archive.index.iloc[rows].itertuples(index=False),
                strict=True,
            ):
                writer.add(image, readers, patient_id=patient, nodule=nodule, slice=number)
    return marked, lost
