"""What the text asserts, by name: each claim is a predicate over what was recorded.

A sentence that follows from a result carries ``{claim}`name```. Where the predicate does not hold, the book does not
build, and the message names the sentence's place. The page "What this book claims" says each one in words.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd

from carbon_midl.book.evidence import BY_PATIENT, BY_SLICE, Evidence
from carbon_midl.footprint.sensors import how_known
from carbon_midl.measures import Interval
from carbon_midl.selection.replay import TOLERANCE
from carbon_midl.study.results import named_rows
from carbon_midl.training.options import SLICES_PER_SCAN

PROTOCOL = {
    "epochs": 10, "batch_size": 16, "learning_rate": 1e-3, "schedule": "cosine", "augment": True,
    "readers": "at least 2", "loss": "bce+dice", "recipe": "efficient",
}  # fmt: skip
AIM_WITHIN, AIM_SHARE = 0.9, 0.2
POSTER_PRICE = 1500.0
"""Per cent more carbon for one per cent more Dice."""


def final_loss(evidence: Evidence, part: str) -> pd.DataFrame:
    """Loss of the last epoch on the training or validation part ("train", "val"), by seed (rows) and width."""
    return evidence.last_epochs.pivot(index="seed", columns="filters", values=f"{part}_loss")


def rerun(evidence: Evidence, width: int) -> Any:
    """A trial with the very options of a run of the study, beside that run."""
    return next(row for row in named_rows(evidence.answer.again) if row.filters == width)


def step_sizes(evidence: Evidence) -> "pd.Series[float]":
    """Validation Dice by step size of the trials at F = 16 that differ in nothing else."""
    trials = evidence.answer.trials[evidence.answer.trials["filters"] == 16]
    groups = [group for _, group in trials.groupby(["augment", "machine"])]
    return max(groups, key=len).set_index("learning_rate")["val_dice"].sort_index()


def meets_aim(evidence: Evidence, dataset: str) -> bool:
    """Whether the policy chosen on the other data set stayed within half a point, for a fifth of the energy."""
    tested = evidence.published.tuned.query("on == @dataset and tuned_on != @dataset").iloc[0]
    return bool(tested["within"] >= AIM_WITHIN and tested["share"] <= AIM_SHARE)


READER = "A reader, with the others"


def yardstick(evidence: Evidence, who: str) -> Any:
    """Dice of a reader, a network or a threshold on the test slices."""
    return next(row for row in named_rows(evidence.answer.yardsticks) if row.who == who)


def against_reader(evidence: Evidence) -> Interval:
    """The best width's Dice less a reader's, on the slices that all four readers outlined."""
    row = yardstick(evidence, "Best U-Net less a reader")
    return Interval(row.four, row.four_low, row.four_high)


def extra_carbon(evidence: Evidence, width: int) -> float:
    """Per cent more carbon than the cheapest width."""
    return 100 * (evidence.carbon_g[width] / evidence.carbon_g[evidence.extremes[0]] - 1)


def price(evidence: Evidence, width: int) -> Interval:
    """Per cent more carbon than the cheapest width for each per cent more Dice; the more Dice, the cheaper."""
    gain = evidence.bootstrap.relative_difference(evidence.extremes[0], width)
    estimate, most, least = (extra_carbon(evidence, width) / (100 * part) for part in gain)
    return Interval(estimate, least, most)


def copycat(evidence: Evidence) -> "pd.Series[float]":
    """Mean Dice of the copycat by split."""
    return evidence.statistics["copycat"].query("measure == 'dice'").set_index("split")["estimate"]


def energy_spread(evidence: Evidence) -> float:
    """The largest ratio of energies of two runs of one width."""
    energy = evidence.runs.groupby("filters")["energy_kwh"]
    return float((energy.max() / energy.min()).max())


def gpu_share(evidence: Evidence) -> float:
    """The GPU's share of the counted energy."""
    return float(evidence.runs["energy_gpu_kwh"].sum() / evidence.runs["energy_kwh"].sum())


