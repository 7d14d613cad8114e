"""Choosing by a criterion: who, who else and why; how sure that is; and what the grid and the company change.

What is drawn to tell how sure a choice is, is what varies in the table: seeds, folds or patients. What does not vary
there, such as the data set or the training recipe, is not covered. With few replicates the bootstrap knows their spread
only roughly, and rather too small than too large; with a single one it knows nothing, and no interval or probability is
given.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd

from carbon_midl.errors import InputError
from carbon_midl.measures import FEW, difference_errors, drawn_means
from carbon_midl.selection.candidates import Candidates, Factors
from carbon_midl.selection.criteria import Criterion
from carbon_midl.selection.frontier import on_frontier
from carbon_midl.units import amount, listed, number

DRAWS = 10_000
_LIMITS = (0.025, 0.975)
_RELATIVE_TIE = 1e-12
"""Means of the same numbers added up in another order differ by less."""


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

    >>> from carbon_midl.selection.criteria import Best, Budget
    >>> dice, grams = np.array([[[0.6]], [[0.7]]]), np.array([[[1.0]], [[9.0]]])
    >>> narrow_and_wide = Candidates(("4", "64"), dice, grams)
    >>> choose(narrow_and_wide, Best()).chosen, choose(narrow_and_wide, Budget(5.0)).chosen
    ('64', '4')
    """
    performance, cost = candidates.mean_performance[None], candidates.mean_cost[None]
    utility = criterion.utility(performance, cost, candidates)
    chosen = int(pick(utility, performance, cost)[0])
    if chosen < 0:
        raise InputError(criterion.refusal(candidates))
    runner_up = _chosen_without(candidates, criterion, chosen) if len(candidates) > 1 else None
    scores = criterion.scores(performance, cost, candidates)[0]
    tied = tuple(candidates.names[index] for index in np.flatnonzero(_largest(utility)[0]) if index != chosen)
    return Choice(
        criterion=criterion.describe(candidates),
        chosen=candidates.names[chosen],
        runner_up=runner_up,
        reason=_reason(candidates, chosen, runner_up, criterion.score_name, scores[chosen], tied),
        scores=dict(zip(candidates.names, scores.tolist(), strict=True)),
        score_name=criterion.score_name,
        assumption=criterion.assumption,
        source=criterion.source,
        tied=tied,
    )


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


def _chosen_without(candidates: Candidates, criterion: Criterion, index: int) -> str | None:
    """What would be chosen without one of them; None where none may be."""
    rest = candidates.without(index)
    means = rest.mean_performance[None], rest.mean_cost[None]
    chosen = int(pick(criterion.utility(*means, rest), *means)[0])
    return None if chosen < 0 else rest.names[chosen]


def _reason(
    candidates: Candidates, chosen: int, runner_up: str | None, score_name: str, score: float, tied: Sequence[str]
) -> str:
    """Why the chosen one: its ranks, its distance from the best, its score, and what comes next."""
    performance, cost, count = candidates.mean_performance, candidates.mean_cost, len(candidates)
    name, best = candidates.names[chosen], int(performance.argmax())
    if count == 1:
        return f"{name} is the only candidate, {performance[0]:.4f} at {amount(cost[0], candidates.unit)}."
    text = f"{name} performs {performance[chosen]:.4f}, "
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
    if score not in (performance[chosen], 0 if chosen == best else None):
        text += f"; {score_name}: {number(score)}"
    if runner_up is not None:
        index = candidates.names.index(runner_up)
        text += f". Next is {runner_up}, {performance[index]:.4f} at {amount(cost[index], candidates.unit)}"
    means = np.stack([performance, cost])
    if np.allclose(means, means[:, [chosen]], rtol=_RELATIVE_TIE, atol=0):
        return text + ". All candidates are equal in performance and cost; the first is taken."
    if tied:
        return text + f". It is level with {listed(list(tied))}; of equals the cheapest is taken, then the best."
    return text + "."


