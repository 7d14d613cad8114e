"""Everything that the book's claims, numbers, tables and figures are made from, read and computed once."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas as pd

from carbon_midl.errors import InputError
from carbon_midl.files import read_json
from carbon_midl.footprint import read_footprint
from carbon_midl.footprint.sensors import how_known
from carbon_midl.lidc.statistics import COLLECTION, read_statistics
from carbon_midl.measures import Estimate, PatientBootstrap, mean_over_patients, patient_dice
from carbon_midl.selection import by_width
from carbon_midl.selection.candidates import TEST_DICE, Columns, Factors, read_candidates
from carbon_midl.selection.choice import choice_of, side_by_side
from carbon_midl.selection.criteria import all_criteria
from carbon_midl.selection.replay import curves_of_study, replay_all
from carbon_midl.study.results import FORMAT, MANIFEST, Results, named_rows, read_csv, read_results
from carbon_midl.units import joined

RECORDED = Path("results/lidc")
"""The study that the chapters speak of."""
PUBLISHED, SEARCHED, LEAK, TRANSFER, YARDSTICKS, ANSWER = (
    Path("results") / name
    for name in ("published-curves", "search", "lidc-leak", "phantom-transfer", "lidc-yardsticks", "lidc-answer")
)
ANSWERS = (
    "frontier", "step-sizes", "power", "poster", "replicability", "optimism", "counted", "efficiency", "trackers",
    "metrics-gpu", "metrics-frontier", "paths-gpu", "paths-frontier", "deciding-gpu", "deciding-frontier",
)  # fmt: skip
"""The tables of ``studies/answer.py``."""
RECORDS = {
    PUBLISHED: (
        "python -m studies.published_curves TABLE",
        ("policies.csv", "tuned.csv", "choices.csv", "convergence.csv", MANIFEST),
    ),
    SEARCHED: ("python -m benchmarks.search RESULTS SEARCH", ("trail.csv", "sweep.csv", "search.json")),
    TRANSFER: ("python studies/transfer.py data/lidc", ("summary.csv", MANIFEST)),
    YARDSTICKS: (f"python studies/yardsticks.py data/lidc {YARDSTICKS}", ("slices.csv.gz", MANIFEST)),
    ANSWER: ("python -m studies.answer", tuple(f"{name}.csv" for name in ANSWERS)),
}
"""What scripts recorded that is no study: the command that records it, and its files."""
TRAINING_COMPUTE = Path("book/data/training-compute.csv")
COLLECTION_PAGE = COLLECTION / "page"
"""What ``studies/collection_page.py`` printed of it."""
BUILD = Path("results/book-build/footprint.json")
TUNING, TRIALS = Path("results/lidc-tuning"), Path("results/lidc-trials")
COMPARED = {"lidc": (RECORDED, Path("results/lidc-reference")), "phantom": (Path("results/recipes"),)}
"""Comparisons of the recipes, by crops: the studies that each is made from."""
BY_SLICE, BY_PATIENT = "by slice", "by patient"
GRIDS = ("NO", "FR", "DK", "GB", "DE", "US", "world", "PL")
"""National averages on which the study is costed again, from clean to not."""
CHOICE_DRAWS = 4000
VARIED = ["learning_rate", "augment"]
"""What the trials differ in."""
RECIPES = ("reference", "efficient")
SLICE = ["patient_id", "nodule", "slice"]


class WidthStudy:
    """A recorded study of widths and seeds, with what follows from its tables."""

    def __init__(self, directory: Path) -> None:
        """Read its results; an `InputError` if they are missing, damaged, or differ in more than width and seed."""
        self.results = by_width.read_widths(directory)
        self.runs, self.manifest = self.results.runs, self.results.manifest
        self.bootstrap = PatientBootstrap.draw(patient_dice(self.results.slices_of("test")))
        self.widths = by_width.by_width(self.results, self.bootstrap)
        # Of a training, and with its evaluation.
        self.carbon_g: dict[int, float] = {row.filters: row.carbon_g for row in named_rows(self.widths)}
        self.whole_run_g: dict[int, float] = {row.filters: row.carbon_whole_run_g for row in named_rows(self.widths)}
        self.extremes = by_width.cheapest_and_dearest(self.carbon_g)
        self.best = max(self.bootstrap.widths, key=lambda width: self.bootstrap.dice(width).estimate)
        self.steps = by_width.marginal_costs(self.carbon_g, self.bootstrap)
        self.last_epochs = self.results.epochs.sort_values("epoch").groupby("run", sort=False).tail(1)
        first = self.runs.iloc[0]
        self.factors = Factors.of(float(first["intensity_g_per_kwh"]), float(first["pue"]))
        self.candidates = read_candidates(self.results, Columns(performance=TEST_DICE), self.factors)
        self.criteria: dict[str, Any] = {criterion.name: criterion for criterion in all_criteria(self.candidates)}
        # What every criterion chooses, and how probably each width.
        self.choices, likely = side_by_side(self.candidates, list(self.criteria.values()), CHOICE_DRAWS)
        self.likely = likely.assign(filters=likely["candidate"].astype(int)).drop(columns="candidate")


class Evidence(WidthStudy):
    """The study that the chapters speak of, and all else that was recorded."""

    def __init__(self, root: Path) -> None:
        """Read all that is recorded in the repository ``root``; an `InputError` if a file is missing or damaged."""
        super().__init__(root / RECORDED)
        self.root = root
        self.depth = int(self.manifest["options"].get("depth", 4))  # levels of the U-Net
        self.sizes = by_width.by_size(self.results)
        self.seed_sd = self.runs.groupby("filters")["test_dice_patients"].std()
        # Carbon of all runs of a width, training and evaluation, and its share of the whole selection.
        self.price = self.runs.groupby("filters")["carbon_whole_run_g"].sum().rename("carbon_g").reset_index()
        self.price["share"] = self.price["carbon_g"] / self.price["carbon_g"].sum()
        abandoned = self.manifest["abandoned"]
        self.total_kwh = float(self.runs["energy_whole_run_kwh"].sum()) + abandoned["energy_kwh"]
        self.total_g = float(self.runs["carbon_whole_run_g"].sum()) + abandoned["carbon_g"]
        tracked = self.runs.rename(columns={"carbontracker_energy_before_pue_kwh": "theirs_kwh"})
        tracked = tracked.dropna(subset="theirs_kwh")
        self.tracked = tracked.assign(ratio=tracked["theirs_kwh"] / tracked["energy_kwh"])
        rows = []
        for grid in GRIDS:  # a budget and a price stay as many grams
            factors = Factors.of(grid, self.factors.pue)
            there = self.candidates.recosted(factors)
            for name, criterion in self.criteria.items():
                rows.append((name, grid, factors.intensity.g_per_kwh, choice_of(there, criterion)))
        self.choices_on_grids = pd.DataFrame(rows, columns=["name", "grid", "g_per_kwh", "chosen"])
        self.replays = replay_all(curves_of_study(self.results).values())

        # Beside the study.
        self.statistics = read_statistics(root / COLLECTION)
        self.build = read_footprint(root / BUILD)
        self.everything = read_everything(root, self.manifest)
        self.recipes = {crops: read_recipes(*(root / part for part in parts)) for crops, parts in COMPARED.items()}
        self.yardsticks, self.threshold = read_yardsticks(root, self.results)
        self.leaky, self.honest = read_leak(root)
        self.systems = read_csv(root / TRAINING_COMPUTE)
        # As OpenAI counted it.
        by_name = {row.system: row for row in named_rows(self.systems)}
        first, last = by_name["AlexNet"], by_name["AlphaGo Zero"]
        self.growth_factor = last.training_compute_flop / first.training_compute_flop
        self.growth_years = (pd.Timestamp(last.published) - pd.Timestamp(first.published)).days / 365.25
        self.trials = read_trials(root / TUNING, root / TRIALS)
        # Trials with the very parameters and crops of the study, which the first part of the fingerprint stands for.
        trials, runs = (one.assign(key=one["fingerprint"].str.rpartition("-")[0]) for one in (self.trials, self.runs))
        self.again = trials.merge(runs, on=["key", "filters"], suffixes=("", "_first")).set_index("filters")
        self.published, self.search, self.transfer, self.answer = (
            read_record(root, record) for record in (PUBLISHED, SEARCHED, TRANSFER, ANSWER)
        )
        sweep = named_rows(self.search.sweep)
        self.search_chosen = next(row for row in sweep if row.run == self.search.search["chosen"])
        # Tested on real crops, by what was trained on.
        on_real = self.transfer.summary.query("tested_on == 'real'")
        self.transferred = {row.trained_on: row for row in named_rows(on_real)}


def machine(hardware: dict[str, Any]) -> str:
    """A machine in a word or two for a narrow column: its GPUs, or that it had none."""
    names = {str(name).removeprefix("NVIDIA ").split()[0] for name in hardware.get("gpu") or []}
    return joined(sorted(names)) if names else "CPU"


def read_record(root: Path, record: Path) -> Any:
    """Read one of the `RECORDS`: its tables and JSON as attributes, by the names of their files.

    Raises:
        InputError: a file is missing or damaged; the message has the command that records it.
    """
    command, names = RECORDS[record]
    try:
        contents = [(read_json if name.endswith(".json") else read_csv)(root / record / name) for name in names]
    except InputError as error:
        raise InputError(f"{error} Record it with: {command}") from None
    return SimpleNamespace(
        **dict(zip((name.partition(".")[0].replace("-", "_") for name in names), contents, strict=True))
    )


def read_trials(*directories: Path) -> pd.DataFrame:
    """Read runs that tried options on the study's crops, with their machine and how the energy is known."""
    tables = []
    for results in map(read_results, directories):
        given = {name: results.manifest["options"][name] for name in VARIED if name not in results.runs}
        known = results.runs["energy_method"].map(how_known)
        tables.append(results.runs.assign(**given, machine=machine(results.manifest["hardware"]), known=known))
    return pd.concat(tables, ignore_index=True)


