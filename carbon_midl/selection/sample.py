"""Means of all candidates, as observed or on draws of the bootstrap, and how sure their differences are.

Where replicates are shared, a draw takes the same ones for every candidate, so that differences are paired; otherwise
each candidate's own are drawn. Performance and cost of a replicate stay together.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from carbon_midl.selection.candidates import Candidates

BLOCK_CELLS = 250_000
"""Candidates × draws handled at once: a few MB, which a processor's cache holds."""


@dataclass(frozen=True)
class Sample:
    """Means of n candidates on m draws.

    Attributes:
        performance: shape (m, n).
        cost: shape (m, n).
        counts: replicates of each candidate, shape (n,).
        paired: the replicates' performances, shape (n, r), and the share of each replicate in each draw, shape (m, r);
            None where replicates are not shared.
        variance: variance of each mean performance, shape (m, n), where they are not; NaN for a single replicate.
    """

    performance: np.ndarray
    cost: np.ndarray
    counts: np.ndarray
    paired: tuple[np.ndarray, np.ndarray] | None
    variance: np.ndarray | None

    def difference_error(self, reference: np.ndarray) -> np.ndarray:
        """Standard error of each candidate's difference in performance from a reference.

        Args:
            reference: its place on each draw, shape (m,).

        Returns:
            Shape (m, n); 0 for the reference itself, NaN where a single replicate tells nothing.
        """
        draws = np.arange(len(reference))
        if self.paired is None:
            assert self.variance is not None
            error: np.ndarray = np.sqrt(self.variance + self.variance[draws, reference][:, None])
        else:
            error = self._paired_error(*self.paired, reference)
        error[draws, reference] = 0.0
        return error

    def degrees_of_freedom(self, reference: np.ndarray) -> np.ndarray:
        """For a t interval of that difference, shape (m, n): replicates of the smaller of the two, less one."""
        smaller: np.ndarray = np.minimum(self.counts, self.counts[reference][:, None])
        return smaller - 1

    def _paired_error(self, values: np.ndarray, shares: np.ndarray, reference: np.ndarray) -> np.ndarray:
        replicates = values.shape[1]
        error = np.full(self.performance.shape, np.nan)
        if replicates < 2:
            return error
        for place in np.unique(reference):
            rows = reference == place
            differences = (values - values[place]).T
            mean = shares[rows] @ differences
            spread = np.clip(shares[rows] @ differences**2 - mean**2, 0, None)
            error[rows] = np.sqrt(spread / (replicates - 1))
        return error


def observed(candidates: Candidates) -> Sample:
    """The candidates' own means, as a sample of one draw."""
    replicates = candidates.performance.shape[1]
    means = candidates.mean_performance[None], candidates.mean_cost[None]
    if candidates.paired:
        shares = np.full((1, replicates), 1 / replicates)
        return Sample(*means, candidates.counts, (candidates.performance, shares), None)
    squares = np.nansum((candidates.performance - candidates.mean_performance[:, None]) ** 2, axis=1)
    return Sample(*means, candidates.counts, None, _variance_of_mean(squares, candidates.counts)[None])


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
    performance, cost = shares @ candidates.performance.T, shares @ candidates.cost.T
    return Sample(performance, cost, candidates.counts, (candidates.performance, shares), None)


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
    return Sample(performance, cost, candidates.counts, None, _variance_of_mean(squares, candidates.counts))


def _variance_of_mean(squares: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """From sums of squared deviations; NaN for a single replicate."""
    freedom = np.where(counts > 1, counts * (counts - 1), np.nan)
    return squares / freedom
