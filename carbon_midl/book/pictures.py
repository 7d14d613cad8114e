"""The book's figures: which table each is drawn from, and a text for those who cannot see it, made from that table."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import pandas as pd

from carbon_midl.book import claims as w
from carbon_midl.book import figures
from carbon_midl.book.evidence import GRIDS, Evidence
from carbon_midl.lidc.crops import CropArchive
from carbon_midl.lidc.statistics import ALL_SIZES
from carbon_midl.study.results import named_rows

EXAMPLES = 4
HIGH_DICE = 0.7


class Picture(NamedTuple):
    """A figure: how it is drawn, from what, its alternative text, its size in inches, whether its data are shared."""

    draw: figures.Draw
    data: pd.DataFrame
    alt: str
    size_in: tuple[float, float] = figures.SIZE_IN
    shared: bool = True


def growth(evidence: Evidence) -> Picture:
    """Training compute by date."""
    table = evidence.systems
    first, last = table.iloc[0], table.iloc[-1]
    alt = (
        f"Scatter plot of the training compute of {len(table)} systems by date of publication, on a logarithmic axis: "
        f"the cloud rises from {first.system} in {first.published[:4]} at {first.training_compute_flop:.1e} FLOP to "
        f"{last.system} in {last.published[:4]} at {last.training_compute_flop:.1e} FLOP. A dashed line joins AlexNet "
        "and AlphaGo Zero."
    )
    return Picture(figures.growth, table, alt, (5.6, 4.0))


def unet(evidence: Evidence) -> Picture:
    """The network's levels."""
    depth, size = evidence.depth, int(evidence.results.manifest["crops"]["size"])
    table = pd.DataFrame({"level": range(depth)}).assign(
        filters=["F" if level == 0 else f"{2**level} F" for level in range(depth)],
        pixels=[f"{size // 2**level} × {size // 2**level}" for level in range(depth)],
    )
    alt = (
        f"Diagram of the U-Net: {w.count(depth)} levels in the shape of a U. From level to level on the way down the "
        f"filters double, from F to {2 ** (depth - 1)} F, and height and width halve by average pooling, from {size} "
        f"to {size // 2 ** (depth - 1)} pixels; on the way up bilinear upsampling doubles them again, and the features "
        "of the same level are copied across and appended."
    )
    return Picture(figures.unet, table, alt, (5.6, 3.6))


def dice_carbon(evidence: Evidence) -> Picture:
    """Dice against carbon by width."""
    points = [
        f"F = {row.filters} at {w.carbon(row.carbon_g)} and Dice {w.dice(row.dice)}"
        for row in named_rows(evidence.widths)
    ]
    alt = (
        "Test Dice against the carbon footprint of training on a logarithmic axis, one point a width: "
        f"{w.joined(points)}."
    )
    return Picture(figures.dice_carbon, evidence.widths, alt)


def learning(evidence: Evidence) -> Picture:
    """Validation Dice against carbon so far."""
    ends = evidence.learning.groupby(["filters", "run"]).last().groupby("filters").mean()
    points = [
        f"F = {row.Index} ends at {w.carbon(row.carbon_g)} and Dice {w.dice(row.best_val_dice)}"
        for row in named_rows(ends)
    ]
    alt = (
        "Rising lines, one a run: best validation Dice so far against carbon spent so far, on a logarithmic axis. On "
        f"average {w.joined(points)}."
    )
    return Picture(figures.learning, evidence.learning, alt)


def selection_price(evidence: Evidence) -> Picture:
    """The carbon of the whole selection by width."""
    bars = [f"F = {row.filters:.0f} {w.carbon(row.carbon_g)} ({row.share:.0%})" for row in named_rows(evidence.price)]
    alt = f"Bars of the carbon footprint of all runs of a width: {w.joined(bars)}."
    return Picture(figures.selection_price, evidence.price, alt, (5.6, 2.9))


def dice_size(evidence: Evidence) -> Picture:
    """Dice by size of the nodule."""
    parts = []
    for label, rows in evidence.sizes.groupby("size", sort=False):
        low, high, readers = (
            w.dice(value) for value in (rows["dice"].min(), rows["dice"].max(), rows["readers_dice"].iloc[0])
        )
        parts.append(f"{label}, networks {low} to {high}, readers among themselves {readers}")
    alt = (
        "Test Dice of every width with intervals by area of the nodule, and the readers' own agreement as a line: "
        f"{'; '.join(parts)}."
    )
    return Picture(figures.dice_size, evidence.sizes, alt, (5.6, 4.1))


