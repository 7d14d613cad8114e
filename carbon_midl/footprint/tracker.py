"""Measure a program while it runs: named, nested windows, each with its energy by component.

All sensors are read at the edges of a window, and those that need it in a thread between them. A window's energy is
read off each sensor's curve (see `meter`), so that a drop-out that ends after the window still counts in it.

Between two epochs, `predict` tells what the whole run will use, and `reason_to_stop` whether that exceeds its budget.
The epochs to come are taken to be drawn like those that are done, so the sum of `m` of them has Student's prediction
interval: with `k` epochs of mean `x` and standard deviation `s`, `m x ± t(k − 1) · s · √(m + m²/k)`. The first epoch of
an attempt warms up (caches, clocks, memory): from the third on it counts as spent but not as an example. The interval
knows of no epoch unlike those so far, such as those beside another program that starts later.
"""

from __future__ import annotations

import math
import statistics
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, nullcontext, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from carbon_midl.errors import InputError
from carbon_midl.footprint.carbontracker import Carbontracker
from carbon_midl.footprint.grid import DEFAULT_PUE, WORLD, CarbonIntensity, checked_pue, pue_source
from carbon_midl.footprint.meter import J_PER_KWH, FoundSensors, Meter
from carbon_midl.footprint.record import EPOCH, IDLE, ComponentEnergy, FootprintRecord, Window
from carbon_midl.footprint.sensors import discover_sensors, is_estimate
from carbon_midl.units import carbon, energy

CONFIDENCE = 0.95
PARTS = 8
"""In which a window of `steadiness` is read."""
_SCOPE = "only the components named are covered, not power supply, disks, fans or network"


@dataclass
class _Span:
    """A window, without its energy, between two moments of the tracker's clock; `end_s` is None while it is open."""

    window: Window
    start_s: float
    end_s: float | None = None


