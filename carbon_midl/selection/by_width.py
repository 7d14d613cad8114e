"""A study that compares widths: one row a width, one row a nodule size, and how each training came to its Dice."""

from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pandas as pd

from carbon_midl.errors import InputError
from carbon_midl.measures import PatientBootstrap, patient_dice
from carbon_midl.study.results import Results, read_results


def read_widths(directory: Path) -> Results:
    """Read the results of a study whose runs differ in nothing but width and seed, and sort them by these.

    Raises:
        InputError: there are none, or the runs differ in more.
    """
    results = read_results(directory)
    recipes = sorted(results.runs["recipe"].unique())
    if len(recipes) > 1:
        raise InputError(
            f"{results.where}: recipes {', '.join(recipes)}; expected one. Compare widths within a recipe."
        )
    if results.runs.duplicated(["filters", "seed"]).any():
        raise InputError(
            f"{results.where}: several runs of one width and seed; to compare widths, a study may have no other axes "
            "than filters and seed."
        )
    return replace(results, runs=results.runs.sort_values(["filters", "seed"], ignore_index=True))


def draw_bootstrap(results: Results) -> PatientBootstrap:
    """The bootstrap over test patients that every interval of the study comes from."""
    return PatientBootstrap.draw(patient_dice(results.slices_of("test")))


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
    table["carbon_min_g"] = grouped["carbon_g"].min()
    table["carbon_max_g"] = grouped["carbon_g"].max()
    table["seed_dice_min"] = grouped["test_dice_patients"].min()
    table["seed_dice_max"] = grouped["test_dice_patients"].max()
    intervals = pd.DataFrame(
        {width: bootstrap.dice(width) for width in bootstrap.widths}, index=["dice", "dice_low", "dice_high"]
    ).T
    table = table.join(intervals, how="left").reset_index()
    if table["dice"].isna().any():
        raise InputError(
            f"slices: no Dice for width {table.loc[table['dice'].isna(), 'filters'].tolist()}. Collect the study again."
        )
    return table


def carbon_by_width(table: pd.DataFrame) -> dict[int, float]:
    """Grams of CO2eq of a training by width, from :func:`by_width`."""
    return {int(width): float(carbon) for width, carbon in zip(table["filters"], table["carbon_g"], strict=True)}


def by_size(results: Results, bins: int = 3) -> pd.DataFrame:
    """Dice by area of the target, in equally filled bins of test slices, with intervals over the bin's patients.

    Returns:
        Rows (bin, width) with ``size`` (a label in pixels), ``slices``, ``patients``, ``filters``, ``dice``,
        ``dice_low``, ``dice_high`` and ``readers_dice``, the mean Dice of pairs of readers who outlined the same slice.
    """
    slices = results.slices_of("test")
    edges = slices["target_px"].quantile([i / bins for i in range(bins + 1)]).round().drop_duplicates().tolist()
    if len(edges) < 2:
        edges = [edges[0] - 1, edges[0]]
    edges[0] -= 1
    labels = [f"{low + 1:.0f} to {high:.0f} px" for low, high in pairwise(edges)]
    size = pd.cut(slices["target_px"], edges, labels=labels)
    rows = []
    for label in labels:
        chosen = slices[size == label]
        if chosen.empty:
            continue
        bootstrap = PatientBootstrap.draw(patient_dice(chosen))
        # Over slices, then over patients, as for the networks.
        readers = chosen.groupby("patient_id")["readers_dice"].mean().mean()
        count = len(chosen[["patient_id", "nodule", "slice"]].drop_duplicates())
        for width in bootstrap.widths:
            dice = bootstrap.dice(width)
            rows.append((label, count, bootstrap.patients, width, *dice, readers))
    return pd.DataFrame(
        rows, columns=["size", "slices", "patients", "filters", "dice", "dice_low", "dice_high", "readers_dice"]
    )


def learning(results: Results) -> pd.DataFrame:
    """Best validation Dice so far against training carbon spent so far: one row a run and epoch."""
    factors = results.runs.set_index("run")[["pue", "intensity_g_per_kwh"]].prod(axis=1)
    table = results.epochs.sort_values(["filters", "seed", "epoch"], ignore_index=True)
    energy_kwh = table.groupby("run")["energy_kwh"].cumsum()
    best = table.groupby("run")["val_dice"].cummax()
    return table[["run", "filters", "seed", "epoch"]].assign(
        carbon_g=energy_kwh * table["run"].map(factors), best_val_dice=best
    )
