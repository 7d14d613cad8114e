"""What a run, or all runs of a study, used, in the words that papers, checklists and model cards ask for.

The checklist is the compute part of the Machine Learning Reproducibility Checklist v2.0 (Pineau et al.); the block for
a model card is Hugging Face's ``co2_eq_emissions``. An estimate is called one in each of them.
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from carbon_midl import __version__
from carbon_midl.errors import InputError
from carbon_midl.footprint.record import FootprintRecord
from carbon_midl.footprint.sensors import how_known
from carbon_midl.footprint.stored import FOOTPRINT, RESULT, footprint_file, read_footprint
from carbon_midl.run import read_result
from carbon_midl.study.results import MANIFEST, RUNS, Results, read_results
from carbon_midl.units import carbon, duration, energy

_DIGITS = 4


@dataclass(frozen=True)
class Compute:
    """What computing was done, and what it used.

    Attributes:
        subject: what was trained, to follow "We trained".
        runs: runs that were finished.
        abandoned: attempts that failed, were interrupted or replaced; what they used is counted.
        duration_s: of the finished runs, one after the other; of an unfinished run so far.
        energy_kwh: before PUE, of everything, training and evaluation.
        abandoned_kwh: the part of it that went into abandoned attempts.
        methods: how the energy was obtained, each once.
        carbon_g: operational gCO2eq, location-based.
        embodied_g: apart from that, of making the hardware; None where it was not asked for.
        pue: power usage effectiveness, in words.
        intensity: carbon intensity with its source, in words.
        hardware: processor, memory and GPUs, in words.
        versions: of the software, by name.
        dates: first and last day.
    """

    subject: str
    runs: int
    abandoned: int
    duration_s: float
    energy_kwh: float
    abandoned_kwh: float
    methods: tuple[str, ...]
    carbon_g: float
    embodied_g: float | None
    pue: str
    intensity: str
    hardware: str
    versions: dict[str, str]
    dates: tuple[str, str]

    @property
    def energy(self) -> str:
        """The energy with what it is.

        Such as "3.1 Wh (measured: RAPL)", or "an estimated 3.1 Wh (…)".
        """
        amount, how = energy(self.energy_kwh), "; ".join(self.methods)
        if not self.methods:
            return f"{amount} (method not recorded)"
        kind = how_known(*self.methods)
        said = {"measured": f"{amount} ({how})", "estimated": f"an estimated {amount} ({how})"}
        return said.get(kind, f"{amount} ({kind}; {how})")


def read_compute(path: Path | str) -> Compute:
    """What a run used, or all runs of a study.

    Args:
        path: directory of a run (``result.json``, or ``footprint.json`` of one that is unfinished), a study's directory
            of results, or a study's directory, with ``results/`` in it.

    Raises:
        InputError: it is none of these, or damaged.
    """
    directory = Path(path)
    if any((results / MANIFEST).is_file() for results in (directory, directory / "results")):
        return _of_study(read_results(directory))
    if any((directory / name).is_file() for name in (RESULT, FOOTPRINT)):
        return _of_run(directory)
    raise InputError(
        f"{directory}: neither a run ({RESULT} or {FOOTPRINT}) nor a study's results ({RUNS} and {MANIFEST}); "
        "expected a directory such as runs/demo/filters-4-seed-0 or runs/demo/results"
    )


def paragraph(compute: Compute) -> str:
    """A paragraph for a paper."""
    lost = ""
    if compute.abandoned:
        attempts = "one attempt" if compute.abandoned == 1 else f"{compute.abandoned} attempts"
        lost = f", {energy(compute.abandoned_kwh)} of it in {attempts} that failed, or was interrupted or replaced"
    embodied = "The making of the hardware is not included."
    if compute.embodied_g is not None:
        embodied = f"Making the hardware adds a share of {carbon(compute.embodied_g)} (SCI 1.1), kept apart."
    return (
        f"We trained {compute.subject} on {compute.hardware}, in {duration(compute.duration_s)}. Training and "
        f"evaluation used {compute.energy} before PUE{lost}. With {compute.pue} and a carbon intensity of "
        f"{compute.intensity}, we estimate operational, location-based emissions of {carbon(compute.carbon_g)}. "
        f"{embodied}"
    )


def checklist(compute: Compute) -> str:
    """The compute fields of the Machine Learning Reproducibility Checklist, as a list in Markdown."""
    versions = ", ".join(f"{name} {version}" for name, version in compute.versions.items()) or "not recorded"
    abandoned = f", and {compute.abandoned} that gave no result" if compute.abandoned else ""
    average = duration(compute.duration_s / compute.runs) if compute.runs else "no run was finished"
    fields = {
        "Number of training and evaluation runs": f"{compute.runs}{abandoned}",
        "Average runtime for each result": average,
        "Total runtime": duration(compute.duration_s),
        "Estimated energy cost": f"{compute.energy}, before PUE",
        "Estimated emissions": f"{carbon(compute.carbon_g)}: {compute.pue}; {compute.intensity}",
        "Computing infrastructure, hardware": compute.hardware,
        "Computing infrastructure, software": versions,
        "Dates": " to ".join(dict.fromkeys(compute.dates)),
    }
    return "\n".join(f"- **{name}:** {value}" for name, value in fields.items())


def model_card(compute: Compute, location: str | None = None, training_type: str = "pre-training") -> str:
    """The ``co2_eq_emissions`` block of a Hugging Face model card, as YAML.

    Args:
        compute: what was used.
        location: where the machine stood; None says that this was not recorded.
        training_type: "pre-training" or "fine-tuning".
    """
    fields = {
        "source": f"carbon-midl {__version__}; energy: {compute.energy}; {compute.pue}; {compute.intensity}",
        "training_type": training_type,
        "geographical_location": location or f"not recorded; computed for {compute.intensity}",
        "hardware_used": compute.hardware,
    }
    emissions = float(f"{compute.carbon_g:.{_DIGITS}g}")
    # A string in JSON is one in YAML.
    lines = [f"  {name}: {json.dumps(value, ensure_ascii=False)}" for name, value in fields.items()]
    return "\n".join(["co2_eq_emissions:", f"  emissions: {emissions:.12f}".rstrip("0").rstrip("."), *lines])


def to_markdown(compute: Compute, location: str | None = None, training_type: str = "pre-training") -> str:
    """All three, under headings."""
    return "\n\n".join(
        [
            "## For a paper",
            paragraph(compute),
            "## For the reproducibility checklist",
            checklist(compute),
            "## For a model card",
            f"```yaml\n{model_card(compute, location, training_type)}\n```\n",
        ]
    )


def _of_run(directory: Path) -> Compute:
    record = read_footprint(directory)
    finished = footprint_file(directory).name == RESULT
    result = read_result(directory) if finished else {}
    options, environment = result.get("options", {}), result.get("environment", {})
    model = f"{result['model']['parameters']:,} parameters, " if "model" in result else ""
    width = f"{options['filters']} initial filters, {model}" if "filters" in options else model
    state = "" if finished else ", not finished"
    earlier_kwh = sum(
        window.energy_kwh
        for window in record.windows
        if window.parent is None and (window.attempt < record.attempts or not finished)
    )
    return Compute(
        subject=f"one network ({width}{record.epochs} of {record.epochs_planned} epochs{state})",
        runs=int(finished),
        abandoned=record.attempts - int(finished),
        duration_s=record.duration_s,
        energy_kwh=record.energy_kwh,
        abandoned_kwh=earlier_kwh,
        methods=_distinct(part.method for window in record.windows for part in window.components),
        carbon_g=record.carbon_g(record.energy_kwh),
        embodied_g=record.embodied_g(),
        pue=f"a PUE of {record.pue:g} ({record.pue_source})",
        intensity=f"{record.intensity.g_per_kwh:.4g} g/kWh ({record.intensity.source})",
        hardware=_hardware(environment.get("hardware"), record),
        versions=environment.get("versions", {}),
        dates=_days([window.started for window in record.windows]),
    )


def _of_study(results: Results) -> Compute:
    runs, manifest = results.runs, results.manifest
    abandoned = manifest["abandoned"]
    widths = ", ".join(map(str, runs["filters"].unique()))
    planned = len(runs) + len(manifest["runs_left_out"])
    grids = [
        f"{g_per_kwh:.4g} g/kWh ({source})"
        for g_per_kwh, source in zip(runs["intensity_g_per_kwh"], runs["intensity_source"], strict=True)
    ]
    return Compute(
        subject=f"{len(runs)} networks of {planned} planned ({widths} initial filters)",
        runs=len(runs),
        abandoned=abandoned["attempts"],
        duration_s=runs["duration_s"].sum(),
        energy_kwh=runs["energy_whole_run_kwh"].sum() + abandoned["energy_kwh"],
        abandoned_kwh=abandoned["energy_kwh"],
        methods=_distinct(method.strip() for methods in runs["energy_method"] for method in methods.split(";")),
        carbon_g=runs["carbon_whole_run_g"].sum() + abandoned["carbon_g"],
        embodied_g=None,
        pue=f"a PUE of {' and '.join(_distinct(map(str, runs['pue'])))} ({'; '.join(manifest['pue_sources'])})",
        intensity=" and ".join(_distinct(grids)),
        hardware="; ".join(_distinct(_hardware(one.get("hardware"), None) for one in manifest["environments"])),
        versions=manifest.get("versions", {}),
        dates=_days(manifest["dates"].values()),
    )


def _hardware(environment: dict[str, Any] | None, record: FootprintRecord | None) -> str:
    if environment is not None:
        gpus = environment.get("gpu") or []
        kinds = [f"{gpus.count(name)} × {name}" for name in _distinct(gpus)]
        return ", ".join(
            [*kinds, f"{environment['cpu']} ({environment['cores']} logical cores)", f"{environment['memory_gb']} GB"]
        )
    return ", ".join(record.hardware.values()) if record and record.hardware else "hardware not recorded"


def _days(moments: Iterable[str]) -> tuple[str, str]:
    days = sorted(moment[:10] for moment in moments)
    return (days[0], days[-1]) if days else ("not recorded", "not recorded")


def _distinct(items: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(items))
