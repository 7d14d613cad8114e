"""Policies replayed on recorded learning curves: what would they have chosen, and what would that have cost?

A replay gives a policy, step by step, the epochs that it asks for. The chosen candidate is then trained to its end.
Two numbers say how good a policy is:

- regret: the score of the full sweep's choice minus that of the policy's. By the best performance of whole curves it is
  0 or more; by a score that decided nothing, as test Dice, luck can make it less;
- share: cost of the policy's steps and of finishing the chosen candidate, divided by the full sweep's.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from carbon_midl.errors import InputError
from carbon_midl.measures import interval
from carbon_midl.selection.candidates import RUN, TEST_DICE, labels, numbers
from carbon_midl.selection.policies import POLICIES, Policy, Trial
from carbon_midl.study.results import Results, read_results

TOLERANCE = 0.005
"""Half a point of regret does not matter."""


@dataclass(frozen=True)
class Curves:
    """Learning curves of candidates that were all trained in full, each a `Trial` at its end."""

    trials: tuple[Trial, ...]
    score: tuple[float, ...] | None = None  #: judges a choice, as the test Dice; by default the best performance.


def curves_of_study(study: Path | Results, candidate: Sequence[str] = ("filters",)) -> dict[int, Curves]:
    """Read a recorded study's curves, by seed: validation Dice and energy (kWh) of each epoch.

    Their score is the mean test Dice over the seeds of a candidate, which columns of ``runs.csv`` name together. Where
    some seeds lack a candidate, only those with the most are read: among fewer a search is another one.

    Raises:
        InputError: the results cannot be read, a column is missing, or candidates of a seed share a name.
    """
    results = study if isinstance(study, Results) else read_results(study)
    origin = f"{results.where}/runs.csv"
    runs = results.runs.assign(candidate=labels(results.runs, candidate, "candidate", origin))
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
    most = max(map(len, trials.values()))
    return {
        seed: Curves(tuple(found), tuple(tested[one.name] for one in found))
        for seed, found in sorted(trials.items())
        if len(found) == most
    }


def curves_of_table(table: pd.DataFrame, candidate: Sequence[str], size: str, cost: str, performance: str) -> Curves:
    """Read curves from a table with a row a candidate and a column an epoch.

    Args:
        table: anybody's, as `read_table` reads it.
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
    matching = [str(name) for name in table.columns if re.fullmatch(performance, str(name))]
    epochs = {int(found[-1]): name for name in matching if (found := re.findall(r"\d+", name))}
    if not epochs or len(epochs) < len(matching):
        raise InputError(
            f"table: {len(matching)} columns match {performance!r}, of {len(epochs)} epochs by the last number in "
            "their names; expected one an epoch, such as val_1, val_2."
        )
    names = labels(table, candidate, "candidate", "table")
    if names.isna().any() or names.duplicated().any():
        raise InputError(f"table: {' / '.join(candidate)} has gaps or repeats; expected a row a candidate.")
    sizes, costs = numbers(table, size, "size", "table"), numbers(table, cost, "cost", "table") / len(epochs)
    scores = [numbers(table, epochs[epoch], "performance after an epoch", "table") for epoch in sorted(epochs)]
    rows = zip(names, sizes.tolist(), np.transpose(scores).tolist(), costs.tolist(), strict=True)
    return Curves(
        tuple(Trial(name, size, len(epochs), tuple(row), (cost,) * len(epochs)) for name, size, row, cost in rows)
    )


class Replay(NamedTuple):
    """One search on recorded curves: whom it chose, the regret of that, and the search's share of the cost, 0–1."""

    chosen: str
    regret: float
    share: float


def replay(curves: Curves, policy: Policy) -> Replay:
    """Let a policy search through recorded curves; an `InputError` where it asks for what was never recorded."""
    if not isinstance(policy, Policy):
        raise InputError(
            f"policy: found {getattr(policy, '__name__', policy)}; expected a policy with brackets, such as "
            "FullSweep(), or one of a class of your own, Mine(Policy), whose method steps(self, trials) says what is "
            "next."
        )
    full = curves.trials
    trials = [trial.up_to(0) for trial in full]
    while steps := policy.steps(trials):
        for step in steps:
            if not isinstance(step, tuple):
                raise InputError(f"{policy.describe()}: found {step!r}; expected Step(place in the list, epoch).")
            index, until = step
            if not 0 <= index < len(trials):
                raise InputError(
                    f"{policy.describe()}: asks to train trial {index}; expected 0 to {len(trials) - 1}, its place in "
                    "the list of trials."
                )
            trial = trials[index]
            if not trial.trained < until <= trial.epochs:
                raise InputError(
                    f"{policy.describe()}: asks to train {trial.name} from epoch {trial.trained} to {until}; "
                    f"expected a later one, at most {trial.epochs}."
                )
            trials[index] = full[index].up_to(until)
    chosen = policy.choose(trials)
    trials[chosen] = full[chosen]
    spent, full_cost = (sum(trial.spent for trial in part) for part in (trials, full))
    best = [trial.best for trial in full]
    score = curves.score or best
    regret = score[best.index(max(best))] - score[chosen]
    return Replay(full[chosen].name, regret, spent / full_cost if full_cost else 1.0)


def replay_all(searches: Iterable[Curves], policies: Iterable[Policy] | None = None) -> pd.DataFrame:
    """Replay each policy, by default every one with its default options, on each search, which are draws.

    Returns:
        A row a policy: its ``name``; as ``policy`` with its options; ``draws``; ``within``, the share of draws with a
        regret of at most ``tolerance``; the mean ``regret`` and ``share``, and between which values 95 % of the draws
        lie (``…_low``, ``…_high``; NaN of a single draw); ``chosen``, the different choices.
    """
    rows, searches = [], list(searches)
    for policy in policies or [kind() for kind in POLICIES.values()]:
        chosen, *measured = zip(*(replay(curves, policy) for curves in searches), strict=True)
        regret, share = map(np.array, measured)
        row = {"name": policy.name, "policy": policy.describe(), "draws": len(searches), "tolerance": TOLERANCE}
        row["within"] = (regret <= TOLERANCE).mean()
        for name, drawn in (("regret", regret), ("share", share)):
            limits = interval(drawn.mean(), drawn) if len(drawn) > 1 else (drawn[0], np.nan, np.nan)
            row[name], row[f"{name}_low"], row[f"{name}_high"] = limits
        rows.append(row | {"chosen": ", ".join(dict.fromkeys(chosen))})
    return pd.DataFrame(rows)
