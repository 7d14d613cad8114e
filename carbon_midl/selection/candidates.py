"""Candidates to choose from: performance and cost of each, with as many replicates as it has.

:func:`carbon_midl.selection.reading.read_candidates` makes them from a table.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache, cached_property, partial

import numpy as np

from carbon_midl.errors import InputError
from carbon_midl.measures import could_be_best, difference_errors
from carbon_midl.selection.cost import Factors
from carbon_midl.selection.trainings import Trainings

CARBON_UNIT = "gCO2eq"


@dataclass(frozen=True)
class Candidates:
    """Performance and cost of n candidates with up to r replicates.

    Attributes:
        names: n names, in numerical order where they are numbers, otherwise as they first appeared.
        performance: shape (n, r), between 0 and 1; the replicates come first, NaN fills up.
        cost: shape (n, r), in ``unit``, with NaN in the same places.
        paired: whether all share the replicates, in the same columns, and are compared on each.
        cost_name: "carbon", or the column of another resource.
        unit: of the cost.
        performance_name: the column it came from.
        energy_kwh: shape (n, r), before PUE, where the cost was made from energy.
        duration_s: shape (n, r), where it is known.
        factors: that made carbon from energy, where it was.
        trainings: where replicates are patients, the trainings that were scored on them; the replicates' performance is
            then the mean over a candidate's trainings.
        notes: what was left out or assumed, in sentences.
    """

    names: tuple[str, ...]
    performance: np.ndarray
    cost: np.ndarray
    paired: bool
    cost_name: str = "carbon"
    unit: str = CARBON_UNIT
    performance_name: str = "performance"
    energy_kwh: np.ndarray | None = None
    duration_s: np.ndarray | None = None
    factors: Factors | None = None
    trainings: Trainings | None = None
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.names)

    @cached_property
    def counts(self) -> np.ndarray:
        """How many replicates each candidate has, shape (n,)."""
        return np.isfinite(self.performance).sum(axis=1)

    @cached_property
    def mean_performance(self) -> np.ndarray:
        """Mean over each candidate's replicates, shape (n,)."""
        return np.nanmean(self.performance, axis=1)

    @cached_property
    def mean_cost(self) -> np.ndarray:
        """Mean over each candidate's replicates, in ``unit``, shape (n,)."""
        return np.nanmean(self.cost, axis=1)

    @cached_property
    def scores(self) -> np.ndarray:
        """Performance by candidate, patient and training, as ``measures`` takes it."""
        if self.trainings is not None:
            return self.trainings.performance.swapaxes(1, 2)
        return self.performance[:, :, None] if self.paired else self.performance[:, None, :]

    @cached_property
    def difference_errors(self) -> Callable[[int], tuple[np.ndarray, np.ndarray]]:
        """`measures.difference_errors` from the candidate at a place; what was found is kept."""
        return cache(partial(difference_errors, self.scores))

    @cached_property
    def could_be_best(self) -> list[str]:
        """Names of those that could have the best mean performance, at 95 %."""
        return [name for name, could in zip(self.names, could_be_best(self.scores), strict=True) if could]

    def without(self, index: int) -> "Candidates":
        """All but one of them."""
        return self.only([other for other in range(len(self)) if other != index])

    def only(self, indices: Sequence[int]) -> "Candidates":
        """Those at the given places."""
        rows = list(indices)
        return replace(
            self,
            names=tuple(self.names[row] for row in rows),
            performance=self.performance[rows],
            cost=self.cost[rows],
            energy_kwh=None if self.energy_kwh is None else self.energy_kwh[rows],
            duration_s=None if self.duration_s is None else self.duration_s[rows],
            trainings=None if self.trainings is None else self.trainings.only(rows),
        )

    def recosted(self, factors: Factors) -> "Candidates":
        """The same candidates with the carbon of another grid, PUE or embodied share.

        Raises:
            InputError: their cost was not made from energy, or an embodied share lacks the duration.
        """
        if self.energy_kwh is None:
            raise InputError(
                f"cost: {self.cost_name} was given as it is, not as energy, so no other grid, PUE or embodied share "
                "can be applied. Name the energy's column."
            )
        cost = factors.carbon_g(self.energy_kwh, self.duration_s)
        if not np.array_equal(np.isnan(cost), np.isnan(self.cost)):
            raise InputError("embodied: some runs have no duration; fill it in, or leave the embodied share out.")
        trainings = None if self.trainings is None else self.trainings.recosted(factors)
        return replace(self, cost=cost, factors=factors, trainings=trainings)
