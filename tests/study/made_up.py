"""A study whose runs are made up: what training would have left on disk, without training."""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from carbon_midl.files import write_gzipped, write_json
from carbon_midl.footprint import ComponentEnergy, FootprintRecord, Window, carbon_intensity
from carbon_midl.metrics import dice
from carbon_midl.study.collect import collect_results
from carbon_midl.study.results import Results, read_results
from carbon_midl.study.run import RESULT_FORMAT, RESULT_VERSION, summary
from carbon_midl.study.spec import PlannedRun, Study, read_study
from carbon_midl.training.network import unet_size
from carbon_midl.training.options import fingerprinted
from tests.study.tiny import study_toml, write_study

STUDY = study_toml(filters=[2, 3, 16], seeds=[0, 1], epochs=4)
CODE = hashlib.sha256(b"code").hexdigest()[:12]
CROPS = hashlib.sha256(b"crops").hexdigest()
SPLIT = {
    part: [f"LIDC-IDRI-{number:04d}" for number in numbers]
    for part, numbers in (("train", range(6)), ("validation", range(6, 8)), ("test", range(8, 11)))
}


def make_study(
    root: Path, text: str = STUDY, cpu: str = "AMD EPYC", code: str = CODE, crops: str = CROPS, salt: str = ""
) -> Study:
    """Write a study file and a finished run for each that it plans; equal arguments give equal runs."""
    study = read_study(write_study(root, text))
    for run in study.runs:
        _write_run(study.directory / run.name, run, cpu, code, crops, salt)
    return study


def collected(study: Study, names: Sequence[str] = ()) -> Results:
    """The tables of the runs ``names``, or of all."""
    planned = [run.name for run in study.runs]
    done = [name for name in planned if name in names] or planned
    return read_results(collect_results(study, done, sorted(set(planned) - set(done))))


def _write_run(directory: Path, run: PlannedRun, cpu: str, code: str, crops: str, salt: str) -> None:
    seed = hashlib.sha256(f"{run.name}{salt}".encode()).digest()
    random = np.random.default_rng(list(seed))
    directory.mkdir(parents=True)
    epochs = pd.DataFrame({
        "epoch": range(1, run.options.epochs + 1),
        "train_loss": random.uniform(0.2, 1.5, run.options.epochs),
        "val_loss": random.uniform(0.2, 1.5, run.options.epochs),
        "val_dice": random.uniform(0.4, 0.8, run.options.epochs),
        "learning_rate": 3e-3,
        "duration_s": random.uniform(1, 3, run.options.epochs),
    })  # fmt: skip
    epochs.to_csv(directory / "epochs.csv", index=False)
    slices = pd.DataFrame([
        {**_slice(random, patient, number), "part": part}
        for part in ("validation", "test") for patient in SPLIT[part] for number in range(3)
    ])  # fmt: skip
    write_gzipped(directory / "slices.csv.gz", slices.to_csv(index=False))
    best = int(epochs["val_dice"].argmax())
    options = run.options.model_dump()
    result = {
        "format": RESULT_FORMAT,
        "version": RESULT_VERSION,
        "finished": "2026-02-03T04:10:06+00:00",
        "fingerprint": {
            "options": hashlib.sha256(json.dumps(fingerprinted(options), sort_keys=True).encode()).hexdigest()[:12],
            "crops": crops[:12],
            "code": code,
        },
        "options": options,
        "crops": {"fingerprint": crops, "patients": 11, "slices": 60, "size": 32, "source": {"kind": "discs"}},
        "split": SPLIT,
        "slices": {"train": 36, "validation": 6, "test": 9, "without_target": 0},
        "model": unet_size(run.options.filters, run.options.depth, size=32)._asdict(),
        "training": {
            "epochs_trained": len(epochs),
            "best_epoch": best + 1,
            "val_dice": float(epochs["val_dice"][best]),
            "stopped": "",
            "precision": "fp32",
        },
        **{part: summary(slices[slices["part"] == part]) for part in ("validation", "test")},
        "footprint": footprint(random, epochs).to_dict(),
        "environment": {
            "hardware": {"cpu": cpu, "cores": 2, "gpu": []},
            "versions": {"python": "3.11.7", "torch": "2.13.0"},
            "commit": "0123456789ab",
        },
    }
    write_json(directory / "result.json", result)


def footprint(random: np.random.Generator, epochs: pd.DataFrame) -> FootprintRecord:
    """A training with these epochs, and a test after it."""
    windows = [_window(random, "training", 1.1 * float(epochs["duration_s"].sum()), 1.5e-4 * len(epochs))]
    windows += [
        _window(random, f"epoch {number}", duration_s, 1e-4, parent="training")
        for number, duration_s in zip(epochs["epoch"], epochs["duration_s"], strict=True)
    ]
    windows.append(_window(random, "test", 1.0, 1e-5))
    return FootprintRecord(tuple(windows), len(epochs), intensity=carbon_intensity("DK"), notes=("made up",))


def _window(
    random: np.random.Generator, name: str, duration_s: float, energy_kwh: float, parent: str | None = None
) -> Window:
    parts = (
        ComponentEnergy("cpu", energy_kwh * random.uniform(0.9, 1), "estimated: TDP × utilisation"),
        ComponentEnergy("memory", energy_kwh * random.uniform(0.05, 0.1), "estimated: W per GB"),
    )
    return Window(name, "2026-02-03T04:05:06+00:00", duration_s, parts, parent)


def _slice(random: np.random.Generator, patient: str, number: int) -> dict[str, Any]:
    crop = np.random.default_rng([int(patient[-4:]), number])  # the same in every run
    wanted, predicted = (generator.random((1, 8, 8)) < 0.5 for generator in (crop, random))
    return {
        "patient_id": patient,
        "nodule": 0,
        "slice": number,
        "readers_with_mask": 4,
        "target_px": int(wanted.sum()),
        "predicted_px": int(predicted.sum()),
        "overlap_px": int((wanted & predicted).sum()),
        "dice": float(dice(predicted, wanted)[0]),
        "readers_dice": crop.uniform(0.6, 0.9),
    }
