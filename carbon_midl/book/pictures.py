"""The book's figures: which table each is drawn from, and a text for those who cannot see it, made from that table."""

from collections.abc import Callable
from typing import NamedTuple

import pandas as pd

from carbon_midl.book import figures
from carbon_midl.book import wording as w
from carbon_midl.book.evidence import Evidence
from carbon_midl.study.results import named_rows


class Picture(NamedTuple):
    """A figure: how it is drawn, from what, its alternative text, its size in inches, whether its data are shared."""

    draw: figures.Draw
    data: pd.DataFrame
    alt: str
    size_in: tuple[float, float] = figures.SIZE_IN
    shared: bool = True


def growth(evidence: Evidence) -> Picture:
    """Training compute by date."""
    table = evidence.systems
    first, last = table.iloc[0], table.iloc[-1]
    alt = (
        f"Scatter plot of the training compute of {len(table)} systems by date of publication, on a logarithmic axis: "
        f"the cloud rises from {first.system} in {first.published[:4]} at {first.training_compute_flop:.1e} FLOP to "
        f"{last.system} in {last.published[:4]} at {last.training_compute_flop:.1e} FLOP. A dashed line joins AlexNet "
        "and AlphaGo Zero."
    )
    return Picture(figures.growth, table, alt, (5.6, 4.0))


def unet(evidence: Evidence) -> Picture:
    """The network's levels."""
    depth, size = evidence.depth, int(evidence.results.manifest["crops"]["size"])
    table = pd.DataFrame(
        [
            (level, "F" if level == 0 else f"{2**level} F", f"{size // 2**level} × {size // 2**level}")
            for level in range(depth)
        ],
        columns=["level", "filters", "pixels"],
    )
    alt = (
        f"Diagram of the U-Net: {w.count(depth)} levels in the shape of a U. From level to level on the way down the "
        f"filters double, from F to {2 ** (depth - 1)} F, and height and width halve by average pooling, from {size} "
        f"to {size // 2 ** (depth - 1)} pixels; on the way up bilinear upsampling doubles them again, and the features "
        "of the same level are copied across and appended."
    )
    return Picture(figures.unet, table, alt, (5.6, 3.6))


def dice_carbon(evidence: Evidence) -> Picture:
    """Dice against carbon by width."""
    points = w.joined(
        [
            f"F = {row.filters} at {w.carbon(row.carbon_g)} and Dice {w.dice(row.dice)}"
            for row in named_rows(evidence.widths)
        ]
    )
    alt = f"Test Dice against the carbon footprint of training on a logarithmic axis, one point a width: {points}."
    return Picture(figures.dice_carbon, evidence.widths, alt)


def learning(evidence: Evidence) -> Picture:
    """Validation Dice against carbon so far."""
    ends = evidence.learning.groupby(["filters", "run"]).last().groupby("filters").mean()
    points = w.joined(
        [
            f"F = {width} ends at {w.carbon(row.carbon_g)} and Dice {w.dice(row.best_val_dice)}"
            for width, row in ends.iterrows()
        ]
    )
    alt = (
        "Rising lines, one a run: best validation Dice so far against carbon spent so far, on a logarithmic axis. On "
        f"average {points}."
    )
    return Picture(figures.learning, evidence.learning, alt)


def selection_price(evidence: Evidence) -> Picture:
    """The carbon of the whole selection by width."""
    bars = w.joined(
        [f"F = {row.filters:.0f} {w.carbon(row.carbon_g)} ({row.share:.0%})" for row in named_rows(evidence.price)]
    )
    return Picture(
        figures.selection_price,
        evidence.price,
        f"Bars of the carbon footprint of all runs of a width: {bars}.",
        (5.6, 2.9),
    )


def dice_size(evidence: Evidence) -> Picture:
    """Dice by size of the nodule."""
    parts = []
    for label, rows in evidence.sizes.groupby("size", sort=False):
        low, high, readers = (
            w.dice(value) for value in (rows["dice"].min(), rows["dice"].max(), rows["readers_dice"].iloc[0])
        )
        parts.append(f"{label}, networks {low} to {high}, readers among themselves {readers}")
    alt = (
        "Test Dice of every width with intervals by area of the nodule, and the readers' own agreement as a line: "
        f"{'; '.join(parts)}."
    )
    return Picture(figures.dice_size, evidence.sizes, alt, (5.6, 4.1))


PICTURES: dict[str, Callable[[Evidence], Picture]] = {
    "growth": growth,
    "unet": unet,
    "dice-carbon": dice_carbon,
    "learning": learning,
    "selection-price": selection_price,
    "dice-size": dice_size,
}
