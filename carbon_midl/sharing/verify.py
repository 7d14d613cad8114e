"""Recompute every number of a study's results that follows from its other tables, and compare.

What the study collects is described in ``study/results.py``. The window "training" holds the epochs and what lies
between them (checkpoints, attempts that broke off), and the run as a whole what comes before and after: of these sums
only a lower bound follows from the tables. What follows from nothing, such as a loss, is held by the tables' hashes.
"""

import pandas as pd

from carbon_midl.errors import InputError
from carbon_midl.options import BUILT_IN
from carbon_midl.sharing.axes import axes
from carbon_midl.sharing.findings import Findings, Group, positions
from carbon_midl.sharing.provenance import counts, fingerprints, hashes, parts
from carbon_midl.sharing.stored import EPOCHS, KEYS, PART, RUNS, SLICES, SPLIT_PART, StoredResults
from carbon_midl.unet_size import unet_size

_COMPONENTS = ("energy_cpu_kwh", "energy_gpu_kwh", "energy_memory_kwh")


def verify(stored: StoredResults) -> Findings:
    """Check stored results against themselves.

    Raises:
        InputError: a cell that should be a number is none.
    """
    checks = [_rows, _dice, _pairing, _test, _training, _energy, _carbon, _model, fingerprints, counts]
    if "sha256" in stored.manifest:
        checks.insert(0, hashes)
    if PART in stored.runs.columns or "parts" in stored.manifest:
        checks.append(parts)
    return Findings(stored.where, tuple(check(stored) for check in checks))


def checked(stored: StoredResults) -> Findings:
    """Verify results that are to be handed on or merged.

    Raises:
        InputError: a number disagrees, or a run was made with code that is in no commit.
    """
    commits = stored.runs["commit"] if "commit" in stored.runs else pd.Series("", stored.runs.index)
    if dirty := stored.runs.loc[commits.str.endswith("-dirty"), "run"].tolist():
        raise InputError(
            f"{stored.where}: {len(dirty)} runs, first {dirty[0]}, were made from a working tree with changes that are "
            "in no commit, so nobody could make them again. Commit the changes and make these runs again."
        )
    findings = verify(stored)
    if findings.disagreements:
        raise InputError(
            f"{stored.where}: {findings.verdict}, first {findings.disagreements[0]}. See all by 'carbon-midl results "
            "verify', and restore the files or collect the study again."
        )
    return findings


def _rows(stored: StoredResults) -> Group:
    """Every run is in all tables, with the same width and seed, and no row comes twice."""
    group = Group("rows of each run in all tables")
    for file, table in stored.tables.items():
        for position in positions(table.duplicated(KEYS[file])):
            key = table[KEYS[file]].iloc[position].tolist()
            group.holds(False, file, ", ".join(KEYS[file]), f"{', '.join(key)} again", "once", key[0], position + 1)
    by_run = stored.runs.drop_duplicates("run").set_index("run")
    for file in (EPOCHS, SLICES):
        table = stored.tables[file]
        for absent in sorted(set(stored.names) - set(table["run"])):
            group.holds(False, file, "run", "no rows", "one or more", absent)
        for run, rows in table[~table["run"].isin(by_run.index)].groupby("run"):
            group.holds(False, file, "run", f"{len(rows)} rows", f"none, as {RUNS} has no such run", str(run))
        for column in ("filters", "seed"):
            expected = table["run"].map(by_run[column])
            for position in positions(expected.notna() & (expected != table[column])):
                found, said, of = (str(cells.iloc[position]) for cells in (table[column], expected, table["run"]))
                group.holds(False, file, column, found, said, of, position + 1)
    return group


def _dice(stored: StoredResults) -> Group:
    group = Group("Dice of each slice from its pixels")
    target, predicted, overlap = (stored.numbers(SLICES, f"{name}_px") for name in ("target", "predicted", "overlap"))
    total = target + predicted
    recomputed = (2 * overlap / total.where(total > 0)).mask(total == 0, 1.0)
    runs = list(stored.slices["run"])
    group.column(SLICES, "dice", runs, stored.numbers(SLICES, "dice"), recomputed, 1.0)
    group.at_least(SLICES, "target_px", runs, target, overlap)
    group.at_least(SLICES, "predicted_px", runs, predicted, overlap)
    return group


def _pairing(stored: StoredResults) -> Group:
    """All runs are tested on the same slices and targets, unless split or readers vary: comparisons are paired."""
    group = Group("the same test slices in all runs")
    if axes(stored.manifest, stored.runs) & {"split_seed", "readers"}:
        return group
    key, runs = KEYS[SLICES][1:], list(stored.slices["run"])
    by_slice = stored.slices.groupby(key)["run"]
    for position in positions(2 * by_slice.transform("size") <= len(stored.runs)):
        found = ", ".join(stored.slices[key].iloc[position])
        group.holds(False, SLICES, ", ".join(key), found, "a slice of the other runs", runs[position], position + 1)
    for column in ("target_px", "readers_dice"):
        values = stored.numbers(SLICES, column, optional=column == "readers_dice")
        group.column(SLICES, column, runs, values, values.groupby(by_slice.ngroup()).transform("median"), 1.0)
    return group


