import subprocess
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from carbon_midl.errors import InputError
from carbon_midl.footprint import FootprintRecord, Sensor, Tracker
from tests.footprint.fakes import FakeClock, FakeSensor, constant, silent

J_PER_KWH = 3.6e6


def make_tracker(
    clock: Callable[[], float], *sensors: Sensor, epochs: int = 3, earlier: FootprintRecord | None = None
) -> Tracker:
    return Tracker(
        "unused",
        epochs,
        carbontracker=False,
        earlier=earlier,
        idle_s=0,
        sensors=sensors,
        clock=clock,
        now=lambda: datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC),
    )


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
    assert record.window("training").duration_s == 63
    assert record.window("training").energy_kwh == pytest.approx(63 * 60 / J_PER_KWH)
    assert record.epoch(2).energy_kwh == pytest.approx(20 * 60 / J_PER_KWH)
    assert record.epoch(2).parent == "training"
    assert record.window("test").parent is None
    assert record.window("test").component_kwh("memory") == pytest.approx(70 / J_PER_KWH)
    assert record.method("training") == "estimated: half TDP; estimated: W per GB"
    assert record.epochs == record.epochs_planned == 3
    assert record.window("training").started == "2026-01-02T03:04:05+00:00"
    assert record.hardware == {"cpu": "fake cpu", "memory": "fake memory"}
    assert FootprintRecord.from_dict(record.to_dict()) == record


@given(st.lists(st.tuples(st.floats(0, 1e4), st.floats(0, 1e3)), min_size=1, max_size=10), st.lists(st.floats(0, 500)))
def test_nested_epochs_never_exceed_their_window(steps: list[tuple[float, float]], powers: list[float]) -> None:
    clock = FakeClock()
    trace = iter([*powers, *[100.0] * 100])
    tracker = make_tracker(clock, FakeSensor("cpu", lambda: next(trace)), constant("gpu 0", 3))
    with tracker, tracker.window("training"):
        for number, (inside_s, between_s) in enumerate(steps, start=1):
            with tracker.epoch(number):
                clock.advance(inside_s)
            clock.advance(between_s)
    record = tracker.record
    whole = record.window("training")
    epochs = [record.epoch(number) for number in range(1, len(steps) + 1)]
    assert sum(epoch.energy_kwh for epoch in epochs) <= whole.energy_kwh * (1 + 1e-9)
    assert sum(epoch.duration_s for epoch in epochs) <= whole.duration_s * (1 + 1e-9)


def test_two_devices_are_summed() -> None:
    clock = FakeClock()
    tracker = make_tracker(clock, constant("gpu 0", 100), constant("gpu 1", 100))
    with tracker, tracker.window("training"):
        clock.advance(3600)
    assert tracker.record.window("training").component_kwh("gpu") == pytest.approx(0.2)


def test_an_energy_counter_needs_only_the_edges() -> None:
    clock = FakeClock()
    counter = FakeSensor("gpu 0", lambda: 1e6 + 700 * clock.time_s, "energy_j", "measured: NVML energy counter")
    tracker = make_tracker(clock, counter)
    with tracker:
        clock.advance(100)
        with tracker.window("training"):
            clock.advance(1000)
    assert tracker.record.window("training").energy_kwh == pytest.approx(700e3 / J_PER_KWH)


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError, SystemExit])
def test_an_interrupted_window_keeps_what_it_used(error: type[BaseException]) -> None:
    clock = FakeClock()
    sensor = constant("cpu", 36)
    tracker = make_tracker(clock, sensor)

    def train_until_interrupted() -> None:
        with tracker, tracker.window("training"):
            with tracker.epoch(1):
                clock.advance(100)
            with tracker.epoch(2):
                clock.advance(50)
                raise error

    with pytest.raises(error):
        train_until_interrupted()
    record = tracker.record
    assert record.window("training").energy_kwh == pytest.approx(150 * 36 / J_PER_KWH)
    assert record.epoch(2).energy_kwh == pytest.approx(50 * 36 / J_PER_KWH)
    assert [window.finished for window in record.windows] == [False, True, False]
    assert record.epochs == 1
    assert "not finished" in record.describe()
    assert sensor.closed


