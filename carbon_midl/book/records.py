"""What was recorded beside the book's study, and what the chapters say of it: comparisons, yardsticks, the whole price.

Each text has sentences and a table, made from the record; without a record, it says that there is none.
"""

from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from carbon_midl.book import claims as w
from carbon_midl.book.evidence import TRIALS, Evidence, machine, read_tables
from carbon_midl.book.tables import list_table
from carbon_midl.errors import InputError
from carbon_midl.files import read_json
from carbon_midl.measures import (
    Estimate,
    Interval,
    PatientBootstrap,
    interval,
    mean_over_patients,
    patient_dice,
    patient_draws,
)
from carbon_midl.study.results import FORMAT, MANIFEST, Results, named_rows, read_results

LEAK, TRANSFER, YARDSTICKS = (Path("results") / name for name in ("lidc-leak", "phantom-transfer", "lidc-yardsticks"))
RECIPES = ("reference", "efficient")
COMPARED = ((Path("results/lidc"), Path("results/lidc-reference")), (Path("results/recipes"),))
"""Comparisons of recipes: the studies that each is made from."""
TOLERANCE = 0.01
"""Within which the test Dice of a training is to agree when it is made again on a machine of the same kind."""
SIDES = ("real", "phantom")
TRANSFER_COLUMNS = ("seed", "trained_on", "tested_on", "patient_id", "slices", "dice")
YARDSTICK_FORMAT = {"format": "carbon-midl yardsticks", "version": 1}
SLICE = ["patient_id", "nodule", "slice"]
YARDSTICK_COLUMNS = (*SLICE, "readers_with_mask", "threshold_dice", "reader_dice", "readers_dice")
UNKNOWN = "has not been recorded in this copy of the book."


def trials_text(evidence: Evidence) -> str:
    """How step size and augmentation fared on the validation patients of the study's crops; empty without trials."""
    trials, options = evidence.trials, evidence.results.manifest["options"]
    if trials.empty:
        return ""
    rows = [
        [
            str(row.filters), f"{row.learning_rate:g}", "yes" if row.augment else "no", row.machine,
            w.dice(row.val_dice), w.unbroken(w.energy(row.energy_kwh)), row.known,
        ]
        for row in named_rows(trials.sort_values(["filters", "learning_rate", "augment"]))
    ]  # fmt: skip
    caption = (
        "Trials, one seed each: Dice on the validation patients of the epoch that was kept, energy of the training "
        "before PUE, and how that is known."
    )
    header = ["F", "Step size", "Augmented", "Machine", "Dice", "Energy", "Known"]
    said = f"{_step_size(trials, options)} {_augmentation(trials, options)}".strip()
    return f"{w.unbroken(said)}\n\n{list_table('table-trials', caption, header, rows)}"


def reruns_text(evidence: Evidence) -> str:
    """How far trainings that were made twice agree: a trial that has the options of a run of the study repeats it."""
    runs = evidence.results.runs
    told = []
    for row in named_rows(evidence.trials):
        # The same options on the same crops; the code may have changed in what decides no number.
        alike = runs[runs["fingerprint"].str.rsplit("-", n=1).str[0] == row.fingerprint.rpartition("-")[0]]
        for first in named_rows(alike):
            here = row.machine == machine(evidence.results.manifest["hardware"])
            within = "within" if abs(row.test_dice_patients - first.test_dice_patients) <= TOLERANCE else "not within"
            told.append(
                f"F = {row.filters}, seed {row.seed}, made again on "
                f"{'a machine of the same kind' if here else f'a {row.machine}'}, gave "
                f"{w.dice(row.test_dice_patients)} in place of {w.dice(first.test_dice_patients)}"
                + (f": {within} the tolerance of {w.significant(100 * TOLERANCE, 1)} point." if here else ".")
            )
    return w.unbroken(" ".join(told)) or "None was made twice here."


def home_width_text(evidence: Evidence) -> str:
    """At which width the step size was chosen, and whether that width came out best; empty where none was recorded."""
    if evidence.trials.empty or (alike := _most_alike(evidence.trials))["learning_rate"].nunique() < 2:
        return ""
    home, (best, _) = int(alike["filters"].iloc[0]), w.best_and_enough(evidence)
    text = f"The step size was chosen at F = {home}"
    if home != best:
        return f"{text}."
    return f"{text}, the width that then came out best: part of its lead may be that the protocol was made for it."


