"""Numbers as they are printed in the book."""

import re
from functools import partial
from typing import Any

from carbon_midl import units
from carbon_midl.footprint.sensors import how_known
from carbon_midl.measures import Interval
from carbon_midl.units import count, dice, joined, percent, plural, signed, significant, span, times

__all__ = [
    "carbon", "count", "dice", "duration", "energy", "how_known", "joined", "percent", "plural", "signed",
    "significant", "span", "times",
]  # fmt: skip

NBSP = "\N{NO-BREAK SPACE}"
energy, carbon, duration = (partial(form, page=True) for form in (units.energy, units.carbon, units.duration))


def unbroken(text: str) -> str:
    """Keep a number and its unit, and ``F = 8``, on one line."""
    text = re.sub(r"F = (?=\d)", f"F{NBSP}={NBSP}", text)
    return re.sub(r"(?<=\d) (?=(?:%|mg|g|kg|Wh|kWh|min|s|h|px)(?![\w/]))", NBSP, text)


def machine(hardware: dict[str, Any]) -> str:
    """A machine in a word or two for a narrow column: its GPUs, or that it had none."""
    names = {str(name).removeprefix("NVIDIA ").split()[0] for name in hardware.get("gpu") or []}
    return joined(sorted(names)) if names else "CPU"


def dice_interval(interval: Interval) -> str:
    """``0.701 (0.650 to 0.748)``."""
    return f"{dice(interval.estimate)} ({dice(interval.low)} to {dice(interval.high)})"


def points_interval(interval: Interval) -> str:
    """``+1.2 points (+0.4 to +2.0)`` of a difference in Dice, a point being 0.01."""
    estimate, low, high = (signed(100 * value) for value in interval)
    return f"{estimate} points ({low} to {high})"
