"""Successive halving in units of energy: what candidates are given in a rung is energy, not epochs.

A rung's allowance is counted in *mean epochs*: an epoch's mean cost over all candidates, known once each has trained
its first. So a search means the same whatever the candidates and the unit of cost are, and no cost needs predicting.
A rung looks at each candidate only up to the epoch to which its allowance carried it, so that what happens later
never changes what an earlier rung decided.
"""

import math
from abc import abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import median
from typing import ClassVar

from carbon_midl.errors import InputError
from carbon_midl.selection.policy import Policy, Step, Trial, rank

_TOLERANCE = 1e-9
"""An allowance that falls short of an epoch by less, relative to it, pays for it."""


class Halving(Policy):
    """What both kinds of halving share: rungs of growing allowances, after each of which the best go on."""

    @abstractmethod
    def rungs(self, epochs: int) -> Iterator[tuple[float, float]]:
        """Each rung's allowance in mean epochs, up to ``epochs``, and of how many survivors one goes on after it."""

    @abstractmethod
    def limit(self, allowance: float) -> float:
        """The most epochs that a candidate trains within an allowance, however little they cost."""

    @abstractmethod
    def scores(self, trials: Sequence[Trial]) -> list[float]:
        """What the survivors of a rung are ranked by, the larger the better."""

    def steps(self, trials: Sequence[Trial]) -> list[Step]:
        """The first epoch of all; then, rung by rung, what is left of the first rung that is not done."""
        if first := [place for place, trial in enumerate(trials) if not trial.trained]:
            first.sort(key=lambda place: trials[place].size)
            return [Step(place, 1, "its first epoch shows what an epoch costs") for place in first]
        if not trials:
            return []
        mean_cost = math.fsum(trial.cost[0] for trial in trials) / len(trials)
        survivors = list(range(len(trials)))
        rungs = list(self.rungs(max(trial.epochs for trial in trials)))
        for number, (allowance, one_of) in enumerate(rungs, start=1):
            if len(survivors) == 1 and number < len(rungs):
                continue  # nobody is left to compare it with on the way to the last rung
            energy, limit = allowance * mean_cost * (1 + _TOLERANCE), self.limit(allowance)
            reason = f"rung {number}: one of {len(survivors)}, each given {allowance:.3g} mean epochs"
            reached, steps = [], []
            for place in survivors:
                trial = trials[place]
                epochs = _reached(trial, energy, limit)
                reached.append(trial.first(epochs or trial.trained))
                if epochs is None:
                    steps.append(Step(place, _affordable(trial, energy, limit), reason))
            if steps:
                return steps
            survivors = self._go_on(survivors, reached, one_of)
        return []

    def _go_on(self, places: list[int], trials: list[Trial], one_of: float) -> list[int]:
        scores = self.scores(trials)
        order = sorted(range(len(places)), key=lambda k: (scores[k], *rank(trials[k]), -places[k]), reverse=True)
        keep = max(1, math.ceil(len(places) / one_of - _TOLERANCE))
        return [places[k] for k in order[:keep]]


@dataclass(frozen=True)
class SuccessiveHalving(Halving):
    """Each rung gives every survivor the same energy, at least one epoch; one in ``eta`` goes on to ``eta`` times that.

    The last allowance is that of the mean candidate's whole training.

    Attributes:
        eta: above 1.
        first: allowance of the first rung in mean epochs, above 0.
    """

    eta: float = 2.0
    first: float = 1.0

    name: ClassVar[str] = "halving"
    summary: ClassVar[str] = "Give every survivor the same energy, keep one in eta, give those eta times as much."
    assumption: ClassVar[str] = "Who leads after an equal amount of energy will be among the leaders at the end."
    source: ClassVar[str] = (
        "Jamieson and Talwalkar 2016 (AISTATS) and Li et al. 2018 (Hyperband, JMLR), here with energy as the resource"
    )

    def __post_init__(self) -> None:
        _check_above("eta", self.eta, 1)
        _check_above("first", self.first, 0)

    def rungs(self, epochs: int) -> Iterator[tuple[float, float]]:
        """Growing by eta."""
        return ((allowance, self.eta) for allowance in _growing(self.first, self.eta, epochs))

    def limit(self, allowance: float) -> float:
        """None: small candidates are given as much energy as large ones."""
        return math.inf

    def scores(self, trials: Sequence[Trial]) -> list[float]:
        """Best performance so far."""
        return [trial.best for trial in trials]

    def describe(self) -> str:
        """The policy with its options."""
        return f"successive halving in energy, one of {self.eta:g} from {self.first:g} mean epochs on"


