"""The chapter on recipes: same Dice, less energy, from the recorded studies of both."""

from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from carbon_midl.book import wording as w
from carbon_midl.book.list_table import list_table
from carbon_midl.errors import InputError
from carbon_midl.files import read_json
from carbon_midl.measures import Interval, PatientBootstrap, patient_dice
from carbon_midl.study.results import read_results

RECORDED = ((Path("results/lidc"), Path("results/lidc-reference")), (Path("results/recipes"),))
"""Comparisons: the studies that each is made from."""
RECIPES = ("reference", "efficient")
NOT_RECORDED = (
    "The comparison has not been recorded in this copy of the book. `carbon-midl study run studies/recipes.toml` makes "
    "it, in `runs/recipes/results`.\n"
)
_HEADER = ("F", "Reference", "Efficient", "Difference (95 %)", "Energy, Wh", "Share, %")


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


def recipes_text(root: Path) -> str:
    """Sentences and a table of each recorded comparison, as Markdown, or that there is none.

    Args:
        root: the repository.
    """
    found = [directories for directories in RECORDED if all((root / part).is_dir() for part in directories)]
    if not found:
        return NOT_RECORDED
    return "\n".join(_comparison([root / part for part in directories]) for directories in found)


def _comparison(directories: list[Path]) -> str:
    pairs = read_recipes(*directories)
    manifest = read_json(directories[0] / "manifest.json")
    kind, hardware = manifest["crops"]["kind"], manifest["hardware"]
    table = list_table(f"table-recipes-{kind}", _caption(pairs, kind), _HEADER, (_cells(pair) for pair in pairs))
    said = "\n\n".join([*(_sentence(pair) for pair in pairs), _origin(pairs, hardware)])
    return f"**On {_crops(kind)}, {'on a GPU' if hardware['gpu'] else 'without a GPU'}.** {said}\n\n{table}"


def _caption(pairs: list[RecipePair], kind: str) -> str:
    seeds = [pair.seeds for pair in pairs]
    many = "" if max(seeds) == 1 else "s"
    n = f"{w.plural(pairs[0].patients, 'test patient')}, {w.span(min(seeds), max(seeds))} seed{many} each"
    return (
        f"Both recipes on {_crops(kind)} ({n}): test Dice of each; difference, efficient minus reference, paired over "
        "patients, in points; energy of a training before PUE, reference → efficient; share of the reference's energy"
        f"{', range over seeds' if max(seeds) > 1 else ''}."
    )


def _crops(kind: str) -> str:
    return "phantom crops" if kind == "phantom" else "crops of LIDC-IDRI"


def _cells(pair: RecipePair) -> tuple[str, ...]:
    _, least, most = pair.energy_share
    return (
        str(pair.filters),
        w.dice(pair.reference.estimate),
        w.dice(pair.efficient.estimate),
        w.points_interval(pair.difference).replace(" points", ""),
        f"{w.significant(1000 * pair.reference_kwh)} → {w.significant(1000 * pair.efficient_kwh)}",
        " – ".join(dict.fromkeys(w.percent(part).removesuffix(" %") for part in (least, most))),
    )


def _sentence(pair: RecipePair) -> str:
    share = w.percent(pair.energy_share[0])
    said = (
        f"At F = {pair.filters} the efficient recipe took {share} of the reference's energy and "
        f"{w.percent(pair.duration_share[0])} of its time. "
    )
    points = w.points_interval(pair.difference)
    if pair.difference.excludes_zero:
        better = "higher" if pair.difference.estimate > 0 else "lower"
        return w.unbroken(f"{said}Its Dice was {better}: {points}. The two are not the same, then.")
    return w.unbroken(f"{said}No difference in Dice was shown: {points}.")


def _origin(pairs: list[RecipePair], hardware: dict[str, Any]) -> str:
    kind = {"measured": "measured", "estimated": "*estimates*", "partly estimated": "partly *estimates*"}
    estimated = f"The energies are {kind[w.how_known(pairs[0].method)]}"
    alone = any(pair.seeds == 1 for pair in pairs)
    once = " One seed tells nothing about what another would change." if alone else ""
    machine = w.joined([hardware["cpu"], *hardware["gpu"]])
    without = "" if hardware["gpu"] else ", without a GPU; on another machine the shares differ"
    return f"{estimated} ({pairs[0].method}), on {machine}{without}.{once}"
