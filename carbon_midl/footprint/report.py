"""The footprint of a run in words: for a notebook or a terminal, and for papers, checklists and model cards.

The checklist is the compute part of the Machine Learning Reproducibility Checklist v2.0 (Pineau et al.); the block for
a model card is Hugging Face's ``co2_eq_emissions``. An estimate is called one in each of them.
"""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from carbon_midl import __version__
from carbon_midl.files import read_json
from carbon_midl.footprint.record import RESULT, CarbontrackerFigures, FootprintRecord, read_footprint
from carbon_midl.footprint.sensors import how_known
from carbon_midl.units import carbon, duration, energy, in_columns


def describe(record: FootprintRecord, window: str = "training") -> str:
    """A few lines for people: energy by component and how it was obtained, carbon with its factors, caveats."""
    chosen = record.window(window)
    state = "" if chosen.finished else ", not finished"
    epochs = f"{record.epochs} of {record.epochs_planned} epochs, " if record.epochs else ""
    attempts = f", {record.attempts} attempts together" if record.attempts > 1 else ""
    rows = [("component", "hardware", "energy", "how obtained")]
    rows += [
        (part.component, record.hardware.get(part.component, ""), energy(part.energy_kwh), part.method)
        for part in chosen.components
    ]
    rows.append(("total", "", energy(chosen.energy_kwh), "before PUE"))
    spread = record.spread(window)
    lines = [
        f"{chosen.name}: {epochs}{chosen.duration_s:.1f} s from {chosen.started}{attempts}{state}",
        "",
        *in_columns(rows),
        "",
        f"{carbon(record.carbon_g(window), limits=spread.limits())} = {energy(chosen.energy_kwh)} × PUE {record.pue:g} "
        f"× {record.intensity.g_per_kwh:.4g} g/kWh",
        f"PUE: {record.pue_source}",
        f"Intensity: {record.intensity.source}",
        f"Grams: {spread.describe()}",
    ]
    if (net_kwh := record.net_kwh(window)) is not None:
        powers = ", ".join(f"{component} {power_w:.3g} W" for component, power_w in record.idle_w.items())
        above = f"{window} took {energy(net_kwh)} of these components"
        lines.append(f"Idle before the training: {powers}; above that, {above}")
    figures = record.carbontracker or CarbontrackerFigures()
    if figures.energy_before_pue_kwh is not None and figures.carbon_g is not None:
        lines.append(
            f"Carbontracker {figures.version}: {energy(figures.energy_before_pue_kwh)} before PUE, "
            f"{carbon(figures.carbon_g)}, {figures.measured_epochs} epochs"
        )
    if figures.note:
        lines.append(f"Carbontracker: {figures.note}")
    return "\n".join([*lines, *(f"Note: {note}" for note in record.notes)])


@dataclass(frozen=True)
class Compute:
    """What computing was done, and what it used."""

    subject: str  #: what was trained, to follow "We trained".
    runs: int  #: how many were finished.
    abandoned: int  #: attempts that failed, were interrupted or replaced; what they used is counted.
    duration_s: float  #: of the finished runs, one after the other; of an unfinished run so far.
    energy_kwh: float  #: before PUE, of everything, training and evaluation.
    abandoned_kwh: float  #: the part of it that went into abandoned attempts.
    methods: tuple[str, ...]  #: how the energy was obtained, each once.
    carbon_g: float  #: operational gCO2eq, location-based.
    limits: tuple[float, float]  #: its 95 % interval, in multiples of it.
    pue: str  #: power usage effectiveness, in words.
    intensity: str  #: carbon intensity with its source, in words.
    hardware: str  #: processor, memory and GPUs, in words.
    versions: dict[str, str]  #: of the software, by name.
    dates: tuple[str, ...]  #: when windows, or runs, began or ended, as ISO 8601.

    @property
    def energy(self) -> str:
        """The energy with how it is known, in one phrase."""
        if not self.methods:
            return f"{energy(self.energy_kwh)} (method not recorded)"
        amount, how, kind = energy(self.energy_kwh), "; ".join(self.methods), how_known(*self.methods)
        said = {"measured": f"{amount} ({how})", "estimated": f"an estimated {amount} ({how})"}
        return said.get(kind, f"{amount} ({kind}; {how})")


def paragraph(compute: Compute) -> str:
    """A paragraph for a paper."""
    lost = ""
    if compute.abandoned:
        attempts = "one attempt" if compute.abandoned == 1 else f"{compute.abandoned} attempts"
        lost = f", {energy(compute.abandoned_kwh)} of it in {attempts} without a result"
    return (
        f"We trained {compute.subject} on {compute.hardware}, in {duration(compute.duration_s)}. Training and "
        f"evaluation used {compute.energy} before PUE{lost}. With {compute.pue} and a carbon intensity of "
        f"{compute.intensity}, we estimate operational, location-based emissions of "
        f"{carbon(compute.carbon_g, limits=compute.limits)}, with a 95 % interval from meters, PUE and intensity. "
        "The making of the hardware is not included."
    )


