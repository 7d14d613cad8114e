"""How well the readers of LIDC-IDRI agree: where they see a nodule, where they draw its border, how they rate it."""

from collections.abc import Sequence
from itertools import combinations

import numpy as np
import pandas as pd

from carbon_midl.lidc import READERS
from carbon_midl.lidc.annotations import Nodule, Ratings, Scan
from carbon_midl.lidc.outlines import BANDS_MM, Outlines
from carbon_midl.measures import mean_over_patients, median_over_patients

CATEGORIES = ("internal_structure", "calcification")
"""Ratings whose values name kinds and are no scale, so that their difference means nothing."""
ALL_SIZES = "all"


def slice_pairs(outlines: Sequence[Outlines]) -> pd.DataFrame:
    """Dice of two readers on a slice that both outlined, a row a pair and slice: patient_id, band, dice."""
    rows = []
    for nodule in outlines:
        for a, b in combinations(range(nodule.area_px.shape[1]), 2):
            both = (nodule.area_px[:, a] > 0) & (nodule.area_px[:, b] > 0)
            overlap, total = nodule.overlap_px[both, a, b], nodule.area_px[both][:, [a, b]].sum(axis=1)
            rows += [(nodule.patient_id, nodule.band, dice) for dice in (2 * overlap / total).tolist()]
    return pd.DataFrame(rows, columns=["patient_id", "band", "dice"])


def nodule_pairs(outlines: Sequence[Outlines]) -> pd.DataFrame:
    """Dice of two readers over all slices of a nodule that both outlined, a row a pair: patient_id, band, dice.

    A slice that only one of them outlined lowers it.
    """
    rows = []
    for nodule in outlines:
        overlap_px = nodule.overlap_px.sum(axis=0)
        for a, b in combinations(range(len(overlap_px)), 2):
            total = overlap_px[a, a] + overlap_px[b, b]
            if total:
                rows.append((nodule.patient_id, nodule.band, float(2 * overlap_px[a, b] / total)))
    return pd.DataFrame(rows, columns=["patient_id", "band", "dice"])


def dice_by_size(pairs: pd.DataFrame) -> pd.DataFrame:
    """Mean and median Dice with their intervals, over all nodules and by size.

    Args:
        pairs: as from `slice_pairs` or `nodule_pairs`.

    Returns:
        A row a size: size, mean, low, high, median, median_low, median_high, pairs, patients.
    """
    rows = []
    for size in (ALL_SIZES, *BANDS_MM):
        chosen = pairs if size == ALL_SIZES else pairs[pairs["band"] == size]
        if chosen.empty:
            continue
        mean = mean_over_patients(chosen["dice"], chosen["patient_id"])
        rows.append((size, *mean[:3], *median_over_patients(chosen["dice"], chosen["patient_id"])[:3], *mean[3:]))
    columns = ["size", "mean", "low", "high", "median", "median_low", "median_high", "pairs", "patients"]
    return pd.DataFrame(rows, columns=columns)


def silence(outlines: Sequence[Outlines]) -> pd.DataFrame:
    """How often a reader outlined nothing where another did, and what that does to Dice.

    Returns:
        A row a question: question, estimate, low, high, n, patients, with the questions

        ``nodule``: share of readers, four to a nodule, who did not outline it at all;
        ``slice``: share of readers, four to a slice that anyone outlined, who have nothing there;
        ``slice of own nodule``: the same among readers who outlined the nodule on some slice;
        ``dice``: mean Dice over a nodule of all pairs of which at least one outlined it, 0 where only one did.
    """
    found: dict[str, list[tuple[str, float]]] = {"nodule": [], "slice": [], "slice of own nodule": [], "dice": []}
    for nodule in outlines:
        patient, seen = nodule.patient_id, nodule.area_px > 0
        readers = seen.shape[1]
        found["nodule"] += [(patient, float(reader >= readers)) for reader in range(READERS)]
        for present in seen[seen.any(axis=1)]:
            own = (~present).astype(float).tolist()
            found["slice of own nodule"] += [(patient, silent) for silent in own]
            found["slice"] += [(patient, silent) for silent in (*own, *[1.0] * (READERS - readers))]
        found["dice"] += [(patient, 0.0)] * (readers * (READERS - readers))
    pairs = nodule_pairs(outlines)
    found["dice"] += list(zip(pairs["patient_id"], pairs["dice"], strict=True))
    rows = [
        (question, *mean_over_patients([value for _, value in pairs], [patient for patient, _ in pairs]))
        for question, pairs in found.items()
    ]
    return pd.DataFrame(rows, columns=["question", "estimate", "low", "high", "n", "patients"])


def rating_counts(scans: Sequence[Scan]) -> pd.DataFrame:
    """How often each value was given, a row a rating and value: rating, value, readings, share."""
    given = np.array([reading.ratings for _, nodule in _nodules(scans) for reading in nodule.readings])
    rows = []
    for rating, ratings in zip(Ratings._fields, given.T, strict=True):
        values, counts = np.unique(ratings, return_counts=True)
        rows += [
            (rating, value, count, count / len(given))
            for value, count in zip(values.tolist(), counts.tolist(), strict=True)
        ]
    return pd.DataFrame(rows, columns=["rating", "value", "readings", "share"])


def rating_differences(scans: Sequence[Scan]) -> pd.DataFrame:
    """How far two readers of one nodule differ in each rating, over all pairs of readers.

    Returns:
        A row a rating and measure: rating, measure, estimate, low, high, n, patients. The measures are ``exact`` and
        ``within one``, shares of pairs; ``difference``, the mean absolute difference, for scales only; and ``chance``,
        the share of exact agreement if readers drew their ratings from all that were given, without looking.
    """
    pairs = [
        (scan.patient_id, a.ratings, b.ratings)
        for scan, nodule in _nodules(scans)
        for a, b in combinations(nodule.readings, 2)
    ]
    patients = [patient for patient, _, _ in pairs]
    counts = rating_counts(scans)
    rows = []
    for position, rating in enumerate(Ratings._fields):
        gaps = np.array([abs(a[position] - b[position]) for _, a, b in pairs])
        measures = {"exact": gaps == 0}
        if rating not in CATEGORIES:
            measures |= {"within one": gaps <= 1, "difference": gaps}
        rows += [(rating, name, *mean_over_patients(values, patients)) for name, values in measures.items()]
        chance = float((counts.loc[counts["rating"] == rating, "share"] ** 2).sum())
        rows.append((rating, "chance", chance, chance, chance, len(pairs), len(set(patients))))
    return pd.DataFrame(rows, columns=["rating", "measure", "estimate", "low", "high", "n", "patients"])


def opposed_malignancy(scans: Sequence[Scan]) -> pd.DataFrame:
    """Share of nodules of several readers that one calls likely benign (1, 2) and another likely malignant (4, 5).

    Returns:
        One row: estimate, low, high, n, patients.
    """
    opposed, patients = [], []
    for scan, nodule in _nodules(scans):
        ratings = [reading.ratings.malignancy for reading in nodule.readings]
        if len(ratings) > 1:
            opposed.append(float(min(ratings) <= 2 and max(ratings) >= 4))
            patients.append(scan.patient_id)
    return pd.DataFrame([mean_over_patients(opposed, patients)])


def _nodules(scans: Sequence[Scan]) -> list[tuple[Scan, Nodule]]:
    return [(scan, nodule) for scan in scans for nodule in scan.nodules]