def test_the_record_can_be_taken_on_the_way() -> None:
    clock = FakeClock()
    tracker = make_tracker(clock, constant("cpu", 36))
    with tracker, tracker.window("training"):
        with tracker.epoch(1):
            clock.advance(100)
        clock.advance(11)
        halfway = tracker.record
        clock.advance(1000)
    assert halfway.window("training").duration_s == 111
    assert halfway.window("training").finished is False
    assert halfway.epoch(1).finished is True
    assert tracker.record.window("training").duration_s == 1111


def test_a_silent_sensor_is_left_out_and_noted_rather_than_recorded_as_zero() -> None:
    clock = FakeClock()
    tracker = make_tracker(clock, constant("cpu", 10), FakeSensor("gpu 0", silent, method="sampled: NVML power"))
    with tracker, tracker.window("training"):
        clock.advance(10)
    training = tracker.record.window("training")
    assert training.component_kwh("gpu") is None
    assert training.component_kwh("cpu") is not None
    assert any("gpu 0" in note and "no answer" in note for note in tracker.record.notes)


def test_power_is_sampled_while_the_program_works() -> None:
    started = time.perf_counter()
    # A square wave that the edges alone would miss: 200 W except at the very beginning.
    sensor = FakeSensor(
        "gpu 0", lambda: 200.0 if time.perf_counter() - started > 0.02 else 0.0, sample_interval_s=0.005
    )
    tracker = Tracker("unused", 1, carbontracker=False, sensors=[sensor])
    with tracker, tracker.window("training"):
        time.sleep(0.3)
    training = tracker.record.window("training")
    assert training.energy_kwh * J_PER_KWH / training.duration_s == pytest.approx(187, abs=13)


def test_no_thread_when_no_sensor_needs_one() -> None:
    import threading

    tracker = make_tracker(FakeClock(), constant("cpu", 10))
    before = threading.active_count()
    with tracker:
        assert threading.active_count() == before


def test_the_accelerator_is_synchronised_on_devices_in_use(monkeypatch: pytest.MonkeyPatch) -> None:
    waited: list[int] = []
    cuda = SimpleNamespace(
        is_initialized=lambda: True,
        device_count=lambda: 3,
        memory_reserved=lambda device: 0 if device == 1 else 100,
        synchronize=waited.append,
    )
    monkeypatch.setitem(sys.modules, "torch", SimpleNamespace(cuda=cuda))
    tracker = make_tracker(FakeClock(), constant("gpu 0", 10))
    with tracker, tracker.window("training"):
        assert waited == [0, 2]
    assert waited == [0, 2, 0, 2]


def test_a_device_that_fails_does_not_hide_the_training_s_own_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(device: int) -> None:
        raise RuntimeError("CUDA error: an illegal memory access")

    cuda = SimpleNamespace(
        is_initialized=lambda: True, device_count=lambda: 1, memory_reserved=lambda device: 1, synchronize=fail
    )
    monkeypatch.setitem(sys.modules, "torch", SimpleNamespace(cuda=cuda))
    tracker = make_tracker(FakeClock(), constant("gpu 0", 10))
    with pytest.raises(ValueError, match="NaN loss"), tracker, tracker.window("training"):
        raise ValueError("NaN loss")
    assert any("illegal memory access" in note for note in tracker.record.notes)


def test_a_run_that_is_taken_up_counts_what_was_lost() -> None:
    clock = FakeClock()
    first = make_tracker(clock, constant("cpu", 36))
    with first, first.window("training"):
        with first.epoch(1):
            clock.advance(100)
        with first.epoch(2):
            clock.advance(50)
        stored = FootprintRecord.from_dict(first.record.to_dict())  # as it was saved before the machine went down
    second = make_tracker(clock, constant("cpu", 72), earlier=stored)
    with second, second.window("training"):
        with second.epoch(2):
            clock.advance(10)
        with second.epoch(3):
            clock.advance(10)
    record = second.record
    assert record.energy_kwh == pytest.approx((150 * 36 + 20 * 72) / J_PER_KWH)
    assert record.window("training").energy_kwh == record.energy_kwh
    assert record.epoch(2).energy_kwh == pytest.approx(10 * 72 / J_PER_KWH)
    assert record.epochs == 3
    assert record.attempts == 2
    assert record.window("training").finished


