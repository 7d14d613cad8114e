"""The criteria: best performance, best within a budget, weighted sum, PePR; and the names of all of them."""

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from carbon_midl.errors import InputError
from carbon_midl.selection.candidates import CARBON_UNIT, Candidates
from carbon_midl.selection.choice import Criterion
from carbon_midl.selection.frontier_criteria import Knee, Marginal
from carbon_midl.selection.noninferiority import NonInferior
from carbon_midl.selection.sample import Sample
from carbon_midl.units import amount, number


@dataclass(frozen=True)
class Best(Criterion):
    """The best mean performance, whatever it costs."""

    name: ClassVar[str] = "best"
    score_name: ClassVar[str] = "mean performance"
    assumption: ClassVar[str] = "Cost does not matter, and the largest mean is the best candidate and not a lucky one."
    source: ClassVar[str] = "usual practice"

    def utility(self, sample: Sample) -> np.ndarray:
        """The performance."""
        return sample.performance

    def describe(self, candidates: Candidates) -> str:
        """The criterion in a few words."""
        return "best performance"

    def reason(self, candidates: Candidates, chosen: int, runner_up: int | None) -> str:
        """By how much, and at which cost."""
        text = f"{candidates.names[chosen]} has the highest mean performance, {candidates.mean_performance[chosen]:.4f}"
        return text + _beside(candidates, chosen, runner_up) + "."


@dataclass(frozen=True)
class Budget(Criterion):
    """The best of those that cost at most ``limit``.

    Attributes:
        limit: in the unit of the cost, for one candidate.
    """

    limit: float

    name: ClassVar[str] = "budget"
    score_name: ClassVar[str] = "mean performance within the budget"
    assumption: ClassVar[str] = "The budget is fixed, and what is left of it is worth nothing."
    source: ClassVar[str] = "the constraint method of multi-objective optimisation (Haimes, Lasdon and Wismer 1971)"

    def __post_init__(self) -> None:
        if not math.isfinite(self.limit) or self.limit <= 0:
            raise InputError(f"budget: found {self.limit}; expected a number above 0, in the unit of the cost.")

    def utility(self, sample: Sample) -> np.ndarray:
        """The performance within the budget."""
        return np.where(sample.cost <= self.limit, sample.performance, -np.inf)

    def describe(self, candidates: Candidates) -> str:
        """The criterion with its budget."""
        return f"best within {amount(self.limit, candidates.unit)}"

    def reason(self, candidates: Candidates, chosen: int, runner_up: int | None) -> str:
        """How many are within, and how much of the budget it takes."""
        within = int((candidates.mean_cost <= self.limit).sum())
        cost = candidates.mean_cost[chosen]
        return (
            f"{candidates.names[chosen]} performs best, {candidates.mean_performance[chosen]:.4f}, of the {within} of "
            f"{len(candidates)} candidates within {amount(self.limit, candidates.unit)}; it costs "
            f"{amount(cost, candidates.unit)}, {cost / self.limit:.0%} of that."
        )

    def refusal(self, candidates: Candidates) -> str:
        """The cheapest, and what it would take."""
        cheapest = int(candidates.mean_cost.argmin())
        cost = candidates.mean_cost[cheapest]
        text = (
            f"budget: no candidate within {amount(self.limit, candidates.unit)}; the cheapest, "
            f"{candidates.names[cheapest]}, costs {amount(cost, candidates.unit)}, {number(cost / self.limit)} times "
            f"as much. Allow {amount(cost, candidates.unit)}, or train it with less energy"
        )
        factors = candidates.factors
        if factors is not None and not factors.embodied_g_per_h:
            needed = factors.intensity.g_per_kwh * self.limit / cost
            text += f", or on a grid of at most {amount(needed, 'gCO2eq/kWh')} (now {factors.intensity.g_per_kwh:g})"
        return text + "."


