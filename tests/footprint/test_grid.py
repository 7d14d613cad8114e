import math
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from carbon_midl.errors import InputError
from carbon_midl.footprint import DEFAULT_PUE, carbon_intensity
from carbon_midl.footprint.grid import EMBODIED_KG, checked_pue, embodied_g, national_averages

YEAR_S = 365.25 * 86400


def test_world_average_is_on_one_basis_with_the_countries() -> None:
    world = carbon_intensity("world")
    assert (world.g_per_kwh, world.place, world.year) == (473.0, "world", 2024)
    assert "Ember" in world.source
    assert all("over the life cycle" in average.source for average in (world, *national_averages().values()))


@pytest.mark.parametrize(("country", "g_per_kwh"), [("DK", 143.3), ("FR", 44.2), ("US", 383.5), ("PL", 615.0)])
def test_national_averages_that_ship_with_carbontracker(country: str, g_per_kwh: float) -> None:
    intensity = carbon_intensity(f" {country.lower()} ")
    assert intensity.g_per_kwh == pytest.approx(g_per_kwh, abs=0.06)
    assert (intensity.place, intensity.year) == (country, 2024)
    assert "2024" in intensity.source


@given(st.floats(min_value=0, max_value=5000))
def test_a_number_is_taken_as_it_is_also_as_text(g_per_kwh: float) -> None:
    intensity = carbon_intensity(g_per_kwh)
    assert (intensity.g_per_kwh, intensity.place, intensity.year) == (g_per_kwh, "given", None)
    assert carbon_intensity(repr(g_per_kwh)) == carbon_intensity(f"{g_per_kwh!r} gCO2eq/kWh") == intensity


def test_a_country_is_a_code_or_a_name() -> None:
    assert carbon_intensity("Denmark") == carbon_intensity("DK") == carbon_intensity("dk")


@pytest.mark.parametrize(
    ("where", "suggestion"),
    [("UK", "GB (United Kingdom)"), ("Denmrk", "DK (Denmark)"), ("DKK", "DK (Denmark)"), ("EU", "has countries")],
)
def test_an_unknown_code_lists_near_matches(where: str, suggestion: str) -> None:
    with pytest.raises(InputError) as caught:
        carbon_intensity(where)
    assert repr(where) in str(caught.value)
    assert suggestion in str(caught.value)


@pytest.mark.parametrize(
    ("name", "check", "values"),
    [
        ("intensity", carbon_intensity, [-1.0, math.nan, math.inf, "-3", "nan", "", "live:DK", True, None, [1]]),
        ("pue", checked_pue, [0.99, -1, math.nan, math.inf, "1.2", None]),
    ],
)
def test_what_is_no_intensity_or_no_pue_is_refused(name: str, check: Callable[..., object], values: list[Any]) -> None:
    for value in values:
        with pytest.raises(InputError, match=name):
            check(value)


def test_pue_and_the_year_agree_with_carbontracker() -> None:
    from carbontracker import constants

    assert constants.PUE_2023 == DEFAULT_PUE
    assert carbon_intensity("world").year == constants.WORLD_AVG_CARBON_INTENSITY_YEAR


def test_embodied_carbon_by_the_sci_formula() -> None:
    assert embodied_g(160.0, YEAR_S, lifetime_years=4.0) == pytest.approx(40_000)
    assert embodied_g(EMBODIED_KG["NVIDIA H100 80GB HBM3"], 3600) == pytest.approx(164e3 / (5 * YEAR_S / 3600))
    for numbers in ((0.0, 5.0), (math.inf, 5.0), (164.0, math.nan)):
        with pytest.raises(InputError, match="embodied: found"):
            embodied_g(numbers[0], 3600, numbers[1])