def choice_probability(evidence: Evidence) -> Picture:
    """Probability of choice by criterion."""
    _, likely = evidence.choices
    table = likely.assign(filters=likely["candidate"].astype(int)).drop(columns="candidate")
    parts = []
    for name, rows in table.groupby("name", sort=False):
        shown = rows[rows["probability"] > 0.005].sort_values("probability", ascending=False)
        shares = w.joined([f"F = {row.filters} in {row.probability:.0%}" for row in named_rows(shown)] or ["none"])
        parts.append(f"{figures.CRITERION_LABELS[str(name)]}: {shares}")
    alt = f"Stacked bars, one a criterion: share of draws in which it chooses a width. {'; '.join(parts)}."
    return Picture(figures.choice_probability, table, alt, (5.6, 3.4))


def choice_by_grid(evidence: Evidence) -> Picture:
    """Criteria by grids."""
    table = evidence.choices_on_grids
    table = table.assign(filters=pd.to_numeric(table["chosen"])).drop(columns="chosen")
    parts = []
    for name, rows in table.sort_values("g_per_kwh").groupby("name", sort=False):
        runs: list[tuple[str, list[str]]] = []
        for grid, width in zip(rows["grid"], rows["filters"], strict=True):
            text = "none" if pd.isna(width) else f"F = {width:.0f}"
            if runs and runs[-1][0] == text:
                runs[-1][1].append(grid)
            else:
                runs.append((text, [grid]))
        shown = "everywhere" if len(runs) == 1 else ""
        chosen = w.joined([f"{text} {shown or 'in ' + w.joined(where)}" for text, where in runs])
        parts.append(f"{figures.CRITERION_LABELS[str(name)]}: {chosen}")
    alt = f"Table of colours: the width that each criterion chooses on {w.count(len(GRIDS))} grids. {'; '.join(parts)}."
    return Picture(figures.choice_by_grid, table, alt, (5.6, 3.4))


def lidc_sizes(evidence: Evidence) -> Picture:
    """Nodules by diameter and number of readers."""
    table = evidence.statistics["diameters"]
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


def lidc_ratings(evidence: Evidence) -> Picture:
    """The distributions of the nine ratings."""
    table = evidence.statistics["rating counts"]
    table = table.assign(rating=table["rating"].str.replace("_", " "))
    commonest = table.loc[table.groupby("rating", sort=False)["share"].idxmax()]
    values = w.joined([f"{row.rating} {row.value} ({row.share:.0%})" for row in named_rows(commonest)])
    alt = f"Nine stacked bars, one a rating, of the share of readings by value. The commonest values: {values}."
    return Picture(figures.lidc_ratings, table, alt, (5.6, 4.2))


def lidc_outlines(evidence: Evidence) -> Picture:
    """One nodule's outlines, slice by slice."""
    table = evidence.statistics["example"]
    slices, readers = table["slice"].nunique(), table["reader"].nunique()
    alt = (
        f"{w.count(slices).capitalize()} neighbouring slices of one nodule of patient {table['patient_id'].iloc[0]}, "
        f"each with the closed outlines of {w.count(readers)} readers in different colours and dashes."
    )
    return Picture(figures.lidc_outlines, table, alt, (5.6, 4.0))


def lidc_agreement(evidence: Evidence) -> Picture:
    """Dice of two readers by size of the nodule."""
    kinds = {"on a slice both outlined": "slice dice", "over the whole nodule": "nodule dice"}
    parts = [evidence.statistics[name].assign(compared=compared) for compared, name in kinds.items()]
    table = pd.concat(parts, ignore_index=True)
    table = table[table["size"] != ALL_SIZES]
    said = [
        f"{compared} from {w.dice(rows['mean'].iloc[0])} ({rows['size'].iloc[0]}) to {w.dice(rows['mean'].iloc[-1])} "
        f"({rows['size'].iloc[-1]})"
        for compared, rows in table.groupby("compared", sort=False)
    ]
    alt = f"Points with intervals: mean Dice of two readers by diameter of the nodule, {w.joined(said)}."
    return Picture(figures.lidc_agreement, table, alt, (5.6, 3.7))


def lidc_leak(evidence: Evidence) -> Picture:
    """The copycat's Dice under both splits."""
    copycat, slice_dice = (evidence.statistics[name] for name in ("copycat", "slice dice"))
    means = {row.split: row.estimate for row in named_rows(copycat[copycat["measure"] == "dice"])}
    readers = float(slice_dice.loc[slice_dice["size"] == ALL_SIZES, "mean"].iloc[0])
    table = evidence.statistics["copycat dice"]
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


