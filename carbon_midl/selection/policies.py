"""Policies that train one candidate like another: in full, until it no longer improves, or from the smallest upwards.

Those that let candidates compete while they train are in `carbon_midl.selection.halving`, the limit that any policy
may be given is in `carbon_midl.selection.within_budget`; here are the names of all of them.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from carbon_midl.errors import InputError
from carbon_midl.selection.halving import ScreenedHalving, SuccessiveHalving
from carbon_midl.selection.policy import Policy, Step, Trial, best_of
from carbon_midl.selection.within_budget import WithinBudget

__all__ = ["POLICIES", "EarlyStopping", "FullSweep", "ScreenedHalving", "SuccessiveHalving", "Widen", "WithinBudget"]


@dataclass(frozen=True)
class FullSweep(Policy):
    """Every candidate is trained for all its epochs, the smallest first."""

    name: ClassVar[str] = "full"
    summary: ClassVar[str] = "Train every candidate for all its epochs."
    assumption: ClassVar[str] = "Cost does not matter."
    source: ClassVar[str] = "usual practice"

    def steps(self, trials: Sequence[Trial]) -> list[Step]:
        """All that is left of every training."""
        return [
            Step(place, trials[place].epochs, "every candidate is trained in full")
            for place in by_size(trials)
            if trials[place].trained < trials[place].epochs
        ]

    def describe(self) -> str:
        """The policy in a few words."""
        return "full sweep"


@dataclass(frozen=True)
class EarlyStopping(Policy):
    """Every candidate is trained until its performance has not improved for some epochs.

    Attributes:
        patience: so many epochs.
    """

    patience: int = 5

    name: ClassVar[str] = "early-stopping"
    summary: ClassVar[str] = "Train every candidate until it has not improved for some epochs."
    assumption: ClassVar[str] = "A training that has not improved for so long will not improve again by much."
    source: ClassVar[str] = "Prechelt 1998, Early stopping – but when? (Neural Networks: Tricks of the Trade)"

    def __post_init__(self) -> None:
        _check_whole("patience", self.patience)

    def steps(self, trials: Sequence[Trial]) -> list[Step]:
        """Each training up to the epoch at which it would stop if none before improves."""
        return [
            step
            for place in by_size(trials)
            if (step := _patient_step(trials[place], place, self.patience, "still improving")) is not None
        ]

    def describe(self) -> str:
        """The policy with its patience."""
        return f"early stopping after {self.patience} epochs without improvement"


@dataclass(frozen=True)
class Widen(Policy):
    """From the smallest candidate upwards, going on only while the gain pays.

    Candidates are trained in stages of ``stage`` at once, each with early stopping. A stage pays where it raises the
    best performance by at least ``gain`` for every doubling of what the search has cost; the first that does not pay
    is the last.

    Attributes:
        gain: performance, 0–1, that a doubling of the search's cost must bring.
        stage: candidates in a stage.
        patience: epochs without improvement after which a training stops; None trains all epochs.
    """

    gain: float = 0.005
    stage: int = 1
    patience: int | None = 5

    name: ClassVar[str] = "widen"
    summary: ClassVar[str] = "Start with the smallest candidate and go on to larger ones only while the gain pays."
    assumption: ClassVar[str] = "Performance rises with size and levels off: where one stage does not pay, none does."
    source: ClassVar[str] = (
        "the question of Selvan 2021 (MIDL), who finds about 1 % more Dice for 1500 % more carbon; the rule is this "
        "project's own"
    )

    def __post_init__(self) -> None:
        if not math.isfinite(self.gain) or self.gain < 0:
            raise InputError(f"gain: found {self.gain}; expected a number of 0 or more, such as 0.005.")
        _check_whole("stage", self.stage)
        if self.patience is not None:
            _check_whole("patience", self.patience)

    def steps(self, trials: Sequence[Trial]) -> list[Step]:
        """What is left of the first stage that is not done, if the one before it has paid."""
        order = by_size(trials)
        before: list[Trial] = []
        for start in range(0, len(order), self.stage):
            places = order[start : start + self.stage]
            steps = [step for place in places if (step := self._step(trials[place], place, not before)) is not None]
            if steps:
                return steps
            stage = [trials[place] for place in places]
            if before and not self._pays(before, stage):
                return []
            before += stage
        return []

    def describe(self) -> str:
        """The policy with its price."""
        return f"widening by {self.stage} while a doubling of the cost gains at least {self.gain:g}"

    def _step(self, trial: Trial, place: int, smallest: bool) -> Step | None:
        reason = "the smallest come first" if smallest else "the smaller ones have paid"
        return _patient_step(trial, place, self.patience or trial.epochs, reason)

    def _pays(self, before: list[Trial], stage: list[Trial]) -> bool:
        gained = max(trial.best for trial in stage) - max(trial.best for trial in before)
        earlier, later = (math.fsum(trial.spent for trial in part) for part in (before, before + stage))
        if math.isnan(gained) or earlier == 0:  # nothing has worked, or nothing has cost anything, so far
            return True
        return gained > 0 and gained >= self.gain * math.log2(later / earlier)


POLICIES: dict[str, type[Policy]] = {
    kind.name: kind for kind in (FullSweep, EarlyStopping, SuccessiveHalving, ScreenedHalving, Widen)
}
"""All policies by name.

:meta hide-value:
"""


def by_size(trials: Sequence[Trial]) -> list[int]:
    """Places of the trials, the smallest first."""
    return sorted(range(len(trials)), key=lambda place: trials[place].size)


def _patient_step(trial: Trial, place: int, patience: int, reason: str) -> Step | None:
    """To the epoch at which the training would stop if none before improves; None where it has stopped."""
    best = best_of(trial.performance)
    since = trial.performance.index(best) + 1 if best > -math.inf else 0
    until = min(trial.epochs, since + patience)
    return Step(place, until, reason) if trial.trained < until else None


def _check_whole(name: str, value: int) -> None:
    if value < 1:
        raise InputError(f"{name}: found {value}; expected a whole number of 1 or more.")
