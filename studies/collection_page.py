"""What the book prints of LIDC-IDRI: numbers by name and tables, from the recorded statistics of the collection.

    python -m studies.collection_page

``studies/collection.py`` does it, too, once it has recorded the statistics; this is for a change of wording alone.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd

from carbon_midl.book.evidence import BY_PATIENT, BY_SLICE, COLLECTION_PAGE
from carbon_midl.book.numbers import cell, dice_interval, interval, percent_interval
from carbon_midl.book.tables import printed
from carbon_midl.files import write_json, write_text
from carbon_midl.lidc import READERS
from carbon_midl.measures import COLLECTION_DRAWS
from carbon_midl.study.results import COLLECTION, Statistics, named_rows, read_statistics
from carbon_midl.training.data import FRACTIONS
from carbon_midl.units import count, dice, percent, significant


def write(collection: Path) -> None:
    """Write ``page/numbers.json``, and each table as CSV beside it, in the directory of the recorded statistics."""
    statistics, out = read_statistics(collection), collection / COLLECTION_PAGE.name
    numbers: dict[str, str] = {}
    for some in (counts_numbers, sizes_numbers, ratings_numbers, agreement_numbers, leak_numbers):
        numbers |= some(statistics)
    write_json(out / "numbers.json", numbers)
    for name, table in TABLES.items():
        write_text(out / f"{name}.csv", table(statistics).to_csv(index=False))


def size(value: float) -> str:
    """A size that may be a whole number: ``4``, ``5.50``, ``1,898``."""
    return f"{value:,.0f}" if value == round(value) else significant(value)


def counts_numbers(statistics: Statistics) -> dict[str, str]:
    """Scans, nodules and readings of the collection."""
    counts = dict(zip(statistics["counts"]["name"], statistics["counts"]["count"], strict=True))
    names = {
        "lidc_scans": "scans", "lidc_patients": "patients", "lidc_annotations": "annotations",
        "lidc_patients_twice": "patients with two scans", "lidc_scans_outlined": "scans with nodules",
        "lidc_patients_outlined": "patients with nodules", "lidc_nodules": "nodules",
        "lidc_nodules_several": "nodules of several readers",
        "lidc_left_out": "readings left out",
        "lidc_left_out_scans": "scans with readings left out", "lidc_slices": "slices",
        "lidc_slices_consensus": "slices with consensus", "lidc_outlines": "outlines",
        "lidc_uneven": "scans of uneven spacing", "lidc_overlapping": "scans of overlapping slices",
    }  # fmt: skip
    by_readers = {row.readers: row for row in named_rows(statistics["readers"])}
    return {
        **{name: f"{counts[counted]:,}" for name, counted in names.items()},
        "lidc_draws": f"{COLLECTION_DRAWS:,}",
        "lidc_example_slices": count(statistics["example"]["slice"].nunique()),
        "lidc_all_four": percent_interval(by_readers[READERS], "share"),
        "lidc_only_one": percent_interval(by_readers[1], "share"),
    }


def sizes_numbers(statistics: Statistics) -> dict[str, str]:
    """How large nodules are, and how thick slices."""
    quantiles = {row.quantity: row for row in named_rows(statistics["quantiles"])}
    diameter, slices, area = (quantiles[name] for name in ("diameter, mm", "slices", "outline, px"))
    smallest, *_, largest = named_rows(statistics["bands"])
    thickness = statistics["thickness"]
    return {
        "lidc_diameter": f"{size(diameter.p50)} mm",
        "lidc_diameter_range": f"{size(diameter.p5)} to {size(diameter.p95)} mm",
        "lidc_slices_median": size(slices.p50),
        "lidc_slices_range": f"{size(slices.p5)} to {size(slices.p95)}",
        "lidc_area": f"{size(area.p50)} px",
        "lidc_area_range": f"{size(area.p5)} to {size(area.p95)} px",
        "lidc_smallest_share": percent_interval(smallest, "share"),
        "lidc_smallest_unanimous": percent_interval(smallest, "unanimous"),
        "lidc_largest_unanimous": percent_interval(largest, "unanimous"),
        "lidc_thickness_range": f"{thickness['thickness_mm'].min():g} to {thickness['thickness_mm'].max():g} mm",
        "lidc_spacing_range": f"{thickness['spacing_min_mm'].min():.2f} to {thickness['spacing_max_mm'].max():.2f} mm",
    }


def ratings_numbers(statistics: Statistics) -> dict[str, str]:
    """How far two readers agree in what they rate."""
    differences = {(row.rating, row.measure): row for row in named_rows(statistics["rating differences"])}
    exact = differences["malignancy", "exact"]
    (opposed,) = named_rows(statistics["opposed malignancy"])
    return {
        "lidc_rating_pairs": f"{exact.n:,} pairs in {exact.patients:,} patients",
        "lidc_malignancy_exact": percent_interval(exact),
        "lidc_malignancy_chance": percent(differences["malignancy", "chance"].estimate),
        "lidc_malignancy_within_one": percent_interval(differences["malignancy", "within one"]),
        "lidc_malignancy_opposed": percent_interval(opposed),
        "lidc_structure_exact": percent(differences["internal_structure", "exact"].estimate),
        "lidc_structure_chance": percent(differences["internal_structure", "chance"].estimate),
    }


def agreement_numbers(statistics: Statistics) -> dict[str, str]:
    """How far two readers' outlines agree, and how often a reader draws none."""
    on_slices, smallest, *_, largest = named_rows(statistics["slice dice"])
    in_3d, *_ = named_rows(statistics["nodule dice"])
    silence = {row.question: row for row in named_rows(statistics["silence"])}
    nodule, anywhere, own, dice = (silence[name] for name in ("nodule", "slice", "slice of own nodule", "dice"))
    return {
        "lidc_slice_dice": dice_interval(on_slices, "mean"),
        "lidc_slice_dice_median": dice_interval(on_slices, "median"),
        "lidc_slice_pairs": f"{on_slices.pairs:,} pairs, {on_slices.patients:,} patients",
        "lidc_nodule_dice": dice_interval(in_3d, "mean"),
        "lidc_nodule_dice_median": dice_interval(in_3d, "median"),
        "lidc_nodule_pairs": f"{in_3d.pairs:,} pairs, {in_3d.patients:,} patients",
        "lidc_dice_smallest": dice_interval(smallest, "mean"),
        "lidc_dice_largest": dice_interval(largest, "mean"),
        "lidc_silent_nodule": percent_interval(nodule),
        "lidc_silent_nodule_n": f"{nodule.n:,}",
        "lidc_silent_slice": percent_interval(anywhere),
        "lidc_silent_slice_n": f"{anywhere.n:,}",
        "lidc_silent_own": percent_interval(own),
        "lidc_silent_own_n": f"{own.n:,}",
        "lidc_dice_with_silent": dice_interval(dice),
        "lidc_dice_with_silent_n": f"{dice.n:,}",
    }


