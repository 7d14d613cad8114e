"""A footprint record as a small table for people."""

from __future__ import annotations

from typing import TYPE_CHECKING

from carbon_midl.footprint.cpu_estimate import PER_CORE, UtilisationSensor
from carbon_midl.footprint.record import ComponentEnergy, FootprintRecord, Window
from carbon_midl.units import carbon, energy

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
    """Energy of `window` by component and how it was obtained, carbon with its factors, what is known beside, notes."""
    chosen = record.window(window)
    rows = [("component", "energy", "how obtained")]
    rows += [(part.component, energy(part.energy_kwh), _how(part)) for part in chosen.components]
    rows.append(("total", energy(chosen.energy_kwh), "before PUE"))
    widths = [max(len(row[column]) for row in rows) for column in range(2)]
    table = [f"{name:<{widths[0]}}  {used:>{widths[1]}}  {how}" for name, used, how in rows]
    return "\n".join(
        [
            _heading(record, chosen),
            "",
            *table,
            "",
            f"{carbon(record.carbon_g(window))} = {energy(chosen.energy_kwh)} × PUE {record.pue:g} "
            f"× {record.intensity.g_per_kwh:.4g} g/kWh",
            f"PUE: {record.pue_source}",
            f"Intensity: {record.intensity.source}",
            *_idle(record, window),
            *_embodied(record, window),
            *_carbontracker(record),
            *_predictions(record),
            *(f"Note: {note}" for note in record.notes),
        ]
    )


def _heading(record: FootprintRecord, window: Window) -> str:
    state = "" if window.finished else ", not finished"
    epochs = f"{record.epochs} of {record.epochs_planned} epochs, " if record.epochs else ""
    attempts = f", {record.attempts} attempts together" if record.attempts > 1 else ""
    return f"{window.name}: {epochs}{window.duration_s:.1f} s from {window.started}{attempts}{state}"


def _how(part: ComponentEnergy) -> str:
    if part.sampled_kwh is None:
        return part.method
    return f"{part.method}; sampled power beside it: {energy(part.sampled_kwh)}{_ratio(part)}"


def _ratio(part: ComponentEnergy) -> str:
    if not part.energy_kwh or part.sampled_kwh is None:
        return ""
    return f" ({part.sampled_kwh / part.energy_kwh - 1:+.1%})"


def _idle(record: FootprintRecord, window: str) -> list[str]:
    net_kwh = record.net_kwh(window)
    if net_kwh is None:
        return []
    powers = ", ".join(f"{component} {power_w:.3g} W" for component, power_w in record.idle_w.items())
    return [f"Idle before the training: {powers}; above that, {window} took {energy(net_kwh)} of these components"]


def _embodied(record: FootprintRecord, window: str) -> list[str]:
    embodied, share_g = record.embodied, record.embodied_g(window)
    if embodied is None or share_g is None:
        return []
    return [
        f"Embodied, apart from the above: {carbon(share_g)} of making {embodied.devices} × {embodied.hardware} "
        f"({embodied.total_kg:g} kgCO2e each over {embodied.lifetime_years:g} years, share {embodied.share:g}; "
        f"{embodied.source})"
    ]


def _carbontracker(record: FootprintRecord) -> list[str]:
    figures = record.carbontracker
    if figures is None:
        return []
    lines = []
    if figures.energy_before_pue_kwh is not None and figures.carbon_g is not None:
        line = (
            f"Carbontracker {figures.version}: {energy(figures.energy_before_pue_kwh)} before PUE, "
            f"{carbon(figures.carbon_g)}, {figures.measured_epochs} epochs"
        )
        if figures.difference_kwh is not None:
            word = "more" if figures.difference_kwh >= 0 else "less"
            line += f"; {energy(abs(figures.difference_kwh))} {word} than ours over the same epochs"
        lines.append(line)
        ours = (UtilisationSensor.method, PER_CORE)
        if any(part.method in ours for window in record.windows for part in window.components):
            lines.append(
                "Carbontracker takes half TDP for a processor without a sensor, whatever its load, and leaves out "
                "memory without one"
            )
    if figures.note:
        lines.append(f"Carbontracker: {figures.note}")
    return lines


def _predictions(record: FootprintRecord) -> list[str]:
    if not record.predictions:
        return []
    last = record.predictions[-1]
    if last.energy_error is None or last.duration_error is None:
        return [
            f"Predicted after epoch {last.after_epoch}: {energy(last.energy_kwh.value)} "
            f"({energy(last.energy_kwh.low)} to {energy(last.energy_kwh.high)}, "
            f"{last.confidence:.0%} interval) and {last.duration_s.value:.0f} s for {last.epochs_planned} epochs"
        ]
    errors = ", ".join(f"{one.energy_error:+.1%} after epoch {one.after_epoch}" for one in record.predictions)
    return [f"Errors of the energies predicted on the way: {errors}"]