class Tracker:
    """Record the energy of a run.

    >>> from carbon_midl.footprint.sensors import FoundSensors, MemoryEstimate
    >>> tracker = Tracker("logs", epochs=2, carbontracker=False, sensors=FoundSensors((MemoryEstimate(16),)))
    >>> with tracker, tracker.window("training"):
    ...     for number in (1, 2):
    ...         with tracker.epoch(number):
    ...             time.sleep(0.01)  # train
    >>> training = tracker.record.window("training")
    >>> f"{training.energy_kwh * 3.6e6 / training.duration_s:.2f} W", training.method
    ('5.96 W', 'estimated: W per GB')

    Before each reading the accelerator is synchronised, if torch is loaded and uses CUDA, so that work which was only
    queued does not fall into the next window. A window that ends with an exception is recorded as not finished; the
    energy so far counts. Where a sensor measures, the power of the machine before the training is measured first, in a
    window "idle", so that the record knows gross and net.

    Args:
        log_dir: folder for carbontracker's logs; made when needed.
        epochs: how many epochs are planned.
        pue: power usage effectiveness, at least 1.
        intensity: carbon intensity of the electricity.
        carbontracker: run carbontracker beside the epochs, kept off the network.
        earlier: the record of the attempt that is continued; its energy counts, too.
        idle_s: how long to measure idle power, so that a GPU leaves the clocks of its start-up; 0 leaves that out.
        sensors: None looks for those of this machine.
        clock: what tells the time and waits, as the module `time` does.
    """

    def __init__(
        self,
        log_dir: Path | str,
        epochs: int,
        pue: float = DEFAULT_PUE,
        intensity: CarbonIntensity = WORLD,
        carbontracker: bool = True,
        *,
        earlier: FootprintRecord | None = None,
        idle_s: float = 10.0,
        sensors: FoundSensors | None = None,
        clock: Any = time,
    ) -> None:
        if epochs < 1:
            raise InputError(f"epochs: found {epochs!r}, expected a whole number of at least 1")
        if not 0 <= idle_s < math.inf:
            raise InputError(f"idle_s: found {idle_s!r}, expected seconds, or 0 to leave the idle power out")
        # What is known beforehand; windows and notes are added when the record is asked for.
        self._blank = FootprintRecord((), epochs, checked_pue(pue), pue_source(pue), intensity)
        self._carbontracker = Carbontracker(Path(log_dir), epochs, intensity) if carbontracker else None
        self._earlier = earlier
        self._idle_s = idle_s
        self._found = sensors
        self._clock = clock
        self._meters: list[Meter] = []
        self._lock = threading.Lock()
        self._stop_sampling = threading.Event()
        self._sampler = threading.Thread(target=self._sample, name="footprint", daemon=True)
        self._spans: list[_Span] = []
        self._running: bool | None = None  # None before the run, False after it
        self._added_notes: list[str] = []

    def __enter__(self) -> Tracker:
        if self._running is not None:
            raise RuntimeError("a Tracker records one run: make another one for the next")
        if self._carbontracker is not None:
            self._carbontracker.start()
        self._found = self._found or discover_sensors()
        sensors = self._found.sensors
        self._meters = [Meter(sensor, self._clock.perf_counter()) for sensor in sensors]
        temperatures_c = {sensor.component: sensor.temperature_c() for sensor in sensors}
        self._blank = replace(
            self._blank,
            hardware={sensor.component: sensor.hardware for sensor in sensors},
            start_temperature_c={name: value for name, value in temperatures_c.items() if value is not None},
        )
        self._sampler.start()
        self._running = True
        with ExitStack() as on_error:
            on_error.push(self.__exit__)
            if self._idle_s and not all(is_estimate(sensor.method) for sensor in sensors):
                with self.window(IDLE):
                    self._clock.sleep(self._idle_s)
            on_error.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._running = False
        self._stop_sampling.set()
        self._sampler.join()
        for meter in self._meters:
            meter.sensor.close()
        if self._carbontracker is not None:
            self._blank = replace(self._blank, carbontracker=self._carbontracker.finish())

    @contextmanager
    def window(self, name: str, continues: bool = False) -> Iterator[None]:
        """Measure what happens inside under `name`, nested in the window that is open now.

        It may go on with what the attempt before has begun under that name, and has saved.
        """
        if not self._running:
            raise RuntimeError(f"window {name!r}: the tracker is not running; open windows inside `with tracker:`")
        parent = next((span.window.name for span in reversed(self._spans) if span.end_s is None), None)
        started = datetime.now(UTC).isoformat(timespec="seconds")
        window = Window(name, started, 0.0, (), parent, finished=False, continues=continues)
        span = _Span(window, self._read())
        self._spans.append(span)
        try:
            yield
            span.window = replace(window, finished=True)
        finally:
            span.end_s = self._read()

    @contextmanager
    def epoch(self, number: int, continues: bool = False) -> Iterator[None]:
        """The window "epoch <number>", counted from 1, and one epoch to carbontracker."""
        if number < 1:
            raise InputError(f"epoch: found {number!r}, expected a whole number counted from 1")
        if number > self._blank.epochs_planned:  # no training is stopped for a plan that was too short
            self._blank = replace(self._blank, epochs_planned=number)
        beside = self._carbontracker.epoch() if self._carbontracker is not None else nullcontext()
        with beside, self.window(f"{EPOCH}{number}", continues):
            yield

    def note(self, text: str) -> None:
        """Add a remark to the record, such as why the training was stopped."""
        self._added_notes.append(text)

    @property
    def record(self) -> FootprintRecord:
        """The record so far; a window that is still open is in it as not finished, so that a long run can save it."""
        windows = self._windows()
        notes = (
            *(f"{meter.sensor.component}: {meter.sensor.coverage}" for meter in self._meters),
            *(self._found.missing if self._found is not None else ()),
            *(note for meter in self._meters for note in meter.notes),
            *self._added_notes,
            _SCOPE,
        )
        record = replace(self._blank, windows=windows, notes=notes)
        return record if self._earlier is None else record.with_earlier(self._earlier)

    def _read(self, meters: Sequence[Meter] | None = None) -> float:
        """Read these sensors, or all of them, and return the moment on the tracker's clock."""
        if meters is None:
            _synchronise_accelerator()
        with self._lock:
            time_s: float = self._clock.perf_counter()
            for meter in self._meters if meters is None else meters:
                meter.update(time_s)
        return time_s

    def _sample(self) -> None:
        """Read those sensors between edges that need it, all as often as the one that needs it most."""
        meters = [meter for meter in self._meters if meter.sensor.sample_interval_s]
        interval_s = min((meter.sensor.sample_interval_s or math.inf for meter in meters), default=None)
        while not self._stop_sampling.wait(interval_s):
            self._read(meters)

    def _windows(self) -> tuple[Window, ...]:
        now_s = self._read() if any(span.end_s is None for span in self._spans) else 0.0
        windows = []
        with self._lock:
            for span in self._spans:
                end_s = now_s if span.end_s is None else span.end_s
                components = tuple(
                    ComponentEnergy(meter.sensor.component, energy_j / J_PER_KWH, meter.sensor.method)
                    for meter in self._meters
                    # An estimate has no idle power of its own.
                    if not (span.window.name == IDLE and is_estimate(meter.sensor.method))
                    and (energy_j := meter.energy_between(span.start_s, end_s)) is not None
                )
                windows.append(replace(span.window, duration_s=end_s - span.start_s, components=components))
        return tuple(windows)