def leak_numbers(statistics: Statistics) -> dict[str, str]:
    """What a copycat reaches on a split by slice and on one by patient."""
    copycat = {(row.split, row.measure): row for row in named_rows(statistics["copycat"])}
    by_slice, by_patient = (copycat[split, "dice"] for split in (BY_SLICE, BY_PATIENT))
    return {
        "lidc_leak_train": f"{FRACTIONS[0]:.0%}".replace("%", " %"),
        "lidc_leak_test": f"{FRACTIONS[2]:.0%}".replace("%", " %"),
        "lidc_leak_splits": count(by_slice.splits),
        "lidc_leak_neighbour": percent_interval(copycat[BY_SLICE, "neighbour"]),
        "lidc_leak_nodule": percent_interval(copycat[BY_SLICE, "nodule"]),
        "lidc_leak_by_slice": dice_interval(by_slice),
        "lidc_leak_by_slice_n": f"{by_slice.n:,} test slices of {by_slice.patients:,} patients",
        "lidc_leak_by_patient": dice_interval(by_patient),
        "lidc_leak_by_patient_n": f"{by_patient.n:,} test slices of {by_patient.patients:,} patients",
        "lidc_leak_points": significant(100 * (by_slice.estimate - by_patient.estimate), 2),
    }


def share(row: Any) -> str:
    """A share for a column in per cent."""
    return percent(row.share).removesuffix(" %")