def _step_size(trials: pd.DataFrame, options: dict[str, Any]) -> str:
    """Which step size was best where several were tried with everything else alike."""
    used, alike = options["learning_rate"], _most_alike(trials)
    rates = sorted(alike["learning_rate"])
    if len(rates) < 2 or alike.sort_values("val_dice")["learning_rate"].iloc[-1] != used:
        return ""
    text = (
        f"At F = {alike['filters'].iloc[0]}, a step size of {used:g} was the best of {w.count(len(rates))}, and all "
        "widths got it."
    )
    edge = {rates[0]: ("smallest", "smaller"), rates[-1]: ("largest", "larger")}.get(used)
    return f"{text} It is the {edge[0]} that was tried: a {edge[1]} one may be better still." if edge else text


def _most_alike(trials: pd.DataFrame) -> pd.DataFrame:
    """The most trials that differ in nothing but the step size."""
    _, alike = max(trials.groupby(["filters", "augment", "machine"]), key=lambda group: len(group[1]))
    return alike


def _augmentation(trials: pd.DataFrame, options: dict[str, Any]) -> str:
    """What augmentation did where it was tried both ways with everything else alike."""
    pairs = trials.pivot_table(index=["filters", "learning_rate", "machine"], columns="augment", values="val_dice")
    pairs = pairs.reindex(columns=[False, True]).dropna()
    if pairs.empty:
        return ""
    gains = (100 * (pairs[True] - pairs[False])).rename("points").reset_index()
    found = [f"{w.signed(row.points)} points at F = {row.filters}" for row in named_rows(gains)]
    text = f"Flips and quarter turns changed the validation Dice by {w.joined(found)} (one seed each)."
    if bool((gains["points"] < 0).all()) == bool(options["augment"]):
        text += (
            f" The study was run {'with' if options['augment'] else 'without'} them, which may not be the better way "
            "in so few epochs."
        )
    return text


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
        runs: a row a run; at each width and seed one of either recipe.
        slices: a row a run and test slice.
    """
    scored = slices.drop(columns=["filters", "seed"]).merge(runs[["run", "filters", "seed", "recipe"]], on="run")
    pairs = []
    for filters, of_width in runs.groupby("filters"):
        chosen = scored[scored["filters"] == filters]
        # The bootstrap compares widths; here what is compared is the recipe, at one width.
        bootstrap = PatientBootstrap.draw(patient_dice(chosen.assign(filters=chosen["recipe"].map(RECIPES.index))))
        by_seed = of_width.pivot(index="seed", columns="recipe", values=["energy_kwh", "duration_s"])
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


def recipes_text(evidence: Evidence) -> str:
    """Same Dice, less energy: each recorded comparison of the recipes; empty where none was recorded."""
    found = [[evidence.root / part for part in directories] for directories in COMPARED]
    return "\n".join(_comparison(directories) for directories in found if all(part.is_dir() for part in directories))


def _comparison(directories: list[Path]) -> str:
    pairs = read_recipes(*directories)
    manifest = read_json(directories[0] / MANIFEST)
    kind, hardware = manifest["crops"]["kind"], manifest["hardware"]
    crops = "phantom crops" if kind == "phantom" else "crops of LIDC-IDRI"
    seeds = [pair.seeds for pair in pairs]
    many = max(seeds) > 1
    caption = (
        f"Both recipes on {crops} ({w.plural(pairs[0].patients, 'test patient')}, {w.span(min(seeds), max(seeds))} "
        f"seed{'s' if many else ''} each): test Dice of each; difference, efficient minus reference, paired over "
        "patients, in points; energy of a training before PUE, reference → efficient; share of the reference's energy"
        f"{', range over seeds' if many else ''}."
    )
    rows = [
        [
            str(pair.filters), w.dice(pair.reference.estimate), w.dice(pair.efficient.estimate),
            w.points_interval(pair.difference).replace(" points", ""),
            f"{w.significant(1000 * pair.reference_kwh)} → {w.significant(1000 * pair.efficient_kwh)}",
            " – ".join(dict.fromkeys(w.percent(part).removesuffix(" %") for part in pair.energy_share[1:])),
        ]
        for pair in pairs
    ]  # fmt: skip
    header = ["F", "Reference", "Efficient", "Difference (95 %)", "Energy, Wh", "Share, %"]
    known = {"measured": "measured", "estimated": "*estimates*", "partly estimated": "partly *estimates*"}
    origin = (
        f"The energies are {known[w.how_known(pairs[0].method)]} ({pairs[0].method}), on "
        f"{w.joined([hardware['cpu'], *hardware['gpu']])}"
        f"{'' if hardware['gpu'] else ', without a GPU; on another machine the shares differ'}."
        f"{' One seed tells nothing about what another would change.' if min(seeds) == 1 else ''}"
    )
    said = "\n\n".join([*map(_recipe_sentence, pairs), origin])
    table = list_table(f"table-recipes-{kind}", caption, header, rows)
    return f"**On {crops}, {'on a GPU' if hardware['gpu'] else 'without a GPU'}.** {said}\n\n{table}"


def _recipe_sentence(pair: RecipePair) -> str:
    points = w.points_interval(pair.difference)
    said = f"No difference in Dice was shown: {points}."
    if pair.difference.excludes_zero:
        better = "higher" if pair.difference.estimate > 0 else "lower"
        said = f"Its Dice was {better}: {points}. The two are not the same, then."
    return w.unbroken(
        f"At F = {pair.filters} the efficient recipe took {w.percent(pair.energy_share[0])} of the reference's energy "
        f"and {w.percent(pair.duration_share[0])} of its time. {said}"
    )


def read_yardsticks(directory: Path) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Read what ``studies/yardsticks.py`` recorded of readers and a threshold on the test slices.

    Raises:
        InputError: a file is missing, of another version, or lacks a column.
    """
    manifest = read_json(directory / MANIFEST)
    if not isinstance(manifest, dict) or not YARDSTICK_FORMAT.items() <= manifest.items():
        version = YARDSTICK_FORMAT["version"]
        raise InputError(f"{directory / MANIFEST}: not of yardsticks, version {version}. Record them again.")
    way_out = f"Record them with: python studies/yardsticks.py data/lidc {directory}"
    return read_tables(directory, {"slices.csv.gz": YARDSTICK_COLUMNS}, way_out)["slices"], manifest


