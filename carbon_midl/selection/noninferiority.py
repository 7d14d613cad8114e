"""The cheapest candidate that is not worse than the best by more than a margin."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from carbon_midl.errors import InputError
from carbon_midl.selection.candidates import Candidates
from carbon_midl.selection.choice import Criterion
from carbon_midl.selection.sample import Sample, observed
from carbon_midl.units import amount

_ROUNDING = 1e-12


@dataclass(frozen=True)
class NonInferior(Criterion):
    """The cheapest whose difference from the best has a lower confidence limit above minus the margin.

    The limit is one-sided, by a t interval (see ``measures``): of the paired differences where replicates are shared,
    otherwise Welch's. Where patients are shared and each candidate was trained several times, what differs between its
    trainings counts, too. Where one of the two has a single replicate there is no interval, and the difference itself
    is compared with the margin. On draws of the replicates the standard errors stay those of the table.

    Attributes:
        margin: the loss in performance that does not matter, as a fraction (0.01 is one point).
        confidence: of the one-sided limit.
    """

    margin: float = 0.01
    confidence: float = 0.95

    name: ClassVar[str] = "noninferior"
    score_name: ClassVar[str] = "lower limit of the difference from the best performance"
    assumption: ClassVar[str] = (
        "The margin was set before the results were seen; differences between replicates are roughly normal; each "
        "candidate is compared with the best on its own, without correction for how many there are. With few "
        "replicates little can be shown, and the choice stays with the best."
    )
    source: ClassVar[str] = "non-inferiority trials (CONSORT extension, Piaggio et al. 2012), taken over to models"

    def __post_init__(self) -> None:
        if not 0 <= self.margin < 1:
            raise InputError(f"margin: found {self.margin}; expected a fraction from 0 to below 1 (0.01 is one point).")
        if not 0.5 < self.confidence < 1:
            raise InputError(f"confidence: found {self.confidence}; expected a fraction between 0.5 and 1, as 0.95.")

    def utility(self, sample: Sample) -> np.ndarray:
        """Minus the cost of those that are not inferior."""
        return np.where(self.scores(sample) >= -self.margin - _ROUNDING, -sample.cost, -np.inf)

    def scores(self, sample: Sample) -> np.ndarray:
        """The lower limit of the difference from the best; the difference itself where there is no interval."""
        from scipy.special import stdtrit

        draws, best = np.arange(len(sample.performance)), _best(sample)
        limits = sample.performance - sample.performance[draws, best][:, None]
        for place in np.unique(best):
            error, freedom = sample.errors(int(place))
            limits[best == place] -= np.nan_to_num(stdtrit(freedom, self.confidence) * error)
        return limits

    def describe(self, candidates: Candidates) -> str:
        """The criterion with its margin."""
        return f"cheapest not worse than the best by more than {self.margin:g}, one-sided {100 * self.confidence:g} %"

    def reason(self, candidates: Candidates, chosen: int, runner_up: int | None) -> str:
        """The difference, its limit, and how it was found."""
        sample = observed(candidates)
        best = int(_best(sample)[0])
        name = candidates.names[chosen]
        cost = amount(candidates.mean_cost[chosen], candidates.unit)
        if chosen == best:
            if candidates.mean_cost[chosen] <= candidates.mean_cost.min():
                return f"{name} performs best, {candidates.mean_performance[best]:.4f}, and costs the least, {cost}."
            return (
                f"{name} performs best, {candidates.mean_performance[best]:.4f}, at {cost}, and no cheaper candidate "
                f"{'was shown to be' if candidates.counts.min() > 1 else 'is'} within {self.margin:g} of it."
            )
        difference = candidates.mean_performance[chosen] - candidates.mean_performance[best]
        return (
            f"{name} is the cheapest, {cost}, that is not worse than the best, {candidates.names[best]} "
            f"({amount(candidates.mean_cost[best], candidates.unit)}), by more than {self.margin:g}: difference "
            f"{difference:+.4f}, {self._how(candidates, sample, chosen, best)}."
        )

    def _how(self, candidates: Candidates, sample: Sample, chosen: int, best: int) -> str:
        if min(candidates.counts[chosen], candidates.counts[best]) < 2:
            return "a single replicate, so no interval: by the means alone"
        limit = self.scores(sample)[0, chosen]
        if candidates.trainings is not None:
            trainings = candidates.trainings.counts[chosen]
            how = f"t over {candidates.counts[chosen]} shared patients and {trainings} trainings"
        elif candidates.paired:
            how = f"paired t over {candidates.counts[chosen]} shared replicates"
        else:
            how = f"Welch's t, {candidates.counts[chosen]} and {candidates.counts[best]} replicates, not shared"
        return f"one-sided {100 * self.confidence:g} % limit {limit:+.4f} ({how})"


def _best(sample: Sample) -> np.ndarray:
    """The place of the best performance on each draw, the cheapest of equals."""
    top = sample.performance.max(axis=1, keepdims=True)
    return np.where(sample.performance >= top - _ROUNDING, sample.cost, np.inf).argmin(axis=1)
