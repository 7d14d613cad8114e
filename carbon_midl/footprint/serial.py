"""A footprint record as plain data for JSON, and back.

The format's version changes when a field changes its meaning. A field may be added without that: reading ignores
fields that it does not know, and takes one that is not there yet as not recorded.
"""

import dataclasses
import math
from typing import Any

from carbon_midl.errors import InputError
from carbon_midl.footprint.embodied import Embodied
from carbon_midl.footprint.grid import CarbonIntensity, checked_pue
from carbon_midl.footprint.prediction import Interval, Prediction
from carbon_midl.footprint.record import CarbontrackerFigures, ComponentEnergy, FootprintRecord, Window

VERSION = 1


def to_dict(record: FootprintRecord) -> dict[str, Any]:
    """`record` as dicts, lists, strings and numbers, with the format's version."""
    plain = dataclasses.asdict(record)
    plain["windows"] = [{**window, "components": list(window["components"])} for window in plain["windows"]]
    plain["notes"] = list(record.notes)
    plain["predictions"] = list(plain["predictions"])
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
        embodied=_embodied(fields.get("embodied", dict | None, None)),
        predictions=tuple(_prediction(one) for one in fields.get("predictions", list, [])),
        start_temperature_c=dict(fields.get("start_temperature_c", dict, {})),
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
        attempt=fields.count("attempt", 1),
        continues=fields.get("continues", bool, False),
    )


def _component(data: Any) -> ComponentEnergy:
    fields = _Fields(data, "component of a footprint record")
    return ComponentEnergy(
        fields.get("component", str),
        fields.amount("energy_kwh"),
        fields.get("method", str),
        fields.amount_or_none("sampled_kwh", None),
    )


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
        difference_kwh=fields.number_or_none("difference_kwh"),
    )


def _embodied(data: Any) -> Embodied | None:
    if data is None:
        return None
    fields = _Fields(data, "embodied carbon of a footprint record")
    return Embodied(
        hardware=fields.get("hardware", str),
        total_kg=fields.amount("total_kg"),
        devices=fields.count("devices"),
        lifetime_years=fields.amount("lifetime_years"),
        share=fields.amount("share"),
        source=fields.get("source", str),
    )


def _prediction(data: Any) -> Prediction:
    fields = _Fields(data, "prediction of a footprint record")
    return Prediction(
        after_epoch=fields.count("after_epoch"),
        epochs_planned=fields.count("epochs_planned"),
        energy_kwh=_interval(fields.get("energy_kwh", dict)),
        duration_s=_interval(fields.get("duration_s", dict)),
        spent_kwh=fields.amount("spent_kwh"),
        spent_s=fields.amount("spent_s"),
        epoch_kwh=fields.amount("epoch_kwh"),
        epoch_s=fields.amount("epoch_s"),
        examples=fields.count("examples"),
        confidence=fields.amount("confidence"),
        epochs_run=None if fields.get("epochs_run", int | None, None) is None else fields.count("epochs_run"),
        energy_error=fields.number_or_none("energy_error"),
        duration_error=fields.number_or_none("duration_error"),
    )


def _interval(data: Any) -> Interval:
    fields = _Fields(data, "prediction of a footprint record")
    return Interval(fields.amount("value"), fields.amount("low"), fields.amount("high"))


class _Fields:
    """Checked reading of one dict; every complaint names the field and what was found."""

    def __init__(self, data: Any, where: str) -> None:
        if not isinstance(data, dict):
            raise InputError(f"{where}: found {type(data).__name__}, expected an object with named fields")
        self._data = data
        self._where = where

    def get(self, key: str, kind: Any, *default: Any) -> Any:
        if key not in self._data:
            if default:
                return default[0]
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

    def amount_or_none(self, key: str, *default: None) -> float | None:
        return None if self.get(key, int | float | None, *default) is None else self.amount(key)

    def number_or_none(self, key: str) -> float | None:
        value = self.get(key, int | float | None, None)
        if value is not None and not math.isfinite(value):
            raise InputError(f"{self._where}: found {key} = {value}, expected a finite number")
        return None if value is None else float(value)

    def count(self, key: str, *default: int) -> int:
        value = int(self.get(key, int, *default))
        if value < 0:
            raise InputError(f"{self._where}: found {key} = {value}, expected a count of at least 0")
        return value
