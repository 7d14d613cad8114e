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


def scores(performance: "pd.Series[float]", resource: "pd.Series[float]", least: float, most: float) -> list[float]:
    """PePR with two more candidates, whose resources are what counts as 0 and as 1."""
    made = candidates([*performance, 0.0, 0.0], [*resource, least, most])
    return list(choose(made, Pepr()).scores.values())[:-2]


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
        found = scores(published["best_test"], published[to_convergence], least, most)
        np.testing.assert_allclose(found, published[score], rtol=0, atol=1e-9, err_msg=str(dataset))
        assert len(found) == 131


def test_the_published_pepr_m_is_that_of_reserved_memory() -> None:
    """The table at hand has the active memory (``memM``); the score was made from the reserved one (``memR``, GB)."""
    models = ["pnasnet5large", "vgg11", "nasnetalarge", "resnetrs270", "densenet121", "convnext_atto"]
    memory = np.array([22.718447616, 6.327107584, 21.1812352, 20.937965568, 6.25999872, 1.59383552])
    best = np.array([0.962171052631579, 0.9424342105263158, 0.96875, 0.9572368421052632])
    best = np.append(best, [0.841733870967742, 0.758064516129032])
    published = np.array([0.4827019812910574, 0.7702893688193273, 0.5042665342219943, 0.501254611269005])
    published = np.append(published, [0.6897598056445104, 0.757169604747473])
    # Two rows give what counts as 0 and as 1; the others are then predicted.
    scaled = best / published - 1
    span = (memory[0] - memory[1]) / (scaled[0] - scaled[1])
    least = float(memory[0] - scaled[0] * span)
    found = scores(pd.Series(best), pd.Series(memory), least, least + float(span))
    np.testing.assert_allclose(found[2:], published[2:], rtol=0, atol=1e-9, err_msg=str(models))
