"""Record LIDC-IDRI in numbers for the data chapter, and what a split by slice leaks.

    python -m studies.collection [--out results/lidc-collection]

Intervals are 95 % by bootstrap over patients, in the columns ``low`` and ``high``; ``n`` counts values, ``patients``
patients.

The leak is the Dice of a copycat that never looks at the image. It answers a test slice with the consensus of the
nearest training slice of the same nodule. Where no slice of the nodule is in training, which is always so under a split
by patient, it gives the outline of the average training nodule: the pixels that lie in the consensus of at least a
certain share of the training slices, crops laid on top of one another, where the share is the one of `LEVELS` with the
best mean Dice on the training slices. It takes a minute on one core; no CT is needed.
"""

import argparse
from collections.abc import Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.sparse import csr_array, vstack
from tqdm import tqdm

from carbon_midl.book.evidence import BY_PATIENT, BY_SLICE
from carbon_midl.files import write_json, write_text
from carbon_midl.lidc import READERS
from carbon_midl.lidc.annotations import Nodule, Ratings, Scan, connect, patients_with_nodules, read_scans
from carbon_midl.lidc.masks import reader_masks, window_around
from carbon_midl.measures import Estimate, mean_over_patients, median_over_patients
from carbon_midl.study.results import ALL_SIZES, COLLECTION, Statistics
from carbon_midl.study.run import describe_environment
from carbon_midl.training.data import FRACTIONS, split_patients
from studies import collection_page

FRAME_PX = 128
"""Every consensus lies in the middle of a square of this size, as in a crop; no nodule of the collection is larger."""
CONSENSUS_READERS = 2
"""A pixel is in the consensus if at least so many of the four readers outlined it."""
BANDS_MM = {"under 6 mm": 0.0, "6 to 8 mm": 6.0, "8 to 15 mm": 8.0, "15 mm and more": 15.0}
"""Sizes of nodules with their lower bounds; 6 and 8 mm are where guidelines change what they recommend."""

CATEGORIES = ("internal_structure", "calcification")
"""Ratings whose values name kinds and are no scale, so that their difference means nothing."""
SPLITS = 10
"""Random splits of each kind, over which the results are pooled."""
EXAMPLE_SLICES, EXAMPLE_PX = 6, 48
"""Slices of the nodule that is shown, and height and width of its picture."""
LEVELS = tuple(np.arange(0.05, 1.0, 0.05).round(2).tolist())


@dataclass(frozen=True, eq=False)
class Outlines:
    """The outlines of one nodule in numbers.

    overlap_px: ``(slices, readers, readers)`` pixels that two readers both outlined; on the diagonal, one's own area.
    consensus: ``(slices, FRAME_PX²)``, 1 where at least two readers outlined the pixel. Slices as in
    `nodule.slice_indices()`, readers only those who outlined the nodule.
    """

    scan: Scan
    nodule: Nodule
    overlap_px: NDArray[np.int64]
    consensus: csr_array

    @property
    def patient_id(self) -> str:
        """The patient."""
        return self.scan.patient_id

    @cached_property
    def area_px(self) -> NDArray[np.int64]:
        """Area by slice and reader, ``(slices, readers)``; 0 where the reader outlined nothing."""
        return self.overlap_px.diagonal(axis1=1, axis2=2)

    @cached_property
    def diameter_mm(self) -> float:
        """Diameter of the circle as large as the nodule is in its largest slice, mean over its readers."""
        diameters_px = 2 * np.sqrt(self.area_px.max(axis=0) / np.pi)
        return float(diameters_px.mean()) * self.scan.pixel_spacing_mm

    @property
    def band(self) -> str:
        """The nodule's size, a key of `BANDS_MM`."""
        return [name for name, low_mm in BANDS_MM.items() if self.diameter_mm >= low_mm][-1]


def outlines_of(scans: Iterable[Scan]) -> list[Outlines]:
    """Rasterise the outlines of every nodule of some scans; less than a minute for the whole collection."""
    return [_outlines(scan, nodule) for scan in tqdm(scans, unit="scan", disable=None) for nodule in scan.nodules]


