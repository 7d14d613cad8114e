"""Collect finished runs into tidy tables, and say in a manifest where they come from."""

import hashlib
from contextlib import suppress
from pathlib import Path
from typing import Any

import pandas as pd

from carbon_midl.errors import InputError
from carbon_midl.files import replaced_directory, write_gzipped, write_json, write_text
from carbon_midl.footprint import FootprintRecord, carbon_intensity, read_footprint
from carbon_midl.study.results import EPOCHS, FORMAT, MANIFEST, RUNS, SLICES, VERSION, distinct, read_csv
from carbon_midl.study.run import FOOTPRINT, read_result
from carbon_midl.study.spec import Study
from carbon_midl.training.checkpoint import RESULT
from carbon_midl.training.options import RunOptions

SUPERSEDED = ".superseded-"
"""Marks, in a directory's name, a run that was moved aside because it was out of date."""


def collect_results(study: Study, names: list[str], left_out: list[str]) -> Path:
    """Write the tables of the runs ``names``, which are done, and a manifest that lists those that are ``left_out``."""
    axes, results = other_axes(study), [read_result(study.directory / name) for name in names]
    records = [costed(study, FootprintRecord.from_dict(result["footprint"])) for result in results]
    rows, epochs, slices = [], [], []
    for name, result, record in zip(names, results, records, strict=True):
        rows.append(_run_row(study, axes, name, result, record))
        trained = _table_of(study, name, result, EPOCHS)
        energy_kwh = [record.epoch(number).energy_kwh for number in range(1, len(trained) + 1)]
        epochs.append(trained.assign(energy_kwh=energy_kwh))
        slices.append(_table_of(study, name, result, SLICES))
    with replaced_directory(study.results) as out:
        write_text(out / RUNS, pd.DataFrame(rows).to_csv(index=False))
        write_text(out / EPOCHS, pd.concat(epochs).to_csv(index=False))
        write_gzipped(out / SLICES, pd.concat(slices).to_csv(index=False))
        tables = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(out.iterdir())}
        write_json(out / MANIFEST, _manifest(study, results, records, left_out) | {"sha256": tables})
    return study.results


def other_axes(study: Study) -> list[str]:
    """The options in which the study's runs differ, apart from those that ``runs.csv`` always has as columns."""
    known = ("filters", "seed", "recipe", "epochs")
    names = [name for name in RunOptions.model_fields if name not in known]
    return [name for name in names if len({getattr(run.options, name) for run in study.runs}) > 1]


def costed(study: Study, record: FootprintRecord) -> FootprintRecord:
    """The record with the PUE and grid of the study file, which may have changed since the run was made."""
    intensity = carbon_intensity(study.footprint.intensity)
    if (intensity, study.footprint.pue) == (record.intensity, record.pue):
        return record
    return record.recost(intensity, study.footprint.pue)


def abandoned_attempts(study: Study) -> list[tuple[str, FootprintRecord]]:
    """Directory and footprint of each attempt that gave no result: interrupted, failed, or moved aside."""
    records, planned = [], {run.name for run in study.runs}
    for path in sorted(study.directory.glob(f"*/{FOOTPRINT}")):
        run, superseded, _ = path.parent.name.partition(SUPERSEDED)
        if run in planned and (superseded or not (path.parent / RESULT).exists()):
            with suppress(InputError):  # written by another version
                records.append((path.parent.name, costed(study, read_footprint(path))))
    return records


def _table_of(study: Study, run: str, result: dict[str, Any], file: str) -> pd.DataFrame:
    """A table of one run with the run's name, width and seed in front, as text, so that numbers keep their digits."""
    table = read_csv(study.directory / run / file, dtype=str, keep_default_na=False)
    named = {"run": run, "filters": result["options"]["filters"], "seed": result["options"]["seed"]}
    return pd.concat([pd.DataFrame(named, index=table.index), table], axis=1)


def _run_row(
    study: Study, axes: list[str], name: str, result: dict[str, Any], record: FootprintRecord
) -> dict[str, Any]:
    options, training, window = result["options"], result["training"], record.window("training")
    after_best = range(training["best_epoch"] + 1, training["epochs_trained"] + 1)
    to_best_kwh = window.energy_kwh - sum(record.epoch(number).energy_kwh for number in after_best)
    return {
        "study": study.name,
        "run": name,
        **{option: options[option] for option in ("filters", "seed", "recipe", *axes)},
        **result["model"],
        "epochs": options["epochs"],
        **{key: training[key] for key in ("epochs_trained", "best_epoch", "val_dice")},
        "val_dice_patients": result["validation"]["dice_patients"],
        **{f"test_{key}": result["test"][key] for key in ("dice", "dice_patients", "slices", "patients")},
        "started": window.started,
        "precision": training["precision"],
        "commit": result["environment"]["commit"],
        "duration_s": window.duration_s,
        "energy_kwh": window.energy_kwh,
        "energy_to_best_kwh": to_best_kwh,
        "energy_whole_run_kwh": record.energy_kwh,
        **{f"energy_{component}_kwh": window.component_kwh(component) for component in ("cpu", "gpu", "memory")},
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
        **{
            f"carbontracker_{key}": getattr(record.carbontracker, key, None)
            for key in ("energy_before_pue_kwh", "carbon_g", "duration_s")
        },
        "fingerprint": "-".join(result["fingerprint"].values()),
    }


def _manifest(
    study: Study, results: list[dict[str, Any]], records: list[FootprintRecord], left_out: list[str]
) -> dict[str, Any]:
    """Where the results come from; each environment in which runs were made is listed once."""
    first, abandoned = results[0], [record for _, record in abandoned_attempts(study)]
    return {
        "format": FORMAT,
        "version": VERSION,
        "study": study.name,
        "title": study.title,
        "widths": sorted({run.options.filters for run in study.runs}),
        "seeds": sorted({run.options.seed for run in study.runs}),
        "runs_done": len(results),
        "runs_left_out": left_out,
        "abandoned": {
            "attempts": len(abandoned),
            "energy_kwh": sum(record.energy_kwh for record in abandoned),
            "carbon_g": sum(record.carbon_g(record.energy_kwh) for record in abandoned),
        },
        "crops": {**first["crops"], "kind": first["crops"]["source"]["kind"]},
        "options": {key: value for key, value in first["options"].items() if key not in ("filters", "seed")},
        "split": {part: len(patients) for part, patients in first["split"].items()},
        "split_patients": first["split"],
        "slices": first["slices"],
        "dates": {
            "first": min(window.started for record in records for window in record.windows),
            "last": max(result["finished"] for result in results),
        },
        "environments": distinct(result["environment"] for result in results),
        **first["environment"],
        "sensors": sorted({record.window("training").method for record in records}),
        "pue_sources": sorted({record.pue_source for record in records}),
        "footprint_notes": distinct(note for record in records for note in record.notes),
    }
