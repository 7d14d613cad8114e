"""One worker of a search: decide, claim, train, settle, until the policy asks for nothing more.

Deciding and claiming are done under one lock, so that several workers never claim the same step, and each decides on
what is there: the candidates' learning curves as they lie on disk. A worker holds the lock of the candidate that it
trains; where that lock is free, the worker of a claimed step is gone, and the step is asked for anew.
"""

import os
import socket
import time
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from carbon_midl.errors import InputError
from carbon_midl.locks import is_held, next_holder
from carbon_midl.search.ledger import Entry, Ledger
from carbon_midl.search.plan import Plan
from carbon_midl.search.trainer import Trainer
from carbon_midl.selection.policies import Step, Trial
from carbon_midl.selection.within_budget import WithinBudget
from carbon_midl.study.run_locks import lock_of
from carbon_midl.study.spec import PlannedRun

if TYPE_CHECKING:
    import optuna

TRIES = 3
"""A candidate whose steps failed so often is out."""
FINISH = "the chosen one, trained to its end and tested"
_WAIT_S = 0.5


@dataclass(frozen=True)
class Standing:
    """How a search stands.

    Attributes:
        entries: the ledger's.
        trials: of the candidates that are in, in the order of the plan.
        out: candidates that are out, each with what it had used (kWh).
        spent_kwh: by all candidates, also between epochs and in attempts that failed.
    """

    entries: list[Entry]
    trials: list[Trial]
    out: dict[str, float]
    spent_kwh: float

    @property
    def busy(self) -> set[str]:
        """Candidates that some worker is training."""
        return {entry.candidate for entry in self.entries if entry.state == "running"}


class Worker:
    """Takes part in a search.

    Args:
        plan: the search.
        trainer: that trains its candidates.
        say: told of every step in a line.
        poll: called while something is waited for or trained; what it raises stops the worker, its training saved.
    """

    def __init__(
        self,
        plan: Plan,
        trainer: Trainer,
        say: Callable[[str], None] = lambda line: None,
        poll: Callable[[], None] = lambda: None,
    ) -> None:
        plan.begin()
        self._plan, self._trainer, self._say, self._poll = plan, trainer, say, poll
        self._runs = {run.name: run for run in plan.runs}
        self._lock = plan.directory / ".deciding"
        with next_holder(self._lock, poll):
            self._ledger = Ledger(plan.directory, list(self._runs), plan.epochs)
        self._name = f"{socket.gethostname()}-{os.getpid()}"

    def work(self) -> PlannedRun:
        """Do steps until the search has ended and its choice is trained and tested; returns the chosen candidate.

        Raises:
            InputError: no candidate could be trained, or the chosen one could not be finished.
        """
        while self._step():
            pass
        standing = self.standing()
        self._tell_what_was_left_out(standing)
        chosen = self._chosen(standing)
        self._say(f"Chosen: {chosen.name}.")
        self._finish(chosen)
        return chosen

    def standing(self) -> Standing:
        """How the search stands now."""
        entries = self._ledger.entries()
        failures = Counter(entry.candidate for entry in entries if entry.state == "failed")
        spent = {name: self._trainer.spent_kwh(run) for name, run in self._runs.items()}
        out = {name: spent[name] for name in self._runs if failures[name] >= TRIES}
        trials = [self._trainer.trial(run) for name, run in self._runs.items() if name not in out]
        return Standing(entries, trials, out, sum(spent.values()))

    def finishing_limit_kwh(self, chosen: PlannedRun) -> float | None:
        """What the chosen candidate may use in all its training: the search's limit without what others used."""
        if self._plan.limit_kwh is None:
            return None
        others = sum(self._trainer.spent_kwh(run) for run in self._plan.runs if run.name != chosen.name)
        return max(self._plan.limit_kwh - others, 1e-9)

    def _step(self) -> bool:
        """Do the next step, or wait for those of others; returns whether the search goes on."""
        with ExitStack() as held:
            with next_holder(self._lock, self._poll):
                self._ledger.bury(lambda name: is_held(self._lock_of(name)))
                standing = self.standing()
                if not standing.trials:
                    raise InputError(
                        f"{self._plan.directory}: every candidate failed {TRIES} times; see failed-notebook.ipynb in "
                        f"{next(iter(standing.out))}."
                    )
                policy = self._plan.bounded(sum(standing.out.values()))
                steps = policy.steps(standing.trials)
                free = [step for step in steps if standing.trials[step.trial].name not in standing.busy]
                if free:
                    step = free[0]
                    trial = standing.trials[step.trial]
                    lock = held.enter_context(next_holder(self._lock_of(trial.name), self._poll))
                    first = trial.trained + 1
                    claimed = self._ledger.claim(trial.name, first, step.until, step.reason, self._name)
            if free:
                before = self._trainer.spent_kwh(self._runs[trial.name])
                why, ended = "", False
                try:
                    why = self._trainer.train(self._runs[trial.name], step.until, self._poll, lock)
                    ended = True
                finally:
                    self._settle(claimed, trial, step, before, why, ended)
                return True
        if steps or standing.busy:
            self._poll()
            time.sleep(_WAIT_S)
        return bool(steps or standing.busy)

    def _settle(
        self, claimed: "optuna.Trial", trial: Trial, step: Step, before_kwh: float, why: str, ended: bool
    ) -> None:
        run = self._runs[trial.name]
        used_kwh = self._trainer.spent_kwh(run) - before_kwh
        with next_holder(self._lock):
            if ended and not why:
                now = self._trainer.trial(run)
                self._ledger.settle(claimed, now.best, used_kwh)
                self._say(
                    f"{trial.name}: epoch {trial.trained + 1} to {step.until}, validation Dice {now.best:.3f}, "
                    f"{1000 * used_kwh:.3g} Wh ({step.reason})"
                )
            else:
                self._ledger.fail(claimed, used_kwh, why)
                self._say(f"{trial.name}: {f'failed: {why}' if why else 'interrupted; its state is saved'}")

    def _chosen(self, standing: Standing) -> PlannedRun:
        policy = self._plan.bounded(sum(standing.out.values()))
        return self._runs[standing.trials[policy.choose(standing.trials)].name]

    def _finish(self, chosen: PlannedRun) -> None:
        limit_kwh = self.finishing_limit_kwh(chosen)
        if self._trainer.tested(chosen, limit_kwh) is not None:
            return
        before, trained = self._trainer.spent_kwh(chosen), self._trainer.trial(chosen).trained
        if why := self._trainer.finish(chosen, limit_kwh, self._poll):
            raise InputError(f"{self._plan.directory / chosen.name}: could not be finished: {why}.")
        used_kwh, now = self._trainer.spent_kwh(chosen) - before, self._trainer.trial(chosen)
        with next_holder(self._lock):
            if not any(entry.reason == FINISH and entry.state == "done" for entry in self._ledger.entries()):
                first, until = min(trained + 1, now.trained), max(now.trained, 1)
                claimed = self._ledger.claim(chosen.name, first, until, FINISH, self._name)
                self._ledger.settle(claimed, now.best, used_kwh)

    def _tell_what_was_left_out(self, standing: Standing) -> None:
        policy = self._plan.bounded(sum(standing.out.values()))
        if isinstance(policy, WithinBudget):
            for step in policy.dropped(standing.trials):
                self._say(f"{standing.trials[step.trial].name}: {step.reason}")

    def _lock_of(self, name: str) -> Path:
        return lock_of(self._plan.study, self._runs[name])
