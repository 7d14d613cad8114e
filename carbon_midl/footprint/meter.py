"""From a sensor's readings to the energy of one component, through drop-outs, resets and absurd values."""

import math

from carbon_midl.footprint.sensors import Sensor, SensorError

# No single component draws more: the largest accelerators take about 1 kW, eight-socket machines about 3 kW.
MAX_POWER_W = 10_000.0
# Counters advance in ticks, so a short interval may see more than its share.
_TICK_S = 1.0


class Meter:
    """Joules that one sensor has seen since the meter was made.

    Power is integrated by the trapezoid rule between good readings, so a drop-out is bridged by a straight line. A
    counter that goes back has been reset, and counts from zero again. Readings that are negative, not finite or above
    `MAX_POWER_W` are left out and counted.

    Args:
        sensor: read once now, and again at each `update`.
        now_s: the clock's time.
    """

    def __init__(self, sensor: Sensor, now_s: float) -> None:
        self.sensor = sensor
        self.energy_j = 0.0
        self.good_readings = 0
        self._failed = 0
        self._absurd = 0
        self._resets = 0
        self._last_error = ""
        self._last_value: float | None = None
        self._last_time_s = now_s
        self.update(now_s)

    def update(self, now_s: float) -> None:
        """Read the sensor and add what it has seen since the last good reading."""
        try:
            value = self.sensor.read()
        except SensorError as error:
            self._failed += 1
            self._last_error = str(error)
            return
        elapsed_s = max(0.0, now_s - self._last_time_s)
        if self.sensor.quantity == "power_w":
            step_j = self._power_step(value, elapsed_s)
        else:
            step_j = self._counter_step(value, elapsed_s)
        if step_j is None:
            self._absurd += 1
            return
        self.energy_j += step_j
        self.good_readings += 1
        self._last_value = value
        self._last_time_s = now_s

    @property
    def notes(self) -> list[str]:
        """What went wrong while reading, in words; empty when nothing did."""
        name = f"{self.sensor.component} ({self.sensor.method})"
        notes = []
        if self._failed:
            notes.append(f"{name}: {self._failed} readings failed, last with: {self._last_error}")
        if self._absurd:
            notes.append(f"{name}: {self._absurd} readings left out as negative, not finite or above {MAX_POWER_W:g} W")
        if self._resets:
            notes.append(
                f"{name}: the counter was reset {self._resets} times; energy just before a reset is not counted"
            )
        return notes

    def _power_step(self, power_w: float, elapsed_s: float) -> float | None:
        if not 0 <= power_w <= MAX_POWER_W:
            return None
        if self._last_value is None:
            return 0.0
        return 0.5 * (self._last_value + power_w) * elapsed_s

    def _counter_step(self, counter_j: float, elapsed_s: float) -> float | None:
        if not math.isfinite(counter_j) or counter_j < 0:
            return None
        if self._last_value is None:
            return 0.0
        most_j = MAX_POWER_W * max(elapsed_s, _TICK_S)
        if counter_j < self._last_value:
            self._resets += 1
            return counter_j if counter_j <= most_j else 0.0
        step_j = counter_j - self._last_value
        return step_j if step_j <= most_j else None
