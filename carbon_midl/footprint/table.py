"""A footprint record as a small table for people."""

from __future__ import annotations

from typing import TYPE_CHECKING

from carbon_midl.footprint.record import FootprintRecord, Window

if TYPE_CHECKING:
    import pandas as pd


def to_frame(record: FootprintRecord, window: str) -> pd.DataFrame:
    """One row a component of `window`: `component`, `hardware`, `energy_kwh` (before PUE), `how obtained`."""
    import pandas as pd

    rows = [
        (part.component, record.hardware.get(part.component, ""), part.energy_kwh, part.method)
        for part in record.window(window).components
    ]
    return pd.DataFrame(rows, columns=["component", "hardware", "energy_kwh", "how obtained"])


def describe(record: FootprintRecord, window: str) -> str:
    """Energy of `window` by component and how it was obtained, carbon with its factors, carbontracker beside, notes."""
    chosen = record.window(window)
    rows = [("component", "energy", "how obtained")]
    rows += [(part.component, _energy(part.energy_kwh), part.method) for part in chosen.components]
    rows.append(("total", _energy(chosen.energy_kwh), "before PUE"))
    widths = [max(len(row[column]) for row in rows) for column in range(2)]
    table = [f"{name:<{widths[0]}}  {energy:>{widths[1]}}  {how}" for name, energy, how in rows]
    return "\n".join(
        [
            _heading(record, chosen),
            "",
            *table,
            "",
            f"{_carbon(record.carbon_g(window))} = {_energy(chosen.energy_kwh)} × PUE {record.pue:g} "
            f"× {record.intensity.g_per_kwh:.4g} g/kWh",
            f"PUE: {record.pue_source}",
            f"Intensity: {record.intensity.source}",
            *_carbontracker(record),
            *(f"Note: {note}" for note in record.notes),
        ]
    )


def _heading(record: FootprintRecord, window: Window) -> str:
    state = "" if window.finished else ", not finished"
    epochs = f"{record.epochs} of {record.epochs_planned} epochs, " if record.epochs else ""
    return f"{window.name}: {epochs}{window.duration_s:.1f} s from {window.started}{state}"


def _carbontracker(record: FootprintRecord) -> list[str]:
    figures = record.carbontracker
    if figures is None:
        return []
    lines = []
    if figures.energy_before_pue_kwh is not None and figures.carbon_g is not None:
        lines.append(
            f"Carbontracker {figures.version}: {_energy(figures.energy_before_pue_kwh)} before PUE, "
            f"{_carbon(figures.carbon_g)}, {figures.measured_epochs} epochs"
        )
    if figures.note:
        lines.append(f"Carbontracker: {figures.note}")
    return lines


def _energy(energy_kwh: float) -> str:
    if energy_kwh >= 1 or energy_kwh == 0:
        return f"{energy_kwh:.3g} kWh"
    if energy_kwh >= 1e-3:
        return f"{energy_kwh * 1e3:.3g} Wh"
    return f"{energy_kwh * 1e6:.3g} mWh"


def _carbon(carbon_g: float) -> str:
    if carbon_g >= 1000:
        return f"{carbon_g / 1000:.3g} kgCO2eq"
    if carbon_g >= 1 or carbon_g == 0:
        return f"{carbon_g:.3g} gCO2eq"
    return f"{carbon_g * 1000:.3g} mgCO2eq"
