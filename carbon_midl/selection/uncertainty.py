"""How sure a choice is: the same criterion on draws of the replicates.

What is drawn is what varies in the table: seeds, folds or patients. What does not vary there, such as the data set or
the training recipe, is not covered. With few replicates the bootstrap knows their spread only roughly, and rather too
small than too large; with a single one it knows nothing, and no interval or probability is given.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from carbon_midl.errors import InputError
from carbon_midl.selection.candidates import Candidates
from carbon_midl.selection.choice import Criterion, pick
from carbon_midl.selection.frontier import on_frontier
from carbon_midl.selection.sample import draw, observed
from carbon_midl.units import listed

DRAWS = 10_000
FEW = 10
_LIMITS = (0.025, 0.975)


@dataclass(frozen=True)
class Uncertainty:
    """What would be chosen with other replicates.

    Attributes:
        table: one row a candidate: ``candidate``, ``replicates``, ``performance`` and ``cost`` with their 95 %
            intervals (``…_low``, ``…_high``), ``on_frontier`` as observed, ``frontier_probability``,
            ``chosen_probability``, and ``rank`` by the criterion with its 95 % interval; candidates that may not be
            chosen share the last rank. NaN where there is no interval.
        none_probability: of draws on which no candidate may be chosen; None where nothing could be drawn.
        rank_agreement: mean Spearman correlation of a draw's ranks with the observed ones; None where there is none.
        draws: how many.
        notes: what limits all this, in sentences.
    """

    table: pd.DataFrame
    none_probability: float | None
    rank_agreement: float | None
    draws: int
    notes: tuple[str, ...]

    def chosen_probability(self, name: str) -> float:
        """Of one candidate; NaN where nothing could be drawn."""
        return float(self.table["chosen_probability"].to_numpy()[list(self.table["candidate"]).index(name)])


def uncertainty(candidates: Candidates, criterion: Criterion, draws: int = DRAWS, seed: int = 0) -> Uncertainty:
    """Choose again on each of ``draws`` draws of the replicates.

    Args:
        candidates: n of them.
        criterion: applied to each draw; standard errors, where it has any, stay those of the table.
        draws: at least 1.
        seed: of the draws.

    Raises:
        InputError: ``draws`` is less than 1.
    """
    if draws < 1:
        raise InputError(f"draws: found {draws}; expected at least 1.")
    sample = observed(candidates)
    ranks = _ranks(criterion.utility(sample))
    table = pd.DataFrame(
        {
            "candidate": candidates.names,
            "replicates": candidates.counts,
            "performance": candidates.mean_performance,
            "cost": candidates.mean_cost,
            "on_frontier": on_frontier(candidates.mean_performance, candidates.mean_cost),
            "rank": ranks[0],
        }
    )
    if candidates.counts.max() < 2:
        note = "A single replicate of each candidate: no interval and no probability can be given. Repeat with seeds."
        return Uncertainty(_ordered(table.assign(**_nothing(table))), None, None, 0, (note,))
    counted = _count(candidates, criterion, draws, seed, ranks)
    table = table.assign(**counted.columns)
    table.loc[candidates.counts < 2, [name for name in table if str(name).endswith(("_low", "_high"))]] = np.nan
    return Uncertainty(_ordered(table), counted.none, counted.agreement, draws, _notes(candidates))


@dataclass(frozen=True)
class _Counted:
    columns: dict[str, np.ndarray]
    none: float
    agreement: float | None


def _count(candidates: Candidates, criterion: Criterion, draws: int, seed: int, observed_ranks: np.ndarray) -> _Counted:
    count = len(candidates)
    chosen = np.zeros(count + 1, dtype=int)
    frontier = np.zeros(count, dtype=int)
    # A row a candidate, so that its quantiles read memory in one go.
    drawn = {name: np.empty((count, draws)) for name in ("performance", "cost", "rank")}
    agreement, agreeing, start = 0.0, 0, 0
    for sample in draw(candidates, draws, seed):
        stop = start + len(sample.performance)
        utility = criterion.utility(sample)
        ranks = _ranks(utility)
        # Place -1, none, is counted at the end.
        chosen += np.bincount(pick(utility, sample) % (count + 1), minlength=count + 1)
        frontier += on_frontier(sample.performance, sample.cost).sum(axis=0)
        for name, values in (("performance", sample.performance), ("cost", sample.cost), ("rank", ranks)):
            drawn[name][:, start:stop] = values.T
        correlations = _correlations(ranks, observed_ranks)
        agreement += correlations.sum()
        agreeing += len(correlations)
        start = stop
    columns = {"frontier_probability": frontier / draws, "chosen_probability": chosen[:-1] / draws}
    for name, values in drawn.items():
        columns[f"{name}_low"], columns[f"{name}_high"] = np.quantile(values, _LIMITS, axis=1)
    return _Counted(columns, chosen[-1] / draws, agreement / agreeing if agreeing else None)


def _ranks(utility: np.ndarray) -> np.ndarray:
    """1 for the largest of each row; equals share the smallest of their ranks."""
    order = np.argsort(-utility, axis=1)
    sorted_utility = np.take_along_axis(utility, order, axis=1)
    places = np.broadcast_to(np.arange(1, utility.shape[1] + 1, dtype=np.int32), utility.shape).copy()
    places[:, 1:][sorted_utility[:, 1:] == sorted_utility[:, :-1]] = 0
    ranks = np.empty_like(places)
    np.put_along_axis(ranks, order, np.maximum.accumulate(places, axis=1), axis=1)
    return ranks


def _correlations(ranks: np.ndarray, observed_ranks: np.ndarray) -> np.ndarray:
    """Of each row with the observed ranks; rows where all are equal are left out."""
    centred = ranks - ranks.mean(axis=1, keepdims=True)
    there = (observed_ranks - observed_ranks.mean())[0]
    scale = np.sqrt((centred**2).sum(axis=1) * (there**2).sum())
    correlations: np.ndarray = (centred @ there)[scale > 0] / scale[scale > 0]
    return correlations


def _ordered(table: pd.DataFrame) -> pd.DataFrame:
    names = ["candidate", "replicates"]
    names += [f"{name}{end}" for name in ("performance", "cost") for end in ("", "_low", "_high")]
    names += ["on_frontier", "frontier_probability", "chosen_probability", "rank", "rank_low", "rank_high"]
    return table[names]


def _nothing(table: pd.DataFrame) -> dict[str, np.ndarray]:
    names = [f"{name}{end}" for name in ("performance", "cost", "rank") for end in ("_low", "_high")]
    return {name: np.full(len(table), np.nan) for name in [*names, "frontier_probability", "chosen_probability"]}


def _notes(candidates: Candidates) -> tuple[str, ...]:
    notes = []
    if not candidates.paired:
        notes.append("Replicates are not paired: each candidate's own are drawn (if all share them, say --paired).")
    if alone := [name for name, count in zip(candidates.names, candidates.counts, strict=True) if count < 2]:
        notes.append(
            f"A single replicate, taken as known exactly, so that probabilities are too sure: {listed(alone)}."
        )
    several = candidates.counts[candidates.counts > 1]
    if several.min() < FEW:
        notes.append(f"Only {several.min()} replicates: intervals and probabilities are rough, and rather too sure.")
    return tuple(notes)
