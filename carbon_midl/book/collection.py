"""LIDC-IDRI in the book: the data chapter's numbers, tables and figures, from the annotations alone."""

from pathlib import Path
from typing import Any

import pandas as pd

from carbon_midl.book import figures
from carbon_midl.book import wording as w
from carbon_midl.book.pictures import Picture
from carbon_midl.book.tables import Table
from carbon_midl.book.transfer import read_transfer, transfers
from carbon_midl.lidc import READERS
from carbon_midl.lidc.statistics import ALL_SIZES, EXAMPLE_SLICES, Statistics
from carbon_midl.measures import COLLECTION_DRAWS, Interval
from carbon_midl.study.results import named_rows
from carbon_midl.training.data import FRACTIONS

RECORDED = Path("results/lidc-collection")
BY_SLICE, BY_PATIENT = "by slice", "by patient"
HIGH_DICE = 0.7
ON_A_SLICE, IN_3D = "on a slice both outlined", "over the whole nodule"


def collection_numbers(statistics: Statistics) -> dict[str, str]:
    """Name to printed text, for the book's substitutions."""
    numbers = {
        **_count_numbers(statistics),
        **_size_numbers(statistics),
        **_rating_numbers(statistics),
        **_agreement_numbers(statistics),
        **_leak_numbers(statistics),
    }
    return {name: w.unbroken(text) for name, text in numbers.items()}


def phantom_transfer(directory: Path) -> str:
    """What the phantom is worth on real crops, from the record of ``studies/transfer.py``."""
    if not directory.is_dir():
        return "How far a network trained on the phantom gets on CT has not been recorded in this copy of the book."
    scores, manifest = read_transfer(directory)
    found = {(one.trained_on, one.tested_on): one for one in transfers(scores)}
    real, phantom = found["real", "real"], found["phantom", "real"]
    text = (
        f"We measured how far it carries. A U-Net of F = {manifest['filters']} was trained on phantom crops around the "
        f"nodules of {manifest['training_patients']} patients, another on their CT crops, and both were tested on CT "
        f"crops of {real.patients} other patients ({real.slices:,} slices, {w.plural(real.seeds, 'seed')}). Trained on "
        f"CT, it reached a Dice of {_dice(real.dice, real.dice_low, real.dice_high)}; trained on the phantom, "
        f"{_dice(phantom.dice, phantom.dice_low, phantom.dice_high)}, which is "
        f"{_percents(phantom.share, phantom.share_low, phantom.share_high)} of it."
    )
    return w.unbroken(text)


def _count_numbers(statistics: Statistics) -> dict[str, str]:
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
    everyone, one = (_row(statistics["readers"], readers=number) for number in (READERS, 1))
    return {
        **{name: f"{counts[counted]:,}" for name, counted in names.items()},
        "lidc_draws": f"{COLLECTION_DRAWS:,}",
        "lidc_example_slices": w.count(EXAMPLE_SLICES),
        "lidc_all_four": _percents(everyone.share, everyone.low, everyone.high),
        "lidc_only_one": _percents(one.share, one.low, one.high),
    }


def _size_numbers(statistics: Statistics) -> dict[str, str]:
    diameter, slices, area = (
        _row(statistics["quantiles"], quantity=quantity) for quantity in ("diameter, mm", "slices", "outline, px")
    )
    bands, thickness = list(named_rows(statistics["bands"])), statistics["thickness"]
    smallest, largest = bands[0], bands[-1]
    return {
        "lidc_diameter": f"{_size(diameter.p50)} mm",
        "lidc_diameter_range": f"{_size(diameter.p5)} to {_size(diameter.p95)} mm",
        "lidc_slices_median": _size(slices.p50),
        "lidc_slices_range": f"{_size(slices.p5)} to {_size(slices.p95)}",
        "lidc_area": f"{_size(area.p50)} px",
        "lidc_area_range": f"{_size(area.p5)} to {_size(area.p95)} px",
        "lidc_smallest_share": _percents(smallest.share, smallest.low, smallest.high),
        "lidc_smallest_unanimous": _percents(smallest.unanimous, smallest.unanimous_low, smallest.unanimous_high),
        "lidc_largest_unanimous": _percents(largest.unanimous, largest.unanimous_low, largest.unanimous_high),
        "lidc_thickness_range": f"{thickness['thickness_mm'].min():g} to {thickness['thickness_mm'].max():g} mm",
        "lidc_spacing_range": f"{thickness['spacing_min_mm'].min():.2f} to {thickness['spacing_max_mm'].max():.2f} mm",
    }


