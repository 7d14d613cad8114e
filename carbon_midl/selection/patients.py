"""How sure a Dice is: bootstrap over test patients.

Slices of one patient resemble one another, so the patient is the unit that is drawn again. All widths are
evaluated on the same draw, which makes every difference between widths a paired one.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pandas as pd

from carbon_midl.errors import InputError

DRAWS = 4000
COLUMNS = ("patient_id", "filters", "seed", "dice")


class Interval(NamedTuple):
    """An estimate with its 95 % percentile interval."""

    estimate: float
    low: float
    high: float

    @property
    def excludes_zero(self) -> bool:
        """Whether the whole interval lies on one side of zero."""
        return self.low > 0 or self.high < 0


def patient_dice(slices: pd.DataFrame) -> pd.DataFrame:
    """Mean test Dice by patient (rows) and width (columns): over the slices of a run, then over seeds.

    Args:
        slices: one row a run and test slice with the columns ``patient_id``, ``filters``, ``seed`` and ``dice``.

    Raises:
        InputError: a column is missing, there is no row, or no patient was tested at every width.
    """
    missing = [name for name in COLUMNS if name not in slices.columns]
    if missing:
        raise InputError(
            f"slices: no column {', '.join(missing)}; found {', '.join(map(str, slices.columns))}. "
            "Collect the study again."
        )
    if slices.empty:
        raise InputError("slices: no rows; expected one a run and test slice. Run the study first.")
    by_run = slices.groupby(["patient_id", "filters", "seed"])["dice"].mean()
    table = by_run.groupby(["patient_id", "filters"]).mean().unstack("filters").sort_index(axis=1)
    complete = table.dropna()
    if complete.empty:
        raise InputError(
            "slices: no patient was tested at every width; widths can only be compared on shared patients."
        )
    return complete


@dataclass(frozen=True)
class PatientBootstrap:
    """Mean Dice of every width on resampled sets of patients.

    Attributes:
        table: Dice, shape (patients, widths), as made by :func:`patient_dice`.
        means: mean Dice, shape (draws, widths), on the same patients across a row.
    """

    table: pd.DataFrame
    means: np.ndarray

    @classmethod
    def draw(cls, table: pd.DataFrame, draws: int = DRAWS, seed: int = 0) -> "PatientBootstrap":
        """Draw patients with replacement; the same ``seed`` gives the same draws."""
        generator = np.random.default_rng(seed)
        chosen = generator.integers(0, len(table), size=(draws, len(table)))
        return cls(table, table.to_numpy()[chosen].mean(axis=1))

    @property
    def widths(self) -> list[int]:
        """The compared widths, ascending."""
        return [int(width) for width in self.table.columns]

    @property
    def patients(self) -> int:
        """How many patients every width was tested on."""
        return len(self.table)

    def dice(self, width: int) -> Interval:
        """Mean Dice over patients at ``width``."""
        estimate, draws = self._mean(width)
        return _interval(estimate, draws)

    def difference(self, first: int, second: int) -> Interval:
        """Paired mean difference in Dice, ``second`` minus ``first``."""
        (before, draws_before), (after, draws_after) = self._mean(first), self._mean(second)
        return _interval(after - before, draws_after - draws_before)

    def relative_difference(self, first: int, second: int) -> Interval:
        """Difference as a fraction of the Dice of ``first``."""
        (before, draws_before), (after, draws_after) = self._mean(first), self._mean(second)
        return _interval(after / before - 1, draws_after / draws_before - 1)

    def _mean(self, width: int) -> tuple[float, np.ndarray]:
        """Mean Dice of ``width``, as observed and on every draw."""
        if width not in self.widths:
            raise InputError(f"width {width}: not among the tested widths {self.widths}.")
        column = self.widths.index(width)
        return float(self.table.iloc[:, column].mean()), self.means[:, column]


def _interval(estimate: float, draws: np.ndarray) -> Interval:
    low, high = np.quantile(draws, [0.025, 0.975])
    return Interval(estimate, float(low), float(high))
