"""A study that compares widths: by width, by nodule size, along each training, and what another point of Dice costs."""

import math
from collections.abc import Mapping
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pandas as pd

from carbon_midl.errors import InputError
from carbon_midl.measures import PatientBootstrap, patient_dice
from carbon_midl.selection.frontier import POINT
from carbon_midl.study.results import Results, read_results


def read_widths(directory: Path) -> Results:
    """Read the results of a study, sorted by width and seed; an `InputError` where its runs differ in more."""
    results = read_results(directory)
    recipes = sorted(results.runs["recipe"].unique())
    if len(recipes) > 1 or results.runs.duplicated(["filters", "seed"]).any():
        raise InputError(
            f"{results.where}: several runs of one width and seed, or several recipes ({', '.join(recipes)}). To "
            "compare widths, a study may have no other axes than filters and seed."
        )
    return replace(results, runs=results.runs.sort_values(["filters", "seed"], ignore_index=True))


def by_width(results: Results, bootstrap: PatientBootstrap) -> pd.DataFrame:
    """One row a width: means over seeds, Dice with its interval over patients and its range over seeds.

    ``dice`` is the mean over patients of each patient's mean; energies are in kWh before PUE, carbon in gCO2eq.
    """
    grouped = results.runs.groupby("filters")
    mean = [
        "parameters", "macs", "epochs_trained", "best_epoch", "duration_s", "energy_kwh", "carbon_g",
        "carbon_to_best_g", "carbon_whole_run_g", "carbontracker_energy_before_pue_kwh",
    ]  # fmt: skip
    table = grouped[mean].mean()
    table.insert(0, "runs", grouped.size())
    table[["carbon_min_g", "carbon_max_g"]] = grouped["carbon_g"].agg(["min", "max"])
    table[["seed_dice_min", "seed_dice_max"]] = grouped["test_dice_patients"].agg(["min", "max"])
    intervals = pd.DataFrame(
        {width: bootstrap.dice(width) for width in bootstrap.widths}, index=["dice", "dice_low", "dice_high"]
    ).T
    table = table.join(intervals, how="left").reset_index()
    if missing := table.loc[table["dice"].isna(), "filters"].tolist():
        raise InputError(f"slices: no Dice for width {missing}. Collect the study again.")
    return table


def by_size(results: Results, bins: int = 3) -> pd.DataFrame:
    """Dice by area of the target, in equally filled bins of test slices, with intervals over the bin's patients.

    Returns:
        Rows (bin, width) with ``size`` (a label in pixels), ``slices``, ``patients``, ``filters``, ``dice``,
        ``dice_low``, ``dice_high``, ``readers_dice``, the mean Dice of pairs of readers who outlined the same slice,
        and ``gain``, ``gain_low``, ``gain_high``, the difference from the narrowest width on the same patients.
    """
    slices = results.slices_of("test")
    edges = slices["target_px"].quantile([i / bins for i in range(bins + 1)]).round().drop_duplicates().tolist()
    if len(edges) < 2:
        edges = [edges[0] - 1, edges[0]]
    edges[0] -= 1
    labels = [f"{low + 1:,.0f} to {high:,.0f} px" for low, high in pairwise(edges)]
    rows = []
    for label, binned in slices.groupby(pd.cut(slices["target_px"], edges, labels=labels), observed=True):
        bootstrap = PatientBootstrap.draw(patient_dice(binned))
        # Over slices, then over patients, as for the networks.
        readers = binned.groupby("patient_id")["readers_dice"].mean().mean()
        count = len(binned[["patient_id", "nodule", "slice"]].drop_duplicates())
        for width in bootstrap.widths:
            gain = bootstrap.difference(bootstrap.widths[0], width)
            rows.append((label, count, bootstrap.patients, width, *bootstrap.dice(width), readers, *gain))
    return pd.DataFrame(rows, columns=[
        "size", "slices", "patients", "filters", "dice", "dice_low", "dice_high", "readers_dice",
        "gain", "gain_low", "gain_high",
    ])  # fmt: skip


def step_cost(carbon_g: Mapping[int, float], bootstrap: PatientBootstrap, first: int, second: int) -> dict[str, float]:
    """Price of a point of Dice (0.01) in the step from width ``first`` to ``second``.

    A price exists only where the step costs carbon and gains Dice. Its interval comes from the interval of the gain
    (carbon is taken as known); where that reaches down to zero the price has no upper limit, written as infinity.

    Args:
        carbon_g: gCO2eq of training by width.
        bootstrap: Dice of the same widths.
        first: a width.
        second: another, usually wider.

    Returns:
        ``first``, ``second``, extra ``carbon_g``, gain in Dice ``points`` (0.01) with ``points_low`` and
        ``points_high``, and ``g_per_point`` with ``g_per_point_low`` and ``g_per_point_high`` (NaN: no price).
    """
    extra_g = carbon_g[second] - carbon_g[first]
    points, low, high = (value / POINT for value in bootstrap.difference(first, second))

    def price(gain: float, without_gain: float) -> float:
        if extra_g <= 0 or high <= 0:
            return math.nan
        return extra_g / gain if gain > 0 else without_gain

    return {
        "first": first,
        "second": second,
        "carbon_g": extra_g,
        "points": points,
        "points_low": low,
        "points_high": high,
        "g_per_point": price(points, math.nan),
        "g_per_point_low": price(high, math.nan),
        "g_per_point_high": price(low, math.inf),
    }


def marginal_costs(carbon_g: Mapping[int, float], bootstrap: PatientBootstrap) -> pd.DataFrame:
    """`step_cost` between neighbouring widths, at least two, then from the cheapest width to the dearest."""
    widths = bootstrap.widths
    if len(widths) < 2:
        raise InputError(f"widths {widths}: a marginal cost needs at least two widths. Add one to the study.")
    steps = [*pairwise(widths), cheapest_and_dearest(carbon_g)]
    return pd.DataFrame([step_cost(carbon_g, bootstrap, *step) for step in steps])


def cheapest_and_dearest(carbon_g: Mapping[int, float]) -> tuple[int, int]:
    """The widths with the least and the most carbon; the narrower one when equal."""
    ordered = sorted(carbon_g, key=lambda width: (carbon_g[width], width))
    return ordered[0], ordered[-1]
