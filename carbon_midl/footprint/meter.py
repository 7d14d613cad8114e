"""What a sensor is, and the meter that makes energy of its readings, through drop-outs, resets and absurd values."""

import math
from array import array
from bisect import bisect_right
from dataclasses import dataclass
from typing import Literal, Protocol

# No single component draws more: the largest accelerators take about 1 kW, eight-socket machines about 3 kW.
MAX_POWER_W = 10_000.0
# Counters advance in ticks, so a short interval may see more than its share, or nothing.
_TICK_S = 1.0


class SensorError(Exception):
    """A sensor could not be read this time. The run goes on; the record notes it."""


class Sensor(Protocol):
    """One component's energy counter or power reading.

    Attributes:
        component: "cpu", "memory", or "gpu 0" (numbered as the program sees them).
        hardware: the device's name.
        method: how the figure is obtained, one of
            "measured: RAPL", "measured: NVML energy counter", "sampled: NVML power",
            "estimated: TDP × utilisation", "estimated: W per core", "estimated: W per GB".
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
    sample_interval_s: float | None = None
    max_power_w: float = MAX_POWER_W

    def read(self) -> float:
        """Joules or watts, according to `quantity`.

        Raises:
            SensorError: there is no reading this time.
        """
        ...

    def close(self) -> None:
        """Let go of the device; most sensors hold nothing."""
        return


@dataclass(frozen=True)
class FoundSensors:
    """Sensors of this machine: one for each component, and in words why others are missing."""

    sensors: tuple[Sensor, ...] = ()
    missing: tuple[str, ...] = ()


class Meter:
    """The energy that one sensor has seen since the meter was made, as a curve over time.

    Power is integrated by the trapezoid rule between good readings, so a drop-out is bridged by a straight line. The
    energy at any moment is read off the curve, and what a drop-out hid is shared evenly over the windows inside it.

    A reading that is negative, not finite or means more power than the component can draw is left out and counted. If
    a counter goes on from such a value at its next reading, or from one below the last, then it has jumped or was
    reset: the gap is bridged with the power before it.

    Attributes:
        energy_j: joules up to the last good reading.
        due_s: when the sensor must be read next; infinite where the edges of windows are enough.

    Args:
        sensor: read once now, and again at each `update`.
        now_s: the clock's time.
    """

    def __init__(self, sensor: Sensor, now_s: float) -> None:
        self.sensor = sensor
        self.energy_j = 0.0
        # The curve: moments of good readings, and the energy up to each.
        self._times_s = array("d")
        self._energies_j = array("d")
        self._last_value = 0.0
        self._last_good_s = now_s
        self._power_w = 0.0
        # A counter's reading that may be a glitch or the first after a jump, with its time.
        self._doubtful: tuple[float, float] | None = None
        self._failed = 0
        self._absurd = 0
        self._resets = 0
        self._last_error = ""
        self.update(now_s)

    def update(self, now_s: float) -> None:
        """Read the sensor and add what it has seen since the last good reading."""
        self._last_try_s = now_s
        self.due_s = now_s + (self.sensor.sample_interval_s or math.inf)
        try:
            value = self.sensor.read()
        except SensorError as error:
            self._failed += 1
            self._last_error = str(error)
            return
        if not math.isfinite(value) or value < 0:
            self._absurd += 1
        elif self.sensor.quantity == "power_w":
            self._take_power(value, now_s)
        else:
            self._take_counter(value, now_s)

    def covers(self, start_s: float, end_s: float) -> bool:
        """Whether there were good readings around or inside that time; a silent sensor has seen nothing, not zero."""
        if not self._times_s:
            return False
        if start_s == end_s:
            return self._times_s[0] <= start_s <= self._last_good_s
        return self._times_s[0] < end_s and self._last_good_s > start_s

    def energy_at(self, time_s: float) -> float:
        """Joules at that time, between readings by a straight line, outside of them as at the nearest."""
        times_s, energies_j = self._times_s, self._energies_j
        after = bisect_right(times_s, time_s)
        if after == 0:
            return 0.0
        if after == len(times_s):
            return energies_j[-1]
        share = (time_s - times_s[after - 1]) / (times_s[after] - times_s[after - 1])
        return energies_j[after - 1] + share * (energies_j[after] - energies_j[after - 1])

    @property
    def notes(self) -> list[str]:
        """What went wrong while reading, in words; empty when nothing did."""
        name = f"{self.sensor.component} ({self.sensor.method})"
        notes = []
        if self._failed:
            silent_s = self._last_try_s - self._last_good_s
            lost = f"; its last {silent_s:.1f} s are not counted" if silent_s > 0 and self._times_s else ""
            notes.append(f"{name}: {self._failed} readings failed, last with: {self._last_error}{lost}")
        absurd = self._absurd + (self._doubtful is not None)
        if absurd:
            notes.append(
                f"{name}: {absurd} readings left out as negative, not finite or above {self.sensor.max_power_w:g} W"
            )
        if self._resets:
            notes.append(
                f"{name}: the counter was reset or jumped {self._resets} times; "
                "the gap is bridged with the power before it"
            )
        return notes

    def _take_power(self, power_w: float, now_s: float) -> None:
        if power_w > self.sensor.max_power_w:
            self._absurd += 1
            return
        first = not self._times_s
        step_j = 0.0 if first else 0.5 * (self._last_value + power_w) * (now_s - self._last_good_s)
        self._add(step_j, power_w, now_s)

    def _take_counter(self, counter_j: float, now_s: float) -> None:
        # A reading that does not follow from the last good one is kept aside: the next reading tells what it was.
        doubtful = self._doubtful
        if not self._times_s:
            self._add(0.0, counter_j, now_s)
        elif self._plausible(counter_j - self._last_value, now_s - self._last_good_s):
            # The counter goes on from the last good reading, so what was kept aside was a glitch.
            self._absurd += doubtful is not None
            self._doubtful = None
            self._add(counter_j - self._last_value, counter_j, now_s)
        elif doubtful and self._plausible(counter_j - doubtful[0], now_s - doubtful[1]):
            # It goes on from what was kept aside: it has jumped there. What it counted up to then is not known, so
            # the power before the gap stands in for it.
            since_j, since_s = doubtful
            self._doubtful = None
            self._resets += 1
            bridge_j = self._power_w * (since_s - self._last_good_s)
            self._add(bridge_j + counter_j - since_j, counter_j, now_s)
        else:
            # It follows from neither: the older of the two was a glitch, and this one is kept aside in its place.
            self._absurd += doubtful is not None
            self._doubtful = (counter_j, now_s)

    def _plausible(self, step_j: float, elapsed_s: float) -> bool:
        return 0 <= step_j <= self.sensor.max_power_w * max(elapsed_s, _TICK_S)

    def _add(self, step_j: float, value: float, now_s: float) -> None:
        self.energy_j += step_j
        self._last_value = value
        self._last_good_s = now_s
        knots = self._times_s
        if self.sensor.quantity == "energy_j" and knots:
            since_knot_s = now_s - knots[-1]
            # It has not ticked yet: what it will show then belongs to this stretch, too.
            if step_j == 0 and since_knot_s < _TICK_S:
                return
            if since_knot_s > 0:
                self._power_w = (self.energy_j - self._energies_j[-1]) / since_knot_s
        if knots and now_s <= knots[-1]:
            self._energies_j[-1] = self.energy_j
        else:
            knots.append(now_s)
            self._energies_j.append(self.energy_j)
