"""Policies replayed on recorded learning curves: what would they have chosen, and what would that have cost?

A replay gives a policy, step by step, the epochs that it asks for, as a live search would. The chosen candidate is then
trained to its end, as a live search does. Two numbers say how good a policy is:

- regret: the score of the full sweep's choice minus that of the policy's. By the best performance of whole curves it is
  0 or more; by a score that decided nothing, as test Dice, luck can make it less;
- share: cost of the policy's steps and of finishing the chosen candidate, divided by the full sweep's.

How much they depend on which candidates happened to be in the table is told by draws: candidates are drawn with
replacement, as many as there are; one drawn twice is in the draw once.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pandas as pd

from carbon_midl.errors import InputError
from carbon_midl.selection.curves import Curves, curves_of_runs
from carbon_midl.selection.policies import POLICIES
from carbon_midl.selection.policy import Policy, Step, Trial


@dataclass(frozen=True)
class Replay:
    """One search on recorded curves.

    Attributes:
        chosen: name of the candidate.
        regret: score that the choice gives away against the full sweep's choice.
        share: cost of the search, the chosen candidate's whole training included, of the full sweep's; 0–1.
        steps: in the order in which they were done.
        trained: epochs of each candidate, before the chosen one is finished.
    """

    chosen: str
    regret: float
    share: float
    steps: tuple[Step, ...]
    trained: tuple[int, ...]


class Summary(NamedTuple):
    """A policy over draws of the candidates; intervals are 95 % percentile intervals over the draws.

    Attributes:
        policy: its name and options.
        draws: how many.
        tolerance: regret that does not matter, 0–1.
        within: share of draws with a regret of at most that.
        regret: mean score given away, with ``regret_low`` and ``regret_high``.
        share: mean cost of the search, of the full sweep's, with ``share_low`` and ``share_high``.
    """

    policy: str
    draws: int
    tolerance: float
    within: float
    regret: float
    regret_low: float
    regret_high: float
    share: float
    share_low: float
    share_high: float


def replay(curves: Curves, policy: Policy) -> Replay:
    """Let a policy search through recorded curves.

    Raises:
        InputError: the policy asks for what is trained already or was never recorded, or chooses before there is a
            performance.
    """
    trials = [Trial(name, float(size), curves.epochs) for name, size in zip(curves.names, curves.sizes, strict=True)]
    performance, cost = curves.performance.tolist(), curves.cost.tolist()
    done: list[Step] = []
    while steps := policy.steps(trials):
        for step in steps:
            trial = trials[step.trial]
            if not trial.trained < step.until <= curves.epochs:
                raise InputError(
                    f"{policy.describe()}: asks to train {trial.name} from epoch {trial.trained} to {step.until}; "
                    f"expected a later one, at most {curves.epochs}."
                )
            trials[step.trial] = Trial(
                trial.name,
                trial.size,
                trial.epochs,
                tuple(performance[step.trial][: step.until]),
                tuple(cost[step.trial][: step.until]),
            )
        done += steps
    place = policy.choose(trials)
    spent = sum(trial.spent for trial in trials) + float(curves.cost[place, trials[place].trained :].sum())
    score = curves.best if curves.score is None else curves.score
    return Replay(
        chosen=curves.names[place],
        regret=float(score[curves.best.argmax()] - score[place]),
        share=spent / curves.full_cost if curves.full_cost else 1.0,
        steps=tuple(done),
        trained=tuple(trial.trained for trial in trials),
    )


def drawn(curves: Curves, draws: int, seed: int = 0) -> list[Curves]:
    """Draws of the candidates, with replacement; each draw keeps the table's order and has no candidate twice."""
    generator = np.random.default_rng(seed)
    return [curves.part(np.unique(generator.integers(len(curves), size=len(curves)))) for _ in range(draws)]


def summarise(replays: Sequence[Replay], policy: Policy, tolerance: float = 0.005) -> Summary:
    """Summarise the replays of one policy, one a draw.

    Args:
        replays: at least one.
        policy: theirs.
        tolerance: regret that does not matter, 0–1.

    Raises:
        InputError: there is no replay.
    """
    if not replays:
        raise InputError("replays: found none; expected one a draw.")
    regret, share = (np.array([getattr(one, name) for one in replays]) for name in ("regret", "share"))
    (regret_low, regret_high), (share_low, share_high) = (
        np.quantile(values, [0.025, 0.975]).tolist() for values in (regret, share)
    )
    return Summary(
        policy=policy.describe(),
        draws=len(replays),
        tolerance=tolerance,
        within=float((regret <= tolerance).mean()),
        regret=float(regret.mean()),
        regret_low=regret_low,
        regret_high=regret_high,
        share=float(share.mean()),
        share_low=share_low,
        share_high=share_high,
    )


def replay_study(runs: pd.DataFrame, epochs: pd.DataFrame, tolerance: float = 0.005) -> pd.DataFrame:
    """Every policy with its default options on a study's curves, each seed a search of its own.

    Where some seeds lack a width, only those with the most widths are searched: among fewer a search is another one.

    Args:
        runs: ``runs.csv`` of a recorded study whose candidates are its widths.
        epochs: its ``epochs.csv``.
        tolerance: regret that does not matter.

    Returns:
        A row a policy, with ``name``, the fields of `Summary`, and ``chosen``, the different choices of the seeds.
    """
    by_seed = curves_of_runs(runs, epochs)
    most = max(len(curves.names) for curves in by_seed.values())
    searched = [curves for curves in by_seed.values() if len(curves.names) == most]
    rows = []
    for kind in POLICIES.values():
        policy = kind()
        replays = [replay(curves, policy) for curves in searched]
        found = summarise(replays, policy, tolerance)
        rows.append(
            {"name": kind.name} | found._asdict() | {"chosen": ", ".join(dict.fromkeys(one.chosen for one in replays))}
        )
    return pd.DataFrame(rows)
