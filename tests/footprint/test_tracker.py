import itertools
import sys
import time
from types import SimpleNamespace

import pytest

from carbon_midl.errors import InputError
from carbon_midl.footprint import FootprintRecord, Tracker, describe
from tests.footprint.fakes import FakeClock, FakeSensor, constant, make_tracker, silent

J_PER_KWH = 3.6e6


def test_windows_nest_and_add_up() -> None:
    clock = FakeClock()
    tracker = make_tracker(clock, constant("cpu", 50), constant("memory", 10, "estimated: W per GB"))
    with tracker:
        with tracker.window("training"):
            for epoch in (1, 2, 3):
                with tracker.epoch(epoch):
                    clock.advance(10 * epoch)
                clock.advance(1)
        with tracker.window("test"):
            clock.advance(7)
    record = tracker.record
    assert record.names == ("training", "epoch 1", "epoch 2", "epoch 3", "test")
    training, test = record.window("training"), record.window("test")
    assert (training.duration_s, training.energy_kwh) == (63, pytest.approx(63 * 60 / J_PER_KWH))
    assert training.method == "estimated: W per core; estimated: W per GB"
    assert training.started.endswith("+00:00")
    assert (record.epoch(2).parent, record.epoch(2).energy_kwh) == ("training", pytest.approx(20 * 60 / J_PER_KWH))
    assert (test.parent, test.component_kwh("memory")) == (None, pytest.approx(70 / J_PER_KWH))
    assert record.epochs == record.epochs_planned == 3
    assert record.hardware == {"cpu": "fake cpu", "memory": "fake memory"}
    assert FootprintRecord.from_dict(record.to_dict()) == record


def test_more_epochs_than_were_planned_are_counted_and_stop_nothing() -> None:
    clock = FakeClock()
    with make_tracker(clock, constant("cpu", 50)) as tracker:
        for epoch in range(1, 6):
            with tracker.epoch(epoch):
                clock.advance(1)
    assert (tracker.record.epochs, tracker.record.epochs_planned) == (5, 5)


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError, SystemExit])
def test_an_interrupted_window_keeps_what_it_used(error: type[BaseException]) -> None:
    clock = FakeClock()
    sensor = constant("cpu", 36)
    tracker = make_tracker(clock, sensor)
    with pytest.raises(error), tracker, tracker.window("training"):
        with tracker.epoch(1):
            clock.advance(100)
        with tracker.epoch(2):
            clock.advance(50)
            raise error
    record = tracker.record
    assert record.window("training").energy_kwh == pytest.approx(150 * 36 / J_PER_KWH)
    assert record.epoch(2).energy_kwh == pytest.approx(50 * 36 / J_PER_KWH)
    assert [window.finished for window in record.windows] == [False, True, False]
    assert record.epochs == 1
    assert "not finished" in describe(record)
    assert sensor.closed


def test_the_record_can_be_taken_on_the_way() -> None:
    clock = FakeClock()
    tracker = make_tracker(clock, constant("cpu", 36))
    tracker.note("stopped for its budget")
    with tracker, tracker.window("training"):
        with tracker.epoch(1):
            clock.advance(100)
        halfway = tracker.record
        clock.advance(1000)
    assert [(window.duration_s, window.finished) for window in halfway.windows] == [(100, False), (100, True)]
    assert "stopped for its budget" in halfway.notes
    assert tracker.record.window("training").duration_s == 1100


def test_a_silent_sensor_is_left_out_and_noted_rather_than_recorded_as_zero() -> None:
    clock = FakeClock()
    tracker = make_tracker(clock, constant("cpu", 10), FakeSensor("gpu 0", silent, method="sampled: NVML power"))
    with tracker, tracker.window("training"):
        clock.advance(10)
    assert [part.component for part in tracker.record.window("training").components] == ["cpu"]
    assert any("gpu 0" in note and "no answer" in note for note in tracker.record.notes)


def test_power_is_sampled_while_the_program_works() -> None:
    # What the edges alone would miss: 200 W except at the very beginning.
    powers_w = itertools.chain([0.0, 0.0], itertools.repeat(200.0))
    sensor = FakeSensor("gpu 0", lambda: next(powers_w), sample_interval_s=0.005)
    tracker = make_tracker(time, sensor)
    with tracker, tracker.window("training"):
        time.sleep(0.3)
    training = tracker.record.window("training")
    watts = training.energy_kwh * J_PER_KWH / training.duration_s
    assert watts > 174
    assert watts < 200 or watts == pytest.approx(200)


def test_the_accelerator_is_synchronised_on_devices_in_use(monkeypatch: pytest.MonkeyPatch) -> None:
    waited: list[int] = []

    def synchronize(device: int) -> None:
        waited.append(device)
        if len(waited) > 2:
            raise RuntimeError("CUDA error: an illegal memory access")

    cuda = SimpleNamespace(
        is_initialized=lambda: True,
        device_count=lambda: 3,
        memory_reserved=lambda device: 0 if device == 1 else 100,
        synchronize=synchronize,
    )
    monkeypatch.setitem(sys.modules, "torch", SimpleNamespace(cuda=cuda))
    tracker = make_tracker(FakeClock(), constant("gpu 0", 10))
    with pytest.raises(ValueError, match="NaN loss"), tracker, tracker.window("training"):
        assert waited == [0, 2]
        raise ValueError("NaN loss")  # which a device that fails does not hide


@pytest.mark.parametrize(
    ("method", "idle_s", "measured"),
    [("measured: RAPL", 10, True), ("measured: RAPL", 0, False), ("estimated: W per core", 10, False)],
)
def test_idle_power_is_measured_where_a_sensor_measures(method: str, idle_s: float, measured: bool) -> None:
    clock = FakeClock()
    tracker = make_tracker(clock, constant("cpu", 30, method), constant("memory", 5), idle_s=idle_s)
    with tracker, tracker.window("training"):
        clock.advance(10)
    assert tracker.record.names == (("idle", "training") if measured else ("training",))
    assert clock.time_s == 10 + idle_s * measured


def test_an_interruption_while_idle_power_is_measured_lets_go_of_the_sensors() -> None:
    class InterruptedClock(FakeClock):
        def sleep(self, seconds: float) -> None:
            raise KeyboardInterrupt

    sensor = constant("cpu", 30, "measured: RAPL")
    tracker = make_tracker(InterruptedClock(), sensor, idle_s=10)
    with pytest.raises(KeyboardInterrupt):
        tracker.__enter__()
    assert sensor.closed
    assert tracker.record.window("idle").finished is False


def test_misuse_is_refused() -> None:
    tracker = make_tracker(FakeClock(), constant("cpu", 1))
    with pytest.raises(RuntimeError, match="not running"), tracker.window("training"):
        pass
    with tracker, pytest.raises(InputError, match="epoch: found 0"), tracker.epoch(0):
        pass
    with pytest.raises(RuntimeError, match="another one"):
        tracker.__enter__()
    for name, value in (("epochs", 0), ("idle_s", -1), ("idle_s", float("nan")), ("pue", 0.9)):
        with pytest.raises(InputError, match=name):
            Tracker("unused", **{"epochs": 1, name: value})  # type: ignore[arg-type]
