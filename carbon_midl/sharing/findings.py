"""What checking stored results gives: how many numbers were compared with what the others give, and which disagree."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

TOLERANCE = 1e-9
"""Of a Dice; of an energy or a carbon figure relative to its size. Sums in another order differ by far less."""


@dataclass(frozen=True)
class Disagreement:
    """A stored value that is not what the other tables give.

    Attributes:
        file: that it stands in.
        column: of the table, or key of the manifest.
        found: the stored value.
        expected: what the others give.
        run: that it belongs to; empty where it belongs to none.
        row: of the table, the first below the header being 1; None where it is no single one.
    """

    file: str
    column: str
    found: str
    expected: str
    run: str = ""
    row: int | None = None

    def __str__(self) -> str:
        place = [self.file, f"row {self.row}" if self.row else "", self.run, self.column]
        return f"{', '.join(filter(None, place))}: found {self.found}, expected {self.expected}"


@dataclass
class Group:
    """Checks of one kind.

    Attributes:
        title: what is checked.
        numbers: how many were compared with what the other tables give.
        bounds: how many were only checked to be large enough.
        disagreements: what did not agree.
    """

    title: str
    numbers: int = 0
    bounds: int = 0
    disagreements: list[Disagreement] = field(default_factory=list)

    def same(self, file: str, column: str, found: Any, expected: Any, run: str = "", row: int | None = None) -> None:
        """Compare what must be equal."""
        self.numbers += 1
        self.holds(found == expected, file, column, found, expected, run, row)

    def close(self, file: str, column: str, found: float, expected: float) -> None:
        """Compare numbers that may differ by their rounding, to a billionth."""
        self.numbers += 1
        near = abs(found - expected) <= TOLERANCE * abs(expected)
        self.holds(near, file, column, found, expected)

    def column(
        self,
        file: str,
        column: str,
        runs: Sequence[str],
        found: pd.Series,
        expected: pd.Series,
        scale: pd.Series | float = 0.0,
    ) -> None:
        """Compare a column, to a billionth of ``scale``; what is NaN in ``expected`` is not known, and not compared."""
        self.numbers += int(expected.notna().sum())
        apart = (found - expected).abs() > TOLERANCE * (scale.abs() if isinstance(scale, pd.Series) else scale)
        for position in positions(expected.notna() & apart):
            self._differs(file, column, runs, position, found, _text(expected.iloc[position]))

    def at_least(self, file: str, column: str, runs: Sequence[str], found: pd.Series, least: pd.Series) -> None:
        """Check a column's lower bounds, to a billionth of them; what is NaN in ``least`` is not checked."""
        self.bounds += int(least.notna().sum())
        for position in positions(found < least - TOLERANCE * least.abs()):
            self._differs(file, column, runs, position, found, f"at least {_text(least.iloc[position])}")

    def holds(
        self, what: bool, file: str, column: str, found: Any, expected: Any, run: str = "", row: int | None = None
    ) -> None:
        """Check what is not a number that was recomputed."""
        if not what:
            self.disagreements.append(Disagreement(file, column, str(found), str(expected), run, row))

    def _differs(
        self, file: str, column: str, runs: Sequence[str], position: int, found: pd.Series, expected: str
    ) -> None:
        self.holds(False, file, column, _text(found.iloc[position]), expected, runs[position], position + 1)

    def __str__(self) -> str:
        numbers = f"{self.numbers:,} numbers checked, " if self.numbers else ""
        bounds = f"{self.bounds:,} bounds checked, " if self.bounds else ""
        verdict = f"{len(self.disagreements):,} disagree" if self.disagreements else "all agree"
        return f"{self.title}: {numbers}{bounds}{verdict}"


@dataclass(frozen=True)
class Findings:
    """All groups of checks.

    Attributes:
        where: the results that were checked.
        groups: of checks.
    """

    where: str
    groups: tuple[Group, ...]

    @property
    def numbers(self) -> int:
        """How many numbers were compared with what the other tables give."""
        return sum(group.numbers for group in self.groups)

    @property
    def disagreements(self) -> list[Disagreement]:
        """All that did not agree."""
        return [found for group in self.groups for found in group.disagreements]

    @property
    def verdict(self) -> str:
        """How many disagreements there are."""
        count = len(self.disagreements)
        return f"{count:,} disagreement{'' if count == 1 else 's'}" if count else "all agree"


def positions(mask: "pd.Series[bool]") -> list[int]:
    """Where a mask is true, counted from 0."""
    return [int(position) for position in np.flatnonzero(mask.to_numpy())]


def _text(value: float) -> str:
    """A number as it is written in a table: counts without a point, all digits of others."""
    return str(int(value)) if float(value).is_integer() else repr(float(value))