def read_recipes(*directories: Path) -> pd.DataFrame:
    """Compare the recipes on the seeds that both have, a row a width.

    The ``difference`` of Dice, efficient minus reference, is paired over patients; its interval is over patients and
    seeds. The ``share`` of energy is efficient divided by reference of the same seed: mean, smallest and largest.
    ``known`` says whether the energies were measured.

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
    rows = []
    for filters, of_width in runs[both].groupby("filters"):
        # The bootstrap compares widths; here what is compared is the recipe, at one width.
        recipe = of_width[["source", "run"]].assign(filters=of_width["recipe"].map(RECIPES.index))
        scored = slices.drop(columns="filters").merge(recipe, on=["source", "run"])
        bootstrap = PatientBootstrap.draw(patient_dice(scored))
        difference, low, high = bootstrap.difference(0, 1)
        kwh = of_width.pivot(index="seed", columns="recipe", values="energy_kwh")
        share = kwh["efficient"] / kwh["reference"]
        rows.append({
            "filters": filters, "seeds": len(kwh), "patients": bootstrap.patients,
            "reference_dice": bootstrap.dice(0).estimate, "efficient_dice": bootstrap.dice(1).estimate,
            "difference": difference, "difference_low": low, "difference_high": high,
            "reference_kwh": kwh["reference"].mean(), "efficient_kwh": kwh["efficient"].mean(),
            "share": share.mean(), "share_low": share.min(), "share_high": share.max(),
            "known": how_known(*of_width["energy_method"]),
        })  # fmt: skip
    return pd.DataFrame(rows)


def read_yardsticks(root: Path, results: Results) -> tuple[pd.DataFrame, float]:
    """Read the Dice of a reader, of pairs of readers and of a threshold on the test slices, and where that lies.

    Beside them is a column for each width: its Dice on the slice, mean over its trainings.

    Raises:
        InputError: a file is missing, or was recorded on other slices than the results.
    """
    record, own, options = read_record(root, YARDSTICKS), results.manifest["crops"], results.manifest["options"]
    recorded = [record.manifest["crops"]["fingerprint"], record.manifest["split_seed"], record.manifest["readers"]]
    if recorded != [own["fingerprint"], options.get("split_seed"), options["readers"]]:
        raise InputError(
            f"{root / YARDSTICKS}: of other crops, another split or target than {results.where}. Record them again: "
            f"{RECORDS[YARDSTICKS][0]}"
        )
    networks = results.slices_of("test").groupby(["filters", *SLICE])["dice"].mean().unstack("filters")
    table = record.slices.merge(networks.reset_index(), on=SLICE, validate="one_to_one")
    return table, float(record.manifest["threshold"]["level"])


def read_leak(root: Path) -> tuple[Estimate, Estimate]:
    """Read test Dice, over slices, of one and the same training on a split by slice and on one by patient."""
    leak, trials = read_results(root / LEAK), read_results(root / TRIALS)
    same = leak.runs[["filters", "seed"]].assign(**{name: leak.manifest["options"][name] for name in VARIED})
    leaky, honest = leak.slices_of("test"), trials.slices_of("test")
    honest = honest[honest["run"] == trials.runs.merge(same)["run"].item()]
    # The archive for the leak names its patients by slice; the patient is the first part.
    patients = leaky["patient_id"].str.rsplit("-", n=2).str[0]
    return mean_over_patients(leaky["dice"], patients), mean_over_patients(honest["dice"], honest["patient_id"])


def read_everything(root: Path, manifest: dict[str, Any]) -> pd.DataFrame:
    """Read what each study took on the crops of ``manifest``, attempts without a result too, a row a study."""

    def crops(manifest: dict[str, Any]) -> list[Any]:
        # Not the fingerprint: an archive for the leak holds the same crops under other names.
        about = manifest.get("crops", {})
        return [about.get("kind"), about.get("slices"), about.get("source", {}).get("citation")]

    rows = []
    for path in sorted((root / "results").glob(f"*/{MANIFEST}")):
        other = read_json(path)
        if other.get("format") != FORMAT or crops(other) != crops(manifest):
            continue
        runs, abandoned = read_results(path.parent).runs, other["abandoned"]
        rows.append({
            "title": other["title"], "runs": len(runs), "attempts": abandoned["attempts"],
            "machine": joined(sorted({machine(one["hardware"]) for one in other["environments"]})),
            "known": how_known(*runs["energy_method"].unique()),
            "energy_kwh": float(runs["energy_whole_run_kwh"].sum()) + abandoned["energy_kwh"],
            "carbon_g": float(runs["carbon_whole_run_g"].sum()) + abandoned["carbon_g"],
        })  # fmt: skip
    return pd.DataFrame(rows)