def ratings_table(statistics: Statistics) -> pd.DataFrame:
    """How far two readers of one nodule differ in each rating."""
    differences = statistics["rating differences"]
    rows = {(row.rating, row.measure): row for row in named_rows(differences)}

    def measured(form: Callable[[Any], str], measure: str) -> Callable[[Any], str]:
        # Kinds have no distance.
        return lambda row: form(rows[row.rating, measure]) if (row.rating, measure) in rows else "–"

    return printed(differences.drop_duplicates("rating"), {
        "Rating": lambda row: row.rating.replace("_", " "),
        "Same": measured(lambda row: cell(percent_interval(row)), "exact"),
        "By chance": measured(lambda row: percent(row.estimate).removesuffix(" %"), "chance"),
        "Within one": measured(lambda row: cell(percent_interval(row)), "within one"),
        "Apart": measured(lambda row: cell(interval("{:.2f}".format, row)), "difference"),
    })  # fmt: skip


def copycat_table(statistics: Statistics) -> pd.DataFrame:
    """The copycat's Dice by split and by what it copied."""
    every = statistics["copycat"].query("measure == 'dice'").assign(source="all")
    table = pd.concat([statistics["copycat distance"], every])
    table["share"] = table["n"] / table["split"].map(every.set_index("split")["n"])
    return printed(table.sort_values("split", ascending=False, kind="stable"), {
        "Split": "split", "Copied from": "source", "Slices": lambda row: f"{row.n:,}", "Share, %": share,
        "Patients": lambda row: f"{row.patients:,}", "Dice (95 %)": lambda row: cell(dice_interval(row)),
    })  # fmt: skip


TABLES: dict[str, Callable[[Statistics], pd.DataFrame]] = {
    "lidc-readers": lambda statistics: printed(statistics["readers"], {
        "Readers who outlined it": "readers", "Nodules": lambda row: f"{row.nodules:,}",
        "Share, % (95 %)": lambda row: cell(percent_interval(row, "share")),
    }),
    "lidc-sizes": lambda statistics: printed(statistics["bands"], {
        "Diameter": "band", "Nodules": lambda row: f"{row.nodules:,}", "Patients": lambda row: f"{row.patients:,}",
        "Share, % (95 %)": lambda row: cell(percent_interval(row, "share")),
        "By all four, % (95 %)": lambda row: cell(percent_interval(row, "unanimous")),
    }),
    "lidc-quantiles": lambda statistics: printed(statistics["quantiles"], {
        "": "quantity", "n": lambda row: f"{row.n:,}", "5 %": lambda row: size(row.p5),
        "25 %": lambda row: size(row.p25), "Median": lambda row: size(row.p50), "75 %": lambda row: size(row.p75),
        "95 %": lambda row: size(row.p95), "Largest": lambda row: size(row.largest),
    }),
    "lidc-thickness": lambda statistics: printed(statistics["thickness"], {
        "Slice thickness (mm)": lambda row: f"{row.thickness_mm:g}", "Scans": lambda row: f"{row.scans:,}",
        "Share, %": share, "Pixel, median (mm)": lambda row: f"{row.spacing_mm:.2f}",
        "Range (mm)": lambda row: f"{row.spacing_min_mm:.2f}–{row.spacing_max_mm:.2f}",
    }),
    "lidc-ratings": ratings_table,
    "lidc-agreement": lambda statistics: printed(
        pd.concat([statistics[f"{what} dice"].assign(what=what) for what in ("slice", "nodule")]), {
            "On": lambda row: {"slice": "a slice", "nodule": "the nodule"}[row.what], "Diameter": "size",
            "Pairs": lambda row: f"{row.pairs:,}", "Patients": lambda row: f"{row.patients:,}",
            "Mean Dice (95 %)": lambda row: cell(dice_interval(row, "mean")), "Median": lambda row: dice(row.median),
        }
    ),
    "lidc-copycat": copycat_table,
}  # fmt: skip
"""By the name that a chapter shows them by."""

if __name__ == "__main__":
    write(COLLECTION)
