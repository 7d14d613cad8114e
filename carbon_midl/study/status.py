"""How far a study is and what it has used, read from its runs' directories, at any time and from any process."""

import csv
import shutil
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from carbon_midl.errors import InputError
from carbon_midl.files import is_locked
from carbon_midl.footprint import read_footprint
from carbon_midl.lidc.crops import CropArchive
from carbon_midl.study.collect import abandoned_attempts
from carbon_midl.study.run import (
    EPOCHS,
    FAILED_NOTEBOOK,
    FOOTPRINT,
    LOCK,
    LOG,
    Fingerprint,
    code_fingerprint,
    fingerprint,
    read_result,
)
from carbon_midl.study.spec import PlannedRun, Study
from carbon_midl.training.checkpoint import CHECKPOINT

State = Literal["done", "running", "interrupted", "failed", "stale", "waiting"]

_FULL_BYTES = 2**20
_CHANGED = {"options": "the options", "crops": "the crops", "code": "the code that decides its numbers"}


@dataclass(frozen=True)
class RunState:
    """How far one run is.

    Attributes:
        name: of the run.
        state: "stale" was finished with other options, crops or code, and is made anew at the next start;
            "interrupted" goes on from its checkpoint then; "waiting" has not begun.
        why: what is stale, or why it failed; otherwise "".
        epochs: finished ones.
        planned: epochs.
        dice: test Dice of a run that is done or stale, otherwise the best validation Dice so far; None where unknown.
        energy_kwh: before PUE, of all attempts so far.
        carbon_g: the same in gCO2eq, as recorded.
        duration_s: of the training so far.
    """

    name: str
    state: State
    why: str
    epochs: int
    planned: int
    dice: float | None
    energy_kwh: float = 0.0
    carbon_g: float = 0.0
    duration_s: float = 0.0


@dataclass(frozen=True)
class StudyStatus:
    """Where a study stands.

    Attributes:
        runs: every run of the study file.
        energy_kwh: before PUE, of everything so far, failed and abandoned attempts included.
        carbon_g: the same in gCO2eq, as recorded.
        superseded: attempts that were moved aside; their energy is counted.
        predicted_left: ``energy_kwh`` and ``duration_s`` of what is still to be trained, if a run takes what those that
            are done took on average; None where none is.
        note: what could not be looked at, or "".
    """

    runs: tuple[RunState, ...]
    energy_kwh: float
    carbon_g: float
    superseded: int
    predicted_left: dict[str, float] | None
    note: str = ""

    @property
    def counts(self) -> dict[str, int]:
        """How many runs are in each state."""
        return dict(Counter(run.state for run in self.runs))

    def to_dict(self) -> dict[str, Any]:
        """As JSON holds it."""
        return {"counts": self.counts, **asdict(self)}


def study_status(study: Study) -> StudyStatus:
    """Look where a study stands; nothing is changed or rendered."""
    archive, note = _crops(study)
    code = code_fingerprint()
    runs = tuple(
        run_state(study.directory / run.name, run, fingerprint(run.options, archive, code) if archive else None)
        for run in study.runs
    )
    planned = {run.name for run in runs}
    aside = [record for name, record in abandoned_attempts(study) if name not in planned]
    return StudyStatus(
        runs=runs,
        energy_kwh=sum(run.energy_kwh for run in runs) + sum(record.energy_kwh for record in aside),
        carbon_g=sum(run.carbon_g for run in runs) + sum(record.carbon_g(record.energy_kwh) for record in aside),
        superseded=len(aside),
        predicted_left=_left(runs),
        note=note,
    )


def run_state(directory: Path, run: PlannedRun, wanted: Fingerprint | None) -> RunState:
    """Look how far a run is; ``wanted`` is its fingerprint today, or None where the crops are not there."""
    state: State = "waiting"
    why, finished, dice_by_epoch = "", _result(directory), validation_dice(directory)
    dice = max(dice_by_epoch, default=None)
    if is_locked(directory / LOCK):
        state = "running"
    elif finished:
        found, dice = finished
        why = _what_changed(found, wanted)
        state = "stale" if why else "done"
    elif (directory / FAILED_NOTEBOOK).exists():
        state, why = "failed", last_line(directory)
    elif any((directory / name).exists() for name in (CHECKPOINT, FOOTPRINT)):
        state = "interrupted"
    return RunState(run.name, state, why, len(dice_by_epoch), run.options.epochs, dice, *_used(directory))


def validation_dice(directory: Path) -> list[float]:
    """Validation Dice of each finished epoch of a run."""
    try:
        with (directory / EPOCHS).open(newline="") as table:
            return [float(row["val_dice"]) for row in csv.DictReader(table)]
    except (OSError, ValueError, KeyError):
        return []


def last_line(directory: Path) -> str:
    """What papermill said last, which is the error of a failed run; on a full disk it could not say it."""
    try:
        if shutil.disk_usage(directory).free < _FULL_BYTES:
            return f"No space left on device: {directory} is on a full disk. Make room; the same command goes on"
        lines = (directory / LOG).read_text(errors="replace").split("\n")
    except OSError:
        lines = []
    return next((line.strip() for line in reversed(lines) if line.strip()), "no message")


def _result(directory: Path) -> tuple[Fingerprint, float] | None:
    """Fingerprint and test Dice of a run that has a result."""
    try:
        result = read_result(directory)
        return Fingerprint(**result["fingerprint"]), result["test"]["dice"]
    except (InputError, KeyError, TypeError):
        return None


def _used(directory: Path) -> tuple[float, float, float]:
    """Energy in kWh, carbon in g and seconds of training so far; what was never written counts as nothing."""
    try:
        record = read_footprint(directory / FOOTPRINT)
    except InputError:
        return 0.0, 0.0, 0.0
    trained_s = record.window("training").duration_s if "training" in record.names else 0.0
    return record.energy_kwh, record.carbon_g(record.energy_kwh), trained_s


def _what_changed(then: Fingerprint, now: Fingerprint | None) -> str:
    if now is None:
        return "the crops are not there"
    changed = [words for part, words in _CHANGED.items() if getattr(then, part) != getattr(now, part)]
    return f"{' and '.join(changed)} changed since" if changed else ""


def _left(runs: Sequence[RunState]) -> dict[str, float] | None:
    done = [run for run in runs if run.state == "done"]
    if not done:
        return None
    # A run that goes on lacks some of its epochs, any other all of them.
    shares = (1.0 if run.state == "stale" else 1 - run.epochs / run.planned for run in runs if run.state != "done")
    factor = sum(shares) / len(done)
    return {name: factor * sum(getattr(run, name) for run in done) for name in ("energy_kwh", "duration_s")}


def _crops(study: Study) -> tuple[CropArchive | None, str]:
    phantom = study.crops.phantom
    where = study.root / (study.crops.archive or "")
    if phantom is not None:
        from carbon_midl.lidc.phantom import phantom_directory

        where = phantom_directory(study.root, phantom.patients, phantom.seed, phantom.size)
        if not where.exists():
            return None, "The phantom is not rendered yet; the first start does that."
    try:
        return CropArchive.open(where), ""
    except InputError as error:
        return None, str(error)
