"""What a run used and how well that is known: the record of its footprint."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from carbon_midl.errors import InputError
from carbon_midl.footprint.grid import (
    DEFAULT_PUE,
    DEFAULT_PUE_SOURCE,
    GIVEN,
    WORLD,
    CarbonIntensity,
    carbon_intensity,
    checked_pue,
)

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class ComponentEnergy:
    """Energy of one component over one window.

    Attributes:
        component: "cpu", "memory", "gpu 0", "gpu 1", …
        energy_kwh: before PUE.
        method: how the figure was obtained, such as "measured: RAPL" or "estimated: half TDP".
    """

    component: str
    energy_kwh: float
    method: str


@dataclass(frozen=True)
class Window:
    """One named stretch of a run, such as "training" or "epoch 3".

    Attributes:
        name: the window's name.
        started: when, as ISO 8601 in UTC.
        duration_s: from its start to its end.
        components: energy by component, only of components with a sensor.
        parent: the window it is nested in; None at the top.
        finished: False when it was interrupted, or still open when the record was made; what it used so far counts.
        attempt: 1 for a run's first attempt, 2 after it was resumed once, …
    """

    name: str
    started: str
    duration_s: float
    components: tuple[ComponentEnergy, ...]
    parent: str | None = None
    finished: bool = True
    attempt: int = 1

    @property
    def energy_kwh(self) -> float:
        """Energy of all components before PUE."""
        return sum(part.energy_kwh for part in self.components)

    @property
    def method(self) -> str:
        """How the figures were obtained, each method once: "measured: RAPL; estimated: W per GB"."""
        return "; ".join(dict.fromkeys(part.method for part in self.components))

    def component_kwh(self, component: str) -> float | None:
        """Energy of one component before PUE; "gpu" means all GPUs together. None when nothing covers it."""
        parts = [
            p.energy_kwh for p in self.components if p.component == component or p.component.split()[0] == component
        ]
        return sum(parts) if parts else None


@dataclass(frozen=True)
class CarbontrackerFigures:
    """What carbontracker says of the epochs, read back from its own log. What happens outside them it does not see.

    Figures are None where it gave none, and `note` says why.

    Attributes:
        energy_before_pue_kwh: its energy divided by its PUE.
        carbon_g: its gCO2eq, with its own PUE and intensity.
        duration_s: sum of the epochs that it measured.
        version: carbontracker's version.
        measured_epochs: how many epochs it measured.
        note: what is to be known about these figures; empty when nothing is.
    """

    energy_before_pue_kwh: float | None = None
    carbon_g: float | None = None
    duration_s: float | None = None
    version: str | None = None
    measured_epochs: int = 0
    note: str = ""


@dataclass(frozen=True)
class FootprintRecord:
    """The footprint of a run. Energy before PUE is primary; gCO2eq is derived from it.

    Attributes:
        windows: in the order in which they were opened.
        epochs_planned: how many epochs the run was to have.
        pue: power usage effectiveness of the data centre.
        pue_source: where that number comes from.
        intensity: carbon intensity of the electricity, with its source.
        carbontracker: carbontracker's own figures; None when it did not run.
        hardware: device names by component.
        notes: what the figures include and what they leave out.
    """

    windows: tuple[Window, ...]
    epochs_planned: int
    pue: float = DEFAULT_PUE
    pue_source: str = DEFAULT_PUE_SOURCE
    intensity: CarbonIntensity = WORLD
    carbontracker: CarbontrackerFigures | None = None
    hardware: dict[str, str] = dataclasses.field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the windows, each once, in order."""
        return tuple(dict.fromkeys(window.name for window in self.windows))

    @property
    def epochs(self) -> int:
        """How many epochs were measured to their end, each number once."""
        return len({window.name for window in self.windows if window.finished and window.name.startswith("epoch ")})

    @property
    def energy_kwh(self) -> float:
        """Energy of the whole run before PUE: all windows at the top, all attempts."""
        return sum(window.energy_kwh for window in self.windows if window.parent is None)

    @property
    def duration_s(self) -> float:
        """Duration of all windows at the top, all attempts."""
        return sum(window.duration_s for window in self.windows if window.parent is None)

    def window(self, name: str) -> Window:
        """The window of that name; windows that share it (repeated, or of several attempts) are added up.

        Raises:
            InputError: there is no such window.
        """
        same = [window for window in self.windows if window.name == name]
        if not same:
            raise InputError(f"window: no window {name!r} in this record, which has {', '.join(self.names) or 'none'}")
        return same[0] if len(same) == 1 else _added_up(same)

    def epoch(self, number: int) -> Window:
        """The window of one epoch, counted from 1.

        Raises:
            InputError: that epoch was not measured.
        """
        return self.window(f"epoch {number}")

    def method(self, window: str = "training") -> str:
        """How the energy of a window was obtained, such as "estimated: half TDP; estimated: W per GB"."""
        return self.window(window).method

    def carbon_g(self, of: str | float = "training") -> float:
        """Location-based gCO2eq of a window or of an energy: kWh × PUE × intensity.

        Args:
            of: a window's name, or kWh before PUE.
        """
        energy_kwh = self.window(of).energy_kwh if isinstance(of, str) else of
        return energy_kwh * self.pue * self.intensity.g_per_kwh

    def recost(
        self, intensity: CarbonIntensity | str | float | None = None, pue: float | None = None, pue_source: str = GIVEN
    ) -> FootprintRecord:
        """The same energy under another grid or another PUE; what is None stays, and so do carbontracker's figures.

        Args:
            intensity: a `CarbonIntensity`, or what `carbon_intensity` takes.
            pue: the new PUE, at least 1.
            pue_source: where the new PUE comes from.

        Raises:
            InputError: an intensity or PUE that cannot be.
        """
        changes: dict[str, Any] = {}
        if intensity is not None:
            known = isinstance(intensity, CarbonIntensity)
            changes["intensity"] = intensity if known else carbon_intensity(intensity)  # type: ignore[arg-type]
        if pue is not None:
            changes |= {"pue": checked_pue(pue), "pue_source": pue_source}
        return dataclasses.replace(self, **changes)

    def resumed_from(self, earlier: FootprintRecord) -> FootprintRecord:
        """This record with that of an earlier attempt at the same run before it: all energy counts, lost work too."""
        attempts = max((window.attempt for window in earlier.windows), default=0)
        later = (dataclasses.replace(window, attempt=window.attempt + attempts) for window in self.windows)
        return dataclasses.replace(
            self,
            windows=(*earlier.windows, *later),
            carbontracker=_added_figures(earlier.carbontracker, self.carbontracker),
            hardware={**earlier.hardware, **self.hardware},
            notes=tuple(dict.fromkeys((*earlier.notes, *self.notes))),
        )

    def describe(self, window: str = "training") -> str:
        """A few lines for a notebook: energy by component and how it was obtained, carbon with its factors, caveats."""
        from carbon_midl.footprint.table import describe

        return describe(self, window)

    def to_frame(self, window: str = "training") -> pd.DataFrame:
        """One row a component: `component`, `hardware`, `energy_kwh`, `how obtained`."""
        from carbon_midl.footprint.table import to_frame

        return to_frame(self, window)

    def to_dict(self) -> dict[str, Any]:
        """For JSON; `from_dict` reads it back."""
        from carbon_midl.footprint.serial import to_dict

        return to_dict(self)

    @staticmethod
    def from_dict(data: Any) -> FootprintRecord:
        """What `to_dict` gave.

        Raises:
            InputError: another version of the format, or fields that are missing or cannot be.
        """
        from carbon_midl.footprint.serial import from_dict

        return from_dict(data)


