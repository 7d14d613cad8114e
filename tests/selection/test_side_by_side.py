"""All criteria on the same candidates."""

from dataclasses import replace

import numpy as np
import pytest

from carbon_midl.selection.candidates import Factors
from carbon_midl.selection.choice import choose, on_grids, side_by_side, uncertainty
from carbon_midl.selection.criteria import CRITERIA, all_criteria
from tests.selection.made_up import candidates, random_candidates


def test_every_criterion_is_there_and_chooses_as_it_does_alone() -> None:
    table = random_candidates(3)
    criteria = all_criteria(table)
    rows, likely = side_by_side(table, criteria, draws=200)
    assert list(rows["name"]) == list(CRITERIA)
    for criterion, row in zip(criteria, rows.itertuples(), strict=True):
        choice = choose(table, criterion)
        assert (row.chosen, row.runner_up, row.reason) == (choice.chosen, choice.runner_up, choice.reason)
        assert row.probability == uncertainty(table, criterion, 200).chosen_probability(choice.chosen)
    assert len(likely) == len(criteria) * len(table)
    # The cheapest and the median are always within the budget, so that some candidate is chosen on every draw.
    np.testing.assert_allclose(likely.groupby("name")["probability"].sum(), 1)


def test_a_single_replicate_gives_no_probability() -> None:
    table = candidates([0.5, 0.6], [1, 2])
    rows, likely = side_by_side(table, all_criteria(table), draws=10)
    assert rows["probability"].isna().all()
    assert likely["probability"].isna().all()


def test_the_grid_moves_only_what_is_in_grams() -> None:
    energy_kwh = np.array([0.1, 0.2, 0.4, 0.8])[:, None, None]
    world = Factors.of(445.0, 1.0)
    table = candidates([0.5, 0.6, 0.7, 0.71], world.carbon_g(energy_kwh, None)[:, 0, 0].tolist())
    table = replace(table, energy_kwh=energy_kwh, factors=world, unit="gCO2eq")
    found = on_grids(table, all_criteria(table), {"clean": Factors.of(20.0, 1.0), "dirty": Factors.of(900.0, 1.0)})
    moved = found.groupby("name")["chosen"].nunique(dropna=False)
    assert set(moved[moved > 1].index) == {"budget", "marginal"}
    assert found.set_index(["name", "grid"]).loc[("budget", "clean"), "chosen"] == "d"
    assert found.loc[found["grid"] == "clean", "g_per_kwh"].unique() == pytest.approx([20.0])
