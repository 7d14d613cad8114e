"""Stand-ins for clocks and sensors, so that no test needs hardware or waits."""

from collections.abc import Callable
from typing import Any, Literal

from carbon_midl.footprint.meter import FoundSensors, Sensor, SensorError
from carbon_midl.footprint.tracker import Tracker


class FakeClock:
    """A clock that stands until it is told to go on; stands for the module `time`."""

    def __init__(self) -> None:
        self.time_s = 0.0

    def perf_counter(self) -> float:
        return self.time_s

    __call__ = perf_counter

    def advance(self, seconds: float) -> None:
        self.time_s += seconds

    sleep = advance


class FakeSensor(Sensor):
    """A sensor that gives `value()`; an exception in it stands for a drop-out."""

    coverage = "a fake"

    def __init__(
        self,
        component: str,
        value: Callable[[], float],
        quantity: Literal["energy_j", "power_w"] = "power_w",
        method: str = "estimated: W per core",
        sample_interval_s: float | None = None,
    ) -> None:
        self.component = component
        self.hardware = f"fake {component}"
        self.method = method
        self.quantity = quantity
        self.sample_interval_s = sample_interval_s
        self.closed = False
        self._value = value

    def read(self) -> float:
        return self._value()

    def close(self) -> None:
        self.closed = True


def constant(component: str, power_w: float, method: str = "estimated: W per core") -> FakeSensor:
    return FakeSensor(component, lambda: power_w, method=method)


def silent() -> float:
    raise SensorError("no answer")


def make_tracker(clock: Any, *sensors: Sensor, epochs: int = 3, **options: Any) -> Tracker:
    """A tracker with these sensors; unless asked for, without carbontracker and without measuring idle power."""
    return Tracker(
        options.pop("log_dir", "unused"),
        epochs,
        sensors=FoundSensors(sensors),
        clock=clock,
        **{"carbontracker": False, "idle_s": 0} | options,
    )
