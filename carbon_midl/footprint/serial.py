"""A footprint record as plain data for JSON, and back.

The format's version changes when a field changes its meaning. A field may be added without that: reading ignores
fields that it does not know.
"""

import dataclasses
import math
from typing import Any

from carbon_midl.errors import InputError
from carbon_midl.footprint.grid import CarbonIntensity, checked_pue
from carbon_midl.footprint.record import CarbontrackerFigures, ComponentEnergy, FootprintRecord, Window

VERSION = 1


def to_dict(record: FootprintRecord) -> dict[str, Any]:
    """`record` as dicts, lists, strings and numbers, with the format's version."""
    plain = dataclasses.asdict(record)
    plain["windows"] = [{**window, "components": list(window["components"])} for window in plain["windows"]]
    plain["notes"] = list(record.notes)
    return {"version": VERSION, **plain}


def from_dict(data: Any) -> FootprintRecord:
    """The record that `to_dict` was given.

    Raises:
        InputError: another version of the format, or fields that are missing or cannot be.
    """
    fields = _Fields(data, "footprint record")
    version = fields.get("version", int)
    if version != VERSION:
        raise InputError(
            f"footprint record: found version {version}, expected {VERSION}; "
            "read it with the release of carbon-midl that wrote it, or repeat the run"
        )
    return FootprintRecord(
        windows=tuple(_window(window) for window in fields.get("windows", list)),
        epochs_planned=fields.count("epochs_planned"),
        pue=checked_pue(fields.amount("pue")),
        pue_source=fields.get("pue_source", str),
        intensity=_intensity(fields.get("intensity", dict)),
        carbontracker=_carbontracker(fields.get("carbontracker", dict | None)),
        hardware=dict(fields.get("hardware", dict)),
        notes=tuple(str(note) for note in fields.get("notes", list)),
    )


def _window(data: Any) -> Window:
    fields = _Fields(data, "window of a footprint record")
    return Window(
        name=fields.get("name", str),
        started=fields.get("started", str),
        duration_s=fields.amount("duration_s"),
        components=tuple(_component(part) for part in fields.get("components", list)),
        parent=fields.get("parent", str | None),
        finished=fields.get("finished", bool),
        attempt=fields.count("attempt"),
    )


def _component(data: Any) -> ComponentEnergy:
    fields = _Fields(data, "component of a footprint record")
    return ComponentEnergy(fields.get("component", str), fields.amount("energy_kwh"), fields.get("method", str))


def _intensity(data: Any) -> CarbonIntensity:
    fields = _Fields(data, "intensity of a footprint record")
    return CarbonIntensity(
        fields.amount("g_per_kwh"), fields.get("place", str), fields.get("source", str), fields.get("year", int | None)
    )


def _carbontracker(data: Any) -> CarbontrackerFigures | None:
    if data is None:
        return None
    fields = _Fields(data, "carbontracker's figures in a footprint record")
    return CarbontrackerFigures(
        energy_before_pue_kwh=fields.amount_or_none("energy_before_pue_kwh"),
        carbon_g=fields.amount_or_none("carbon_g"),
        duration_s=fields.amount_or_none("duration_s"),
        version=fields.get("version", str | None),
        measured_epochs=fields.count("measured_epochs"),
        note=fields.get("note", str),
    )


class _Fields:
    """Checked reading of one dict; every complaint names the field and what was found."""

    def __init__(self, data: Any, where: str) -> None:
        if not isinstance(data, dict):
            raise InputError(f"{where}: found {type(data).__name__}, expected an object with named fields")
        self._data = data
        self._where = where

    def get(self, key: str, kind: Any) -> Any:
        if key not in self._data:
            raise InputError(f"{self._where}: field {key!r} is missing; the file is damaged or no footprint record")
        value = self._data[key]
        # A bool is an int to Python, but true is no number.
        if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
            expected = getattr(kind, "__name__", str(kind))
            raise InputError(f"{self._where}: found {key} = {value!r}, expected {expected}")
        return value

    def amount(self, key: str) -> float:
        value = float(self.get(key, int | float))
        if not math.isfinite(value) or value < 0:
            raise InputError(f"{self._where}: found {key} = {value}, expected a finite number of at least 0")
        return value

    def amount_or_none(self, key: str) -> float | None:
        return None if self.get(key, int | float | None) is None else self.amount(key)

    def count(self, key: str) -> int:
        value = int(self.get(key, int))
        if value < 0:
            raise InputError(f"{self._where}: found {key} = {value}, expected a count of at least 0")
        return value
