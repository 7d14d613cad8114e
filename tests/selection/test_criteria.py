import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import ttest_1samp

from carbon_midl.errors import InputError
from carbon_midl.measures import lower_limits
from carbon_midl.selection.candidates import Factors
from carbon_midl.selection.choice import choose
from carbon_midl.selection.criteria import Best, Budget, Criterion, Knee, Marginal, NonInferior, Pepr, Weighted
from carbon_midl.selection.frontier import on_frontier
from tests.selection.made_up import EVERY, by_criterion, candidates, random_candidates


@by_criterion
@given(seed=st.integers(0, 10**6))
def test_a_choice_is_explained(criterion: Criterion, seed: int) -> None:
    made = random_candidates(seed)
    choice = choose(made, criterion)
    assert choice.chosen in choice.reason
    assert choice.reason.endswith(".")
    assert choose(made.without(made.names.index(choice.chosen)), criterion).chosen == choice.runner_up
    assert list(choice.scores) == list("abcdef")
    assert not math.isnan(choice.scores[choice.chosen])


@by_criterion
def test_equals_and_a_single_candidate_are_said_to_be_that(criterion: Criterion) -> None:
    choice = choose(candidates([[0.5, 0.6]] * 3, [[3.0, 3.0]] * 3), criterion)
    assert (choice.chosen, choice.tied) == ("a", ("b", "c"))
    assert "It is level with b, c; of equals the cheapest is taken" in choice.reason
    choice = choose(candidates([0.5], [3.0]), criterion)
    assert (choice.chosen, choice.runner_up, choice.tied) == ("a", None, ())


@given(
    criterion=st.sampled_from([one for one in EVERY if not isinstance(one, Budget | Marginal)]),
    seed=st.integers(0, 10**6),
    factor=st.floats(1e-3, 1e3),
)
def test_one_grid_for_all_changes_only_choices_in_grams(criterion: Criterion, seed: int, factor: float) -> None:
    made = random_candidates(seed)
    assert choose(made, criterion).chosen == choose(replace(made, cost=made.cost * factor), criterion).chosen


@given(criterion=st.sampled_from([one for one in EVERY if one.name != "noninferior"]), seed=st.integers(0, 10**6))
def test_the_chosen_is_on_the_frontier(criterion: Criterion, seed: int) -> None:
    made = random_candidates(seed, count=8)
    chosen = made.names.index(choose(made, criterion).chosen)
    assert on_frontier(made.mean_performance, made.mean_cost)[chosen]


def test_of_equals_the_cheapest_then_the_best_then_the_first() -> None:
    choice = choose(candidates([0.7, 0.7, 0.6], [4.0, 3.0, 1.0]), Best())
    assert (choice.chosen, choice.tied, choice.runner_up) == ("b", ("a",), "a")
    assert choose(candidates([0.5, 0.7, 0.7], [2.0, 2.0, 2.0]), Weighted(0.0)).chosen == "b"
    # The order of replicates makes a difference in the last digit, but not in the choice.
    performance, cost = [0.1, 0.2, 0.3], [0.7, 0.1, 0.6]
    made = candidates([performance, performance[::-1]], [cost, cost[::-1]])
    assert made.mean_performance[0] != made.mean_performance[1]
    assert choose(made, Best()).tied


def test_best_and_budget() -> None:
    made = candidates([0.6, 0.7, 0.8], [1.0, 10.0, 100.0])
    assert choose(made, Best()).chosen == "c"
    assert choose(made, Budget(100.0)).chosen == "c"
    within = choose(made, Budget(99.0))
    assert (within.chosen, within.runner_up) == ("b", "a")
    assert math.isnan(within.scores["c"])
    assert within.reason == (
        "b performs 0.7000, number 2 of 3, 0.1000 below the best, c, for 10% of its cost; it costs 10 gCO2eq, number 2 "
        "of 3 from the cheapest. Runner-up is a, 0.6000 at 1 gCO2eq."
    )
    assert choose(made, Budget(2.0)).runner_up is None
    with pytest.raises(InputError, match=r"within 0.25 gCO2eq; the cheapest, a, costs 1 gCO2eq, 4 times as much"):
        choose(made, Budget(0.25))
    with pytest.raises(InputError, match=r"on a grid of at most 100 gCO2eq/kWh \(now 400\)"):
        choose(replace(made, factors=Factors.of(400)), Budget(0.25))


def test_weighted_sum_and_pepr() -> None:
    """PePR is performance over one plus the scaled resource."""
    made = candidates([0.60, 0.79, 0.80], [1.0, 10.0, 100.0])
    assert [choose(made, Weighted(weight)).chosen for weight in (0.0, 0.5, 1.0)] == ["a", "b", "c"]
    assert choose(made, Weighted(0.25)).scores["b"] == pytest.approx(0.25 * 0.95 + 0.75 * (1 - 9 / 99))

    choice = choose(made, Pepr())
    assert choice.scores == pytest.approx({"a": 0.6, "b": 0.79 / (1 + 9 / 99), "c": 0.4})
    assert choice.criterion == "PePR-C"
    assert "; PePR: 0.724. Runner-up is" in choice.reason
    for name, expected in {"memM": "PePR-M", "energy_kwh": "PePR-E", "num_param": "PePR of num_param"}.items():
        assert choose(replace(made, cost_name=name, unit=""), Pepr()).criterion == expected


