"""Replace the energies of a study on two cores by calibrated ones: epochs × what an epoch takes on a quiet machine.

    python studies/calibrate.py results/lidc-steps results/lidc-calibration

Other work on a machine inflates the energy of a training, not its Dice. So one epoch of each width is trained three
times with nothing else running (``studies/lidc-calibration.toml``), and the tables of the other studies take theirs
from there. What the runs themselves recorded stays in ``energy_as_run_kwh``, and calibrating again starts from that.
Widths that were not calibrated stay as they are, and so do runs in another number format, since an epoch in bf16 takes
a third of one in fp32, and what a run took before and after its training.
"""

import hashlib
import sys
from pathlib import Path

import pandas as pd

from carbon_midl.errors import InputError
from carbon_midl.files import write_json, write_text
from carbon_midl.study.results import EPOCHS, MANIFEST, RUNS, Results, read_results

METHOD = "estimated, calibrated: epochs × energy of an epoch on a quiet machine"
AS_RUN = "energy_as_run_kwh"
COMPONENTS = ["energy_cpu_kwh", "energy_gpu_kwh", "energy_memory_kwh"]


def energy_per_epoch(calibration: Results) -> pd.DataFrame:
    """Mean kWh of an epoch by width (rows), in all and by component.

    Raises:
        InputError: a width was trained fewer than three times, or for more than one epoch, or number formats differ.
    """
    runs = calibration.runs
    if runs["precision"].nunique() > 1:
        formats = ", ".join(sorted(runs["precision"].unique()))
        raise InputError(
            f"{calibration.where}: runs in {formats}; expected one number format. Calibrate on one machine."
        )
    repeats = runs.groupby("filters").size()
    if (runs["epochs_trained"] != 1).any() or repeats.min() < 3:
        raise InputError(
            f"{calibration.where}: {repeats.min()} runs of F = {repeats.idxmin()}; expected three of one epoch for "
            "each width. Run studies/lidc-calibration.toml with nothing else running."
        )
    return runs.groupby("filters")[["energy_kwh", *COMPONENTS]].mean()


def calibrate(results: Path, calibration: Path) -> list[str]:
    """Rewrite the energies in ``runs.csv`` and ``epochs.csv`` of ``results``, and return the runs left alone."""
    recorded, quiet = read_results(results), read_results(calibration)
    per_epoch = energy_per_epoch(quiet)
    runs, epochs, manifest = recorded.runs, recorded.epochs, recorded.manifest
    known = runs["filters"].isin(per_epoch.index) & runs["precision"].isin(quiet.runs["precision"])
    before = runs[AS_RUN] if AS_RUN in runs else runs["energy_kwh"]
    around_kwh = runs["energy_whole_run_kwh"] - runs["energy_kwh"]
    runs[AS_RUN] = before
    for column in per_epoch:
        runs.loc[known, column] = runs["epochs_trained"] * runs["filters"].map(per_epoch[column])
    runs.loc[known, "energy_kwh"] = runs[COMPONENTS].sum(axis=1)  # to the last digit, as it is verified
    epoch_kwh = runs["energy_kwh"] / runs["epochs_trained"]
    after_best = runs["epochs_trained"] - runs["best_epoch"]
    runs.loc[known, "energy_to_best_kwh"] = runs["energy_kwh"] - after_best * epoch_kwh
    runs.loc[known, "energy_whole_run_kwh"] = runs["energy_kwh"] + around_kwh
    runs.loc[known, "energy_method"] = METHOD
    # Carbontracker counted the other work, too.
    for column in runs.columns[runs.columns.str.startswith("carbontracker_")]:
        runs.loc[known, column] = None
    factor = runs["pue"] * runs["intensity_g_per_kwh"]
    for name in ("", "_to_best", "_whole_run"):
        runs.loc[known, f"carbon{name}_g"] = runs[f"energy{name}_kwh"] * factor
    epochs[AS_RUN] = epochs[AS_RUN] if AS_RUN in epochs else epochs["energy_kwh"]
    calibrated_kwh = epochs["run"].map(epoch_kwh.set_axis(runs["run"]))
    epochs.loc[epochs["run"].isin(runs.loc[known, "run"]), "energy_kwh"] = calibrated_kwh
    manifest["sensors"] = sorted(runs["energy_method"].unique())
    manifest["calibration"] = {
        "study": quiet.manifest["study"],
        "hardware": quiet.manifest["hardware"],
        "epoch_kwh": {str(width): float(kwh) for width, kwh in per_epoch["energy_kwh"].items()},
    }
    for name, table in ((RUNS, runs), (EPOCHS, epochs)):
        write_text(results / name, table.to_csv(index=False))
        manifest["sha256"][name] = hashlib.sha256((results / name).read_bytes()).hexdigest()
    write_json(results / MANIFEST, manifest)
    return [str(run) for run in runs.loc[~known, "run"]]


if __name__ == "__main__":
    left = calibrate(Path(sys.argv[1]), Path(sys.argv[2]))
    print(f"{sys.argv[1]}: calibrated" + (f", but for {', '.join(left)}" if left else ""))
