import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from carbon_midl.footprint import ComponentEnergy, FootprintRecord, Window
from carbon_midl.footprint.tracker import Prediction, predict, reason_to_stop


def record_of(energies_kwh: list[float], planned: int, overhead_kwh: float = 0.0) -> FootprintRecord:
    """A training whose epochs used these energies."""

    def window(name: str, energy_kwh: float, parent: str | None = None) -> Window:
        return Window(name, "a", 10.0, (ComponentEnergy("cpu", energy_kwh, "measured: RAPL"),), parent)

    epochs = [window(f"epoch {n}", energy_kwh, "training") for n, energy_kwh in enumerate(energies_kwh, start=1)]
    return FootprintRecord((window("training", sum(energies_kwh) + overhead_kwh), *epochs), planned)


def predicted(record: FootprintRecord) -> Prediction:
    prediction = predict(record)
    assert prediction is not None
    return prediction


def test_what_is_spent_counts_and_examples_are_the_epochs_after_the_first_of_the_last_attempt() -> None:
    equal = predicted(record_of([2.0, 2.0, 2.0], 10, overhead_kwh=0.5))
    assert equal.low_kwh == equal.energy_kwh == equal.high_kwh == 20.5
    assert (equal.after_epoch, equal.epoch_kwh) == (3, 2.0)
    assert (equal.probability_above(20.4), equal.probability_above(20.6)) == (1, 0)
    assert predicted(record_of([5.0, 2.0, 2.0], 10)).energy_kwh == pytest.approx(5 + 9 * 2)
    resumed = record_of([3.0, 2.0, 2.0], 5).with_earlier(record_of([9.0, 9.0], 5))
    assert predicted(resumed).energy_kwh == pytest.approx(18 + 7 + 2 * 2)
    assert predict(record_of([2.0], 10)) is predict(FootprintRecord((), 10)) is None


@given(st.lists(st.floats(0.1, 10), min_size=2, max_size=30), st.integers(1, 60))
def test_a_prediction_holds_what_is_spent_and_lies_in_its_interval(energies: list[float], planned: int) -> None:
    prediction = predicted(record_of(energies, planned))
    assert sum(energies) * (1 - 1e-9) <= prediction.low_kwh <= prediction.energy_kwh <= prediction.high_kwh
    assert planned > len(energies) or prediction.energy_kwh == pytest.approx(sum(energies))
    assert prediction.probability_above(prediction.high_kwh) <= 0.026


@pytest.mark.parametrize("after", [3, 10, 25])
@pytest.mark.parametrize(("kind", "least"), [("independent", 0.93), ("skewed", 0.90)])
def test_the_interval_holds_the_outcome_as_often_as_it_says(kind: str, least: float, after: int) -> None:
    chance = np.random.default_rng([after, len(kind)])
    held = 0
    for _ in range(1000):
        noise = chance.normal(size=50)
        energies = np.exp(0.3 * noise) if kind == "skewed" else 1 + 0.05 * noise
        energies[0] *= 1.5  # it warms up
        prediction = predicted(record_of(energies[:after].tolist(), 50))
        held += prediction.low_kwh <= energies.sum() <= prediction.high_kwh
    assert held / 1000 >= least


@pytest.mark.parametrize(
    ("limit_kwh", "epochs", "planned", "reason"),
    [
        (25.0, [2.0, 2.1, 2.0], 10, ""),
        (10.0, [2.0, 2.1, 2.0, 2.1], 10, "budget of 10 kWh: predicted after epoch 4: 20.6 kWh (19.5 kWh to 21.7 kWh"),
        (15.0, [2.0, 2.1, 2.0, 2.2], 10, "interval) for 10 epochs, above the budget with a probability of 99.7 %"),
        (10.0, [2.0, 0.8, 3.2], 5, ""),
        (10.0, [2.0, 0.8, 3.2, 2.0, 0.5], 6, "8.5 kWh used, and the next epoch would exceed the budget"),
        (1.0, [2.0], 10, "budget of 1 kWh: the run has used 2 kWh, more than its budget"),
        (3.0, [2.0], 10, ""),  # too few to predict from
        (6.2, [2.0, 2.1, 2.0], 3, ""),  # it is at its end
    ],
)
def test_a_run_is_stopped_when_it_is_sure_to_exceed_its_budget(
    limit_kwh: float, epochs: list[float], planned: int, reason: str
) -> None:
    told = reason_to_stop(record_of(epochs, planned), energy_kwh=limit_kwh)
    assert reason in told
    assert bool(told) == bool(reason)


def test_carbon_is_counted_with_the_run_s_own_factors() -> None:
    record = record_of([2.0, 2.0, 2.0], 10).recost(100.0, 1.5)
    told = reason_to_stop(record, carbon_g=2900)
    assert "budget of 2.9 kgCO2eq: predicted after epoch 3: 3 kgCO2eq" in told
    assert "a probability of 99.9 %" in told
    others = [(3100.0, record), (1.0, record.recost(0.0)), (1.0, FootprintRecord((), 5)), (0.0, record)]
    assert [reason_to_stop(other, carbon_g=limit_g) for limit_g, other in others] == ["", "", "", ""]
