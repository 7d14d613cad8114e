import doctest
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from carbon_midl.errors import InputError
from carbon_midl.footprint import DEFAULT_PUE, Embodied, carbon_intensity, grid
from carbon_midl.footprint.grid import checked_pue, embodied_of, national_averages

YEAR_S = 365.25 * 86400
H100 = "NVIDIA H100 80GB HBM3"


def test_examples() -> None:
    assert doctest.testmod(grid) == (0, 1)


def test_world_average_is_on_one_basis_with_the_countries() -> None:
    world = carbon_intensity("world")
    assert (world.g_per_kwh, world.place, world.year) == (473.0, "world", 2024)
    assert "Ember" in world.source
    assert all("over the life cycle" in average.source for average in (world, *national_averages().values()))


@pytest.mark.parametrize(
    ("country", "g_per_kwh"),
    [("DK", 143.3), ("FR", 44.2), ("DE", 344.1), ("GB", 210.9), ("US", 383.5), ("PL", 615.0), ("NO", 30.7)],
)
def test_national_averages_that_ship_with_carbontracker(country: str, g_per_kwh: float) -> None:
    intensity = carbon_intensity(country)
    assert intensity.g_per_kwh == pytest.approx(g_per_kwh, abs=0.06)
    assert (intensity.place, intensity.year) == (country, 2024)
    assert "carbontracker" in intensity.source
    assert "2024" in intensity.source


def test_codes_of_two_and_three_letters_and_either_case_mean_the_same() -> None:
    assert carbon_intensity("DNK") == carbon_intensity("dk") == carbon_intensity(" DK ")


@given(st.floats(min_value=0, max_value=5000))
def test_a_number_is_taken_as_it_is_also_as_text(g_per_kwh: float) -> None:
    intensity = carbon_intensity(g_per_kwh)
    assert (intensity.g_per_kwh, intensity.place, intensity.year) == (g_per_kwh, "given", None)
    assert carbon_intensity(repr(g_per_kwh)) == intensity


@pytest.mark.parametrize(
    ("where", "suggestion"),
    [("UK", "GB (United Kingdom)"), ("Denmrk", "DK (Denmark)"), ("Germany", "DE (Germany)"), ("DKK", "DK (Denmark)")],
)
def test_an_unknown_code_lists_near_matches(where: str, suggestion: str) -> None:
    with pytest.raises(InputError) as caught:
        carbon_intensity(where)
    assert repr(where) in str(caught.value)
    assert suggestion in str(caught.value)


@pytest.mark.parametrize("where", [-1.0, float("nan"), float("inf"), "-3", "nan", "", "live:DK", True, None, [1]])
def test_what_is_no_intensity_is_refused(where: object) -> None:
    with pytest.raises(InputError, match="intensity"):
        carbon_intensity(where)  # type: ignore[arg-type]


@pytest.mark.parametrize("pue", [0.99, -1, float("nan"), float("inf"), True, "1.2", None])
def test_a_pue_below_one_or_not_a_number_is_refused(pue: object) -> None:
    with pytest.raises(InputError, match="pue"):
        checked_pue(pue)  # type: ignore[arg-type]


def test_pue_and_the_year_agree_with_carbontracker() -> None:
    from carbontracker import constants

    assert constants.PUE_2023 == DEFAULT_PUE
    assert carbon_intensity("world").year == constants.WORLD_AVG_CARBON_INTENSITY_YEAR


def test_embodied_carbon_by_the_sci_formula() -> None:
    # One eighth of a GPU for a year of its four: 160 kg / 4 / 8.
    assert Embodied("A GPU", 160.0, lifetime_years=4.0, share=1 / 8).carbon_g(YEAR_S) == pytest.approx(5000)
    assert Embodied("A GPU", 160.0, 3, lifetime_years=4.0).carbon_g(YEAR_S / 2) == pytest.approx(3 * 20_000)


@pytest.mark.parametrize(
    ("name", "total_kg"), [(H100, 164.0), ("NVIDIA A100-PCIE-40GB", 181.0), ("NVIDIA A100 80GB PCIe", 181.0)]
)
def test_embodied_carbon_of_devices_in_the_table(name: str, total_kg: float) -> None:
    embodied = embodied_of({"gpu 0": name, "gpu 1": name}, lifetime_years=3)
    assert (embodied.total_kg, embodied.devices, embodied.lifetime_years) == (total_kg, 2, 3)
    assert "Green Algorithms" in embodied.source


@pytest.mark.parametrize("name", ["NVIDIA A100-SXM4-40GB", "NVIDIA H100 PCIe", "NVIDIA H100 NVL", "Tesla V100", ""])
def test_embodied_carbon_of_other_devices_needs_a_number(name: str) -> None:
    with pytest.raises(InputError, match="give the kgCO2e"):
        embodied_of({"gpu 0": name})


def test_embodied_carbon_is_of_all_gpus_of_a_record_or_else_of_its_processor() -> None:
    both = embodied_of({"cpu": "A CPU", "gpu 0": H100, "gpu 1": H100})
    assert (both.hardware, both.devices, both.total_kg) == (H100, 2, 164.0)
    assert embodied_of({"cpu": "A CPU"}, 30.0, 4.0) == Embodied("A CPU", 30.0, lifetime_years=4.0)
    with pytest.raises(InputError, match="no figure for 'A CPU'"):
        embodied_of({"cpu": "A CPU"})
    with pytest.raises(InputError, match="GPUs of one kind"):
        embodied_of({"gpu 0": H100, "gpu 1": "Tesla V100"})


@pytest.mark.parametrize(
    ("field", "value"),
    [("total_kg", 0.0), ("total_kg", math.inf), ("devices", 0), ("lifetime_years", math.nan), ("share", 1.1)],
)
def test_numbers_of_embodied_carbon_that_cannot_be_are_named(field: str, value: float) -> None:
    with pytest.raises(InputError, match=f"embodied: found {field}"):
        Embodied(**{"hardware": "A GPU", "total_kg": 1.0, field: value})  # type: ignore[arg-type]
