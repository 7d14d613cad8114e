"""Candidates for tests."""

from collections.abc import Sequence

import numpy as np

from carbon_midl.selection.candidates import Candidates


def candidates(
    performance: Sequence[float | Sequence[float]], cost: Sequence[float | Sequence[float]], paired: bool = True
) -> Candidates:
    """Named a, b, c …; one replicate where a number is given in place of several."""

    def padded(rows: Sequence[float | Sequence[float]]) -> np.ndarray:
        lists = [[row] if isinstance(row, int | float) else list(row) for row in rows]
        most = max(map(len, lists))
        return np.array([row + [np.nan] * (most - len(row)) for row in lists], dtype=float)

    names = tuple(chr(ord("a") + place) if place < 26 else f"n{place}" for place in range(len(performance)))
    # Shared replicates are patients of a single training, others are trainings on a single patient.
    axis = 2 if paired else 1
    return Candidates(names, np.expand_dims(padded(performance), axis), np.expand_dims(padded(cost), axis))


def random_candidates(seed: int, count: int = 6, replicates: int = 4, paired: bool = True) -> Candidates:
    """Dearer ones tend to perform better; replicates differ, and so do the costs."""
    generator = np.random.default_rng(seed)
    cost = np.sort(generator.uniform(1, 100, count))
    common = generator.normal(0, 0.02, replicates)
    noise = generator.normal(0, 0.01, (count, replicates))
    performance = (0.6 + 0.04 * np.log(cost)[:, None] + common + noise).clip(0, 1)
    costs = cost[:, None] * generator.uniform(0.9, 1.1, (count, replicates))
    return candidates(performance.tolist(), costs.tolist(), paired)
