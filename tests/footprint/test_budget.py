import pytest

from carbon_midl.errors import InputError
from carbon_midl.footprint import Budget, FootprintRecord
from tests.footprint.test_prediction import record_of


def test_a_run_that_fits_goes_on() -> None:
    decision = Budget(energy_kwh=25).check(record_of([2.0, 2.1, 2.0], 10))
    assert not decision.stop
    assert decision.limit_kwh == 25
    assert decision.spent_kwh == pytest.approx(6.1)
    assert decision.predicted_kwh == pytest.approx(6.1 + 7 * 2.05)
    assert decision.excess_kwh == pytest.approx(6.1 + 7 * 2.05 - 25)
    assert decision.probability is not None
    assert decision.probability < 0.2


def test_a_run_that_will_exceed_it_is_stopped_long_before() -> None:
    decision = Budget(energy_kwh=10).check(record_of([2.0, 2.1, 2.0, 2.1], 10))
    assert decision.stop
    assert decision.spent_kwh < 10
    assert decision.excess_kwh == pytest.approx(8.2 + 6 * (2.1 + 2.0 + 2.1) / 3 - 10)
    assert "budget of 10 kWh: predicted after epoch 4: 20.6 kWh" in decision.reason
    assert "95% interval" in decision.reason


def test_without_certainty_it_goes_on_until_the_next_epoch_would_exceed_it() -> None:
    budget = Budget(energy_kwh=10, confidence=0.99)
    epochs = [2.0, 0.8, 3.2, 2.0]
    assert not budget.check(record_of(epochs[:2], 5)).stop
    assert not budget.check(record_of(epochs[:3], 5)).stop
    decision = budget.check(record_of([*epochs, 0.5], 6))
    assert decision.stop
    assert "the next epoch would exceed the budget" in decision.reason


def test_what_is_spent_needs_no_prediction() -> None:
    decision = Budget(energy_kwh=1).check(record_of([2.0], 10))
    assert decision.stop
    assert "has used 2 kWh, more than its budget" in decision.reason
    assert decision.predicted_kwh is decision.excess_kwh is None
    assert not Budget(energy_kwh=3).check(record_of([2.0], 10)).stop


def test_a_training_at_its_end_is_not_stopped_for_what_may_come() -> None:
    assert not Budget(energy_kwh=6.2).check(record_of([2.0, 2.1, 2.0], 3)).stop


def test_carbon_is_counted_with_the_run_s_own_factors() -> None:
    record = record_of([2.0, 2.0, 2.0], 10).recost(100.0, 1.5)
    assert Budget(carbon_g=3100).limit_kwh(record) == pytest.approx(3100 / 150)
    assert not Budget(carbon_g=3100).check(record).stop
    decision = Budget(carbon_g=2900).check(record)
    assert decision.stop
    assert "budget of 2.9 kgCO2eq: predicted after epoch 3: 3 kgCO2eq" in decision.reason
    assert not Budget(carbon_g=1).check(record.recost(0.0)).stop


def test_an_earlier_attempt_has_spent_some_of_it() -> None:
    record = record_of([2.0, 2.0, 2.0], 5).with_earlier(record_of([2.0, 2.0], 5))
    assert Budget(energy_kwh=13).check(record).stop
    assert not Budget(energy_kwh=15).check(record).stop


def test_more_epochs_than_the_record_planned_can_be_asked_about() -> None:
    budget, record = Budget(energy_kwh=10), record_of([1.0, 1.0, 1.0], 5)
    assert not budget.check(record).stop
    assert budget.check(record, epochs_planned=50).stop


@pytest.mark.parametrize(
    ("limits", "message"),
    [
        ({}, "0 limits"),
        ({"carbon_g": 1.0, "energy_kwh": 1.0}, "2 limits"),
        ({"carbon_g": 0.0}, "carbon_g = 0.0"),
        ({"energy_kwh": -1.0}, "energy_kwh = -1.0"),
        ({"energy_kwh": float("nan")}, "energy_kwh = nan"),
        ({"energy_kwh": "1"}, "energy_kwh = '1'"),
        ({"energy_kwh": 1.0, "confidence": 1.0}, r"confidence = 1\.0"),
    ],
)
def test_a_budget_that_cannot_be_is_refused(limits: dict[str, float], message: str) -> None:
    with pytest.raises(InputError, match=message):
        Budget(**limits)


def test_nothing_used_nothing_exceeded() -> None:
    assert not Budget(carbon_g=1.0).check(FootprintRecord((), 5)).stop