@dataclass(frozen=True)
class Uncertainty:
    """What would be chosen with other replicates.

    Attributes:
        table: one row a candidate: ``candidate``, ``replicates``, ``performance`` and ``cost`` with their 95 %
            intervals (``…_low``, ``…_high``), ``on_frontier`` as observed, ``frontier_probability``,
            ``chosen_probability``, and ``rank`` by the criterion with its 95 % interval; candidates that may not be
            chosen share the last rank. NaN where there is no interval.
        none_probability: of draws on which no candidate may be chosen; None where nothing could be drawn.
        draws: how many.
        notes: what limits all this, in sentences.
    """

    table: pd.DataFrame
    none_probability: float | None
    draws: int
    notes: tuple[str, ...]

    def chosen_probability(self, name: str) -> float:
        """Of one candidate; NaN where nothing could be drawn."""
        return float(self.table["chosen_probability"].to_numpy()[list(self.table["candidate"]).index(name)])


def uncertainty(candidates: Candidates, criterion: Criterion, draws: int = DRAWS, seed: int = 0) -> Uncertainty:
    """Choose again on each of ``draws`` draws of the replicates.

    Args:
        candidates: n of them.
        criterion: applied to each draw.
        draws: at least 1.
        seed: of the draws.

    Raises:
        InputError: ``draws`` is less than 1.
    """
    if draws < 1:
        raise InputError(f"draws: found {draws}; expected at least 1.")
    count, single = len(candidates), candidates.counts < 2
    observed = candidates.mean_performance[None], candidates.mean_cost[None]
    performance = cost = np.full((1, count), np.nan)
    ranks, frontier, chosen, none = performance, np.full(count, np.nan), np.full(count, np.nan), None
    if not single.all():
        performance, cost = drawn_means(candidates.performance, candidates.cost, draws=draws, seed=seed)
        utility = criterion.utility(performance, cost, candidates)
        picked = pick(utility, performance, cost)
        ranks, frontier = _ranks(utility), on_frontier(performance, cost).mean(axis=0)
        none = float((picked < 0).mean())
        chosen = np.bincount(picked[picked >= 0], minlength=count) / draws
    columns: dict[str, Any] = {"candidate": candidates.names, "replicates": candidates.counts}
    observed_ranks = _ranks(criterion.utility(*observed, candidates))
    for name, mean, drawn in zip(
        ("performance", "cost", "rank"), (*observed, observed_ranks), (performance, cost, ranks), strict=True
    ):
        low, high = np.where(single, np.nan, np.quantile(drawn, _LIMITS, axis=0))
        columns |= {name: mean[0], f"{name}_low": low, f"{name}_high": high}
    columns |= {"on_frontier": on_frontier(*observed)[0], "frontier_probability": frontier}
    table = pd.DataFrame(columns | {"chosen_probability": chosen})
    return Uncertainty(table, none, draws if none is not None else 0, _notes(candidates))


def _ranks(utility: np.ndarray) -> np.ndarray:
    """1 for the largest of each row; equals share the smallest of their ranks."""
    from scipy.stats import rankdata

    return np.asarray(rankdata(-utility, method="min", axis=1))


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


def compare(candidates: Candidates) -> pd.DataFrame:
    """Every pair, the cheaper one first, by t intervals and tests; see `carbon_midl.measures.difference_errors`.

    Intervals are of one pair each, 95 %. The corrected probabilities hold for all pairs together: Holm 1979, "A simple
    sequentially rejective multiple test procedure". Where a single replicate tells nothing, there is neither.

    Returns:
        Rows with ``first``, ``second``, ``difference`` (second minus first), ``low``, ``high``, ``p`` (two-sided) and
        ``p_holm``.

    Raises:
        InputError: fewer than two candidates.
    """
    from scipy.special import stdtr, stdtrit

    if len(candidates) < 2:
        raise InputError(f"candidates: found {len(candidates)}; a comparison needs at least two.")
    order = np.argsort(candidates.mean_cost, kind="stable")
    first, second = np.array(list(combinations(order.tolist(), 2))).T
    each = np.array([difference_errors(candidates.performance, index) for index in range(len(candidates))])
    difference = candidates.mean_performance[second] - candidates.mean_performance[first]
    error, freedom = each[first, :, second].T
    half = stdtrit(freedom, _LIMITS[1]) * error
    with np.errstate(divide="ignore", invalid="ignore"):
        p = 2 * stdtr(freedom, -np.abs(difference) / error)
    p[(difference == 0) & (error == 0)] = 1.0
    names = np.array(candidates.names, dtype=object)
    return pd.DataFrame(
        {
            "first": names[first],
            "second": names[second],
            "difference": difference,
            "low": difference - half,
            "high": difference + half,
            "p": p,
            "p_holm": holm(p),
        }
    )


