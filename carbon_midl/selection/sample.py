"""Means of all candidates, as observed or on draws of the bootstrap, and how sure their differences are.

Where replicates are shared, a draw takes the same ones for every candidate, so that differences are paired; otherwise
each candidate's own are drawn. Where replicates are patients on whom several trainings were scored, both are drawn
(see ``trainings``). Performance and cost of a replicate stay together.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from carbon_midl.selection.candidates import Candidates

BLOCK_CELLS = 250_000
"""Candidates × draws handled at once: a few MB, which a processor's cache holds."""


class OwnVariance(NamedTuple):
    """Variance of each mean performance that is a candidate's own, with its degrees of freedom.

    ``variance`` has the shape (m, n), ``freedom`` (n,); where there is no freedom, the variance is NaN or 0.
    """

    variance: np.ndarray
    freedom: np.ndarray


@dataclass(frozen=True)
class Sample:
    """Means of n candidates on m draws.

    Attributes:
        performance: shape (m, n).
        cost: shape (m, n).
        paired: the replicates' performances, shape (n, r), and the share of each replicate in each draw, shape (m, r);
            None where replicates are not shared.
        own: from the replicates where they are not shared, or from the trainings where patients are; None where there
            is nothing of the kind.
    """

    performance: np.ndarray
    cost: np.ndarray
    paired: tuple[np.ndarray, np.ndarray] | None = None
    own: OwnVariance | None = None

    def difference_error(self, reference: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Standard error of each candidate's difference in performance from a reference, and degrees of freedom.

        Of unshared replicates as Welch's, but with the freedom of the smaller of the two, to be careful. Where patients
        are shared and trainings are not, variances add up and the freedom is Welch and Satterthwaite's.

        Args:
            reference: its place on each draw, shape (m,).

        Returns:
            Two arrays of shape (m, n), the second of whole numbers but for the last case. The error is 0 for the
            reference itself, NaN where a single replicate tells nothing.
        """
        draws = np.arange(len(reference))
        if self.paired is None:
            assert self.own is not None
            own, freedom = self.own
            error = np.sqrt(own + own[draws, reference][:, None])
            smaller = np.minimum(freedom, freedom[reference][:, None])
        elif self.own is None:
            variance = self._paired_variance(*self.paired, reference)
            error, smaller = np.sqrt(variance), np.full(variance.shape, self.paired[0].shape[1] - 1)
        else:
            error, smaller = self._both(self._paired_variance(*self.paired, reference), self.own, reference)
        error[draws, reference] = 0.0
        return error, smaller

    def _both(self, patients: np.ndarray, own: OwnVariance, reference: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        assert self.paired is not None
        there = own.variance[np.arange(len(reference)), reference][:, None]
        variance = patients + own.variance + there
        parts = (
            (patients, np.array(self.paired[0].shape[1] - 1)),
            (own.variance, own.freedom),
            (there, own.freedom[reference][:, None]),
        )
        squares = sum(part**2 / np.maximum(freedom, 1) for part, freedom in parts)
        with np.errstate(invalid="ignore"):
            freedom = np.where(squares > 0, variance**2 / squares, self.paired[0].shape[1] - 1.0)
        return np.sqrt(variance), freedom

    def _paired_variance(self, values: np.ndarray, shares: np.ndarray, reference: np.ndarray) -> np.ndarray:
        replicates = values.shape[1]
        variance = np.full(self.performance.shape, np.nan)
        if replicates < 2:
            return variance
        for place in np.unique(reference):
            rows = reference == place
            differences = (values - values[place]).T
            mean = shares[rows] @ differences
            spread = np.clip(shares[rows] @ differences**2 - mean**2, 0, None)
            variance[rows] = spread / (replicates - 1)
        return variance


def observed(candidates: Candidates) -> Sample:
    """The candidates' own means, as a sample of one draw."""
    replicates = candidates.performance.shape[1]
    means = candidates.mean_performance[None], candidates.mean_cost[None]
    if candidates.paired:
        shares = np.full((1, replicates), 1 / replicates)
        trainings = candidates.trainings
        own = None if trainings is None else OwnVariance(trainings.variance[None], trainings.counts - 1)
        return Sample(*means, (candidates.performance, shares), own)
    squares = np.nansum((candidates.performance - candidates.mean_performance[:, None]) ** 2, axis=1)
    return Sample(*means, None, _own(squares[None], candidates.counts))


def draw(candidates: Candidates, draws: int, seed: int = 0) -> Iterator[Sample]:
    """Draw replicates with replacement; yields blocks of draws. The same ``seed`` gives the same draws."""
    generator = np.random.default_rng(seed)
    block = max(1, BLOCK_CELLS // len(candidates))
    for start in range(0, draws, block):
        size = min(block, draws - start)
        yield _draw_shared(candidates, size, generator) if candidates.paired else _draw_own(candidates, size, generator)


def _draw_shared(candidates: Candidates, size: int, generator: np.random.Generator) -> Sample:
    replicates = candidates.performance.shape[1]
    shares = generator.multinomial(replicates, np.full(replicates, 1 / replicates), size=size) / replicates
    paired = (candidates.performance, shares)
    if candidates.trainings is None:
        return Sample(shares @ candidates.performance.T, shares @ candidates.cost.T, paired)
    performance, cost, variance = candidates.trainings.draw(shares, generator)
    return Sample(performance, cost, paired, OwnVariance(variance, candidates.trainings.counts - 1))


def _draw_own(candidates: Candidates, size: int, generator: np.random.Generator) -> Sample:
    """Candidates with equally many replicates are drawn together, one replicate after the other."""
    shape = (size, len(candidates))
    performance, cost, squares = np.empty(shape), np.empty(shape), np.empty(shape)
    for count in np.unique(candidates.counts):
        rows = np.flatnonzero(candidates.counts == count)
        centre = candidates.mean_performance[rows]
        deviations = (candidates.performance[rows, :count] - centre[:, None]).ravel()
        costs = candidates.cost[rows, :count].ravel()
        starts = np.arange(len(rows)) * count
        sums = np.zeros((3, size, len(rows)))
        for _ in range(count):
            places = starts + generator.integers(0, count, (size, len(rows)), dtype=np.uint32)
            drawn = deviations[places]
            sums[0] += drawn
            sums[1] += drawn**2
            sums[2] += costs[places]
        mean = sums[0] / count
        performance[:, rows] = centre + mean
        cost[:, rows] = sums[2] / count
        squares[:, rows] = np.clip(sums[1] - count * mean**2, 0, None)
    return Sample(performance, cost, None, _own(squares, candidates.counts))


def _own(squares: np.ndarray, counts: np.ndarray) -> OwnVariance:
    """From sums of squared deviations; NaN for a single replicate."""
    return OwnVariance(squares / np.where(counts > 1, counts * (counts - 1), np.nan), counts - 1)
