"""Candidates to choose from, read from any tidy table with a row a candidate and replicate (a seed, fold or patient).

How gaps are handled:

- A row without a candidate, a replicate, a performance or a cost is left out, and counted in ``notes``.
- Numbers of replicates may differ; each candidate's mean is over its own, and candidates are treated as independent.
- Replicates are *paired* where they are patients, or where ``paired`` says that all candidates share them, as folds of
  one split; equal seeds share nothing. Only those that every candidate has are kept then, comparisons are made
  replicate by replicate, and draws of the bootstrap are common to all.
- Several rows of one candidate and replicate are refused, unless their mean is asked for.

Energy becomes carbon at one intensity for all. A grid's intensity changes through the day: carbon that was recorded
with that of the hour ranks candidates by when they ran as well as by what they used; energy does not.
"""

import math
import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cache, cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from carbon_midl.errors import InputError
from carbon_midl.footprint.grid import DEFAULT_PUE, CarbonIntensity, carbon_intensity, checked_pue
from carbon_midl.measures import could_be_best, lower_limits
from carbon_midl.study.results import SLICES, Results, read_csv, read_results
from carbon_midl.training.options import suggestion

CARBON_UNIT = "gCO2eq"
KWH_PER_UNIT = {"kWh": 1.0, "Wh": 1e-3, "MJ": 1 / 3.6, "J": 1 / 3.6e6}
"""Units that energy may be given in."""
PATIENT, RUN = "patient_id", "run"
"""Columns of a recorded study that name the patient, and the run, which is a training."""
VALIDATION_DICE, TEST_DICE = "val_dice_patients", "test_dice_patients"
"""Means over the patients of either part, each patient's over their slices."""
MOST_COMPARED = 200
"""Candidates up to which all are compared with all; a thousand would take a quarter of a minute."""


@dataclass(frozen=True)
class Factors:
    """From energy and time to gCO2eq.

    Attributes:
        intensity: carbon intensity of the electricity.
        pue: power usage effectiveness, applied to the energy only.
        embodied_g_per_h: gCO2eq of making the hardware for each hour of its use; 0 leaves it out. It is a share of
            something already emitted and not comparable one to one: say so where it is included.
    """

    intensity: CarbonIntensity
    pue: float = DEFAULT_PUE
    embodied_g_per_h: float = 0.0

    @classmethod
    def of(cls, grid: str | float = "world", pue: float = DEFAULT_PUE, embodied_g_per_h: float = 0.0) -> "Factors":
        """Factors of a place, named as for :func:`carbon_midl.footprint.grid.carbon_intensity`.

        Raises:
            InputError: a factor that cannot be.
        """
        if not math.isfinite(embodied_g_per_h) or embodied_g_per_h < 0:
            raise InputError(f"embodied: found {embodied_g_per_h} g per hour, expected a number that is not negative.")
        return cls(carbon_intensity(grid), checked_pue(pue), float(embodied_g_per_h))

    def carbon_g(self, energy_kwh: np.ndarray, duration_s: np.ndarray | None) -> np.ndarray:
        """Grams of CO2eq of energy before PUE and of the hours of use, of any shape.

        Raises:
            InputError: an embodied share is asked for and no duration is known.
        """
        operational_g = energy_kwh * (self.pue * self.intensity.g_per_kwh)
        if self.embodied_g_per_h == 0:
            return operational_g
        if duration_s is None:
            raise InputError(
                "embodied: a share by the hour needs the duration of each run; name its column (--duration), in s."
            )
        return operational_g + self.embodied_g_per_h / 3600 * duration_s

    def describe(self) -> str:
        """The factors in words, each with its source."""
        text = f"{self.intensity.g_per_kwh:g} gCO2eq/kWh ({self.intensity.source}), PUE {self.pue:g}"
        if self.embodied_g_per_h:
            text += f", {self.embodied_g_per_h:g} gCO2eq embodied per hour of use"
        return text


