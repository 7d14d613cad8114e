"""A study whose runs are made up: what training would have left on disk, without training."""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import numpy as np
import pandas as pd

from carbon_midl.footprint import ComponentEnergy, FootprintRecord, Window, carbon_intensity
from carbon_midl.lidc.crops import Intensity
from carbon_midl.metrics import dice
from carbon_midl.study.collect import collect_results
from carbon_midl.study.results import Results, read_results
from carbon_midl.study.run import Run, fingerprint, write_result
from carbon_midl.study.spec import PlannedRun, Study, read_study
from carbon_midl.training.checkpoint import Epoch
from carbon_midl.training.data import Split
from tests.study.tiny import study_toml, write_study

STUDY = study_toml(filters=[2, 3, 16], seeds=[0, 1], epochs=4)
CODE = hashlib.sha256(b"code").hexdigest()[:12]
CROPS = hashlib.sha256(b"crops").hexdigest()
PARTS = {"train": range(6), "validation": range(6, 8), "test": range(8, 11)}
SPLIT = {part: tuple(f"LIDC-IDRI-{number:04d}" for number in numbers) for part, numbers in PARTS.items()}


class Crops(SimpleNamespace):
    def __len__(self) -> int:
        return 60


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
    random = np.random.default_rng(list(hashlib.sha256(f"{run.name}{salt}".encode()).digest()))
    epochs = [
        Epoch(number, loss, 1.1 * loss, random.uniform(0.4, 0.8), 3e-3, random.uniform(1, 3))
        for number, loss in enumerate(random.uniform(0.2, 1.5, run.options.epochs).tolist(), start=1)
    ]
    best = max(epochs, key=lambda epoch: epoch.val_dice)
    scores = [
        {**_slice(random, patient, number), "part": part}
        for part in ("validation", "test") for patient in SPLIT[part] for number in range(3)
    ]  # fmt: skip
    source = {"kind": "discs"}
    archive: Any = Crops(fingerprint=crops, patients=range(11), size=32, intensity=Intensity("", 0, 1), source=source)
    rows: Any = SimpleNamespace(train=range(36), validation=range(6), test=range(9), without_target=0)
    fit: Any = SimpleNamespace(epochs=epochs, best_epoch=best.epoch, val_dice=best.val_dice, stopped="")
    lock: Any = None
    wanted = fingerprint(run.options, archive) | {"code": code}
    made = Run(directory, run.options, archive, Split(**SPLIT), rows, wanted, "", None, lock)
    environment = {
        "hardware": {"cpu": cpu, "cores": 2, "gpu": []},
        "versions": {"python": "3.11.7", "torch": "2.13.0"},
        "commit": "0123456789ab",
    }
    directory.mkdir(parents=True)
    with patch("carbon_midl.study.run.describe_environment", return_value=environment):
        write_result(made, fit, "fp32", pd.DataFrame(scores), _footprint(random, epochs))


def _footprint(random: np.random.Generator, epochs: list[Epoch]) -> FootprintRecord:
    """A training with these epochs, and a test after it."""
    duration_s = 1.1 * sum(epoch.duration_s for epoch in epochs)
    windows = [_window(random, "training", duration_s, 1.5e-4 * len(epochs))]
    windows += [_window(random, f"epoch {one.epoch}", one.duration_s, 1e-4, parent="training") for one in epochs]
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
    pixels = {"target_px": wanted, "predicted_px": predicted, "overlap_px": wanted & predicted}
    return {
        "patient_id": patient, "nodule": 0, "slice": number, "readers_with_mask": 4,
        **{name: int(mask.sum()) for name, mask in pixels.items()},
        "dice": float(dice(predicted, wanted)[0]), "readers_dice": crop.uniform(0.6, 0.9),
    }  # fmt: skip
