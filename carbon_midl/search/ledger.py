"""What the workers of a search have claimed and done, in Optuna's storage: one Optuna trial a step.

The learning curves themselves lie in the candidates' directories; the ledger tells who is at work on which step, and
in which order the steps were done and why. Optuna's own dashboards and tables can read it. Whoever calls holds the
search's lock, so that one worker at a time decides.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal
from uuid import uuid4

import optuna
from optuna.trial import FrozenTrial, TrialState

DATABASE = "search.db"
State = Literal["running", "done", "failed", "interrupted"]
_PATIENCE_S = 120
"""How long a worker waits for another to leave the database."""


@dataclass(frozen=True)
class Entry:
    """A step as the ledger has it.

    Attributes:
        number: in the order of claiming, from 0.
        candidate: its name.
        first: epoch with which it begins, from 1.
        until: epoch with which it is to end.
        reason: the policy's.
        state: "interrupted" where its worker was stopped or is gone.
        worker: process that did it, as host's process number.
        started: UTC.
        ended: UTC; None while it runs.
        performance: the candidate's best after it.
        energy_kwh: of it, with all that went on between the epochs and in attempts that failed.
        why: it failed.
    """

    number: int
    candidate: str
    first: int
    until: int
    reason: str
    state: State
    worker: str
    started: datetime | None
    ended: datetime | None
    performance: float | None = None
    energy_kwh: float = 0.0
    why: str = ""


class Ledger:
    """The storage of one search.

    Args:
        directory: of the search.
        candidates: their names.
        epochs: the most that one trains.
    """

    def __init__(self, directory: Path, candidates: Sequence[str], epochs: int) -> None:
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        storage = optuna.storages.RDBStorage(
            f"sqlite:///{(directory / DATABASE).absolute()}", engine_kwargs={"connect_args": {"timeout": _PATIENCE_S}}
        )
        self._study = optuna.create_study(
            storage=storage, study_name=directory.name, direction="maximize", load_if_exists=True
        )
        self._space: dict[str, optuna.distributions.BaseDistribution] = {
            "candidate": optuna.distributions.CategoricalDistribution(list(candidates)),
            "until": optuna.distributions.IntDistribution(1, epochs),
        }

    def claim(self, candidate: str, first: int, until: int, reason: str, worker: str) -> optuna.Trial:
        """Put a step down as begun."""
        own = uuid4().hex
        attributes = {"claim": own, "first": first, "reason": reason, "worker": worker}
        self._study.enqueue_trial({"candidate": candidate, "until": until}, user_attrs=attributes)
        while True:
            trial = self._study.ask(self._space)
            if trial.user_attrs.get("claim") == own:
                return trial
            # Left by a worker that was killed between the two calls.
            self._study.tell(trial, state=TrialState.FAIL)

    def settle(self, step: optuna.Trial, performance: float, energy_kwh: float) -> None:
        """Put a step down as done."""
        step.set_user_attr("energy_kwh", energy_kwh)
        self._study.tell(step, performance)

    def fail(self, step: optuna.Trial, energy_kwh: float, why: str = "") -> None:
        """Put a step down as failed, and why; or as interrupted, where there is no reason."""
        step.set_user_attr("energy_kwh", energy_kwh)
        step.set_user_attr("why", why)
        self._study.tell(step, state=TrialState.FAIL)

    def bury(self, alive: Callable[[str], bool]) -> None:
        """Put steps down as interrupted whose worker is gone.

        Args:
            alive: whether some process is at work on the candidate of this name.
        """
        for entry in self.entries():
            if entry.state == "running" and not alive(entry.candidate):
                self._study.tell(entry.number, state=TrialState.FAIL)

    def entries(self) -> list[Entry]:
        """All steps, in the order of claiming."""
        trials = self._study.get_trials(deepcopy=False)
        return [_entry(trial) for trial in trials if trial.state != TrialState.WAITING and "worker" in trial.user_attrs]


def _entry(trial: FrozenTrial) -> Entry:
    told = trial.user_attrs
    states: dict[TrialState, State] = {TrialState.RUNNING: "running", TrialState.COMPLETE: "done"}
    state = states.get(trial.state, "failed" if told.get("why") else "interrupted")
    return Entry(
        number=trial.number,
        candidate=trial.params["candidate"],
        first=told["first"],
        until=trial.params["until"],
        reason=told["reason"],
        state=state,
        worker=told["worker"],
        started=_utc(trial.datetime_start),
        ended=_utc(trial.datetime_complete),
        performance=trial.value,
        energy_kwh=told.get("energy_kwh", 0.0),
        why=told.get("why", ""),
    )


def _utc(time: datetime | None) -> datetime | None:
    return None if time is None else time.astimezone(UTC)
