"""Everything that the book's claims, numbers, tables and figures are made from, read and computed once."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas as pd

from carbon_midl.errors import InputError
from carbon_midl.files import read_json
from carbon_midl.footprint import CarbonIntensity, read_footprint
from carbon_midl.measures import PatientBootstrap, patient_dice
from carbon_midl.selection import by_width
from carbon_midl.selection.candidates import TEST_DICE, USES, Columns, Factors, read_candidates
from carbon_midl.selection.choice import choice_of, side_by_side
from carbon_midl.selection.criteria import all_criteria
from carbon_midl.selection.frontier import use_counts
from carbon_midl.selection.replay import curves_of_study, replay_all
from carbon_midl.study.results import COLLECTION, MANIFEST, named_rows, read_csv, read_statistics, spread_of

RECORDED = Path("results/lidc")
"""The study that the chapters speak of."""
PUBLISHED, SEARCHED, TRANSFER, ANSWER, USE = (
    Path("results") / name for name in ("published-curves", "search", "phantom-transfer", "lidc-answer", "lidc-use")
)
ANSWERS = (
    "frontier", "step-sizes", "power", "poster", "replicability", "optimism", "counted", "efficiency", "trackers",
    "metrics-gpu", "metrics-frontier", "paths-gpu", "paths-frontier", "deciding", "targets",
    "recipes-lidc", "recipes-phantom", "trials", "again", "leak", "everything", "movers",
    "readers", "yardsticks", "instruments", "splits", "patients", "wide-or-long", "cflow",
)  # fmt: skip
"""The tables that ``studies/answer.py`` writes."""
RECORDS = {
    PUBLISHED: (
        "python -m studies.published_curves TABLE",
        ("policies.csv", "tuned.csv", "choices.csv", "convergence.csv", MANIFEST),
    ),
    SEARCHED: ("python -m benchmarks.search RESULTS SEARCH", ("trail.csv", "sweep.csv", "search.json")),
    TRANSFER: ("python studies/transfer.py data/lidc", ("summary.csv", MANIFEST)),
    USE: ("python -m studies.use", (USES, MANIFEST)),
    ANSWER: ("python -m studies.answer", tuple(f"{name}.csv" for name in ANSWERS)),
}
"""What scripts recorded that is no study: the command that records it, and its files."""
TRAINING_COMPUTE = Path("book/data/training-compute.csv")
COLLECTION_PAGE = COLLECTION / "page"
PAGES = (COLLECTION_PAGE, *(record / "page" for record in (PUBLISHED, TRANSFER, SEARCHED)))
"""What ``studies/collection_page.py`` and ``studies/record_pages.py`` printed of what was recorded."""
BUILD = Path("results/book-build/footprint.json")
BY_SLICE, BY_PATIENT = "by slice", "by patient"
GRIDS = ("NO", "FR", "DK", "GB", "DE", "US", "world", "PL")
"""National averages on which the study is costed again, from clean to not."""
CHOICE_DRAWS = 4000


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
        grid = CarbonIntensity(float(first["intensity_g_per_kwh"]), "recorded", first["intensity_source"], None)
        self.factors = Factors(grid, float(first["pue"]))
        self.spread = spread_of(self.runs, self.factors.pue, grid.source)
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
        # Carbon of all runs of a width, training and evaluation.
        self.price = self.runs.groupby("filters")["carbon_whole_run_g"].sum().rename("carbon_g").reset_index()
        abandoned = self.manifest["abandoned"]
        self.total_kwh = float(self.runs["energy_whole_run_kwh"].sum()) + abandoned["energy_kwh"]
        self.total_g = float(self.runs["carbon_whole_run_g"].sum()) + abandoned["carbon_g"]
        rows = []
        for grid in GRIDS:  # a budget and a price stay as many grams
            factors = Factors.of(grid, self.factors.pue)
            there = self.candidates.recosted(factors)
            for name, criterion in self.criteria.items():
                rows.append((name, grid, factors.intensity.g_per_kwh, choice_of(there, criterion)))
        self.choices_on_grids = pd.DataFrame(rows, columns=["name", "grid", "g_per_kwh", "chosen"])
        self.replays = replay_all(curves_of_study(self.results).values())

        # Beside the study.
        self.cores_spread = spread_of(by_width.read_widths(root / "results/lidc-calibration").runs)  # no sensor
        self.statistics = read_statistics(root / COLLECTION)
        self.build = read_footprint(root / BUILD)
        self.systems = read_csv(root / TRAINING_COMPUTE)
        # As OpenAI counted it.
        by_name = {row.system: row for row in named_rows(self.systems)}
        first, last = by_name["AlexNet"], by_name["AlphaGo Zero"]
        self.growth_factor = last.training_compute_flop / first.training_compute_flop
        self.growth_years = (pd.Timestamp(last.published) - pd.Timestamp(first.published)).days / 365.25
        self.published, self.search, self.transfer, self.answer = (
            read_record(root, record) for record in (PUBLISHED, SEARCHED, TRANSFER, ANSWER)
        )
        self.leak = {row.split: row for row in named_rows(self.answer.leak)}
        # On two cores; the selection is every length of every width, and the step sizes before.
        self.uses, lengths = read_record(root, USE).uses.set_index(["batch_size", "filters"]), self.answer.frontier
        use_kwh = self.uses["energy_kwh"].xs(64).reindex(lengths["filters"]).to_numpy()
        tried_wh = (lengths["n"] * lengths["energy_wh"]).sum() + self.answer.step_sizes["energy_wh"].sum()
        counts = use_counts(lengths["energy_wh"].to_numpy() / 1000, use_kwh, tried_wh / 1000)
        self.use_counts = counts.assign(filters=lengths["filters"], epochs=lengths["epochs"])


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