def checklist(compute: Compute) -> str:
    """The compute fields of the Machine Learning Reproducibility Checklist, as a list in Markdown."""
    versions = ", ".join(f"{name} {version}" for name, version in compute.versions.items()) or "not recorded"
    abandoned = f", and {compute.abandoned} that gave no result" if compute.abandoned else ""
    average = duration(compute.duration_s / compute.runs) if compute.runs else "no run was finished"
    days = sorted(moment[:10] for moment in compute.dates) or ["not recorded"]
    fields = {
        "Number of training and evaluation runs": f"{compute.runs}{abandoned}",
        "Average runtime for each result": average,
        "Total runtime": duration(compute.duration_s),
        "Estimated energy cost": f"{compute.energy}, before PUE",
        "Estimated emissions": f"{carbon(compute.carbon_g, limits=compute.limits)}: {compute.pue}; {compute.intensity}",
        "Computing infrastructure, hardware": compute.hardware,
        "Computing infrastructure, software": versions,
        "Dates": " to ".join(dict.fromkeys((days[0], days[-1]))),
    }
    return "\n".join(f"- **{name}:** {value}" for name, value in fields.items())


def model_card(compute: Compute, location: str | None = None) -> str:
    """The ``co2_eq_emissions`` block of a Hugging Face model card, as YAML; `location` is where the machine stood."""
    import yaml

    fields = {
        "emissions": float(f"{compute.carbon_g:.4g}"),
        "source": f"carbon-midl {__version__}; {carbon(compute.carbon_g, limits=compute.limits)}; energy: "
        f"{compute.energy}; {compute.pue}; {compute.intensity}",
        "training_type": "pre-training",
        "geographical_location": location or f"not recorded; computed for {compute.intensity}",
        "hardware_used": compute.hardware,
    }
    return yaml.safe_dump({"co2_eq_emissions": fields}, sort_keys=False, allow_unicode=True, width=math.inf).rstrip()


def to_markdown(compute: Compute, location: str | None = None) -> str:
    """All three, under headings."""
    return (
        f"## For a paper\n\n{paragraph(compute)}\n\n"
        f"## For the reproducibility checklist\n\n{checklist(compute)}\n\n"
        f"## For a model card\n\n```yaml\n{model_card(compute, location)}\n```"
    )


def compute_of_run(directory: Path) -> Compute:
    """What a run used, by its directory; it may be unfinished."""
    record, finished = read_footprint(directory), (directory / RESULT).is_file()
    result = read_json(directory / RESULT) if finished else {}
    options, environment = result.get("options", {}), result.get("environment", {})
    model = f"{result['model']['parameters']:,} parameters, " if "model" in result else ""
    width = f"{options['filters']} initial filters, {model}" if "filters" in options else model
    state = "" if finished else ", not finished"
    latest = record.attempts if finished else math.inf
    top = [window for window in record.windows if window.parent is None]
    devices = ", ".join(record.hardware.values()) or "hardware not recorded"
    return Compute(
        subject=f"one network ({width}{record.epochs} of {record.epochs_planned} epochs{state})",
        runs=int(finished),
        abandoned=record.attempts - int(finished),
        duration_s=record.duration_s,
        energy_kwh=record.energy_kwh,
        abandoned_kwh=sum(window.energy_kwh for window in top if window.attempt < latest),
        methods=tuple(dict.fromkeys(part.method for window in record.windows for part in window.components)),
        carbon_g=record.carbon_g(record.energy_kwh),
        limits=record.spread(None).limits(),
        pue=f"a PUE of {record.pue:g} ({record.pue_source})",
        intensity=f"{record.intensity.g_per_kwh:.4g} g/kWh ({record.intensity.source})",
        hardware=machine_text(environment["hardware"]) if "hardware" in environment else devices,
        versions=environment.get("versions", {}),
        dates=tuple(window.started for window in record.windows),
    )


def machine_text(hardware: dict[str, Any]) -> str:
    """A machine in words, from the hardware in a run's or a study's environment."""
    gpus = hardware.get("gpu") or []
    kinds = [f"{gpus.count(name)} × {name}" for name in dict.fromkeys(gpus)]
    return ", ".join(
        [*kinds, f"{hardware['cpu']} ({hardware['cores']} logical cores)", f"{hardware['memory_gb']} GB of memory"]
    )
