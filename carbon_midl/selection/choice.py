"""One way to choose for all criteria, and one result: who, who else, why, and under which assumption."""

from abc import ABC, abstractmethod
from dataclasses import asdict, dataclass
from typing import Any, ClassVar

import numpy as np

from carbon_midl.errors import InputError
from carbon_midl.selection.candidates import Candidates
from carbon_midl.selection.sample import Sample, observed
from carbon_midl.units import listed

_RELATIVE_TIE = 1e-12
"""Means of the same numbers added up in another order differ by less."""


class Criterion(ABC):
    """What all criteria share; each is a small class with its options as attributes.

    Attributes:
        name: on the command line.
        score_name: what the scores are, in words.
        assumption: what must hold for the choice to mean something.
        source: where it comes from.
    """

    name: ClassVar[str]
    score_name: ClassVar[str]
    assumption: ClassVar[str]
    source: ClassVar[str]

    @abstractmethod
    def utility(self, sample: Sample) -> np.ndarray:
        """What is made as large as possible, shape (m, n); minus infinity for what may not be chosen."""

    def scores(self, sample: Sample) -> np.ndarray:
        """What a reader is shown, shape (m, n): the utility, and NaN for what may not be chosen."""
        utility = self.utility(sample)
        return np.where(np.isneginf(utility), np.nan, utility)

    @abstractmethod
    def describe(self, candidates: Candidates) -> str:
        """The criterion with its options, in a few words."""

    @abstractmethod
    def reason(self, candidates: Candidates, chosen: int, runner_up: int | None) -> str:
        """Why the chosen one, in a sentence."""

    def refusal(self, candidates: Candidates) -> str:
        """What to say where no candidate may be chosen."""
        return f"{self.name}: none of {len(candidates)} candidates may be chosen."


@dataclass(frozen=True)
class Choice:
    """What a criterion chose.

    Attributes:
        criterion: with its options, in a few words.
        chosen: a candidate's name.
        runner_up: what it would choose without the chosen one; None where there is no other.
        reason: in a sentence.
        scores: by candidate; NaN where the criterion gives none.
        score_name: what the scores are.
        assumption: what must hold for the choice to mean something.
        source: where the criterion comes from.
        tied: candidates that the criterion cannot tell from the chosen one, which costs the least of them.
    """

    criterion: str
    chosen: str
    runner_up: str | None
    reason: str
    scores: dict[str, float]
    score_name: str
    assumption: str
    source: str
    tied: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """As JSON holds it: no score is null."""
        scores = {name: None if np.isnan(score) else score for name, score in self.scores.items()}
        return asdict(self) | {"scores": scores, "tied": list(self.tied)}


def choose(candidates: Candidates, criterion: Criterion) -> Choice:
    """Choose by one criterion on the candidates' means.

    Raises:
        InputError: no candidate may be chosen; the message says what it would take.
    """
    sample = observed(candidates)
    utility = criterion.utility(sample)
    chosen = int(pick(utility, sample)[0])
    if chosen < 0:
        raise InputError(criterion.refusal(candidates))
    runner_up = _without(candidates, criterion, chosen)
    tied = tuple(candidates.names[place] for place in np.flatnonzero(_largest(utility)[0]) if place != chosen)
    reason = criterion.reason(candidates, chosen, runner_up) + _caveat(candidates, chosen, tied)
    return Choice(
        criterion=criterion.describe(candidates),
        chosen=candidates.names[chosen],
        runner_up=None if runner_up is None else candidates.names[runner_up],
        reason=reason,
        scores=dict(zip(candidates.names, criterion.scores(sample)[0].tolist(), strict=True)),
        score_name=criterion.score_name,
        assumption=criterion.assumption,
        source=criterion.source,
        tied=tied,
    )


def pick(utility: np.ndarray, sample: Sample) -> np.ndarray:
    """The place of the largest utility on each draw, shape (m,); -1 where none may be chosen.

    Of equals the cheapest, of these the best, of these the first.
    """
    among = _largest(utility)
    if (among.sum(axis=1) > 1).any():
        for worse in (sample.cost, -sample.performance):
            values = np.where(among, worse, np.inf)
            among &= _largest(-values)
    return np.where(among.any(axis=1), among.argmax(axis=1), -1)


def _largest(utility: np.ndarray) -> np.ndarray:
    top = utility.max(axis=1, keepdims=True)
    tolerance = np.where(np.isfinite(top), np.abs(top) * _RELATIVE_TIE, 0)
    return (utility >= top - tolerance) & (utility > -np.inf)


def _without(candidates: Candidates, criterion: Criterion, chosen: int) -> int | None:
    if len(candidates) < 2:
        return None
    sample = observed(candidates.without(chosen))
    place = int(pick(criterion.utility(sample), sample)[0])
    if place < 0:
        return None
    return place + (place >= chosen)


def _caveat(candidates: Candidates, chosen: int, tied: tuple[str, ...]) -> str:
    if len(candidates) == 1:
        return " It is the only candidate."
    means = np.stack([candidates.mean_performance, candidates.mean_cost])
    if np.allclose(means, means[:, [chosen]], rtol=_RELATIVE_TIE, atol=0):
        return " All candidates are equal in performance and cost; the first is taken."
    if tied:
        return f" It is level with {listed(list(tied))}; of equals the cheapest is taken, then the best."
    return ""
