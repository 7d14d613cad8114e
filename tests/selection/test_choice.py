"""How sure a choice is, and what it depends on; what is chosen is in test_criteria.py."""

from dataclasses import replace
from itertools import product

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import ndtr

from carbon_midl.footprint.uncertainty import CarbonSpread, Spread
from carbon_midl.selection.candidates import Candidates, Columns, Factors, read_candidates
from carbon_midl.selection.choice import choice_of, choose, pick, side_by_side, uncertainty
from carbon_midl.selection.criteria import CRITERIA, Best, Budget, Criterion, Marginal, NonInferior, all_criteria
from carbon_midl.selection.frontier import on_frontier
from tests.selection.made_up import EVERY, by_criterion, candidates, random_candidates


def enumerated(made: Candidates, criterion: Criterion) -> tuple[np.ndarray, np.ndarray]:
    """Every possible draw, each as likely as any other: probabilities of choice and of the frontier.

    Confidence limits are those of the candidates as they are.
    """
    each = [list(product(range(count), repeat=count)) for count in made.counts]
    draws = [(places,) * len(made) for places in each[0]] if made.paired else list(product(*each))
    performance, cost = (
        np.array([[kind[row].ravel()[list(place)].mean() for row, place in enumerate(places)] for places in draws])
        for kind in (made.performance, made.cost)
    )
    picked = pick(criterion.utility(performance, cost, made), performance, cost)
    chosen = np.bincount(picked[picked >= 0], minlength=len(made)) / len(draws)
    return chosen, on_frontier(performance, cost).mean(axis=0)


@by_criterion
@pytest.mark.parametrize(("paired", "count", "replicates"), [(True, 5, 4), (False, 3, 2)])
def test_probabilities_are_those_of_all_draws(criterion: Criterion, paired: bool, count: int, replicates: int) -> None:
    made = random_candidates(5, count, replicates, paired)
    draws = 20_000
    table = uncertainty(made, criterion, draws).table
    for name, expected in zip(("chosen", "frontier"), enumerated(made, criterion), strict=True):
        error = np.sqrt(expected * (1 - expected) / draws)
        assert (np.abs(table[f"{name}_probability"] - expected) <= 5 * error + 1e-12).all()


def test_unequal_numbers_of_replicates_are_each_drawn_from_their_own() -> None:
    made = candidates([[0.6, 0.7], [0.6, 0.66, 0.7], [0.64]], [[1.0] * 2, [2.0] * 3, [3.0]], paired=False)
    expected, _ = enumerated(made, Best())
    sure = uncertainty(made, Best(), 20_000)
    assert np.abs(sure.table["chosen_probability"] - expected).max() < 0.02
    np.testing.assert_allclose(sure.table["performance_low"], [0.6, 0.6, np.nan])
    np.testing.assert_allclose(sure.table["performance_high"], [0.7, 0.7, np.nan])
    assert any("single replicate" in note and note.endswith(": c.") for note in sure.notes)
    assert any("each candidate's own are drawn" in note for note in sure.notes)


@by_criterion
def test_a_single_replicate_gives_no_probability(criterion: Criterion) -> None:
    sure = uncertainty(candidates([0.6, 0.7], [1.0, 2.0]), criterion)
    assert sure.table.filter(regex="_low|_high|_probability").isna().all(axis=None)
    assert (sure.none_probability, sure.draws) == (None, 0)
    assert "no interval and no probability" in sure.notes[0]


@settings(max_examples=25)
@given(st.integers(0, 10**6), st.booleans(), st.sampled_from(EVERY), st.integers(1, 12), st.integers(2, 6))
def test_what_holds_for_any_table(seed: int, paired: bool, criterion: Criterion, count: int, replicates: int) -> None:
    made = random_candidates(seed, count, replicates, paired)
    sure = uncertainty(made, criterion, 200)
    table = sure.table
    assert sure.none_probability is not None
    assert table["chosen_probability"].sum() + sure.none_probability == pytest.approx(1)
    assert (table["frontier_probability"] <= 1).all()
    assert table["frontier_probability"].sum() >= 1
    for name in ("performance", "cost"):
        assert (table[f"{name}_low"] <= table[f"{name}_high"]).all()
    assert table["rank"].between(1, count).all()
    assert table.set_index("candidate").loc[choose(made, criterion).chosen, "rank"] == 1
    pd.testing.assert_frame_equal(table, uncertainty(made, criterion, 200).table)


DOUBT = CarbonSpread({"energy": (1.0, Spread(0.4, ""))}, own=Spread(0.1, ""))


