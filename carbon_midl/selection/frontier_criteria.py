"""Criteria that walk along the Pareto frontier: its knee, and the last step that is worth its price."""

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from carbon_midl.errors import InputError
from carbon_midl.selection.candidates import Candidates
from carbon_midl.selection.choice import Criterion
from carbon_midl.selection.frontier import on_frontier
from carbon_midl.selection.marginal import POINT
from carbon_midl.selection.sample import Sample, observed
from carbon_midl.units import amount, number


@dataclass(frozen=True)
class Knee(Criterion):
    """The point of the frontier farthest above the straight line from its cheapest to its best point.

    Both axes are scaled to 0–1 over the frontier, so the line is P = C and the height above it P - C.
    """

    name: ClassVar[str] = "knee"
    score_name: ClassVar[str] = "height above the line from the cheapest to the best of the frontier"
    assumption: ClassVar[str] = (
        "Both axes are linear, and the cheapest and the best on the frontier are the right ends: a logarithmic cost, "
        "or another candidate at either end, has another knee."
    )
    source: ClassVar[str] = (
        "Das 1999 (normal-boundary intersection); as a difference curve, Satopää et al. 2011 (Kneedle)"
    )

    def utility(self, sample: Sample) -> np.ndarray:
        """The height above the line, on the frontier."""
        frontier = on_frontier(sample.performance, sample.cost)
        return np.where(
            frontier, _scaled_among(sample.performance, frontier) - _scaled_among(sample.cost, frontier), -np.inf
        )

    def describe(self, candidates: Candidates) -> str:
        """The criterion in a few words."""
        return "knee of the frontier"

    def reason(self, candidates: Candidates, chosen: int, runner_up: int | None) -> str:
        """The height, or that there is no knee."""
        heights = self.scores(observed(candidates))[0]
        points = int(np.isfinite(heights).sum())
        name = candidates.names[chosen]
        if points == 1:
            return f"{name} is the only point of the frontier: no other performs better or costs less."
        if heights[chosen] <= 0:
            return f"{name} is the cheapest of {points} points on a frontier without a knee: none lies above the line."
        return (
            f"{name} lies highest above the line from the cheapest to the best of {points} frontier points, by "
            f"{number(heights[chosen])} of their range, at {amount(candidates.mean_cost[chosen], candidates.unit)}."
        )


@dataclass(frozen=True)
class Marginal(Criterion):
    """From the cheapest step by step along the frontier, while the next point of performance costs less than ``limit``.

    Steps go to the next corner of the frontier's upper convex hull, on which the price of a point only rises. A
    frontier point below it is passed over: it would buy less for its cost than the step across it (extended
    dominance). The last step below the limit leads to the candidate with the largest
    ``limit`` · performance / 0.01 - cost.

    Attributes:
        limit: in the unit of the cost for 0.01 of performance.
    """

    limit: float

    name: ClassVar[str] = "marginal"
    score_name: ClassVar[str] = "price of a point in the step that leads there"
    assumption: ClassVar[str] = (
        "A point (0.01) of performance is worth the limit, the first as much as the last, and the means are the truth: "
        "the price of a small gain is known far less well than its cost."
    )
    source: ClassVar[str] = "incremental cost-effectiveness ratio with extended dominance (Cantor 1994)"

    def __post_init__(self) -> None:
        if not math.isfinite(self.limit) or self.limit < 0:
            raise InputError(f"price: found {self.limit}; expected what a point (0.01) may cost, at least 0.")

    def utility(self, sample: Sample) -> np.ndarray:
        """What the performance is worth, less the cost."""
        return self.limit * sample.performance / POINT - sample.cost

    def scores(self, sample: Sample) -> np.ndarray:
        """The price of a point, 0 for the cheapest; NaN off the hull."""
        return np.array([_prices(*means) for means in zip(sample.performance, sample.cost, strict=True)])

    def describe(self, candidates: Candidates) -> str:
        """The criterion with its limit."""
        return f"along the frontier while a point (0.01) costs less than {amount(self.limit, candidates.unit)}"

    def reason(self, candidates: Candidates, chosen: int, runner_up: int | None) -> str:
        """The last step that pays, and the first that does not."""
        prices = _prices(candidates.mean_performance, candidates.mean_cost)
        name, unit = candidates.names[chosen], candidates.unit
        cost = amount(candidates.mean_cost[chosen], unit)
        if prices[chosen] == 0:
            text = f"{name} is the cheapest, {cost}"
        else:
            text = f"{name}, at {cost}, is the last step that pays: a point costs {amount(prices[chosen], unit)}"
        later = np.flatnonzero(prices > max(prices[chosen], 0))
        if not later.size:
            return text + "; nothing performs better."
        step = later[prices[later].argmin()]
        return text + f"; the next, to {candidates.names[step]}, costs {amount(prices[step], unit)} for each point."


def _prices(performance: np.ndarray, cost: np.ndarray) -> np.ndarray:
    """Price of a point in the step to each corner of the frontier's upper hull: 0 for the first, NaN for the others."""
    prices = np.full(len(cost), np.nan)
    corners: list[int] = []
    frontier = np.flatnonzero(on_frontier(performance, cost))
    for place in frontier[np.argsort(cost[frontier], kind="stable")].tolist():
        if corners and cost[place] == cost[corners[-1]]:
            continue
        while corners:
            price = (cost[place] - cost[corners[-1]]) * POINT / (performance[place] - performance[corners[-1]])
            if len(corners) == 1 or price > prices[corners[-1]]:
                break
            prices[corners.pop()] = np.nan
        prices[place] = price if corners else 0.0
        corners.append(place)
    return prices


def _scaled_among(values: np.ndarray, among: np.ndarray) -> np.ndarray:
    """To 0–1 from the smallest to the largest of the marked ones in each row; 0 where they are equal."""
    low = np.where(among, values, np.inf).min(axis=1, keepdims=True)
    span = np.where(among, values, -np.inf).max(axis=1, keepdims=True) - low
    return (values - low) / np.where(span > 0, span, 1)
