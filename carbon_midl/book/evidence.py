"""Everything that the book's claims, numbers, tables and figures are made from, read and computed once."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from carbon_midl.errors import InputError
from carbon_midl.files import read_json
from carbon_midl.footprint.sensors import how_known
from carbon_midl.lidc.statistics import COLLECTION, Statistics, read_statistics
from carbon_midl.measures import Estimate, Interval, PatientBootstrap, mean_over_patients, patient_dice
from carbon_midl.selection.by_width import (
    by_size,
    by_width,
    cheapest_and_dearest,
    marginal_costs,
    read_widths,
)
from carbon_midl.selection.candidates import TEST_DICE, Candidates, Columns, Factors, read_candidates
from carbon_midl.selection.choice import choice_of, side_by_side
from carbon_midl.selection.criteria import all_criteria
from carbon_midl.selection.replay import Curves, curves_of_study, replay_all
from carbon_midl.study.results import FORMAT, MANIFEST, Results, named_rows, read_csv, read_results
from carbon_midl.units import joined

RECORDED = Path("results/lidc")
"""The study that the chapters speak of."""
PUBLISHED, SEARCHED, LEAK, TRANSFER, YARDSTICKS = (
    Path("results") / name
    for name in ("published-curves", "search", "lidc-leak", "phantom-transfer", "lidc-yardsticks")
)
TRAINING_COMPUTE = Path("book/data/training-compute.csv")
COLLECTION_PAGE = COLLECTION / "page"
"""What ``studies/collection_page.py`` printed of it."""
TUNING, TRIALS = Path("results/lidc-tuning"), Path("results/lidc-trials")
COMPARED = {"lidc": (RECORDED, Path("results/lidc-reference")), "phantom": (Path("results/recipes"),)}
"""Comparisons of the recipes, by crops: the studies that each is made from."""
BY_SLICE, BY_PATIENT = "by slice", "by patient"
SWEEP = "sweep.csv"
GRIDS = ("NO", "FR", "DK", "GB", "DE", "US", "world", "PL")
"""National averages on which the study is costed again, from clean to not."""
CHOICE_DRAWS = 4000
VARIED = ("learning_rate", "augment")
"""What the trials differ in."""
RECIPES = ("reference", "efficient")
SLICE = ["patient_id", "nodule", "slice"]


@dataclass(frozen=True)
class WidthStudy:
    """A recorded study of widths and seeds, with what follows from its tables."""

    results: Results

    @cached_property
    def bootstrap(self) -> PatientBootstrap:
        """Bootstrap over the test patients and the trainings."""
        return PatientBootstrap.draw(patient_dice(self.results.slices_of("test")))

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
    def best(self) -> int:
        """The width with the highest mean Dice."""
        return max(self.bootstrap.widths, key=lambda width: self.bootstrap.dice(width).estimate)

    @cached_property
    def steps(self) -> pd.DataFrame:
        """Marginal cost between neighbouring widths, then from cheapest to dearest."""
        return marginal_costs(self.carbon_g, self.bootstrap)

    @cached_property
    def last_epochs(self) -> pd.DataFrame:
        """Training and validation loss of each run's last epoch: run, filters, seed, train_loss, val_loss."""
        table = self.results.epochs.sort_values("epoch").groupby("run", sort=False).tail(1)
        return table[["run", "filters", "seed", "train_loss", "val_loss"]]

    @cached_property
    def sizes(self) -> pd.DataFrame:
        """Dice by area of the nodule and width."""
        return by_size(self.results)

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
        """What every criterion chooses on other grids: a row a criterion and grid."""
        rows = []
        for grid in GRIDS:
            factors = Factors.of(grid, float(self.results.runs["pue"].iloc[0]))
            there = self.candidates.recosted(factors)
            for criterion in all_criteria(self.candidates):  # a budget and a price stay as many grams
                rows.append((criterion.name, grid, factors.intensity.g_per_kwh, choice_of(there, criterion)))
        return pd.DataFrame(rows, columns=["name", "grid", "g_per_kwh", "chosen"])

    @cached_property
    def replays(self) -> pd.DataFrame:
        """Every policy on the study's learning curves, a row a policy, over its seeds; regret in validation Dice."""
        return replay_all(Curves(curves.trials) for curves in curves_of_study(self.results).values())

    @cached_property
    def depth(self) -> int:
        """Levels of the U-Net."""
        return int(self.results.manifest["options"].get("depth", 4))