def _outlines(scan: Scan, nodule: Nodule) -> Outlines:
    # A window no larger than the nodule: most are a few pixels wide, and overlaps are found several times faster.
    window = window_around(nodule, int(np.diff(nodule.bounding_box()[:2]).max()) + 3)
    masks = reader_masks(nodule, window)[:, : len(nodule.readings)]
    flat = masks.reshape(*masks.shape[:2], -1).astype(np.float32)
    overlap_px = np.rint(flat @ flat.transpose(0, 2, 1)).astype(np.int64)
    frame = window_around(nodule, FRAME_PX)
    slices, rows, columns = np.nonzero(masks.sum(axis=1) >= CONSENSUS_READERS)
    pixels = (rows + window.row - frame.row) * FRAME_PX + columns + window.column - frame.column
    shape = (len(masks), FRAME_PX**2)
    consensus = csr_array((np.ones(len(slices), dtype=np.float32), (slices, pixels)), shape=shape)
    return Outlines(scan, nodule, overlap_px, consensus)


def estimates(values: pd.DataFrame, *by: str) -> pd.DataFrame:
    """Mean of the column ``value`` in each group, with its interval: ``by``, estimate, low, high, n, patients."""
    rows = [
        (*key, *mean_over_patients(group["value"], group["patient_id"]))
        for key, group in values.groupby(list(by), sort=False)
    ]
    return pd.DataFrame(rows, columns=[*by, *Estimate._fields])


# Scans, nodules and readers


def measure(outlines: Sequence[Outlines]) -> Statistics:
    """Compute every table from the outlines of some nodules; `counts` and `thickness` tell of the whole collection."""
    nodules = nodule_table(outlines)
    return {
        "counts": counts(outlines),
        "thickness": thickness(),
        "quantiles": quantiles(outlines),
        "readers": nodules_by_readers(nodules),
        "bands": nodules_by_size(nodules),
        "diameters": diameters(nodules),
        "slice dice": dice_by_size(slice_pairs(outlines)),
        "nodule dice": dice_by_size(nodule_pairs(outlines)),
        "silence": silence(outlines),
        "rating counts": rating_counts(outlines),
        "rating differences": rating_differences(outlines),
        "opposed malignancy": opposed_malignancy(outlines),
    }


def counts(outlines: Sequence[Outlines]) -> pd.DataFrame:
    """How many there are, in the whole collection and then in the scans with an outlined nodule: name, count."""
    queries = {
        "scans": "SELECT count(*) FROM scans",
        "patients": "SELECT count(DISTINCT patient_id) FROM scans",
        "annotations": "SELECT count(*) FROM annotations",
        "patients with two scans": "SELECT count(*) FROM (SELECT 1 FROM scans GROUP BY patient_id HAVING count(*) > 1)",
    }
    with closing(connect()) as database:
        found = {name: database.execute(query).fetchone()[0] for name, query in queries.items()}
    scans = list({nodule.scan.id: nodule.scan for nodule in outlines}.values())
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


def nodule_table(outlines: Sequence[Outlines]) -> pd.DataFrame:
    """A row a nodule: patient_id, band, diameter_mm, readers (how many outlined it)."""
    rows = [(nodule.patient_id, nodule.band, nodule.diameter_mm, len(nodule.nodule.readings)) for nodule in outlines]
    return pd.DataFrame(rows, columns=["patient_id", "band", "diameter_mm", "readers"])


def nodules_by_readers(nodules: pd.DataFrame) -> pd.DataFrame:
    """Nodules by how many readers outlined them: readers, nodules, share, low, high, n, patients."""
    rows = []
    for number in range(1, READERS + 1):
        chosen = nodules["readers"] == number
        rows.append((number, chosen.sum(), *mean_over_patients(chosen, nodules["patient_id"])))
    return pd.DataFrame(rows, columns=["readers", "nodules", "share", *Estimate._fields[1:]])


def nodules_by_size(nodules: pd.DataFrame) -> pd.DataFrame:
    """Nodules by size: band, nodules, share, low, high; and the share of the band that all four readers outlined."""
    rows = []
    for band in BANDS_MM:
        chosen = nodules[nodules["band"] == band]
        if len(chosen):
            share = mean_over_patients(nodules["band"] == band, nodules["patient_id"])
            unanimous = mean_over_patients(chosen["readers"] == READERS, chosen["patient_id"])
            rows.append((band, len(chosen), unanimous.patients, *share[:3], *unanimous[:3]))
    columns = ["band", "nodules", "patients", "share", "low", "high"]
    return pd.DataFrame(rows, columns=[*columns, "unanimous", "unanimous_low", "unanimous_high"])