@dataclass(frozen=True)
class Weighted(Criterion):
    """The largest weighted sum of performance and thrift, each scaled to 0–1 over the candidates.

    Score = weight · P + (1 - weight) · (1 - C), with P and C scaled by their smallest and largest value.

    Attributes:
        weight: of the performance, 0 to 1.
    """

    weight: float = 0.5

    name: ClassVar[str] = "weighted"
    score_name: ClassVar[str] = "weighted sum of scaled performance and thrift"
    assumption: ClassVar[str] = (
        "The whole range of performance in this table is worth weight / (1 - weight) times its whole range of cost; "
        "another candidate at either end changes what a point is worth."
    )
    source: ClassVar[str] = "simple additive weighting (Hwang and Yoon 1981)"

    def __post_init__(self) -> None:
        if not 0 <= self.weight <= 1:
            raise InputError(f"weight: found {self.weight}; expected 0 (cost alone) to 1 (performance alone).")

    def utility(self, sample: Sample) -> np.ndarray:
        """The weighted sum."""
        return self.weight * scaled(sample.performance) + (1 - self.weight) * (1 - scaled(sample.cost))

    def describe(self, candidates: Candidates) -> str:
        """The criterion with its weight."""
        return f"weighted sum, {self.weight:g} for performance and {1 - self.weight:g} for thrift"

    def reason(self, candidates: Candidates, chosen: int, runner_up: int | None) -> str:
        """What it has on both scales."""
        return (
            f"{candidates.names[chosen]} has the largest sum: {_share(candidates.mean_performance, chosen)} of the way "
            f"from the worst performance to the best, {_share(candidates.mean_cost, chosen)} of the way from the "
            f"lowest cost to the highest{_beside(candidates, chosen, runner_up)}."
        )


@dataclass(frozen=True)
class Pepr(Criterion):
    """Performance per resource unit: P / (1 + R), with the resource R scaled to 0–1 over the candidates.

    Attributes:
        limits: the resource that counts as 0 and as 1, in the unit of the cost; by default the smallest and largest of
            the candidates.
    """

    limits: tuple[float, float] | None = None

    name: ClassVar[str] = "pepr"
    score_name: ClassVar[str] = "PePR"
    assumption: ClassVar[str] = (
        "The dearest candidate's performance is worth half, the cheapest's all of it: the score depends on which "
        "candidates are in the table, and moves when the cheapest or dearest is left out."
    )
    source: ClassVar[str] = "Selvan et al., PePR, arXiv:2403.12562"

    def __post_init__(self) -> None:
        if self.limits is not None and not (np.isfinite(self.limits).all() and self.limits[0] < self.limits[1]):
            raise InputError(f"PePR limits: found {self.limits}; expected two numbers, the smaller first.")

    def utility(self, sample: Sample) -> np.ndarray:
        """The score."""
        if self.limits is None:
            return sample.performance / (1 + scaled(sample.cost))
        low, high = self.limits
        return sample.performance / (1 + (sample.cost - low) / (high - low))

    def describe(self, candidates: Candidates) -> str:
        """PePR with the letter of its resource."""
        return f"PePR{_letter(candidates)}"

    def reason(self, candidates: Candidates, chosen: int, runner_up: int | None) -> str:
        """The score and what it is made of."""
        low, high = self.limits or (candidates.mean_cost.min(), candidates.mean_cost.max())
        resource = (candidates.mean_cost[chosen] - low) / (high - low) if high > low else 0.0
        performance = candidates.mean_performance[chosen]
        return (
            f"{candidates.names[chosen]} has the largest {self.describe(candidates)}, "
            f"{performance / (1 + resource):.4f} = {performance:.4f} / (1 + {resource:.4f})"
            f"{_beside(candidates, chosen, runner_up)}."
        )


CRITERIA: dict[str, type[Criterion]] = {
    kind.name: kind for kind in (Best, Budget, NonInferior, Weighted, Pepr, Knee, Marginal)
}
"""All criteria by name.

:meta hide-value:
"""


def scaled(values: np.ndarray) -> np.ndarray:
    """From the smallest to the largest of each row to 0–1; 0 where all are equal."""
    low = values.min(axis=-1, keepdims=True)
    span = values.max(axis=-1, keepdims=True) - low
    return (values - low) / np.where(span > 0, span, 1)


def _letter(candidates: Candidates) -> str:
    if candidates.unit == CARBON_UNIT:
        return "-C"
    name = candidates.cost_name.lower()
    for letter, words in {"-E": ("energy", "kwh"), "-M": ("mem",), "-T": ("time", "duration")}.items():
        if any(word in name for word in words):
            return letter
    return f" of {candidates.cost_name}"


def _share(values: np.ndarray, place: int) -> str:
    return f"{scaled(values)[place]:.0%}"


def _beside(candidates: Candidates, chosen: int, runner_up: int | None) -> str:
    """The chosen one's cost, beside the runner-up."""
    text = f", at {amount(candidates.mean_cost[chosen], candidates.unit)}"
    if runner_up is None:
        return text
    return text + (
        f"; next is {candidates.names[runner_up]} with {candidates.mean_performance[runner_up]:.4f} at "
        f"{amount(candidates.mean_cost[runner_up], candidates.unit)}"
    )