def yardsticks_text(evidence: Evidence) -> str:
    """Networks, readers and a threshold on the same slices; empty where none were recorded on the study's slices."""
    manifest = evidence.results.manifest
    if not (evidence.root / YARDSTICKS).is_dir():
        return ""
    table, record = read_yardsticks(evidence.root / YARDSTICKS)
    recorded_on = (record["crops"]["fingerprint"], record["split_seed"], record["readers"])
    options = manifest["options"]
    if recorded_on != (manifest["crops"]["fingerprint"], options.get("split_seed"), options["readers"]):
        return ""
    by_width = evidence.results.slices_of("test").groupby(["filters", *SLICE])["dice"].mean().unstack("filters")
    joined = table.merge(by_width.reset_index(), on=SLICE, validate="one_to_one")
    four = joined[joined["reader_dice"].notna()]
    widths = evidence.bootstrap.widths
    best = max(widths, key=lambda width: four[width].mean())

    def mean(slices: pd.DataFrame, column: Any) -> Estimate:
        return mean_over_patients(slices[column], slices["patient_id"])

    def cell(slices: pd.DataFrame, column: Any) -> str:
        return w.unbroken(w.dice_cell(mean(slices, column)))

    rows = [
        ["A reader, with the others", cell(four, "reader_dice"), "–"],
        ["Pairs of readers", *(cell(part[part["readers_dice"].notna()], "readers_dice") for part in (four, joined))],
        *([f"U-Net, F = {width}", cell(four, width), cell(joined, width)] for width in widths),
        ["Threshold", cell(four, "threshold_dice"), cell(joined, "threshold_dice")],
    ]
    reader = mean(four, "reader_dice")
    difference = mean_over_patients(four[best] - four["reader_dice"], four["patient_id"])
    said = (
        f"On the {reader.n:,} test slices that all four readers outlined ({w.plural(reader.patients, 'patient')}), a "
        f"reader's Dice with the majority of the other three is {w.dice_interval(reader)}. The best width there, "
        f"F = {best}, reaches {w.dice_interval(mean(four, best))} with the consensus of the four: "
        f"{w.reader_verdict(difference)}. A threshold at {record['threshold']['level']:g} of a crop's range, chosen on "
        f"the validation patients, reaches {w.dice_interval(mean(joined, 'threshold_dice'))} on all test slices."
    )
    caption = (
        "Dice with its 95 % interval over patients, on the test slices that all four readers outlined and on all; each "
        "slice counts alike, and a network has the mean of its seeds."
    )
    header = [" ", f"By all four (n = {reader.n:,})", f"All (n = {len(joined):,})"]
    return f"{w.unbroken(said)}\n\n{list_table('table-yardsticks', caption, header, rows)}"


