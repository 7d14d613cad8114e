"""Numbers to text, once for notebook, command line and book.

Energy, carbon and durations have two styles. Lines of text, as a notebook and the command line print them, leave out
zeros at the end (``4.2 Wh``); a ``page`` keeps them, so that numbers below one another have as many digits
(``4.20 Wh``), and writes a true minus.
"""

import math
import re
from collections.abc import Sequence

MINUS, NBSP = "\N{MINUS SIGN}", "\N{NO-BREAK SPACE}"
Limits = tuple[float, float]  # of an interval, in multiples of its estimate
_WORDS = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"]


def energy(kwh: float, page: bool = False) -> str:
    """Energy in kWh, Wh or mWh to three digits, on a page in kWh or Wh.

    >>> energy(0.0042), energy(0.0042, page=True), energy(0.4), energy(0.4, page=True)
    ('4.2 Wh', '4.20 Wh', '400 Wh', '0.400 kWh')
    """
    if page:
        return _scaled(kwh, [(0.1, "kWh", 1), (0, "Wh", 1e3)], page)
    return _scaled(kwh, [(1, "kWh", 1), (1e-3, "Wh", 1e3), (0, "mWh", 1e6)] if kwh else [(0, "kWh", 1)], page)


def carbon(grams: float, page: bool = False, limits: Limits | None = None) -> str:
    """Carbon in kg, g or mg of CO2 equivalent to three digits; a page writes CO₂eq itself.

    With limits, in multiples of the grams, it has two digits and its interval, as `within` writes it.

    >>> carbon(1234), carbon(0.5), carbon(0.5, page=True), carbon(1.13, limits=(0.7, 1.4))
    ('1.23 kgCO2eq', '500 mgCO2eq', '500 mg', '1.1 (0.8–1.6) gCO2eq')
    """
    unit = "g" if page else "gCO2eq"
    units = [(1e3, f"k{unit}", 1e-3), (1, unit, 1), (0, f"m{unit}", 1e3)] if grams else [(0, unit, 1)]
    return _scaled(grams, units, page, limits)


def within(value: float, limits: Limits) -> str:
    """``0.78 (0.55–1.09)``: to two digits, and its interval, which is given in multiples of it, to the same place."""
    decimals = 1 - math.floor(math.log10(abs(value))) if value else 0
    estimate, low, high = (
        f"{round(value * times, decimals):,.{max(decimals, 0)}f}".replace("-", MINUS) for times in (1, *limits)
    )
    return f"{estimate} ({low}–{high})"


def duration(seconds: float, page: bool = False) -> str:
    """A duration in h from two hours on, in min from two minutes on, otherwise in s, to three digits."""
    return _scaled(seconds, [(7200, "h", 1 / 3600), (120, "min", 1 / 60), (0, "s", 1)], page)


def _scaled(value: float, units: Sequence[tuple[float, str, float]], page: bool, limits: Limits | None = None) -> str:
    """In the first unit whose least value is reached, each with its least value and its factor."""
    _, unit, factor = next((one for one in units if abs(value) >= one[0]), units[-1])
    if limits and value:
        return f"{within(value * factor, limits)} {unit}"
    text = significant(value * factor) if page else number(float(f"{value * factor:.3g}"))
    return f"{text} {unit}"


def number(value: float) -> str:
    """Three significant digits, or all before the point, without an exponent where a reader can do without."""
    if not math.isfinite(value):
        return "–"
    if value == 0 or 1e-4 <= abs(value) < 1000:
        return f"{value:.3g}"
    return f"{value:,.0f}" if 1000 <= abs(value) < 1e7 else f"{value:.2e}"


def amount(value: float, unit: str) -> str:
    """A number with its unit."""
    return f"{number(value)} {unit}".rstrip()


def significant(value: float, digits: int = 3) -> str:
    """``value`` to so many significant digits, zeros at the end too, without an exponent and with a true minus."""
    if math.isnan(value):
        return "–"
    if math.isinf(value):
        return "∞" if value > 0 else f"{MINUS}∞"
    if value == 0:
        return "0"
    decimals = digits - 1 - math.floor(math.log10(abs(value)))
    return f"{round(value, decimals):,.{max(decimals, 0)}f}".replace("-", MINUS)


def signed(value: float, decimals: int = 1) -> str:
    """A number with its sign, which zero has not."""
    text = f"{value:+.{decimals}f}"
    return text.replace("-", MINUS) if float(text) else text[1:]


def dice(value: float) -> str:
    """A Dice coefficient to three decimals."""
    return "–" if math.isnan(value) else f"{value:.3f}".replace("-", MINUS)


def percent(fraction: float) -> str:
    """A fraction in per cent: one decimal below ten, then three significant digits."""
    value = fraction * 100
    return f"{value:.1f} %".replace("-", MINUS) if abs(value) < 10 else f"{significant(value)} %"


def times(ratio: float) -> str:
    """A ratio, ``12.3 times``."""
    return f"{significant(ratio)} times"


def count(value: int) -> str:
    """Up to twelve as a word, more in figures with thousands separated."""
    return _WORDS[value] if 0 <= value < len(_WORDS) else f"{value:,}"


def plural(value: int, noun: str) -> str:
    """``1 seed``, ``2 seeds``."""
    return f"{value:,} {noun}" if value == 1 else f"{value:,} {noun}s"


def span(low: int, high: int) -> str:
    """``6``, or ``4 to 6``."""
    return f"{low}" if low == high else f"{low} to {high}"


def joined(items: Sequence[object]) -> str:
    """``a``, ``a and b``, ``a, b and c``."""
    words = [str(item) for item in items]
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"


def in_columns(rows: Sequence[Sequence[str]]) -> list[str]:
    """Lines of rows of cells, each column as wide as its widest cell."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]


def listed(names: Sequence[str], most: int = 5) -> str:
    """Names in a row, the rest counted."""
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


def unbroken(text: str) -> str:
    """Keep a number and its unit, and ``F = 8``, on one line."""
    text = re.sub(r"F = (?=\d|$)", f"F{NBSP}={NBSP}", text)  # at the end, a number by name follows
    return re.sub(r"(?<=[\d)]) (?=(?:%|mg|g|kg|Wh|kWh|min|s|h|px)(?![\w/]))", NBSP, text)
