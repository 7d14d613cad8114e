"""What a point of Dice costs, and whether wider is worth it: the tables of the answer, from the recorded tables alone.

    python -m studies.answer [--out results/lidc-answer]

``make book`` computes them again before each build. Candidates are chosen by validation Dice, and what is printed of
them is test Dice; a patient is the unit, and intervals are those of `carbon_midl.measures`.
"""

import argparse
from collections.abc import Callable
from dataclasses import replace
from itertools import combinations, pairwise, product
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from carbon_midl.errors import InputError
from carbon_midl.files import write_text
from carbon_midl.measures import Interval, could_be_best, difference_errors, drawn_means, interval, mean_over_patients
from carbon_midl.selection.candidates import TEST_DICE, VALIDATION_DICE, Candidates, Columns, read_candidates
from carbon_midl.selection.choice import choose
from carbon_midl.selection.criteria import PRICE_SHARE, Best, Budget, Knee, Marginal, NonInferior, Pepr, Weighted
from carbon_midl.selection.frontier import POINT, step_prices
from carbon_midl.study.results import Results, named_rows, read_csv, read_results
from carbon_midl.units import joined
from studies import comparisons

OUT = Path("results/lidc-answer")
GPU, LENGTHS, STEPS = Path("results/lidc"), Path("results/lidc-length"), Path("results/lidc-steps")
SPLITS, PATIENTS, CFLOW = (Path("results") / name for name in ("lidc-splits", "lidc-patients", "lidc-cflow"))
CALIBRATION, READERS = Path("results/lidc-calibration"), Path("results/lidc-readers")
YARDSTICKS = Path("results/lidc-yardsticks")
READ = tuple(f"{name}.csv.gz" for name in ("slices", "without-consensus", "calibration", "targets"))
BESIDE = ("lidc-reference", "recipes", "lidc-tuning", "lidc-trials", "lidc-leak")
TRIED = ["filters", "learning_rate", "augment", "machine", "val_dice", "energy_kwh", "known"]
AGAIN = ["filters", "machine", *map("".join, product(("test_dice_patients", "energy_kwh"), ("", "_first")))]
WH = 1000
"""Wh in a kWh."""
Tables = dict[str, pd.DataFrame]


def scores_by_patient(results: Results, part: str, candidate: list[str]) -> tuple[pd.DataFrame, Candidates]:
    """Dice by patient of candidates that columns of ``runs.csv`` name: a row each with ``n`` trainings, and the scores.

    Raises:
        InputError: the results lack that part of the split.
    """
    if results.slices_of(part).empty:
        raise InputError(
            f"{results.where}: no {part} slices; an answer needs validation and test. Collect the study again."
        )
    ordered = replace(results, runs=results.runs.sort_values([*candidate, "run"]))
    dice = {"validation": VALIDATION_DICE, "test": TEST_DICE}[part]
    read = read_candidates(ordered, Columns(tuple(candidate), performance=dice))
    names = ordered.runs[candidate].drop_duplicates(ignore_index=True)
    return names.assign(n=read.trainings), read


def with_interval(name: str, scores: np.ndarray) -> dict[str, np.ndarray]:
    """The mean of each candidate with its 95 % interval, as three columns."""
    (drawn,) = drawn_means(scores)
    limits = [interval(np.nanmean(own), means) for own, means in zip(scores, drawn.T, strict=True)]
    return dict(zip([name, f"{name}_low", f"{name}_high"], np.array(limits).T, strict=True))


# --- The frontier: every width with its own step size, at several lengths ---------------------------------------------


