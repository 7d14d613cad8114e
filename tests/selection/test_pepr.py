"""PePR as published for 131 models on two data sets: https://github.com/raghavian/MIA-Energy, ``make_pepr_data.py``.

There the resource is scaled over all of the authors' runs, not over one data set: what counts as 1 is the largest run
of ten epochs, what counts as 0 a tenth of the smallest one. The smallest is a run on a third data set, which the table
at hand leaves out; its value follows from any row.
"""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from carbon_midl.selection.choice import choose
from carbon_midl.selection.criteria import Pepr
from tests.selection.made_up import candidates

SHARED = Path(__file__).parents[3] / "shared" / "pepr" / "pepr-lidc-derma.csv"
EPOCHS = 10
RESOURCES = [  # scaled and score as published, cost to convergence, of the whole run, and from its unit to the former's
    ("E_n", "pepr_e", "energy_conv", "energy", 1000),  # Wh, kWh
    ("C_n", "pepr_c", "co2_conv", "co2", 1),  # g
    ("T_n", "pepr_t", "time_conv", "train_time", 1),  # s
]


@pytest.fixture(scope="module")
def table() -> pd.DataFrame:
    if not SHARED.exists():
        pytest.skip("no published curves beside the repository")
    return pd.read_csv(SHARED)


@pytest.mark.shared
@pytest.mark.parametrize(("scaled", "score", "to_convergence", "whole", "unit"), RESOURCES)
def test_the_published_scores_follow_from_their_normalisation(
    table: pd.DataFrame, scaled: str, score: str, to_convergence: str, whole: str, unit: float
) -> None:
    most = table[whole].max() * unit
    first = table.iloc[0]
    least = (first[to_convergence] - first[scaled] * most) / (1 - first[scaled])
    assert 0 < least < table[whole].min() * unit / EPOCHS
    for dataset, published in table.groupby("dataset"):
        # Two more candidates, whose resources are what counts as 0 and as 1.
        made = candidates([*published["best_test"], 0.0, 0.0], [*published[to_convergence], least, most])
        found = list(choose(made, Pepr()).scores.values())[:-2]
        np.testing.assert_allclose(found, published[score], rtol=0, atol=1e-9, err_msg=str(dataset))
        assert len(found) == 131