def diameters(nodules: pd.DataFrame) -> pd.DataFrame:
    """Nodules by diameter and number of readers: diameter_mm (from, a bin being 1 mm), readers, nodules."""
    table = nodules.assign(diameter_mm=nodules["diameter_mm"].astype(int))
    return table.value_counts(["diameter_mm", "readers"], sort=False).sort_index().rename("nodules").reset_index()


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
    answers: list[tuple[str, str, float]] = []
    for nodule in outlines:
        silent = (nodule.area_px == 0)[nodule.area_px.any(axis=1)]
        readers = silent.shape[1]
        absent = READERS - readers
        dice = nodule_pairs([nodule])["dice"]
        for question, values in {
            "nodule": [0] * readers + [1] * absent,
            "slice": [*silent.flat] + [1] * (len(silent) * absent),
            "slice of own nodule": silent.flat,
            "dice": [*dice] + [0] * (readers * absent),
        }.items():
            answers += [(question, nodule.patient_id, value) for value in values]
    return estimates(pd.DataFrame(answers, columns=["question", "patient_id", "value"]), "question")


def rating_counts(outlines: Sequence[Outlines]) -> pd.DataFrame:
    """How often each value was given, a row a rating and value: rating, value, readings, share."""
    given = np.array([reading.ratings for nodule in outlines for reading in nodule.nodule.readings])
    rows = []
    for rating, ratings in zip(Ratings._fields, given.T, strict=True):
        values, readings = (found.tolist() for found in np.unique(ratings, return_counts=True))
        rows += [(rating, value, count, count / len(given)) for value, count in zip(values, readings, strict=True)]
    return pd.DataFrame(rows, columns=["rating", "value", "readings", "share"])


def rating_differences(outlines: Sequence[Outlines]) -> pd.DataFrame:
    """How far two readers of one nodule differ in each rating, over all pairs of readers.

    Returns:
        A row a rating and measure: rating, measure, estimate, low, high, n, patients. The measures are ``exact`` and
        ``within one``, shares of pairs; ``difference``, the mean absolute difference, for scales only; and ``chance``,
        the share of exact agreement if readers drew their ratings from all that were given, without looking.
    """
    pairs = [
        (nodule.patient_id, np.subtract(a.ratings, b.ratings))
        for nodule in outlines
        for a, b in combinations(nodule.nodule.readings, 2)
    ]
    patients = [patient for patient, _ in pairs]
    gaps = np.abs([difference for _, difference in pairs])
    shares = rating_counts(outlines).groupby("rating")["share"]
    rows: list[tuple[Any, ...]] = []
    for rating, gap in zip(Ratings._fields, gaps.T, strict=True):
        measures = {"exact": gap == 0}
        if rating not in CATEGORIES:
            measures |= {"within one": gap <= 1, "difference": gap}
        rows += [(rating, name, *mean_over_patients(values, patients)) for name, values in measures.items()]
        chance = float((shares.get_group(rating) ** 2).sum())
        rows.append((rating, "chance", chance, chance, chance, len(pairs), len(set(patients))))
    return pd.DataFrame(rows, columns=["rating", "measure", *Estimate._fields])


def opposed_malignancy(outlines: Sequence[Outlines]) -> pd.DataFrame:
    """Share of nodules of several readers that one calls likely benign (1, 2) and another likely malignant (4, 5).

    Returns:
        One row: estimate, low, high, n, patients.
    """
    several = [nodule for nodule in outlines if len(nodule.nodule.readings) > 1]
    ratings = [[reading.ratings.malignancy for reading in nodule.nodule.readings] for nodule in several]
    opposed = [min(given) <= 2 and max(given) >= 4 for given in ratings]
    return pd.DataFrame([mean_over_patients(opposed, [nodule.patient_id for nodule in several])])


