"""Which slices are trained on, validated on and tested on."""

import math
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray

from carbon_midl.errors import InputError
from carbon_midl.lidc.crops import CropArchive
from carbon_midl.lidc.split import Split
from carbon_midl.lidc.targets import scored_target
from carbon_midl.options import BUILT_IN, RunOptions
from carbon_midl.unet_size import check_crop_size

# Crops whose readers' masks are unpacked at once.
_UNPACKED = 512


@dataclass(frozen=True)
class Parts:
    """The rows of the archive that each part of the split uses, and how many were left out for having no target."""

    train: NDArray[np.int64]
    validation: NDArray[np.int64]
    test: NDArray[np.int64]
    without_target: int


def select_parts(archive: CropArchive, split: Split, options: RunOptions) -> Parts:
    """Choose the rows of each part.

    A slice whose consensus is empty (one reader of four, say) has no lesion to find by the study's own definition, and
    Dice on it is 0 or 1 by convention; such slices are left out of every part and counted.

    Raises:
        InputError: a part has no slice left, or the crops are too small for the depth.
    """
    if options.model == BUILT_IN:
        check_crop_size((archive.size, archive.size), options.depth)
    target = scored_target(options.readers)
    has_target = np.concatenate(
        [
            target.of(archive.reader_masks(rows)).any(axis=(1, 2))
            for rows in np.array_split(np.arange(len(archive)), math.ceil(len(archive) / _UNPACKED))
        ]
    )
    chosen = {}
    for part, patients in asdict(split).items():
        rows = archive.rows_of(patients)
        chosen[part] = rows[has_target[rows]]
        if not len(chosen[part]):
            raise InputError(
                f"{archive.path}: no slice of the {part} patients has a target of readers = {options.readers!r}. "
                "Use more patients, or ask for fewer readers."
            )
    return Parts(**chosen, without_target=int((~has_target).sum()))