def _synchronise_accelerator() -> None:
    """Wait for the work that torch, if it is loaded, has queued; an error of a device is the program's to tell."""
    torch = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_initialized():
        return
    with suppress(RuntimeError):
        for device in range(torch.cuda.device_count()):
            # To synchronise a device that is not used would create a context on it, some hundred MB.
            if torch.cuda.memory_reserved(device):
                torch.cuda.synchronize(device)


@dataclass(frozen=True)
class Prediction:
    """Energy of a whole run before PUE, predicted between two epochs; work lost in earlier attempts is in it."""

    after_epoch: int  #: the last epoch that was finished.
    energy_kwh: float  #: when all planned epochs are done.
    low_kwh: float  #: lower end of the 95 % interval, and at least what is spent.
    high_kwh: float  #: upper end of the interval.
    epoch_kwh: float  #: energy of each epoch to come.
    scale_kwh: float  #: standard error of `energy_kwh`.
    freedom: int  #: degrees of freedom of Student's t.

    def probability_above(self, limit_kwh: float) -> float:
        """How likely it is that the run uses more than so many kWh before PUE."""
        from scipy.special import stdtr

        excess_kwh = self.energy_kwh - limit_kwh
        if self.scale_kwh <= 0:
            return float(excess_kwh > 0)
        return float(stdtr(self.freedom, excess_kwh / self.scale_kwh))


def predict(record: FootprintRecord) -> Prediction | None:
    """Energy of the whole run from its record between two epochs; None until two of the last attempt are finished."""
    from scipy.special import stdtrit

    epochs = record.finished_epochs
    latest_kwh = [window.energy_kwh for window in epochs.values() if window.attempt == record.attempts]
    if len(latest_kwh) < 2:
        return None
    examples_kwh = latest_kwh[1:] if len(latest_kwh) > 2 else latest_kwh
    count, done, spent_kwh = len(examples_kwh), max(epochs), record.energy_kwh
    remaining = max(0, record.epochs_planned - done)
    mean_kwh = statistics.fmean(examples_kwh)
    scale_kwh = statistics.stdev(examples_kwh) * math.sqrt(remaining + remaining**2 / count)
    energy_kwh = spent_kwh + remaining * mean_kwh
    half_kwh = float(stdtrit(count - 1, 0.5 + CONFIDENCE / 2)) * scale_kwh
    low_kwh = max(spent_kwh, energy_kwh - half_kwh)
    return Prediction(done, energy_kwh, low_kwh, energy_kwh + half_kwh, mean_kwh, scale_kwh, count - 1)


