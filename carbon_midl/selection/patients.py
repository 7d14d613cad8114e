"""How sure a Dice is: bootstrap over test patients and seeds.

Slices of one patient resemble one another, so the patient is the unit that is drawn again. All widths are evaluated on
the same patients of a draw, which makes every difference between widths a paired one. Another seed would have given
another network, so each width's seeds are drawn again, too; with few of them that spread is known only roughly, and is
rather too small than too large.
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
    """Mean test Dice over the slices of a patient, by patient (rows) and by width and seed (columns).

    Args:
        slices: one row a run and test slice with the columns ``patient_id``, ``filters``, ``seed`` and ``dice``.

    Raises:
        InputError: a column is missing, there is no row, or no patient was tested in every run.
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
    complete = by_run.unstack(["filters", "seed"]).sort_index(axis=1).dropna()
    if complete.empty:
        raise InputError("slices: no patient was tested in every run; widths can only be compared on shared patients.")
    return complete


@dataclass(frozen=True)
class PatientBootstrap:
    """Mean Dice of every width, as observed and on resampled sets of patients and seeds.

    Attributes:
        widths: the compared widths, ascending.
        patients: how many patients every run was tested on.
        observed: mean over seeds and patients, one value a width.
        means: the same on each draw, shape (draws, widths), with the same patients across a row.
    """

    widths: list[int]
    patients: int
    observed: np.ndarray
    means: np.ndarray

    @classmethod
    def draw(cls, table: pd.DataFrame, draws: int = DRAWS, seed: int = 0) -> "PatientBootstrap":
        """Draw patients and, within each width, seeds with replacement; the same ``seed`` gives the same draws.

        Args:
            table: Dice, as made by :func:`patient_dice`.
            draws: how many.
            seed: of the draws.
        """
        generator = np.random.default_rng(seed)
        patients = len(table)
        shares = generator.multinomial(patients, np.full(patients, 1 / patients), size=draws) / patients
        widths = sorted({int(width) for width in table.columns.get_level_values(0)})
        means = np.empty((draws, len(widths)))
        for column, width in enumerate(widths):
            by_seed = shares @ table[width].to_numpy()
            chosen = generator.integers(0, by_seed.shape[1], size=by_seed.shape)
            means[:, column] = np.take_along_axis(by_seed, chosen, axis=1).mean(axis=1)
        observed = np.array([table[width].to_numpy().mean() for width in widths])
        return cls(widths, patients, observed, means)

    def dice(self, width: int) -> Interval:
        """Mean Dice over patients and seeds at ``width``."""
        return _interval(*self._mean(width))

    def difference(self, first: int, second: int) -> Interval:
        """Mean difference in Dice on the same patients, ``second`` minus ``first``."""
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
        return float(self.observed[column]), self.means[:, column]


def _interval(estimate: float, draws: np.ndarray) -> Interval:
    low, high = np.quantile(draws, [0.025, 0.975])
    return Interval(estimate, float(low), float(high))
