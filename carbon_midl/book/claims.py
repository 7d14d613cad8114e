"""What the text asserts, by name: each claim is a predicate over what was recorded.

A sentence that follows from a result carries ``{claim}`name```. Where the predicate does not hold, the book does not
build, and the message names the sentence's place. The page "What this book claims" says each one in words.
"""

from collections.abc import Callable

import pandas as pd

from carbon_midl.book.evidence import BY_PATIENT, BY_SLICE, Evidence, PublishedCurves
from carbon_midl.footprint.sensors import how_known
from carbon_midl.measures import Interval, mean_over_patients
from carbon_midl.selection.replay import TOLERANCE

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


def step_sizes(evidence: Evidence) -> "pd.Series[float]":
    """Validation Dice by step size of the trials at F = 16 that differ in nothing else."""
    trials = evidence.trials[evidence.trials["filters"] == 16]
    groups = [group for _, group in trials.groupby(["augment", "machine"])]
    return max(groups, key=len).set_index("learning_rate")["val_dice"].sort_index()


def augmentation_gains(evidence: Evidence) -> "pd.Series[float]":
    """What flips and turns added to the validation Dice, by width and step size, where it was tried both ways."""
    keys = ["filters", "learning_rate", "machine"]
    pairs = evidence.trials.pivot_table(index=keys, columns="augment", values="val_dice").dropna()
    return pairs[True] - pairs[False]


def chosen_widths(evidence: Evidence) -> dict[str, int]:
    """The width that each criterion chooses."""
    table = evidence.choices[0]
    return dict(zip(table["name"], table["chosen"].astype(int), strict=True))


def repeated(evidence: Evidence) -> dict[str, float]:
    """In what share of the draws each criterion repeats its choice."""
    return dict(evidence.choices[0].set_index("name")["probability"])


def moved_by_grid(evidence: Evidence) -> set[str]:
    """The criteria whose choice another grid changes."""
    chosen = evidence.choices_on_grids.fillna("none").groupby("name")["chosen"].nunique()
    return set(chosen.index[chosen > 1])


def gain_by_size(evidence: Evidence, first: int, second: int) -> list[float]:
    """Difference in Dice of two widths, from the smallest nodules to the largest."""
    dice = evidence.sizes.pivot(index="size", columns="filters", values="dice")
    return list((dice[second] - dice[first]).reindex(evidence.sizes["size"].unique()))


def behind_the_luckiest(evidence: Evidence, width: int) -> "pd.Series[float]":
    """By seed, how far a width's validation Dice lies below that of the best training of that seed."""
    dice = evidence.results.runs.pivot(index="seed", columns="filters", values="val_dice")
    return dice.max(axis=1) - dice[width]


def tested_elsewhere(record: PublishedCurves, dataset: str) -> "pd.Series[float]":
    """The policy that was chosen on the other data set, replayed on this one: a row of the table of tuned policies."""
    tuned = record.tuned
    return tuned[(tuned["on"] == dataset) & (tuned["tuned_on"] != dataset)].iloc[0]


def meets_aim(record: PublishedCurves, dataset: str) -> bool:
    """Whether it stayed within half a point in nine draws of ten, for a fifth of the full sweep's energy."""
    tested = tested_elsewhere(record, dataset)
    return bool(tested["within"] >= AIM_WITHIN and tested["share"] <= AIM_SHARE)


def beside_readers(evidence: Evidence) -> pd.DataFrame:
    """The test slices that all four readers outlined, with the Dice of the best width there as ``network_dice``."""
    slices = evidence.yardsticks.dropna(subset="reader_dice")
    best = max(evidence.bootstrap.widths, key=lambda width: slices[width].mean())
    return slices.assign(network_dice=slices[best])


def network_against_reader(evidence: Evidence) -> Interval:
    """The best width's Dice less a reader's."""
    slices = beside_readers(evidence)
    return Interval(*mean_over_patients(slices["network_dice"] - slices["reader_dice"], slices["patient_id"])[:3])


def extra_carbon(evidence: Evidence, width: int) -> float:
    """Per cent more carbon than the cheapest width."""
    return 100 * (evidence.carbon_g[width] / evidence.carbon_g[evidence.extremes[0]] - 1)


def price(evidence: Evidence, width: int) -> Interval:
    """Per cent more carbon than the cheapest width for each per cent more Dice; the more Dice, the cheaper."""
    gain = evidence.bootstrap.relative_difference(evidence.extremes[0], width)
    estimate, most, least = (extra_carbon(evidence, width) / (100 * part) for part in gain)
    return Interval(estimate, least, most)


