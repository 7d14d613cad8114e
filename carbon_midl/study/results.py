"""Collect finished runs into tidy tables with their provenance."""

import gzip
import hashlib
from pathlib import Path
from typing import Any

import pandas as pd

from carbon_midl.files import replaced_directory, write_json, write_text
from carbon_midl.footprint import FootprintRecord
from carbon_midl.options import RunOptions
from carbon_midl.run import read_result
from carbon_midl.run_files import EPOCHS, SLICES
from carbon_midl.study.abandoned import abandoned_attempts, costed
from carbon_midl.study.format import RESULTS_FORMAT, RESULTS_VERSION
from carbon_midl.study.joining import joined
from carbon_midl.study.provenance import Provenance
from carbon_midl.study.spec import Study


def collect_results(study: Study, names: list[str], left_out: list[str]) -> Path:
    """Write ``runs.csv``, ``epochs.csv``, ``slices.csv.gz`` and ``manifest.json`` of the runs ``names``.

    Args:
        study: the study.
        names: the runs to collect, one or more, all of them done.
        left_out: runs that failed; the manifest says so.

    Returns:
        The directory of the tables.
    """
    with replaced_directory(study.results) as out:
        rows, provenance, axes = [], Provenance(), other_axes(study)
        with joined(out / "epochs.csv", "energy_kwh") as epochs, joined(out / "slices.csv.gz") as slices:
            for name in names:
                directory = study.directory / name
                result = read_result(directory)
                record = costed(study, FootprintRecord.from_dict(result["footprint"]))
                rows.append(_run_row(study, axes, name, result, record))
                provenance.add(result, record)
                whose = (name, result["options"]["filters"], result["options"]["seed"])
                trained = (directory / EPOCHS).read_text()
                numbers = range(1, len(trained.splitlines()))
                epochs.add(*whose, trained, [record.epoch(number).energy_kwh for number in numbers])
                slices.add(*whose, gzip.decompress((directory / SLICES).read_bytes()).decode())
        write_text(out / "runs.csv", pd.DataFrame(rows).to_csv(index=False))
        tables = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(out.iterdir())}
        write_json(out / "manifest.json", _manifest(study, len(rows), provenance, left_out) | {"sha256": tables})
    return study.results


def other_axes(study: Study) -> list[str]:
    """Options in which the study's runs differ, besides those that ``runs.csv`` always has a column of."""
    known = ("filters", "seed", "recipe", "epochs")
    names = [name for name in RunOptions.model_fields if name not in known]
    return [name for name in names if len({getattr(run.options, name) for run in study.runs}) > 1]


def _run_row(
    study: Study, axes: list[str], name: str, result: dict[str, Any], record: FootprintRecord
) -> dict[str, Any]:
    options, training, test = result["options"], result["training"], result["test"]
    window = record.window("training")
    after_best = range(training["best_epoch"] + 1, training["epochs_trained"] + 1)
    to_best_kwh = window.energy_kwh - sum(record.epoch(number).energy_kwh for number in after_best)
    beside = record.carbontracker
    return {
        "study": study.name,
        "run": name,
        "filters": options["filters"],
        "seed": options["seed"],
        "recipe": options["recipe"],
        **{axis: options[axis] for axis in axes},
        **result["model"],
        "epochs": options["epochs"],
        "epochs_trained": training["epochs_trained"],
        "best_epoch": training["best_epoch"],
        "val_dice": training["val_dice"],
        "val_dice_patients": result["validation"]["dice_patients"],
        "test_dice": test["dice"],
        "test_dice_patients": test["dice_patients"],
        "test_slices": test["slices"],
        "test_patients": test["patients"],
        "started": window.started,
        "precision": training["precision"],
        "commit": result["environment"]["commit"],
        "duration_s": window.duration_s,
        "energy_kwh": window.energy_kwh,
        "energy_to_best_kwh": to_best_kwh,
        "energy_whole_run_kwh": record.energy_kwh,
        "energy_cpu_kwh": window.component_kwh("cpu"),
        "energy_gpu_kwh": window.component_kwh("gpu"),
        "energy_memory_kwh": window.component_kwh("memory"),
        "energy_method": window.method,
        "idle_w": sum(record.idle_w.values()) or None,
        "energy_net_kwh": record.net_kwh(),
        "start_temperature_c": max(record.start_temperature_c.values(), default=None),
        "energy_separable": record.separable,
        "pue": record.pue,
        "intensity_g_per_kwh": record.intensity.g_per_kwh,
        "intensity_source": record.intensity.source,
        "carbon_g": record.carbon_g(),
        "carbon_to_best_g": record.carbon_g(to_best_kwh),
        "carbon_whole_run_g": record.carbon_g(record.energy_kwh),
        "carbontracker_energy_before_pue_kwh": beside.energy_before_pue_kwh if beside else None,
        "carbontracker_carbon_g": beside.carbon_g if beside else None,
        "carbontracker_duration_s": beside.duration_s if beside else None,
        "fingerprint": "-".join(result["fingerprint"].values()),
    }


def _manifest(study: Study, done: int, provenance: Provenance, left_out: list[str]) -> dict[str, Any]:
    manifest: dict[str, Any] = {
        "format": RESULTS_FORMAT,
        "version": RESULTS_VERSION,
        "study": study.name,
        "title": study.title,
        "widths": sorted({run.options.filters for run in study.runs}),
        "seeds": sorted({run.options.seed for run in study.runs}),
        "runs_done": done,
        "runs_left_out": left_out,
    }
    abandoned = [record for _, record in abandoned_attempts(study)]
    manifest["abandoned"] = {
        "attempts": len(abandoned),
        "energy_kwh": sum(record.energy_kwh for record in abandoned),
        "carbon_g": sum(record.carbon_g(record.energy_kwh) for record in abandoned),
    }
    return manifest | provenance.to_dict()
