from itertools import product

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from carbon_midl.errors import InputError
from carbon_midl.selection.candidates import Candidates
from carbon_midl.selection.choice import choose, pick, uncertainty
from carbon_midl.selection.criteria import Best, Budget, Criterion, Knee, Marginal, NonInferior, Pepr, Weighted
from carbon_midl.selection.frontier import on_frontier
from tests.selection.made_up import candidates, random_candidates

EVERY = [Best(), Budget(200.0), NonInferior(0.02), Weighted(0.6), Pepr(), Knee(), Marginal(5.0)]


def on_places(made: Candidates, places: list[tuple[int, ...]]) -> Candidates:
    """The candidates with the replicates at these places, of each one."""
    shape = (len(made), -1)
    performance, cost = made.performance.reshape(shape), made.cost.reshape(shape)
    drawn = [[kind[row, list(place)].tolist() for row, place in enumerate(places)] for kind in (performance, cost)]
    return candidates(drawn[0], drawn[1], made.paired)


def enumerated(made: Candidates, criterion: Criterion) -> tuple[np.ndarray, np.ndarray]:
    """Every possible draw, each as likely as any other: probabilities of choice and of the frontier.

    Confidence limits are those of the candidates as they are.
    """
    each = [list(product(range(count), repeat=count)) for count in made.counts]
    draws = [[places] * len(made) for places in each[0]] if made.paired else list(product(*each))
    chosen, frontier = np.zeros(len(made)), np.zeros(len(made))
    for places in draws:
        drawn = on_places(made, list(places))
        means = drawn.mean_performance[None], drawn.mean_cost[None]
        chosen[pick(criterion.utility(*means, made), *means)] += 1
        frontier += on_frontier(drawn.mean_performance, drawn.mean_cost)
    return chosen / len(draws), frontier / len(draws)


@pytest.mark.parametrize("criterion", EVERY, ids=lambda one: one.name)
@pytest.mark.parametrize(("paired", "count", "replicates"), [(True, 5, 4), (False, 3, 2)])
def test_probabilities_are_those_of_all_possible_draws(
    criterion: Criterion, paired: bool, count: int, replicates: int
) -> None:
    made = random_candidates(5, count, replicates, paired)
    draws = 20_000
    found = uncertainty(made, criterion, draws).table
    for column, expected in zip(
        ("chosen_probability", "frontier_probability"), enumerated(made, criterion), strict=True
    ):
        error = np.sqrt(expected * (1 - expected) / draws)
        assert (np.abs(found[column] - expected) <= 5 * error + 1e-12).all()


def test_unequal_numbers_of_replicates_are_each_drawn_from_their_own() -> None:
    made = candidates([[0.6, 0.7], [0.6, 0.66, 0.7], [0.64]], [[1.0] * 2, [2.0] * 3, [3.0]], paired=False)
    expected, _ = enumerated(made, Best())
    found = uncertainty(made, Best(), 20_000)
    assert np.abs(found.table["chosen_probability"] - expected).max() < 0.02
    low, high = found.table[["performance_low", "performance_high"]].to_numpy().T
    assert np.isnan([low[2], high[2]]).all()
    np.testing.assert_allclose(low[:2], [0.6, 0.6])
    np.testing.assert_allclose(high[:2], [0.7, 0.7])
    assert any("single replicate" in note and note.endswith(": c.") for note in found.notes)
    assert any("each candidate's own are drawn" in note for note in found.notes)


@pytest.mark.parametrize("criterion", EVERY, ids=lambda one: one.name)
def test_a_single_replicate_gives_no_probability(criterion: Criterion) -> None:
    found = uncertainty(candidates([0.6, 0.7], [1.0, 2.0]), criterion)
    assert found.table.filter(regex="_low|_high|_probability").isna().all(axis=None)
    assert (found.none_probability, found.draws) == (None, 0)
    assert np.isnan(found.chosen_probability("a"))
    assert "no interval and no probability" in found.notes[0]


@settings(max_examples=25)
@given(
    seed=st.integers(0, 10**6),
    paired=st.booleans(),
    criterion=st.sampled_from(EVERY),
    count=st.integers(1, 12),
    replicates=st.integers(2, 6),
)
def test_what_must_hold_for_any_table(
    seed: int, paired: bool, criterion: Criterion, count: int, replicates: int
) -> None:
    made = random_candidates(seed, count, replicates, paired)
    found = uncertainty(made, criterion, 200)
    table = found.table
    assert found.none_probability is not None
    assert table["chosen_probability"].sum() + found.none_probability == pytest.approx(1)
    assert (table["frontier_probability"] <= 1).all()
    assert table["frontier_probability"].sum() >= 1
    for name in ("performance", "cost", "rank"):
        assert (table[f"{name}_low"] <= table[f"{name}_high"]).all()
    assert table["rank"].between(1, count).all()
    chosen = choose(made, criterion).chosen
    assert table.set_index("candidate").loc[chosen, "rank"] == 1


def test_what_is_far_apart_is_sure() -> None:
    rows = (np.array([[0.5], [0.7], [0.9]]) + np.array([-0.01, 0.0, 0.01])).tolist()
    found = uncertainty(candidates(rows, [[1.0] * 3, [2.0] * 3, [3.0] * 3]), Best(), 500)
    assert found.table["chosen_probability"].tolist() == [0, 0, 1]
    assert found.table["frontier_probability"].tolist() == [1, 1, 1]
    assert found.table["rank"].tolist() == [3, 2, 1]


def test_pairing_makes_a_small_difference_sure() -> None:
    hard_and_easy = np.array([0.5, 0.6, 0.7, 0.8])
    rows = [hard_and_easy.tolist(), (hard_and_easy + 0.01).tolist()]
    costs = [[1.0] * 4, [2.0] * 4]
    assert uncertainty(candidates(rows, costs), Best(), 500).chosen_probability("b") == 1
    assert 0.4 < uncertainty(candidates(rows, costs, paired=False), Best(), 500).chosen_probability("b") < 0.7


def test_draws_on_which_nothing_fits_the_budget_are_counted() -> None:
    made = candidates([[0.5, 0.5], [0.6, 0.6]], [[1.0, 3.0], [5.0, 7.0]])
    found = uncertainty(made, Budget(2.5), 4000)
    assert found.none_probability == pytest.approx(0.25, abs=0.03)
    assert found.chosen_probability("a") == pytest.approx(0.75, abs=0.03)


def test_the_interval_of_the_mean_is_that_of_normal_theory() -> None:
    values = np.random.default_rng(0).normal(0.7, 0.05, 400)
    for paired in (True, False):
        made = candidates([values.tolist(), (values - 0.1).tolist()], [[1.0] * 400, [2.0] * 400], paired)
        row = uncertainty(made, Best(), 4000).table.iloc[0]
        half = 1.96 * values.std() / 20
        assert row["performance_high"] - row["performance_low"] == pytest.approx(2 * half, rel=0.1)
        assert row["cost_low"] == pytest.approx(1.0)


@pytest.mark.parametrize("paired", [True, False])
def test_blocks_of_draws_add_up_and_the_same_seed_gives_the_same(paired: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    made = random_candidates(3, paired=paired)
    whole = uncertainty(made, Weighted(0.6), 50, seed=4).table
    monkeypatch.setattr("carbon_midl.selection.choice._BLOCK_CELLS", 20)
    pd.testing.assert_frame_equal(uncertainty(made, Weighted(0.6), 50, seed=4).table, whole)


def test_no_draws_are_refused() -> None:
    with pytest.raises(InputError, match="draws: found 0"):
        uncertainty(random_candidates(0), Best(), 0)
