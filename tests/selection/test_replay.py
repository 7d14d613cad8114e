"""Policies replayed on recorded curves."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from carbon_midl.errors import InputError
from carbon_midl.selection.policies import (
    EarlyStopping,
    FullSweep,
    Policy,
    ScreenedHalving,
    Step,
    SuccessiveHalving,
    Trial,
    Widen,
)
from carbon_midl.selection.replay import (
    Curves,
    curves_of_study,
    curves_of_table,
    drawn,
    replay,
    replay_study,
    summarise,
)
from studies.published_curves import cheapest_within, grid, summaries

RECIPES = Path(__file__).parents[2] / "results" / "recipes"


def curves_like(seed: int, count: int = 12, epochs: int = 10) -> Curves:
    """Rising curves; larger candidates cost more and end higher, with noise."""
    generator = np.random.default_rng(seed)
    sizes = np.sort(generator.uniform(1, 50, count))
    ends = 0.6 + 0.04 * np.log(sizes) + generator.normal(0, 0.02, count)
    performance = ends[:, None] * (1 - 0.5 / np.arange(1, epochs + 1)) + generator.normal(0, 0.005, (count, epochs))
    cost = np.repeat(sizes[:, None], epochs, axis=1) * generator.uniform(0.95, 1.05, (count, epochs))
    return Curves(tuple(f"c{k}" for k in range(count)), sizes, performance.clip(0, 1), cost)


@given(st.integers(0, 10**6), st.sampled_from(grid()))
def test_regret_and_share_are_what_they_are_by_definition(seed: int, policy: Policy) -> None:
    curves = curves_like(seed)
    found = replay(curves, policy)
    place = curves.names.index(found.chosen)
    assert found.regret == curves.best.max() - curves.best[place] >= 0
    trained = [curves.epochs if k == place else epochs for k, epochs in enumerate(found.trained)]
    spent = sum(curves.cost[k, :epochs].sum() for k, epochs in enumerate(trained))
    assert found.share == pytest.approx(spent / curves.cost.sum(), abs=1e-12)
    assert found.share <= 1 + 1e-12


def test_the_regret_is_told_by_the_score_which_decides_nothing() -> None:
    curves = curves_like(3)
    policy = SuccessiveHalving()
    score = np.random.default_rng(0).uniform(0.4, 0.8, len(curves))
    judged, before = replay(replace(curves, score=score), policy), replay(curves, policy)
    assert replace(judged, regret=before.regret) == before
    place = curves.names.index(judged.chosen)
    assert judged.regret == score[curves.best.argmax()] - score[place]
    assert replace(curves, score=score).part([2, 0]).score == pytest.approx(score[[2, 0]])


def test_the_full_sweep_has_no_regret_and_costs_all_of_it() -> None:
    found = replay(curves_like(0), FullSweep())
    assert found.regret == 0
    assert found.share == pytest.approx(1, abs=1e-12)


def test_halving_saves_most_of_the_sweep() -> None:
    curves = curves_like(1, count=60)
    assert replay(curves, SuccessiveHalving(eta=3)).share < 0.4
    assert replay(curves, ScreenedHalving()).share < 0.4


def test_a_policy_that_asks_for_the_past_is_refused() -> None:
    class Backwards(FullSweep):
        def steps(self, trials: object) -> list[Step]:
            return [Step(0, 0, "back")]

    with pytest.raises(InputError, match="asks to train c0 from epoch 0 to 0"):
        replay(curves_like(0), Backwards())


def test_draws_are_of_the_candidates_repeatable_and_without_doubles() -> None:
    curves = curves_like(2, count=30)
    first, again = drawn(curves, 50, seed=3), drawn(curves, 50, seed=3)
    assert [part.names for part in first] == [part.names for part in again]
    assert all(len(set(part.names)) == len(part) <= 30 for part in first)
    # Of n drawn n times, (1 - 1/n)^n are left out on average.
    assert np.mean([len(part) for part in first]) == pytest.approx(30 * (1 - (1 - 1 / 30) ** 30), rel=0.05)
    place = curves.names.index(first[0].names[0])
    np.testing.assert_array_equal(first[0].performance[0], curves.performance[place])


def test_a_summary_counts_what_stays_within_the_tolerance() -> None:
    curves = curves_like(4)
    policy = Widen(gain=0.05)
    replays = [replay(part, policy) for part in drawn(curves, 40)]
    summary = summarise(replays, policy, tolerance=0.01)
    assert summary.within == np.mean([one.regret <= 0.01 for one in replays])
    assert summary.regret_low <= summary.regret <= summary.regret_high
    assert summary.share == pytest.approx(np.mean([one.share for one in replays]))
    with pytest.raises(InputError, match="found none"):
        summarise([], policy)


def test_the_rule_takes_the_cheapest_that_is_safe_enough() -> None:
    policies: list[Policy] = [FullSweep(), EarlyStopping(2), SuccessiveHalving(), Widen(gain=0.5)]
    found = summaries(drawn(curves_like(5, count=20), 30), policies)
    chosen = found[cheapest_within(found, 0.9)]
    assert chosen.within >= 0.9
    assert all(other.share >= chosen.share for other in found if other.within >= 0.9)
    with pytest.raises(InputError, match="none keeps the regret within the tolerance"):
        cheapest_within(found[3:], 1.0)


def test_the_grid_has_every_kind_of_policy_once() -> None:
    assert len({policy.describe() for policy in grid()}) == len(grid())
    assert {policy.name for policy in grid()} == {"full", "early-stopping", "halving", "screened-halving", "widen"}


def test_curves_of_a_recorded_study() -> None:
    curves = curves_of_study(RECIPES, ("recipe", "filters"))[1]
    epochs, runs = pd.read_csv(RECIPES / "epochs.csv"), pd.read_csv(RECIPES / "runs.csv")
    assert set(curves.names) == {f"{recipe} / {width}" for recipe in ("reference", "efficient") for width in (4, 16)}
    row = runs[(runs["recipe"] == "efficient") & (runs["filters"] == 16) & (runs["seed"] == 1)].iloc[0]
    own = epochs[epochs["run"] == row["run"]]
    place = curves.names.index("efficient / 16")
    np.testing.assert_array_equal(curves.performance[place], own["val_dice"])
    np.testing.assert_array_equal(curves.cost[place], own["energy_kwh"])
    assert curves.sizes[place] == row["macs"]
    tested = runs[(runs["recipe"] == "efficient") & (runs["filters"] == 16)]["test_dice_patients"].mean()
    assert curves.score is not None
    assert curves.score[place] == pytest.approx(tested)
    # A training is its epochs and what is between them.
    assert 0.95 * row["energy_kwh"] < curves.cost[place].sum() <= row["energy_kwh"]


def test_curves_of_a_wide_table(tmp_path: Path) -> None:
    table = pd.DataFrame(
        {"net": ["a", "b"], "weights": [10, 20], "kwh": [1.0, 3.0], "acc_1": [0.5, 0.6], "acc_2": [0.7, None]}
    )
    table.to_csv(tmp_path / "curves.csv", index=False)
    curves = curves_of_table(tmp_path / "curves.csv", ("net",), "weights", "kwh", r"acc_\d")
    np.testing.assert_array_equal(curves.cost, [[0.5, 0.5], [1.5, 1.5]])
    np.testing.assert_array_equal(curves.best, [0.7, 0.6])
    with pytest.raises(InputError, match="no column matches"):
        curves_of_table(table, ("net",), "weights", "kwh", r"test_\d+")
    with pytest.raises(InputError, match=r"did you mean 'weights'\?"):
        curves_of_table(table, ("net",), "weight", "kwh", r"acc_\d")
    with pytest.raises(InputError, match="gaps or repeats"):
        curves_of_table(pd.concat([table, table]), ("net",), "weights", "kwh", r"acc_\d")


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"performance": np.array([[1.5]])}, "a has a performance outside 0–1"),
        ({"performance": np.array([[np.nan]])}, "a has no performance at all"),
        ({"cost": np.array([[-1.0]])}, "a has a cost"),
        ({"sizes": np.array([0.0])}, "a has a size"),
        ({"sizes": np.array([1.0, 2.0])}, "expected one size"),
        ({"names": ()}, "found 0|0 candidates"),
    ],
)
def test_curves_that_cannot_be_are_named(changes: dict[str, object], named: str) -> None:
    parts: dict[str, object] = {
        "names": ("a",),
        "sizes": np.array([1.0]),
        "performance": np.array([[0.5]]),
        "cost": np.array([[1.0]]),
    }
    with pytest.raises(InputError, match=named):
        Curves(**(parts | changes))  # type: ignore[arg-type]


def test_candidates_that_share_a_name_are_refused() -> None:
    with pytest.raises(InputError, match="several runs of one seed are called '4'"):
        curves_of_study(RECIPES)


def test_trials_keep_their_first_epochs() -> None:
    trial = Trial("a", 1, 3, (0.1, 0.2, 0.3), (1, 2, 3))
    assert trial.first(2) == Trial("a", 1, 3, (0.1, 0.2), (1, 2))
    assert trial.first(9) is trial
    assert (trial.spent, trial.epoch_cost, trial.best) == (6, 2, 0.3)


def test_a_seed_that_lacks_a_candidate_is_no_search_of_the_study() -> None:
    directory = RECIPES.with_name("lidc")
    runs, epochs = pd.read_csv(directory / "runs.csv"), pd.read_csv(directory / "epochs.csv")
    runs = runs[(runs["seed"] != 1) | (runs["filters"] != 24)]
    widths = runs.groupby("seed")["filters"].nunique()
    found = replay_study(runs, epochs)
    whole = widths[widths == widths.max()].index
    assert set(found["draws"]) == {len(whole)}
    alone = replay_study(runs[runs["seed"].isin(whole)], epochs)
    pd.testing.assert_frame_equal(found, alone)
