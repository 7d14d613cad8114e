"""The book's figures by name: how each is drawn, and from which table. Chapters have captions and alternative texts."""

from collections.abc import Callable
from typing import NamedTuple

import pandas as pd

from carbon_midl.book import figures
from carbon_midl.book.evidence import Evidence, WidthStudy
from carbon_midl.lidc.statistics import ALL_SIZES
from carbon_midl.selection.by_width import learning
from carbon_midl.study.results import named_rows


class Picture(NamedTuple):
    """A figure: how it is drawn, from what, and its size in inches."""

    draw: figures.Draw
    data: pd.DataFrame
    size_in: tuple[float, float] = figures.SIZE_IN


def unet(evidence: Evidence) -> Picture:
    """The network's levels."""
    size, levels = int(evidence.results.manifest["crops"]["size"]), range(evidence.depth)
    table = pd.DataFrame({"level": levels}).assign(
        filters=["F" if level == 0 else f"{2**level} F" for level in levels],
        pixels=[f"{size // 2**level} × {size // 2**level}" for level in levels],
    )
    return Picture(figures.unet, table, (5.6, 3.6))


def choice_probability(study: WidthStudy) -> Picture:
    """Probability of choice by criterion."""
    _, likely = study.choices
    table = likely.assign(filters=likely["candidate"].astype(int)).drop(columns="candidate")
    return Picture(figures.choice_probability, table, (5.6, 3.4))


def lidc_ratings(evidence: Evidence) -> Picture:
    """The distributions of the nine ratings."""
    table = evidence.statistics["rating counts"]
    return Picture(figures.lidc_ratings, table.assign(rating=table["rating"].str.replace("_", " ")), (5.6, 4.2))


def lidc_agreement(evidence: Evidence) -> Picture:
    """Dice of two readers by size of the nodule."""
    kinds = {"on a slice both outlined": "slice dice", "over the whole nodule": "nodule dice"}
    parts = [evidence.statistics[name].assign(compared=compared) for compared, name in kinds.items()]
    table = pd.concat(parts, ignore_index=True)
    return Picture(figures.lidc_agreement, table[table["size"] != ALL_SIZES], (5.6, 3.7))


def lidc_leak(evidence: Evidence) -> Picture:
    """The copycat's Dice under both splits."""
    copycat, slice_dice = (evidence.statistics[name] for name in ("copycat", "slice dice"))
    means = {row.split: row.estimate for row in named_rows(copycat[copycat["measure"] == "dice"])}
    readers = float(slice_dice.loc[slice_dice["size"] == ALL_SIZES, "mean"].iloc[0])
    table = evidence.statistics["copycat dice"]
    return Picture(figures.lidc_leak, table.assign(mean=table["split"].map(means), readers=readers))


def policies(evidence: Evidence) -> Picture:
    """Reliability against price of every policy."""
    record, columns = evidence.published, ["dataset", "name", "policy", "share", "within"]
    names = dict(zip(record.policies["policy"], record.policies["name"], strict=True))
    tested = record.tuned[record.tuned["on"] != record.tuned["tuned_on"]]
    tested = tested.assign(dataset=tested["on"], name=tested["policy"].map(names), role="tested")
    table = pd.concat([record.policies[columns].assign(role="grid"), tested[[*columns, "role"]]], ignore_index=True)
    return Picture(figures.policies, table.assign(dataset=table["dataset"].map(figures.DATASETS)), (5.6, 4.2))


def search_trail(evidence: Evidence) -> Picture:
    """What the recorded search did, step by step."""
    record = evidence.search
    table = record.trail[record.trail["state"] == "done"]
    full_sweep_kwh = float(record.sweep["energy_whole_run_kwh"].sum())
    chosen = table["candidate"] == record.outcome["chosen"]
    return Picture(figures.search_trail, table.assign(chosen=chosen, full_sweep_kwh=full_sweep_kwh))


PICTURES: dict[str, Callable[[Evidence], Picture]] = {
    "growth": lambda evidence: Picture(figures.growth, evidence.systems, (5.6, 4.0)),
    "unet": unet,
    "dice-carbon": lambda evidence: Picture(figures.dice_carbon, evidence.widths),
    "learning": lambda evidence: Picture(figures.learning, learning(evidence.results)),
    "selection-price": lambda evidence: Picture(figures.selection_price, evidence.price, (5.6, 2.9)),
    "dice-size": lambda evidence: Picture(figures.dice_size, evidence.sizes, (5.6, 4.1)),
    "choice-probability": choice_probability,
    "lidc-sizes": lambda evidence: Picture(figures.lidc_sizes, evidence.statistics["diameters"]),
    "lidc-ratings": lidc_ratings,
    "lidc-outlines": lambda evidence: Picture(figures.lidc_outlines, evidence.statistics["example"], (5.6, 4.0)),
    "lidc-agreement": lidc_agreement,
    "lidc-leak": lidc_leak,
    "policies": policies,
    "search-trail": search_trail,
}
"""Of the chapters."""
SHOWN_PICTURES: dict[str, Callable[[WidthStudy], Picture]] = {
    "shown-dice-carbon": lambda study: Picture(figures.dice_carbon, study.widths),
    "shown-learning": lambda study: Picture(figures.learning, learning(study.results)),
}
"""Of the study in the appendix."""
