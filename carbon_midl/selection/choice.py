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
_BLOCK_CELLS = 250_000
"""Candidates × draws handled at once: a few MB, which a processor's cache holds."""


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
    runner_up = _without(candidates, criterion, chosen) if len(candidates) > 1 else None
    scores = criterion.scores(performance, cost, candidates)[0]
    tied = tuple(candidates.names[place] for place in np.flatnonzero(_largest(utility)[0]) if place != chosen)
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
    """The place of the largest utility on each draw, shape (m,); -1 where none may be chosen.

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


def _without(candidates: Candidates, criterion: Criterion, place: int) -> str | None:
    """What would be chosen without one of them; None where none may be."""
    rest = candidates.without(place)
    performance, cost = rest.mean_performance[None], rest.mean_cost[None]
    chosen = int(pick(criterion.utility(performance, cost, rest), performance, cost)[0])
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
        place = candidates.names.index(runner_up)
        text += f". Next is {runner_up}, {performance[place]:.4f} at {amount(cost[place], candidates.unit)}"
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
    count, known = len(candidates), bool(candidates.counts.max() > 1)
    chosen, frontier = np.full(count + 1, np.nan), np.full(count, np.nan)
    drawn = {name: np.full((1, count), np.nan) for name in ("performance", "cost", "rank")}
    if known:
        chosen, frontier = np.zeros(count + 1), np.zeros(count)
        means = drawn_means(candidates.performance, candidates.cost, draws=draws, seed=seed)
        drawn = {"performance": means[0], "cost": means[1], "rank": np.empty((draws, count), dtype=np.float32)}
        block = max(1, _BLOCK_CELLS // count)
        for start in range(0, draws, block):
            performance, cost = (kind[start : start + block] for kind in means)
            utility = criterion.utility(performance, cost, candidates)
            # Place -1, none, is counted at the end.
            places = pick(utility, performance, cost) % (count + 1)
            chosen += np.bincount(places, minlength=count + 1) / draws
            frontier += on_frontier(performance, cost).sum(axis=0) / draws
            drawn["rank"][start : start + block] = _ranks(utility)
    performance, cost = candidates.mean_performance, candidates.mean_cost
    limits = {name: np.quantile(values, _LIMITS, axis=0) for name, values in drawn.items()}
    for low_high in limits.values():
        low_high[:, candidates.counts < 2] = np.nan
    table = pd.DataFrame(
        {
            "candidate": candidates.names,
            "replicates": candidates.counts,
            "performance": performance,
            "performance_low": limits["performance"][0],
            "performance_high": limits["performance"][1],
            "cost": cost,
            "cost_low": limits["cost"][0],
            "cost_high": limits["cost"][1],
            "on_frontier": on_frontier(performance, cost),
            "frontier_probability": frontier,
            "chosen_probability": chosen[:-1],
            "rank": _ranks(criterion.utility(performance[None], cost[None], candidates))[0],
            "rank_low": limits["rank"][0],
            "rank_high": limits["rank"][1],
        }
    )
    return Uncertainty(table, float(chosen[-1]) if known else None, draws if known else 0, _notes(candidates))


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
    each = np.array([difference_errors(candidates.performance, place) for place in range(len(candidates))])
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
    before = choose(candidates, criterion).chosen
    others = [(place, name) for place, name in enumerate(candidates.names) if name != before]
    without = {name: _without(candidates, criterion, place) for place, name in others}
    return {name: chosen for name, chosen in without.items() if chosen != before}


def across_factors(candidates: Candidates, criterion: Criterion, factors: Mapping[str, Factors]) -> pd.DataFrame:
    """Choose on other grids, with other PUE or embodied shares; a budget and a price stay as many grams.

    One grid and PUE for all scales every cost alike, which changes no choice by performance, frontier, weighted sum,
    PePR or non-inferiority; it changes what fits a budget or a price in grams, and an embodied share's part.

    Args:
        candidates: whose cost was made from energy.
        criterion: whatever it is.
        factors: by a label of each.

    Returns:
        Rows with ``label``, ``g_per_kwh``, ``pue``, ``embodied_g_per_h``, ``chosen`` (None where none may be),
        ``carbon_g`` of the chosen one, ``embodied_fraction`` of that carbon, and ``reason``.

    Raises:
        InputError: the cost was not made from energy, or an embodied share lacks the duration.
    """
    rows = []
    for label, there in factors.items():
        recosted = candidates.recosted(there)
        row: dict[str, Any] = {
            "label": label,
            "g_per_kwh": there.intensity.g_per_kwh,
            "pue": there.pue,
            "embodied_g_per_h": there.embodied_g_per_h,
            "chosen": None,
            "carbon_g": np.nan,
            "embodied_fraction": np.nan,
        }
        try:
            choice = choose(recosted, criterion)
        except InputError as error:
            row["reason"] = str(error)
        else:
            carbon_g = float(recosted.mean_cost[recosted.names.index(choice.chosen)])
            operational = recosted.recosted(Factors(there.intensity, there.pue))
            operational_g = float(operational.mean_cost[recosted.names.index(choice.chosen)])
            row |= {"chosen": choice.chosen, "carbon_g": carbon_g, "reason": choice.reason}
            row["embodied_fraction"] = 1 - operational_g / carbon_g if carbon_g > 0 else 0.0
        rows.append(row)
    return pd.DataFrame(rows)


def side_by_side(
    candidates: Candidates, criteria: Sequence[Criterion], draws: int = DRAWS
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """What each criterion chooses.

    Returns:
        A row a criterion: ``name``, ``criterion`` with its options, ``chosen``, ``runner_up`` (None: there is none),
        ``performance`` and ``cost`` of the chosen one, its ``probability`` over draws of the replicates (NaN where
        nothing could be drawn) and the ``reason``.
        A row a criterion and candidate: ``name``, ``candidate``, ``probability`` of being chosen.

    Raises:
        InputError: a criterion may choose none of them.
    """
    rows, probabilities = [], []
    for criterion in criteria:
        choice = choose(candidates, criterion)
        likely = uncertainty(candidates, criterion, draws).table.set_index("candidate")["chosen_probability"]
        place = candidates.names.index(choice.chosen)
        rows.append(
            {
                "name": criterion.name,
                "criterion": choice.criterion,
                "chosen": choice.chosen,
                "runner_up": choice.runner_up,
                "performance": float(candidates.mean_performance[place]),
                "cost": float(candidates.mean_cost[place]),
                "probability": likely[choice.chosen],
                "reason": choice.reason,
            }
        )
        probabilities.append(likely.rename("probability").reset_index().assign(name=criterion.name))
    return pd.DataFrame(rows), pd.concat(probabilities, ignore_index=True)[["name", "candidate", "probability"]]


def on_grids(candidates: Candidates, criteria: Sequence[Criterion], factors: Mapping[str, Factors]) -> pd.DataFrame:
    """What each criterion chooses on each grid: a row each with ``name``, ``grid``, ``g_per_kwh`` and ``chosen``.

    Raises:
        InputError: the cost was not made from energy.
    """
    parts = [across_factors(candidates, criterion, factors).assign(name=criterion.name) for criterion in criteria]
    table = pd.concat(parts, ignore_index=True).rename(columns={"label": "grid"})
    return table[["name", "grid", "g_per_kwh", "chosen"]]