def test_the_knee_is_the_point_highest_above_the_line() -> None:
    angle = np.linspace(np.pi, np.pi / 2, 9)
    circle = candidates((0.5 + 0.4 * np.sin(angle)).tolist(), (50 + 50 * np.cos(angle)).tolist())
    choice = choose(circle, Knee())
    assert choice.chosen == circle.names[4]
    assert choice.scores[choice.chosen] == pytest.approx(math.sqrt(2) - 1)
    dominated = candidates([0.5, 0.8, 0.7, 0.9], [1.0, 2.0, 3.0, 10.0])
    assert math.isnan(choose(dominated, Knee()).scores["c"])


def test_a_frontier_without_a_knee_leaves_the_cheapest() -> None:
    for performance in ([0.5, 0.51, 0.9], [0.5, 0.9], [0.9, 0.5]):
        choice = choose(candidates(performance, [1.0, 9.0, 10.0][: len(performance)]), Knee())
        assert (choice.chosen, choice.scores["a"]) == ("a", 0)


def test_the_marginal_criterion_stops_before_the_step_that_is_too_dear() -> None:
    made = candidates([0.60, 0.70, 0.71, 0.65], [1.0, 11.0, 31.0, 90.0])
    chosen = {limit: choose(made, Marginal(limit)).chosen for limit in (0.0, 0.9, 1.1, 19.0, 21.0)}
    assert chosen == {0.0: "a", 0.9: "a", 1.1: "b", 19.0: "b", 21.0: "c"}
    choice = choose(made, Marginal(5.0))
    assert choice.scores == pytest.approx({"a": 0.0, "b": 1.0, "c": 20.0, "d": math.nan}, nan_ok=True)
    assert "; price of a point in the step that leads there: 1. Runner-up is c" in choice.reason

    # A small dear step does not hide a large cheap one.
    choice = choose(candidates([0.60, 0.601, 0.80], [1.0, 5.0, 11.0]), Marginal(1.0))
    assert choice.chosen == "c"
    assert choice.scores == pytest.approx({"a": 0.0, "b": math.nan, "c": 0.5}, nan_ok=True)


@given(seed=st.integers(0, 10**6), limit=st.floats(0.01, 100))
def test_the_marginal_choice_is_the_last_step_priced_below_the_limit(seed: int, limit: float) -> None:
    made = random_candidates(seed, count=9)
    choice = choose(made, Marginal(limit))
    paid = {name: price for name, price in choice.scores.items() if not math.isnan(price) and price < limit}
    assert choice.chosen == max(paid, key=lambda name: made.mean_cost[made.names.index(name)])


@given(seed=st.integers(0, 10**6), margin=st.floats(0, 0.1), replicates=st.integers(2, 8))
def test_with_few_replicates_noninferiority_is_the_t_test_of_the_paired_differences(
    seed: int, margin: float, replicates: int
) -> None:
    made = random_candidates(seed, replicates=replicates)
    choice = choose(made, NonInferior(margin))
    best = int(made.mean_performance.argmax())
    passing = [best]
    for place in range(len(made)):
        if place != best:
            differences = (made.performance[place] - made.performance[best])[:, 0]
            test = ttest_1samp(differences, -margin, alternative="greater")
            interval = test.confidence_interval(0.95)
            assert choice.scores[made.names[place]] == pytest.approx(interval.low)
            passing += [place] * bool(test.pvalue < 0.05)
    assert choice.chosen == made.names[min(passing, key=lambda place: made.mean_cost[place])]


@pytest.mark.parametrize("paired", [True, False])
def test_a_single_replicate_has_no_interval(paired: bool) -> None:
    made = candidates([0.72, 0.73, 0.6], [1.0, 10.0, 0.5], paired)
    choice = choose(made, NonInferior(0.01))
    assert choice.chosen == "a"
    assert choice.scores == pytest.approx({"a": -0.01, "b": 0.0, "c": -0.13})


def test_with_many_replicates_the_limit_is_a_quantile_of_the_bootstrap_whoever_else_is_there() -> None:
    made = random_candidates(3, replicates=60)
    limits = lower_limits(made.performance, 2)
    others = [0, 1, 3, 4, 5]
    differences = (made.performance[others] - made.performance[2])[:, :, 0]
    low = ttest_1samp(differences, 0, axis=1, alternative="greater").confidence_interval(0.95).low
    # The two agree for many replicates; the difference is small beside the interval.
    assert (np.abs(limits[others] - low) <= 0.1 * np.abs(low - differences.mean(axis=1))).all()
    np.testing.assert_array_equal(lower_limits(made.performance[[2, 5, 3]], 0), limits[[2, 5, 3]])


@pytest.mark.parametrize(
    ("kind", "value"), [(Budget, 0), (Budget, math.nan), (Weighted, 1.5), (NonInferior, 1.0), (Marginal, math.inf)]
)
def test_options_that_cannot_be_are_refused(kind: Callable[[float], object], value: float) -> None:
    with pytest.raises(InputError, match=f"{kind.__name__}: found {value}; "):
        kind(value)