@dataclass(frozen=True)
class Candidates:
    """Performance and cost of n candidates.

    All arrays have the shape (candidates, patients, trainings) of ``carbon_midl.measures``, where patients stands for
    whatever replicates are paired, and NaN fills up where a candidate has fewer trainings than another.

    Attributes:
        names: n names, in numerical order where they are numbers, otherwise as they first appeared.
        performance: between 0 and 1, larger is better.
        cost: in ``unit``, smaller is better; one in place of the patients where it is that of a whole training.
        cost_name: "carbon", or the column of another resource.
        unit: of the cost.
        performance_name: the column it came from.
        energy_kwh: as the cost, before PUE, where that was made from energy.
        duration_s: as the cost, where it is known.
        factors: that made carbon from energy, where it was.
        notes: what was left out or assumed, in sentences.
    """

    names: tuple[str, ...]
    performance: np.ndarray
    cost: np.ndarray
    cost_name: str = "carbon"
    unit: str = CARBON_UNIT
    performance_name: str = "performance"
    energy_kwh: np.ndarray | None = None
    duration_s: np.ndarray | None = None
    factors: Factors | None = None
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.names)

    @property
    def paired(self) -> bool:
        """Whether candidates are compared on replicates that all share."""
        return self.performance.shape[1] > 1

    @cached_property
    def trainings(self) -> np.ndarray:
        """How many trainings each candidate has, shape (n,)."""
        return np.isfinite(self.performance[:, 0]).sum(axis=1)

    @cached_property
    def counts(self) -> np.ndarray:
        """Replicates of each candidate, shape (n,). Paired ones are patients, others trainings."""
        return np.full(len(self), self.performance.shape[1]) if self.paired else self.trainings

    @cached_property
    def mean_performance(self) -> np.ndarray:
        """Mean over each candidate's replicates, shape (n,)."""
        return np.nanmean(self.performance, axis=(1, 2))

    @cached_property
    def mean_cost(self) -> np.ndarray:
        """Mean over each candidate's replicates, in ``unit``, shape (n,)."""
        return np.nanmean(self.cost, axis=(1, 2))

    @cached_property
    def lower_limits(self) -> Callable[[int, float], np.ndarray]:
        """`measures.lower_limits` of the differences from the candidate at an index; each is computed once."""
        return cache(partial(lower_limits, self.performance))

    @cached_property
    def could_be_best(self) -> list[str]:
        """Names of those that could have the best mean performance, at 95 %; none of more than `MOST_COMPARED`."""
        if len(self) > MOST_COMPARED:
            return []
        return [name for name, could in zip(self.names, could_be_best(self.performance), strict=True) if could]

    def without(self, index: int) -> "Candidates":
        """All but one of them."""
        arrays = {name: getattr(self, name) for name in ("performance", "cost", "energy_kwh", "duration_s")}
        rest: dict[str, Any] = {
            name: None if array is None else np.delete(array, index, axis=0) for name, array in arrays.items()
        }
        return replace(self, names=self.names[:index] + self.names[index + 1 :], **rest)

    def recosted(self, factors: Factors) -> "Candidates":
        """The same candidates with the carbon of another grid, PUE or embodied share.

        Raises:
            InputError: their cost was not made from energy, or an embodied share lacks the duration.
        """
        if self.energy_kwh is None:
            raise InputError(
                f"cost: {self.cost_name} was given as it is, not as energy, so no other grid, PUE or embodied share "
                "can be applied. Name the energy's column."
            )
        cost = factors.carbon_g(self.energy_kwh, self.duration_s)
        if not np.array_equal(np.isnan(cost), np.isnan(self.cost)):
            raise InputError("embodied: some runs have no duration; fill it in, or leave the embodied share out.")
        return replace(self, cost=cost, factors=factors)


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
    table: Path | pd.DataFrame | Results,
    columns: Columns | None = None,
    factors: Factors | None = None,
    where: Mapping[str, str] | None = None,
    percent: bool = False,
    mean_of_repeats: bool = False,
    paired: bool = False,
) -> Candidates:
    """Read a tidy table.

    Args:
        table: a CSV file (``.gz`` too), a data frame, a recorded study or its directory. Of a study, by patient, only
            those are kept on whom all trainings were scored.
        columns: which column holds what.
        factors: from energy to carbon; by default the world's average grid and data centre.
        where: keep only rows with these values, by column.
        percent: the performance is in percent.
        mean_of_repeats: average rows of the same candidate and replicate.
        paired: all candidates share the replicates; those that some lack are left out.

    Raises:
        InputError: the file cannot be read, a column is missing or holds what cannot be, or no row is left.

    >>> table = pd.DataFrame({"filters": [4, 8], "seed": [0, 0], "val_dice": [0.6, 0.7], "energy_kwh": [0.1, 0.2]})
    >>> read_candidates(table, factors=Factors.of(100, pue=1.5)).mean_cost.tolist()
    [15.0, 30.0]
    """
    columns = columns or Columns()
    notes: list[str] = []
    if is_test(columns.performance):
        notes.append(
            f"{columns.performance} is a test score, and choosing by it uses the test up: the chosen one's is too "
            "good, and nothing is left to test it on."
        )
    frame, origin, columns = _rows(table, columns, notes)
    for name, value in (where or {}).items():
        frame = rows_where(frame, name, value, origin)
    tidy, attributes = _tidy(frame, columns, factors, percent, origin)
    complete = tidy.dropna(subset=["candidate", "patient", "training", "performance", "cost"])
    if left_out := len(tidy) - len(complete):
        notes.append(f"{left_out} of {len(tidy)} rows left out: without candidate, replicate, performance or cost.")
    if complete.empty:
        raise InputError(f"{origin}: no row has a candidate, a replicate, a performance and a cost.")
    if gone := [name for name in tidy["candidate"].dropna().unique() if name not in set(complete["candidate"])]:
        notes.append(f"Candidates without any complete row: {', '.join(gone)}.")
    complete = _unrepeated(complete, columns, mean_of_repeats, origin, notes)
    if columns.training or paired or columns.replicate.lower().startswith("patient"):
        complete = _shared(complete, columns, origin, notes)
    else:  # each replicate is a training of its own
        complete = complete.assign(training=complete["patient"], patient="")
    names, arrays = _arrays(complete, columns, origin)
    if columns.training and (np.isfinite(arrays["performance"][:, 0]).sum(axis=1) < 2).any():
        notes.append("Candidates with a single training: what another seed would change is left out for them.")
    return Candidates(names, **arrays, **attributes, performance_name=columns.performance, notes=tuple(notes))