def _rating_numbers(statistics: Statistics) -> dict[str, str]:
    differences = statistics["rating differences"]
    exact, within_one, chance = (
        _row(differences, rating="malignancy", measure=measure) for measure in ("exact", "within one", "chance")
    )
    structure, structure_chance = (
        _row(differences, rating="internal_structure", measure=measure) for measure in ("exact", "chance")
    )
    opposed = _row(statistics["opposed malignancy"])
    return {
        "lidc_rating_pairs": f"{exact.n:,} pairs in {exact.patients:,} patients",
        "lidc_malignancy_exact": _share(exact),
        "lidc_malignancy_chance": w.percent(chance.estimate),
        "lidc_malignancy_within_one": _share(within_one),
        "lidc_malignancy_opposed": _share(opposed),
        "lidc_structure_exact": w.percent(structure.estimate),
        "lidc_structure_chance": w.percent(structure_chance.estimate),
    }


def _agreement_numbers(statistics: Statistics) -> dict[str, str]:
    by_size = list(named_rows(statistics["slice dice"]))
    on_slices, in_3d = by_size[0], next(named_rows(statistics["nodule dice"]))
    nodule, anywhere, own, dice = (
        _row(statistics["silence"], question=question)
        for question in ("nodule", "slice", "slice of own nodule", "dice")
    )
    return {
        "lidc_slice_dice": _dice(on_slices.mean, on_slices.low, on_slices.high),
        "lidc_slice_dice_median": _dice(on_slices.median, on_slices.median_low, on_slices.median_high),
        "lidc_slice_pairs": f"{on_slices.pairs:,} pairs, {on_slices.patients:,} patients",
        "lidc_nodule_dice": _dice(in_3d.mean, in_3d.low, in_3d.high),
        "lidc_nodule_dice_median": _dice(in_3d.median, in_3d.median_low, in_3d.median_high),
        "lidc_nodule_pairs": f"{in_3d.pairs:,} pairs, {in_3d.patients:,} patients",
        "lidc_dice_smallest": _dice(by_size[1].mean, by_size[1].low, by_size[1].high),
        "lidc_dice_largest": _dice(by_size[-1].mean, by_size[-1].low, by_size[-1].high),
        "lidc_silent_nodule": _share(nodule),
        "lidc_silent_nodule_n": f"{nodule.n:,}",
        "lidc_silent_slice": _share(anywhere),
        "lidc_silent_slice_n": f"{anywhere.n:,}",
        "lidc_silent_own": _share(own),
        "lidc_silent_own_n": f"{own.n:,}",
        "lidc_dice_with_silent": _dice(dice.estimate, dice.low, dice.high),
        "lidc_dice_with_silent_n": f"{dice.n:,}",
    }


def _leak_numbers(statistics: Statistics) -> dict[str, str]:
    by_slice, by_patient = (
        _row(statistics["copycat"], split=split, measure="dice") for split in (BY_SLICE, BY_PATIENT)
    )
    return {
        "lidc_leak_train": f"{FRACTIONS[0]:.0%}".replace("%", " %"),
        "lidc_leak_test": f"{FRACTIONS[2]:.0%}".replace("%", " %"),
        "lidc_leak_splits": w.count(by_slice.splits),
        "lidc_leak_neighbour": _share(_row(statistics["copycat"], split=BY_SLICE, measure="neighbour")),
        "lidc_leak_nodule": _share(_row(statistics["copycat"], split=BY_SLICE, measure="nodule")),
        "lidc_leak_by_slice": _dice(by_slice.estimate, by_slice.low, by_slice.high),
        "lidc_leak_by_slice_n": f"{by_slice.n:,} test slices of {by_slice.patients:,} patients",
        "lidc_leak_by_patient": _dice(by_patient.estimate, by_patient.low, by_patient.high),
        "lidc_leak_by_patient_n": f"{by_patient.n:,} test slices of {by_patient.patients:,} patients",
        "lidc_leak_points": w.significant(100 * (by_slice.estimate - by_patient.estimate), 2),
    }


def _row(table: pd.DataFrame, **values: object) -> Any:
    """The row with these values in these columns."""
    for name, value in values.items():
        table = table[table[name] == value]
    return next(named_rows(table))


def _dice(estimate: float, low: float, high: float) -> str:
    return w.dice_interval(Interval(estimate, low, high))


def _interval(row: Any) -> tuple[float, float, float]:
    return row.estimate, row.low, row.high


def _share(row: Any) -> str:
    return _percents(*_interval(row))


def _percents(estimate: float, low: float, high: float) -> str:
    """``34.4 % (32.2 to 36.5 %)``."""
    return f"{w.percent(estimate)} ({w.percent(low).removesuffix(' %')} to {w.percent(high)})"