def growth(evidence: Evidence, column: str) -> float:
    """By what factor a column of the table by width grows from the narrowest to the widest."""
    return float(evidence.widths[column].iloc[-1] / evidence.widths[column].iloc[0])


FIXED, FRONTIER = "GPU, fixed protocol", "two cores, frontier"
"""The studies that the poster's sentence is held against, as ``studies/answer.py`` calls them."""


def poster_row(evidence: Evidence, study: str, step: str = "cheapest to best") -> Any:
    """The poster's sentence in one study: from the cheapest candidate to the best, or to the dearest."""
    table = evidence.answer.poster
    return next(named_rows(table[(table["study"] == study) & (table["step"] == step)]))


def at_three_wh(evidence: Evidence) -> pd.DataFrame:
    """What was trained for about 3 Wh: F = 4 for 40 epochs, 8 for 20 and 16 for 10."""
    table = evidence.answer.frontier
    return table[table["filters"] * table["epochs"] == 160]


def sixteen_to_four(evidence: Evidence) -> tuple[float, float]:
    """Energy of a training of F = 16 for ten epochs by that of F = 4, on two cores and on the GPU."""
    cores = evidence.answer.frontier.query("epochs == 10").set_index("filters")["energy_wh"]
    gpu = evidence.widths.set_index("filters")["energy_kwh"]
    return float(cores[16] / cores[4]), float(gpu[16] / gpu[4])


def best_beside_readers(evidence: Evidence) -> Any:
    """F = 16 after 40 epochs, the best candidate by validation, on the readers' own target."""
    table = evidence.answer.readers
    return next(row for row in named_rows(table) if (row.filters, row.epochs) == (16, 40))


def wider_is_better(evidence: Evidence, narrow: int, wide: int) -> float:
    """In what share of pairs of single trainings the wider network has the higher Dice."""
    table = evidence.answer.replicability
    return float(table[(table["narrow"] == narrow) & (table["wide"] == wide)]["wider_is_better"].iloc[0])


def longest(evidence: Evidence) -> pd.DataFrame:
    """Counts of uses for the longest training of each width."""
    return evidence.use_counts.sort_values("epochs").groupby("filters", as_index=False).last()