def _rows(
    table: Path | pd.DataFrame | Results, columns: Columns, notes: list[str]
) -> tuple[pd.DataFrame, str, Columns]:
    """The rows, where they come from, and the columns with the defaults filled in.

    Of a recorded study they are runs, or runs and patients where it has slices of the part that is asked for.
    """
    if isinstance(table, Path) and table.is_dir():
        table = read_results(table)
    performance = columns.performance or VALIDATION_DICE
    by_patient = columns.replicate == PATIENT or (not columns.replicate and performance in (VALIDATION_DICE, TEST_DICE))
    if isinstance(table, Results) and by_patient:
        part = "test" if is_test(performance) else "validation"
        slices = table.slices_of(part)
        if not slices.empty:
            dice = slices.groupby([RUN, PATIENT], sort=False)["dice"].mean().rename(performance).reset_index()
            runs = table.runs.drop(columns=[performance, PATIENT], errors="ignore")
            training = columns.training or RUN
            columns = replace(columns, replicate=PATIENT, training=training, performance=performance)
            return dice.merge(runs, on=RUN, how="right"), table.where, columns  # a run without slices has no patient
        missing = f"{table.where}/{SLICES}: no {part} slices. Run the study anew, which records them"
        if columns.replicate:
            raise InputError(f"{missing}, or choose by seed (--replicate seed).")
        notes.append(
            f"By seed, on {columns.performance or 'val_dice'} of runs.csv, and not by patient, so what other patients "
            f"would change is left out. {missing}."
        )
    columns = replace(columns, replicate=columns.replicate or "seed", performance=columns.performance or "val_dice")
    if isinstance(table, Results):
        return table.runs, table.where, columns
    frame, origin = (table, "table") if isinstance(table, pd.DataFrame) else (read_csv(table), str(table))
    if frame.empty:
        raise InputError(f"{origin}: no rows; expected one a candidate and replicate.")
    return frame.reset_index(drop=True), origin, columns


