"""Means of all candidates, as observed or on draws of the bootstrap.

Where replicates are shared, a draw takes the same ones for every candidate, so that differences are paired; otherwise
each candidate's own are drawn. Where replicates are patients on whom several trainings were scored, both are drawn
(see ``trainings``). Performance and cost of a replicate stay together.
"""

from collections.abc import Callable, Iterator
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
        errors: of the candidates as observed, `Candidates.difference_errors`.
    """

    performance: np.ndarray
    cost: np.ndarray
    errors: Callable[[int], tuple[np.ndarray, np.ndarray]]


def observed(candidates: Candidates) -> Sample:
    """The candidates' own means, as a sample of one draw."""
    return Sample(candidates.mean_performance[None], candidates.mean_cost[None], candidates.difference_errors)


def draw(candidates: Candidates, draws: int, seed: int = 0) -> Iterator[Sample]:
    """Draw replicates with replacement; yields blocks of draws. The same ``seed`` gives the same draws."""
    generator = np.random.default_rng(seed)
    block = max(1, BLOCK_CELLS // len(candidates))
    drawn = _draw_shared if candidates.paired else _draw_own
    for start in range(0, draws, block):
        yield Sample(*drawn(candidates, min(block, draws - start), generator), candidates.difference_errors)


def _draw_shared(candidates: Candidates, size: int, generator: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    replicates = candidates.performance.shape[1]
    shares = generator.multinomial(replicates, np.full(replicates, 1 / replicates), size=size) / replicates
    if candidates.trainings is not None:
        return candidates.trainings.draw(shares, generator)
    return shares @ candidates.performance.T, shares @ candidates.cost.T


def _draw_own(candidates: Candidates, size: int, generator: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Candidates with equally many replicates are drawn together, one replicate after the other."""
    performance, cost = np.empty((size, len(candidates))), np.empty((size, len(candidates)))
    for count in np.unique(candidates.counts):
        rows = np.flatnonzero(candidates.counts == count)
        performances, costs = (values[rows, :count].ravel() for values in (candidates.performance, candidates.cost))
        starts = np.arange(len(rows)) * count
        sums = np.zeros((2, size, len(rows)))
        for _ in range(count):
            places = starts + generator.integers(0, count, (size, len(rows)), dtype=np.uint32)
            sums[0] += performances[places]
            sums[1] += costs[places]
        performance[:, rows], cost[:, rows] = sums / count
    return performance, cost
