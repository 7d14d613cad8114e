import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from carbon_midl.errors import InputError
from carbon_midl.footprint import ComponentEnergy, FootprintRecord, Prediction, Tracker, Window, predict
from tests.footprint.fakes import FakeClock, FakeSensor, constant

J_PER_KWH = 3.6e6


def record_of(
    energies_kwh: list[float], planned: int, finished: bool = False, overhead_kwh: float = 0.0
) -> FootprintRecord:
    """A training whose epochs used these energies and, in s, ten times the number."""

    def part(energy_kwh: float) -> tuple[ComponentEnergy]:
        return (ComponentEnergy("cpu", energy_kwh, "measured: RAPL"),)

    epochs = [
        Window(f"epoch {number}", "a", 10 * energy_kwh, part(energy_kwh), "training")
        for number, energy_kwh in enumerate(energies_kwh, start=1)
    ]
    total_kwh = sum(energies_kwh) + overhead_kwh
    training = Window("training", "a", 10 * total_kwh, part(total_kwh), finished=finished)
    return FootprintRecord((training, *epochs), planned)


def predicted(record: FootprintRecord) -> Prediction:
    prediction = predict(record)
    assert prediction is not None
    return prediction


def test_equal_epochs_are_predicted_without_doubt() -> None:
    prediction = predicted(record_of([2.0, 2.0, 2.0], 10, overhead_kwh=0.5))
    assert prediction.energy_kwh.low == prediction.energy_kwh.value == prediction.energy_kwh.high == 20.5
    assert prediction.duration_s.value == pytest.approx(205)
    assert (prediction.after_epoch, prediction.epochs_planned, prediction.examples) == (3, 10, 2)
    assert prediction.probability_above(20.4) == 1
    assert prediction.probability_above(20.6) == 0


def test_the_first_epoch_is_spent_but_no_example() -> None:
    assert predicted(record_of([5.0, 2.0, 2.0], 10)).energy_kwh.value == pytest.approx(5 + 9 * 2)


def test_two_epochs_give_a_wide_interval_and_one_gives_none() -> None:
    assert predict(record_of([2.0], 10)) is None
    assert predict(FootprintRecord((), 10)) is None
    wide = predicted(record_of([2.0, 2.1], 10)).energy_kwh
    narrow = predicted(record_of([2.0, 2.1, 2.0, 2.1, 2.0], 10)).energy_kwh
    assert wide.high - wide.low > 5 * (narrow.high - narrow.low)


@given(st.lists(st.floats(0.1, 10), min_size=2, max_size=30), st.integers(1, 60))
def test_a_prediction_holds_what_is_spent_and_lies_in_its_interval(energies: list[float], planned: int) -> None:
    prediction = predicted(record_of(energies, planned))
    interval = prediction.energy_kwh
    assert prediction.spent_kwh * (1 - 1e-9) <= interval.low <= interval.value <= interval.high
    assert 0 <= prediction.probability_above(interval.value) <= 1
    if planned <= len(energies):
        assert interval.value == pytest.approx(prediction.spent_kwh)


def test_the_probability_fits_the_interval() -> None:
    prediction = predicted(record_of([2.0, 2.3, 1.9, 2.2, 2.1], 20))
    assert prediction.probability_above(prediction.energy_kwh.high) == pytest.approx(0.025)
    assert prediction.probability_above(prediction.energy_kwh.value) == pytest.approx(0.5)


def simulated_epochs(chance: np.random.Generator, epochs: int, kind: str) -> list[float]:
    """Energies of about 1 with a spread of 5 %, and a first epoch that warms up."""
    noise = chance.normal(size=epochs)
    if kind == "correlated":
        for number in range(1, epochs):
            noise[number] = 0.5 * noise[number - 1] + np.sqrt(0.75) * noise[number]
    energies = np.exp(0.3 * noise) if kind == "skewed" else 1 + 0.05 * noise
    energies[0] *= 1.5
    return [float(energy) for energy in energies]


@pytest.mark.parametrize("after", [3, 5, 10, 25])
@pytest.mark.parametrize(("kind", "least"), [("independent", 0.93), ("skewed", 0.90), ("correlated", 0.85)])
def test_the_interval_holds_the_outcome_as_often_as_it_says(kind: str, least: float, after: int) -> None:
    chance = np.random.default_rng([after, len(kind)])
    held = 0
    for _ in range(1000):
        energies = simulated_epochs(chance, 50, kind)
        interval = predicted(record_of(energies[:after], 50)).energy_kwh
        held += interval.low <= sum(energies) <= interval.high
    assert held / 1000 >= least


@pytest.mark.parametrize("confidence", [0.0, 1.0, -1.0, 95.0])
def test_a_confidence_that_cannot_be_is_refused(confidence: float) -> None:
    with pytest.raises(InputError, match="confidence"):
        predict(record_of([1.0, 1.0], 3), confidence=confidence)


