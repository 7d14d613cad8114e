"""What a run used and how well that is known: the record of its footprint, and how it is stored.

A record lies as JSON in a run's ``result.json``, and in its ``footprint.json`` while the run is unfinished. The
format's version changes when a field changes its meaning. A field may be added or dropped without that: reading ignores
fields that it does not know, and one that is not there yet has its default.
"""

from __future__ import annotations

import json
import reprlib
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any, ClassVar

from pydantic import Field, NonNegativeFloat, NonNegativeInt, TypeAdapter, ValidationError

from carbon_midl.errors import InputError
from carbon_midl.files import read_json
from carbon_midl.footprint.grid import (
    DEFAULT_PUE,
    DEFAULT_PUE_SOURCE,
    WORLD,
    CarbonIntensity,
    carbon_intensity,
    checked_pue,
    pue_source,
)
from carbon_midl.footprint.meter import J_PER_KWH
from carbon_midl.footprint.sensors import is_estimate
from carbon_midl.footprint.uncertainty import CarbonSpread, carbon_spread

VERSION = 1
RESULT = "result.json"
FOOTPRINT = "footprint.json"
IDLE = "idle"
EPOCH = "epoch "
NOT_SEPARABLE = "other runs shared a metered device, so the energy counts some of theirs: not separable"
"""The note of a record whose energy is not the run's alone."""


@dataclass(frozen=True)
class ComponentEnergy:
    """Energy of one component over one window."""

    component: str  #: "cpu", "memory", "gpu 0", "gpu 1", …
    energy_kwh: NonNegativeFloat  #: before PUE.
    method: str  #: whether the figure was measured, sampled or estimated, and by what.


@dataclass(frozen=True)
class Window:
    """One named stretch of a run, such as "training" or "epoch 3"."""

    name: str
    started: str  #: when, as ISO 8601 in UTC.
    duration_s: NonNegativeFloat  #: from its start to its end.
    components: tuple[ComponentEnergy, ...]  #: only those with a sensor or an estimate.
    parent: str | None = None  #: the window it is nested in; None at the top.
    finished: bool = True  #: False when interrupted, or open when the record was made; what it used so far counts.
    attempt: NonNegativeInt = 1  #: 1 for a run's first attempt, 2 after it was resumed once, …
    continues: bool = False  #: whether it goes on with what an attempt before has begun under that name, and has saved.

    @property
    def energy_kwh(self) -> float:
        """Energy of all components before PUE."""
        return sum(part.energy_kwh for part in self.components)

    @property
    def method(self) -> str:
        """How the figures were obtained, each method once, joined by semicolons."""
        return "; ".join(dict.fromkeys(part.method for part in self.components))

    def component_kwh(self, component: str) -> float | None:
        """Energy of one component before PUE; "gpu" means all GPUs together. None when nothing covers it."""
        parts = [part for part in self.components if component in (part.component, part.component.split()[0])]
        return sum(part.energy_kwh for part in parts) if parts else None


@dataclass(frozen=True)
class CarbontrackerFigures:
    """What carbontracker says of the epochs, read back from its own log. What happens outside them it does not see.

    Figures are None where it gave none, and `note` says why.
    """

    energy_before_pue_kwh: NonNegativeFloat | None = None  #: its energy divided by its PUE.
    carbon_g: NonNegativeFloat | None = None  #: gCO2eq, with its own PUE and intensity.
    duration_s: NonNegativeFloat | None = None  #: of the epochs that it measured.
    version: str | None = None
    measured_epochs: NonNegativeInt = 0  #: how many epochs it measured.
    note: str = ""  #: what is to be known about these figures.


