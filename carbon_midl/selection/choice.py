"""Choosing by a criterion: who, who else and why, and how sure that is.

What is drawn to tell how sure a choice is, is what varies in the table: seeds, folds or patients. What does not vary
there, such as the data set or the training recipe, is not covered. With few replicates the bootstrap knows their spread
only roughly, and rather too small than too large; with a single one it knows nothing, and no interval or probability is
given.

How far grams may be off is drawn, too, an embodied share as well. What all candidates share multiplies every cost of a
draw; it is applied where an amount is at stake, and nowhere else, so that all other choices stay the same to the last
bit. Each training's own is in the spread of the trainings; for a single one the recorded repeatability stands in.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from carbon_midl.errors import InputError
from carbon_midl.measures import FEW, drawn_means
from carbon_midl.selection.candidates import Candidates
from carbon_midl.selection.criteria import Criterion
from carbon_midl.selection.frontier import on_frontier
from carbon_midl.units import amount, listed, number

DRAWS = 10_000
_LIMITS = (0.025, 0.975)
_RELATIVE_TIE = 1e-12
"""Means of the same numbers added up in another order differ by less."""


@dataclass(frozen=True)
class Choice:
    """What a criterion chose."""

    criterion: str  #: with its options, in a few words.
    chosen: str  #: a candidate's name.
    runner_up: str | None  #: what it would choose without the chosen one; None where there is no other.
    scores: dict[str, float]  #: by candidate; NaN where the criterion gives none.
    tied: tuple[str, ...]  #: those that it cannot tell from the chosen one, which costs the least of them.
    reason: str = ""  #: in a sentence.


def choose(candidates: Candidates, criterion: Criterion) -> Choice:
    """Choose by one criterion on the candidates' means.

    Raises:
        InputError: no candidate may be chosen; the message says what it would take.

    >>> from carbon_midl.selection.criteria import Best, Budget
    >>> dice, grams = np.array([[[0.6]], [[0.7]]]), np.array([[[1.0]], [[9.0]]])
    >>> narrow_and_wide = Candidates(("4", "64"), dice, grams)
    >>> choose(narrow_and_wide, Best()).chosen, choose(narrow_and_wide, Budget(5.0)).chosen
    ('64', '4')
    """
    _check(candidates, criterion)
    means = candidates.mean_performance[None], candidates.mean_cost[None]
    utility = criterion.utility(*means, candidates)
    chosen = int(pick(utility, *means)[0])
    if chosen < 0:
        raise InputError(criterion.refusal(candidates))
    scores = dict(zip(candidates.names, criterion.scores(*means, candidates)[0].tolist(), strict=True))
    runner_up = choice_of(candidates.without(chosen), criterion)
    tied = tuple(candidates.names[index] for index in np.flatnonzero(_largest(utility)[0]) if index != chosen)
    choice = Choice(criterion.describe(candidates), candidates.names[chosen], runner_up, scores, tied)
    return replace(choice, reason=_reason(candidates, choice, criterion.score_name))


def _check(candidates: object, criterion: object) -> None:
    """Refuse swapped arguments, and a criterion's class in place of a criterion."""
    if not (isinstance(candidates, Candidates) and isinstance(criterion, Criterion)):
        kinds = (one.__name__ if isinstance(one, type) else type(one).__name__ for one in (candidates, criterion))
        raise InputError(
            f"found {' and '.join(kinds)}; expected candidates, as read_candidates gives them, then a criterion, with "
            "brackets: choose(candidates, Best())."
        )


def choice_of(candidates: Candidates, criterion: Criterion) -> str | None:
    """The name of the one that is chosen; None where none may be, or there is none."""
    if not len(candidates):
        return None
    means = candidates.mean_performance[None], candidates.mean_cost[None]
    chosen = int(pick(criterion.utility(*means, candidates), *means)[0])
    return None if chosen < 0 else candidates.names[chosen]


def pick(utility: np.ndarray, performance: np.ndarray, cost: np.ndarray) -> np.ndarray:
    """The index of the largest utility on each draw, shape (m,); -1 where none may be chosen.

    Of equals the cheapest, of these the best, of these the first.
    """
    among = _largest(utility)
    if (among.sum(axis=1) > 1).any():
        for better in (-cost, performance):
            among &= _largest(np.where(among, better, -np.inf))
    return np.where(among.any(axis=1), among.argmax(axis=1), -1)


def _largest(utility: np.ndarray) -> np.ndarray:
    top = utility.max(axis=1, keepdims=True)
    tolerance = np.where(np.isfinite(top), np.abs(top) * _RELATIVE_TIE, 0)
    return (utility >= top - tolerance) & (utility > -np.inf)


def _reason(candidates: Candidates, choice: Choice, score_name: str) -> str:
    """Why the chosen one: its ranks, its distance from the best, its score, and what comes next."""
    performance, cost, count = candidates.mean_performance, candidates.mean_cost, len(candidates)
    chosen, best = candidates.names.index(choice.chosen), int(performance.argmax())
    text = f"{choice.chosen} performs {performance[chosen]:.4f}, "
    if performance[chosen] < performance[best]:
        rank = int((performance > performance[chosen]).sum()) + 1
        share = f" for {cost[chosen] / cost[best]:.0%} of its cost" if cost[best] > 0 else ""
        text += f"number {rank} of {count}, {performance[best] - performance[chosen]:.4f} below the best, "
        text += f"{candidates.names[best]},{share}; it"
    else:
        text += "the best, and"
    rank = int((cost < cost[chosen]).sum()) + 1
    cheapest = "the least" if rank == 1 else f"number {rank} of {count} from the cheapest"
    text += f" costs {amount(cost[chosen], candidates.unit)}, {cheapest}"
    score = choice.scores[choice.chosen]
    if score not in (performance[chosen], 0 if chosen == best else None):
        text += f"; {score_name}: {number(score)}"
    if choice.runner_up is not None:
        index = candidates.names.index(choice.runner_up)
        text += f". Runner-up is {choice.runner_up}, {performance[index]:.4f} at {amount(cost[index], candidates.unit)}"
    if choice.tied:
        text += f". It is level with {listed(choice.tied)}; of equals the cheapest is taken, then the best"
    return text + "."


