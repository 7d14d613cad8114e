"""Record what a network's Dice is to be held against: readers among themselves, and a threshold.

    python studies/yardsticks.py data/lidc results/lidc-yardsticks

On the slices that all four outlined, each reader is held against the majority of the others (at least two of three).
The threshold is the least that a network must beat: the pixels of a crop that are brighter than a level, of which the
piece nearest the centre is kept, since every crop has a nodule there. Its level is chosen on the validation patients.
"""

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import ndimage
from tqdm import tqdm

from carbon_midl.errors import InputError
from carbon_midl.files import new_directory, write_gzipped, write_json
from carbon_midl.lidc import READERS
from carbon_midl.lidc.crops import CropArchive
from carbon_midl.metrics import dice, readers_dice
from carbon_midl.training.data import scored_target, split_patients
from studies.comparisons import SLICE

LEVELS = tuple(np.arange(0.2, 0.96, 0.05).round(2).tolist())
"""Levels to choose from, on the scale of a network's input, 0 to 1."""
COLUMNS = (*SLICE, "readers_with_mask", "threshold_dice", "reader_dice", "readers_dice")
_MAJORITY = 2
_CHUNK = 512


def against_the_others(masks: NDArray[np.bool_], judged: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Mean Dice, over the four readers, with the majority of the other three.

    Args:
        masks: ``(n, 4, H, W)`` bool, the readers'.
        judged: what is scored in the place of each reader: the same masks, or a network's, ``(n, 1, H, W)``.

    Returns:
        ``(n,)``; NaN where not all four outlined something.
    """
    judged = np.broadcast_to(judged, masks.shape)
    scores = np.zeros(len(masks))
    votes = masks.sum(axis=1, dtype=np.uint8)
    for reader in range(READERS):
        scores += dice(judged[:, reader], votes - masks[:, reader] >= _MAJORITY) / READERS
    outlined = masks.any(axis=(2, 3)).sum(axis=1)
    return np.where(outlined == READERS, scores, np.nan)


def thresholded(images: NDArray[np.float32], level: float) -> NDArray[np.bool_]:
    """Of the pixels at or above ``level``, the connected piece that comes nearest to the crop's centre.

    Args:
        images: ``(n, H, W)`` in [0, 1].
        level: on the same scale.

    Returns:
        ``(n, H, W)``; empty where nothing is that bright.
    """
    rows, columns = np.indices(images.shape[1:])
    centre = (np.array(images.shape[1:]) - 1) / 2
    distance = (rows - centre[0]) ** 2 + (columns - centre[1]) ** 2
    kept = np.zeros(images.shape, bool)
    for number, image in enumerate(images):
        pieces, found = ndimage.label(image >= level)
        if found:
            nearest = np.where(pieces > 0, distance, np.inf).argmin()
            kept[number] = pieces == pieces.flat[nearest]
    return kept


def record_yardsticks(
    archive: CropArchive, out: Path, split_seed: int = 0, readers: str = "at least 2"
) -> dict[str, Any]:
    """Score readers and threshold on the test slices that a study scores, and write ``slices.csv.gz`` and a manifest.

    Args:
        archive: the crops.
        out: a new directory.
        split_seed: of the study's split by patient.
        readers: the study's target.

    Returns:
        The manifest.

    Raises:
        InputError: ``out`` holds something already, or a part has no slice with a target.
    """
    split, target = split_patients(archive.patients, split_seed), scored_target(readers)
    parts = {}
    for name, patients in (("validation", split.validation), ("test", split.test)):
        rows = archive.rows_of(patients)
        wanted = target.from_masks(archive.reader_masks(rows)) > 0
        kept = wanted.any(axis=(1, 2))
        if not kept.any():
            raise InputError(f"{archive.path}: no slice of the {name} patients has a target of readers = {readers!r}.")
        parts[name] = rows[kept], wanted[kept]
    with new_directory(out) as staging:
        rows, wanted = parts["validation"]
        images = archive.inputs(rows)
        levels = tqdm(LEVELS, unit="level", disable=None)
        by_level = {level: float(dice(thresholded(images, level), wanted).mean()) for level in levels}
        level = max(by_level, key=lambda one: by_level[one])
        rows, wanted = parts["test"]
        table = archive.index.iloc[rows].reset_index(drop=True)
        scores: dict[str, list[NDArray[np.float64]]] = {name: [] for name in COLUMNS[4:]}
        for start in range(0, len(rows), _CHUNK):
            chunk = rows[start : start + _CHUNK]
            masks = archive.reader_masks(chunk)
            found = thresholded(archive.inputs(chunk), level)
            scores["threshold_dice"].append(dice(found, wanted[start : start + _CHUNK]))
            scores["reader_dice"].append(against_the_others(masks, masks))
            scores["readers_dice"].append(readers_dice(masks))
        table = table.assign(**{name: np.concatenate(values) for name, values in scores.items()})
        write_gzipped(staging / "slices.csv.gz", table.loc[:, list(COLUMNS)].to_csv(index=False))
        manifest = {
            "format": "carbon-midl yardsticks",
            "version": 1,
            "crops": {"fingerprint": archive.fingerprint, "kind": archive.source["kind"]},
            "split_seed": split_seed,
            "readers": readers,
            "threshold": {"level": level, "validation_dice": by_level[level], "levels": list(LEVELS)},
            "slices": len(table),
            "patients": int(table["patient_id"].nunique()),
        }
        write_json(staging / "manifest.json", manifest)
    return manifest


def main() -> None:
    """Record them and say what was found."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("archive", type=Path, help="the crops")
    parser.add_argument("out", type=Path, help="the record to make")
    parser.add_argument("--split-seed", type=int, default=0, help="of the study's split (default: %(default)s)")
    parser.add_argument("--readers", default="at least 2", help="the study's target (default: %(default)s)")
    options = parser.parse_args()
    archive = CropArchive.open(options.archive)
    manifest = record_yardsticks(archive, options.out, options.split_seed, options.readers)
    table = pd.read_csv(options.out / "slices.csv.gz")
    print(f"{manifest['slices']:,} test slices of {manifest['patients']:,} patients; mean Dice of")
    print(f"  a reader with the other three  {table['reader_dice'].mean():.3f}")
    print(f"  pairs of readers               {table['readers_dice'].mean():.3f}")
    print(f"  a threshold at {manifest['threshold']['level']:<4g}            {table['threshold_dice'].mean():.3f}")


if __name__ == "__main__":
    main()
