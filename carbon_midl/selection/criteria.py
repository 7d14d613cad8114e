"""The criteria: what each makes as large as possible, under which assumption, and where it comes from."""

from abc import ABCMeta, abstractmethod
from typing import Annotated, Any, ClassVar

import numpy as np
from pydantic import Field, ValidationError
from pydantic.dataclasses import dataclass

from carbon_midl.errors import InputError
from carbon_midl.selection.candidates import CARBON_UNIT, Candidates
from carbon_midl.selection.frontier import POINT, on_frontier, step_prices
from carbon_midl.units import amount, number

_ROUNDING = 1e-12
PRICE_SHARE = 0.1
"""Of the median candidate's cost, for another point (0.01) of performance."""


class _Explained(ABCMeta):
    """Makes criteria; `InputError` for an option that cannot be."""

    def __call__(cls, *args: Any, **options: Any) -> Any:
        try:
            return super().__call__(*args, **options)
        except ValidationError as error:
            found, problem = error.errors()[0]["input"], error.errors()[0]["msg"]
            raise InputError(
                f"{cls.__name__}: found {found!r}; {problem[0].lower()}{problem[1:]}. Costs are numbers in the "
                "candidates' unit, as Budget(1.5); margins and weights are fractions, as NonInferior(0.01)."
            ) from None


class Criterion(metaclass=_Explained):
    """What all criteria share; each is a small class with its options as attributes, which pydantic checks."""

    name: ClassVar[str]  #: on the command line.
    words: ClassVar[str]  #: what it asks for, with its options and the unit of the cost.
    score_name: ClassVar[str] = "mean performance"  #: what the scores are, in words.
    absolute: ClassVar[bool] = False  #: whether an amount of the cost is at stake, and not only which costs more.
    assumption: ClassVar[str]  #: what must hold for the choice to mean something.
    source: ClassVar[str]  #: where it comes from.

    @abstractmethod
    def utility(self, performance: np.ndarray, cost: np.ndarray, candidates: Candidates) -> np.ndarray:
        """What is made as large as possible; minus infinity for what may not be chosen.

        Args:
            performance: means on m draws, shape (m, n).
            cost: the same.
            candidates: the n candidates as observed, for what does not follow from means.

        Returns:
            Shape (m, n).
        """

    def scores(self, performance: np.ndarray, cost: np.ndarray, candidates: Candidates) -> np.ndarray:
        """What a reader is shown, shape (m, n): the utility, and NaN for what may not be chosen."""
        utility = self.utility(performance, cost, candidates)
        return np.where(np.isneginf(utility), np.nan, utility)

    def describe(self, candidates: Candidates) -> str:
        """The criterion with its options, in a few words."""
        options = {name: number(value) for name, value in vars(self).items() if isinstance(value, float)}
        return self.words.format(**options, unit=candidates.unit).rstrip()

    def refusal(self, candidates: Candidates) -> str:
        """What to say where no candidate may be chosen, which only a budget brings about."""
        raise NotImplementedError


class Best(Criterion):
    """The best mean performance, whatever it costs."""

    name = "best"
    words = "best performance"
    assumption = "Cost does not matter, and the largest mean is the best candidate and not a lucky one."
    source = "usual practice"

    def utility(self, performance: np.ndarray, cost: np.ndarray, candidates: Candidates) -> np.ndarray:
        """The performance."""
        return performance