def _tidy(
    frame: pd.DataFrame, columns: Columns, factors: Factors | None, percent: bool, origin: str
) -> tuple[pd.DataFrame, dict[str, Any]]:
    """One row a row of the table, under our names; and what the cost is, as attributes of the candidates."""
    tidy = pd.DataFrame({"candidate": labels(frame, columns.candidate, "candidate", origin)})
    if columns.replicate == "none":
        tidy["patient"] = [f"row {number}" for number in range(len(frame))]
    else:
        tidy["patient"] = labels(frame, (columns.replicate,), "replicate", origin)
    tidy["training"] = labels(frame, (columns.training,), "training", origin) if columns.training else ""
    tidy["performance"] = _fractions(numbers(frame, columns.performance, "performance", origin), percent, origin)
    if columns.carbon is not None and columns.resource is not None:
        raise InputError("columns: both carbon and another resource; name the one that is the cost.")
    if (given := columns.carbon or columns.resource) is not None:
        if factors is not None:
            raise InputError(
                f"cost: {given} is taken as it is, so grid, PUE and embodied share do not apply. Leave them out, or "
                "name the energy's column instead."
            )
        tidy["cost"] = numbers(frame, given, "cost", origin, least=0)
        return tidy, {} if columns.carbon else {"cost_name": given, "unit": columns.resource_unit}
    if columns.energy_unit not in KWH_PER_UNIT:
        raise InputError(f"energy unit: found {columns.energy_unit!r}; expected one of {', '.join(KWH_PER_UNIT)}.")
    factors = factors or Factors.of()
    tidy["energy_kwh"] = numbers(frame, columns.energy, "energy", origin, least=0) * KWH_PER_UNIT[columns.energy_unit]
    if factors.embodied_g_per_h or columns.duration in frame.columns:
        tidy["duration_s"] = numbers(frame, columns.duration, "duration", origin, least=0)
    duration_s = tidy["duration_s"].to_numpy() if "duration_s" in tidy else None
    tidy["cost"] = factors.carbon_g(tidy["energy_kwh"].to_numpy(), duration_s)
    return tidy, {"factors": factors}


def _fractions(performance: np.ndarray, percent: bool, origin: str) -> np.ndarray:
    """Performances as fractions; refused where they are neither fractions nor, if so told, percent."""
    low, high = np.nanmin(performance, initial=np.inf), np.nanmax(performance, initial=-np.inf)
    if low < 0:
        way_out = "Turn a loss or a distance into such a score."
        raise InputError(f"{origin}: performance {low:g}; expected 0 to 1, larger is better. {way_out}")
    if percent and high > 100:
        raise InputError(f"{origin}: performance {high:g} in percent; expected at most 100.")
    if percent and 0 <= high <= 1:
        raise InputError(f"{origin}: performance up to {high:g}, which looks like fractions, not percent.")
    if not percent and high > 1:
        way_out = "It looks like percent: say so (--percent)." if high <= 100 else "Scale it."
        raise InputError(f"{origin}: performance {high:g}; expected 0 to 1, as Dice or accuracy. {way_out}")
    return performance / 100 if percent else performance


def _unrepeated(
    tidy: pd.DataFrame, columns: Columns, mean_of_repeats: bool, origin: str, notes: list[str]
) -> pd.DataFrame:
    keys = ["candidate", "training", "patient"]
    repeated = tidy.duplicated(keys)
    if not repeated.any():
        return tidy
    if not mean_of_repeats:
        first = tidy[repeated].iloc[0]
        raise InputError(
            f"{origin}: several rows of candidate {first['candidate']}, {columns.replicate} {first['patient']}. Keep "
            "some of them (--where), name a further column of the candidate (--candidate "
            f"{','.join(columns.candidate)},OTHER) or the replicate's (--replicate), or average them (--repeats mean)."
        )
    averaged = tidy.groupby(keys, sort=False, as_index=False).mean()
    notes.append(f"{len(tidy)} rows averaged to {len(averaged)}, one a candidate and replicate.")
    return averaged


def _shared(tidy: pd.DataFrame, columns: Columns, origin: str, notes: list[str]) -> pd.DataFrame:
    """The rows of replicates that every candidate has, in all its trainings."""
    trained = len(tidy[["candidate", "training"]].drop_duplicates())
    kept = tidy[tidy.groupby("patient")["patient"].transform("size") == trained]
    what = "training" if columns.training else "candidate"
    if kept.empty:
        raise InputError(
            f"{origin}: no {columns.replicate} is shared by all {trained} {what}s, so they cannot be paired. "
            f"Leave out {'' if columns.training else '--paired, or '}those that lack most."
        )
    if len(kept) < len(tidy):
        notes.append(f"{len(tidy) - len(kept)} rows left out: not every {what} has that {columns.replicate}.")
    return kept


