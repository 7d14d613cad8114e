"""The same network under two recipes: is the Dice the same, and what does it cost?"""

from pathlib import Path
from typing import NamedTuple

import pandas as pd

from carbon_midl.errors import InputError
from carbon_midl.selection.patients import Interval, PatientBootstrap, patient_dice
from carbon_midl.study.results import read_results

RECORDED = ((Path("results/lidc"), Path("results/lidc-reference")), (Path("results/recipes"),))
"""Comparisons: the studies that each is made from."""
RECIPES = ("reference", "efficient")


class RecipePair(NamedTuple):
    """One width under both recipes.

    Dice are means over patients and seeds with 95 % intervals by bootstrap over both. The difference, ``efficient``
    minus ``reference``, is paired over patients. Shares are ``efficient`` divided by ``reference`` of the same seed:
    mean, smallest and largest.
    """

    filters: int
    seeds: int
    patients: int
    reference: Interval
    efficient: Interval
    difference: Interval
    reference_kwh: float
    efficient_kwh: float
    energy_share: tuple[float, float, float]
    duration_share: tuple[float, float, float]
    method: str


def read_recipes(*directories: Path) -> list[RecipePair]:
    """Compare the recipes, width by width and on the seeds that both have.

    Args:
        directories: of the results of one study with both recipes, or of two with one each.

    Raises:
        InputError: results cannot be read, or no width was trained under both recipes.
    """
    of_study = []
    for directory in directories:
        results = read_results(directory)
        # Two studies may call their runs alike.
        tables = (results.runs, results.slices_of("test"))
        of_study.append([table.assign(run=f"{directory.name}/" + table["run"]) for table in tables])
    runs, slices = (pd.concat(tables, ignore_index=True) for tables in zip(*of_study, strict=True))
    both = runs.groupby(["filters", "seed"])["recipe"].transform("nunique") == len(RECIPES)
    if not both.any():
        raise InputError(
            f"{', '.join(map(str, directories))}: no width was trained under both recipes with one seed; "
            f"there is {', '.join(sorted(runs['recipe'].unique()))} only."
        )
    return compare_recipes(runs[both], slices[slices["run"].isin(runs[both]["run"])])


def compare_recipes(runs: pd.DataFrame, slices: pd.DataFrame) -> list[RecipePair]:
    """Compare the recipes width by width.

    Args:
        runs: a row a run.
        slices: a row a run and test slice.

    Raises:
        InputError: a recipe has no runs at some width.
    """
    scored = slices.drop(columns=["filters", "seed"]).merge(runs[["run", "filters", "seed", "recipe"]], on="run")
    pairs = []
    for filters, of_width in runs.groupby("filters"):
        if missing := [name for name in RECIPES if name not in set(of_width["recipe"])]:
            raise InputError(f"runs of F = {filters}: none of recipe {missing[0]}; both are needed to compare them.")
        chosen = scored[scored["filters"] == filters]
        # The bootstrap compares widths; here what is compared is the recipe, at one width.
        bootstrap = PatientBootstrap.draw(patient_dice(chosen.assign(filters=chosen["recipe"].map(RECIPES.index))))
        by_seed = of_width.pivot(index="seed", columns="recipe", values=["energy_kwh", "duration_s"]).dropna()
        energy, duration = by_seed["energy_kwh"], by_seed["duration_s"]
        pairs.append(
            RecipePair(
                filters=int(str(filters)),
                seeds=len(by_seed),
                patients=bootstrap.patients,
                reference=bootstrap.dice(0),
                efficient=bootstrap.dice(1),
                difference=bootstrap.difference(0, 1),
                reference_kwh=float(energy["reference"].mean()),
                efficient_kwh=float(energy["efficient"].mean()),
                energy_share=_spread(energy["efficient"] / energy["reference"]),
                duration_share=_spread(duration["efficient"] / duration["reference"]),
                method="; ".join(sorted(of_width["energy_method"].unique())),
            )
        )
    return pairs


def _spread(values: "pd.Series[float]") -> tuple[float, float, float]:
    return float(values.mean()), float(values.min()), float(values.max())