def test_idle_power_is_measured_where_a_sensor_measures_and_not_for_an_estimate() -> None:
    clock = FakeClock()
    for method, names in (("measured: RAPL", ("idle", "training")), ("estimated: half TDP", ("training",))):
        sensors = [constant("cpu", 30, method), constant("memory", 5, "estimated: W per GB")]
        tracker = Tracker("unused", 1, carbontracker=False, sensors=sensors, clock=clock, sleep=clock.advance)
        with tracker, tracker.window("training"):
            clock.advance(10)
        assert tracker.record.names == names
    tracker = Tracker(
        "unused", 1, carbontracker=False, sensors=[constant("cpu", 30, "measured: RAPL")], clock=clock, idle_s=0
    )
    with tracker:
        assert tracker.record.names == ()


def test_an_interruption_while_idle_power_is_measured_lets_go_of_the_sensors() -> None:
    def interrupted(seconds: float) -> None:
        raise KeyboardInterrupt

    sensor = constant("cpu", 30, "measured: RAPL")
    tracker = Tracker("unused", 1, carbontracker=False, sensors=[sensor], sleep=interrupted)
    with pytest.raises(KeyboardInterrupt):
        tracker.__enter__()
    assert sensor.closed
    assert tracker.record.window("idle").finished is False


@pytest.mark.parametrize("idle_s", [-1, True, float("nan"), float("inf"), "2"])
def test_an_idle_time_that_cannot_be_is_refused(idle_s: object) -> None:
    with pytest.raises(InputError, match="idle_s"):
        Tracker("unused", 1, idle_s=idle_s)  # type: ignore[arg-type]


def test_a_remark_goes_into_the_record() -> None:
    tracker = make_tracker(FakeClock(), constant("cpu", 1))
    with tracker:
        tracker.note("stopped for its budget")
    assert "stopped for its budget" in tracker.record.notes


def test_misuse_is_refused() -> None:
    tracker = make_tracker(FakeClock(), constant("cpu", 1))
    with pytest.raises(RuntimeError, match="not running"), tracker.window("training"):
        pass
    with tracker:
        for number in (0, -1, True, 1.5):
            with pytest.raises(InputError, match="epoch"), tracker.epoch(number):  # type: ignore[arg-type]
                pass
    with pytest.raises(RuntimeError, match="another one"):
        tracker.__enter__()


@pytest.mark.parametrize("epochs", [0, -3, True, 2.5])
def test_a_number_of_epochs_that_cannot_be_is_refused(epochs: object) -> None:
    with pytest.raises(InputError, match="epochs"):
        Tracker("unused", epochs)  # type: ignore[arg-type]


def test_a_pue_of_ones_own_is_said_to_be_given() -> None:
    tracker = Tracker("unused", 1, pue=1.1, carbontracker=False, sensors=[])
    assert tracker.record.pue_source == "given by the user"
    assert "Uptime" in Tracker("unused", 1, carbontracker=False, sensors=[]).record.pue_source


def test_real_sensors_of_this_machine_give_energy(tmp_path: Path) -> None:
    tracker = Tracker(tmp_path, 1, carbontracker=False)
    with tracker, tracker.window("training"):
        time.sleep(0.05)
    training = tracker.record.window("training")
    assert training.energy_kwh > 0
    assert {"cpu", "memory"} <= {part.component for part in training.components}


def test_import_is_quick_and_loads_nothing_heavy() -> None:
    heavy = ("carbontracker", "matplotlib", "numpy", "pandas", "psutil", "pynvml", "torch")
    code = (
        "import sys, time; start = time.process_time(); import carbon_midl.footprint; "
        "print(time.process_time() - start); "
        f"print(*(name for name in {heavy!r} if name in sys.modules))"
    )
    runs = [subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True) for _ in range(3)]
    seconds, loaded = zip(*(run.stdout.split("\n")[:2] for run in runs), strict=True)
    assert set(loaded) == {""}
    assert min(map(float, seconds)) < 0.2