def reason_to_stop(record: FootprintRecord, carbon_g: float = 0.0, energy_kwh: float = 0.0) -> str:
    """Why a run is to stop, by its record between two epochs: a sentence, or nothing where it may go on.

    It stops when the budget for all its attempts is spent, or will be in the next epoch, or when the run is predicted
    to exceed it with a probability of 95 % or more. A budget is either in grams of CO2eq, by the record's PUE and
    carbon intensity, or in kWh before PUE; 0 is no budget.
    """
    # A budget of carbon is told in carbon; electricity that emits nothing leaves it untouched.
    unit_per_kwh, text, limit = (record.carbon_g(1.0), carbon, carbon_g) if carbon_g else (1.0, energy, energy_kwh)
    limit_kwh = limit / unit_per_kwh if limit and unit_per_kwh else math.inf

    def told(kwh: float) -> str:
        return text(kwh * unit_per_kwh)

    budget, spent_kwh, prediction = f"budget of {text(limit)}", record.energy_kwh, predict(record)
    if spent_kwh > limit_kwh:
        return f"{budget}: the run has used {told(spent_kwh)}, more than its budget"
    if prediction is None or prediction.after_epoch >= record.epochs_planned:
        return ""
    if (probability := prediction.probability_above(limit_kwh)) >= CONFIDENCE:
        percent = min(99.9, 100 * probability)  # no prediction is certain
        return (
            f"{budget}: predicted after epoch {prediction.after_epoch}: {told(prediction.energy_kwh)} "
            f"({told(prediction.low_kwh)} to {told(prediction.high_kwh)}, {CONFIDENCE:.0%} interval) for "
            f"{record.epochs_planned} epochs, above the budget with a probability of {percent:.1f} %"
        )
    if spent_kwh + prediction.epoch_kwh > limit_kwh:
        return f"{budget}: {told(spent_kwh)} used, and the next epoch would exceed the budget"
    return ""


def steadiness(
    sensors: FoundSensors,
    load: Callable[[], object],
    seconds: float = 2.0,
    repeats: int = 10,
    clock: Any = time,
    progress: Callable[[int], object] = lambda parts: None,
) -> Any:
    """Measure idle windows of so many seconds, then windows of equal work, and how far the sensors agree.

    ``load`` is some milliseconds of work; as many of them as fill ``seconds`` make a window. ``progress`` is called
    with 1 after each of the `PARTS` in which a window is read.

    Returns:
        A data frame, a row for each sensor and "total". Its columns are ``component``; ``idle_w`` and ``load_w``;
        ``idle_spread`` and ``spread`` of the energy of windows, relative standard deviations; ``difference``, the least
        between two programs, relative, that such windows of each show with 95 %; ``shortest_s``, from where on windows
        spread by at most 1 %, or NaN.
    """
    import numpy as np
    import pandas as pd
    from scipy.special import stdtrit

    if not 0 < seconds < math.inf or repeats < 3:
        raise InputError(f"seconds {seconds!r}, repeats {repeats!r}: expected more than 0 s, and at least 3 windows")
    start_s, calls, parts = clock.perf_counter(), 0, repeats * PARTS
    while clock.perf_counter() < start_s + seconds:  # warms up, too
        load()
        calls += 1
    with Tracker(".", 1, carbontracker=False, idle_s=0, sensors=sensors, clock=clock) as tracker:
        for part in range(2 * parts):
            with tracker.window(str(part)):
                if part < parts:
                    clock.sleep(seconds / PARTS)
                for _ in range(max(1, round(calls / PARTS)) if part >= parts else 0):
                    load()
            progress(1)
    windows, names = tracker.record.windows, [sensor.component for sensor in sensors.sensors]
    energies_j = J_PER_KWH * np.array([[one.component_kwh(name) or 0.0 for one in windows] for name in names])
    idle_j, load_j = np.split(np.vstack([energies_j, energies_j.sum(axis=0)]), 2, axis=1)
    idle_s, load_s = np.split(np.array([one.duration_s for one in windows]), 2)

    def spread(parts_j: Any, size: int) -> Any:
        windows_j = parts_j[:, : parts // size * size].reshape(len(parts_j), -1, size).sum(axis=2)
        with np.errstate(divide="ignore", invalid="ignore"):
            return windows_j.std(axis=1, ddof=1) / windows_j.mean(axis=1)

    sizes = [2**power for power in range(10) if 2**power * 4 <= parts]
    rough = [~(spread(load_j, size) <= 0.01) * (place + 1) for place, size in enumerate(sizes)]
    return pd.DataFrame({
        "component": [*names, "total"],
        "idle_w": idle_j.sum(axis=1) / idle_s.sum(), "load_w": load_j.sum(axis=1) / load_s.sum(),
        "idle_spread": spread(idle_j, PARTS), "spread": spread(load_j, PARTS),
        "difference": stdtrit(2 * repeats - 2, 0.975) * math.sqrt(2 / repeats) * spread(load_j, PARTS),
        "shortest_s": load_s.mean() * np.array([*sizes, np.nan])[np.max(rough, axis=0)],
    })  # fmt: skip