@dataclass(frozen=True)
class FootprintRecord:
    """The footprint of a run. Energy before PUE is primary; gCO2eq is derived from it by PUE and intensity."""

    # How stored records are read: numbers are numbers, no texts or booleans, and finite.
    __pydantic_config__: ClassVar[dict[str, bool]] = {"strict": True, "allow_inf_nan": False}

    windows: tuple[Window, ...]  #: in the order in which they were opened.
    epochs_planned: NonNegativeInt
    pue: Annotated[float, Field(ge=1)] = DEFAULT_PUE  # power usage effectiveness of the data centre
    pue_source: str = DEFAULT_PUE_SOURCE
    intensity: CarbonIntensity = WORLD  #: of the electricity, with its source.
    carbontracker: CarbontrackerFigures | None = None  #: carbontracker's own figures; None when it did not run.
    hardware: dict[str, str] = field(default_factory=dict)  #: device names by component.
    notes: tuple[str, ...] = ()  #: what the figures include and what they leave out.
    start_temperature_c: dict[str, float] = field(default_factory=dict)  #: of each GPU, when the run began.

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
        """The epochs that were measured to their end, by number; see `epoch`."""
        return {number: window for number, window in self._epochs.items() if window.finished}

    @property
    def _epochs(self) -> dict[int, Window]:
        """Each epoch in its last attempt, with those before that it continues, added up."""
        epochs: dict[int, list[Window]] = {}
        for window in self.windows:
            if (number := window.name.removeprefix(EPOCH)) != window.name and number.isdecimal():
                before = epochs.get(int(number), []) if window.continues else []
                epochs[int(number)] = [*before, window]
        return {number: _added_up(windows) for number, windows in sorted(epochs.items())}

    @property
    def attempts(self) -> int:
        """How often the run was begun, 1 without interruption."""
        return max((window.attempt for window in self.windows), default=0)

    @property
    def idle_w(self) -> dict[str, float]:
        """Power of each component with a sensor before the training, in W; empty where that was not measured."""
        idle = self.window(IDLE) if IDLE in self.names else None
        if idle is None or idle.duration_s <= 0:
            return {}
        return {part.component: part.energy_kwh * J_PER_KWH / idle.duration_s for part in idle.components}

    @property
    def energy_kwh(self) -> float:
        """Energy of the whole run before PUE, of all windows at the top and all attempts."""
        return sum(window.energy_kwh for window in self.windows if window.parent is None)

    @property
    def duration_s(self) -> float:
        """Duration of all windows at the top, all attempts."""
        return sum(window.duration_s for window in self.windows if window.parent is None)

    def window(self, name: str) -> Window:
        """The window of that name; windows that share it (repeated, or of several attempts) are added up."""
        same = [window for window in self.windows if window.name == name]
        if not same:
            raise InputError(f"window: no window {name!r} in this record, which has {', '.join(self.names) or 'none'}")
        return _added_up(same)

    def epoch(self, number: int) -> Window:
        """The window of one epoch, counted from 1, in its last attempt, and those before that it goes on with."""
        return self._epochs.get(number) or self.window(f"{EPOCH}{number}")

    def net_kwh(self, window: str = "training") -> float | None:
        """Energy of a window above idle, before PUE, of the components whose idle power was measured.

        None where that was measured of none of them. The window's own energy is gross: idle power included.
        """
        chosen, idle_w = self.window(window), self.idle_w
        above_kwh = [
            max(0.0, part.energy_kwh - idle_w[part.component] * chosen.duration_s / J_PER_KWH)
            for part in chosen.components
            if part.component in idle_w and not is_estimate(part.method)
        ]
        return sum(above_kwh) if above_kwh else None

    def carbon_g(self, of: str | float = "training") -> float:
        """Location-based gCO2eq of a window, by its name, or of kWh before PUE: kWh × PUE × intensity."""
        energy_kwh = self.window(of).energy_kwh if isinstance(of, str) else of
        return energy_kwh * self.pue * self.intensity.g_per_kwh

    def spread(self, window: str | None = "training") -> CarbonSpread:
        """How far the grams of a window, or of the whole run (None), may be off, and what that comes from."""
        windows = [self.window(window)] if window else [one for one in self.windows if one.parent is None]
        energies_kwh: dict[tuple[str, str], float] = defaultdict(float)
        for part in (part for one in windows for part in one.components):
            energies_kwh[part.component.split()[0], part.method] += part.energy_kwh
        return carbon_spread(energies_kwh, self.pue, self.intensity.source)

    def recost(
        self, intensity: CarbonIntensity | str | float | None = None, pue: float | None = None
    ) -> FootprintRecord:
        """The same energy on another grid (see `carbon_intensity`) or with another PUE; None keeps them."""
        if intensity is not None and not isinstance(intensity, CarbonIntensity):
            intensity = carbon_intensity(intensity)
        record = replace(self, intensity=intensity or self.intensity)
        return record if pue is None else replace(record, pue=checked_pue(pue), pue_source=pue_source(pue))

    def with_earlier(self, earlier: FootprintRecord) -> FootprintRecord:
        """This record, taken up where `earlier`, of the same run, broke off: all energy counts, lost work too.

        Windows that share a name are added up over the attempts; `epoch` gives an epoch's last attempt.
        """
        later = (replace(window, attempt=window.attempt + earlier.attempts) for window in self.windows)
        return replace(
            self,
            windows=(*earlier.windows, *later),
            carbontracker=_added_figures(earlier.carbontracker, self.carbontracker),
            hardware={**earlier.hardware, **self.hardware},
            notes=tuple(dict.fromkeys((*earlier.notes, *self.notes))),
            start_temperature_c=earlier.start_temperature_c or self.start_temperature_c,
        )

    def to_dict(self) -> dict[str, Any]:
        """The record as JSON has it, with the format's version; `from_dict` reads it back."""
        return {"version": VERSION, **_STORED_FORM.dump_python(self, mode="json")}

    @staticmethod
    def from_dict(data: Any) -> FootprintRecord:
        """What `to_dict` gave; `InputError` for another version, or a field that is missing or cannot be."""
        version = data.get("version") if isinstance(data, dict) else None
        if version != VERSION:
            raise InputError(
                f"footprint record: found version {version}, expected {VERSION}; "
                "read it with the release of carbon-midl that wrote it, or repeat the run"
            )
        try:
            return _STORED_FORM.validate_json(json.dumps(data))
        except ValidationError as error:
            first = error.errors()[0]
            name, problem = ".".join(map(str, first["loc"])), first["msg"]
            raise InputError(
                f"footprint record: {name}: {problem[0].lower()}{problem[1:]}, found {reprlib.repr(first['input'])}; "
                "the file is damaged: restore it, or repeat the run"
            ) from None