@dataclass(frozen=True)
class ScreenedHalving(Halving):
    """A screening that most do not pass, then gentle rungs, judged by where the learning curves are heading.

    Each rung gives every survivor the same energy, at least one epoch and at most as many as the mean candidate gets:
    what a small candidate would not need more epochs for is saved. What counts is the best performance so far, plus
    ``trend`` times what the curve would still gain by the last epoch if it went on rising by the logarithm of the
    epoch as it did since half of the epochs trained. One with a single epoch, which shows no trend, gets the median.

    Attributes:
        screen: of so many candidates one passes the first rung, 1 or more.
        eta: of so many survivors one goes on from later rungs, each with an allowance so many times larger; above 1.
        first: allowance of the first rung in mean epochs, above 0; with 2, all but the dearest show a trend.
        trend: share of the promised gain that is believed, 0 or more.
    """

    screen: float = 4.0
    eta: float = 1.5
    first: float = 2.0
    trend: float = 0.5

    name: ClassVar[str] = "screened-halving"
    summary: ClassVar[str] = "Screen all on little energy, then halve gently, by performance and trend of the curve."
    assumption: ClassVar[str] = "Two epochs show who is far behind, and a curve that rises steeply now goes on rising."
    source: ClassVar[str] = (
        "successive halving as above; curves carried forward as in Swersky et al. 2014 (freeze–thaw) and Domhan et al. "
        "2015 (IJCAI), but by a straight line; the screening is this project's own"
    )

    def __post_init__(self) -> None:
        if not 1 <= self.screen < math.inf:
            raise InputError(f"screen: found {self.screen}; expected a number of 1 or more.")
        _check_above("eta", self.eta, 1)
        _check_above("first", self.first, 0)
        if not 0 <= self.trend < math.inf:
            raise InputError(f"trend: found {self.trend}; expected a number of 0 or more.")

    def rungs(self, epochs: int) -> Iterator[tuple[float, float]]:
        """The screening, then growing by eta."""
        for number, allowance in enumerate(_growing(self.first, self.eta, epochs)):
            yield allowance, self.eta if number else self.screen

    def limit(self, allowance: float) -> float:
        """As many whole epochs as the mean candidate gets."""
        return math.floor(allowance + _TOLERANCE)

    def scores(self, trials: Sequence[Trial]) -> list[float]:
        """Best performance so far, with the trend."""
        slopes = [_slope(trial) for trial in trials]
        usual = median(seen) if (seen := [slope for slope in slopes if slope is not None]) else 0.0
        return [
            trial.best + self.trend * (usual if slope is None else slope) * math.log(trial.epochs / trial.trained)
            for trial, slope in zip(trials, slopes, strict=True)
        ]

    def describe(self) -> str:
        """The policy with its options."""
        return (
            f"one of {self.screen:g} passes {self.first:g} mean epochs, then halving by {self.eta:g} with "
            f"{self.trend:.0%} of the trend"
        )


def _growing(first: float, factor: float, last: float) -> Iterator[float]:
    """``first``, ``first`` × ``factor`` and so on below ``last``, and ``last``."""
    allowance = first
    while allowance < last * (1 - _TOLERANCE):
        yield allowance
        allowance *= factor
    yield last


def _reached(trial: Trial, energy: float, limit: float) -> int | None:
    """The epoch to which an amount of energy carries a trial, at least 1; None where it has not trained that far.

    It ends before the first epoch that, at the mean cost of those before it, would exceed the energy.
    """
    limit, spent = max(1, min(limit, trial.epochs)), 0.0
    for epochs, cost in enumerate(trial.cost, start=1):
        spent += cost
        if epochs >= limit or spent / epochs * (epochs + 1) > energy:
            return epochs
    return None


def _affordable(trial: Trial, energy: float, limit: float) -> int:
    """The epoch to which it would carry a trial if the epochs to come cost what those trained do on average."""
    epochs = energy / trial.epoch_cost if trial.epoch_cost > 0 else math.inf
    return int(max(trial.trained + 1, min(epochs, limit, trial.epochs)))


def _slope(trial: Trial) -> float | None:
    """What its best performance gained while its epochs grew by a factor e; None where that is not known."""
    half = trial.trained // 2
    if not half or (earlier := trial.first(half).best) == -math.inf:
        return None
    return (trial.best - earlier) / math.log(trial.trained / half)


def _check_above(name: str, value: float, least: float) -> None:
    if not least < value < math.inf:
        raise InputError(f"{name}: found {value}; expected a number above {least}.")
