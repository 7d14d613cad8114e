"""Everything the book's numbers, tables and figures are made from, computed once."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pandas as pd

from carbon_midl.errors import InputError
from carbon_midl.measures import PatientBootstrap
from carbon_midl.selection.by_width import (
    by_size,
    by_width,
    cheapest_and_dearest,
    draw_bootstrap,
    learning,
    marginal_costs,
    read_widths,
)
from carbon_midl.selection.candidates import TEST_DICE, Candidates, Columns, Factors, read_candidates
from carbon_midl.selection.choice import across_factors, side_by_side
from carbon_midl.selection.criteria import all_criteria
from carbon_midl.selection.replay import replay_study
from carbon_midl.study.results import Results, read_csv
from carbon_midl.training.network import unet_size

PAPER_WIDTHS = (4, 8, 16, 24, 32, 48, 64)
"""The widths of the MIDL 2021 poster."""
GRIDS = ("NO", "FR", "DK", "GB", "DE", "US", "world", "PL")
"""National averages on which the study is costed again, from clean to not."""
CHOICE_DRAWS = 4000
SYSTEM_COLUMNS = ("system", "published", "training_compute_flop")


@dataclass(frozen=True)
class Evidence:
    """A recorded study and the facts cited beside it."""

    results: Results
    systems: pd.DataFrame

    @classmethod
    def read(cls, results_dir: Path, facts: Path) -> "Evidence":
        """Read the results and the table of training compute.

        Raises:
            InputError: a file is missing or lacks a column.
        """
        systems = read_csv(facts)
        missing = [name for name in SYSTEM_COLUMNS if name not in systems.columns]
        if missing:
            raise InputError(f"{facts}: no column {', '.join(missing)}. It comes with the repository; restore it.")
        return cls(read_widths(results_dir), systems)

    @cached_property
    def bootstrap(self) -> PatientBootstrap:
        """Bootstrap over the test patients."""
        return draw_bootstrap(self.results)

    @cached_property
    def widths(self) -> pd.DataFrame:
        """One row a width."""
        return by_width(self.results, self.bootstrap)

    @cached_property
    def carbon_g(self) -> dict[int, float]:
        """Mean gCO2eq of a training by width."""
        return dict(zip(self.widths["filters"].tolist(), self.widths["carbon_g"].tolist(), strict=True))

    @cached_property
    def extremes(self) -> tuple[int, int]:
        """The cheapest and the dearest width."""
        return cheapest_and_dearest(self.carbon_g)

    @cached_property
    def steps(self) -> pd.DataFrame:
        """Marginal cost between neighbouring widths, then from cheapest to dearest."""
        return marginal_costs(self.carbon_g, self.bootstrap)

    @cached_property
    def sizes(self) -> pd.DataFrame:
        """Dice by area of the nodule and width."""
        return by_size(self.results)

    @cached_property
    def learning(self) -> pd.DataFrame:
        """Best validation Dice so far against carbon so far."""
        return learning(self.results)

    @cached_property
    def price(self) -> pd.DataFrame:
        """Carbon of all runs of a width, training and evaluation, and its share of the whole selection."""
        carbon_g = self.results.runs.groupby("filters")["carbon_whole_run_g"].sum()
        return pd.DataFrame({"carbon_g": carbon_g, "share": carbon_g / carbon_g.sum()}).reset_index()

    @cached_property
    def candidates(self) -> Candidates:
        """The widths as candidates, with Dice by test patient and training, carbon of training."""
        first = self.results.runs.iloc[0]
        factors = Factors.of(float(first["intensity_g_per_kwh"]), float(first["pue"]))
        return read_candidates(self.results, Columns(performance=TEST_DICE), factors)

    @cached_property
    def choices(self) -> tuple[pd.DataFrame, pd.DataFrame]:
        """What every criterion chooses, and how probably each width."""
        return side_by_side(self.candidates, all_criteria(self.candidates), CHOICE_DRAWS)

    @cached_property
    def choices_on_grids(self) -> pd.DataFrame:
        """What every criterion chooses on other grids."""
        factors = {place: Factors.of(place, float(self.results.runs["pue"].iloc[0])) for place in GRIDS}
        tables = [
            across_factors(self.candidates, criterion, factors).assign(name=criterion.name)
            for criterion in all_criteria(self.candidates)
        ]
        table = pd.concat(tables, ignore_index=True).rename(columns={"label": "grid"})
        return table[["name", "grid", "g_per_kwh", "chosen"]]

    @cached_property
    def replays(self) -> pd.DataFrame:
        """Every policy on the study's learning curves, a row a policy, over its seeds."""
        return replay_study(self.results)

    @cached_property
    def family(self) -> pd.DataFrame:
        """Parameters and multiply-accumulates of the poster's and the study's widths, at the study's crop size."""
        size, depth = int(self.results.manifest["crops"]["size"]), self.depth
        widths = sorted({*PAPER_WIDTHS, *map(int, self.results.manifest["widths"])})
        rows = [(width, *unet_size(width, depth=depth, size=size)) for width in widths]
        return pd.DataFrame(rows, columns=["filters", "parameters", "macs"])

    @cached_property
    def depth(self) -> int:
        """Levels of the U-Net."""
        return int(self.results.manifest["options"].get("depth", 4))