def _test(stored: StoredResults) -> Group:
    group = Group("Dice and size of the test set")
    scores = stored.slices[["run", "patient_id", SPLIT_PART]].assign(dice=stored.numbers(SLICES, "dice"))
    slices, validation = (scores[scores[SPLIT_PART] == part] for part in ("test", "validation"))
    if len(validation):
        by_patient = validation.groupby(["run", "patient_id"])["dice"].mean().groupby("run")
        _compare(group, stored, "val_dice_patients", by_patient.mean(), 1.0)
    by_run = slices.groupby("run")["dice"]
    by_patient = slices.groupby(["run", "patient_id"])["dice"].mean().groupby("run")
    _compare(group, stored, "test_dice", by_run.mean(), 1.0)
    _compare(group, stored, "test_dice_patients", by_patient.mean(), 1.0)
    _compare(group, stored, "test_slices", by_run.size())
    _compare(group, stored, "test_patients", by_patient.size())
    return group


def _training(stored: StoredResults) -> Group:
    """Epochs from 1 without a gap; the best is the first with the largest validation Dice, as in ``checkpoint.py``."""
    group = Group("epochs trained, best epoch and its validation Dice")
    epochs = _epochs(stored)
    by_run = epochs.groupby("run")
    for run, numbers in by_run["epoch"]:
        expected = range(1, len(numbers) + 1)
        found = ", ".join(f"{number:g}" for number in numbers)
        group.holds(numbers.tolist() == list(expected), EPOCHS, "epoch", found, f"1 to {len(numbers)}", str(run))
    best = epochs.loc[by_run["val_dice"].idxmax()].set_index("run")
    _compare(group, stored, "epochs_trained", by_run.size())
    _compare(group, stored, "best_epoch", best["epoch"])
    _compare(group, stored, "val_dice", best["val_dice"], 1.0)
    trained = stored.runs["run"].map(by_run.size())
    group.at_least(RUNS, "epochs", stored.names, stored.numbers(RUNS, "epochs"), trained)
    return group


def _energy(stored: StoredResults) -> Group:
    """Components add up to the training's energy; up to the best epoch it is that less the epochs since."""
    group = Group("energy and duration")
    epochs = _epochs(stored)
    best = pd.Series(stored.numbers(RUNS, "best_epoch").tolist(), stored.names).groupby(level=0).first()
    after_best = epochs[epochs["epoch"] > epochs["run"].map(best)].groupby("run")["energy_kwh"].sum()
    sums = epochs.groupby("run")[["energy_kwh", "duration_s"]].sum()
    energy_kwh = stored.numbers(RUNS, "energy_kwh")
    to_best_kwh = energy_kwh - stored.runs["run"].map(after_best.reindex(sums.index, fill_value=0.0))
    components = pd.concat([stored.numbers(RUNS, name, optional=True) for name in _COMPONENTS], axis=1)
    whole_kwh = stored.numbers(RUNS, "energy_whole_run_kwh")
    named = (RUNS, "energy_kwh", stored.names)
    group.column(*named, energy_kwh, components.sum(axis=1), energy_kwh)
    group.at_least(*named, energy_kwh, stored.runs["run"].map(sums["energy_kwh"]))
    stored_kwh = stored.numbers(RUNS, "energy_to_best_kwh")
    group.column(RUNS, "energy_to_best_kwh", stored.names, stored_kwh, to_best_kwh, energy_kwh)
    group.at_least(RUNS, "energy_whole_run_kwh", stored.names, whole_kwh, energy_kwh)
    duration_s = stored.numbers(RUNS, "duration_s")
    group.at_least(RUNS, "duration_s", stored.names, duration_s, stored.runs["run"].map(sums["duration_s"]))
    return group


def _carbon(stored: StoredResults) -> Group:
    """KWh × PUE × intensity."""
    group = Group("carbon from energy, PUE and intensity")
    factors = stored.numbers(RUNS, "pue") * stored.numbers(RUNS, "intensity_g_per_kwh")
    for of in ("", "_to_best", "_whole_run"):
        recomputed = stored.numbers(RUNS, f"energy{of}_kwh") * factors
        found = stored.numbers(RUNS, f"carbon{of}_g")
        group.column(RUNS, f"carbon{of}_g", stored.names, found, recomputed, recomputed)
    return group


def _model(stored: StoredResults) -> Group:
    """Parameters and MACs of the built-in U-Net with these filters, where the depth is the same in all runs."""
    group = Group("size of the networks")
    options = stored.manifest["options"]
    depth, own = options.get("depth"), options.get("model", BUILT_IN) != BUILT_IN
    if depth is None or own or {"depth", "model"} & axes(stored.manifest, stored.runs):
        return group
    filters = stored.numbers(RUNS, "filters")
    sizes = {width: unet_size(int(width), depth, size=stored.manifest["crops"]["size"]) for width in filters.unique()}
    for column in ("parameters", "macs"):
        expected = filters.map({width: float(getattr(size, column)) for width, size in sizes.items()})
        group.column(RUNS, column, stored.names, stored.numbers(RUNS, column), expected)
    return group


def _compare(group: Group, stored: StoredResults, column: str, recomputed: pd.Series, scale: float = 0.0) -> None:
    """Compare a column of ``runs.csv`` with what was recomputed by run."""
    expected = stored.runs["run"].map(recomputed).astype(float)
    group.column(RUNS, column, stored.names, stored.numbers(RUNS, column), expected, scale)


def _epochs(stored: StoredResults) -> pd.DataFrame:
    """The numbers of ``epochs.csv`` that are compared, by run and epoch."""
    columns = {name: stored.numbers(EPOCHS, name) for name in ("epoch", "val_dice", "energy_kwh", "duration_s")}
    return stored.epochs[["run"]].assign(**columns).sort_values(["run", "epoch"], ignore_index=True)