def _narrow_percents(estimate: float, low: float, high: float) -> str:
    """``34.4 (32.2–36.5)``, for a column of a table whose header says that it is in per cent."""
    estimated, lowest, highest = (w.percent(share).removesuffix(" %") for share in (estimate, low, high))
    return f"{estimated} ({lowest}–{highest})"


def _narrow_dice(estimate: float, low: float, high: float) -> str:
    """``0.779 (0.773–0.785)``, for a table."""
    return f"{w.dice(estimate)} ({w.dice(low)}–{w.dice(high)})"


def _size(value: float) -> str:
    """A size that may be a whole number: ``4``, ``5.50``, ``1,898``."""
    return f"{value:,.0f}" if value == round(value) else w.significant(value)


def readers_table(statistics: Statistics) -> Table:
    """Nodules by number of readers."""
    rows = [[str(row.readers), f"{row.nodules:,}", _narrow_percents(row.share, row.low, row.high)]
            for row in named_rows(statistics["readers"])]  # fmt: skip
    return ["Readers who outlined it", "Nodules", "Share, % (95 %)"], rows


def sizes_table(statistics: Statistics) -> Table:
    """Nodules by size, and how often all four readers outlined one."""
    rows = [
        [
            row.band, f"{row.nodules:,}", f"{row.patients:,}", _narrow_percents(row.share, row.low, row.high),
            _narrow_percents(row.unanimous, row.unanimous_low, row.unanimous_high),
        ]
        for row in named_rows(statistics["bands"])
    ]  # fmt: skip
    return ["Diameter", "Nodules", "Patients", "Share, % (95 %)", "By all four, % (95 %)"], rows


def quantiles_table(statistics: Statistics) -> Table:
    """How sizes are spread."""
    rows = [
        [row.quantity, f"{row.n:,}", *(_size(value) for value in
         (row.p5, row.p25, row.p50, row.p75, row.p95, row.largest))]
        for row in named_rows(statistics["quantiles"])
    ]  # fmt: skip
    return ["", "n", "5 %", "25 %", "Median", "75 %", "95 %", "Largest"], rows


def thickness_table(statistics: Statistics) -> Table:
    """Scans by slice thickness, with their pixel spacing."""
    rows = [
        [
            f"{row.thickness_mm:g}", f"{row.scans:,}", w.percent(row.share).removesuffix(" %"), f"{row.spacing_mm:.2f}",
            f"{row.spacing_min_mm:.2f}–{row.spacing_max_mm:.2f}",
        ]
        for row in named_rows(statistics["thickness"])
    ]  # fmt: skip
    return ["Slice thickness (mm)", "Scans", "Share, %", "Pixel, median (mm)", "Range (mm)"], rows


def ratings_table(statistics: Statistics) -> Table:
    """How far two readers of one nodule differ in each rating."""
    differences = statistics["rating differences"]
    rows = []
    for rating in dict.fromkeys(differences["rating"]):
        found = {row.measure: row for row in named_rows(differences[differences["rating"] == rating])}
        within_one, gap = found.get("within one"), found.get("difference")
        rows.append([
            rating_name(rating), _narrow_percents(*_interval(found["exact"])),
            w.percent(found["chance"].estimate).removesuffix(" %"),
            "–" if within_one is None else _narrow_percents(*_interval(within_one)),
            "–" if gap is None else f"{gap.estimate:.2f} ({gap.low:.2f}–{gap.high:.2f})",
        ])  # fmt: skip
    return ["Rating", "Same", "By chance", "Within one", "Apart"], rows


def agreement_table(statistics: Statistics) -> Table:
    """Mean and median Dice of two readers, on slices and in 3D, by size."""
    rows = []
    for compared, name in (("a slice", "slice dice"), ("the nodule", "nodule dice")):
        for row in named_rows(statistics[name].rename(columns={"size": "band"})):
            rows.append([
                compared, row.band, f"{row.pairs:,}", f"{row.patients:,}",
                _narrow_dice(row.mean, row.low, row.high), w.dice(row.median),
            ])  # fmt: skip
    return ["On", "Diameter", "Pairs", "Patients", "Mean Dice (95 %)", "Median"], rows


def copycat_table(statistics: Statistics) -> Table:
    """The copycat's Dice by split and by what it copied."""
    rows = []
    for split in (BY_SLICE, BY_PATIENT):
        every = _row(statistics["copycat"], split=split, measure="dice")
        sources = statistics["copycat distance"]
        for row in (*named_rows(sources[sources["split"] == split]), every):
            rows.append([
                split, getattr(row, "source", "all"), f"{row.n:,}", w.percent(row.n / every.n).removesuffix(" %"),
                f"{row.patients:,}", _narrow_dice(row.estimate, row.low, row.high),
            ])  # fmt: skip
    return ["Split", "Copied from", "Slices", "Share, %", "Patients", "Dice (95 %)"], rows