def frontier(lengths: Results) -> pd.DataFrame:
    """A row a width and length: losses, Dice with intervals, energy, whether it could be best, price of the next point.

    ``wh_per_point`` is the energy of another point of validation Dice in the step to that candidate along the upper
    hull of Dice against energy: 0 for its cheapest corner, empty off the hull. The same step's gain in *test* Dice has
    its interval, in points, in ``gain``.
    """
    candidate = ["filters", "epochs"]
    names, validation = scores_by_patient(lengths, "validation", candidate)
    test = scores_by_patient(lengths, "test", candidate)[1].performance
    means = lengths.runs.groupby(candidate)[["learning_rate", "energy_kwh", "carbon_g"]].mean().reset_index()
    table = names.merge(means).merge(last_losses(lengths, candidate))
    table["energy_wh"] = table.pop("energy_kwh") * WH
    table = table.assign(**with_interval("val_dice", validation.performance), **with_interval("test_dice", test))
    table["could_be_best"] = could_be_best(test)
    table["wh_per_point"] = step_prices(table["val_dice"].to_numpy(), table["energy_wh"].to_numpy())
    corners = table[table["wh_per_point"].notna()].sort_values("energy_wh").index
    for before, after in pairwise(corners):
        table.loc[after, ["gain", "gain_low", "gain_high"]] = np.array(difference(test, before, after)) / POINT
    return table


