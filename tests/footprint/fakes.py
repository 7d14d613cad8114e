"""Stand-ins for clocks and sensors, so that no test needs hardware or waits."""

from collections.abc import Callable
from typing import Literal

from carbon_midl.footprint import SensorError
from carbon_midl.footprint.sensors import MAX_POWER_W


class FakeClock:
    """A clock that stands until it is told to go on."""

    def __init__(self) -> None:
        self.time_s = 0.0

    def __call__(self) -> float:
        return self.time_s

    def advance(self, seconds: float) -> None:
        self.time_s += seconds


class FakeSensor:
    """A sensor that gives `value()`; an exception in it stands for a drop-out."""

    coverage = "a fake"

    def __init__(
        self,
        component: str,
        value: Callable[[], float],
        quantity: Literal["energy_j", "power_w"] = "power_w",
        method: str = "estimated: half TDP",
        sample_interval_s: float | None = None,
        max_power_w: float = MAX_POWER_W,
    ) -> None:
        self.component = component
        self.hardware = f"fake {component}"
        self.method = method
        self.quantity: Literal["energy_j", "power_w"] = quantity
        self.sample_interval_s = sample_interval_s
        self.max_power_w = max_power_w
        self.closed = False
        self._value = value

    def read(self) -> float:
        return self._value()

    def close(self) -> None:
        self.closed = True


def constant(component: str, power_w: float, method: str = "estimated: half TDP") -> FakeSensor:
    return FakeSensor(component, lambda: power_w, method=method)


def silent() -> float:
    raise SensorError("no answer")