def example(outlines: Sequence[Outlines]) -> pd.DataFrame:
    """The outlines of a nodule that shows how readers usually agree, on neighbouring slices.

    Chosen among nodules that four readers outlined on at least `EXAMPLE_SLICES` slices and that fit in the picture: the
    one whose mean Dice of pairs is nearest to the median.

    Returns:
        A row a point of a closed outline, in pixels of a square of `EXAMPLE_PX`: patient_id, slice (from 0), reader
        (from 1), outline (number in the reader's), row, column.
    """
    chosen = []
    for nodule in outlines:
        everyone = (nodule.area_px > 0).all(axis=1)
        fills = EXAMPLE_PX / 4 < np.diff(nodule.nodule.bounding_box()[:2]).max() < 0.8 * EXAMPLE_PX
        if nodule.area_px.shape[1] == READERS and everyone.sum() >= EXAMPLE_SLICES and fills:
            chosen.append(nodule)
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
    columns = ["patient_id", "slice", "reader", "outline", "row", "column"]
    return pd.DataFrame(rows, columns=columns).sort_values(["slice", "reader", "outline"], kind="stable")


# The copycat


def copycat(outlines: Sequence[Outlines], splits: int = SPLITS) -> pd.DataFrame:
    """Score the copycat on the test slices of random splits by slice and by patient.

    Only slices with a consensus take part, as in a study. Training and test are the same shares as there (60 and 20 %).

    Args:
        outlines: nodules of at least three patients.
        splits: how many of each kind.

    Returns:
        A row a split and test slice: split (`BY_SLICE` or `BY_PATIENT`), seed, patient_id, nodule (position in
        `outlines`), slice (position in the nodule), distance (slices to the nearest training slice of the nodule, NaN
        if there is none), dice.

    Raises:
        InputError: fewer than three patients.
    """
    kept = [np.flatnonzero(np.diff(nodule.consensus.indptr)) for nodule in outlines]
    consensus = csr_array(vstack([nodule.consensus[rows] for nodule, rows in zip(outlines, kept, strict=True)]))
    slices = pd.DataFrame({
        "patient_id": np.repeat([nodule.patient_id for nodule in outlines], [len(rows) for rows in kept]),
        "nodule": np.repeat(np.arange(len(outlines)), [len(rows) for rows in kept]),
        "slice": np.concatenate(kept),
    })  # fmt: skip
    found = []
    for seed in range(splits):
        for split, (train, test) in {
            BY_SLICE: _split_by_slice(len(slices), seed),
            BY_PATIENT: _split_by_patient(slices["patient_id"], seed),
        }.items():
            source = _nearest(slices, train)[test]
            constant = average_outline(consensus[train])
            dice = np.where(
                source >= 0, _dice_of_pairs(consensus, test, source), _dice_of_constant(consensus[test], constant)
            )
            distance = np.abs(slices["slice"].to_numpy()[test] - slices["slice"].to_numpy()[source])
            found.append(
                slices.iloc[test].assign(
                    split=split, seed=seed, distance=np.where(source >= 0, distance, np.nan), dice=dice
                )
            )
    return pd.concat(found, ignore_index=True)


def copycat_means(answers: pd.DataFrame) -> pd.DataFrame:
    """The copycat by kind of split: mean Dice, and shares of test slices with their nodule or neighbour in training.

    Returns:
        split, measure (``dice``, ``neighbour`` or ``nodule``), estimate, low, high, n (test slices of all splits),
        patients, splits.
    """
    rows = []
    for split, chosen in answers.groupby("split", sort=False):
        measures = {"dice": chosen["dice"], "neighbour": chosen["distance"] == 1, "nodule": chosen["distance"].notna()}
        rows += [
            (split, name, *mean_over_patients(values, chosen["patient_id"]), chosen["seed"].nunique())
            for name, values in measures.items()
        ]
    return pd.DataFrame(rows, columns=["split", "measure", "estimate", "low", "high", "n", "patients", "splits"])


def copycat_histogram(answers: pd.DataFrame) -> pd.DataFrame:
    """How the copycat's Dice is spread: split, dice_from, dice_to, share of test slices."""
    bins = np.linspace(0, 1, 21)
    parts = [
        pd.DataFrame({
            "split": split,
            "dice_from": bins[:-1].round(2),
            "dice_to": bins[1:].round(2),
            "share": np.histogram(chosen["dice"], bins)[0] / len(chosen),
        })
        for split, chosen in answers.groupby("split", sort=False)
    ]  # fmt: skip
    return pd.concat(parts, ignore_index=True)