@by_criterion
@pytest.mark.parametrize("paired", [True, False])
def test_what_all_candidates_share_changes_no_comparison_and_every_amount(criterion: Criterion, paired: bool) -> None:
    for seed in range(5):
        made = random_candidates(seed, paired=paired)
        known, doubted = (uncertainty(replace(made, spread=one), criterion, 2000).table for one in (None, DOUBT))
        choices = [column for column in known if column not in ("cost_low", "cost_high")]
        if not criterion.absolute:
            pd.testing.assert_frame_equal(known[choices], doubted[choices], check_exact=True)
        assert (doubted["cost_low"] < known["cost_low"]).all()
        assert (doubted["cost_high"] > known["cost_high"]).all()
    assert criterion.absolute is (criterion.name in ("budget", "marginal"))


def test_a_budget_is_kept_as_probably_as_the_grams_allow() -> None:
    made = replace(candidates([[0.5, 0.5]], [[10.0, 10.0]], paired=False), spread=DOUBT)
    for limit in (8.0, 10.0, 13.0):
        expected = 1 - ndtr(np.log(limit / 10) / np.log(1.4) * 1.959964)
        assert uncertainty(made, Budget(limit), 40_000).none_probability == pytest.approx(expected, abs=0.01)


def test_repeatability_stands_in_for_trainings_that_were_not_repeated() -> None:
    # Ten patients and one training each; the cheaper of two that perform alike is a matter of chance.
    performance = np.full((2, 10, 1), 0.7)
    made = Candidates(("a", "b"), performance, np.array([[[10.0]], [[11.0]]]), spread=DOUBT)
    table = uncertainty(made, NonInferior(), 40_000).table
    cheaper = ndtr(np.log(11 / 10) / (np.sqrt(2) * np.log(1.1) / 1.959964))
    assert table["chosen_probability"].tolist() == pytest.approx([cheaper, 1 - cheaper], abs=0.01)
    times = np.exp(np.hypot(np.log(1.4), np.log(1.1)))
    assert (table["cost_low"].iloc[0], table["cost_high"].iloc[0]) == pytest.approx((10 / times, 10 * times), rel=0.02)
    # A single replicate of each still has no probability, but an interval of its grams.
    alone = uncertainty(replace(candidates([0.6, 0.7], [1.0, 2.0]), spread=DOUBT), NonInferior(), 40_000).table
    assert alone["chosen_probability"].isna().all()
    assert alone["cost_high"].tolist() == pytest.approx([times, 2 * times], rel=0.02)


def test_draws_on_which_nothing_fits_the_budget_are_counted() -> None:
    sure = uncertainty(candidates([[0.5, 0.5], [0.6, 0.6]], [[1.0, 3.0], [5.0, 7.0]]), Budget(2.5), 4000)
    assert sure.none_probability == pytest.approx(0.25, abs=0.03)
    assert sure.table["chosen_probability"].tolist() == pytest.approx([0.75, 0], abs=0.03)


def test_a_budget_in_grams_goes_further_on_a_clean_grid_and_an_embodied_share_can_turn_ranks() -> None:
    table = pd.DataFrame({"model": ["a", "b"], "acc": [0.6, 0.7], "kwh": [1.0, 2.0], "duration_s": [36000.0, 3600.0]})
    columns = Columns(candidate=("model",), replicate="none", performance="acc", cost="kwh", unit="kWh")
    two_models = read_candidates(table, columns)
    on_grids = [choice_of(two_models.recosted(Factors.of(grid, 1.0)), Budget(150)) for grid in (20, 100, 800)]
    assert on_grids == ["b", "a", None]
    shares = [choice_of(two_models.recosted(Factors.of(100, 1.0, share)), Marginal(5.0)) for share in (0, 30)]
    assert shares == ["a", "b"]


def test_every_criterion_chooses_beside_the_others_as_it_does_alone() -> None:
    made = random_candidates(3)
    criteria = all_criteria(made)
    rows, likely = side_by_side(made, criteria, draws=200)
    assert list(rows["name"]) == list(CRITERIA)
    for criterion, row in zip(criteria, rows.itertuples(), strict=True):
        choice = choose(made, criterion)
        assert (row.chosen, row.runner_up) == (choice.chosen, choice.runner_up)
        probability = uncertainty(made, criterion, 200).table.set_index("candidate")["chosen_probability"]
        assert row.probability == probability[choice.chosen]
        assert row.cost == made.mean_cost[made.names.index(choice.chosen)]
    assert len(likely) == len(criteria) * len(made)
    # The cheapest and the median are always within the budget, so that some candidate is chosen on every draw.
    np.testing.assert_allclose(likely.groupby("name")["probability"].sum(), 1)
