import math

import numpy as np
import pandas as pd
import pytest

from carbon_midl.errors import InputError
from carbon_midl.measures import PatientBootstrap
from carbon_midl.selection.by_width import marginal_costs, step_cost


def bootstrap(gains: dict[int, float], noise: float = 0.0) -> PatientBootstrap:
    rng = np.random.default_rng(1)
    ease = rng.normal(0.6, 0.05, 30)
    return PatientBootstrap.draw(
        pd.DataFrame({(width, 0): ease + gain + rng.normal(0, noise, 30) for width, gain in gains.items()})
    )


def test_the_price_is_carbon_over_points() -> None:
    step = step_cost({4: 10.0, 8: 30.0}, bootstrap({4: 0.0, 8: 0.05}), 4, 8)
    assert step["points"] == pytest.approx(5.0)
    assert [step[f"g_per_point{limit}"] for limit in ("", "_low", "_high")] == pytest.approx([4.0] * 3)


def test_a_gain_that_may_be_nothing_has_a_price_without_upper_limit() -> None:
    step = step_cost({4: 10.0, 8: 30.0}, bootstrap({4: 0.0, 8: 0.001}, noise=0.03), 4, 8)
    assert step["points_low"] < 0 < step["points_high"]
    assert math.isinf(step["g_per_point_high"])
    assert step["g_per_point_low"] == pytest.approx(20.0 / step["points_high"])


@pytest.mark.parametrize(("carbon", "gain"), [({4: 10.0, 8: 30.0}, -0.05), ({4: 10.0, 8: 9.0}, 0.05)])
def test_a_loss_of_dice_and_a_step_that_costs_nothing_have_no_price(carbon: dict[int, float], gain: float) -> None:
    step = step_cost(carbon, bootstrap({4: 0.0, 8: gain}), 4, 8)
    assert math.isnan(step["g_per_point"])
    assert math.isnan(step["g_per_point_low"])


def test_neighbours_come_first_and_the_whole_range_last() -> None:
    table = marginal_costs({4: 3.0, 8: 2.0, 16: 9.0}, bootstrap({4: 0.0, 8: 0.02, 16: 0.03}))
    assert list(zip(table["first"], table["second"], strict=True)) == [(4, 8), (8, 16), (8, 16)]
    with pytest.raises(InputError, match="at least two widths"):
        marginal_costs({4: 1.0}, bootstrap({4: 0.0}))
