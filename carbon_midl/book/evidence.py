"""Everything that the book's numbers, tables and figures are made from, read and computed once."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from carbon_midl.errors import InputError
from carbon_midl.files import read_json
from carbon_midl.footprint.sensors import how_known
from carbon_midl.lidc.crops import CropArchive
from carbon_midl.lidc.statistics import COLLECTION, Statistics, read_statistics
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
from carbon_midl.study.results import Results, read_csv, read_results
from carbon_midl.training.network import unet_size
from carbon_midl.units import joined

FACTS = Path("book/data")
BY_SLICE, BY_PATIENT = "by slice", "by patient"
TUNING, TRIALS = Path("results/lidc-tuning"), Path("results/lidc-trials")
PUBLISHED, SEARCHED = Path("results/published-curves"), Path("results/search")
SWEEP = "sweep.csv"
PAPER_WIDTHS = (4, 8, 16, 24, 32, 48, 64)
"""The widths of the MIDL 2021 poster."""
GRIDS = ("NO", "FR", "DK", "GB", "DE", "US", "world", "PL")
"""National averages on which the study is costed again, from clean to not."""
CHOICE_DRAWS = 4000
SYSTEMS = {"training-compute.csv": ("system", "published", "training_compute_flop")}
VARIED = ("learning_rate", "augment")
"""What the trials differ in."""


class PublishedCurves(NamedTuple):
    """What ``studies/published_curves.py`` recorded: its tables, and how they were made."""

    policies: pd.DataFrame
    tuned: pd.DataFrame
    choices: pd.DataFrame
    convergence: pd.DataFrame
    manifest: dict[str, Any]


class RecordedSearch(NamedTuple):
    """A live search: its trail, the full sweep of the same seed on the same machine, and its outcome."""

    trail: pd.DataFrame
    sweep: pd.DataFrame
    outcome: dict[str, Any]


def read_tables(directory: Path, columns: Mapping[str, Sequence[str]], way_out: str) -> dict[str, pd.DataFrame]:
    """Read tables of a directory, by the names of their files without what comes behind the point.

    Args:
        directory: with the tables as CSV.
        columns: that each table must have, by its file's name.
        way_out: what to do where one is missing or not whole, as a sentence.

    Raises:
        InputError: a file is missing, is not CSV, or lacks a column.
    """
    tables = {}
    for name, expected in columns.items():
        try:
            table = read_csv(directory / name)
        except InputError as error:
            raise InputError(f"{error} {way_out}") from None
        if missing := [column for column in expected if column not in table.columns]:
            raise InputError(f"{directory / name}: no column {', '.join(missing)}. {way_out}")
        tables[name.partition(".")[0]] = table
    return tables


def read_published(directory: Path) -> PublishedCurves:
    """Read the record of the published curves; a missing file is an `InputError`."""
    names = [f"{name}.csv" for name in ("policies", "tuned", "choices", "convergence")]
    way_out = "Record it with: python -m studies.published_curves TABLE"
    tables = read_tables(directory, dict.fromkeys(names, ()), way_out)
    return PublishedCurves(**tables, manifest=read_json(directory / "manifest.json"))


def read_search(directory: Path) -> RecordedSearch:
    """Read the record of the live search; a missing file is an `InputError`."""
    way_out = "Record it with: python -m benchmarks.search RESULTS SEARCH"
    tables = read_tables(directory, dict.fromkeys(["trail.csv", SWEEP], ()), way_out)
    return RecordedSearch(**tables, outcome=read_json(directory / "search.json"))


def machine(hardware: dict[str, Any]) -> str:
    """A machine in a word or two for a narrow column: its GPUs, or that it had none."""
    names = {str(name).removeprefix("NVIDIA ").split()[0] for name in hardware.get("gpu") or []}
    return joined(sorted(names)) if names else "CPU"


@dataclass(frozen=True)
class Evidence:
    """A recorded study, the facts cited beside it, and the repository with all else that was recorded."""

    results: Results
    systems: pd.DataFrame
    root: Path

    @classmethod
    def read(cls, results_dir: Path, root: Path) -> "Evidence":
        """Read the results, and the table of training compute of the repository ``root``.

        Raises:
            InputError: a file is missing or lacks a column.
        """
        facts = read_tables(root / FACTS, SYSTEMS, "It comes with the repository; restore it.")
        return cls(read_widths(results_dir), facts["training-compute"], root)

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

    @cached_property
    def is_phantom(self) -> bool:
        """Whether the networks were trained on phantoms."""
        return bool(self.results.manifest["crops"]["kind"] == "phantom")

    @cached_property
    def statistics(self) -> Statistics:
        """The collection's tables, from the annotations alone."""
        return read_statistics(self.root / COLLECTION)

    @cached_property
    def archive(self) -> CropArchive | None:
        """The study's own crops, where they are at hand below ``data``."""
        for meta in sorted((self.root / "data").glob("**/meta.json")):
            try:
                archive = CropArchive.open(meta.parent)
            except InputError:
                continue
            if archive.fingerprint == self.results.manifest["crops"]["fingerprint"]:
                return archive
        return None

    @cached_property
    def published(self) -> PublishedCurves:
        """The record of the published curves."""
        return read_published(self.root / PUBLISHED)

    @cached_property
    def search(self) -> RecordedSearch:
        """The record of the live search."""
        return read_search(self.root / SEARCHED)

    @cached_property
    def trials(self) -> pd.DataFrame:
        """Runs that tried options on the study's crops, with machine and how the energy is known; may be none."""
        tables = []
        for directory in (TUNING, TRIALS):
            if not (self.root / directory).is_dir():
                continue
            results = read_results(self.root / directory)
            runs, manifest = results.runs, results.manifest
            if manifest["crops"]["fingerprint"] == self.results.manifest["crops"]["fingerprint"]:
                given = {name: manifest["options"][name] for name in VARIED if name not in runs}
                known = runs["energy_method"].map(how_known)
                tables.append(runs.assign(**given, machine=machine(manifest["hardware"]), known=known))
        return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame()
