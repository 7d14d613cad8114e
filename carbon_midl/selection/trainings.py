"""Trainings of each candidate, scored on the same patients: two things that vary, and are drawn together.

Another set of patients would have given other means to all candidates at once; another seed would have given one
candidate another network. A draw takes the same patients for every candidate and, for each, its own trainings.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from carbon_midl.selection.cost import Factors


@dataclass(frozen=True)
class Trainings:
    """Performance by candidate, training and patient.

    Attributes:
        performance: shape (n, s, p); candidates with fewer trainings than s are filled up with NaN.
        cost: of each training, shape (n, s).
        energy_kwh: shape (n, s), before PUE, where the cost was made from energy.
        duration_s: shape (n, s), where it is known.
    """

    performance: np.ndarray
    cost: np.ndarray
    energy_kwh: np.ndarray | None = None
    duration_s: np.ndarray | None = None

    @cached_property
    def counts(self) -> np.ndarray:
        """Trainings of each candidate, shape (n,)."""
        return np.isfinite(self.cost).sum(axis=1)

    def only(self, rows: Sequence[int]) -> "Trainings":
        """Those of some candidates."""
        chosen = list(rows)
        return Trainings(
            self.performance[chosen],
            self.cost[chosen],
            None if self.energy_kwh is None else self.energy_kwh[chosen],
            None if self.duration_s is None else self.duration_s[chosen],
        )

    def recosted(self, factors: Factors) -> "Trainings":
        """The same under other factors."""
        assert self.energy_kwh is not None, "Candidates.recosted has asked for it"
        cost = factors.carbon_g(self.energy_kwh, self.duration_s)
        return Trainings(self.performance, cost, self.energy_kwh, self.duration_s)

    def draw(self, shares: np.ndarray, generator: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Draw trainings of each candidate with replacement, on drawn patients.

        Args:
            shares: of each patient in each draw, shape (m, p).
            generator: of the draws.

        Returns:
            Performance and cost, each of shape (m, n).
        """
        draws, candidates = len(shares), len(self.cost)
        performance, cost = np.empty((draws, candidates)), np.empty((draws, candidates))
        for place, count in enumerate(self.counts):
            by_training = shares @ self.performance[place, :count].T
            taken = generator.integers(0, count, size=(draws, count))
            performance[:, place] = np.take_along_axis(by_training, taken, axis=1).mean(axis=1)
            cost[:, place] = self.cost[place, :count][taken].mean(axis=1)
        return performance, cost