def leak_text(root: Path) -> str:
    """One sentence: the same training on a split by slice and on one by patient."""
    if not (root / LEAK).is_dir() or not (root / TRIALS).is_dir():
        return f"What a network would gain by such a split {UNKNOWN}"
    leak, trials = read_results(root / LEAK), read_results(root / TRIALS)
    leaky, scores, runs = leak.slices_of("test"), trials.slices_of("test"), trials.runs
    (made,) = named_rows(leak.runs)
    options = {name: leak.manifest["options"][name] for name in ("learning_rate", "augment")}
    alike = {"filters": made.filters, "seed": made.seed, **options}
    (run,) = runs.loc[(runs[list(alike)] == pd.Series(alike)).all(axis=1), "run"]
    honest = scores[scores["run"] == run]
    # The archive for the leak names its patients by slice; the patient is the first part.
    by_slice = mean_over_patients(leaky["dice"], leaky["patient_id"].str.rsplit("-", n=2).str[0])
    by_patient = mean_over_patients(honest["dice"], honest["patient_id"])
    return w.unbroken(
        f"A network gains, too: a U-Net of F = {made.filters}, trained once each way and alike, reached a Dice of "
        f"{w.dice_interval(by_slice)} on a split by slice and {w.dice_interval(by_patient)} on one by patient "
        f"({by_slice.n:,} and {by_patient.n:,} test slices)."
    )


class Transfer(NamedTuple):
    """Dice on one side after training on one side; `share` is that of training on the tested side's own crops.

    Means over slices and seeds, with 95 % percentile intervals over patients.
    """

    trained_on: str
    tested_on: str
    dice: Interval
    share: Interval
    seeds: int
    patients: int
    slices: int


def read_transfer(directory: Path) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Read the scores and the manifest that ``studies/transfer.py`` recorded: phantom and real crops, crosswise.

    Raises:
        InputError: a file is missing or lacks a column.
    """
    way_out = "Record it with: python studies/transfer.py data/lidc"
    return read_tables(directory, {"scores.csv": TRANSFER_COLUMNS}, way_out)["scores"], read_json(directory / MANIFEST)


def transfers(scores: pd.DataFrame) -> list[Transfer]:
    """Summarise recorded scores, a row a seed, side and patient: each side of training on each side of testing."""
    scores = scores.assign(dice=scores["dice"] * scores["slices"])
    sums = scores.groupby(["trained_on", "tested_on", "patient_id"])[["dice", "slices"]].sum()
    seeds = int(scores["seed"].nunique())
    found = []
    for tested_on, trained_on in product(SIDES, SIDES):
        if (trained_on, tested_on) not in sums.index:
            raise InputError(f"scores: nothing trained on {trained_on} and tested on {tested_on}. Record them again.")
        chosen, own = (sums.loc[(side, tested_on), :] for side in (trained_on, tested_on))
        weights = patient_draws(len(chosen))
        dice, own_dice = (float(part["dice"].sum() / part["slices"].sum()) for part in (chosen, own))
        drawn, own_drawn = (
            (weights @ part["dice"].to_numpy()) / (weights @ part["slices"].to_numpy()) for part in (chosen, own)
        )
        intervals = interval(dice, drawn), interval(dice / own_dice, drawn / own_drawn)
        slices = int(chosen["slices"].sum()) // seeds
        found.append(Transfer(trained_on, tested_on, *intervals, seeds, len(chosen), slices))
    return found


def phantom_transfer(root: Path) -> str:
    """What the phantom is worth on real crops."""
    if not (root / TRANSFER).is_dir():
        return f"How far a network trained on the phantom gets on CT {UNKNOWN}"
    scores, manifest = read_transfer(root / TRANSFER)
    found = {(one.trained_on, one.tested_on): one for one in transfers(scores)}
    real, phantom = found["real", "real"], found["phantom", "real"]
    return w.unbroken(
        f"We measured how far it carries. A U-Net of F = {manifest['filters']} was trained on phantom crops around the "
        f"nodules of {manifest['training_patients']} patients, another on their CT crops, and both were tested on CT "
        f"crops of {real.patients} other patients ({real.slices:,} slices, {w.plural(real.seeds, 'seed')}). Trained on "
        f"CT, it reached a Dice of {w.dice_interval(real.dice)}; trained on the phantom, "
        f"{w.dice_interval(phantom.dice)}, which is {w.percent_interval(phantom.share)} of it."
    )


def whole_price_text(evidence: Evidence) -> str:
    """What everything took that was trained on the crops of the book's study, attempts without a result too."""
    own = evidence.results
    studies = {own.manifest["study"]: own}
    for path in sorted((evidence.root / "results").glob(f"*/{MANIFEST}")):
        manifest = read_json(path)
        if (
            manifest.get("format") == FORMAT
            and manifest["study"] not in studies
            and _collection(manifest) == _collection(own.manifest)
        ):
            studies[manifest["study"]] = read_results(path.parent)
    prices = pd.DataFrame([_price(study) for study in studies.values()])
    rows = [
        [
            row.title, str(row.runs), str(row.attempts), row.machine, w.unbroken(w.energy(row.energy_kwh)),
            w.unbroken(w.carbon(row.carbon_g)), w.how_known(row.method),
        ]
        for row in named_rows(prices)
    ]  # fmt: skip
    runs_done, attempts = (w.plural(int(prices[what].sum()), what[:-1]) for what in ("runs", "attempts"))
    said = (
        f"The {runs_done} and {attempts} without a result that were recorded on these crops, trials included, took "
        f"{w.energy(prices['energy_kwh'].sum())} before PUE, or {w.carbon(prices['carbon_g'].sum())} CO₂eq "
        f"({w.how_known(*prices['method'])})."
    )
    caption = (
        "Everything that was recorded on these crops: runs with a result and attempts without, energy before PUE and "
        "carbon of both, training and evaluation, and how the energy is known."
    )
    header = ["Study", "Runs", "Attempts", "Machine", "Energy", "CO₂eq", "Known"]
    return f"{w.unbroken(said)}\n\n{list_table('table-everything', caption, header, rows, 'numbers wrapped')}"