def _arrays(tidy: pd.DataFrame, columns: Columns, origin: str) -> tuple[tuple[str, ...], dict[str, Any]]:
    """The candidates' names, and rows as arrays (candidates, patients, trainings), each axis in the order of names."""
    names = list(dict.fromkeys(tidy["candidate"]))
    with suppress(ValueError):  # as they first appear where they are no numbers
        names.sort(key=float)
    training = tidy.groupby("candidate")["training"].transform(lambda one: pd.factorize(one, sort=True)[0])
    axes = (tidy["candidate"].map(names.index), pd.factorize(tidy["patient"], sort=True)[0], training)
    index = tuple(np.asarray(axis, dtype=int) for axis in axes)
    arrays: dict[str, Any] = {}
    for name in ("performance", "cost", "energy_kwh", "duration_s"):
        if name not in tidy:
            continue
        arrays[name] = np.full([axis.max() + 1 for axis in index], np.nan)
        arrays[name][index] = tidy[name]
        if columns.training and name != "performance":  # one number a training
            differs = tidy[name] != tidy.groupby(["candidate", "training"])[name].transform("first")
            if (differs & tidy[name].notna()).any():
                wrong = tidy[differs].iloc[0]
                raise InputError(
                    f"{origin}: training {wrong['training']} of candidate {wrong['candidate']} has another {name} on "
                    "another patient; expected that of the whole training on each of its rows."
                )
            arrays[name] = arrays[name][:, :1]
    return tuple(names), arrays


def is_test(name: str) -> bool:
    """Whether a column is called a test score, as ``test_dice``, ``Test AUC`` or ``best_test`` are."""
    return re.search(r"(?<![a-z])test", name, re.IGNORECASE) is not None


def require(table: pd.DataFrame, name: str, role: str, origin: str) -> None:
    """Refuse a table without the column ``name``, which was to give the ``role``.

    Raises:
        InputError: there is no such column; a near one is named, or all of them.
    """
    if name not in table.columns:
        hint = suggestion(name, [str(column) for column in table.columns])
        raise InputError(f"{origin}: no column {name!r} for the {role}; {hint}")


def numbers(table: pd.DataFrame, name: str, role: str, origin: str, least: float = -math.inf) -> np.ndarray:
    """The column as floats, NaN where a cell is empty.

    Raises:
        InputError: there is no such column, or a cell holds something that is no finite number of at least ``least``.
    """
    require(table, name, role, origin)
    cells = table[name]
    values = pd.to_numeric(cells, errors="coerce").to_numpy(dtype=float, na_value=np.nan)
    wrong = (np.isnan(values) & cells.notna().to_numpy()) | np.isinf(values) | (values < least)
    if wrong.any():
        row = int(np.argmax(wrong))
        raise InputError(
            f"{origin}: column {name!r} ({role}) holds '{cells.iloc[row]}' in data row {row + 1}; expected a finite "
            f"number{' that is not negative' if least == 0 else ''}. Leave the cell empty where there is none."
        )
    return values


def labels(table: pd.DataFrame, names: Sequence[str], role: str, origin: str) -> "pd.Series[str]":
    """The columns as text, joined by " / "; missing where one of them is.

    Raises:
        InputError: there is no such column.
    """
    for name in names:
        require(table, name, role, origin)
    joined, *rest = (table[name].map(_text, na_action="ignore") for name in names)
    for part in rest:
        joined = (joined + " / " + part).where(joined.notna() & part.notna())
    return joined


def _text(value: object) -> str:
    # A column of whole numbers with a gap in it is read as floats.
    return f"{value:g}" if isinstance(value, float) and value.is_integer() else str(value)


def rows_where(table: pd.DataFrame, name: str, value: str, origin: str) -> pd.DataFrame:
    """The rows whose column ``name`` reads ``value``.

    Raises:
        InputError: there is no such column or row.
    """
    texts = labels(table, (name,), "choice of rows", origin)
    rows = table[texts == value]
    if rows.empty:
        known = list(texts.dropna().unique())
        shown = ", ".join(known[:8]) + (", …" if len(known) > 8 else "")
        raise InputError(f"{origin}: no row with {name} = {value}; found {shown}.")
    return rows.reset_index(drop=True)
