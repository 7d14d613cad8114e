"""How far candidates are, and training them on: by the same notebook, in the same directories, as a study does."""

from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import pandas as pd

from carbon_midl.errors import InputError
from carbon_midl.files import read_json
from carbon_midl.footprint import FootprintRecord
from carbon_midl.lidc.crops import CropArchive
from carbon_midl.run import fingerprint, is_finished, read_result, resumable, training_fingerprint
from carbon_midl.run_files import EPOCHS, FAILED_NOTEBOOK, FOOTPRINT
from carbon_midl.search.plan import Plan
from carbon_midl.selection.policy import Trial
from carbon_midl.study.devices import Slot
from carbon_midl.study.runner import execute, make_run, run_parameters, set_aside, wait_for_kernel
from carbon_midl.study.spec import PlannedRun
from carbon_midl.study.status import last_line
from carbon_midl.training.network import network_size


class Trainer(Protocol):
    """What a search needs of whatever trains its candidates."""

    def trial(self, run: PlannedRun) -> Trial:
        """How far a candidate is."""

    def spent_kwh(self, run: PlannedRun) -> float:
        """All that it has used, also between epochs and in attempts that failed."""

    def train(self, run: PlannedRun, until: int, poll: Callable[[], None]) -> str:
        """Train it on to the end of an epoch; returns why that failed, or ""."""

    def finish(self, run: PlannedRun, limit_kwh: float | None, poll: Callable[[], None]) -> str:
        """Train it to its end, as far as its own limit allows, and test it; returns why that failed, or ""."""

    def tested(self, run: PlannedRun, limit_kwh: float | None) -> dict[str, float] | None:
        """Dice on the test patients, once it was finished: ``dice``, ``dice_patients``, ``patients``, ``slices``."""


class NotebookTrainer:
    """Trains by papermill in the search's directory.

    Args:
        plan: the search.
        archive: the study's crops.
        notebook: to execute.
        slot: where to train.
    """

    def __init__(self, plan: Plan, archive: CropArchive, notebook: Path, slot: Slot) -> None:
        self._plan, self._archive, self._notebook, self._slot = plan, archive, notebook, slot

    def trial(self, run: PlannedRun) -> Trial:
        """Validation Dice and energy of each finished epoch; the size is the network's multiply–accumulates."""
        options = run.options
        size = network_size(options, self._archive.size).macs
        empty = Trial(run.name, size, options.epochs)
        directory = self._plan.directory / run.name
        if not self._goes_on(run):
            return empty
        try:
            table = pd.read_csv(directory / EPOCHS)
            record = FootprintRecord.from_dict(read_json(directory / FOOTPRINT))
        except (OSError, InputError, pd.errors.EmptyDataError):
            return empty
        # Of an epoch that was saved just before a kill, table or footprint may not tell yet; it is trained once more.
        count = min(len(table), len(record.finished_epochs))
        cost = tuple(record.epoch(number).energy_kwh for number in range(1, count + 1))
        return Trial(run.name, size, options.epochs, tuple(table["val_dice"].iloc[:count].astype(float)), cost)

    def spent_kwh(self, run: PlannedRun) -> float:
        """Of the record so far."""
        try:
            return FootprintRecord.from_dict(read_json(self._plan.directory / run.name / FOOTPRINT)).energy_kwh
        except InputError:
            return 0.0

    def train(self, run: PlannedRun, until: int, poll: Callable[[], None]) -> str:
        """Execute the notebook, which pauses after the epoch."""
        study, directory = self._plan.study, self._plan.directory / run.name
        wait_for_kernel(directory, poll)
        if not self._goes_on(run):
            set_aside(directory)
        parameters = run_parameters(study, run, self._archive, self._slot) | {"pause_after": until}
        execute(study, self._notebook, directory, parameters, self._slot, poll)
        if self.trial(run).trained < until:
            return last_line(directory)
        # A pause ends the notebook before its last cell, which for papermill is a failure.
        (directory / FAILED_NOTEBOOK).unlink(missing_ok=True)
        return ""

    def finish(self, run: PlannedRun, limit_kwh: float | None, poll: Callable[[], None]) -> str:
        """Execute the notebook to its end."""
        try:
            make_run(self._plan.study, _limited(run, limit_kwh), self._archive, self._notebook, self._slot, poll)
        except InputError as error:
            return str(error)
        return ""

    def tested(self, run: PlannedRun, limit_kwh: float | None) -> dict[str, float] | None:
        """From the run's result."""
        directory = self._plan.directory / run.name
        if not is_finished(directory, fingerprint(_limited(run, limit_kwh).options, self._archive)):
            return None
        test = read_result(directory)["test"]
        return {name: test[name] for name in ("dice", "dice_patients", "patients", "slices")}

    def _goes_on(self, run: PlannedRun) -> bool:
        """Whether what lies in the candidate's directory is of this training."""
        directory = self._plan.directory / run.name
        wanted = training_fingerprint(run.options, self._archive)
        if resumable(directory, wanted) is not None:
            return True
        try:  # finished: its checkpoint is gone
            found = read_result(directory)["fingerprint"]
        except InputError:
            return False
        return found["code"] == fingerprint(run.options, self._archive).code


def _limited(run: PlannedRun, limit_kwh: float | None) -> PlannedRun:
    if limit_kwh is None:
        return run
    return PlannedRun(run.name, run.options.model_copy(update={"budget_kwh": limit_kwh}))
