"""How far each run of a study is, read from its directory, at any time and from any process."""

import os
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from carbon_midl.errors import InputError
from carbon_midl.files import read_json
from carbon_midl.footprint import FootprintRecord
from carbon_midl.run import Fingerprint
from carbon_midl.run_files import CHECKPOINT, EPOCHS, FOOTPRINT
from carbon_midl.study.execution import FAILED, NOTEBOOK
from carbon_midl.study.finished import FinishedRuns
from carbon_midl.study.spec import PlannedRun, Study

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
    why: str = ""
    epochs: int = 0
    planned: int = 0
    dice: float | None = None
    energy_kwh: float = 0.0
    carbon_g: float = 0.0
    duration_s: float = 0.0

    def to_dict(self) -> dict[str, Any]:
        """As JSON holds it."""
        return asdict(self)


def run_state(
    study: Study, run: PlannedRun, wanted: Fingerprint | None, finished: FinishedRuns, held: bool
) -> RunState:
    """Look how far a run is.

    Args:
        study: it belongs to.
        run: which.
        wanted: its fingerprint today; None where the crops are not there, so that nothing can be done with.
        finished: what finished runs say.
        held: whether some process is making it.
    """
    directory = study.directory / run.name
    row = finished.read(run.name)
    if row is not None and not held:
        there = os.path.isfile(f"{directory}/{NOTEBOOK}")  # noqa: PTH113 (as in FinishedRuns)
        state: State = "done" if there else "interrupted"
        why = ""
        if (found := Fingerprint(**row["fingerprint"])) != wanted:
            state, why = "stale", _what_changed(found, wanted)
        figures = {name: row[name] for name in ("epochs", "dice", "energy_kwh", "carbon_g", "duration_s")}
        return RunState(run.name, state, why, planned=run.options.epochs, **figures)
    figures = so_far(directory)
    if held:
        return RunState(run.name, "running", planned=run.options.epochs, **figures)
    if (directory / FAILED).exists():
        return RunState(run.name, "failed", last_line(directory), planned=run.options.epochs, **figures)
    begun = any((directory / name).exists() for name in (CHECKPOINT, FOOTPRINT))
    return RunState(run.name, "interrupted" if begun else "waiting", planned=run.options.epochs, **figures)


def last_line(directory: Path) -> str:
    """What papermill said last, which is the error of a failed run; on a full disk it could not say it."""
    try:
        if shutil.disk_usage(directory).free < _FULL_BYTES:
            return f"No space left on device: {directory} is on a full disk. Make room; the same command goes on"
        lines = (directory / "papermill.log").read_text(errors="replace").splitlines()
    except OSError:
        return "no message"
    return next((line.strip() for line in reversed(lines) if line.strip()), "no message")


def _what_changed(found: Fingerprint, wanted: Fingerprint | None) -> str:
    if wanted is None:
        return "the crops are not there"
    then, now = asdict(found), asdict(wanted)
    changed = [words for part, words in _CHANGED.items() if then[part] != now[part]]
    return f"{' and '.join(changed)} changed since"


def so_far(directory: Path) -> dict[str, Any]:
    """Epochs, best validation Dice and footprint of an unfinished run; what was never written counts as nothing."""
    figures: dict[str, Any] = {}
    try:
        header, *rows = (directory / EPOCHS).read_text().splitlines()
        column = header.split(",").index("val_dice")
        figures |= {"epochs": len(rows), "dice": max(float(row.split(",")[column]) for row in rows)}
    except (OSError, ValueError, IndexError):
        pass
    try:
        record = FootprintRecord.from_dict(read_json(directory / FOOTPRINT))
    except InputError:
        return figures
    training = record.window("training") if "training" in record.names else None
    return figures | {
        "energy_kwh": record.energy_kwh,
        "carbon_g": record.carbon_g(record.energy_kwh),
        "duration_s": training.duration_s if training else 0.0,
    }