def copycat_by_distance(answers: pd.DataFrame) -> pd.DataFrame:
    """The copycat's Dice by what it copied, under both splits: split, source, estimate, low, high, n, patients."""
    distance = answers["distance"]
    copied = {
        "next slice": distance == 1,
        "next but one": distance == 2,
        "further away": distance > 2,
        "average outline": distance.isna(),
    }
    values = [answers[chosen].assign(source=source) for source, chosen in copied.items()]
    return estimates(pd.concat(values).rename(columns={"dice": "value"}), "split", "source")


def average_outline(consensus: csr_array) -> NDArray[np.bool_]:
    """The constant mask ``(pixels,)`` of the module's docstring, from training slices ``(slices, pixels)``."""
    share = np.asarray(consensus.sum(axis=0)).ravel() / consensus.shape[0]
    candidates = [share >= level for level in LEVELS if (share >= level).any()]
    return max(candidates, key=lambda mask: _dice_of_constant(consensus, mask).mean())


def _split_by_slice(slices: int, seed: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Training and test slices, drawn without a thought for patients."""
    shuffled = np.random.default_rng(seed).permutation(slices)
    train, _, test = np.split(shuffled, np.cumsum(np.round(np.array(FRACTIONS[:2]) * slices).astype(int)))
    return np.sort(train), np.sort(test)


def _split_by_patient(patients: "pd.Series[str]", seed: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Training and test slices of a split as the studies use it."""
    split = split_patients(patients.tolist(), seed)
    return np.flatnonzero(patients.isin(split.train)), np.flatnonzero(patients.isin(split.test))


def _nearest(slices: pd.DataFrame, train: NDArray[np.intp]) -> NDArray[np.intp]:
    """The nearest training slice of the same nodule for every slice, the lower one of two; -1 where there is none."""
    position = slices["slice"].to_numpy()
    in_training = np.zeros(len(slices), dtype=bool)
    in_training[train] = True
    # Slices lie nodule by nodule in ascending order, so the nearest is the last one before or the first one after.
    nodule = slices["nodule"].to_numpy()
    number = np.arange(len(slices))
    before = np.maximum.accumulate(np.where(in_training, number, -1))
    after = np.minimum.accumulate(np.where(in_training, number, len(slices))[::-1])[::-1]
    before = np.where((before >= 0) & (nodule[before] == nodule), before, -1)
    after = np.where((after < len(slices)) & (nodule[after.clip(max=len(slices) - 1)] == nodule), after, -1)
    below = np.where(before >= 0, position - position[before], np.inf)
    above = np.where(after >= 0, position[after] - position, np.inf)
    return np.where(below <= above, before, after)


def _dice_of_pairs(consensus: csr_array, a: NDArray[np.intp], b: NDArray[np.intp]) -> NDArray[np.float64]:
    area = np.diff(consensus.indptr)
    overlap = np.asarray(consensus[a].multiply(consensus[b]).sum(axis=1)).ravel()
    return np.asarray(2.0 * overlap / (area[a] + area[b]))


def _dice_of_constant(consensus: csr_array, mask: NDArray[np.bool_]) -> NDArray[np.float64]:
    return np.asarray(2.0 * (consensus @ mask.astype(np.float32)) / (np.diff(consensus.indptr) + mask.sum()))


def leak(outlines: Sequence[Outlines]) -> Statistics:
    """The tables of the copycat."""
    answers = copycat(outlines)
    return {
        "copycat": copycat_means(answers),
        "copycat dice": copycat_histogram(answers),
        "copycat distance": copycat_by_distance(answers),
    }


def main() -> None:
    """Measure everything and write a CSV file a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=COLLECTION, help="(default: %(default)s)")
    options = parser.parse_args()
    outlines = outlines_of(read_scans(patients_with_nodules()))
    tables = measure(outlines) | leak(outlines) | {"example": example(outlines)}
    for name, table in tables.items():
        write_text(options.out / f"{name.replace(' ', '-')}.csv", table.to_csv(index=False))
    write_json(
        options.out / "manifest.json", {"format": "carbon-midl collection", "version": 1, **describe_environment()}
    )
    collection_page.write(options.out)


if __name__ == "__main__":
    main()
