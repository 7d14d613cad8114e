import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from carbon_midl.errors import InputError
from carbon_midl.measures import PatientBootstrap, patient_dice


def table(seed: int = 0, patients: int = 20) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    ease = rng.normal(0.7, 0.1, patients)
    values = {(4, 0): ease, (8, 0): ease + 0.02 + rng.normal(0, 0.005, patients)}
    return pd.DataFrame(values, index=[f"p{number}" for number in range(patients)])


def slices(rows: list[tuple[str, int, int, float]]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=["patient_id", "filters", "seed", "dice"])


def test_a_patient_with_many_slices_and_a_seed_with_many_count_once() -> None:
    made = patient_dice(
        slices([("a", 4, 0, 0.0), ("a", 4, 0, 1.0), ("a", 4, 1, 0.9), ("b", 4, 0, 0.2), ("b", 4, 1, 0.4)])
    )
    assert PatientBootstrap.draw(made).dice(4).estimate == pytest.approx((0.5 + 0.9 + 0.2 + 0.4) / 4)


def test_only_patients_tested_in_every_run_are_compared() -> None:
    made = patient_dice(slices([("a", 4, 0, 0.5), ("a", 8, 0, 0.6), ("b", 4, 0, 0.9)]))
    assert list(made.index) == ["a"]
    with pytest.raises(InputError, match="no patient was tested in every run"):
        patient_dice(slices([("a", 4, 0, 0.5), ("b", 8, 0, 0.5)]))


def test_the_interval_agrees_with_the_normal_theory_of_the_mean() -> None:
    made = table(patients=200)
    interval = PatientBootstrap.draw(made).dice(4)
    half = 1.96 * made[4, 0].std(ddof=0) / np.sqrt(len(made))
    assert interval.estimate == pytest.approx(made[4, 0].mean())
    assert interval.high - interval.low == pytest.approx(2 * half, rel=0.1)


def test_pairing_sees_a_difference_that_is_small_beside_the_spread_of_patients() -> None:
    bootstrap = PatientBootstrap.draw(table())
    assert bootstrap.dice(4).high > bootstrap.dice(8).low
    assert bootstrap.difference(4, 8).excludes_zero


@given(seed=st.integers(0, 1000), patients=st.integers(2, 30))
def test_differences_are_antisymmetric_and_contain_their_estimate(seed: int, patients: int) -> None:
    bootstrap = PatientBootstrap.draw(table(seed, patients), draws=200)
    there, back = bootstrap.difference(4, 8), bootstrap.difference(8, 4)
    assert there.estimate == pytest.approx(-back.estimate)
    assert there.low == pytest.approx(-back.high)
    assert there.low <= there.high


def test_the_interval_covers_what_another_seed_would_change() -> None:
    """Two widths with the same patients and the same spread of seeds: no difference may be called one."""
    ease = np.random.default_rng(0).normal(0.7, 0.1, 50)
    made = pd.DataFrame({(4, 0): ease, (4, 1): ease + 0.02, (8, 0): ease + 0.02, (8, 1): ease + 0.12})
    difference = PatientBootstrap.draw(made).difference(4, 8)
    assert difference.estimate == pytest.approx(0.06)
    assert difference.low == pytest.approx(0.0, abs=1e-9)
    assert difference.high == pytest.approx(0.12, abs=1e-9)
