"""Candidates from any tidy table with a row a candidate and replicate (a seed, a fold or a patient).

How gaps are handled:

- A row without a candidate, a replicate, a performance or a cost is left out, and counted in ``notes``.
- Numbers of replicates may differ; each candidate's mean is over its own, and candidates are treated as independent.
- Replicates are *paired* where they are patients, or where ``paired`` says that all candidates share them, as folds of
  one split; equal seeds share nothing. Only those that every candidate has are kept then, comparisons are made
  replicate by replicate, and draws of the bootstrap are common to all.
- Several rows of one candidate and replicate are refused, unless their mean is asked for.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from carbon_midl.errors import InputError
from carbon_midl.selection.candidates import CARBON_UNIT, Candidates
from carbon_midl.selection.columns import is_test, kept, labels, numbers
from carbon_midl.selection.cost import KWH_PER_UNIT, Factors
from carbon_midl.selection.reading_trainings import by_training, ordered
from carbon_midl.selection.recorded import PATIENT, RUN, TEST_DICE, VALIDATION_DICE, by_patient
from carbon_midl.study.results import RUNS, read_csv


@dataclass(frozen=True)
class Columns:
    """Which column holds what; the defaults fit a recorded study, and choose on its validation patients.

    Attributes:
        candidate: one or several columns that name a candidate together.
        replicate: seed, fold or patient; "none" where every row is one of its own. By default the patient where a
            recorded study has slices of the performance's part, otherwise the seed.
        training: where the replicates are patients, the column that tells a candidate's trainings apart, such as the
            seed; both are drawn then. None where there is none.
        performance: between 0 and 1, larger is better. By default validation Dice: ``val_dice_patients`` by patient,
            ``val_dice`` by seed.
        energy: before PUE, turned into carbon by the factors. Used unless ``carbon`` or ``resource`` is given.
        energy_unit: kWh, Wh, MJ or J.
        carbon: gCO2eq as recorded, with the factors of whoever recorded it.
        resource: any other cost, such as memory or time; smaller is better.
        resource_unit: for words and axes.
        duration: s; needed only for an embodied share.
    """

    candidate: tuple[str, ...] = ("filters",)
    replicate: str = ""
    training: str | None = None
    performance: str = ""
    energy: str = "energy_kwh"
    energy_unit: str = "kWh"
    carbon: str | None = None
    resource: str | None = None
    resource_unit: str = ""
    duration: str = "duration_s"


def read_candidates(
    table: Path | pd.DataFrame,
    columns: Columns | None = None,
    factors: Factors | None = None,
    where: Mapping[str, str] | None = None,
    percent: bool = False,
    mean_of_repeats: bool = False,
    paired: bool = False,
) -> Candidates:
    """Read a tidy table.

    Args:
        table: a CSV file (``.gz`` too), the directory of a recorded study, or a data frame. By patient, a directory is
            read with :func:`carbon_midl.selection.recorded.by_patient`, and only patients on whom all trainings were
            scored are kept.
        columns: which column holds what.
        factors: from energy to carbon; by default the world's average grid and data centre.
        where: keep only rows with these values, by column.
        percent: the performance is in percent.
        mean_of_repeats: average rows of the same candidate and replicate.
        paired: all candidates share the replicates; those that some lack are left out.

    Raises:
        InputError: the file cannot be read, a column is missing or holds what cannot be, or no row is left.
    """
    frame, origin, columns, notes = _opened(table, columns or Columns())
    for name, value in (where or {}).items():
        frame = kept(frame, name, value, origin)
    tidy, made = _tidy(frame, columns, factors, percent, origin)
    needed = ["candidate", "replicate", "performance", "cost", *(["training"] if columns.training else [])]
    complete = tidy.dropna(subset=needed)
    if left_out := len(tidy) - len(complete):
        notes.append(f"{left_out} of {len(tidy)} rows left out: without candidate, replicate, performance or cost.")
    if complete.empty:
        raise InputError(f"{origin}: no row has a candidate, a replicate, a performance and a cost.")
    if gone := [name for name in tidy["candidate"].dropna().unique() if name not in set(complete["candidate"])]:
        notes.append(f"Candidates without any complete row: {', '.join(gone)}.")
    complete, averaged = _unrepeated(complete, columns, mean_of_repeats, origin)
    notes += averaged
    if columns.training:
        paired = True
        made["trainings"], complete, dropped = by_training(complete, origin)
        notes += dropped
    elif paired := paired or columns.replicate.lower().startswith("patient"):
        complete, dropped = _shared(complete, columns.replicate, origin)
        notes += dropped
    return replace(_padded(complete, paired), notes=tuple(notes), performance_name=columns.performance, **made)


def _opened(table: Path | pd.DataFrame, columns: Columns) -> tuple[pd.DataFrame, str, Columns, list[str]]:
    """The rows, where they come from, the columns with the defaults filled in, and notes."""
    notes, part = [], "validation"
    performance = columns.performance or VALIDATION_DICE
    if is_test(performance):
        part = "test"
        notes.append(
            f"{performance} is a test score, and choosing by it uses the test up: the chosen one's is too good, and "
            "nothing is left to test it on."
        )
    wanted = columns.replicate == PATIENT or (not columns.replicate and performance in (VALIDATION_DICE, TEST_DICE))
    if wanted and isinstance(table, Path) and table.is_dir():
        try:
            frame = by_patient(table, performance, part)
        except InputError as error:
            if columns.replicate:
                raise
            notes.append(
                f"By seed, on {columns.performance or 'val_dice'} of runs.csv, and not by patient, so what other "
                f"patients would change is left out. {error}"
            )
        else:
            training = columns.training or RUN
            columns = replace(columns, replicate=PATIENT, training=training, performance=performance)
            return frame, str(table), columns, notes
    columns = replace(columns, replicate=columns.replicate or "seed", performance=columns.performance or "val_dice")
    return *_load(table), columns, notes


def _load(table: Path | pd.DataFrame) -> tuple[pd.DataFrame, str]:
    if isinstance(table, pd.DataFrame):
        frame, origin = table, "table"
    else:
        path = table / RUNS if table.is_dir() else table
        frame, origin = read_csv(path), str(path)
    if frame.empty:
        raise InputError(f"{origin}: no rows; expected one a candidate and replicate.")
    return frame.reset_index(drop=True), origin


def _tidy(
    frame: pd.DataFrame, columns: Columns, factors: Factors | None, percent: bool, origin: str
) -> tuple[pd.DataFrame, dict[str, Any]]:
    """One row a row of the table, under our names; and what the cost is, as attributes of the candidates."""
    tidy = pd.DataFrame({"candidate": labels(frame, columns.candidate, "candidate", origin)})
    if columns.replicate == "none":
        tidy["replicate"] = [f"row {number}" for number in range(len(frame))]
    else:
        tidy["replicate"] = labels(frame, (columns.replicate,), "replicate", origin)
    if columns.training is not None:
        tidy["training"] = labels(frame, (columns.training,), "training", origin)
    tidy["performance"] = _performance(numbers(frame, columns.performance, "performance", origin), percent, origin)
    if columns.carbon is not None and columns.resource is not None:
        raise InputError("columns: both carbon and another resource; name the one that is the cost.")
    given = columns.carbon or columns.resource
    if given is not None:
        if factors is not None:
            raise InputError(
                f"cost: {given} is taken as it is, so grid, PUE and embodied share do not apply. Leave them out, or "
                "name the energy's column instead."
            )
        tidy["cost"] = _not_negative(numbers(frame, given, "cost", origin), given, origin)
        name = "carbon" if columns.carbon is not None else given
        return tidy, {"cost_name": name, "unit": CARBON_UNIT if columns.carbon is not None else columns.resource_unit}
    if columns.energy_unit not in KWH_PER_UNIT:
        raise InputError(f"energy unit: found {columns.energy_unit!r}; expected one of {', '.join(KWH_PER_UNIT)}.")
    factors = factors or Factors.of()
    energy = _not_negative(numbers(frame, columns.energy, "energy", origin), columns.energy, origin)
    tidy["energy_kwh"] = energy * KWH_PER_UNIT[columns.energy_unit]
    if factors.embodied_g_per_h or columns.duration in frame.columns:
        duration_s = numbers(frame, columns.duration, "duration", origin)
        tidy["duration_s"] = _not_negative(duration_s, columns.duration, origin)
    duration = tidy["duration_s"].to_numpy() if "duration_s" in tidy else None
    tidy["cost"] = factors.carbon_g(tidy["energy_kwh"].to_numpy(), duration)
    return tidy, {"factors": factors}


def _performance(values: np.ndarray, percent: bool, origin: str) -> np.ndarray:
    present = values[~np.isnan(values)]
    if present.size == 0:
        return values
    low, high = present.min(), present.max()
    if low < 0:
        raise InputError(
            f"{origin}: performance {low:g}; expected 0 to 1, larger is better. Turn a loss or a "
            "distance into such a score."
        )
    if percent:
        if high > 100:
            raise InputError(f"{origin}: performance {high:g} in percent; expected at most 100.")
        if high <= 1:
            raise InputError(f"{origin}: performance up to {high:g}, which looks like fractions, not percent.")
        return values / 100
    if high > 1:
        hint = "It looks like percent: say so (--percent)." if high <= 100 else "Scale it."
        raise InputError(f"{origin}: performance {high:g}; expected 0 to 1, as Dice or accuracy. {hint}")
    return values


def _not_negative(values: np.ndarray, name: str, origin: str) -> np.ndarray:
    if (values < 0).any():
        row = int(np.flatnonzero(values < 0)[0])
        raise InputError(
            f"{origin}: {name} is {values[row]:g} in data row {row + 1}; expected a number that is not negative. "
            "Leave the cell empty where it was not measured."
        )
    return values


def _unrepeated(
    tidy: pd.DataFrame, columns: Columns, mean_of_repeats: bool, origin: str
) -> tuple[pd.DataFrame, list[str]]:
    keys = ["candidate", *(["training"] if "training" in tidy else []), "replicate"]
    repeated = tidy.duplicated(keys)
    if not repeated.any():
        return tidy, []
    if not mean_of_repeats:
        first = tidy[repeated].iloc[0]
        raise InputError(
            f"{origin}: several rows of candidate {first['candidate']}, {columns.replicate} {first['replicate']}. Keep "
            "some of them (--where), name a further column of the candidate (--candidate "
            f"{','.join(columns.candidate)},OTHER) or the replicate's (--replicate), or average them (--repeats mean)."
        )
    merged = tidy.groupby(keys, sort=False, as_index=False).mean()
    return merged, [f"{len(tidy)} rows averaged to {len(merged)}, one a candidate and replicate."]


def _shared(tidy: pd.DataFrame, replicate: str, origin: str) -> tuple[pd.DataFrame, list[str]]:
    candidates = tidy["candidate"].nunique()
    having = tidy.groupby("replicate")["candidate"].transform("nunique")
    kept = tidy[having == candidates]
    if kept.empty:
        raise InputError(
            f"{origin}: no {replicate} is shared by all {candidates} candidates, so they cannot be paired. Leave out "
            "--paired, or those that lack most."
        )
    if len(kept) == len(tidy):
        return kept, []
    return kept, [f"{len(tidy) - len(kept)} rows left out: not every candidate has that {replicate}."]


def _padded(tidy: pd.DataFrame, paired: bool) -> Candidates:
    """Rows into arrays: a row a candidate, its replicates in the order of their names."""
    names = ordered(list(tidy["candidate"].unique()))
    row = tidy["candidate"].map({name: place for place, name in enumerate(names)}).to_numpy()
    replicate = pd.factorize(tidy["replicate"], sort=True)[0]
    order = np.lexsort((replicate, row))
    row, replicate = row[order], replicate[order]
    counts = np.bincount(row)
    place = np.arange(len(row)) - np.repeat(np.cumsum(counts) - counts, counts)
    shape = (len(names), int(counts.max()))

    def spread(values: np.ndarray) -> np.ndarray:
        filled = np.full(shape, np.nan)
        filled[row, place] = values
        return filled

    arrays: dict[str, Any] = {
        name: spread(tidy[name].to_numpy(dtype=float)[order])
        for name in ("performance", "cost", "energy_kwh", "duration_s")
        if name in tidy
    }
    return Candidates(names=tuple(names), paired=paired, **arrays)
