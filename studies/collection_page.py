"""What the book prints of LIDC-IDRI: numbers by name and tables, from the recorded statistics of the collection.

    python -m studies.collection_page

``studies/collection.py`` does it, too, once it has recorded the statistics; this is for a change of wording alone.
"""

from pathlib import Path

from carbon_midl.book.evidence import BY_PATIENT, BY_SLICE, COLLECTION_PAGE
from carbon_midl.book.numbers import cell, dice_interval, percent_interval
from carbon_midl.book.tables import Table, as_csv
from carbon_midl.files import write_json, write_text
from carbon_midl.lidc import READERS
from carbon_midl.lidc.statistics import COLLECTION, Statistics, read_statistics
from carbon_midl.measures import COLLECTION_DRAWS
from carbon_midl.study.results import named_rows
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
        write_text(out / f"{name}.csv", as_csv(table(statistics)))


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
        "lidc_nodules_several": "nodules of several readers", "lidc_readings": "readings",
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


def readers_table(statistics: Statistics) -> Table:
    """Nodules by number of readers."""
    rows = [
        [str(row.readers), f"{row.nodules:,}", cell(percent_interval(row, "share"))]
        for row in named_rows(statistics["readers"])
    ]
    return ["Readers who outlined it", "Nodules", "Share, % (95 %)"], rows


def sizes_table(statistics: Statistics) -> Table:
    """Nodules by size, and how often all four readers outlined one."""
    rows = [
        [
            row.band, f"{row.nodules:,}", f"{row.patients:,}", cell(percent_interval(row, "share")),
            cell(percent_interval(row, "unanimous")),
        ]
        for row in named_rows(statistics["bands"])
    ]  # fmt: skip
    return ["Diameter", "Nodules", "Patients", "Share, % (95 %)", "By all four, % (95 %)"], rows


def quantiles_table(statistics: Statistics) -> Table:
    """How sizes are spread."""
    rows = [
        [row.quantity, f"{row.n:,}", *map(size, (row.p5, row.p25, row.p50, row.p75, row.p95, row.largest))]
        for row in named_rows(statistics["quantiles"])
    ]
    return ["", "n", "5 %", "25 %", "Median", "75 %", "95 %", "Largest"], rows


def thickness_table(statistics: Statistics) -> Table:
    """Scans by slice thickness, with their pixel spacing."""
    rows = [
        [
            f"{row.thickness_mm:g}", f"{row.scans:,}", percent(row.share).removesuffix(" %"), f"{row.spacing_mm:.2f}",
            f"{row.spacing_min_mm:.2f}–{row.spacing_max_mm:.2f}",
        ]
        for row in named_rows(statistics["thickness"])
    ]  # fmt: skip
    return ["Slice thickness (mm)", "Scans", "Share, %", "Pixel, median (mm)", "Range (mm)"], rows


def ratings_table(statistics: Statistics) -> Table:
    """How far two readers of one nodule differ in each rating."""
    rows = []
    for rating, group in statistics["rating differences"].groupby("rating", sort=False):
        found = {row.measure: row for row in named_rows(group)}
        within_one, gap = found.get("within one"), found.get("difference")
        rows.append([
            str(rating).replace("_", " "), cell(percent_interval(found["exact"])),
            percent(found["chance"].estimate).removesuffix(" %"),
            "–" if within_one is None else cell(percent_interval(within_one)),
            "–" if gap is None else f"{gap.estimate:.2f} ({gap.low:.2f}–{gap.high:.2f})",
        ])  # fmt: skip
    return ["Rating", "Same", "By chance", "Within one", "Apart"], rows


def agreement_table(statistics: Statistics) -> Table:
    """Mean and median Dice of two readers, on slices and in 3D, by size."""
    rows = [
        [
            compared, row.size, f"{row.pairs:,}", f"{row.patients:,}", cell(dice_interval(row, "mean")),
            dice(row.median),
        ]
        for compared, name in (("a slice", "slice dice"), ("the nodule", "nodule dice"))
        for row in named_rows(statistics[name])
    ]  # fmt: skip
    return ["On", "Diameter", "Pairs", "Patients", "Mean Dice (95 %)", "Median"], rows


def copycat_table(statistics: Statistics) -> Table:
    """The copycat's Dice by split and by what it copied."""
    sources, copycat = statistics["copycat distance"], statistics["copycat"]
    everything = copycat[copycat["measure"] == "dice"].assign(source="all")
    rows = []
    for split in (BY_SLICE, BY_PATIENT):
        (every,) = named_rows(everything[everything["split"] == split])
        for row in (*named_rows(sources[sources["split"] == split]), every):
            rows.append([
                split, row.source, f"{row.n:,}", percent(row.n / every.n).removesuffix(" %"), f"{row.patients:,}",
                cell(dice_interval(row)),
            ])  # fmt: skip
    return ["Split", "Copied from", "Slices", "Share, %", "Patients", "Dice (95 %)"], rows


TABLES = {
    "lidc-readers": readers_table,
    "lidc-sizes": sizes_table,
    "lidc-quantiles": quantiles_table,
    "lidc-thickness": thickness_table,
    "lidc-ratings": ratings_table,
    "lidc-agreement": agreement_table,
    "lidc-copycat": copycat_table,
}
"""By the name that a chapter shows them by."""

if __name__ == "__main__":
    write(COLLECTION)
