"""Policies replayed on recorded learning curves: what would they have chosen, and what would that have cost?

A replay gives a policy, step by step, the epochs that it asks for. The chosen candidate is then trained to its end.
Two numbers say how good a policy is:

- regret: the score of the full sweep's choice minus that of the policy's. By the best performance of whole curves it is
  0 or more; by a score that decided nothing, as test Dice, luck can make it less;
- share: cost of the policy's steps and of finishing the chosen candidate, divided by the full sweep's.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from carbon_midl.errors import InputError
from carbon_midl.measures import interval
from carbon_midl.selection.candidates import RUN, TEST_DICE, labels, numbers, read_table
from carbon_midl.selection.policies import POLICIES, Policy, Trial
from carbon_midl.study.results import Results, read_results

TOLERANCE = 0.005
"""Half a point of regret does not matter."""


@dataclass(frozen=True)
class Curves:
    """Learning curves of candidates that were all trained in full, each a `Trial` at its end.

    Attributes:
        trials: of the candidates.
        score: by which a choice is judged, as the test Dice; by default each candidate's best performance.
    """

    trials: tuple[Trial, ...]
    score: tuple[float, ...] | None = None

    def __len__(self) -> int:
        return len(self.trials)


def curves_of_study(study: Path | Results, candidate: Sequence[str] = ("filters",)) -> dict[int, Curves]:
    """Read a recorded study's curves, by seed: validation Dice and energy (kWh) of each epoch.

    Their score is the mean test Dice over the seeds of a candidate, which columns of ``runs.csv`` name together.

    Raises:
        InputError: the results cannot be read, a column is missing, or candidates of a seed share a name.
    """
    results = study if isinstance(study, Results) else read_results(study)
    origin = f"{results.where}/runs.csv"
    runs = results.runs.assign(candidate=labels(results.runs, tuple(candidate), "candidate", origin))
    if (repeated := runs.duplicated(["seed", "candidate"])).any():
        twice = runs.loc[repeated, "candidate"].iloc[0]
        raise InputError(
            f"{origin}: several runs of one seed are called {twice!r}. Name more columns that tell them apart."
        )
    tested = runs.groupby("candidate")[TEST_DICE].mean()
    tables = {run: table.sort_values("epoch") for run, table in results.epochs.groupby(RUN)}
    trials: dict[int, list[Trial]] = {}
    for seed, run, name, macs in runs[["seed", RUN, "candidate", "macs"]].itertuples(index=False):
        curve = (tuple(tables[run][column].astype(float)) for column in ("val_dice", "energy_kwh"))
        trials.setdefault(seed, []).append(Trial(name, macs, len(tables[run]), *curve))
    return {
        seed: Curves(tuple(trials[seed]), tuple(tested[one.name] for one in trials[seed])) for seed in sorted(trials)
    }


def curves_of_table(
    table: Path | pd.DataFrame, candidate: Sequence[str], size: str, cost: str, performance: str
) -> Curves:
    """Read curves from a table with a row a candidate and a column an epoch.

    Args:
        table: CSV file or data frame.
        candidate: columns that name it together.
        size: column of what is known before training, such as the number of parameters.
        cost: column of the whole training's cost; every epoch is taken to cost the same share of it, since that is
            all such a table says.
        performance: regular expression that the names of the epochs' columns match. They are put in the order of the
            last number in their names, wherever they stand.

    Raises:
        InputError: a column is missing, no column matches, two are of one epoch, a candidate occurs twice, or a cell
            cannot be.
    """
    frame, origin = (table, "table") if isinstance(table, pd.DataFrame) else (read_table(table), str(table))
    matching = [str(name) for name in frame.columns if re.fullmatch(performance, str(name))]
    epochs = {int(found[-1]): name for name in matching if (found := re.findall(r"\d+", name))}
    if not epochs or len(epochs) < len(matching):
        raise InputError(
            f"{origin}: {len(matching)} columns match {performance!r}, of {len(epochs)} epochs by the last number in "
            "their names; expected one an epoch, such as val_1, val_2."
        )
    names = labels(frame, tuple(candidate), "candidate", origin)
    if names.isna().any() or names.duplicated().any():
        raise InputError(f"{origin}: {' / '.join(candidate)} has gaps or repeats; expected a row a candidate.")
    sizes, costs = numbers(frame, size, "size", origin), numbers(frame, cost, "cost", origin) / len(epochs)
    scores = [numbers(frame, epochs[epoch], "performance after an epoch", origin) for epoch in sorted(epochs)]
    return Curves(
        tuple(
            Trial(str(name), float(size), len(epochs), tuple(map(float, row)), (float(cost),) * len(epochs))
            for name, size, row, cost in zip(names, sizes, zip(*scores, strict=True), costs, strict=True)
        )
    )


class Replay(NamedTuple):
    """One search on recorded curves.

    Attributes:
        chosen: name of the candidate.
        regret: score that the choice gives away against the full sweep's choice.
        share: cost of the search, the chosen candidate's whole training included, of the full sweep's; 0–1.
        trained: epochs of each candidate, before the chosen one is finished.
    """

    chosen: str
    regret: float
    share: float
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
    """Let a policy search through recorded curves; an `InputError` where it asks for what was never recorded."""
    full = curves.trials
    trials = [trial.up_to(0) for trial in full]
    while steps := policy.steps(trials):
        for index, until in steps:
            trial = trials[index]
            if not trial.trained < until <= trial.epochs:
                raise InputError(
                    f"{policy.describe()}: asks to train {trial.name} from epoch {trial.trained} to {until}; "
                    f"expected a later one, at most {trial.epochs}."
                )
            trials[index] = full[index].up_to(until)
    chosen, trained = policy.choose(trials), tuple(trial.trained for trial in trials)
    trials[chosen] = full[chosen]
    spent, full_cost = (sum(trial.spent for trial in part) for part in (trials, full))
    best = [trial.best for trial in full]
    score = curves.score or best
    regret = score[best.index(max(best))] - score[chosen]
    return Replay(full[chosen].name, regret, spent / full_cost if full_cost else 1.0, trained)


def summarise(replays: Sequence[Replay], policy: Policy, tolerance: float = TOLERANCE) -> Summary:
    """Summarise the replays of one policy, at least one, one a draw; ``tolerance`` is regret that does not matter."""
    regret, share = (np.array([getattr(one, name) for one in replays]) for name in ("regret", "share"))
    within = float((regret <= tolerance).mean())
    limits = (*interval(regret.mean(), regret), *interval(share.mean(), share))
    return Summary(policy.describe(), len(replays), tolerance, within, *limits)


def replay_study(
    study: Path | Results,
    candidate: Sequence[str] = ("filters",),
    policies: Sequence[Policy] | None = None,
    by_test: bool = False,
) -> pd.DataFrame:
    """Policies on the curves of a recorded study, each seed a search of its own.

    Where some seeds lack a candidate, only those with the most are searched: among fewer a search is another one.

    Args:
        study: its results, or their directory.
        candidate: as in `curves_of_study`.
        policies: by default every one with its default options.
        by_test: whether the regret is in mean test Dice, and not in validation Dice.

    Returns:
        A row a policy, with ``name``, the fields of `Summary`, and ``chosen``, the different choices of the seeds.
    """
    by_seed = list(curves_of_study(study, candidate).values())
    searched = [curves if by_test else replace(curves, score=None) for curves in by_seed]
    searched = [curves for curves in searched if len(curves) == max(map(len, by_seed))]
    return replay_all(searched, policies)


def replay_all(searches: Sequence[Curves], policies: Sequence[Policy] | None = None) -> pd.DataFrame:
    """Each policy on each search: a row a policy, as in `replay_study`."""
    rows = []
    for policy in policies or [kind() for kind in POLICIES.values()]:
        replays = [replay(curves, policy) for curves in searches]
        choices = ", ".join(dict.fromkeys(one.chosen for one in replays))
        rows.append({"name": policy.name} | summarise(replays, policy)._asdict() | {"chosen": choices})
    return pd.DataFrame(rows)
