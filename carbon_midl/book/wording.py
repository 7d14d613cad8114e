"""Numbers as they are printed in the book."""

import math
import re
from collections.abc import Sequence
from typing import Any

from carbon_midl.measures import Interval

NBSP = "\N{NO-BREAK SPACE}"
MINUS = "\N{MINUS SIGN}"
_WORDS = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"]


def unbroken(text: str) -> str:
    """Keep a number and its unit, and ``F = 8``, on one line."""
    text = re.sub(r"F = (?=\d)", f"F{NBSP}={NBSP}", text)
    return re.sub(r"(?<=\d) (?=(?:%|mg|g|kg|Wh|kWh|min|s|h|px)(?![\w/]))", NBSP, text)


def count(value: int) -> str:
    """Write up to twelve as a word, more in figures with thousands separated."""
    return _WORDS[value] if 0 <= value < len(_WORDS) else f"{value:,}"


def plural(value: int, noun: str) -> str:
    """``1 seed``, ``2 seeds``."""
    return f"{value:,} {noun}" if value == 1 else f"{value:,} {noun}s"


def joined(items: Sequence[object]) -> str:
    """``a``, ``a and b``, ``a, b and c``."""
    words = [str(item) for item in items]
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"


def significant(value: float, digits: int = 3) -> str:
    """``value`` to so many significant digits, without an exponent and with thousands separated."""
    if math.isnan(value):
        return "–"
    if math.isinf(value):
        return "∞" if value > 0 else f"{MINUS}∞"
    if value == 0:
        return "0"
    decimals = digits - 1 - math.floor(math.log10(abs(value)))
    text = f"{round(value, decimals):,.{max(decimals, 0)}f}"
    return text.replace("-", MINUS)


def carbon(grams: float) -> str:
    """Grams of CO2 equivalent in mg, g or kg."""
    if abs(grams) < 1 and grams != 0:
        return f"{significant(grams * 1e3)} mg"
    if abs(grams) >= 1e3:
        return f"{significant(grams / 1e3)} kg"
    return f"{significant(grams)} g"


def energy(kwh: float) -> str:
    """Energy in Wh or kWh."""
    return f"{significant(kwh)} kWh" if abs(kwh) >= 0.1 else f"{significant(kwh * 1e3)} Wh"


def machine(hardware: dict[str, Any]) -> str:
    """A machine in a word or two for a narrow column: its GPUs, or that it had none."""
    names = {str(name).removeprefix("NVIDIA ").split()[0] for name in hardware.get("gpu") or []}
    return joined(sorted(names)) if names else "CPU"


def how_known(methods: str) -> str:
    """Whether energies obtained by these methods, such as "measured: RAPL; estimated: W per GB", are estimates."""
    estimated = ["estimated" in method for method in methods.split(";")]
    if all(estimated):
        return "estimated"
    return "partly estimated" if any(estimated) else "measured"


def duration(seconds: float) -> str:
    """A duration in seconds, minutes or hours."""
    if seconds < 120:
        return f"{significant(seconds)} s"
    return f"{significant(seconds / 60)} min" if seconds < 7200 else f"{significant(seconds / 3600)} h"


def dice(value: float) -> str:
    """A Dice coefficient to three decimals."""
    return "–" if math.isnan(value) else f"{value:.3f}".replace("-", MINUS)


def dice_interval(interval: Interval) -> str:
    """``0.701 (0.650 to 0.748)``."""
    return f"{dice(interval.estimate)} ({dice(interval.low)} to {dice(interval.high)})"


def points_interval(interval: Interval) -> str:
    """``+1.2 points (+0.4 to +2.0)`` of a difference in Dice, a point being 0.01."""
    estimate, low, high = (signed(100 * value) for value in interval)
    return f"{estimate} points ({low} to {high})"


def span(low: int, high: int) -> str:
    """``6``, or ``4 to 6``."""
    return f"{low}" if low == high else f"{low} to {high}"


def signed(value: float, decimals: int = 1) -> str:
    """A number with its sign, a true minus."""
    return f"{value:+.{decimals}f}".replace("-", MINUS)


def percent(fraction: float) -> str:
    """A fraction in per cent: one decimal below ten, then three significant digits."""
    value = fraction * 100
    return f"{value:.1f} %".replace("-", MINUS) if abs(value) < 10 else f"{significant(value)} %"


def times(ratio: float) -> str:
    """A ratio, ``12.3 times``."""
    return f"{significant(ratio)} times"