CLAIMS: dict[str, Callable[[Evidence], Any]] = {
    # The study.
    "protocol": lambda e: PROTOCOL.items() <= e.manifest["options"].items(),
    "no-run-left-out": lambda e: not e.manifest["runs_left_out"],
    "gpu-was-measured": lambda e: how_known(*e.runs["energy_method"]) == "partly estimated" and gpu_share(e) > 0.8,
    "pue-or-watts-widen-most": lambda e: (
        [spread.parts()[0][0] for spread in (e.spread, e.cores_spread)] == ["PUE", "cpu: W per core"]
    ),
    "energy-repeats": lambda e: energy_spread(e) < 1.1,
    "energy-grows-slower-than-arithmetic": lambda e: 1.25 * growth(e, "energy_kwh") < growth(e, "macs"),
    "tdp-hides-the-load": lambda e: e.answer.instruments.set_index("instrument")["growth"].pipe(
        lambda growth: growth[["Green Algorithms", "ML CO2 Impact"]].max() < 0.75 * growth["this record"]
    ),
    "annealed": lambda e: (e.runs["best_epoch"] >= 8).all(),
    # Dice and width.
    "sixteen-has-the-best-mean": lambda e: e.best == 16,
    "could-be-best": lambda e: e.candidates.could_be_best == ["16", "24", "32"],
    "sixteen-is-cheapest-of-the-best": lambda e: (
        min(map(int, e.candidates.could_be_best), key=lambda width: e.carbon_g[width]) == 16
    ),
    "four-to-sixteen-gains": lambda e: e.bootstrap.difference(4, 16).low > 0,
    "price-is-less-than-a-fiftieth": lambda e: price(e, 16).low > 0 and price(e, 16).high < POSTER_PRICE / 50,
    "nothing-gained-beyond-sixteen": lambda e: all(
        e.bootstrap.difference(16, wider).estimate < 0 for wider in e.bootstrap.widths if wider > 16
    ),
    "ends-are-not-told-apart": lambda e: not e.bootstrap.difference(*e.extremes).excludes_zero,
    "poster-s-rate-is-not-excluded": lambda e: (
        e.bootstrap.relative_difference(*e.extremes).low
        < extra_carbon(e, e.extremes[1]) / POSTER_PRICE / 100
        < e.bootstrap.relative_difference(*e.extremes).high
    ),
    "one-step-gains": lambda e: (
        e.steps.iloc[:-1].query("points_low > 0")[["first", "second"]].to_numpy().tolist() == [[8, 16]]
    ),
    "large-nodules-gain-is-not-shown": lambda e: (
        e.sizes.query("filters == 16")["gain_low"].gt(0).tolist() == [True, True, False]
    ),
    "wide-networks-are-under-fitted": lambda e: (
        final_loss(e, "train")[[48, 64]].min(axis=1) > final_loss(e, "train")[16]
    ).all(),
    "nothing-is-over-fitted": lambda e: (final_loss(e, "val").mean() - final_loss(e, "train").mean() < 0.001).all(),
    "step-size-outweighs-width": lambda e: (
        step_sizes(e)[1e-3] - step_sizes(e)[3e-3] > np.ptp(e.runs.groupby("filters")["val_dice"].mean())
    ),
    "step-size-at-the-edge": lambda e: step_sizes(e).idxmax() == step_sizes(e).index.min() == 1e-3,
    # Every width at its best.
    "each-width-has-its-step": lambda e: (
        e.answer.step_sizes.query("chosen").set_index("filters")["learning_rate"].to_dict()
        == {4: 1e-3, 8: 1e-3, 16: 3e-4, 32: 3e-4}
    ),
    "longer-is-better-at-every-width": lambda e: (
        e.answer.frontier.sort_values("epochs")
        .groupby("filters")["val_dice"]
        .agg(lambda dice: dice.is_monotonic_increasing)
    ).all(),
    "energy-not-width": lambda e: 100 * np.ptp(at_three_wh(e)["test_dice"]) < 1,
    "cores-charge-more-for-width": lambda e: sixteen_to_four(e)[0] > 2 * sixteen_to_four(e)[1],
    "loss-does-not-order-dice": lambda e: e.answer.frontier.query("epochs == 10 and filters in (8, 16)").pipe(
        lambda two: (two[["train_loss", "test_dice"]].diff().iloc[-1] > 0).all()
    ),
    "width-for-length-gains-nothing": lambda e: (e.answer.wide_or_long["gain_low"] <= 0).all(),
    "beyond-sixteen-length-is-the-better-buy": lambda e: e.answer.wide_or_long.query("filters == 16").pipe(
        lambda pairs: (pairs["energy"] > 1.4).all() and (pairs["gain"] < 0).all() and pairs["gain_high"].min() < 0
    ),
    "frontier-is-cheaper-than-the-poster": lambda e: poster_row(e, FRONTIER).price_high < POSTER_PRICE / 4,
    "not-worse-than-a-reader": lambda e: -0.02 < best_beside_readers(e).difference_low <= 0,
    # Other ways to look at it.
    "counting-decides-the-ratio": lambda e: e.answer.counted.pipe(
        lambda table: table["F64_ratio"].min() < 3 and table["F64_ratio"][table["counted"] != "arithmetic"].max() > 7
    ),
    "one-seed-cannot-tell-the-ends-apart": lambda e: (
        0.4 < wider_is_better(e, 4, 64) < 0.7 and wider_is_better(e, 4, 16) == 1
    ),
    "criterion-decides-most": lambda e: (e.answer.deciding.set_index("decision").idxmax() == "criterion").all(),
    "paths-choose-eight-or-sixteen": lambda e: (
        e.answer.paths_gpu.query("decision == 'all' and filters in (8, 16)")["share"].sum() > 0.95
    ),
    "sixteen-gains-at-every-target": lambda e: (e.answer.targets.query("filters == 16")["gain_low"] > 0).all(),
    "all-draw-too-large": lambda e: (e.answer.metrics_gpu["volume_error_median"] > 1 / 30).all(),
    "sixteen-beats-four-on-every-split": lambda e: (e.answer.splits["difference_low"] > 0).all(),
    "this-split-is-the-hardest": lambda e: (
        e.answer.splits.set_index("split")[["narrow_dice", "wide_dice"]].idxmin().eq(0).all()
    ),
    "more-filters-gain-and-more-patients-do-not": lambda e: (
        (e.answer.patients["gain_low"] > 0) == (e.answer.patients["from_filters"] < e.answer.patients["to_filters"])
    ).all(),
    "cflow-options-reach-less": lambda e: (e.answer.cflow["test_dice_high"] < e.answer.cflow["ten_epochs"]).all(),
    "cflow-would-have-gone-on": lambda e: (e.answer.cflow.eval("epochs_trained - lowest_loss_epoch") < 20).all(),
    # Other yardsticks.
    "recipes-have-equal-dice": lambda e: (
        (e.answer.recipes_lidc["difference_low"] <= 0).all() and (e.answer.recipes_lidc["difference_high"] >= 0).all()
    ),
    "efficient-takes-half": lambda e: (e.answer.recipes_lidc["share"] < 0.5).all(),
    "recipe-outweighs-width": lambda e: (
        e.answer.recipes_lidc["efficient_kwh"].iloc[-1] < 1.05 * e.answer.recipes_lidc["reference_kwh"].iloc[0]
    ),
    "recipes-on-phantoms-are-estimated": lambda e: (e.answer.recipes_phantom["known"] == "estimated").all(),
    "network-like-a-reader": lambda e: not against_reader(e).excludes_zero,
    "copycat-gains-by-the-leak": lambda e: copycat(e)[BY_SLICE] - copycat(e)[BY_PATIENT] > 0.2,
    "leak-of-a-network-is-not-shown": lambda e: e.leak[BY_SLICE].low < e.leak[BY_PATIENT].high,
    "phantom-carries-a-part": lambda e: (
        e.transfer.summary.query("trained_on == 'phantom' and tested_on == 'real'")["share_high"] < 1
    ).all(),
    # Choosing.
    "criteria-choose": lambda e: (
        dict(zip(e.choices["name"], e.choices["chosen"], strict=True))
        == dict.fromkeys(["best", "budget", "noninferior", "weighted"], "16")
        | dict.fromkeys(["pepr", "knee", "marginal"], "8")
    ),
    "choices-of-eight-waver": lambda e: {*e.choices.query("probability < 0.9")["name"]} == {"pepr", "knee", "marginal"},
    "grid-moves-the-price-alone": lambda e: (
        set(e.choices_on_grids.groupby("name").filter(lambda one: one["chosen"].nunique(dropna=False) > 1)["name"])
        == {"marginal"}
    ),
    "wider-takes-more-at-every-use": lambda e: e.uses.xs(64).pipe(
        lambda uses: (uses["energy_kwh_low"].iloc[1:].to_numpy() > uses["energy_kwh_high"].iloc[:-1]).all()
    ),
    "use-is-late-to-match-training": lambda e: (longest(e)["until_training"] > 1000 * SLICES_PER_SCAN).all(),
    "no-policy-is-safe": lambda e: not ((e.replays["within"] == 1) & (e.replays["share"] < 0.99)).any(),
    "best-width-misses-the-bar-itself": lambda e: (
        e.runs.pivot(index="seed", columns="filters", values="val_dice")
        .pipe(lambda dice: dice.max(axis=1) - dice[e.best])
        .gt(TOLERANCE)
        .any()
    ),
    "policy-tuned-on-derma-meets-the-aim": lambda e: meets_aim(e, "lidc"),
    "policy-tuned-on-lidc-misses-it": lambda e: not meets_aim(e, "derma"),
    "search-trained-them-all": lambda e: (
        set(e.search.trail.query("until == 8")["candidate"]) == set(e.search.search["candidates"])
        and e.search.search["chosen"] == e.search.sweep.set_index("run")["val_dice"].idxmax()
    ),
}
