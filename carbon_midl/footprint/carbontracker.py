"""Carbontracker beside our own meter, kept off the network, and its figures read back from its own log.

What its release 2.4.7 does, and what is done about it here:

- At start it asks an IP-geolocation service where it is. That one method is replaced while it starts: the place is
  the one that the run was given, or unknown (then carbontracker takes the IEA's world average of CO2 alone).
- At start it takes more than a second to ask for the processor's name, in a process that times the processor's clock,
  too. On Linux the answer is the name in /proc/cpuinfo, which it is given instead.
- It ends the process on an error unless told to ignore errors; then it may still fail inside its own clean-up.
  Whatever it throws becomes a note: it never costs a training.
- It writes to the console and never closes its log files. Its console output is swallowed, its files are closed.
- Its parser finds the consumption only with the everyday equivalents behind it, so these stay switched on; and it
  always says "1 epoch", so epochs are counted by their durations.
- Power is averaged over several devices instead of summed, and sampled once a second. An epoch too short for a sample
  takes over the power of a neighbour, and the last ones even its energy. A processor without a sensor counts with half
  of its TDP; memory without one is left out.
"""

import importlib.util
import io
import logging
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import Any, TypeVar

from carbon_midl.footprint.grid import CarbonIntensity, carbontracker_version
from carbon_midl.footprint.record import CarbontrackerFigures
from carbon_midl.footprint.sensors import linux_cpu_name

_SAMPLE_INTERVAL_S = 1.0
_JOIN_TIMEOUT_S = 5.0
_LONGEST_PROBLEM = 300
_T = TypeVar("_T")