def copycat(evidence: Evidence) -> dict[str, float]:
    """Mean Dice of the copycat by split."""
    table = evidence.statistics["copycat"]
    return dict(table[table["measure"] == "dice"].set_index("split")["estimate"])


def energy_spread(evidence: Evidence) -> float:
    """The largest ratio of energies of two runs of one width."""
    energy = evidence.results.runs.groupby("filters")["energy_kwh"]
    return float((energy.max() / energy.min()).max())


def gpu_share(evidence: Evidence) -> float:
    """The GPU's share of the counted energy."""
    runs = evidence.results.runs
    return float(runs["energy_gpu_kwh"].sum() / runs["energy_kwh"].sum())


def growth(evidence: Evidence, column: str) -> float:
    """By what factor a column of the table by width grows from the narrowest to the widest."""
    return float(evidence.widths[column].iloc[-1] / evidence.widths[column].iloc[0])


CLAIMS: dict[str, Callable[[Evidence], bool]] = {
    # The study.
    "protocol": lambda e: PROTOCOL.items() <= e.results.manifest["options"].items(),
    "no-run-left-out": lambda e: not e.results.manifest["runs_left_out"],
    "gpu-was-measured": lambda e: (
        how_known(*e.results.runs["energy_method"]) == "partly estimated" and gpu_share(e) > 0.8
    ),
    "energy-repeats": lambda e: energy_spread(e) < 1.1,
    "energy-grows-slower-than-arithmetic": lambda e: 1.25 * growth(e, "energy_kwh") < growth(e, "macs"),
    "annealed": lambda e: bool((e.results.runs["best_epoch"] >= 8).all()),
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
    "small-nodules-gain-most": lambda e: gain_by_size(e, 4, 16)[0] == max(gain_by_size(e, 4, 16)),
    "wide-networks-are-under-fitted": lambda e: bool(
        (final_loss(e, "train")[[48, 64]].min(axis=1) > final_loss(e, "train")[16]).all()
    ),
    "nothing-is-over-fitted": lambda e: bool(
        (final_loss(e, "val").mean() - final_loss(e, "train").mean() < 0.001).all()
    ),
    "step-size-outweighs-width": lambda e: (
        step_sizes(e)[1e-3] - step_sizes(e)[3e-3] > e.widths["dice"].max() - e.widths["dice"].min()
    ),
    "step-size-at-the-edge": lambda e: step_sizes(e).idxmax() == step_sizes(e).index.min() == 1e-3,
    "augmentation-did-not-help": lambda e: bool((augmentation_gains(e) < 0).all()),
    # Other yardsticks.
    "recipes-have-equal-dice": lambda e: not any(pair.difference.excludes_zero for pair in e.recipes["lidc"]),
    "efficient-takes-half": lambda e: all(pair.energy_share[0] < 0.5 for pair in e.recipes["lidc"]),
    "recipe-outweighs-width": lambda e: (
        e.recipes["lidc"][-1].efficient_kwh < 1.05 * e.recipes["lidc"][0].reference_kwh
    ),
    "recipes-on-phantoms-are-estimated": lambda e: {pair.known for pair in e.recipes["phantom"]} == {"estimated"},
    "network-like-a-reader": lambda e: not network_against_reader(e).excludes_zero,
    "copycat-gains-by-the-leak": lambda e: copycat(e)[BY_SLICE] - copycat(e)[BY_PATIENT] > 0.2,
    "leak-of-a-network-is-not-shown": lambda e: e.leak[0].low < e.leak[1].high,
    "phantom-carries-a-part": lambda e: e.transfer["phantom", "real"].share_high < 1,
    # Choosing.
    "criteria-choose": lambda e: (
        chosen_widths(e)
        == dict.fromkeys(["best", "budget", "noninferior", "weighted"], 16)
        | dict.fromkeys(["pepr", "knee", "marginal"], 8)
    ),
    "choices-of-eight-waver": lambda e: {name for name, share in repeated(e).items() if share < 0.9} == {
        "pepr", "knee", "marginal",
    },
    "grid-moves-the-price-alone": lambda e: moved_by_grid(e) == {"marginal"},
    "no-policy-is-safe": lambda e: not ((e.replays["within"] == 1) & (e.replays["share"] < 0.99)).any(),
    "best-width-misses-the-bar-itself": lambda e: behind_the_luckiest(e, e.best).max() > TOLERANCE,
    "policy-tuned-on-derma-meets-the-aim": lambda e: meets_aim(e.published, "lidc"),
    "policy-tuned-on-lidc-misses-it": lambda e: not meets_aim(e.published, "derma"),
    "search-lost-more-than-tolerated": lambda e: e.search.best.val_dice - e.search.chosen.val_dice > TOLERANCE,
}  # fmt: skip