@dataclass(frozen=True)
class Uncertainty:
    """What would be chosen with other replicates.

    The table has a row a candidate: ``candidate``, ``replicates``, ``performance`` and ``cost`` with their 95 %
    intervals (``…_low``, ``…_high``), ``rank`` by the criterion (those that may not be chosen share the last),
    ``on_frontier`` as observed, ``frontier_probability`` and ``chosen_probability``; NaN where there is no interval.
    """

    table: pd.DataFrame
    none_probability: float | None  #: of draws on which no candidate may be chosen; None where nothing could be drawn.
    draws: int
    notes: tuple[str, ...]  #: what limits all this, in sentences.


def uncertainty(candidates: Candidates, criterion: Criterion, draws: int = DRAWS, seed: int = 0) -> Uncertainty:
    """Choose again on each of ``draws`` draws, at least 1, of the replicates and of how far the grams are off."""
    _check(candidates, criterion)
    single = candidates.counts < 2
    performance, cost = means = candidates.mean_performance[None], candidates.mean_cost[None]
    if not single.all():
        performance, cost = drawn_means(candidates.performance, candidates.cost, draws=draws, seed=seed)
    shared = np.ones((1, 1))
    if spread := candidates.spread:
        shared = spread.shared(draws, seed)[:, None]
        cost = _with_own_errors(cost, candidates, spread.own.log_sd, draws, seed)
        performance = np.broadcast_to(performance, cost.shape)
    at_stake = cost * shared if criterion.absolute else cost
    picked = pick(criterion.utility(performance, at_stake, candidates), performance, cost)
    columns: dict[str, Any] = {"candidate": candidates.names, "replicates": candidates.counts}
    for name, observed, drawn in (("performance", means[0], performance), ("cost", means[1], cost * shared)):
        unknown = single & (name == "performance" or candidates.spread is None)
        low, high = np.where(unknown, np.nan, np.quantile(drawn, _LIMITS, axis=0))
        columns |= {name: observed[0], f"{name}_low": low, f"{name}_high": high}
    columns |= {
        "rank": pd.Series(-criterion.utility(*means, candidates)[0]).rank(method="min"),
        "on_frontier": on_frontier(*means)[0],
        "frontier_probability": on_frontier(performance, cost).mean(axis=0),
        "chosen_probability": np.bincount(picked[picked >= 0], minlength=len(single)) / len(picked),
    }
    table = pd.DataFrame(columns)
    if single.all():
        table[["frontier_probability", "chosen_probability"]] = np.nan
        return Uncertainty(table, None, 0, _notes(candidates))
    return Uncertainty(table, float((picked < 0).mean()), draws, _notes(candidates))


def _with_own_errors(cost: np.ndarray, candidates: Candidates, log_sd: float, draws: int, seed: int) -> np.ndarray:
    """Draws of the costs, those of a single training with its repeatability; several trainings show theirs."""
    alone = (candidates.trainings < 2) & (candidates.cost.shape[1] == 1)
    if alone.any():
        cost = np.array(np.broadcast_to(cost, (draws, len(candidates))))
        normal = np.random.default_rng([seed, 2]).standard_normal((draws, int(alone.sum())))
        cost[:, alone] *= np.exp(log_sd * normal)
    return cost


def _notes(candidates: Candidates) -> tuple[str, ...]:
    counts = candidates.counts
    if counts.max() < 2:
        return (
            "A single replicate of each candidate: no interval and no probability can be given. Repeat with seeds.",
        )
    notes = []
    if not candidates.paired:
        notes.append("Replicates are not paired: each candidate's own are drawn (if all share them, say --paired).")
    if alone := [name for name, count in zip(candidates.names, counts, strict=True) if count < 2]:
        notes.append(
            f"A single replicate, taken as known exactly, so that probabilities are too sure: {listed(alone)}."
        )
    if (fewest := counts[counts > 1].min()) < FEW:
        notes.append(f"Only {fewest} replicates: intervals and probabilities are rough, and rather too sure.")
    return tuple(notes)


def side_by_side(
    candidates: Candidates, criteria: Sequence[Criterion], draws: int = DRAWS
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """What each criterion chooses; an `InputError` where one may choose none of them.

    Returns:
        A row a criterion: ``name``, ``chosen``, ``runner_up`` (None: there is none), ``performance`` and ``cost`` of
        the chosen one, its ``probability`` over draws of the replicates (NaN where nothing could be drawn).
        A row a criterion and candidate: ``name``, ``candidate``, ``probability`` of being chosen.
    """
    rows, probabilities = [], []
    for criterion in criteria:
        choice = choose(candidates, criterion)
        table = uncertainty(candidates, criterion, draws).table.set_index("candidate")
        performance, cost, probability = table.loc[choice.chosen, ["performance", "cost", "chosen_probability"]]
        rows.append((criterion.name, choice.chosen, choice.runner_up, performance, cost, probability))
        probabilities += [(criterion.name, *each) for each in table["chosen_probability"].items()]
    return (
        pd.DataFrame(rows, columns=["name", "chosen", "runner_up", "performance", "cost", "probability"]),
        pd.DataFrame(probabilities, columns=["name", "candidate", "probability"]),
    )
