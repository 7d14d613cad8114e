"""What a run used and how well that is known: the record of its footprint."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from carbon_midl.errors import InputError
from carbon_midl.footprint.embodied import Embodied
from carbon_midl.footprint.grid import (
    DEFAULT_PUE,
    DEFAULT_PUE_SOURCE,
    GIVEN,
    WORLD,
    CarbonIntensity,
    carbon_intensity,
    checked_pue,
)
from carbon_midl.footprint.prediction import Prediction, compared
from carbon_midl.footprint.sensors import is_estimate

if TYPE_CHECKING:
    import pandas as pd

IDLE = "idle"
NOT_SEPARABLE = "other runs shared a metered device, so the energy counts some of theirs: not separable"
"""The note of a record whose energy is not the run's alone."""
_EPOCH = "epoch "
_J_PER_KWH = 3.6e6


@dataclass(frozen=True)
class ComponentEnergy:
    """Energy of one component over one window.

    Attributes:
        component: "cpu", "memory", "gpu 0", "gpu 1", …
        energy_kwh: before PUE.
        method: how the figure was obtained, such as "measured: RAPL" or "estimated: TDP × utilisation".
        sampled_kwh: what sampled power gives beside a counter, as a check; None where it was not sampled.
    """

    component: str
    energy_kwh: float
    method: str
    sampled_kwh: float | None = None


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
        continues: whether it goes on with what the attempt before has begun under the same name, and has saved.
    """

    name: str
    started: str
    duration_s: float
    components: tuple[ComponentEnergy, ...]
    parent: str | None = None
    finished: bool = True
    attempt: int = 1
    continues: bool = False

    @property
    def energy_kwh(self) -> float:
        """Energy of all components before PUE."""
        return sum(part.energy_kwh for part in self.components)

    @property
    def method(self) -> str:
        """How the figures were obtained, each method once.

        Such as "measured: RAPL; estimated: W per GB".
        """
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
        difference_kwh: its energy before PUE less ours over the same epochs; negative where it gives less.
        note: what is to be known about these figures; empty when nothing is.
    """

    energy_before_pue_kwh: float | None = None
    carbon_g: float | None = None
    duration_s: float | None = None
    version: str | None = None
    measured_epochs: int = 0
    note: str = ""
    difference_kwh: float | None = None


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
        embodied: how the making of the hardware is shared out, kept apart from operational carbon; None when it was
            not asked for.
        predictions: what was predicted on the way, with its error once the training has ended.
        start_temperature_c: of each GPU that tells it, when the run began; energy depends on it.
    """

    windows: tuple[Window, ...]
    epochs_planned: int
    pue: float = DEFAULT_PUE
    pue_source: str = DEFAULT_PUE_SOURCE
    intensity: CarbonIntensity = WORLD
    carbontracker: CarbontrackerFigures | None = None
    hardware: dict[str, str] = dataclasses.field(default_factory=dict)
    notes: tuple[str, ...] = ()
    embodied: Embodied | None = None
    predictions: tuple[Prediction, ...] = ()
    start_temperature_c: dict[str, float] = dataclasses.field(default_factory=dict)

    @property
    def separable(self) -> bool:
        """Whether the energy is this run's alone."""
        return NOT_SEPARABLE not in self.notes

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the windows, each once, in order."""
        return tuple(dict.fromkeys(window.name for window in self.windows))

    @property
    def epochs(self) -> int:
        """How many epochs were measured to their end, each number once."""
        return len(self.finished_epochs)

    @property
    def finished_epochs(self) -> dict[int, Window]:
        """The epochs that were measured to their end, by number, each as in the last attempt that finished it."""
        found = {}
        for window in self.windows:
            number = window.name.removeprefix(_EPOCH)
            if window.finished and number != window.name and number.isdecimal():
                found[int(number)] = self._whole(window)
        return dict(sorted(found.items()))

    @property
    def attempts(self) -> int:
        """How often the run was begun, 1 without interruption."""
        return max((window.attempt for window in self.windows), default=0)

    @property
    def idle_w(self) -> dict[str, float]:
        """Power of each component with a sensor before the training, in W; empty where that was not measured."""
        if IDLE not in self.names:
            return {}
        idle = self.window(IDLE)
        if idle.duration_s <= 0:
            return {}
        return {part.component: part.energy_kwh * _J_PER_KWH / idle.duration_s for part in idle.components}

    @property
    def energy_kwh(self) -> float:
        """Energy of the whole run before PUE, of all windows at the top and all attempts."""
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
        """The window of one epoch, counted from 1: that of the last attempt, where it was repeated.

        An epoch that was saved in its middle and gone on with is added up over its attempts.

        Raises:
            InputError: that epoch was not measured.
        """
        name = f"{_EPOCH}{number}"
        last = self.window(name).attempt
        return self._whole(*(window for window in self.windows if window.name == name and window.attempt == last))

    def _whole(self, *windows: Window) -> Window:
        """Windows of one name and attempt, with those before that they continue."""
        parts = list(windows)
        while parts[0].continues:
            name, before = parts[0].name, parts[0].attempt - 1
            begun = [window for window in self.windows if window.name == name and window.attempt == before]
            if not begun:
                break
            parts = [*begun, *parts]
        return parts[0] if len(parts) == 1 else _added_up(parts)

    def all_epochs(self) -> Window:
        """All epochs of all attempts, added up under the name "epochs".

        Raises:
            InputError: there are none.
        """
        epochs = [window for window in self.windows if window.name.startswith(_EPOCH)]
        if not epochs:
            raise InputError(f"window: no epochs in this record, which has {', '.join(self.names) or 'none'}")
        return dataclasses.replace(_added_up(epochs), name="epochs")

    def net_kwh(self, window: str = "training") -> float | None:
        """Energy of a window above idle, before PUE, of the components whose idle power was measured.

        None where that was measured of none of them. The window's own energy is gross: idle power included.
        """
        chosen, idle_w = self.window(window), self.idle_w
        measured = [part for part in chosen.components if part.component in idle_w and not is_estimate(part.method)]
        if not measured:
            return None
        idle_kwh = {name: power_w * chosen.duration_s / _J_PER_KWH for name, power_w in idle_w.items()}
        return sum(max(0.0, part.energy_kwh - idle_kwh[part.component]) for part in measured)

    def method(self, window: str = "training") -> str:
        """How the energy of a window was obtained, such as "measured: RAPL; estimated: W per GB"."""
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

    def with_embodied(self, embodied: Embodied | None) -> FootprintRecord:
        """This record with the making of the hardware shared out; see `carbon_midl.footprint.embodied`."""
        return dataclasses.replace(self, embodied=embodied)

    def embodied_g(self, window: str | None = None) -> float | None:
        """Grams of CO2eq from making the hardware that fall to a window, or the whole run; None where not asked for.

        Kept apart from `carbon_g`, which is operational.
        """
        if self.embodied is None:
            return None
        return self.embodied.carbon_g(self.duration_s if window is None else self.window(window).duration_s)

    def with_earlier(self, earlier: FootprintRecord) -> FootprintRecord:
        """This record, taken up where `earlier`, of the same run, broke off: all energy counts, lost work too.

        Windows that share a name are added up over the attempts; `epoch` gives an epoch's last attempt.
        """
        attempts = earlier.attempts
        later = (dataclasses.replace(window, attempt=window.attempt + attempts) for window in self.windows)
        joined = dataclasses.replace(
            self,
            windows=(*earlier.windows, *later),
            carbontracker=_added_figures(earlier.carbontracker, self.carbontracker),
            hardware={**earlier.hardware, **self.hardware},
            notes=tuple(dict.fromkeys((*earlier.notes, *self.notes))),
            embodied=self.embodied or earlier.embodied,
            predictions=(*earlier.predictions, *self.predictions),
            start_temperature_c=earlier.start_temperature_c or self.start_temperature_c,
        )
        return compared(joined)

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
        difference_kwh=_added(earlier.difference_kwh, later.difference_kwh),
        note="; ".join(dict.fromkeys(note for note in (earlier.note, later.note) if note)),
    )


def _added(one: float | None, other: float | None) -> float | None:
    return other if one is None else one if other is None else one + other


def _added_components(parts: Iterable[ComponentEnergy]) -> tuple[ComponentEnergy, ...]:
    totals: dict[tuple[str, str], ComponentEnergy] = {}
    for part in parts:
        key = (part.component, part.method)
        so_far = totals.get(key)
        totals[key] = part if so_far is None else _added_parts(so_far, part)
    return tuple(totals.values())


def _added_parts(one: ComponentEnergy, other: ComponentEnergy) -> ComponentEnergy:
    # A check that misses a part of the energy checks nothing.
    both = one.sampled_kwh is not None and other.sampled_kwh is not None
    sampled_kwh = _added(one.sampled_kwh, other.sampled_kwh) if both else None
    return ComponentEnergy(one.component, one.energy_kwh + other.energy_kwh, one.method, sampled_kwh)
