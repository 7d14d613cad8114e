"""Measure a program while it runs: named, nested windows, each with its energy by component.

All sensors are read at the edges of a window, and those that need it in a thread between them. A window's energy is
read off each sensor's curve (see `meter`), so that a drop-out that ends after the window still counts in it.
"""

from __future__ import annotations

import dataclasses
import math
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType

from carbon_midl.errors import InputError
from carbon_midl.footprint.alongside import Alongside
from carbon_midl.footprint.cpu_estimate import CpuEstimate
from carbon_midl.footprint.discovery import discover_sensors
from carbon_midl.footprint.embodied import Embodied
from carbon_midl.footprint.grid import (
    DEFAULT_PUE,
    DEFAULT_PUE_SOURCE,
    GIVEN,
    WORLD,
    CarbonIntensity,
    checked_pue,
)
from carbon_midl.footprint.meter import Meter
from carbon_midl.footprint.nvml import gpu_temperature_c
from carbon_midl.footprint.prediction import CONFIDENCE, Prediction, compared, predict
from carbon_midl.footprint.record import IDLE, CarbontrackerFigures, ComponentEnergy, FootprintRecord, Window
from carbon_midl.footprint.sensors import Found, Sensor, is_estimate

_J_PER_KWH = 3.6e6
# Long enough for a GPU to have left the clocks of its start-up.
_IDLE_S = 10.0
_SCOPE = "only the components named are covered, not power supply, disks, fans or network"


def _utc_now() -> datetime:
    return datetime.now(UTC)


@dataclass
class _Span:
    """A window between two moments of the tracker's clock; `end_s` is None while it is open."""

    name: str
    parent: str | None
    started: str
    start_s: float
    end_s: float | None = None
    finished: bool = False
    continues: bool = False


