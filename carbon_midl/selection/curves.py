"""Recorded learning curves: what every candidate's full training showed after each epoch, and what each epoch cost."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from carbon_midl.errors import InputError
from carbon_midl.selection.columns import labels, numbers, require
from carbon_midl.selection.recorded import RUN, TEST_DICE
from carbon_midl.study.results import read_csv, read_results


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
        directory: of a recorded study.
        candidate: columns of ``runs.csv`` that name a candidate together.

    Raises:
        InputError: a table or column is missing, candidates of a seed share a name, or their trainings have different
            numbers of epochs.
    """
    results = read_results(directory)
    by_seed = curves_of_runs(results.runs, results.epochs, candidate, results.where)
    called = labels(results.runs, tuple(candidate), "candidate", results.where)
    means = results.runs[TEST_DICE].groupby(called).mean()
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
