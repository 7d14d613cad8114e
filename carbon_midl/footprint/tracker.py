"""Measure a program while it runs: named, nested windows, each with its energy by component."""

from __future__ import annotations

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
from carbon_midl.footprint.discovery import discover_sensors
from carbon_midl.footprint.grid import (
    DEFAULT_PUE,
    DEFAULT_PUE_SOURCE,
    GIVEN,
    WORLD,
    CarbonIntensity,
    checked_pue,
)
from carbon_midl.footprint.meter import Meter
from carbon_midl.footprint.record import CarbontrackerFigures, ComponentEnergy, FootprintRecord, Window
from carbon_midl.footprint.sensors import Found, Sensor

_J_PER_KWH = 3.6e6
_SCOPE = (
    "only the components named are covered, not power supply, disks, fans or network; "
    "what other programs on the same machine use is counted too"
)


def _utc_now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True)
class _Reading:
    """One look at all meters."""

    time_s: float
    energy_j: tuple[float, ...]
    good_readings: tuple[int, ...]


@dataclass
class _OpenWindow:
    position: int
    name: str
    parent: str | None
    started: str
    at_start: _Reading


class Tracker:
    """Record the energy of a run.

    Before each reading the accelerator is synchronised, if torch is loaded and uses CUDA, so that work which was only
    queued does not fall into the next window. A window that ends with an exception, `KeyboardInterrupt` included, is
    recorded as not finished; the energy so far counts. Windows are opened and closed in one thread.

    Args:
        log_dir: folder for carbontracker's logs; made when needed.
        epochs: how many epochs are planned.
        pue: power usage effectiveness, at least 1.
        intensity: carbon intensity of the electricity.
        carbontracker: run carbontracker alongside the epochs, kept off the network.
        pue_source: where `pue` comes from, in words.
        sensors: None looks for those of this machine.
        clock: seconds, monotonic.
        now: the time of day in UTC.

    Raises:
        InputError: a number of epochs or a PUE that cannot be.
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
        sensors: Sequence[Sensor] | None = None,
        clock: Callable[[], float] = time.perf_counter,
        now: Callable[[], datetime] = _utc_now,
    ) -> None:
        if isinstance(epochs, bool) or not isinstance(epochs, int) or epochs < 1:
            raise InputError(f"epochs: found {epochs!r}, expected a whole number of at least 1")
        self._epochs = epochs
        self._pue = checked_pue(pue)
        self._pue_source = pue_source or (DEFAULT_PUE_SOURCE if self._pue == DEFAULT_PUE else GIVEN)
        self._intensity = intensity
        self._alongside = Alongside(Path(log_dir), epochs, intensity) if carbontracker else None
        self._given_sensors = sensors
        self._clock = clock
        self._now = now
        self._found = Found(())
        self._meters: list[Meter] = []
        self._lock = threading.Lock()
        self._stop_sampling = threading.Event()
        self._sampler: threading.Thread | None = None
        self._windows: list[Window | None] = []
        self._open: list[_OpenWindow] = []
        self._running = False
        self._used = False
        self._sync_note = ""
        self._figures: CarbontrackerFigures | None = None

    def __enter__(self) -> Tracker:
        if self._used:
            raise RuntimeError("a Tracker records one run: make another one for the next")
        self._used = True
        given = self._given_sensors
        self._found = discover_sensors() if given is None else Found(tuple(given))
        if self._alongside is not None:
            self._alongside.start()
        self._meters = [Meter(sensor, self._clock()) for sensor in self._found.sensors]
        self._start_sampling()
        self._running = True
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
        if self._alongside is not None:
            self._figures = self._alongside.finish()

    @contextmanager
    def window(self, name: str) -> Iterator[None]:
        """Measure what happens inside under `name`, nested in the window that is open now.

        Raises:
            RuntimeError: the tracker is not running.
        """
        if not self._running:
            raise RuntimeError(f"window {name!r}: the tracker is not running; open windows inside `with tracker:`")
        parent = self._open[-1].name if self._open else None
        started = self._now().isoformat(timespec="seconds")
        opened = _OpenWindow(len(self._windows), name, parent, started, self._read())
        self._windows.append(None)
        self._open.append(opened)
        finished = False
        try:
            yield
            finished = True
        finally:
            self._windows[opened.position] = self._close(opened, self._read(), finished)
            self._open.remove(opened)

    @contextmanager
    def epoch(self, number: int) -> Iterator[None]:
        """The window "epoch <number>", and one epoch to carbontracker.

        Args:
            number: counted from 1.

        Raises:
            InputError: a number that is no epoch.
        """
        if isinstance(number, bool) or not isinstance(number, int) or number < 1:
            raise InputError(f"epoch: found {number!r}, expected a whole number counted from 1")
        try:
            with self.window(f"epoch {number}"):
                if self._alongside is not None:
                    self._alongside.epoch_start()
                yield
        finally:
            if self._alongside is not None:
                self._alongside.epoch_end()

    @property
    def record(self) -> FootprintRecord:
        """The record so far; a window that is still open is in it as not finished, so that a long run can save it.

        Carbontracker's figures are there once the tracker has ended.
        """
        windows = list(self._windows)
        if self._open:
            reading = self._read()
            for opened in self._open:
                windows[opened.position] = self._close(opened, reading, finished=False)
        return FootprintRecord(
            windows=tuple(window for window in windows if window is not None),
            epochs_planned=self._epochs,
            pue=self._pue,
            pue_source=self._pue_source,
            intensity=self._intensity,
            carbontracker=self._figures,
            hardware={sensor.component: sensor.hardware for sensor in self._found.sensors},
            notes=self._notes(),
        )

    def _read(self) -> _Reading:
        self._sync_note = _synchronise_accelerator() or self._sync_note
        with self._lock:
            time_s = self._clock()
            for meter in self._meters:
                meter.update(time_s)
            return _Reading(
                time_s,
                tuple(meter.energy_j for meter in self._meters),
                tuple(meter.good_readings for meter in self._meters),
            )

    def _close(self, opened: _OpenWindow, at_end: _Reading, finished: bool) -> Window:
        start = opened.at_start
        components = tuple(
            ComponentEnergy(meter.sensor.component, (end_j - start_j) / _J_PER_KWH, meter.sensor.method)
            for meter, start_j, end_j, start_count, end_count in zip(
                self._meters, start.energy_j, at_end.energy_j, start.good_readings, at_end.good_readings, strict=True
            )
            # A sensor that was silent all the time has seen nothing, which is not the same as zero.
            if end_count > start_count
        )
        duration_s = at_end.time_s - start.time_s
        return Window(opened.name, opened.started, duration_s, components, opened.parent, finished)

    def _start_sampling(self) -> None:
        intervals = [meter.sensor.sample_interval_s for meter in self._meters]
        needed = [interval for interval in intervals if interval is not None]
        if needed:
            self._sampler = threading.Thread(target=self._sample, args=(min(needed),), name="footprint", daemon=True)
            self._sampler.start()

    def _sample(self, interval_s: float) -> None:
        meters = [meter for meter in self._meters if meter.sensor.sample_interval_s is not None]
        while not self._stop_sampling.wait(interval_s):
            with self._lock:
                for meter in meters:
                    meter.update(self._clock())

    def _notes(self) -> tuple[str, ...]:
        coverage = [f"{sensor.component}: {sensor.coverage}" for sensor in self._found.sensors]
        readings = [note for meter in self._meters for note in meter.notes]
        synchronising = [self._sync_note] if self._sync_note else []
        return (*coverage, *self._found.missing, *readings, *synchronising, _SCOPE)


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
