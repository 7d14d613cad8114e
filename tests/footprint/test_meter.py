import math
from collections.abc import Iterator, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from carbon_midl.footprint.meter import Meter
from tests.footprint.fakes import FakeSensor, silent


def steps(readings: Sequence[float | None], quantity: str, step_s: float = 1.0) -> Iterator[Meter]:
    """A meter after each reading of a trace, one every `step_s`; None stands for a drop-out."""
    remaining = iter(readings)

    def read() -> float:
        value = next(remaining)
        return silent() if value is None else value

    meter = Meter(FakeSensor("gpu 0", read, quantity), 0.0)  # type: ignore[arg-type]
    yield meter
    for number in range(1, len(readings)):
        meter.update(number * step_s)
        yield meter


def metered(readings: Sequence[float | None], quantity: str, step_s: float = 1.0) -> Meter:
    return list(steps(readings, quantity, step_s))[-1]


@pytest.mark.parametrize(
    ("quantity", "readings", "energy_j", "note"),
    [
        ("power_w", [100.0] * 11, 1000, ""),
        ("power_w", [0.0, 10.0, 20.0, 30.0], 45, ""),  # a ramp is exact
        ("energy_j", [50.0, 100.0, 200.0, 350.0], 300, ""),
        ("energy_j", [1000.0, 1100.0, 30.0, 130.0], 300, "reset or jumped 1 times"),  # 100 W before and after it
        ("energy_j", [0.0, 100.0, 1e9, 1e9 + 100, 1e9 + 200], 400, "reset or jumped 1 times"),
        ("energy_j", [1e6, 1e6 + 100, 7.0, 1e6 + 300, 1e6 + 400], 400, "reset or jumped 2 times"),  # there and back
        ("energy_j", [0.0, 100.0, None, 300.0], 300, "1 readings failed"),
    ],
)
def test_a_trace_goes_on_after_a_fault(quantity: str, readings: list[float | None], energy_j: float, note: str) -> None:
    meter = metered(readings, quantity)
    assert meter.energy_j == pytest.approx(energy_j)
    assert bool(meter.notes) == bool(note)
    assert note in "".join(meter.notes)


def test_energy_between_readings_lies_on_a_straight_line() -> None:
    meter = metered([0.0, 100.0, None, None, 400.0], "energy_j")
    assert [meter.energy_between(-1.0, time_s) for time_s in (0.0, 0.5, 2.0, 3.0, 9.0)] == [None, 50, 200, 300, 400]
    assert meter.energy_between(4.0, 5.0) is None


def test_a_counter_that_has_not_ticked_yet_gives_later_what_it_hid_and_one_that_stands_for_long_is_at_rest() -> None:
    ticking = metered([0.0, 0.0, 20.0, 20.0, 40.0], "energy_j", step_s=0.1)
    assert [ticking.energy_between(0.0, time_s) for time_s in (0.1, 0.3)] == pytest.approx([10, 30])
    resting = metered([0.0, 100.0, 100.0, 100.0, 200.0], "energy_j", step_s=2.0)
    assert [resting.energy_between(0.0, time_s) for time_s in (2.0, 6.0, 8.0)] == [100, 100, 200]


@pytest.mark.parametrize("absurd", [-5.0, float("nan"), float("inf"), 1e9])
@pytest.mark.parametrize("quantity", ["power_w", "energy_j"])
def test_absurd_readings_do_not_count_and_are_noted(quantity: str, absurd: float) -> None:
    meter = metered([100.0, 100.0, absurd, 100.0, 100.0], quantity)
    assert meter.energy_j == pytest.approx(400 if quantity == "power_w" else 0)
    assert meter.notes


@given(st.lists(st.none() | st.floats(), min_size=1, max_size=30), st.sampled_from(["power_w", "energy_j"]))
def test_energy_never_falls_whatever_is_read(readings: list[float | None], quantity: str) -> None:
    energies_j = [meter.energy_j for meter in steps(readings, quantity)]
    assert energies_j == sorted(energies_j)
    assert all(map(math.isfinite, energies_j))