def _collection(manifest: dict[str, Any]) -> tuple[Any, Any, Any]:
    """What names the crops: an archive for the leak holds them under other names, hence with another fingerprint."""
    crops = manifest.get("crops", {})
    return crops.get("kind"), crops.get("slices"), crops.get("source", {}).get("citation")


def _price(study: Results) -> dict[str, Any]:
    manifest, runs = study.manifest, study.runs
    abandoned = manifest["abandoned"]
    return {
        "title": manifest["title"],
        "runs": len(runs),
        "attempts": abandoned["attempts"],
        "machine": w.joined(sorted({machine(one["hardware"]) for one in manifest["environments"]})),
        "energy_kwh": float(runs["energy_whole_run_kwh"].sum()) + abandoned["energy_kwh"],
        "carbon_g": float(runs["carbon_whole_run_g"].sum()) + abandoned["carbon_g"],
        "method": "; ".join(runs["energy_method"].unique()),
    }


def examples_text(evidence: Evidence) -> str:
    """The figure of example crops with its caption; empty without the study's archive."""
    if evidence.archive is None:
        return ""
    made = "Phantom crops around real nodules" if evidence.archive.is_phantom else "Crops of LIDC-IDRI"
    caption = (
        f"**{made}, with the outlines of the readers, a colour each.** The number above is the patient's in LIDC-IDRI. "
        "The same colour in two crops need not be the same person."
    )
    return f"```{{result-figure}} crops\n{caption}\n```\n"


TEXTS: dict[str, tuple[Callable[[Evidence], str], str]] = {
    "recipes": (
        recipes_text,
        f"The comparison {UNKNOWN} `carbon-midl study run studies/recipes.toml` makes it, in `runs/recipes/results`.",
    ),
    "trials": (
        trials_text,
        "No trials on the validation patients were recorded for this study: its options are the notebook's own.",
    ),
    "yardsticks": (
        yardsticks_text,
        "Readers and a threshold have not been scored on the test patients of this study. "
        "`python studies/yardsticks.py` does it.",
    ),
    "whole-price": (whole_price_text, ""),
    "examples": (
        examples_text,
        "Example crops with the readers' outlines are in every run's notebook; see {doc}`/book/runs`.",
    ),
}
"""What a chapter includes, by name: how it is made from the record, and what is said where there is no record."""