def policies(evidence: Evidence) -> Picture:
    """Reliability against price of every policy."""
    record, columns = evidence.published, ["dataset", "name", "policy", "share", "within"]
    names = dict(zip(record.policies["policy"], record.policies["name"], strict=True))
    tested = record.tuned[record.tuned["on"] != record.tuned["tuned_on"]]
    tested = tested.assign(dataset=tested["on"], name=tested["policy"].map(names), role="tested")
    table = pd.concat([record.policies[columns].assign(role="grid"), tested[[*columns, "role"]]], ignore_index=True)
    table = table.assign(dataset=table["dataset"].map(w.DATASETS))
    parts = []
    for name, label in figures.POLICY_LABELS.items():
        rows = table[(table["name"] == name) & (table["role"] == "grid")]
        parts.append(
            f"{label}: {_range(rows['share'])} of the energy, {_range(rows['within'])} of draws within half a point"
        )
    rings = [
        f"on {row.dataset} {row.share:.0%} of the energy and {row.within:.0%} of draws"
        for row in named_rows(table[table["role"] == "tested"])
    ]
    alt = (
        "Points, one a policy and data set: share of draws with a regret of at most half a point against energy of the "
        f"search as share of the full sweep's. {'; '.join(parts)}. Ringed, chosen on the other data set: "
        f"{w.joined(rings)}."
    )
    return Picture(figures.policies, table, alt, (5.6, 4.2))


def _range(values: "pd.Series[float]") -> str:
    low, high = float(values.min()), float(values.max())
    return f"{low:.0%}" if f"{low:.0%}" == f"{high:.0%}" else f"{low:.0%} to {high:.0%}"


def search_trail(evidence: Evidence) -> Picture:
    """What the recorded search did, step by step."""
    record, chosen = evidence.search, evidence.search.outcome["chosen"]
    full_kwh = float(record.sweep["energy_whole_run_kwh"].sum())
    table = record.trail[record.trail["state"] == "done"]
    table = table.assign(chosen=table["candidate"] == chosen, full_sweep_kwh=full_kwh, predicted=False)
    steps = [
        f"{row.candidate} to epoch {row.until}, Dice {row.val_dice:.3f} at {1000 * row.energy_so_far_kwh:.3g} Wh"
        for row in named_rows(table)
    ]
    alt = (
        f"Best validation Dice against energy so far, step by step: {'; '.join(steps)}. Chosen: {chosen}. A full sweep "
        f"took {1000 * full_kwh:.3g} Wh."
    )
    return Picture(figures.search_trail, table, alt)


def crops(archive: CropArchive) -> Picture:
    """Crops that most readers outlined, one a patient, from the smallest outlines to the largest."""
    readers = archive.index["readers_with_mask"]
    rows = np.flatnonzero(readers == readers.max())
    area = pd.Series(archive.reader_masks(rows).sum(axis=(1, 2, 3)), index=rows)
    largest = area.groupby(archive.index["patient_id"].to_numpy()[rows]).idxmax()
    ordered = area.loc[largest].sort_values(kind="stable").index.to_numpy()
    chosen = ordered[np.linspace(0, len(ordered) - 1, min(EXAMPLES, len(ordered))).round().astype(int)]
    kind = "phantom" if archive.is_phantom else "CT"
    titles = [f"{kind}, {patient[-4:]}" for patient in archive.index["patient_id"].to_numpy()[chosen]]
    table = pd.DataFrame(
        {"image": list(archive.inputs(chosen)), "masks": list(archive.reader_masks(chosen)), "title": titles}
    )
    alt = (
        f"{w.count(len(chosen)).capitalize()} grey {kind} crops, each with a nodule near its centre that "
        f"{w.count(int(readers.max()))} readers outlined in different colours; the outlines differ. The nodules grow "
        "from left to right."
    )
    return Picture(figures.crops, table, alt, size_in=(6.4, 1.85), shared=False)


PICTURES: dict[str, Callable[[Evidence], Picture]] = {
    picture.__name__.replace("_", "-"): picture
    for picture in (
        growth, unet, dice_carbon, learning, selection_price, dice_size, choice_probability, choice_by_grid, lidc_sizes,
        lidc_ratings, lidc_outlines, lidc_agreement, lidc_leak, policies, search_trail,
    )
}  # fmt: skip
"""By the name that a chapter shows them by."""
