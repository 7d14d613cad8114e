"""What a sensor is, and the meter that makes energy of its readings, through drop-outs, resets and absurd values."""

import math
from array import array
from dataclasses import dataclass
from typing import Literal, Protocol

J_PER_KWH = 3.6e6
# No single component draws more: the largest accelerators take about 1 kW, eight-socket machines about 3 kW.
MAX_POWER_W = 10_000.0
# Counters advance in ticks, so a short interval may see more than its share, or nothing.
_TICK_S = 1.0


class SensorError(Exception):
    """A sensor could not be read this time. The run goes on; the record notes it."""


class Sensor(Protocol):
    """One component's energy counter or power reading."""

    component: str  #: "cpu", "memory", or "gpu 0" (numbered as the program sees them).
    hardware: str  #: the device's name.
    method: str  #: whether the figure is measured, sampled or estimated, and by what.
    coverage: str  #: what the figure includes and what it leaves out, in a sentence.
    quantity: Literal["energy_j", "power_w"]  #: whether `read` gives joules since some fixed moment, or watts now.
    sample_interval_s: float | None = None  #: how often to read it inside a window; None when the edges are enough.
    max_power_w: float = MAX_POWER_W  #: it cannot exceed that; readings that imply more are left out.

    def read(self) -> float:
        """Joules or watts, according to `quantity`.

        Raises:
            SensorError: there is no reading this time.
        """
        ...

    def temperature_c(self) -> float | None:
        """Of the device; None where it does not tell."""
        return None

    def close(self) -> None:
        """Let go of the device; most sensors hold nothing."""
        return


@dataclass(frozen=True)
class FoundSensors:
    """One sensor for each component of a machine, and in words why others are missing."""

    sensors: tuple[Sensor, ...] = ()
    missing: tuple[str, ...] = ()


class Meter:
    """The energy that one sensor has seen since the meter was made, as a curve over time.

    Power is integrated by the trapezoid rule between good readings, so a drop-out is bridged by a straight line. The
    energy at any moment is read off the curve, and what a drop-out hid is shared evenly over the windows inside it.

    A reading that is negative, not finite or means more power than the component can draw is left out and counted. A
    counter that falls, or grows by more than the component can draw, was reset or has jumped: what it counted meanwhile
    is not known, so the power before that stands in for it.
    """

    def __init__(self, sensor: Sensor, now_s: float) -> None:
        self.sensor = sensor
        self.energy_j = 0.0  #: up to the last good reading.
        # The curve: moments of good readings, and the energy up to each.
        self._times_s = array("d")
        self._energies_j = array("d")
        self._last_value = 0.0
        self._last_good_s = now_s
        self._power_w = 0.0
        self._failed = 0
        self._absurd = 0
        self._resets = 0
        self._last_error = ""
        self.update(now_s)

    def update(self, now_s: float) -> None:
        """Read the sensor and add what it has seen since the last good reading."""
        self._last_try_s = now_s
        try:
            value = self.sensor.read()
        except SensorError as error:
            self._failed += 1
            self._last_error = str(error)
            return
        is_power = self.sensor.quantity == "power_w"
        if not 0 <= value < math.inf or (is_power and value > self.sensor.max_power_w):
            self._absurd += 1
            return
        elapsed_s, step_j = now_s - self._last_good_s, 0.0
        if self._times_s and is_power:
            step_j = 0.5 * (self._last_value + value) * elapsed_s
        elif self._times_s:
            step_j = value - self._last_value
            if not 0 <= step_j <= self.sensor.max_power_w * max(elapsed_s, _TICK_S):
                self._resets += 1
                step_j = self._power_w * elapsed_s
        self.energy_j += step_j
        self._last_value, self._last_good_s = value, now_s
        since_s = now_s - self._times_s[-1] if self._times_s else math.inf
        # It has not ticked yet: what it will show then belongs to this stretch, too.
        if not is_power and step_j == 0 and since_s < _TICK_S:
            return
        if since_s <= 0:
            self._energies_j[-1] = self.energy_j
            return
        self._power_w = (self.energy_j - self._energies_j[-1]) / since_s if self._times_s else 0.0
        self._times_s.append(now_s)
        self._energies_j.append(self.energy_j)

    def energy_between(self, start_s: float, end_s: float) -> float | None:
        """Joules between two moments, by straight lines; None without a good reading around or inside, not zero."""
        import numpy as np

        if not self._times_s or self._times_s[0] >= end_s or self._last_good_s <= start_s:
            return None
        start_j, end_j = np.interp((start_s, end_s), self._times_s, self._energies_j)
        return float(end_j - start_j)

    @property
    def notes(self) -> list[str]:
        """What went wrong while reading, in words; empty when nothing did."""
        name = f"{self.sensor.component} ({self.sensor.method})"
        notes = []
        if self._failed:
            silent_s = self._last_try_s - self._last_good_s
            lost = f"; its last {silent_s:.1f} s are not counted" if silent_s > 0 and self._times_s else ""
            notes.append(f"{name}: {self._failed} readings failed, last with: {self._last_error}{lost}")
        if self._absurd:
            limit = f"negative, not finite or above {self.sensor.max_power_w:g} W"
            notes.append(f"{name}: {self._absurd} readings left out as {limit}")
        if self._resets:
            jumped = f"the counter was reset or jumped {self._resets} times"
            notes.append(f"{name}: {jumped}; the gap is bridged with the power before it")
        return notes