_STORED_FORM = TypeAdapter(FootprintRecord)


def read_footprint(path: Path | str) -> FootprintRecord:
    """The stored record of a run, by its directory or a file; `InputError` where there is none, or it is damaged."""
    path = Path(path)
    file = next((file for file in (path, path / RESULT, path / FOOTPRINT) if file.is_file()), None)
    if file is None:
        raise InputError(
            f"{path}: no {RESULT} or {FOOTPRINT} there; expected the directory of a run, such as "
            "runs/demo/filters-4-seed-0"
        )
    content = read_json(file)
    try:
        return FootprintRecord.from_dict(content.get("footprint", content) if isinstance(content, dict) else content)
    except InputError as error:
        raise InputError(f"{file}: {error}") from None


def _added_up(windows: Sequence[Window]) -> Window:
    """Windows of one name as one."""
    if len(windows) == 1:
        return windows[0]
    totals_kwh: dict[tuple[str, str], float] = defaultdict(float)
    for part in (part for window in windows for part in window.components):
        totals_kwh[part.component, part.method] += part.energy_kwh
    return Window(
        name=windows[0].name,
        started=min(window.started for window in windows),
        duration_s=sum(window.duration_s for window in windows),
        components=tuple(ComponentEnergy(component, kwh, method) for (component, method), kwh in totals_kwh.items()),
        parent=windows[0].parent if len({window.parent for window in windows}) == 1 else None,
        finished=windows[-1].finished,
        attempt=max(window.attempt for window in windows),
    )


def _added_figures(
    earlier: CarbontrackerFigures | None, later: CarbontrackerFigures | None
) -> CarbontrackerFigures | None:
    if earlier is None or later is None:
        return earlier or later
    sums: dict[str, Any] = {}
    for name in ("energy_before_pue_kwh", "carbon_g", "duration_s", "measured_epochs"):
        given = [value for value in (getattr(earlier, name), getattr(later, name)) if value is not None]
        sums[name] = sum(given) if given else None
    notes = dict.fromkeys(note for note in (earlier.note, later.note) if note)
    return replace(later, **sums, note="; ".join(notes))