def _added_up(windows: list[Window]) -> Window:
    parents = {window.parent for window in windows}
    return Window(
        name=windows[0].name,
        started=min(window.started for window in windows),
        duration_s=sum(window.duration_s for window in windows),
        components=_added_components(part for window in windows for part in window.components),
        parent=parents.pop() if len(parents) == 1 else None,
        finished=windows[-1].finished,
        attempt=max(window.attempt for window in windows),
    )


def _added_figures(
    earlier: CarbontrackerFigures | None, later: CarbontrackerFigures | None
) -> CarbontrackerFigures | None:
    if earlier is None or later is None:
        return earlier or later
    return CarbontrackerFigures(
        energy_before_pue_kwh=_added(earlier.energy_before_pue_kwh, later.energy_before_pue_kwh),
        carbon_g=_added(earlier.carbon_g, later.carbon_g),
        duration_s=_added(earlier.duration_s, later.duration_s),
        version=later.version,
        measured_epochs=earlier.measured_epochs + later.measured_epochs,
        note="; ".join(dict.fromkeys(note for note in (earlier.note, later.note) if note)),
    )


def _added(one: float | None, other: float | None) -> float | None:
    return other if one is None else one if other is None else one + other


def _added_components(parts: Iterable[ComponentEnergy]) -> tuple[ComponentEnergy, ...]:
    totals: dict[tuple[str, str], float] = {}
    for part in parts:
        key = (part.component, part.method)
        totals[key] = totals.get(key, 0.0) + part.energy_kwh
    return tuple(ComponentEnergy(component, kwh, method) for (component, method), kwh in totals.items())