@dataclass(frozen=True)
class Budget(Criterion):
    """The best of those that cost at most ``limit``, in the unit of the cost."""

    limit: Annotated[float, Field(gt=0, allow_inf_nan=False)]

    name = "budget"
    absolute = True
    words = "best within {limit} {unit}"
    assumption = "The budget is fixed, and what is left of it is worth nothing."
    source = "the constraint method of multi-objective optimisation (Haimes, Lasdon and Wismer 1971)"

    def utility(self, performance: np.ndarray, cost: np.ndarray, candidates: Candidates) -> np.ndarray:
        """The performance within the budget."""
        return np.where(cost <= self.limit, performance, -np.inf)

    def refusal(self, candidates: Candidates) -> str:
        """The cheapest, and what it would take."""
        cost, factors = candidates.mean_cost.min(), candidates.factors
        cheapest, needed = candidates.names[candidates.mean_cost.argmin()], amount(cost, candidates.unit)
        text = (
            f"budget: no candidate within {amount(self.limit, candidates.unit)}; the cheapest, {cheapest}, costs "
            f"{needed}, {number(cost / self.limit)} times as much. Allow {needed}, or train it with less energy"
        )
        if factors is not None and not factors.embodied_g_per_h:
            here = factors.intensity.g_per_kwh
            text += f", or on a grid of at most {amount(here * self.limit / cost, 'gCO2eq/kWh')} (now {here:g})"
        return text + "."


@dataclass(frozen=True)
class NonInferior(Criterion):
    """The cheapest whose difference from the best has a lower confidence limit above minus the margin.

    The limit is one-sided, see `carbon_midl.measures.lower_limits`. On draws of the replicates it lies as far below the
    difference as in the table. The margin is the loss in performance that does not matter, a fraction (0.01 is one
    point).
    """

    margin: Annotated[float, Field(ge=0, lt=1)] = 0.01
    confidence: ClassVar[float] = 0.95

    name = "noninferior"
    words = "cheapest not worse than the best by more than {margin}, one-sided 95 %"
    score_name = "lower limit of the difference from the best performance"
    assumption = (
        "The margin was set before the results were seen; each candidate is compared with the best on its own, without "
        "correction for how many there are. With few replicates little can be shown, and the choice stays with the "
        "best; with a single one there is no limit, and the means are compared."
    )
    source = "non-inferiority trials (CONSORT extension, Piaggio et al. 2012), taken over to models"

    def utility(self, performance: np.ndarray, cost: np.ndarray, candidates: Candidates) -> np.ndarray:
        """Minus the cost of those that are not inferior."""
        return np.where(self.scores(performance, cost, candidates) >= -self.margin - _ROUNDING, -cost, -np.inf)

    def scores(self, performance: np.ndarray, cost: np.ndarray, candidates: Candidates) -> np.ndarray:
        """The lower limit of the difference from the best, of equals the cheapest."""
        top = performance.max(axis=1, keepdims=True)
        best = np.where(performance >= top - _ROUNDING, cost, np.inf).argmin(axis=1)
        limits = performance - np.take_along_axis(performance, best[:, None], axis=1)
        observed = candidates.mean_performance
        for index in np.unique(best).tolist():
            limits[best == index] -= observed - observed[index] - candidates.lower_limits(index, self.confidence)
        return limits


@dataclass(frozen=True)
class Weighted(Criterion):
    """The largest weighted sum of performance and thrift: weight · P + (1 - weight) · (1 - C).

    P and C are scaled to 0–1 by their smallest and largest value among the candidates.
    """

    weight: Annotated[float, Field(ge=0, le=1)] = 0.5

    name = "weighted"
    score_name = "weighted sum of scaled performance and thrift"
    assumption = (
        "The whole range of performance in this table is worth weight / (1 - weight) times its whole range of cost; "
        "another candidate at either end changes what a point is worth."
    )
    source = "simple additive weighting (Hwang and Yoon 1981)"

    def utility(self, performance: np.ndarray, cost: np.ndarray, candidates: Candidates) -> np.ndarray:
        """The weighted sum."""
        return self.weight * scaled(performance) + (1 - self.weight) * (1 - scaled(cost))

    def describe(self, candidates: Candidates) -> str:
        """The criterion with its weight."""
        return f"weighted sum, {self.weight:g} for performance and {1 - self.weight:g} for thrift"