def sizes_picture(statistics: Statistics) -> Picture:
    """Nodules by diameter and number of readers."""
    table = statistics["diameters"]
    total = int(table["nodules"].sum())
    by_bin = table.groupby("diameter_mm")["nodules"].sum()
    by_readers = table.groupby("readers")["nodules"].sum().reset_index()
    said = [f"{w.plural(row.readers, 'reader')} {row.nodules:,}" for row in named_rows(by_readers)]
    most = by_bin.index.tolist()[by_bin.to_numpy().argmax()]
    alt = (
        f"Histogram of the diameters of {total:,} nodules in bins of 1 mm, each bar stacked by the number of readers "
        f"who outlined the nodule (by {w.joined(said)}). "
        f"The highest bar, {most} to {most + 1} mm, has {by_bin[most]:,} nodules; a long tail reaches "
        f"{int(by_bin.index.max())} mm."
    )
    return Picture(figures.lidc_sizes, table, alt)


def ratings_picture(statistics: Statistics) -> Picture:
    """The distributions of the nine ratings."""
    table = statistics["rating counts"].assign(
        rating=[rating_name(rating) for rating in statistics["rating counts"]["rating"]]
    )
    commonest = table.loc[table.groupby("rating", sort=False)["share"].idxmax()]
    parts = w.joined([f"{row.rating} {row.value} ({row.share:.0%})" for row in named_rows(commonest)])
    alt = f"Nine stacked bars, one a rating, of the share of readings by value. The commonest values: {parts}."
    return Picture(figures.lidc_ratings, table, alt, (5.6, 4.2))


def outlines_picture(statistics: Statistics) -> Picture:
    """One nodule's outlines, slice by slice."""
    table = statistics["example"]
    slices, readers = table["slice"].nunique(), table["reader"].nunique()
    alt = (
        f"{w.count(slices).capitalize()} neighbouring slices of one nodule of patient {table['patient_id'].iloc[0]}, "
        f"each with the closed outlines of {w.count(readers)} readers in different colours and dashes."
    )
    return Picture(figures.lidc_outlines, table, alt, (5.6, 4.0))


def agreement_picture(statistics: Statistics) -> Picture:
    """Dice of two readers by size of the nodule."""
    parts = [
        statistics[name].assign(compared=compared)
        for compared, name in ((ON_A_SLICE, "slice dice"), (IN_3D, "nodule dice"))
    ]
    table = pd.concat(parts, ignore_index=True)
    table = table[table["size"] != ALL_SIZES]
    said = [
        f"{compared} from {w.dice(rows['mean'].iloc[0])} ({rows['size'].iloc[0]}) to {w.dice(rows['mean'].iloc[-1])} "
        f"({rows['size'].iloc[-1]})"
        for compared, rows in table.groupby("compared", sort=False)
    ]
    alt = f"Points with intervals: mean Dice of two readers by diameter of the nodule, {w.joined(said)}."
    return Picture(figures.lidc_agreement, table, alt, (5.6, 3.7))


def leak_picture(statistics: Statistics) -> Picture:
    """The copycat's Dice under both splits."""
    means = {
        split: _row(statistics["copycat"], split=split, measure="dice").estimate for split in (BY_SLICE, BY_PATIENT)
    }
    readers = _row(statistics["slice dice"], size=ALL_SIZES).mean
    table = statistics["copycat dice"]
    table = table.assign(mean=table["split"].map(means), readers=readers)
    high = table[table["dice_from"] >= HIGH_DICE].groupby("split")["share"].sum()
    said = [
        f"split {split}, {high[split]:.0%} of test slices reach {HIGH_DICE}, and the mean is {w.dice(mean)}"
        for split, mean in means.items()
    ]
    alt = (
        f"Two histograms of the Dice that a copycat reaches without looking at the image: {'; '.join(said)}. A line "
        f"marks the mean of two readers, {w.dice(readers)}."
    )
    return Picture(figures.lidc_leak, table, alt)


def rating_name(rating: str) -> str:
    """A rating as it is printed."""
    return rating.replace("_", " ")


TABLES = {
    "lidc-readers": readers_table,
    "lidc-sizes": sizes_table,
    "lidc-quantiles": quantiles_table,
    "lidc-thickness": thickness_table,
    "lidc-ratings": ratings_table,
    "lidc-agreement": agreement_table,
    "lidc-copycat": copycat_table,
}
PICTURES = {
    "lidc-sizes": sizes_picture,
    "lidc-ratings": ratings_picture,
    "lidc-outlines": outlines_picture,
    "lidc-agreement": agreement_picture,
    "lidc-leak": leak_picture,
}
