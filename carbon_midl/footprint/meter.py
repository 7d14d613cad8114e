"""From a sensor's readings to the energy of one component, through drop-outs, resets and absurd values."""

import math
from array import array
from bisect import bisect_right

from carbon_midl.footprint.sensors import Sensor, SensorError

# Counters advance in ticks, so a short interval may see more than its share, or nothing.
_TICK_S = 1.0


class Meter:
    """The energy that one sensor has seen since the meter was made, as a curve over time.

    Power is integrated by the trapezoid rule between good readings, so a drop-out is bridged by a straight line. The
    energy at any moment is read off the curve, and what a drop-out hid is shared evenly over the windows inside it.

    A reading that is negative, not finite or means more power than the component can draw is left out and counted. If
    a counter goes on from such a value at its next reading, or from one below the last, then it has jumped or was
    reset: the gap is bridged with the power before it.

    Args:
        sensor: read once now, and again at each `update`.
        now_s: the clock's time.
    """

    def __init__(self, sensor: Sensor, now_s: float) -> None:
        self.sensor = sensor
        self._times_s = array("d")
        self._energies_j = array("d")
        self._energy_j = 0.0
        self._last_value = 0.0
        self._last_good_s = now_s
        self._last_try_s = now_s
        self._power_w = 0.0
        # A counter's reading that may be a glitch or the first after a jump, with its time.
        self._doubtful: tuple[float, float] | None = None
        self._failed = 0
        self._absurd = 0
        self._resets = 0
        self._last_error = ""
        self.update(now_s)

    @property
    def energy_j(self) -> float:
        """Joules up to the last good reading."""
        return self._energy_j

    def update(self, now_s: float) -> None:
        """Read the sensor and add what it has seen since the last good reading."""
        self._last_try_s = now_s
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

    def settled(self, time_s: float) -> bool:
        """Whether later readings cannot change the energy at that time."""
        return bool(self._times_s) and self._times_s[-1] >= time_s

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
        if not self._times_s:
            self._add(0.0, counter_j, now_s)
        elif self._plausible(counter_j - self._last_value, now_s - self._last_good_s):
            if self._doubtful is not None:
                self._doubtful = None
                self._absurd += 1
            self._add(counter_j - self._last_value, counter_j, now_s)
        elif self._doubtful is not None and self._plausible(counter_j - self._doubtful[0], now_s - self._doubtful[1]):
            since_j, since_s = self._doubtful
            self._doubtful = None
            self._resets += 1
            bridge_j = self._power_w * (since_s - self._last_good_s)
            self._add(bridge_j + counter_j - since_j, counter_j, now_s)
        else:
            if self._doubtful is not None:
                self._absurd += 1
            self._doubtful = (counter_j, now_s)

    def _plausible(self, step_j: float, elapsed_s: float) -> bool:
        return 0 <= step_j <= self.sensor.max_power_w * max(elapsed_s, _TICK_S)

    def _add(self, step_j: float, value: float, now_s: float) -> None:
        self._energy_j += step_j
        self._last_value = value
        self._last_good_s = now_s
        knots = self._times_s
        if self.sensor.quantity == "energy_j" and knots:
            since_knot_s = now_s - knots[-1]
            # It has not ticked yet: what it will show then belongs to this stretch, too.
            if step_j == 0 and since_knot_s < _TICK_S:
                return
            if since_knot_s > 0:
                self._power_w = (self._energy_j - self._energies_j[-1]) / since_knot_s
        if knots and now_s <= knots[-1]:
            self._energies_j[-1] = self._energy_j
        else:
            knots.append(now_s)
            self._energies_j.append(self._energy_j)