def wide_or_long(lengths: Results) -> pd.DataFrame:
    """What twice the filters for half of the epochs change: energy, as a ratio, and test Dice, in points."""
    names, test = scores_by_patient(lengths, "test", ["filters", "epochs"])
    places = {(row.filters, row.epochs): place for place, row in enumerate(named_rows(names))}
    rows = []
    for (filters, epochs), long in places.items():
        if (wide := places.get((2 * filters, epochs // 2))) is not None:
            gain = np.array(difference(test.performance, long, wide)) / POINT
            rows.append((filters, epochs, test.mean_cost[wide] / test.mean_cost[long], *gain))
    return pd.DataFrame(rows, columns=["filters", "epochs", "energy", "gain", "gain_low", "gain_high"])


def difference(scores: np.ndarray, first: int, second: int) -> Interval:
    """Difference in mean, second minus first, with its 95 % interval."""
    pair = scores[[first, second]]
    (drawn,) = drawn_means(pair)
    before, after = np.nanmean(pair, axis=(1, 2))
    return interval(after - before, drawn[:, 1] - drawn[:, 0])


def last_losses(results: Results, by: list[str]) -> pd.DataFrame:
    """Mean training and validation loss of the last epoch, by columns of ``runs.csv``."""
    last = results.epochs.sort_values("epoch").groupby("run").tail(1)[["run", "train_loss", "val_loss"]]
    table = last.merge(results.runs[["run", *by]], on="run")
    return table.groupby(by)[["train_loss", "val_loss"]].mean().reset_index()


def step_sizes(steps: Results) -> pd.DataFrame:
    """A row a width and step size: validation Dice by patient, training loss, energy, and which step was chosen."""
    candidate = ["filters", "learning_rate"]
    names, validation = scores_by_patient(steps, "validation", candidate)
    energy = steps.runs.groupby(candidate)["energy_whole_run_kwh"].sum().mul(WH).rename("energy_wh").reset_index()
    table = names.merge(last_losses(steps, candidate)).merge(energy)
    table = table.assign(**with_interval("val_dice", validation.performance))
    return table.assign(chosen=table.groupby("filters")["val_dice"].transform("max") == table["val_dice"])


def as_cflow(study: Results, best: pd.DataFrame) -> pd.DataFrame:
    """What cFlow's options gave at each width beside ten epochs of our own; by its rule, the lowest loss decides."""
    names, test = scores_by_patient(study, "test", ["filters"])
    table = names.merge(study.runs[["run", "filters", "epochs_trained", "best_epoch", "energy_kwh"]])
    lowest = study.epochs.loc[study.epochs.groupby("run")["val_loss"].idxmin(), ["run", "epoch"]]
    table = table.merge(lowest).rename(columns={"epoch": "lowest_loss_epoch"}).drop(columns="run")
    table["energy_wh"] = table.pop("energy_kwh") * WH
    table = table.merge(last_losses(study, ["filters"])).assign(**with_interval("test_dice", test.performance))
    return table.merge(best.query("epochs == 10")[["filters", "test_dice"]].set_axis(["filters", "ten_epochs"], axis=1))


# --- Other patients: what another split changes, and what more of them are worth --------------------------------------


def splits(lengths: Results, others: Results) -> pd.DataFrame:
    """On each split by patient the test Dice of a narrow and a wide network, one training each, and the difference.

    Split 0 is that of ``lengths``, with the epochs, seed and widths that the other splits have.
    """
    first = lengths.runs.merge(others.runs[["filters", "epochs", "seed"]].drop_duplicates()).assign(split_seed=0)
    rows = []
    for study, runs in ((others, others.runs), (lengths, first)):
        for split, own in runs.groupby("split_seed"):
            names, test = scores_by_patient(replace(study, runs=own), "test", ["filters"])
            if len(names) != 2:
                raise InputError(
                    f"{study.where}: split {split} has F = {joined(list(names['filters']))}; expected two widths. Run: "
                    "carbon-midl study run studies/lidc-splits.toml"
                )
            narrow, wide = test.mean_performance
            gain, low, high = difference(test.performance, 0, 1)
            rows.append((split, test.performance.shape[1], narrow, wide, gain, low, high))
    columns = ["split", "patients", "narrow_dice", "wide_dice", "difference", "difference_low", "difference_high"]
    return pd.DataFrame(sorted(rows), columns=columns)


def patients_or_filters(lengths: Results, fewer: Results) -> pd.DataFrame:
    """What more training patients, and what more filters bring where the other stays as it is: test Dice, in points.

    ``fewer`` trains on a share of the patients for as many steps as ``lengths`` takes on all of them.
    """
    share, epochs = fewer.manifest["options"]["training_share"], fewer.runs["epochs"].iloc[0]
    as_long = lengths.runs[lengths.runs["epochs"] == share * epochs]
    alike = as_long[as_long["filters"].isin(fewer.runs["filters"])]
    both = replace(
        lengths,
        runs=pd.concat([fewer.runs.assign(training_share=share), alike.assign(training_share=1.0)]),
        slices=pd.concat([fewer.slices, lengths.slices]),
    )
    names, test = scores_by_patient(both, "test", ["training_share", "filters"])
    names, rows = names.astype(object), []
    for before, after in combinations(names.index, 2):
        old, new = names.loc[before], names.loc[after]
        if (old["filters"] == new["filters"]) != (old["training_share"] == new["training_share"]):
            gain = np.array(difference(test.performance, before, after)) / POINT
            rows.append((*old, *new, *test.mean_performance[[before, after]], *gain))
    ends = [f"{end}_{name}" for end in ("from", "to") for name in names]
    return pd.DataFrame(rows, columns=[*ends, "from_dice", "to_dice", "gain", "gain_low", "gain_high"])


# --- The recorded study on the GPU: a fixed protocol ------------------------------------------------------------------


def power(study: Results, seeds: tuple[int, ...] = (1, 3, 5, 10)) -> pd.DataFrame:
    """Half-width in points of a 95 % interval of a difference between two widths, if each had so many seeds.

    From the spread that the study has itself, mean over pairs of widths: between patients it stays, between trainings
    it shrinks with their number.
    """
    scores = scores_by_patient(study, "test", ["filters"])[1].performance
    count, trainings = len(scores), scores.shape[2]
    errors = np.array([difference_errors(scores, place)[0] for place in range(count)])
    variance = errors[~np.eye(count, dtype=bool)] ** 2
    # What a difference varies by when trainings are taken as they are, from the paired differences of patients.
    by_patient = np.nanmean(scores, axis=2)
    paired = np.array([(by_patient - own).var(axis=1, ddof=1) / scores.shape[1] for own in by_patient])
    between_seeds = np.maximum(variance - paired[~np.eye(count, dtype=bool)], 0) * trainings
    kept = variance - between_seeds / trainings
    rows = [(n, 1.96 * np.sqrt(kept + between_seeds / n).mean() / POINT) for n in seeds]
    return pd.DataFrame(rows, columns=["seeds", "half_width"])


def poster_pairs(study: Results, where: str, candidate: list[str]) -> pd.DataFrame:
    """From the cheapest candidate to the best (by validation where there is some) and to the dearest, in per cent.

    ``carbon`` and ``dice`` are per cent of the cheapest's; ``price`` is per cent more carbon for a per cent of Dice,
    with infinity as its upper limit where Dice may not have risen.
    """
    names, test = scores_by_patient(study, "test", candidate)
    judged = test
    if (study.slices["part"] == "validation").any():
        _, judged = scores_by_patient(study, "validation", candidate)
    drawn_dice, drawn_g = drawn_means(test.performance, test.cost)
    cheapest, best, dearest = (
        int(place) for place in (test.mean_cost.argmin(), judged.mean_performance.argmax(), test.mean_cost.argmax())
    )

    def more(means: np.ndarray, drawn: np.ndarray, place: int) -> Interval:
        """Per cent more than the cheapest's."""
        return interval(100 * (means[place] / means[cheapest] - 1), 100 * (drawn[:, place] / drawn[:, cheapest] - 1))

    rows = []
    for step, other in (("cheapest to best", best), ("cheapest to dearest", dearest)):
        carbon, gain = more(test.mean_cost, drawn_g, other), more(test.mean_performance, drawn_dice, other)
        price = [carbon.estimate / limit if limit > 0 else np.inf for limit in (gain.estimate, gain.high, gain.low)]
        row: dict[Any, Any] = {"study": where, "step": step, "n": int(names["n"].min())}
        for end, place in (("from", cheapest), ("to", other)):
            row |= names[candidate].add_prefix(f"{end}_").iloc[place].to_dict()
        for name, values in (("carbon", carbon), ("dice", gain), ("price", price)):
            row |= dict(zip((name, f"{name}_low", f"{name}_high"), values, strict=True))
        rows.append(row)
    return pd.DataFrame(rows)


def replicability(study: Results) -> pd.DataFrame:
    """What studies with a single training of each width would have said: a row a pair of widths.

    ``wider_is_better`` is the share of all pairs of single trainings in which the wider network has the higher test
    Dice, of ``pairs``; ``one_per_cent`` the share in which it gains more than nothing and at most 1.5 per cent, which
    rounds to the poster's "1 %".
    """
    names, test = scores_by_patient(study, "test", ["filters"])
    dice = np.nanmean(test.performance, axis=1)
    rows = []
    for pair in combinations(range(len(dice)), 2):
        narrow, wide = dice[list(pair)]
        gains = 100 * (wide[None, :] / narrow[:, None] - 1)
        gains = gains[np.isfinite(gains)]
        one = (gains > 0) & (gains <= 1.5)
        rows.append((*names["filters"].iloc[list(pair)], gains.size, (gains > 0).mean(), one.mean()))
    return pd.DataFrame(rows, columns=["narrow", "wide", "pairs", "wider_is_better", "one_per_cent"])


def optimism(study: Results, seeds: tuple[int, ...] = (1, 3), repeats: int = 20_000) -> pd.DataFrame:
    """How much too good the winner looks, in points, where each width has so many trainings and the best mean is taken.

    The winner's own mean of those trainings, less the mean of all its trainings; averaged over random studies, which
    draw their trainings from those that there are, with replacement.
    """
    _, test = scores_by_patient(study, "test", ["filters"])
    dice = np.nanmean(test.performance, axis=1)
    generator = np.random.default_rng(0)
    rows = []
    for n in seeds:
        taken = generator.integers(0, dice.shape[1], size=(repeats, len(dice), n))
        means = np.take_along_axis(dice[None], taken, axis=2).mean(axis=2)
        winner = means.argmax(axis=1)
        rows.append((n, (means.max(axis=1) - dice.mean(axis=1)[winner]).mean() / POINT))
    return pd.DataFrame(rows, columns=["seeds", "points"])


# --- What is counted --------------------------------------------------------------------------------------------------

IDLE_W = (70.0, 115.0)
"""What the board of the record may have drawn without work, which was not recorded then: the range of other records."""
HOST_W = (100.0, 200.0, 300.0)
"""What the rest of a server may draw beside its GPU."""
PEAK_FLOPS = 990e12
"""Of an H100 in bf16 without sparsity, from its data sheet."""
TRAINING_FLOPS, VALIDATION_FLOPS = 6, 2
"""Floating-point operations of a multiply-accumulate: two forward, and twice as many backward."""
CARBONTRACKER_CPU_W = 35.6
"""Half of a mean TDP, which carbontracker takes for a processor it cannot measure."""


def counted(study: Results, calibration: Results) -> pd.DataFrame:
    """By what is counted, how many times as much F = 64, 16 and 8 take as F = 4: a row a way of counting."""
    means = study.runs.groupby("filters")[["duration_s", "energy_kwh", "energy_gpu_kwh", "macs"]].mean()
    hours = means["duration_s"] / 3600
    ways = {"time": means["duration_s"]}
    ways |= {f"as recorded, and {watt:.0f} W of a host": means["energy_kwh"] + hours * watt / WH for watt in HOST_W}
    ways |= {"as recorded": means["energy_kwh"], "GPU": means["energy_gpu_kwh"]}
    ways |= {f"GPU less {watt:.0f} W when idle": means["energy_gpu_kwh"] - hours * watt / WH for watt in IDLE_W}
    ways |= {
        "two processor cores": calibration.runs.groupby("filters")["energy_kwh"].mean(),
        "arithmetic": means["macs"],
    }
    table = pd.DataFrame({way: values / values.loc[4] for way, values in ways.items()}).T
    table = table.reindex(columns=[8, 16, 32, 64]).rename(columns="F{}_ratio".format)
    return table.rename_axis(index="counted", columns=None).reset_index()


def efficiency(study: Results) -> pd.DataFrame:
    """A row a width: joules of the GPU for 10¹² operations, share of the GPU's peak, and its mean power in W."""
    slices = study.manifest["slices"]
    an_epoch = TRAINING_FLOPS * slices["train"] + VALIDATION_FLOPS * slices["validation"]
    runs = study.runs.assign(flop=study.runs["macs"] * study.runs["epochs_trained"] * an_epoch)
    joules = runs["energy_gpu_kwh"] * 3.6e6
    columns = pd.DataFrame({
        "j_per_tflop": joules / (runs["flop"] / 1e12),
        "share_of_peak": runs["flop"] / runs["duration_s"] / PEAK_FLOPS,
        "gpu_w": joules / runs["duration_s"],
    })  # fmt: skip
    return columns.groupby(runs["filters"]).mean().reset_index()


def trackers(study: Results) -> pd.DataFrame:
    """A row a width: carbontracker's GPU energy as a share of ours, over the same time, with its range over seeds."""
    runs = study.runs
    seconds = runs["carbontracker_duration_s"]
    theirs = runs["carbontracker_energy_before_pue_kwh"] - CARBONTRACKER_CPU_W * seconds / 3.6e6
    shares = theirs / (runs["energy_gpu_kwh"] * seconds / runs["duration_s"])
    return shares.groupby(runs["filters"]).agg(["mean", "min", "max"]).reset_index()


# --- More than Dice ---------------------------------------------------------------------------------------------------

METRICS: dict[str, Callable[[pd.DataFrame], "pd.Series[float]"]] = {
    "Dice": lambda table: 2 * table["overlap_px"] / (table["target_px"] + table["predicted_px"]),
    "IoU": lambda table: table["overlap_px"] / (table["target_px"] + table["predicted_px"] - table["overlap_px"]),
    "area": lambda table: 1 - (table["predicted_px"] / table["target_px"] - 1).abs().clip(upper=1),
}
"""Metrics of a slice or nodule, from its pixels; "area" is 1 less the relative error of the area, at least 0."""
UNITS = {"slice": ["patient_id", "nodule", "slice"], "nodule": ["patient_id", "nodule"], "patient": ["patient_id"]}
PIXELS = ["target_px", "predicted_px", "overlap_px"]


def by_unit(slices: pd.DataFrame, metric: str, unit: str) -> pd.DataFrame:
    """A metric by unit (rows) and run (columns): of a nodule's pixels added up, of a patient the mean of the slices."""
    if unit == "nodule":
        slices = slices.groupby(["run", *UNITS["nodule"]])[PIXELS].sum().reset_index()
    values = slices.assign(value=METRICS[metric](slices)).groupby(["run", *UNITS[unit]])["value"].mean()
    return values.unstack("run").dropna()


def more_than_dice(study: Results, candidate: list[str]) -> pd.DataFrame:
    """A row a candidate: Dice by slice, nodule and patient, error of the volume, nodules that are missed or poor."""
    slices = study.slices_of("test")
    columns = {
        f"dice_{unit}_{summary}": getattr(by_unit(slices, "Dice", unit), summary)()
        for unit, summary in product(UNITS, ("mean", "median"))
    }
    nodules = slices.groupby(["run", *UNITS["nodule"]])[PIXELS].sum()
    error = (nodules["predicted_px"] / nodules["target_px"] - 1).groupby("run")
    columns |= {
        "volume_error": error.mean(),
        "volume_error_median": error.median(),
        "missed": (nodules["overlap_px"] == 0).groupby("run").mean(),
        "below_half": (METRICS["Dice"](nodules) < 0.5).groupby("run").mean(),
    }
    by_run = study.runs.set_index("run")[candidate].join(pd.DataFrame(columns))
    return by_run.groupby(candidate).mean().reset_index()


def beside_readers(slices: pd.DataFrame, without: pd.DataFrame, calibration: pd.DataFrame) -> pd.DataFrame:
    """Networks and readers on the same target, and what a Dice does not say, a row a candidate.

    The tables are those of ``studies/readers.py``. ``difference`` is network less reader over the slices that all four
    readers outlined, each slice alike; surface Dice and the 95th percentile of the distance are of all test slices;
    ``marked`` is the share of slices without a consensus on which something is drawn; ``sure`` is the mean predicted
    probability of the pixels above 0.9, and ``readers_when_sure`` the share of readers who marked them.
    """
    candidate = ["filters", "epochs"]
    rows = []
    for filters, epochs in slices[candidate].drop_duplicates().itertuples(index=False):
        here = f"filters == {filters} and epochs == {epochs}"
        own, empty, bins = (table.query(here) for table in (slices, without, calibration))
        four = own.dropna(subset="reader_dice").groupby(["patient_id", "nodule", "slice"]).mean(numeric_only=True)
        patients = four.index.get_level_values("patient_id")
        row: dict[Any, Any] = {"filters": filters, "epochs": epochs, "trainings": own["seed"].nunique()}
        reader, network = four["reader_dice"], four["network_dice"]
        for name, values in {"reader": reader, "network": network, "difference": network - reader}.items():
            mean = mean_over_patients(values, patients)
            row |= {name: mean.estimate, f"{name}_low": mean.low, f"{name}_high": mean.high}
            row |= {"slices": mean.n, "patients": mean.patients}
        row |= own[["surface_dice_1px", "surface_dice_2px"]].mean().to_dict() | {"hd95_px": own["hd95_px"].median()}
        row["marked"] = (empty["predicted_px"] > 0).mean()
        sure = bins[bins["predicted"] > 0.9]
        row["sure"], row["readers_when_sure"] = np.average(sure[["predicted", "readers"]], 0, sure["pixels"])
        rows.append(row)
    return pd.DataFrame(rows)


# --- The multiverse: every defensible path of analysis ----------------------------------------------------------------

COSTS = {
    "energy": "energy_kwh", "energy to the best epoch": "energy_to_best_kwh", "arithmetic": "macs", "time": "duration_s"
}  # fmt: skip
DECISIONS = ("unit", "summary", "metric", "cost", "criterion")


def paths(study: Results, candidate: list[str], part: str = "test") -> pd.DataFrame:
    """What each path of analysis chooses: a row a path, a column a decision, and the chosen candidate's columns.

    A path takes a metric of slices, nodules or patients, the mean or median over them, the mean over trainings, a cost
    and a criterion. A budget lies halfway, by ratio, between the cheapest and the dearest; the price of a point is a
    tenth of the median cost.
    """
    slices, runs = study.slices_of(part), study.runs.set_index("run")
    keys = [runs[name] for name in candidate]
    rows = []
    for unit, metric in product(UNITS, METRICS):
        values = by_unit(slices, metric, unit)
        for summary, (cost_name, column) in product(("mean", "median"), COSTS.items()):
            performance = getattr(values, summary)().groupby(keys).mean()
            cost = runs[column].groupby(keys).mean()[performance.index].to_numpy(dtype=float)
            names = tuple(map(str, performance.index))
            candidates = Candidates(names, performance.to_numpy()[:, None, None], cost[:, None, None])
            for criterion in (
                Best(), NonInferior(), Budget(float(np.sqrt(cost.min() * cost.max()))), Weighted(), Pepr(), Knee(),
                Marginal(PRICE_SHARE * float(np.median(cost))),
            ):  # fmt: skip
                chosen = performance.index[names.index(choose(candidates, criterion).chosen)]
                rows.append((unit, summary, metric, cost_name, criterion.name, *np.atleast_1d(chosen)))
    return pd.DataFrame(rows, columns=[*DECISIONS, *candidate])


def paths_of_targets(lengths: Results, scored: pd.DataFrame) -> pd.DataFrame:
    """The same for networks of ``lengths`` and each number of readers that a pixel of the target takes, in ``target``.

    ``scored`` is a table of ``studies/readers.py``.
    """
    named = scored.merge(lengths.runs[["run", "filters", "epochs", "seed"]]).assign(part="test")
    scored_runs = lengths.runs[lengths.runs["run"].isin(named["run"])]
    return pd.concat(
        paths(replace(lengths, runs=scored_runs, slices=own), ["filters"]).assign(target=target)
        for target, own in named.groupby("target")
    )


def dice_by_target(scored: pd.DataFrame) -> pd.DataFrame:
    """Dice by patient for each number of readers and width, and what it gains, in points, over the narrowest there."""
    parts = []
    for target, own in scored.groupby("target"):
        dice = own.groupby(["filters", "patient_id"])["dice"].mean().unstack()
        scores = dice.to_numpy()[:, :, None]
        gains = np.array([difference(scores, 0, place) for place in range(len(scores))]) / POINT
        part = dice.index.to_frame(index=False).assign(target=target, patients=dice.shape[1])
        part[["gain", "gain_low", "gain_high"]] = gains
        parts.append(part.assign(**with_interval("dice", scores)))
    return pd.concat(parts)


def shares_of_paths(chosen: pd.DataFrame) -> pd.DataFrame:
    """The share of paths that choose each width, of all paths and of those that take each option of a decision."""
    decided = chosen.assign(all="paths").melt("filters", ["all", *DECISIONS], "decision", "option")
    shares = decided.groupby(["decision", "option"], sort=False)["filters"].value_counts(normalize=True, sort=False)
    return shares.rename("share").reset_index()


def deciding(chosen: pd.DataFrame, candidate: list[str]) -> "pd.Series[float]":
    """How often each decision matters: of pairs of paths that differ in it alone, the share that choose otherwise."""
    shares = {}
    decisions = chosen.drop(columns=candidate)
    answers = chosen[candidate].astype(str).agg(" ".join, axis=1)
    for decision in decisions:
        pairs = differing = 0
        for _, group in answers.groupby([decisions[name] for name in decisions if name != decision]):
            same = group.value_counts()
            pairs += len(group) * (len(group) - 1) // 2
            differing += (len(group) ** 2 - (same**2).sum()) // 2
        shares[decision] = differing / pairs
    return pd.Series(shares)


# --- All of it --------------------------------------------------------------------------------------------------------


def answer(root: Path = Path()) -> Tables:
    """Every table of the answer by its name, from the results recorded below ``root``."""
    gpu, lengths, steps = (read_results(root / where) for where in (GPU, LENGTHS, STEPS))
    calibration, other_splits, fewer = (read_results(root / where) for where in (CALIBRATION, SPLITS, PATIENTS))
    width, point = ["filters"], ["filters", "epochs"]
    gpu_paths, length_paths = paths(gpu, width), paths(lengths, point)
    *read, targets = (read_csv(root / READERS / name) for name in READ)
    decided = pd.DataFrame({
        "gpu_share": deciding(gpu_paths, width), "cores_share": deciding(length_paths, point),
        "readers_share": deciding(paths_of_targets(lengths, targets), width),
    })  # fmt: skip
    reference, phantom, tuning, tried, leaked = (read_results(root / "results" / name) for name in BESIDE)
    trials = comparisons.trials(tuning, tried)
    again, recipes = comparisons.again(trials, gpu)[AGAIN], comparisons.recipes(gpu, reference)
    best = frontier(lengths)
    two = best.query("filters == 8 and epochs in (10, 40)")
    moved = (
        difference(scores_by_patient(gpu, "test", width)[1].performance, 0, -1),
        difference(scores_by_patient(lengths, "test", point)[1].performance, *two.index),
    )
    return {
        "frontier": best,
        "wide-or-long": wide_or_long(lengths),
        "step-sizes": step_sizes(steps),
        "cflow": as_cflow(read_results(root / CFLOW), best),
        "splits": splits(lengths, other_splits),
        "patients": patients_or_filters(lengths, fewer),
        "power": power(gpu),
        "poster": pd.concat(
            [poster_pairs(gpu, "GPU, fixed protocol", width), poster_pairs(lengths, "two cores, frontier", point)]
        ),
        "replicability": replicability(gpu),
        "optimism": optimism(gpu),
        "counted": counted(gpu, calibration),
        "efficiency": efficiency(gpu),
        "trackers": trackers(gpu),
        "metrics-gpu": more_than_dice(gpu, width),
        "metrics-frontier": more_than_dice(lengths, point),
        "paths-gpu": shares_of_paths(gpu_paths),
        "paths-frontier": shares_of_paths(length_paths),
        "deciding": decided.sort_values("gpu_share", ascending=False).rename_axis("decision").reset_index(),
        "targets": dice_by_target(targets),
        "readers": beside_readers(*read),
        "recipes-lidc": recipes,
        "recipes-phantom": comparisons.recipes(phantom),
        "trials": trials[TRIED],
        "again": again,
        "movers": comparisons.movers(gpu, recipes.iloc[0], again.query("filters == 4").iloc[0], two, *moved),
        "leak": comparisons.leak(leaked, tried),
        "instruments": comparisons.instruments(gpu),
        "yardsticks": comparisons.yardsticks(gpu, root / YARDSTICKS),
        "everything": comparisons.everything(root, gpu),
    }


def main() -> None:
    """Compute and write every table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=OUT, help="(default: %(default)s)")
    out = parser.parse_args().out
    for name, table in answer().items():
        write_text(out / f"{name}.csv", table.to_csv(index=False, float_format="%.6g"))
    print(f"{out}: written.")


if __name__ == "__main__":
    main()
