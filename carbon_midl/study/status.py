"""How far a study is and what it has used, read from its runs' directories.

Any process may look at any time. Nothing is written, so it works on a read-only disk. Runs of a search lie in a
directory of their own and do not count here: a policy ended most of them early, so none stands for a run of the study.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pandas as pd

from carbon_midl.errors import InputError
from carbon_midl.files import is_locked
from carbon_midl.footprint import FootprintRecord, read_footprint
from carbon_midl.study.collect import abandoned_attempts
from carbon_midl.study.run import (
    EPOCHS,
    FAILED_NOTEBOOK,
    FOOTPRINT,
    LOCK,
    LOG,
    Fingerprint,
    fingerprint,
    finished_fingerprint,
)
from carbon_midl.study.spec import PlannedRun, Study, open_crops
from carbon_midl.training.checkpoint import CHECKPOINT

State = Literal["done", "running", "interrupted", "failed", "stale", "waiting"]

_CHANGED: Fingerprint = {"options": "the options", "crops": "the crops", "code": "the code that decides its numbers"}


@dataclass(frozen=True)
class RunState:
    """How far one run is.

    "stale" was finished with other options, crops or code and is made again at the next start; "interrupted" resumes
    then from its checkpoint; "waiting" has not begun.
    """

    name: str
    state: State
    why: str  #: what makes it stale, or why it failed; otherwise "".
    epochs: int  #: how many are finished.
    planned: int  #: how many are planned.
    dice: float | None  #: the best Dice on the validation patients so far; None before the first epoch.
    energy_kwh: float = 0.0  #: before PUE, of all attempts so far.
    carbon_g: float = 0.0  #: the same in gCO2eq, as recorded.
    duration_s: float = 0.0  #: of the training so far.


@dataclass(frozen=True)
class StudyStatus:
    """How far a study is."""

    counts: dict[str, int]  #: how many runs are in each state.
    runs: tuple[RunState, ...]
    energy_kwh: float  #: before PUE, of everything so far, including failed attempts and those moved aside.
    carbon_g: float  #: the same in gCO2eq, as recorded.
    predicted_left: dict[str, float] | None  #: of the trainings that are left, by the mean of the runs that are done.
    note: str = ""  #: what could not be read, or "".


def study_status(study: Study) -> StudyStatus:
    """Read how far a study is; nothing is changed or rendered."""
    try:
        archive, note = open_crops(study, render=False), ""
    except InputError as error:
        archive, note = None, str(error)
    runs = tuple(
        _run_state(study.directory / run.name, run, fingerprint(run.options, archive) if archive else None)
        for run in study.runs
    )
    planned = {run.name for run in runs}
    aside = [record for name, record in abandoned_attempts(study) if name not in planned]
    return StudyStatus(
        counts=dict(Counter(run.state for run in runs)),
        runs=runs,
        energy_kwh=sum(run.energy_kwh for run in runs) + sum(record.energy_kwh for record in aside),
        carbon_g=sum(run.carbon_g for run in runs) + sum(record.carbon_g(record.energy_kwh) for record in aside),
        predicted_left=predicted_left(runs),
        note=note,
    )


def _run_state(directory: Path, run: PlannedRun, wanted: Fingerprint | None) -> RunState:
    """Read how far a run is; ``wanted`` is its fingerprint as of today, or None if the crops are not there."""
    state: State = "waiting"
    why, dice, finished = "", validation_dice(directory), finished_fingerprint(directory)
    if is_locked(directory / LOCK):
        state = "running"
    elif finished and not wanted:
        state, why = "stale", "the crops are not there"
    elif finished and wanted:
        changed = [words for part, words in _CHANGED.items() if finished.get(part) != wanted[part]]
        state, why = ("stale", f"{' and '.join(changed)} changed since") if changed else ("done", "")
    elif (directory / FAILED_NOTEBOOK).exists():
        state, why = "failed", last_line(directory)
    elif any((directory / name).exists() for name in (CHECKPOINT, FOOTPRINT)):
        state = "interrupted"
    try:
        record = read_footprint(directory / FOOTPRINT)
    except InputError:  # nothing was recorded
        record = FootprintRecord((), run.options.epochs)
    return RunState(
        name=run.name,
        state=state,
        why=why,
        epochs=len(dice),
        planned=run.options.epochs,
        dice=max(dice, default=None),
        energy_kwh=record.energy_kwh,
        carbon_g=record.carbon_g(record.energy_kwh),
        duration_s=record.window("training").duration_s if "training" in record.names else 0.0,
    )


def validation_dice(directory: Path) -> list[float]:
    """Return the validation Dice of each finished epoch of a run."""
    try:
        return pd.read_csv(directory / EPOCHS)["val_dice"].astype(float).tolist()
    except (OSError, ValueError, KeyError):
        return []


def last_line(directory: Path) -> str:
    """Return the last line that papermill wrote, the error of a failed run."""
    log = directory / LOG
    lines = log.read_text(errors="replace").split("\n") if log.exists() else []
    return next((line.strip() for line in reversed(lines) if line.strip()), "no message; the disk may be full")


def predicted_left(runs: Sequence[RunState]) -> dict[str, float] | None:
    """Predict ``energy_kwh`` and ``duration_s`` of the trainings that are left by the mean of those that are done."""
    done = [run for run in runs if run.state == "done"]
    if not done:
        return None
    # A run that is resumed lacks some of its epochs, a stale one all of them.
    shares = (1.0 if run.state == "stale" else 1 - run.epochs / run.planned for run in runs if run.state != "done")
    factor = sum(shares) / len(done)
    return {name: factor * sum(getattr(run, name) for run in done) for name in ("energy_kwh", "duration_s")}
