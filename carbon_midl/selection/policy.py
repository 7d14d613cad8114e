"""What a search over candidates goes by while they train: trials, steps, and the policy that turns one into the other.

A policy is a pure function of the trials: the same trials give the same steps, whoever asks and whenever. So a search
can be interrupted, resumed and shared by several workers without a record of its own, and a search that is replayed
on recorded learning curves decides as a live one does.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from carbon_midl.errors import InputError


@dataclass(frozen=True)
class Trial:
    """A candidate in a search: what is known before training, and what its training has shown so far.

    Attributes:
        name: of the candidate.
        size: what is known beforehand and grows with the cost (multiply-accumulates of a crop, or parameters).
        epochs: planned.
        performance: validation performance after each trained epoch, 0–1; NaN for an epoch that failed.
        cost: of each trained epoch (kWh, or any unit, the same for all trials).

    Raises:
        InputError: a size, number of epochs or cost that cannot be, or numbers of epochs that do not agree.
    """

    name: str
    size: float
    epochs: int
    performance: tuple[float, ...] = ()
    cost: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        if not math.isfinite(self.size) or self.size <= 0:
            raise InputError(f"{self.name}: found size {self.size}; expected a number above 0.")
        if self.epochs < 1:
            raise InputError(f"{self.name}: found {self.epochs} epochs; expected at least 1.")
        if not len(self.performance) == len(self.cost) <= self.epochs:
            raise InputError(
                f"{self.name}: found {len(self.performance)} performances and {len(self.cost)} costs; expected one of "
                f"each for every trained epoch, and at most {self.epochs}."
            )
        if not all(0 <= cost < math.inf for cost in self.cost):
            raise InputError(f"{self.name}: found costs {self.cost}; expected numbers of 0 or more.")

    @property
    def trained(self) -> int:
        """How many epochs are trained."""
        return len(self.cost)

    @property
    def spent(self) -> float:
        """What its training has cost so far."""
        return math.fsum(self.cost)

    @property
    def epoch_cost(self) -> float:
        """Mean cost of a trained epoch; NaN before the first."""
        return self.spent / self.trained if self.trained else math.nan

    @property
    def best(self) -> float:
        """Best performance so far, which is that of the kept checkpoint; minus infinity before there is one."""
        return best_of(self.performance)

    def first(self, epochs: int) -> "Trial":
        """The trial as it was after its first ``epochs`` trained epochs, or as it is where there are fewer."""
        if epochs >= self.trained:
            return self
        return Trial(self.name, self.size, self.epochs, self.performance[:epochs], self.cost[:epochs])


@dataclass(frozen=True)
class Step:
    """Train a trial on.

    Attributes:
        trial: its place in the list of trials.
        until: the last epoch to train, counted from 1.
        reason: in a short sentence, for the trail.
    """

    trial: int
    until: int
    reason: str


class Policy(ABC):
    """What all policies share; each is a small frozen dataclass with its options as fields.

    Attributes:
        name: on the command line.
        summary: what it does, in a sentence.
        assumption: what must hold for its choice to mean something.
        source: where it comes from.
    """

    name: ClassVar[str]
    summary: ClassVar[str]
    assumption: ClassVar[str]
    source: ClassVar[str]

    @abstractmethod
    def steps(self, trials: Sequence[Trial]) -> list[Step]:
        """What to do next.

        The steps of one list are independent of each other: several workers may do them at once and in any order. A
        step that is done is no longer listed and the rest still is, until the last of them is done. An empty list ends
        the search.
        """

    @abstractmethod
    def describe(self) -> str:
        """The policy with its options, in a few words."""

    def choose(self, trials: Sequence[Trial]) -> int:
        """Place of the chosen trial: of those trained the best so far, of equals the one whose training cost least.

        Raises:
            InputError: no trial has a performance yet.
        """
        chosen = max(range(len(trials)), key=lambda place: (*rank(trials[place]), -place), default=None)
        if chosen is None or trials[chosen].best == -math.inf:
            raise InputError("search: no candidate has a performance yet. Train at least one epoch.")
        return chosen


def best_of(performance: Sequence[float]) -> float:
    """The largest; NaN counts for nothing, and of nothing it is minus infinity."""
    return max((value for value in performance if not math.isnan(value)), default=-math.inf)


def rank(trial: Trial) -> tuple[float, float, float]:
    """What is compared when trials compete, the larger the better: best performance, then lower cost, then size."""
    return trial.best, -trial.spent, -trial.size