class Tracker:
    """Record the energy of a run.

    Before each reading the accelerator is synchronised, if torch is loaded and uses CUDA, so that work which was only
    queued does not fall into the next window. A window that ends with an exception, `KeyboardInterrupt` included, is
    recorded as not finished; the energy so far counts. Windows are opened and closed in one thread.

    Where a sensor measures, the power of the machine before the training is measured first, in a window "idle", so
    that the record knows gross and net. After epochs 2, 3, 5, 10, 20, 30, 50, … of a tracker the whole training is
    predicted; the record keeps each prediction, and its error once the training has ended.

    Args:
        log_dir: folder for carbontracker's logs; made when needed.
        epochs: how many epochs are planned.
        pue: power usage effectiveness, at least 1.
        intensity: carbon intensity of the electricity.
        carbontracker: run carbontracker alongside the epochs, kept off the network.
        pue_source: where `pue` comes from, in words.
        earlier: the record of the attempt that is continued; its energy counts, too.
        idle_s: how long to measure idle power, when a sensor measures it; 0 leaves that out.
        embodied: how to share out the making of the hardware; None leaves it out.
        cpu_estimate: how to estimate a processor that no sensor measures: "TDP × utilisation", or "half TDP" as
            carbontracker does.
        sensors: None looks for those of this machine.
        clock: seconds, monotonic.
        now: the time of day in UTC.
        sleep: waits for so many seconds.

    Raises:
        InputError: a number of epochs, a PUE or an idle time that cannot be.
    """

    def __init__(
        self,
        log_dir: Path | str,
        epochs: int,
        pue: float = DEFAULT_PUE,
        intensity: CarbonIntensity = WORLD,
        carbontracker: bool = True,
        *,
        pue_source: str | None = None,
        earlier: FootprintRecord | None = None,
        idle_s: float = _IDLE_S,
        embodied: Embodied | None = None,
        cpu_estimate: CpuEstimate = "TDP × utilisation",
        sensors: Sequence[Sensor] | Found | None = None,
        clock: Callable[[], float] = time.perf_counter,
        now: Callable[[], datetime] = _utc_now,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        if isinstance(epochs, bool) or not isinstance(epochs, int) or epochs < 1:
            raise InputError(f"epochs: found {epochs!r}, expected a whole number of at least 1")
        self._epochs = epochs
        self._pue = checked_pue(pue)
        self._pue_source = pue_source or (DEFAULT_PUE_SOURCE if self._pue == DEFAULT_PUE else GIVEN)
        self._intensity = intensity
        self._alongside = Alongside(Path(log_dir), epochs, intensity) if carbontracker else None
        if isinstance(idle_s, bool) or not isinstance(idle_s, int | float) or not 0 <= idle_s < math.inf:
            raise InputError(f"idle_s: found {idle_s!r}, expected seconds, or 0 to leave the idle power out")
        self._earlier = earlier
        self._idle_s = idle_s
        self._embodied = embodied
        self._cpu_estimate = cpu_estimate
        self._given_sensors = sensors
        self._clock = clock
        self._now = now
        self._sleep = sleep
        self._found = Found(())
        self._start_temperature_c: dict[str, float] = {}
        self._meters: list[Meter] = []
        self._checks: dict[str, Meter] = {}
        self._lock = threading.Lock()
        self._stop_sampling = threading.Event()
        self._sampler: threading.Thread | None = None
        # When each of all meters that need it, by its number, is to be read next.
        self._due_s: dict[int, float] = {}
        # A window takes the place of its span once no later reading can change it.
        self._windows: list[_Span | Window] = []
        self._open: list[_Span] = []
        self._epochs_finished = 0
        self._predictions: dict[int, Prediction] = {}
        self._running = False
        self._loaded = False
        self._used = False
        self._added_notes: list[str] = []
        self._sync_note = ""
        self._figures: CarbontrackerFigures | None = None

    def load(self) -> None:
        """Import what a recording needs and start carbontracker, which measures nothing before the first epoch.

        That takes some seconds, which belong into no window; entering does it, too.
        """
        if self._loaded:
            return
        self._loaded = True
        import scipy.special  # noqa: F401

        if self._alongside is not None:
            self._alongside.start()

    def __enter__(self) -> Tracker:
        if self._used:
            raise RuntimeError("a Tracker records one run: make another one for the next")
        self.load()
        self._used = True
        self._found = self._look_for_sensors()
        self._meters = [Meter(sensor, self._clock()) for sensor in self._found.sensors]
        self._checks = {sensor.component: Meter(sensor, self._clock()) for sensor in self._found.checks}
        temperatures_c = {sensor.component: gpu_temperature_c(sensor) for sensor in self._found.sensors}
        self._start_temperature_c = {name: value for name, value in temperatures_c.items() if value is not None}
        self._start_sampling()
        self._running = True
        try:
            self._measure_idle()
        except BaseException as error:
            self.__exit__(type(error), error, error.__traceback__)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._running = False
        self._stop_sampling.set()
        if self._sampler is not None:
            self._sampler.join()
        for meter in self._all_meters():
            meter.sensor.close()
        if self._alongside is not None:
            self._figures = self._alongside.finish()

    @contextmanager
    def window(self, name: str, continues: bool = False) -> Iterator[None]:
        """Measure what happens inside under `name`, nested in the window that is open now.

        Args:
            name: of the window.
            continues: whether it goes on with what the attempt before has begun under that name, and has saved.

        Raises:
            RuntimeError: the tracker is not running.
        """
        if not self._running:
            raise RuntimeError(f"window {name!r}: the tracker is not running; open windows inside `with tracker:`")
        parent = self._open[-1].name if self._open else None
        span = _Span(name, parent, self._now().isoformat(timespec="seconds"), self._read(), continues=continues)
        self._windows.append(span)
        self._open.append(span)
        try:
            yield
            span.finished = True
        finally:
            span.end_s = self._read()
            self._open.remove(span)

    @contextmanager
    def epoch(self, number: int, continues: bool = False) -> Iterator[None]:
        """The window "epoch <number>", and one epoch to carbontracker.

        Args:
            number: counted from 1.
            continues: whether it goes on with an epoch that the attempt before has begun and saved in its middle.

        Raises:
            InputError: a number that is no epoch.
        """
        if isinstance(number, bool) or not isinstance(number, int) or number < 1:
            raise InputError(f"epoch: found {number!r}, expected a whole number counted from 1")
        try:
            with self.window(f"epoch {number}", continues):
                if self._alongside is not None:
                    self._alongside.epoch_start()
                yield
        finally:
            if self._alongside is not None:
                self._alongside.epoch_end()
        self._epochs_finished += 1
        if _is_milestone(self._epochs_finished):
            self.predict()

    def predict(self, confidence: float = CONFIDENCE) -> Prediction | None:
        """Predict the whole training between two epochs, and keep that in the record; None before the second epoch.

        Raises:
            InputError: a confidence that cannot be.
        """
        prediction = predict(self.record, confidence=confidence)
        if prediction is not None:
            self._predictions[prediction.after_epoch] = prediction
        return prediction

    def note(self, text: str) -> None:
        """Add a remark to the record, such as why the training was stopped."""
        self._added_notes.append(text)

    @property
    def record(self) -> FootprintRecord:
        """The record so far; a window that is still open is in it as not finished, so that a long run can save it.

        Carbontracker's figures are there once the tracker has ended.
        """
        now_s = self._read() if self._open else self._clock()
        with self._lock:
            windows = tuple(self._settle(position, now_s) for position in range(len(self._windows)))
        record = FootprintRecord(
            windows=windows,
            epochs_planned=self._epochs,
            pue=self._pue,
            pue_source=self._pue_source,
            intensity=self._intensity,
            carbontracker=_with_difference(self._figures, windows),
            hardware={sensor.component: sensor.hardware for sensor in self._found.sensors},
            notes=self._notes(),
            embodied=self._embodied,
            predictions=tuple(self._predictions.values()),
            start_temperature_c=self._start_temperature_c,
        )
        return compared(record) if self._earlier is None else record.with_earlier(self._earlier)

    def _look_for_sensors(self) -> Found:
        given = self._given_sensors
        if given is None:
            return discover_sensors(self._cpu_estimate)
        return given if isinstance(given, Found) else Found(tuple(given))

    def _measure_idle(self) -> None:
        if self._idle_s and not all(is_estimate(sensor.method) for sensor in self._found.sensors):
            with self.window(IDLE):
                self._sleep(self._idle_s)

    def _all_meters(self) -> list[Meter]:
        return [*self._meters, *self._checks.values()]

    def _read(self) -> float:
        """Read all sensors, and return the moment on the tracker's clock."""
        self._sync_note = _synchronise_accelerator() or self._sync_note
        with self._lock:
            time_s = self._clock()
            for meter in self._all_meters():
                meter.update(time_s)
            return time_s

    def _settle(self, position: int, now_s: float) -> Window:
        span = self._windows[position]
        if isinstance(span, Window):
            return span
        end_s = now_s if span.end_s is None else span.end_s
        components = tuple(
            ComponentEnergy(
                meter.sensor.component,
                _kwh(meter, span.start_s, end_s),
                meter.sensor.method,
                self._sampled_kwh(meter.sensor.component, span.start_s, end_s),
            )
            for meter in self._meters
            # An estimate has no idle power of its own.
            if meter.covers(span.start_s, end_s) and not (span.name == IDLE and is_estimate(meter.sensor.method))
        )
        window = Window(
            name=span.name,
            started=span.started,
            duration_s=end_s - span.start_s,
            components=components,
            parent=span.parent,
            finished=span.finished,
            continues=span.continues,
        )
        if span.end_s is not None and all(meter.settled(end_s) for meter in self._all_meters()):
            self._windows[position] = window
        return window

    def _sampled_kwh(self, component: str, start_s: float, end_s: float) -> float | None:
        check = self._checks.get(component)
        if check is None or not check.covers(start_s, end_s):
            return None
        return _kwh(check, start_s, end_s)

    def _start_sampling(self) -> None:
        now_s = self._clock()
        self._due_s = {
            number: now_s + meter.sensor.sample_interval_s
            for number, meter in enumerate(self._all_meters())
            if meter.sensor.sample_interval_s is not None
        }
        if self._due_s:
            self._sampler = threading.Thread(target=self._sample, name="footprint", daemon=True)
            self._sampler.start()

    def _sample(self) -> None:
        while not self._stop_sampling.wait(max(0.0, min(self._due_s.values()) - self._clock())):
            self._sample_due()

    def _sample_due(self) -> None:
        """Read the sensors whose interval is over."""
        meters = self._all_meters()
        with self._lock:
            now_s = self._clock()
            for number, due_s in self._due_s.items():
                if due_s <= now_s:
                    meters[number].update(now_s)
                    self._due_s[number] = now_s + (meters[number].sensor.sample_interval_s or math.inf)

    def _notes(self) -> tuple[str, ...]:
        coverage = [f"{sensor.component}: {sensor.coverage}" for sensor in self._found.sensors]
        readings = [note for meter in self._all_meters() for note in meter.notes]
        synchronising = [self._sync_note] if self._sync_note else []
        return (*coverage, *self._found.missing, *readings, *synchronising, *self._added_notes, _SCOPE)


def _kwh(meter: Meter, start_s: float, end_s: float) -> float:
    return (meter.energy_at(end_s) - meter.energy_at(start_s)) / _J_PER_KWH


def _is_milestone(number: int) -> bool:
    """Whether `number` is 2, 3, 5, 10, 20, 30, 50, …: so few predictions that a record stays small."""
    return number > 1 and str(number).rstrip("0") in ("1", "2", "3", "5")


def _with_difference(figures: CarbontrackerFigures | None, windows: Sequence[Window]) -> CarbontrackerFigures | None:
    """Carbontracker's figures with their difference to ours over the epochs that it measured, which are the first."""
    if figures is None or figures.energy_before_pue_kwh is None:
        return figures
    epochs = [window for window in windows if window.name.startswith("epoch ")][: figures.measured_epochs]
    ours_kwh = sum(epoch.energy_kwh for epoch in epochs)
    return dataclasses.replace(figures, difference_kwh=figures.energy_before_pue_kwh - ours_kwh)


def _synchronise_accelerator() -> str:
    """Wait for the work that torch has queued on its CUDA devices; a note when that failed, else an empty string.

    Torch is not imported: what has not been loaded has queued nothing.
    """
    torch = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_initialized():
        return ""
    try:
        for device in range(torch.cuda.device_count()):
            # To synchronise a device that is not used would create a context on it, some hundred MB.
            if torch.cuda.memory_reserved(device):
                torch.cuda.synchronize(device)
    except RuntimeError as error:
        return f"the accelerator could not be synchronised before a reading: {error}"
    return ""
