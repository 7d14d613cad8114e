"""The same network under two recipes: is the Dice the same, and what does it cost?"""

from pathlib import Path
from typing import NamedTuple

import pandas as pd

from carbon_midl.errors import InputError
from carbon_midl.measures import Interval, PatientBootstrap, patient_dice

RECORDED = ((Path("results/lidc"), Path("results/lidc-reference")), (Path("results/recipes"),))
"""Comparisons: the studies that each is made from."""
RECIPES = ("reference", "efficient")
_RUN_COLUMNS = ("run", "filters", "seed", "recipe", "energy_kwh", "carbon_g", "duration_s", "energy_method")


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
        directories: of one study with both recipes, or of two with one each; each holds ``runs.csv`` and
            ``slices.csv.gz``.

    Raises:
        InputError: a table is missing or lacks a column, or no width was trained under both recipes.
    """
    read = [_read(Path(directory)) for directory in directories]
    runs, slices = (pd.concat(tables, ignore_index=True) for tables in zip(*read, strict=True))
    both = runs.groupby(["filters", "seed"])["recipe"].transform("nunique") == len(RECIPES)
    if not both.any():
        raise InputError(
            f"{', '.join(map(str, directories))}: no width was trained under both recipes with one seed; "
            f"there is {', '.join(sorted(runs['recipe'].unique()))} only."
        )
    return compare_recipes(runs[both], slices[slices["run"].isin(runs[both]["run"])])


def _read(directory: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    try:
        runs, slices = pd.read_csv(directory / "runs.csv"), pd.read_csv(directory / "slices.csv.gz")
    except (OSError, pd.errors.ParserError, pd.errors.EmptyDataError) as error:
        raise InputError(
            f"{directory}: no readable record ({error}). Make it: carbon-midl study run studies/recipes.toml"
        ) from None
    if missing := [name for name in _RUN_COLUMNS if name not in runs.columns]:
        raise InputError(f"{directory / 'runs.csv'}: no column {', '.join(missing)}. Collect the study again.")
    # Two studies may call their runs alike.
    return tuple(table.assign(run=directory.name + "/" + table["run"]) for table in (runs, slices))  # type: ignore[return-value]


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
