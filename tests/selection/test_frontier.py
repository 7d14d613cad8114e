import numpy as np
import pytest

from carbon_midl.selection.frontier import on_frontier

TABLES = 10_000


def dominated(performance: np.ndarray, cost: np.ndarray) -> np.ndarray:
    """The definition, pair by pair."""
    no_worse = (performance[:, None] >= performance) & (cost[:, None] <= cost)
    better = (performance[:, None] > performance) | (cost[:, None] < cost)
    return np.any(no_worse & better, axis=0)


def random_table(generator: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """From one row to a dozen; coarse values half of the time, for ties and duplicates; one in five with NaN."""
    rows = int(generator.integers(1, 13))
    steps = generator.choice([3, 6, 10**9])
    performance, cost = generator.integers(0, steps, (2, rows)) / steps
    if generator.random() < 0.2:
        performance[generator.random(rows) < 0.3] = np.nan
        cost[generator.random(rows) < 0.3] = np.nan
    return performance, cost


def test_the_frontier_is_that_of_the_definition_on_many_random_tables() -> None:
    generator = np.random.default_rng(0)
    seen = dict.fromkeys(("one row", "duplicates", "NaN", "nothing left"), 0)
    for _ in range(TABLES):
        performance, cost = random_table(generator)
        present = ~np.isnan(performance) & ~np.isnan(cost)
        expected = np.zeros(len(cost), dtype=bool)
        expected[present] = ~dominated(performance[present], cost[present])
        np.testing.assert_array_equal(on_frontier(performance, cost), expected)
        pairs = np.stack([performance[present], cost[present]])
        seen["one row"] += len(cost) == 1
        seen["duplicates"] += len(np.unique(pairs, axis=1).T) < present.sum()
        seen["NaN"] += not present.all()
        seen["nothing left"] += not present.any()
    assert min(seen.values()) >= 100


def test_many_sets_at_once_are_the_same_as_one_by_one() -> None:
    assert on_frontier(np.array([]), np.array([])).size == 0
    generator = np.random.default_rng(1)
    performance, cost = generator.integers(0, 4, (2, 300, 7)) / 4
    together = on_frontier(performance, cost)
    for row in range(300):
        np.testing.assert_array_equal(together[row], on_frontier(performance[row], cost[row]))


def test_the_frontier_is_that_of_moocore() -> None:
    moocore = pytest.importorskip("moocore")
    generator = np.random.default_rng(3)
    for _ in range(1000):
        performance, cost = random_table(generator)
        present = ~np.isnan(performance) & ~np.isnan(cost)
        if not present.any():
            continue
        points = np.stack([cost, -performance], axis=1)[present]
        nondominated = moocore.is_nondominated(points, keep_weakly=True)
        np.testing.assert_array_equal(on_frontier(performance, cost)[present], nondominated)
