import numpy as np

from carbon_midl.selection.frontier import on_frontier


def dominated(performance: np.ndarray, cost: np.ndarray) -> np.ndarray:
    """The definition, pair by pair."""
    no_worse = (performance[:, None] >= performance) & (cost[:, None] <= cost)
    better = (performance[:, None] > performance) | (cost[:, None] < cost)
    return np.any(no_worse & better, axis=0)


def random_table(generator: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """From one row to a dozen; coarse values half of the time, for ties and duplicates."""
    rows, steps = int(generator.integers(1, 13)), generator.choice([3, 6, 10**9])
    performance, cost = generator.integers(0, steps, (2, rows)) / steps
    return performance, cost


def test_the_frontier_is_that_of_the_definition_on_many_random_tables() -> None:
    generator = np.random.default_rng(0)
    for _ in range(5000):
        performance, cost = random_table(generator)
        np.testing.assert_array_equal(on_frontier(performance, cost), ~dominated(performance, cost))


def test_many_sets_at_once_are_the_same_as_one_by_one() -> None:
    assert on_frontier(np.array([]), np.array([])).size == 0
    performance, cost = np.random.default_rng(1).integers(0, 4, (2, 300, 7)) / 4
    for row, together in enumerate(on_frontier(performance, cost)):
        np.testing.assert_array_equal(together, on_frontier(performance[row], cost[row]))
