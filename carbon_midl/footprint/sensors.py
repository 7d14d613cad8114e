"""What a sensor is: something that can say how much energy or power one component takes."""

from dataclasses import dataclass
from typing import Literal, Protocol

# No single component draws more: the largest accelerators take about 1 kW, eight-socket machines about 3 kW.
MAX_POWER_W = 10_000.0


class SensorError(Exception):
    """A sensor could not be read this time. The run goes on; the record notes it."""


class Sensor(Protocol):
    """One component's energy counter or power reading.

    Attributes:
        component: "cpu", "memory", or "gpu 0" (numbered as the program sees them).
        hardware: the device's name.
        method: how the figure is obtained, one of
            "measured: RAPL", "measured: NVML energy counter", "sampled: NVML power",
            "estimated: TDP × utilisation", "estimated: W per core", "estimated: half TDP", "estimated: W per GB".
        coverage: what the figure includes and what it leaves out, in a sentence.
        quantity: "energy_j" when `read` gives joules since some fixed moment, "power_w" when it gives watts now.
        sample_interval_s: how often it must be read between the edges of a window; None when the edges are enough.
        max_power_w: a power that this component cannot exceed; readings that imply more are left out.
    """

    component: str
    hardware: str
    method: str
    coverage: str
    quantity: Literal["energy_j", "power_w"]
    sample_interval_s: float | None
    max_power_w: float

    def read(self) -> float:
        """Joules or watts, according to `quantity`.

        Raises:
            SensorError: there is no reading this time.
        """
        ...

    def close(self) -> None:
        """Let go of the device."""
        ...


@dataclass(frozen=True)
class Found:
    """Sensors found on this machine.

    Attributes:
        sensors: one for each component.
        missing: in words, why others are not available.
        checks: second sensors of components that `sensors` cover already, recorded beside those and not counted.
    """

    sensors: tuple[Sensor, ...]
    missing: tuple[str, ...] = ()
    checks: tuple[Sensor, ...] = ()


def is_estimate(method: str) -> bool:
    """Whether a figure obtained by `method` comes from no sensor at all."""
    return method.startswith("estimated")


def how_known(*methods: str) -> str:
    """Whether an energy is "measured", "estimated" or "partly estimated".

    Args:
        methods: by which it was obtained; each may be several, joined by ``;``.

    >>> how_known("estimated: TDP × utilisation; measured: NVML energy counter")
    'partly estimated'
    """
    estimated = [is_estimate(method.strip()) for joined in methods for method in joined.split(";")]
    if all(estimated):
        return "estimated"
    return "partly estimated" if any(estimated) else "measured"
