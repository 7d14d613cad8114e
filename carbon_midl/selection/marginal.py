"""What one more point of Dice costs in carbon when the network is made wider."""

import math
from collections.abc import Mapping
from itertools import pairwise

import pandas as pd

from carbon_midl.errors import InputError
from carbon_midl.measures import PatientBootstrap

POINT = 0.01


def step_cost(carbon_g: Mapping[int, float], bootstrap: PatientBootstrap, first: int, second: int) -> dict[str, float]:
    """Price of the step from width ``first`` to ``second``.

    A price exists only where the step costs carbon and gains Dice. Its interval comes from the interval of the gain
    (carbon is taken as known); where that reaches down to zero the price has no upper limit, written as infinity.

    Returns:
        ``first``, ``second``, extra ``carbon_g``, gain in Dice ``points`` (0.01) with ``points_low`` and
        ``points_high``, and ``g_per_point`` with ``g_per_point_low`` and ``g_per_point_high`` (NaN: no price).

    Raises:
        InputError: a width has no carbon or no Dice.
    """
    for width in (first, second):
        if width not in carbon_g or not math.isfinite(carbon_g[width]):
            raise InputError(f"width {width}: no carbon given; found it for {sorted(carbon_g)}.")
    extra_g = carbon_g[second] - carbon_g[first]
    gain = bootstrap.difference(first, second)
    points, low, high = (value / POINT for value in gain)

    def price(value: float, without_gain: float) -> float:
        if extra_g <= 0 or high <= 0:
            return math.nan
        return extra_g / value if value > 0 else without_gain

    return {
        "first": first,
        "second": second,
        "carbon_g": extra_g,
        "points": points,
        "points_low": low,
        "points_high": high,
        "g_per_point": price(points, math.nan),
        "g_per_point_low": price(high, math.nan),
        "g_per_point_high": price(low, math.inf),
    }


def marginal_costs(carbon_g: Mapping[int, float], bootstrap: PatientBootstrap) -> pd.DataFrame:
    """Steps between neighbouring widths, then the step from the cheapest width to the dearest.

    Args:
        carbon_g: gCO2eq of training by width.
        bootstrap: Dice of the same widths.

    Raises:
        InputError: fewer than two widths, or a width without carbon.
    """
    widths = bootstrap.widths
    if len(widths) < 2:
        raise InputError(f"widths {widths}: a marginal cost needs at least two widths. Add one to the study.")
    steps = [step_cost(carbon_g, bootstrap, first, second) for first, second in pairwise(widths)]
    cheapest, dearest = cheapest_and_dearest(carbon_g)
    steps.append(step_cost(carbon_g, bootstrap, cheapest, dearest))
    return pd.DataFrame(steps)


def cheapest_and_dearest(carbon_g: Mapping[int, float]) -> tuple[int, int]:
    """The widths with the least and the most carbon; the narrower one when equal."""
    if not carbon_g:
        raise InputError("carbon_g: no widths; expected gCO2eq by width.")
    ordered = sorted(carbon_g, key=lambda width: (carbon_g[width], width))
    return ordered[0], ordered[-1]
