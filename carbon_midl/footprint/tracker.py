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
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType

from carbon_midl.errors import InputError
from carbon_midl.footprint.carbontracker import Carbontracker
from carbon_midl.footprint.grid import (
    DEFAULT_PUE,
    DEFAULT_PUE_SOURCE,
    GIVEN,
    WORLD,
    CarbonIntensity,
    Embodied,
    checked_pue,
)
from carbon_midl.footprint.meter import FoundSensors, Meter, Sensor
from carbon_midl.footprint.nvml import gpu_temperature_c
from carbon_midl.footprint.record import IDLE, CarbontrackerFigures, ComponentEnergy, FootprintRecord, Window
from carbon_midl.footprint.sensors import discover_sensors, is_estimate

_J_PER_KWH = 3.6e6
# Long enough for a GPU to have left the clocks of its start-up.
_IDLE_S = 10.0
_SCOPE = "only the components named are covered, not power supply, disks, fans or network"


class Clock:
    """The time that a tracker goes by."""

    def time(self) -> float:
        """Seconds since some fixed moment, which never go back."""
        return time.perf_counter()

    def now(self) -> datetime:
        """The time of day, in UTC."""
        return datetime.now(UTC)

    def sleep(self, seconds: float) -> None:
        """Wait."""
        time.sleep(seconds)


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

    >>> tracker = Tracker("logs", epochs=2, carbontracker=False)
    >>> with tracker, tracker.window("training"):
    ...     for number in (1, 2):
    ...         with tracker.epoch(number):
    ...             total = sum(range(100_000))  # train
    >>> tracker.record.epochs, tracker.record.window("training").energy_kwh > 0
    (2, True)

    Before each reading the accelerator is synchronised, if torch is loaded and uses CUDA, so that work which was only
    queued does not fall into the next window. A window that ends with an exception, `KeyboardInterrupt` included, is
    recorded as not finished; the energy so far counts. Windows are opened and closed in one thread. Where a sensor
    measures, the power of the machine before the training is measured first, in a window "idle", so that the record
    knows gross and net.

    Args:
        log_dir: folder for carbontracker's logs; made when needed.
        epochs: how many epochs are planned.
        pue: power usage effectiveness, at least 1.
        intensity: carbon intensity of the electricity.
        carbontracker: run carbontracker beside the epochs, kept off the network.
        pue_source: where `pue` comes from, in words.
        earlier: the record of the attempt that is continued; its energy counts, too.
        idle_s: how long to measure idle power, when a sensor measures it; 0 leaves that out.
        embodied: how to share out the making of the hardware; None leaves it out.
        sensors: None looks for those of this machine.
        clock: the time to go by.

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
        sensors: Sequence[Sensor] | FoundSensors | None = None,
        clock: Clock | None = None,
    ) -> None:
        if epochs < 1:
            raise InputError(f"epochs: found {epochs!r}, expected a whole number of at least 1")
        if not 0 <= idle_s < math.inf:
            raise InputError(f"idle_s: found {idle_s!r}, expected seconds, or 0 to leave the idle power out")
        pue = checked_pue(pue)
        # What is known beforehand; windows and notes are added when the record is asked for.
        self._blank = FootprintRecord(
            windows=(),
            epochs_planned=epochs,
            pue=pue,
            pue_source=pue_source or (DEFAULT_PUE_SOURCE if pue == DEFAULT_PUE else GIVEN),
            intensity=intensity,
            embodied=embodied,
        )
        self._carbontracker = Carbontracker(Path(log_dir), epochs, intensity) if carbontracker else None
        self._figures: CarbontrackerFigures | None = None
        self._earlier = earlier
        self._idle_s = idle_s
        self._sensors = sensors
        self._clock = clock or Clock()
        self._missing: tuple[str, ...] = ()
        self._meters: list[Meter] = []
        self._lock = threading.Lock()
        self._stop_sampling = threading.Event()
        self._sampler: threading.Thread | None = None
        self._spans: list[_Span] = []
        self._open: list[_Span] = []
        self._running: bool | None = None  # None before the run, False after it
        self._loaded = False
        self._added_notes: list[str] = []
        self._sync_note = ""

    def load(self) -> None:
        """Start carbontracker, which measures nothing before the first epoch.

        That takes some seconds, which belong into no window; entering does it, too.
        """
        if self._carbontracker is not None and not self._loaded:
            self._loaded = True
            self._carbontracker.start()

    def __enter__(self) -> Tracker:
        if self._running is not None:
            raise RuntimeError("a Tracker records one run: make another one for the next")
        self.load()
        found = discover_sensors() if self._sensors is None else self._sensors
        sensors, self._missing = (found.sensors, found.missing) if isinstance(found, FoundSensors) else (found, ())
        self._meters = [Meter(sensor, self._clock.time()) for sensor in sensors]
        temperatures_c = {sensor.component: gpu_temperature_c(sensor) for sensor in sensors}
        self._blank = dataclasses.replace(
            self._blank,
            hardware={sensor.component: sensor.hardware for sensor in sensors},
            start_temperature_c={name: value for name, value in temperatures_c.items() if value is not None},
        )
        if any(sensor.sample_interval_s for sensor in sensors):
            self._sampler = threading.Thread(target=self._sample, name="footprint", daemon=True)
            self._sampler.start()
        self._running = True
        try:
            if self._idle_s and not all(is_estimate(sensor.method) for sensor in sensors):
                with self.window(IDLE):
                    self._clock.sleep(self._idle_s)
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
        for meter in self._meters:
            meter.sensor.close()
        if self._carbontracker is not None:
            self._figures = self._carbontracker.finish()

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
        started = self._clock.now().isoformat(timespec="seconds")
        span = _Span(name, parent, started, self._read(), continues=continues)
        self._spans.append(span)
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
        if number < 1:
            raise InputError(f"epoch: found {number!r}, expected a whole number counted from 1")
        try:
            with self.window(f"epoch {number}", continues):
                if self._carbontracker is not None:
                    self._carbontracker.epoch_start()
                yield
        finally:
            if self._carbontracker is not None:
                self._carbontracker.epoch_end()

    def note(self, text: str) -> None:
        """Add a remark to the record, such as why the training was stopped."""
        self._added_notes.append(text)

    @property
    def record(self) -> FootprintRecord:
        """The record so far; a window that is still open is in it as not finished, so that a long run can save it.

        Carbontracker's figures are there once the tracker has ended.
        """
        now_s = self._read() if self._open else self._clock.time()
        with self._lock:
            windows = tuple(self._window(span, now_s) for span in self._spans)
        record = dataclasses.replace(
            self._blank,
            windows=windows,
            carbontracker=_with_difference(self._figures, windows),
            notes=self._notes(),
        )
        return record if self._earlier is None else record.with_earlier(self._earlier)

    def _read(self) -> float:
        """Read all sensors, and return the moment on the tracker's clock."""
        self._sync_note = _synchronise_accelerator() or self._sync_note
        with self._lock:
            time_s = self._clock.time()
            for meter in self._meters:
                meter.update(time_s)
            return time_s

    def _sample(self) -> None:
        while not self._stop_sampling.wait(max(0.0, min(meter.due_s for meter in self._meters) - self._clock.time())):
            self._sample_due()

    def _sample_due(self) -> None:
        """Read the sensors whose interval is over."""
        with self._lock:
            now_s = self._clock.time()
            for meter in self._meters:
                if meter.due_s <= now_s:
                    meter.update(now_s)

    def _window(self, span: _Span, now_s: float) -> Window:
        end_s = now_s if span.end_s is None else span.end_s
        components = tuple(
            ComponentEnergy(
                meter.sensor.component,
                (meter.energy_at(end_s) - meter.energy_at(span.start_s)) / _J_PER_KWH,
                meter.sensor.method,
            )
            for meter in self._meters
            # An estimate has no idle power of its own.
            if meter.covers(span.start_s, end_s) and not (span.name == IDLE and is_estimate(meter.sensor.method))
        )
        return Window(
            name=span.name,
            started=span.started,
            duration_s=end_s - span.start_s,
            components=components,
            parent=span.parent,
            finished=span.finished,
            continues=span.continues,
        )

    def _notes(self) -> tuple[str, ...]:
        coverage = [f"{meter.sensor.component}: {meter.sensor.coverage}" for meter in self._meters]
        readings = [note for meter in self._meters for note in meter.notes]
        synchronising = [self._sync_note] if self._sync_note else []
        return (*coverage, *self._missing, *readings, *synchronising, *self._added_notes, _SCOPE)


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
