"""Policies: what a search over candidates does next, from what their trainings have shown so far.

A policy is a pure function of the trials: the same trials give the same steps, whoever asks and whenever. So a search
can be replayed on recorded learning curves.
"""

import dataclasses
import math
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from statistics import median
from typing import Annotated, ClassVar, NamedTuple

from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt, ValidationError
from pydantic.dataclasses import dataclass

from carbon_midl.errors import InputError
from carbon_midl.training.options import explain

_TOLERANCE = 1e-9
"""An allowance that falls short of an epoch by less, relative to it, pays for it."""


@dataclasses.dataclass(frozen=True)
class Trial:
    """A candidate in a search: what is known before training, and what its training has shown so far."""

    name: str  #: of the candidate.
    size: float  #: what is known beforehand and grows with the cost (multiply-accumulates of a crop, or parameters).
    epochs: int  #: planned.
    performance: tuple[float, ...] = ()  #: on validation after each trained epoch, 0–1; NaN for one that failed.
    cost: tuple[float, ...] = ()  #: of each trained epoch (kWh, or any unit, the same for all trials).

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
        return max((value for value in self.performance if not math.isnan(value)), default=-math.inf)

    def up_to(self, epochs: int) -> "Trial":
        """The trial as it was after its first ``epochs`` trained epochs, or as it is where there are fewer."""
        return dataclasses.replace(self, performance=self.performance[:epochs], cost=self.cost[:epochs])


class Step(NamedTuple):
    """Train a trial, by its index in the list of trials, until the end of an epoch, counted from 1."""

    trial: int
    until: int


class Policy(ABC):
    """What all policies share; each is a small frozen dataclass with its options as fields, checked by pydantic."""

    name: ClassVar[str]  #: on the command line.
    words: ClassVar[str]  #: it and its options, in a few words; recorded tables name it so.

    @abstractmethod
    def steps(self, trials: Sequence[Trial]) -> list[Step]:
        """What to do next.

        The steps of one list are independent of each other. A step that is done is no longer listed and the rest still
        is, until the last of them is done. An empty list ends the search.
        """

    def describe(self) -> str:
        """The policy with its options, in a few words."""
        return self.words.format(**dataclasses.asdict(self))  # type: ignore[call-overload]

    def goes_on(self, trial: Trial, others: Sequence[Trial]) -> bool:
        """Whether a trial in a live search trains on; ``others`` are the other trials as they are now."""
        return bool(self.steps([trial]))

    def choose(self, trials: Sequence[Trial]) -> int:
        """Index of the chosen trial: of those trained the best so far, of equals the one whose training cost least."""
        chosen = max(range(len(trials)), key=lambda index: (*_rank(trials[index]), -index), default=None)
        if chosen is None or trials[chosen].best == -math.inf:
            raise InputError("search: no candidate has a performance yet. Train at least one epoch.")
        return chosen


def _rank(trial: Trial) -> tuple[float, float, float]:
    """What is compared when trials compete, the larger the better: best performance, then lower cost, then size."""
    return trial.best, -trial.spent, -trial.size


def _by_size(trials: Sequence[Trial]) -> list[int]:
    return sorted(range(len(trials)), key=lambda index: trials[index].size)


def _patient_steps(trials: Sequence[Trial], indices: Sequence[int], patience: int) -> list[Step]:
    """Each to the epoch at which its training would stop if none before improves; those that have stopped left out."""
    steps = []
    for index in indices:
        trial = trials[index]
        best_epoch = trial.performance.index(trial.best) + 1 if trial.best > -math.inf else 0
        until = min(trial.epochs, best_epoch + patience)
        if trial.trained < until:
            steps.append(Step(index, until))
    return steps


@dataclass(frozen=True)
class FullSweep(Policy):
    """Every candidate is trained for all its epochs, the smallest first."""

    name = "full"
    words = "full sweep"

    def steps(self, trials: Sequence[Trial]) -> list[Step]:
        """All that is left of every training."""
        order = _by_size(trials)
        return [Step(index, trials[index].epochs) for index in order if trials[index].trained < trials[index].epochs]


@dataclass(frozen=True)
class EarlyStopping(Policy):
    """Every candidate is trained until its performance has not improved for ``patience`` epochs.

    It assumes that such a training will not improve again by much (Prechelt 1998, Early stopping – but when?).
    """

    patience: PositiveInt = 5

    name = "early-stopping"
    words = "early stopping after {patience} epochs without improvement"

    def steps(self, trials: Sequence[Trial]) -> list[Step]:
        """Each training up to the epoch at which it would stop if none before improves."""
        return _patient_steps(trials, _by_size(trials), self.patience)