@pytest.mark.parametrize("planned", [0, -1, True, 2.5])
def test_a_number_of_epochs_that_cannot_be_is_refused(planned: object) -> None:
    with pytest.raises(InputError, match="epochs_planned"):
        predict(record_of([1.0, 1.0], 3), planned)  # type: ignore[arg-type]


def tracked(
    epochs_s: list[float], planned: int, earlier: FootprintRecord | None = None, first: int = 1
) -> FootprintRecord:
    clock = FakeClock()
    tracker = Tracker(
        "unused", planned, carbontracker=False, sensors=[constant("cpu", 36.0)], clock=clock, earlier=earlier
    )
    with tracker, tracker.window("training"):
        for number, epoch_s in enumerate(epochs_s, start=first):
            with tracker.epoch(number):
                clock.advance(epoch_s)
    return tracker.record


def test_a_tracker_records_the_error_of_every_prediction() -> None:
    record = tracked([15.0, *[10.0] * 9, 12.0], planned=11)
    assert [one.after_epoch for one in record.predictions] == [2, 3, 5, 10]
    truth_kwh = record.window("training").energy_kwh
    assert truth_kwh == pytest.approx(117 * 36 / J_PER_KWH)
    for one in record.predictions:
        assert one.epochs_run == 11
        assert one.energy_error == pytest.approx(one.energy_kwh.value / truth_kwh - 1)
        assert one.duration_error == pytest.approx(one.duration_s.value / 117 - 1)
    assert record.predictions[1].energy_error == pytest.approx((15 + 100) / 117 - 1)
    assert "Errors of the energies predicted on the way: " in record.describe()
    assert FootprintRecord.from_dict(record.to_dict()) == record


def test_a_training_that_stops_early_is_compared_over_the_epochs_it_ran() -> None:
    record = tracked([10.0] * 4, planned=100)
    assert [one.energy_error for one in record.predictions] == pytest.approx([0.0, 0.0])
    assert record.predictions[0].energy_kwh.value == pytest.approx(1000 * 36 / J_PER_KWH)
    assert record.predictions[0].epochs_run == 4


def test_while_the_training_goes_on_there_is_no_error_yet() -> None:
    clock = FakeClock()
    tracker = Tracker("unused", 5, carbontracker=False, sensors=[constant("cpu", 36.0)], clock=clock)
    with tracker, tracker.window("training"):
        for number in (1, 2, 3):
            with tracker.epoch(number):
                clock.advance(10.0)
        on_the_way = tracker.record
        asked = tracker.predict(confidence=0.5)
    assert [one.energy_error for one in on_the_way.predictions] == [None, None]
    assert "Predicted after epoch 3: " in on_the_way.describe()
    assert asked is not None
    assert tracker.record.predictions[-1].confidence == 0.5


def test_after_a_resumption_lost_work_counts_and_its_first_epoch_warms_up_again() -> None:
    clock = FakeClock()
    broken = Tracker("unused", 6, carbontracker=False, sensors=[constant("cpu", 36.0)], clock=clock)

    def train_until_interrupted() -> None:
        with broken, broken.window("training"):
            for number in (1, 2, 3):
                with broken.epoch(number):
                    clock.advance(10.0)
                    if number == 3:
                        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train_until_interrupted()
    record = tracked([14.0, 10.0, 10.0, 10.0], planned=6, earlier=broken.record, first=3)
    assert record.epochs == 6
    assert record.duration_s == pytest.approx(30 + 44)
    last = record.predictions[-1]
    assert last.after_epoch == 5
    assert last.spent_s == pytest.approx(30 + 34)
    assert last.duration_s.value == pytest.approx(30 + 44)
    assert last.energy_error == pytest.approx(0.0)
    assert [one.after_epoch for one in record.predictions] == [2, 4, 5]
    # The first attempt could not know that an epoch would be lost.
    assert record.predictions[0].duration_error == pytest.approx(60 / 74 - 1)


def test_predictions_are_few_in_a_long_training() -> None:
    record = tracked([1.0] * 600, planned=600)
    assert [one.after_epoch for one in record.predictions] == [2, 3, 5, 10, 20, 30, 50, 100, 200, 300, 500]


def test_a_varying_load_is_predicted_from_a_trace() -> None:
    clock = FakeClock()
    chance = np.random.default_rng(0)
    sensor = FakeSensor("gpu 0", lambda: 300 + 40 * np.sin(clock.time_s / 3), method="sampled: NVML power")
    tracker = Tracker("unused", 40, carbontracker=False, sensors=[sensor], clock=clock, idle_s=0)
    with tracker, tracker.window("training"):
        for number in range(1, 41):
            with tracker.epoch(number):
                for _ in range(20):
                    clock.advance(float(chance.uniform(0.4, 0.6)))
                    tracker._read()
    for one in tracker.record.predictions[1:]:
        assert one.energy_error is not None
        assert abs(one.energy_error) < 0.05
