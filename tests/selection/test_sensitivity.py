from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from carbon_midl.errors import InputError
from carbon_midl.selection.candidates import Columns, Factors, read_candidates
from carbon_midl.selection.choice import across_factors, leave_one_out
from carbon_midl.selection.criteria import Best, Budget, Marginal, Pepr
from tests.selection.made_up import candidates, random_candidates

PLAIN = Columns(candidate=("model",), replicate="none", performance="acc", energy="kwh", duration="s")


def test_what_would_be_chosen_without_another() -> None:
    made = candidates([0.60, 0.70, 0.71], [0.0, 20.0, 200.0])
    assert leave_one_out(made, Pepr()) == {"c": "a"}
    assert leave_one_out(made, Best()) == {}
    assert leave_one_out(candidates([0.6, 0.7], [1.0, 10.0]), Budget(2.0)) == {}
    assert leave_one_out(candidates([0.6], [1.0]), Best()) == {}


def energies() -> pd.DataFrame:
    return pd.DataFrame({"model": ["a", "b"], "acc": [0.6, 0.7], "kwh": [1.0, 2.0], "s": [36000.0, 3600.0]})


def test_a_budget_in_grams_goes_further_on_a_clean_grid() -> None:
    made = read_candidates(energies(), PLAIN)
    places = {"clean": Factors.of(20, 1.0), "middling": Factors.of(100, 1.0), "dirty": Factors.of(800, 1.0)}
    found = across_factors(made, Budget(150), places).set_index("label")
    assert found["chosen"].fillna("none").tolist() == ["b", "a", "none"]
    assert found["carbon_g"].tolist()[:2] == [40, 100]
    assert "no candidate within 150 gCO2eq" in str(found.loc["dirty", "reason"])
    assert found["g_per_kwh"].tolist() == [20, 100, 800]


def test_an_embodied_share_can_turn_the_ranks_of_cost() -> None:
    made = read_candidates(energies(), PLAIN)
    places = {"without": Factors.of(100, 1.0), "with": Factors.of(100, 1.0, embodied_g_per_h=30)}
    found = across_factors(made, Marginal(5.0), places).set_index("label")
    assert found["chosen"].tolist() == ["a", "b"]
    assert found.loc["with", "carbon_g"] == pytest.approx(230)
    assert found["embodied_fraction"].tolist() == pytest.approx([0, 30 / 230])


def test_what_was_not_made_from_energy_has_no_other_grid() -> None:
    made = replace(random_candidates(0), cost_name="memory", unit="GB")
    with pytest.raises(InputError, match="memory was given as it is"):
        across_factors(made, Best(), {"DK": Factors.of("DK")})
    assert np.isfinite(made.mean_cost).all()
