"""A limit on what a whole search may cost, whichever policy it goes by."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from carbon_midl.errors import InputError
from carbon_midl.selection.criteria import number
from carbon_midl.selection.policies import Policy, Step, Trial


@dataclass(frozen=True)
class WithinBudget(Policy):
    """A policy whose steps are left out where they are predicted to exceed what is left of a limit.

    An epoch is predicted to cost what the trial's own have cost on average, before its first what the cost per size of
    the trained trial nearest in size makes it. Before anything is trained, one epoch of one trial is allowed. Steps
    are paid for in the order in which the policy lists them, so what is begun can be finished.

    Where a list of steps could exceed the limit by costing ``margin`` times its prediction, it shrinks to the next
    epoch of its first step, and a trial's first epoch is always a step of its own. So one worker that asks again after
    each step exceeds the limit by at most the misprediction of one epoch, as long as a step costs no more than
    ``margin`` times its prediction; with an infinite margin, always. Each further worker may add an epoch's.

    Attributes:
        policy: any.
        limit: of the whole search, in the unit of the trials' cost; above 0.
        margin: at least 1.
    """

    policy: Policy
    limit: float
    margin: float = 2.0

    name: ClassVar[str] = "within-budget"
    summary: ClassVar[str] = "Leave out what is predicted to exceed the budget."
    assumption: ClassVar[str] = "A candidate's epochs cost alike, and the budget is fixed."
    source: ClassVar[str] = (
        "stopping a training that is predicted to exceed its budget: Anthony, Kanding and Selvan 2020 (Carbontracker)"
    )

    def __post_init__(self) -> None:
        if not math.isfinite(self.limit) or self.limit <= 0:
            raise InputError(f"limit: found {self.limit}; expected a number above 0, in the unit of the cost.")
        if not self.margin >= 1:
            raise InputError(f"margin: found {self.margin}; expected a number of 1 or more.")

    def steps(self, trials: Sequence[Trial]) -> list[Step]:
        """The policy's, as far as they fit; an empty list ends the search, too, where none fits."""
        fitting, _ = self._split(trials)
        if not any(trial.trained for trial in trials):
            return [_next_epoch(step, trials) for step in fitting[:1]]
        whole = math.fsum(_predicted(step, trials) for step in fitting)
        if self.margin * whole > self._left(trials):
            return [_next_epoch(step, trials) for step in fitting[:1]]
        return [step if trials[step.trial].trained else _next_epoch(step, trials) for step in fitting]

    def dropped(self, trials: Sequence[Trial]) -> list[Step]:
        """What is left out of the policy's steps, each with what it is predicted to cost and what was left for it."""
        return self._split(trials)[1]

    def choose(self, trials: Sequence[Trial]) -> int:
        """As the policy does."""
        return self.policy.choose(trials)

    def describe(self) -> str:
        """The policy with its limit."""
        return f"{self.policy.describe()}, within {number(self.limit)}"

    def _left(self, trials: Sequence[Trial]) -> float:
        return self.limit - math.fsum(trial.spent for trial in trials)

    def _split(self, trials: Sequence[Trial]) -> tuple[list[Step], list[Step]]:
        """The policy's steps that fit one after the other, and those that do not."""
        left = self._left(trials)
        fitting, dropped = [], []
        for step in self.policy.steps(trials):
            cost = _predicted(step, trials)
            if cost > left:
                reason = f"left out: predicted to cost {number(cost)}, with {number(left)} of the budget left for it"
                dropped.append(Step(step.trial, step.until, reason))
            else:
                fitting.append(step)
                left -= cost
        return fitting, dropped


def _predicted(step: Step, trials: Sequence[Trial]) -> float:
    """What a step will cost; 0 where nothing has been trained that would tell."""
    trial = trials[step.trial]
    epochs = step.until - trial.trained
    if trial.trained:
        return epochs * trial.epoch_cost
    trained = [other for other in trials if other.trained]
    if not trained:
        return 0.0
    nearest = min(trained, key=lambda other: abs(math.log(other.size / trial.size)))
    return epochs * nearest.epoch_cost / nearest.size * trial.size


def _next_epoch(step: Step, trials: Sequence[Trial]) -> Step:
    return Step(step.trial, trials[step.trial].trained + 1, step.reason)
