"""Rows of a training and a patient each into arrays, for the patients that every training was scored on."""

import numpy as np
import pandas as pd

from carbon_midl.errors import InputError
from carbon_midl.selection.trainings import Trainings

_KEYS = ["candidate", "training"]


def by_training(tidy: pd.DataFrame, origin: str) -> tuple[Trainings, pd.DataFrame, list[str]]:
    """Arrays of the trainings, a table with the mean over each candidate's trainings, and notes.

    Args:
        tidy: columns ``candidate``, ``training``, ``replicate`` (a patient), ``performance`` and ``cost``, and
            ``energy_kwh`` and ``duration_s`` where they are known; a row a training and patient.
        origin: of the table, for messages.

    Raises:
        InputError: no patient has all trainings, or a training has several costs.
    """
    scored = tidy.groupby("replicate")["performance"].transform("size")
    trained = len(tidy[_KEYS].drop_duplicates())
    kept = tidy[scored == trained]
    if kept.empty:
        raise InputError(f"{origin}: no patient was scored by all {trained} trainings. Leave out those that lack most.")
    notes = []
    if len(kept) < len(tidy):
        gone = tidy["replicate"].nunique() - kept["replicate"].nunique()
        notes.append(
            f"{gone} patient{'' if gone == 1 else 's'} left out, on whom not all {trained} trainings were scored."
        )
    amounts = [name for name in ("cost", "energy_kwh", "duration_s") if name in kept]
    several = kept.groupby(_KEYS)[amounts].nunique().gt(1).any(axis=1)
    if several.any():
        candidate, training = several[several].index[0]
        raise InputError(
            f"{origin}: training {training} of candidate {candidate} has another cost on another patient; expected the "
            "cost of the whole training on each of its rows."
        )
    arrays = _arrays(kept, amounts)
    if (arrays.counts < 2).any():
        notes.append("Candidates with a single training: what another seed would change is left out for them.")
    means = kept.drop(columns="training").groupby(["candidate", "replicate"], sort=False, as_index=False).mean()
    return arrays, means, notes


def ordered(names: list[str]) -> list[str]:
    """In numerical order where they are numbers, otherwise as they are."""
    try:
        return sorted(names, key=float)
    except ValueError:
        return names


def _arrays(kept: pd.DataFrame, amounts: list[str]) -> Trainings:
    table = kept.pivot(index=_KEYS, columns="replicate", values="performance").sort_index(axis=1)
    per_training = kept.groupby(_KEYS)[amounts].first()
    names = ordered(list(kept["candidate"].unique()))
    most = int(table.groupby(level=0).size().max())
    performance = np.full((len(names), most, table.shape[1]), np.nan)
    filled = {name: np.full((len(names), most), np.nan) for name in amounts}
    for row, name in enumerate(names):
        scores = table.loc[name]
        performance[row, : len(scores)] = scores.to_numpy()
        for amount, values in filled.items():
            values[row, : len(scores)] = per_training.loc[name][amount].to_numpy()
    return Trainings(performance, **filled)
