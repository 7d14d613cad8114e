"""Carbontracker beside our own meter, kept off the network, and its figures read back from its own log.

What its release 2.4.7 does, and what is done about it here:

- At start it asks an IP-geolocation service where it is. That one method is replaced while it starts: the place is
  the one that the run was given, or unknown (then carbontracker takes the IEA's world average of CO2 alone).
- It ends the process on an error unless told to ignore errors; then it may still fail inside its own clean-up.
  Whatever it throws becomes a note: it never costs a training.
- It writes to the console and never closes its log files. Its console output is swallowed, its files are closed. Its
  own error log, beside the others in the run's directory, tells what it could not read.
- Its parser finds the consumption only with the everyday equivalents behind it, so these stay switched on; and it
  always says "1 epoch", so epochs are counted by their durations.
- Power is averaged over several devices instead of summed, and sampled once a second. An epoch too short for a sample
  takes over the power of a neighbour, and the last ones even its energy. A processor without a sensor counts with half
  of its TDP; memory without one is left out.
"""

import io
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass, field, replace
from importlib import metadata
from pathlib import Path
from typing import Any

from carbon_midl.footprint.grid import CarbonIntensity
from carbon_midl.footprint.record import CarbontrackerFigures

_SAMPLE_INTERVAL_S = 1.0
_JOIN_TIMEOUT_S = 5.0


@dataclass
class Carbontracker:
    """One `CarbonTracker` around the epochs of one training, all of which it measures."""

    log_dir: Path
    epochs: int
    intensity: CarbonIntensity
    _tracker: Any = None
    _parts: dict[str, Any] = field(default_factory=dict)
    _notes: list[str] = field(default_factory=list)

    def start(self) -> None:
        """Import and start carbontracker; takes some seconds, so it belongs before the first window."""
        self._tracker = self._guarded("start", self._start)

    @contextmanager
    def epoch(self) -> Iterator[None]:
        """An epoch; what it used counts, too, where it is interrupted."""
        if self._tracker is None:
            yield
            return
        self._guarded("epoch_start", self._tracker.epoch_start)
        try:
            yield
        finally:
            self._guarded("epoch_end", self._tracker.epoch_end)

    def finish(self) -> CarbontrackerFigures:
        """Stop carbontracker and read its figures from its log."""
        figures = None
        if self._tracker is not None:
            self._guarded("stop", self._tracker.stop)
            figures = self._guarded("reading its log", self._figures)
        version = metadata.version("carbontracker")
        return replace(figures or CarbontrackerFigures(), version=version, note="; ".join(self._notes))

    def _guarded(self, step: str, call: Callable[[], Any]) -> Any:
        """Make a call into carbontracker; anything it throws, even its attempt to end the process, becomes a note."""
        try:
            return call()
        except (Exception, SystemExit) as error:
            self._notes.append(f"failed at {step}: {type(error).__name__}: {error}")
            return None

    def _start(self) -> Any:
        self.log_dir.mkdir(parents=True, exist_ok=True)
        console = io.StringIO()
        with redirect_stdout(console):
            import carbontracker.tracker as implementation
            from carbontracker.components.cpu import generic

            # This logger was made at import, perhaps before ours.
            for handler in generic.logger.logger_err.handlers:
                handler.setStream(console)
            with _place_given(implementation, self.intensity):
                tracker = implementation.CarbonTracker(
                    epochs=self.epochs,
                    monitor_epochs=self.epochs,
                    epochs_before_pred=0,
                    update_interval=_SAMPLE_INTERVAL_S,
                    ignore_errors=True,
                    log_dir=str(self.log_dir),
                    verbose=0,
                )
        # It deletes its own references after the last epoch.
        self._parts = dict(vars(tracker))
        return tracker

    def _close_logs(self) -> list[Path]:
        """End its threads and close its log files: of its measurements, of its output and of its errors."""
        # Both threads are stopped already, unless its own stop failed on the way.
        self._parts["tracker"].stop()
        self._parts["intensity_stopper"].set()
        self._parts["intensity_updater"].join(_JOIN_TIMEOUT_S)
        paths = []
        log = self._parts["logger"]
        for logger in (log.logger, log.logger_output, log.logger_err):
            for handler in list(logger.handlers):
                if isinstance(handler, logging.FileHandler):
                    paths.append(Path(handler.baseFilename))
                handler.close()
                logger.removeHandler(handler)
            logger.addHandler(logging.NullHandler())
        return paths

    def _figures(self) -> CarbontrackerFigures | None:
        from carbontracker import constants, parser

        measurements, output, *_ = self._close_logs()
        durations_s = parser.get_epoch_durations(measurements.read_text())
        actual, _ = parser.get_consumption(output.read_text())
        if actual is None or not durations_s:
            self._notes.append(f"no epoch was measured; see its logs in {self.log_dir}")
            return None
        if too_short := sum(duration_s < _SAMPLE_INTERVAL_S for duration_s in durations_s):
            self._notes.append(
                f"epochs shorter than its sampling interval of {_SAMPLE_INTERVAL_S:g} s: {too_short}, "
                "for which it may repeat the figure of another epoch"
            )
        energy_kwh, carbon_g = actual["energy (kWh)"], actual["co2eq (g)"]
        given = self.intensity.g_per_kwh
        used = carbon_g / energy_kwh if energy_kwh > 0 else given
        if abs(used - given) > 0.01 * given:
            self._notes.append(f"its gCO2eq stand on {used:.4g} g/kWh, as it cannot be given a number")
        return CarbontrackerFigures(
            energy_before_pue_kwh=energy_kwh / constants.PUE_2023,
            carbon_g=carbon_g,
            duration_s=sum(durations_s),
            measured_epochs=len(durations_s),
        )


@contextmanager
def _place_given(implementation: Any, intensity: CarbonIntensity) -> Iterator[None]:
    """Let carbontracker start with the place that it is given, instead of asking for it."""
    from carbontracker.emissions.intensity.location import Location

    service = implementation.IntensityService
    if "_fetch_geo_location" not in vars(service):
        raise RuntimeError("this version finds its place in a way that is not known here, perhaps by network")
    is_country = intensity.place not in ("world", "given")
    place = Location(ok=True, address=intensity.source, country=intensity.place) if is_country else None
    implementation.IntensityService = type("PlacedService", (service,), {"_fetch_geo_location": lambda _: place})
    try:
        yield
    finally:
        implementation.IntensityService = service