@dataclass(frozen=True)
class SuccessiveHalving(Policy):
    """Each rung gives every survivor the same energy, at least one epoch; one in ``eta`` goes on to ``eta`` times that.

    It assumes that who leads after an equal amount of energy will be among the leaders at the end (Jamieson and
    Talwalkar 2016, AISTATS; Li et al. 2018, Hyperband, JMLR; with energy in place of epochs).

    A rung's allowance is counted in *mean epochs*: an epoch's mean cost over all candidates, known once each has
    trained its first. So a search means the same whatever the candidates and the unit of cost are, and no cost needs
    predicting. A rung looks at each candidate only up to the epoch to which its allowance carried it, so that what
    happens later never changes what an earlier rung decided. The last allowance is that of the mean candidate's whole
    training.
    """

    eta: Annotated[float, Field(gt=1)] = 2.0  #: one in so many goes on.
    first: PositiveFloat = 1.0  #: allowance of the first rung in mean epochs.

    whole_epochs: ClassVar[bool] = False
    name = "halving"
    words = "successive halving in energy, one of {eta:g} from {first:g} mean epochs on"

    def steps(self, trials: Sequence[Trial]) -> list[Step]:
        """The first epoch of all; then, rung by rung, what is left of the first rung that is not done."""
        if untrained := [index for index in _by_size(trials) if not trials[index].trained]:
            return [Step(index, 1) for index in untrained]
        survivors = list(range(len(trials)))
        rungs = list(self._rungs(trials))
        for number, (energy, limit) in enumerate(rungs, start=1):
            if len(survivors) == 1 and number < len(rungs):
                continue  # nobody is left to compare it with on the way to the last rung
            reached = {index: _reached(trials[index], energy, limit) for index in survivors}
            if left := [index for index, epochs in reached.items() if epochs is None]:
                return [Step(index, _affordable(trials[index], energy, limit)) for index in left]
            ranks = self.ranks([trials[index].up_to(epochs or 0) for index, epochs in reached.items()])
            order = sorted(zip(ranks, survivors, strict=True), key=lambda one: (one[0], -one[1]), reverse=True)
            survivors = [index for _, index in order[: self._kept(number, len(survivors))]]
        return []

    def goes_on(self, trial: Trial, others: Sequence[Trial]) -> bool:
        """Whether it is among the best of those that got as far before it, where it has used up a rung's allowance.

        This is the asynchronous halving of Li et al. 2020 (MLSys); the mean epoch is that of the trials so far.
        """
        known = [trial, *(other for other in others if other.trained)]
        *rungs, _ = self._rungs(known)
        for number, (energy, limit) in enumerate(rungs, start=1):
            reached = [_reached(one, energy, limit) for one in known]
            if reached[0] != trial.trained:
                continue  # it has not come so far yet, or was let on before
            there = [one.up_to(epochs) for one, epochs in zip(known, reached, strict=True) if epochs is not None]
            rank, *ranks = self.ranks(there)
            if sum(other > rank for other in ranks) >= self._kept(number, len(there)):
                return False
        return trial.trained < trial.epochs

    def _rungs(self, trials: Sequence[Trial]) -> Iterator[tuple[float, float]]:
        """The energy of each rung, and the most epochs that a candidate may train for it."""
        mean_cost = math.fsum(trial.cost[0] for trial in trials) / len(trials)
        last = float(max(trial.epochs for trial in trials))
        allowances = [self.first]
        while allowances[-1] < last * (1 - _TOLERANCE):
            allowances.append(allowances[-1] * self.eta)
        for allowance in (*allowances[:-1], last):
            # Without a limit small candidates get as much energy as others, however little their epochs cost.
            most_epochs = math.floor(allowance + _TOLERANCE) if self.whole_epochs else math.inf
            yield allowance * mean_cost * (1 + _TOLERANCE), most_epochs

    def _kept(self, rung: int, survivors: int) -> int:
        return max(1, math.ceil(survivors / self.one_of(rung) - _TOLERANCE))

    def one_of(self, rung: int) -> float:
        """Of how many survivors of a rung, counted from 1, one goes on."""
        return self.eta

    def ranks(self, trials: Sequence[Trial]) -> list[tuple[float, ...]]:
        """What the survivors of a rung are compared by, the larger the better."""
        return [_rank(trial) for trial in trials]