@dataclass(frozen=True)
class Evidence(WidthStudy):
    """The study that the chapters speak of, and all else that was recorded."""

    root: Path

    @classmethod
    def read(cls, root: Path) -> "Evidence":
        """Read the recorded study of the repository ``root``, and all else once it is asked for.

        Raises:
            InputError: a file is missing or damaged.
        """
        return cls(read_widths(root / RECORDED), root)

    @cached_property
    def systems(self) -> pd.DataFrame:
        """Training compute of well-known systems."""
        return read_csv(self.root / TRAINING_COMPUTE)

    @cached_property
    def statistics(self) -> Statistics:
        """The collection's tables, from the annotations alone."""
        return read_statistics(self.root / COLLECTION)

    @cached_property
    def published(self) -> "PublishedCurves":
        """The record of the published curves."""
        return read_published(self.root / PUBLISHED)

    @cached_property
    def search(self) -> "RecordedSearch":
        """The record of the live search."""
        return read_search(self.root / SEARCHED)

    @cached_property
    def trials(self) -> pd.DataFrame:
        """Runs that tried options on the study's crops, with their machine and how the energy is known."""
        tables = []
        for directory in (TUNING, TRIALS):
            results = read_results(self.root / directory)
            given = {name: results.manifest["options"][name] for name in VARIED if name not in results.runs}
            known = results.runs["energy_method"].map(how_known)
            tables.append(results.runs.assign(**given, machine=machine(results.manifest["hardware"]), known=known))
        return pd.concat(tables, ignore_index=True)

    @cached_property
    def recipes(self) -> dict[str, list["RecipePair"]]:
        """Both recipes compared, width by width, by crops."""
        return {crops: read_recipes(*(self.root / part for part in parts)) for crops, parts in COMPARED.items()}

    @cached_property
    def yardsticks(self) -> pd.DataFrame:
        """Test slices with the Dice of a reader, of pairs of readers, of a threshold and of each width."""
        return read_yardsticks(self.root / YARDSTICKS, self.results)

    @cached_property
    def leak(self) -> tuple[Estimate, Estimate]:
        """Test Dice, over slices, of one and the same training on a split by slice and on one by patient."""
        leak, trials = read_results(self.root / LEAK), read_results(self.root / TRIALS)
        alike = leak.runs[["filters", "seed"]].assign(**{name: leak.manifest["options"][name] for name in VARIED})
        leaky, honest = leak.slices_of("test"), trials.slices_of("test")
        honest = honest[honest["run"] == trials.runs.merge(alike)["run"].item()]
        # The archive for the leak names its patients by slice; the patient is the first part.
        patients = leaky["patient_id"].str.rsplit("-", n=2).str[0]
        return mean_over_patients(leaky["dice"], patients), mean_over_patients(honest["dice"], honest["patient_id"])

    @cached_property
    def transfer(self) -> dict[tuple[str, str], Any]:
        """Phantom and real crops crosswise: a row of the record by what was trained on and what was tested on."""
        tables = _tables(self.root / TRANSFER, "python studies/transfer.py data/lidc", "summary.csv")
        return {(row.trained_on, row.tested_on): row for row in named_rows(tables["summary"])}

    @cached_property
    def whole_price(self) -> pd.DataFrame:
        """What each study took that was recorded on these crops, attempts without a result too, a row a study."""
        rows = []
        for path in sorted((self.root / "results").glob(f"*/{MANIFEST}")):
            manifest = read_json(path)
            if manifest.get("format") != FORMAT or _collection(manifest) != _collection(self.results.manifest):
                continue
            runs, abandoned = read_results(path.parent).runs, manifest["abandoned"]
            rows.append({
                "title": manifest["title"], "runs": len(runs), "attempts": abandoned["attempts"],
                "machine": joined(sorted({machine(one["hardware"]) for one in manifest["environments"]})),
                "known": how_known(*runs["energy_method"].unique()),
                "energy_kwh": float(runs["energy_whole_run_kwh"].sum()) + abandoned["energy_kwh"],
                "carbon_g": float(runs["carbon_whole_run_g"].sum()) + abandoned["carbon_g"],
            })  # fmt: skip
        return pd.DataFrame(rows)


def _collection(manifest: dict[str, Any]) -> tuple[Any, Any, Any]:
    """What names the crops: an archive for the leak holds them under other names, hence with another fingerprint."""
    crops = manifest.get("crops", {})
    return crops.get("kind"), crops.get("slices"), crops.get("source", {}).get("citation")


def machine(hardware: dict[str, Any]) -> str:
    """A machine in a word or two for a narrow column: its GPUs, or that it had none."""
    names = {str(name).removeprefix("NVIDIA ").split()[0] for name in hardware.get("gpu") or []}
    return joined(sorted(names)) if names else "CPU"


def _tables(directory: Path, command: str, *names: str) -> dict[str, pd.DataFrame]:
    """Read what a script recorded, by name; an `InputError` names a missing table and the command that records it."""
    try:
        return {name.partition(".")[0]: read_csv(directory / name) for name in names}
    except InputError as error:
        raise InputError(f"{error} Record it with: {command}") from None


