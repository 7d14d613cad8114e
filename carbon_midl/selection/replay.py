"""Policies replayed on recorded learning curves: what would they have chosen, and what would that have cost?

A replay gives a policy, step by step, the epochs that it asks for. The chosen candidate is then trained to its end.
Two numbers say how good a policy is:

- regret: the score of the full sweep's choice minus that of the policy's. By the best performance of whole curves it is
  0 or more; by a score that decided nothing, as test Dice, luck can make it less;
- share: cost of the policy's steps and of finishing the chosen candidate, divided by the full sweep's.

How much they depend on which candidates happened to be in the table is told by draws: candidates are drawn with
replacement, as many as there are; one drawn twice is in the draw once.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from carbon_midl.errors import InputError
from carbon_midl.measures import interval
from carbon_midl.selection.candidates import RUN, TEST_DICE, labels, numbers, require
from carbon_midl.selection.policies import POLICIES, Policy, Step, Trial
from carbon_midl.study.results import read_csv


@dataclass(frozen=True)
class Curves:
    """Learning curves of candidates that were all trained in full.

    Attributes:
        names: ``(n,)`` of the candidates.
        sizes: ``(n,)`` what is known before training and grows with the cost, above 0.
        performance: ``(n, epochs)`` after each epoch, 0–1, larger is better; NaN for an epoch that failed.
        cost: ``(n, epochs)`` of each epoch, 0 or more.
        score: ``(n,)`` by which a choice is judged, as the test Dice; by default each candidate's best performance.

    Raises:
        InputError: shapes that do not agree, no candidate, a size or cost that cannot be, a performance outside 0–1,
            or a candidate without any performance.
    """

    names: tuple[str, ...]
    sizes: NDArray[np.float64]
    performance: NDArray[np.float64]
    cost: NDArray[np.float64]
    score: NDArray[np.float64] | None = None

    def __post_init__(self) -> None:
        count = len(self.names)
        if not count or self.performance.ndim != 2 or not self.performance.shape[1]:
            raise InputError(
                f"curves: {count} candidates, shape {self.performance.shape}; expected one with one epoch."
            )
        if self.performance.shape != self.cost.shape or (count,) != self.sizes.shape or len(self.performance) != count:
            raise InputError(
                f"curves: {count} candidates, {len(self.sizes)} sizes, performance {self.performance.shape} and cost "
                f"{self.cost.shape}; expected one size and one row of the same length a candidate."
            )
        seen = ~np.isnan(self.performance)
        for wrong, what in (
            (~(np.isfinite(self.sizes) & (self.sizes > 0)), "a size that is no number above 0"),
            (~(np.isfinite(self.cost) & (self.cost >= 0)).all(axis=1), "a cost that is no number of 0 or more"),
            ((seen & ~((self.performance >= 0) & (self.performance <= 1))).any(axis=1), "a performance outside 0–1"),
            (~seen.any(axis=1), "no performance at all"),
        ):
            if wrong.any():
                raise InputError(f"curves: {self.names[int(np.flatnonzero(wrong)[0])]} has {what}.")

    def __len__(self) -> int:
        return len(self.names)

    @property
    def epochs(self) -> int:
        """Of every candidate."""
        return int(self.performance.shape[1])

    @property
    def best(self) -> NDArray[np.float64]:
        """``(n,)`` each candidate's best performance over all its epochs, which is that of the kept checkpoint."""
        return np.nanmax(self.performance, axis=1)

    @property
    def full_cost(self) -> float:
        """Of the full sweep."""
        return float(self.cost.sum())

    def part(self, places: Sequence[int] | NDArray[np.intp]) -> "Curves":
        """The curves of some candidates."""
        chosen = np.asarray(places, dtype=np.intp)
        names = tuple(self.names[place] for place in chosen)
        score = None if self.score is None else self.score[chosen]
        return Curves(names, self.sizes[chosen], self.performance[chosen], self.cost[chosen], score)


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
        performance: regular expression that the names of the epochs' columns match; their order is that of the table.

    Raises:
        InputError: a column is missing, no column matches, a candidate occurs twice, or a cell cannot be.
    """
    frame, origin = (table, "table") if isinstance(table, pd.DataFrame) else (read_csv(table), str(table))
    epochs = [str(name) for name in frame.columns if re.fullmatch(performance, str(name))]
    if not epochs:
        raise InputError(f"{origin}: no column matches {performance!r}; expected one an epoch.")
    names = labels(frame, tuple(candidate), "candidate", origin)
    if names.isna().any() or names.duplicated().any():
        raise InputError(f"{origin}: {' / '.join(candidate)} has gaps or repeats; expected a row a candidate.")
    whole = numbers(frame, cost, "cost", origin)
    return Curves(
        tuple(names),
        numbers(frame, size, "size", origin),
        np.column_stack([numbers(frame, name, "performance after an epoch", origin) for name in epochs]),
        np.repeat(whole[:, None] / len(epochs), len(epochs), axis=1),
    )


def curves_of_study(directory: Path, candidate: Sequence[str] = ("filters",)) -> dict[int, Curves]:
    """Read a recorded study's curves, by seed: validation Dice and energy (kWh) of each epoch.

    Their score is the candidate's mean test Dice over the seeds.

    Args:
        directory: with ``runs.csv`` and ``epochs.csv``.
        candidate: columns of ``runs.csv`` that name a candidate together.

    Raises:
        InputError: a table or column is missing, candidates of a seed share a name, or their trainings have different
            numbers of epochs.
    """
    runs, epochs = read_csv(directory / "runs.csv"), read_csv(directory / "epochs.csv")
    by_seed = curves_of_runs(runs, epochs, candidate, str(directory))
    tested = pd.Series(numbers(runs, TEST_DICE, "score of a choice", f"{directory}/runs.csv"))
    means = tested.groupby(labels(runs, tuple(candidate), "candidate", str(directory))).mean()
    return {seed: replace(curves, score=means[list(curves.names)].to_numpy()) for seed, curves in by_seed.items()}


def curves_of_runs(
    runs: pd.DataFrame, epochs: pd.DataFrame, candidate: Sequence[str] = ("filters",), origin: str = "results"
) -> dict[int, Curves]:
    """As `curves_of_study`, from tables at hand; ``origin`` names them in errors."""
    for table, names, file in (
        (runs, (RUN, "seed", "macs", *candidate), "runs.csv"),
        (epochs, (RUN, "epoch", "val_dice", "energy_kwh"), "epochs.csv"),
    ):
        for name in names:
            require(table, name, "curves", f"{origin}/{file}")
    return {
        seed: _curves_of_seed(runs[runs["seed"] == seed], epochs, tuple(candidate), origin)
        for seed in sorted(runs["seed"].unique().tolist())
    }


def _curves_of_seed(runs: pd.DataFrame, epochs: pd.DataFrame, candidate: tuple[str, ...], origin: str) -> Curves:
    called = labels(runs, candidate, "candidate", f"{origin}/runs.csv")
    if called.duplicated().any():
        twice = called[called.duplicated()].iloc[0]
        raise InputError(
            f"{origin}/runs.csv: several runs of one seed are called {twice!r}. Name more columns that tell them apart."
        )
    tables = [epochs[epochs[RUN] == run].sort_values("epoch") for run in runs[RUN]]
    lengths = sorted({len(table) for table in tables})
    if len(lengths) > 1:
        raise InputError(
            f"{origin}/epochs.csv: runs have {lengths[0]} to {lengths[-1]} epochs; expected the same number."
        )
    return Curves(
        tuple(called),
        runs["macs"].to_numpy(dtype=float),
        np.array([table["val_dice"].to_numpy(dtype=float) for table in tables]),
        np.array([table["energy_kwh"].to_numpy(dtype=float) for table in tables]),
    )


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
            shown, paid = (tuple(rows[step.trial][: step.until]) for rows in (performance, cost))
            trials[step.trial] = replace(trial, performance=shown, cost=paid)
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
    within = float((regret <= tolerance).mean())
    limits = (*interval(regret.mean(), regret), *interval(share.mean(), share))
    return Summary(policy.describe(), len(replays), tolerance, within, *limits)


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
