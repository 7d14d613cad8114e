import pytest
from hypothesis import given
from hypothesis import strategies as st

from carbon_midl.errors import InputError
from carbon_midl.footprint import Embodied, known_embodied
from carbon_midl.footprint.embodied import embodied_of

YEAR_S = 365.25 * 86400


def test_the_sci_formula() -> None:
    # One eighth of a GPU for a year of its four: 160 kg / 4 / 8.
    assert Embodied("A GPU", 160.0, lifetime_years=4.0, share=1 / 8).carbon_g(YEAR_S) == pytest.approx(5000)


@given(st.floats(0, 1e9), st.integers(1, 64), st.floats(0.5, 20), st.floats(0.01, 1))
def test_it_is_linear_in_time_devices_and_share(duration_s: float, devices: int, years: float, share: float) -> None:
    one = Embodied("A GPU", 100.0, lifetime_years=years).carbon_g(duration_s)
    assert Embodied("A GPU", 100.0, devices, years, share).carbon_g(duration_s) == pytest.approx(devices * share * one)


@pytest.mark.parametrize(
    ("name", "total_kg"),
    [("NVIDIA H100 80GB HBM3", 164.0), ("NVIDIA A100-PCIE-40GB", 181.0), ("NVIDIA A100 80GB PCIe", 181.0)],
)
def test_devices_in_the_table(name: str, total_kg: float) -> None:
    embodied = known_embodied(name, devices=8, lifetime_years=3)
    assert (embodied.total_kg, embodied.devices, embodied.lifetime_years) == (total_kg, 8, 3)
    assert "Green Algorithms" in embodied.source


@pytest.mark.parametrize("name", ["NVIDIA A100-SXM4-40GB", "NVIDIA H100 PCIe", "NVIDIA H100 NVL", "Tesla V100", ""])
def test_other_devices_need_a_number(name: str) -> None:
    with pytest.raises(InputError, match="give the kgCO2e"):
        known_embodied(name)


def test_all_gpus_of_a_record_or_else_its_processor() -> None:
    gpu = "NVIDIA H100 80GB HBM3"
    both = embodied_of({"cpu": "A CPU", "gpu 0": gpu, "gpu 1": gpu})
    assert (both.hardware, both.devices, both.total_kg) == (gpu, 2, 164.0)
    assert embodied_of({"cpu": "A CPU"}, 30.0, 4.0) == Embodied("A CPU", 30.0, lifetime_years=4.0)
    with pytest.raises(InputError, match="no figure for 'A CPU'"):
        embodied_of({"cpu": "A CPU"})
    with pytest.raises(InputError, match="GPUs of one kind"):
        embodied_of({"gpu 0": gpu, "gpu 1": "Tesla V100"})


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("total_kg", 0.0),
        ("total_kg", float("inf")),
        ("devices", 0),
        ("devices", 1.5),
        ("lifetime_years", -1.0),
        ("share", 0.0),
        ("share", 1.1),
    ],
)
def test_numbers_that_cannot_be_are_named(field: str, value: float) -> None:
    with pytest.raises(InputError, match=f"embodied: found {field}"):
        Embodied(**{"hardware": "A GPU", "total_kg": 1.0, field: value})  # type: ignore[arg-type]