@dataclass(frozen=True)
class ScreenedHalving(SuccessiveHalving):
    """A screening that most do not pass, then gentle rungs, judged by where the learning curves are heading.

    It assumes that two epochs show who is far behind, and that a curve that rises steeply now goes on rising (as in
    Swersky et al. 2014, freeze–thaw, and Domhan et al. 2015, IJCAI, but by a straight line; the screening is our own).

    Each rung gives every survivor the same energy, at least one epoch and at most as many as the mean candidate gets:
    what a small candidate would not need more epochs for is saved. What counts is the best performance so far, plus
    ``trend`` times what the curve would still gain by the last epoch if it went on rising by the logarithm of the
    epoch as it did since half of the epochs trained. One with a single epoch, which shows no trend, gets the median.
    """

    eta: Annotated[float, Field(gt=1)] = 1.5  #: one in so many goes on from later rungs.
    first: PositiveFloat = 2.0  #: allowance of the first rung; with 2 mean epochs, all but the dearest show a trend.
    screen: Annotated[float, Field(ge=1)] = 4.0  #: of so many candidates one passes the first rung.
    trend: NonNegativeFloat = 0.5  #: share of the promised gain that is believed.

    whole_epochs: ClassVar[bool] = True
    name = "screened-halving"
    words = "one of {screen:g} passes {first:g} mean epochs, then halving by {eta:g} with {trend:.0%} of the trend"

    def one_of(self, rung: int) -> float:
        """The screening, then eta."""
        return self.screen if rung == 1 else self.eta

    def ranks(self, trials: Sequence[Trial]) -> list[tuple[float, ...]]:
        """Best performance so far with the trend, then as without."""
        slopes = [_slope(trial) for trial in trials]
        usual = median(seen) if (seen := [slope for slope in slopes if slope is not None]) else 0.0
        gains = [
            self.trend * (usual if slope is None else slope) * math.log(trial.epochs / trial.trained)
            for trial, slope in zip(trials, slopes, strict=True)
        ]
        return [(trial.best + gain, *_rank(trial)) for trial, gain in zip(trials, gains, strict=True)]


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
    if not half or (earlier := trial.up_to(half).best) == -math.inf:
        return None
    return (trial.best - earlier) / math.log(trial.trained / half)


@dataclass(frozen=True)
class Widen(Policy):
    """From the smallest candidate upwards, going on only while the gain pays.

    It assumes that performance rises with size and levels off (the question of Selvan 2021; the rule is our own).
    Candidates are trained in stages of ``stage`` at once, each with early stopping. A stage pays where it raises the
    best performance by at least ``gain`` for every doubling of what the search has cost; the first that does not pay
    is the last.
    """

    gain: NonNegativeFloat = 0.005  #: performance, 0–1, that a doubling of the search's cost must bring.
    stage: PositiveInt = 1  #: candidates in a stage.
    patience: PositiveInt = 5  #: epochs without improvement after which a training stops.

    name = "widen"
    words = "widening by {stage} while a doubling of the cost gains at least {gain:g}"

    def steps(self, trials: Sequence[Trial]) -> list[Step]:
        """What is left of the first stage that is not done, if the one before it has paid."""
        order = _by_size(trials)
        for start in range(0, len(order), self.stage):
            stage = order[start : start + self.stage]
            if steps := _patient_steps(trials, stage, self.patience):
                return steps
            before = [trials[index] for index in order[:start]]
            if start and not self._pays(before, [trials[index] for index in stage]):
                return []
        return []

    def _pays(self, before: Sequence[Trial], stage: Sequence[Trial]) -> bool:
        gained = max(trial.best for trial in stage) - max(trial.best for trial in before)
        earlier, later = (math.fsum(trial.spent for trial in part) for part in (before, [*before, *stage]))
        if math.isnan(gained) or earlier == 0:  # nothing has worked, or nothing has cost anything, so far
            return True
        return gained > 0 and gained >= self.gain * math.log2(later / earlier)


POLICIES: dict[str, type[Policy]] = {
    kind.name: kind for kind in (FullSweep, EarlyStopping, SuccessiveHalving, ScreenedHalving, Widen)
}
"""All policies by name.

:meta hide-value:
"""


def policy_of(name: str, options: Sequence[str] = ()) -> Policy:
    """Make one of `POLICIES` with options as ``eta=3``.

    Raises:
        InputError: there is no such policy or option, or a value that the option cannot have.

    >>> policy_of("halving", ["eta=3"])
    SuccessiveHalving(eta=3.0, first=1.0)
    """
    if name not in POLICIES:
        raise InputError(f"policy: found {name!r}; expected one of {', '.join(POLICIES)}.")
    kind = POLICIES[name]
    known = [field.name for field in dataclasses.fields(kind)]  # type: ignore[arg-type]
    if wrong := [one for one in options if "=" not in one or one.partition("=")[0] not in known]:
        its_options = ", ".join(f"{one}=…" for one in known) or "none"
        raise InputError(f"{name}: found option {wrong[0]!r}; its options are: {its_options}.")
    try:
        return kind(**dict(one.split("=", 1) for one in options))
    except ValidationError as error:
        raise InputError(f"{name}: {explain(error, known)}") from None