def holm(p: np.ndarray) -> np.ndarray:
    """Corrected probabilities of a family of tests; NaN is no test and stays so."""
    corrected = np.full(p.shape, np.nan)
    known = np.flatnonzero(np.isfinite(p))
    order = known[np.argsort(p[known], kind="stable")]
    steps = p[order] * np.arange(len(order), 0, -1)
    corrected[order] = np.minimum(1.0, np.maximum.accumulate(steps)) if len(order) else steps
    return corrected


def leave_one_out(candidates: Candidates, criterion: Criterion) -> dict[str, str | None]:
    """By candidate whose absence changes the choice, though it was not chosen: what would be chosen (None: none).

    Scores that are scaled by the table, as PePR's and the weighted sum's, move with the cheapest and dearest
    candidates; so can the choice.

    Raises:
        InputError: none may be chosen among all.
    """
    chosen = choose(candidates, criterion).chosen
    others = [(index, name) for index, name in enumerate(candidates.names) if name != chosen]
    without = {name: _chosen_without(candidates, criterion, index) for index, name in others}
    return {name: instead for name, instead in without.items() if instead != chosen}


def across_factors(candidates: Candidates, criterion: Criterion, factors: Mapping[str, Factors]) -> pd.DataFrame:
    """Choose on other grids, with other PUE or embodied shares; a budget and a price stay as many grams.

    One grid and PUE for all scales every cost alike, which changes no choice by performance, frontier, weighted sum,
    PePR or non-inferiority; it changes what fits a budget or a price in grams, and an embodied share's part.

    Args:
        candidates: whose cost was made from energy.
        criterion: whatever it is.
        factors: by a label of each.

    Returns:
        Rows with ``label``, ``g_per_kwh``, ``chosen`` (None where none may be), its ``carbon_g`` and ``reason``.

    Raises:
        InputError: the cost was not made from energy, or an embodied share lacks the duration.
    """
    rows: list[tuple[Any, ...]] = []
    for label, there in factors.items():
        recosted = candidates.recosted(there)
        try:
            choice = choose(recosted, criterion)
            chosen, reason = choice.chosen, choice.reason
            carbon_g = float(recosted.mean_cost[recosted.names.index(chosen)])
        except InputError as error:
            chosen, carbon_g, reason = None, np.nan, str(error)
        rows.append((label, there.intensity.g_per_kwh, chosen, carbon_g, reason))
    return pd.DataFrame(rows, columns=["label", "g_per_kwh", "chosen", "carbon_g", "reason"])


def side_by_side(
    candidates: Candidates, criteria: Sequence[Criterion], draws: int = DRAWS
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """What each criterion chooses.

    Returns:
        A row a criterion: ``name``, ``chosen``, ``runner_up`` (None: there is none), ``performance`` and ``cost`` of
        the chosen one, its ``probability`` over draws of the replicates (NaN where nothing could be drawn) and the
        ``reason``.
        A row a criterion and candidate: ``name``, ``candidate``, ``probability`` of being chosen.

    Raises:
        InputError: a criterion may choose none of them.
    """
    rows, probabilities = [], []
    for criterion in criteria:
        choice = choose(candidates, criterion)
        table = uncertainty(candidates, criterion, draws).table.assign(name=criterion.name)
        table = table.rename(columns={"chosen_probability": "probability"})
        probabilities.append(table[["name", "candidate", "probability"]])
        chosen = table.rename(columns={"candidate": "chosen"}).set_index("chosen", drop=False).loc[choice.chosen]
        kept = chosen[["name", "chosen", "performance", "cost", "probability"]].to_dict()
        rows.append(kept | {"runner_up": choice.runner_up, "reason": choice.reason})
    return pd.DataFrame(rows), pd.concat(probabilities, ignore_index=True)