class Pepr(Criterion):
    """Performance per resource unit: P / (1 + R), with the resource R scaled to 0–1 over the candidates."""

    name = "pepr"
    score_name = "PePR"
    assumption = (
        "The dearest candidate's performance is worth half, the cheapest's all of it: the score depends on which "
        "candidates are in the table, and moves when the cheapest or dearest is left out."
    )
    source = "Selvan et al., PePR, arXiv:2403.12562"

    def utility(self, performance: np.ndarray, cost: np.ndarray, candidates: Candidates) -> np.ndarray:
        """The score."""
        return performance / (1 + scaled(cost))

    def describe(self, candidates: Candidates) -> str:
        """PePR with the letter of its resource."""
        if candidates.unit == CARBON_UNIT:
            return "PePR-C"
        words = {"energy": "E", "mem": "M", "time": "T"}
        letters = [letter for word, letter in words.items() if word in candidates.cost_name.lower()]
        return f"PePR-{letters[0]}" if letters else f"PePR of {candidates.cost_name}"


class Knee(Criterion):
    """The point of the frontier farthest above the straight line from its cheapest to its best point.

    Both axes are scaled to 0–1 over the frontier, so the line is P = C and the height above it P - C.
    """

    name = "knee"
    words = "knee of the frontier"
    score_name = "height above the line from the cheapest to the best of the frontier"
    assumption = (
        "Both axes are linear, and the cheapest and the best on the frontier are the right ends: a logarithmic cost, "
        "or another candidate at either end, has another knee. Where no height is above 0, there is none."
    )
    source = "Das 1999 (normal-boundary intersection); as a difference curve, Satopää et al. 2011 (Kneedle)"

    def utility(self, performance: np.ndarray, cost: np.ndarray, candidates: Candidates) -> np.ndarray:
        """The height above the line, on the frontier."""
        frontier = on_frontier(performance, cost)
        return np.where(frontier, scaled(performance, frontier) - scaled(cost, frontier), -np.inf)


@dataclass(frozen=True)
class Marginal(Criterion):
    """From the cheapest along the frontier, while the next point (0.01) of performance costs less than ``limit``.

    Steps go to the next corner of the frontier's upper convex hull, see `step_prices`. The last step below the limit
    leads to the candidate with the largest ``limit`` · performance / 0.01 - cost.
    """

    limit: Annotated[float, Field(ge=0, allow_inf_nan=False)]

    name = "marginal"
    absolute = True
    words = "along the frontier while a point (0.01) costs less than {limit} {unit}"
    score_name = "price of a point in the step that leads there"
    assumption = (
        "A point (0.01) of performance is worth the limit, the first as much as the last, and the means are the truth: "
        "the price of a small gain is known far less well than its cost."
    )
    source = "incremental cost-effectiveness ratio with extended dominance (Cantor 1994)"

    def utility(self, performance: np.ndarray, cost: np.ndarray, candidates: Candidates) -> np.ndarray:
        """What the performance is worth, less the cost."""
        return self.limit * performance / POINT - cost

    def scores(self, performance: np.ndarray, cost: np.ndarray, candidates: Candidates) -> np.ndarray:
        """The price of a point, 0 for the cheapest; NaN off the hull."""
        return np.array([step_prices(*means) for means in zip(performance, cost, strict=True)])


CRITERIA: dict[str, type[Criterion]] = {
    kind.name: kind for kind in (Best, Budget, NonInferior, Weighted, Pepr, Knee, Marginal)
}
"""All criteria by name.

:meta hide-value:
"""


def all_criteria(candidates: Candidates, margin: float = 0.01) -> list[Criterion]:
    """Every criterion, with a budget and a price that follow from the candidates for lack of anyone who would pay.

    The budget is their median cost, the price of a point `PRICE_SHARE` of it.
    """
    median = float(np.median(candidates.mean_cost))
    return [Best(), Budget(median), NonInferior(margin), Weighted(), Pepr(), Knee(), Marginal(PRICE_SHARE * median)]


def scaled(values: np.ndarray, among: np.ndarray | bool = True) -> np.ndarray:
    """From the smallest to the largest of those marked in each row to 0–1; 0 where all are equal."""
    low = np.min(values, axis=-1, keepdims=True, initial=np.inf, where=among)
    span = np.max(values, axis=-1, keepdims=True, initial=-np.inf, where=among) - low
    return (values - low) / np.where(span > 0, span, 1)
