"""How far candidates are, and training them on: by the same notebook, in the same directories, as a study does."""

from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import pandas as pd

from carbon_midl.errors import InputError
from carbon_midl.files import read_json
from carbon_midl.footprint import FootprintRecord
from carbon_midl.lidc.crops import CropArchive
from carbon_midl.network_size import network_size
from carbon_midl.run import fingerprint, read_result, resumable, training_fingerprint
from carbon_midl.run_files import EPOCHS, FOOTPRINT
from carbon_midl.search.plan import Plan
from carbon_midl.selection.policies import Trial
from carbon_midl.study.execution import FAILED, execute
from carbon_midl.study.making import Outcome, is_done, make_run, run_parameters, set_aside
from carbon_midl.study.spec import PlannedRun
from carbon_midl.study.starter import Starter
from carbon_midl.study.states import last_line


class Trainer(Protocol):
    """What a search needs of whatever trains its candidates."""

    def trial(self, run: PlannedRun) -> Trial:
        """How far a candidate is."""

    def spent_kwh(self, run: PlannedRun) -> float:
        """All that it has used, also between epochs and in attempts that failed."""

    def train(self, run: PlannedRun, until: int, poll: Callable[[], None], lock: int | None) -> str:
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
        starter: of the processes, at the place to train at.
    """

    def __init__(self, plan: Plan, archive: CropArchive, notebook: Path, starter: Starter) -> None:
        self._plan, self._archive, self._notebook, self._starter = plan, archive, notebook, starter

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

    def train(self, run: PlannedRun, until: int, poll: Callable[[], None], lock: int | None) -> str:
        """Execute the notebook, which pauses after the epoch."""
        directory = self._plan.directory / run.name
        if not self._goes_on(run):
            set_aside(directory)
        parameters = run_parameters(self._plan.study, run, self._archive)
        parameters |= {"metered_alone": self._starter.slot.metered_alone, "pause_after": until}
        execute(self._notebook, directory, parameters, poll, self._starter, lock)
        if self.trial(run).trained < until:
            return last_line(directory)
        # A pause ends the notebook before its last cell, which for papermill is a failure.
        (directory / FAILED).unlink(missing_ok=True)
        return ""

    def finish(self, run: PlannedRun, limit_kwh: float | None, poll: Callable[[], None]) -> str:
        """Execute the notebook to its end."""
        plan = self._plan
        outcome = make_run(plan.study, _limited(run, limit_kwh), self._archive, self._notebook, self._starter, poll)
        return last_line(plan.directory / run.name) if outcome is Outcome.FAILED else ""

    def tested(self, run: PlannedRun, limit_kwh: float | None) -> dict[str, float] | None:
        """From the run's result."""
        directory = self._plan.directory / run.name
        if not is_done(directory, fingerprint(_limited(run, limit_kwh).options, self._archive)):
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