class Carbontracker:
    """One `CarbonTracker` around the epochs of one training.

    Args:
        log_dir: folder for its logs; made when needed.
        epochs: how many epochs are planned; all are measured.
        intensity: a country in it is passed on as the place.
    """

    def __init__(self, log_dir: Path, epochs: int, intensity: CarbonIntensity) -> None:
        self._log_dir = log_dir
        self._epochs = epochs
        self._intensity = intensity
        self._version: str | None = None
        self._tracker: Any = None
        self._threads: list[Any] = []
        self._stop_intensity: Any = None
        self._loggers: list[logging.Logger] = []
        self._in_epoch = False
        self._problems: list[str] = []

    def start(self) -> None:
        """Import and start carbontracker; takes some seconds, so it belongs before the first window."""
        if importlib.util.find_spec("carbontracker") is None:
            self._problems.append("carbontracker is not installed")
            return
        self._version = carbontracker_version()
        self._tracker = self._guarded("start", self._start)

    def epoch_start(self) -> None:
        """An epoch begins."""
        if self._tracker is not None:
            self._in_epoch = True
            self._guarded("epoch_start", self._tracker.epoch_start)

    def epoch_end(self) -> None:
        """The epoch is over, or was interrupted: what it used counts either way."""
        if self._in_epoch:
            self._in_epoch = False
            self._guarded("epoch_end", self._tracker.epoch_end)

    def finish(self) -> CarbontrackerFigures:
        """Stop carbontracker and read its figures from its log."""
        figures = None
        if self._tracker is not None:
            self._guarded("stop", self._tracker.stop)
            logs = self._guarded("closing its logs", self._close_logs)
            if logs is not None:
                figures = self._guarded("reading its log", lambda: self._figures(logs))
        return figures or CarbontrackerFigures(version=self._version, note="; ".join(self._problems))

    def _guarded(self, step: str, call: Callable[[], _T]) -> _T | None:
        """Make a call into carbontracker; anything it throws, even its attempt to end the process, becomes a note."""
        try:
            return call()
        except (Exception, SystemExit) as error:
            self._problems.append(f"failed at {step}: {type(error).__name__}: {error}")
            return None

    def _start(self) -> Any:
        self._log_dir.mkdir(parents=True, exist_ok=True)
        console = io.StringIO()
        with redirect_stdout(console):
            import carbontracker.tracker as implementation
            from carbontracker.components.cpu import generic

            # This logger was made at import, perhaps before ours.
            for handler in generic.logger.logger_err.handlers:
                handler.setStream(console)
            with _place_and_processor_given(implementation, generic, self._intensity):
                tracker = implementation.CarbonTracker(
                    epochs=self._epochs,
                    monitor_epochs=self._epochs,
                    epochs_before_pred=0,
                    update_interval=_SAMPLE_INTERVAL_S,
                    ignore_errors=True,
                    log_dir=str(self._log_dir),
                    verbose=0,
                )
        # It deletes its own references after the last epoch.
        self._loggers = [tracker.logger.logger, tracker.logger.logger_output, tracker.logger.logger_err]
        self._threads = [tracker.tracker, tracker.intensity_updater]
        self._stop_intensity = tracker.intensity_stopper
        return tracker

    def _close_logs(self) -> dict[str, Path]:
        """End its threads and close its log files; their paths by kind: "carbontracker", "carbontracker_output", …"""
        sampling, intensity = self._threads
        # Both are stopped already, unless its own stop failed on the way.
        sampling.stop()
        self._stop_intensity.set()
        intensity.join(_JOIN_TIMEOUT_S)
        paths = {}
        for logger in self._loggers:
            for handler in list(logger.handlers):
                if isinstance(handler, logging.FileHandler):
                    path = Path(handler.baseFilename)
                    paths["carbontracker" + path.stem.rpartition("_carbontracker")[2]] = path
                handler.close()
                logger.removeHandler(handler)
            logger.addHandler(logging.NullHandler())
        return paths

    def _figures(self, logs: dict[str, Path]) -> CarbontrackerFigures:
        from carbontracker import constants, parser

        standard = logs["carbontracker"].read_text()
        durations_s = parser.get_epoch_durations(standard)
        actual, _ = parser.get_consumption(logs["carbontracker_output"].read_text())
        notes = [*self._problems, *_complaints(logs["carbontracker_err"])]
        notes += [
            f"it averages power over the {len(devices)} devices of {component!r} instead of summing it"
            for component, devices in parser.get_devices(standard).items()
            if len(devices) > 1
        ]
        if actual is None or not durations_s:
            notes.append("no epoch was measured")
            return CarbontrackerFigures(version=self._version, note="; ".join(notes))
        too_short = sum(duration_s < _SAMPLE_INTERVAL_S for duration_s in durations_s)
        if too_short:
            notes.append(
                f"epochs shorter than its sampling interval of {_SAMPLE_INTERVAL_S:g} s: {too_short}, "
                "for which it may repeat the figure of another epoch"
            )
        energy_kwh, carbon_g = actual["energy (kWh)"], actual["co2eq (g)"]
        used_g_per_kwh = carbon_g / energy_kwh if energy_kwh > 0 else self._intensity.g_per_kwh
        if abs(used_g_per_kwh - self._intensity.g_per_kwh) > 0.01 * self._intensity.g_per_kwh:
            notes.append(f"its gCO2eq stand on {used_g_per_kwh:.4g} g/kWh, as it cannot be given a number")
        return CarbontrackerFigures(
            energy_before_pue_kwh=energy_kwh / constants.PUE_2023,
            carbon_g=carbon_g,
            duration_s=sum(durations_s),
            version=self._version,
            measured_epochs=len(durations_s),
            note="; ".join(notes),
        )


@contextmanager
def _place_and_processor_given(implementation: Any, generic: Any, intensity: CarbonIntensity) -> Iterator[None]:
    """Let carbontracker start with the place and the processor's name that it is given, instead of asking for them."""
    from carbontracker.emissions.intensity.location import Location

    service, ask_processor = implementation.IntensityService, generic.cpuinfo.get_cpu_info
    if "_fetch_geo_location" not in vars(service):
        raise RuntimeError("this version finds its place in a way that is not known here, perhaps by network")
    is_country = intensity.place not in ("world", "given")
    place = Location(ok=True, address=intensity.source, country=intensity.place) if is_country else None
    name = linux_cpu_name()
    implementation.IntensityService = type("PlacedService", (service,), {"_fetch_geo_location": lambda _: place})
    if name is not None:
        generic.cpuinfo.get_cpu_info = lambda: {"brand_raw": name}
    try:
        yield
    finally:
        implementation.IntensityService, generic.cpuinfo.get_cpu_info = service, ask_processor


def _complaints(error_log: Path) -> list[str]:
    """Critical entries of carbontracker's error log, each on one line."""
    if not error_log.exists():
        return []
    text = error_log.read_text()
    return [
        " ".join(message.split())[:_LONGEST_PROBLEM]
        for message in re.findall(r" - CRITICAL - (.*?)(?=^\d{4}-\d\d-\d\d |\Z)", text, re.DOTALL | re.MULTILINE)
    ]