class PublishedCurves(NamedTuple):
    """What ``studies/published_curves.py`` recorded: its tables, and how they were made."""

    policies: pd.DataFrame
    tuned: pd.DataFrame
    choices: pd.DataFrame
    convergence: pd.DataFrame
    manifest: dict[str, Any]


def read_published(directory: Path) -> PublishedCurves:
    """Read the record of the published curves; a missing file is an `InputError`."""
    names = ("policies.csv", "tuned.csv", "choices.csv", "convergence.csv")
    tables = _tables(directory, "python -m studies.published_curves TABLE", *names)
    return PublishedCurves(**tables, manifest=read_json(directory / MANIFEST))


class RecordedSearch(NamedTuple):
    """A live search: its trail, the full sweep of the same seed on the same machine, and its outcome."""

    trail: pd.DataFrame
    sweep: pd.DataFrame
    outcome: dict[str, Any]

    @property
    def chosen(self) -> Any:
        """The row of the sweep with the run that the search chose."""
        return next(row for row in named_rows(self.sweep) if row.run == self.outcome["chosen"])

    @property
    def best(self) -> Any:
        """The row of the sweep with the highest validation Dice."""
        return max(named_rows(self.sweep), key=lambda row: row.val_dice)


def read_search(directory: Path) -> RecordedSearch:
    """Read the record of the live search; a missing file is an `InputError`."""
    tables = _tables(directory, "python -m benchmarks.search RESULTS SEARCH", "trail.csv", SWEEP)
    return RecordedSearch(**tables, outcome=read_json(directory / "search.json"))


class RecipePair(NamedTuple):
    """One width under both recipes.

    The difference of Dice, ``efficient`` minus ``reference``, is paired over patients; its interval is over patients
    and seeds. Shares of energy are ``efficient`` divided by ``reference`` of the same seed: mean, smallest and largest.
    ``known`` says whether the energies were measured.
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
    known: str


def read_recipes(*directories: Path) -> list[RecipePair]:
    """Compare the recipes, width by width and on the seeds that both have.

    Args:
        directories: of the results of one study with both recipes, or of two with one each.

    Raises:
        InputError: results cannot be read, or no width was trained under both recipes.
    """
    studies = list(enumerate(map(read_results, directories)))
    # Two studies may call their runs alike.
    runs = pd.concat([study.runs.assign(source=number) for number, study in studies])
    slices = pd.concat([study.slices_of("test").assign(source=number) for number, study in studies])
    both = runs.groupby(["filters", "seed"])["recipe"].transform("nunique") == len(RECIPES)
    if not both.any():
        raise InputError(
            f"{', '.join(map(str, directories))}: no width was trained under both recipes with one seed; "
            f"there is {', '.join(sorted(runs['recipe'].unique()))} only."
        )
    pairs = []
    for filters, of_width in runs[both].groupby("filters"):
        # The bootstrap compares widths; here what is compared is the recipe, at one width.
        recipe = of_width[["source", "run"]].assign(filters=of_width["recipe"].map(RECIPES.index))
        scored = slices.drop(columns="filters").merge(recipe, on=["source", "run"])
        bootstrap = PatientBootstrap.draw(patient_dice(scored))
        kwh = of_width.pivot(index="seed", columns="recipe", values="energy_kwh")
        share = kwh["efficient"] / kwh["reference"]
        pairs.append(
            RecipePair(
                int(str(filters)), len(kwh), bootstrap.patients, bootstrap.dice(0), bootstrap.dice(1),
                bootstrap.difference(0, 1), float(kwh["reference"].mean()), float(kwh["efficient"].mean()),
                (float(share.mean()), float(share.min()), float(share.max())), how_known(*of_width["energy_method"]),
            )
        )  # fmt: skip
    return pairs


def read_yardsticks(directory: Path, results: Results) -> pd.DataFrame:
    """Read what ``studies/yardsticks.py`` recorded of readers and a threshold on the test slices.

    Beside them is a column for each width: its Dice on the slice, mean over its trainings.

    Raises:
        InputError: a file is missing, or was recorded on other slices than the results.
    """
    table = _tables(directory, f"python studies/yardsticks.py data/lidc {directory}", "slices.csv.gz")["slices"]
    made, own, options = read_json(directory / MANIFEST), results.manifest["crops"], results.manifest["options"]
    if (made["crops"]["fingerprint"], made["split_seed"], made["readers"]) != (
        own["fingerprint"], options.get("split_seed"), options["readers"],
    ):  # fmt: skip
        raise InputError(
            f"{directory}: of other crops, another split or target than {results.where}. Record them again: "
            "python studies/yardsticks.py data/lidc"
        )
    by_width = results.slices_of("test").groupby(["filters", *SLICE])["dice"].mean().unstack("filters")
    return table.merge(by_width.reset_index(), on=SLICE, validate="one_to_one")
