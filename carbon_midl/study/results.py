"""Collect finished runs into tidy tables with their provenance."""

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd

from carbon_midl.errors import InputError
from carbon_midl.files import read_json, replaced_directory, write_gzipped, write_json, write_text
from carbon_midl.footprint import FootprintRecord, carbon_intensity
from carbon_midl.run import read_result
from carbon_midl.run_files import FOOTPRINT, RESULT
from carbon_midl.study.spec import Study

RESULTS_FORMAT = "carbon-midl results"
RESULTS_VERSION = 1
SUPERSEDED = ".superseded-"
"""In the name of a directory that was moved aside."""


def collect_results(study: Study, names: list[str], left_out: list[str]) -> Path:
    """Write ``runs.csv``, ``epochs.csv``, ``slices.csv.gz`` and ``manifest.json`` of the runs ``names``.

    Args:
        study: the study.
        names: the runs to collect, one or more, all of them done.
        left_out: runs that failed; the manifest says so.

    Returns:
        The directory of the tables.
    """
    found = {name: read_result(study.directory / name) for name in names}
    records = {name: _costed(study, FootprintRecord.from_dict(result["footprint"])) for name, result in found.items()}
    with replaced_directory(study.results) as out:
        _write_tables(study, out, found, records, left_out)
    return study.results


def _write_tables(
    study: Study,
    out: Path,
    found: dict[str, dict[str, Any]],
    records: dict[str, FootprintRecord],
    left_out: list[str],
) -> None:
    runs = pd.DataFrame([_run_row(study, name, result, records[name]) for name, result in found.items()])
    write_text(out / "runs.csv", runs.to_csv(index=False))
    epochs = [_epoch_table(study.directory / name, name, result, records[name]) for name, result in found.items()]
    write_text(out / "epochs.csv", _joined(epochs).to_csv(index=False))
    slices = [_with_run(pd.read_csv(study.directory / name / "slices.csv.gz"), name, r) for name, r in found.items()]
    write_gzipped(out / "slices.csv.gz", _joined(slices).to_csv(index=False))
    tables = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(out.iterdir())}
    write_json(out / "manifest.json", _manifest(study, found, records, left_out) | {"sha256": tables})


def _costed(study: Study, record: FootprintRecord) -> FootprintRecord:
    """The record under the study's own PUE and grid, which may have changed since the run was made."""
    intensity = carbon_intensity(study.footprint.intensity)
    if (intensity, study.footprint.pue) == (record.intensity, record.pue):
        return record
    return record.recost(intensity, study.footprint.pue)


def abandoned_attempts(study: Study) -> list[tuple[str, FootprintRecord]]:
    """Directory and footprint of attempts that gave no result of this study: interrupted, failed, or replaced since."""
    records = []
    for path in _abandoned(study):
        try:
            records.append((path.parent.name, _costed(study, FootprintRecord.from_dict(read_json(path)))))
        except InputError:
            continue  # written by another version, or never
    return records


def _abandoned(study: Study) -> Iterator[Path]:
    planned = {run.name for run in study.runs}
    try:
        entries = sorted(entry.name for entry in os.scandir(study.directory) if entry.is_dir())
    except FileNotFoundError:
        return
    for name in entries:
        run, superseded, _ = name.partition(SUPERSEDED)
        if run in planned and (superseded or not (study.directory / name / RESULT).exists()):
            yield study.directory / name / FOOTPRINT


def _run_row(study: Study, name: str, result: dict[str, Any], record: FootprintRecord) -> dict[str, Any]:
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
        **result["model"],
        "epochs": options["epochs"],
        "epochs_trained": training["epochs_trained"],
        "best_epoch": training["best_epoch"],
        "val_dice": training["val_dice"],
        "test_dice": test["dice"],
        "test_dice_patients": test["dice_patients"],
        "test_slices": test["slices"],
        "test_patients": test["patients"],
        "duration_s": window.duration_s,
        "energy_kwh": window.energy_kwh,
        "energy_to_best_kwh": to_best_kwh,
        "energy_whole_run_kwh": record.energy_kwh,
        "energy_cpu_kwh": window.component_kwh("cpu"),
        "energy_gpu_kwh": window.component_kwh("gpu"),
        "energy_memory_kwh": window.component_kwh("memory"),
        "energy_method": window.method,
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


def _epoch_table(directory: Path, name: str, result: dict[str, Any], record: FootprintRecord) -> pd.DataFrame:
    table = pd.read_csv(directory / "epochs.csv")
    table["energy_kwh"] = [record.epoch(int(number)).energy_kwh for number in table["epoch"]]
    return _with_run(table, name, result)


def _with_run(table: pd.DataFrame, name: str, result: dict[str, Any]) -> pd.DataFrame:
    for position, (column, value) in enumerate(
        {"run": name, "filters": result["options"]["filters"], "seed": result["options"]["seed"]}.items()
    ):
        table.insert(position, column, value)
    return table


def _joined(tables: list[pd.DataFrame]) -> pd.DataFrame:
    return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame()


def _manifest(
    study: Study, found: dict[str, dict[str, Any]], records: dict[str, FootprintRecord], left_out: list[str]
) -> dict[str, Any]:
    manifest: dict[str, Any] = {
        "format": RESULTS_FORMAT,
        "version": RESULTS_VERSION,
        "study": study.name,
        "title": study.title,
        "widths": sorted({run.options.filters for run in study.runs}),
        "seeds": sorted({run.options.seed for run in study.runs}),
        "runs_done": len(found),
        "runs_left_out": left_out,
    }
    abandoned = [record for _, record in abandoned_attempts(study)]
    manifest["abandoned"] = {
        "attempts": len(abandoned),
        "energy_kwh": sum(record.energy_kwh for record in abandoned),
        "carbon_g": sum(record.carbon_g(record.energy_kwh) for record in abandoned),
    }
    first = next(iter(found.values()))
    crops, started = first["crops"], [window.started for record in records.values() for window in record.windows]
    return manifest | {
        "crops": {**crops, "kind": crops["source"]["kind"]},
        "options": {key: value for key, value in first["options"].items() if key not in ("filters", "seed")},
        "split": {part: len(patients) for part, patients in first["split"].items()},
        "split_patients": first["split"],
        "slices": first["slices"],
        "dates": {"first": min(started), "last": max(result["finished"] for result in found.values())},
        # Runs may come from several machines; each kind is listed once.
        "environments": _distinct([result["environment"] for result in found.values()]),
        **first["environment"],
        "sensors": sorted({record.method() for record in records.values()}),
        "pue_sources": sorted({record.pue_source for record in records.values()}),
        "footprint_notes": _distinct([note for record in records.values() for note in record.notes]),
    }


def _distinct(items: list[Any]) -> list[Any]:
    return [item for position, item in enumerate(items) if item not in items[:position]]
