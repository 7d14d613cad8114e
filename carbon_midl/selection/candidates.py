"""Candidates to choose from, read from any tidy table with a row a candidate and replicate (a seed, fold or patient).

How gaps are handled:

- A row without a candidate, a replicate, a performance or a cost is left out, and counted in ``notes`` by what it
  lacks. In a file, only an empty cell is missing: ``NA`` and ``None`` are names like others.
- Numbers of replicates may differ; each candidate's mean is over its own, and candidates are treated as independent.
- Replicates are *paired* where they are patients, or where ``paired`` says that all candidates share them, as folds of
  one split; equal seeds share nothing. Only those that every candidate has are kept then, comparisons are made
  replicate by replicate, and draws of the bootstrap are common to all.

Energy becomes carbon at one intensity for all. A grid's intensity changes through the day: carbon that was recorded
with that of the hour ranks candidates by when they ran as well as by what they used; energy does not.
"""

import csv
import gzip
import io
import math
import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cache, cached_property, partial
from numbers import Integral
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from carbon_midl.errors import InputError
from carbon_midl.footprint.grid import DEFAULT_PUE, CarbonIntensity, carbon_intensity, checked_pue
from carbon_midl.footprint.uncertainty import CarbonSpread, factor_spreads
from carbon_midl.measures import could_be_best, lower_limits
from carbon_midl.study.results import SLICES, Results, read_csv, read_results, spread_of
from carbon_midl.training.options import suggestion
from carbon_midl.units import listed, plural

CARBON_UNIT = "gCO2eq"
GRAMS_PER_UNIT = {CARBON_UNIT: 1.0, "g": 1.0, "mg": 1e-3, "kg": 1e3}
"""Units of a cost that is taken for carbon."""
KWH_PER_UNIT = {"kWh": 1.0, "Wh": 1e-3, "MJ": 1 / 3.6, "J": 1 / 3.6e6}
"""Units of a cost that is taken for energy, and turned into carbon."""
PATIENT, RUN, DURATION = "patient_id", "run", "duration_s"
"""Columns of a recorded study for the patient, the run, which is a training, and how long that took."""
VALIDATION_DICE, TEST_DICE = "val_dice_patients", "test_dice_patients"
"""Means over the patients of either part, each patient's over their slices."""
USES = "uses.csv"
"""The table of a record of uses, a row a width and batch size, which ``studies/use.py`` writes."""
SEPARATORS = ",;\t|"
LEAST_G_PER_H = 0.05
"""No computer emits less; it is 10 W on a grid of 5 g/kWh."""
_NO_NUMBER = ["", "na", "n/a", "nan", "null", "none"]
"""Cells of a column of numbers that say there is none."""
_DECIMAL_COMMA = re.compile(r"[+-]?\d*,\d+(?:[eE][+-]?\d+)?")
_THOUSANDS = re.compile(r"[+-]?[1-9]\d{0,2}(?:,\d{3})+")


@dataclass(frozen=True)
class Factors:
    """From energy and time to gCO2eq.

    An embodied share is of something already emitted and not comparable one to one: say so where it is included.
    """

    intensity: CarbonIntensity  #: of the electricity.
    pue: float = DEFAULT_PUE  #: power usage effectiveness, applied to the energy only.
    embodied_g_per_h: float = 0.0  #: gCO2eq of making the hardware for each hour of its use; 0 leaves it out.

    @classmethod
    def of(cls, grid: str | float = "world", pue: float = DEFAULT_PUE, embodied_g_per_h: float = 0.0) -> "Factors":
        """Factors of a place, named as for `carbon_midl.footprint.grid.carbon_intensity`; or an `InputError`."""
        if not 0 <= embodied_g_per_h < math.inf:
            raise InputError(f"embodied: found {embodied_g_per_h} g per hour, expected a number that is not negative.")
        return cls(carbon_intensity(grid), checked_pue(pue), float(embodied_g_per_h))

    def carbon_g(self, energy_kwh: np.ndarray, duration_s: np.ndarray | None) -> np.ndarray:
        """Grams of CO2eq of energy before PUE and of the hours of use, of any shape.

        Raises:
            InputError: an embodied share is asked for, and a duration is not known where the energy is.
        """
        operational_g = energy_kwh * (self.pue * self.intensity.g_per_kwh)
        if self.embodied_g_per_h == 0:
            return operational_g
        if duration_s is None or (np.isnan(duration_s) & ~np.isnan(energy_kwh)).any():
            raise InputError(f"embodied: a share by the hour needs the duration of each run, in s ({DURATION}).")
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
    whatever replicates are paired, and NaN fills up where a candidate has fewer trainings than another. What a whole
    training costs, in energy or time, too, has one in place of the patients.
    """

    names: tuple[str, ...]  #: in numerical order where they are numbers, otherwise as they first appeared.
    performance: np.ndarray  #: between 0 and 1, larger is better.
    cost: np.ndarray  #: in ``unit``, smaller is better.
    cost_name: str = "carbon"  #: or the column of another resource.
    unit: str = CARBON_UNIT  #: of the cost.
    performance_name: str = "performance"  #: the column it came from.
    energy_kwh: np.ndarray | None = None  #: before PUE, where the cost was made from energy; uses that count are in it.
    duration_s: np.ndarray | None = None  #: where it is known.
    factors: Factors | None = None  #: that made carbon from energy, where it was.
    spread: CarbonSpread | None = None  #: how far that carbon may be off; None where it is taken as known.
    notes: tuple[str, ...] = ()  #: what was left out or assumed, in sentences.

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
        """Names of those that could have the best mean performance, at 95 %; see `measures.could_be_best`."""
        return [name for name, could in zip(self.names, could_be_best(self.performance), strict=True) if could]

    def without(self, index: int) -> "Candidates":
        """All but one of them."""
        arrays = {name: getattr(self, name) for name in ("performance", "cost", "energy_kwh", "duration_s")}
        rest: dict[str, Any] = {name: np.delete(one, index, axis=0) for name, one in arrays.items() if one is not None}
        return replace(self, names=self.names[:index] + self.names[index + 1 :], **rest)

    def recosted(self, factors: Factors) -> "Candidates":
        """The same candidates with the carbon of another grid, PUE or embodied share.

        Raises:
            InputError: their cost was not made from energy, or an embodied share lacks a duration.
        """
        energy_kwh = self.required_energy_kwh
        spreads = factor_spreads(factors.pue, factors.intensity.source)
        spread = self.spread and replace(self.spread, factors=spreads)
        cost = factors.carbon_g(energy_kwh, self.duration_s)
        other = replace(self, cost=cost, factors=factors, spread=spread)
        vars(other)["lower_limits"] = self.lower_limits  # of the performance, which is the same
        return other

    @property
    def required_energy_kwh(self) -> np.ndarray:
        """``energy_kwh``; an `InputError` where the cost was not made from energy."""
        if self.energy_kwh is None:
            raise InputError(
                f"cost: {self.cost_name} is taken as it is, so grid, PUE, embodied share and uses do not apply. Leave "
                f"them out, or name a column of energy and its unit ({', '.join(KWH_PER_UNIT)})."
            )
        return self.energy_kwh

    def with_uses(self, use_kwh: np.ndarray, uses: int, trainings: int = 1) -> "Candidates":
        """The same candidates, charged for ``trainings`` and for ``uses``; one and none change nothing.

        ``use_kwh``, of shape (n,), is the energy of a use before PUE. `InputError` where the cost was not made from
        energy, a number of uses or trainings cannot be, or a candidate has no energy of a use.
        """
        for name, value, least in (("uses", uses, 0), ("trainings", trainings, 1)):
            if not isinstance(value, Integral) or value < least:
                raise InputError(f"{name}: found {value!r}; expected a whole number of at least {least}.")
        use_kwh = use_kwh if uses else np.zeros(len(self))
        known = np.isfinite(use_kwh) & (use_kwh >= 0)
        if missing := [name for name, one in zip(self.names, known, strict=True) if not one]:
            raise InputError(f"uses: no energy of a use for candidate {listed(missing)}; expected one of 0 or more.")
        energy_kwh = trainings * self.required_energy_kwh + (uses * use_kwh)[:, None, None]
        duration_s = None if self.duration_s is None else trainings * self.duration_s
        note = f"Counted: {plural(int(trainings), 'training')} and {plural(int(uses), 'use')} of each candidate"
        note += ", without an embodied share of the uses." if self.factors and self.factors.embodied_g_per_h else "."
        counted = replace(self, energy_kwh=energy_kwh, duration_s=duration_s, notes=(*self.notes, note))
        return counted.recosted(self.factors or Factors.of())


@dataclass(frozen=True)
class Columns:
    """Which column holds what; the defaults fit a recorded study, and choose on its validation patients.

    The replicate is by default the patient where a recorded study has slices of the performance's part, otherwise the
    seed; the performance ``val_dice_patients`` by patient, ``val_dice`` by seed. A cost in kWh, Wh, MJ or J is energy
    before PUE and is turned into carbon by the factors, one in kg, g or mg is carbon, and one in anything else, such as
    memory in GB, stays as it is; by default ``energy_kwh`` is in kWh, and another column has no unit.
    """

    candidate: tuple[str, ...] | str = ("filters",)  #: one or several columns that name a candidate together.
    replicate: str = ""  #: seed, fold or patient; "none" where every row is one of its own.
    training: str | None = None  #: where replicates are patients, tells trainings apart, as the seed; both are drawn.
    performance: str = ""  #: between 0 and 1, larger is better.
    cost: str = "energy_kwh"  #: smaller is better.
    unit: str | None = None  #: of the cost.
    percent: bool = False  #: whether the performance is in percent.
    paired: bool = False  #: whether all share the replicates, as patients always; those that some lack are left out.
    separator: str | None = None  #: of a file's cells, where it is not recognised, as all below.
    decimal: str | None = None
    encoding: str | None = None


def read_table(
    path: Path, separator: str | None = None, decimal: str | None = None, encoding: str | None = None
) -> pd.DataFrame:
    """Read anybody's CSV file (``.gz`` too), each cell as text; only an empty cell is missing.

    What is not said is recognised: the separator from the header, UTF-8 or UTF-16 from the first bytes.

    Raises:
        InputError: the file cannot be read or decoded, or a column's name stands twice in its header.
    """
    try:
        content = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
        marked = content[:2] in (b"\xff\xfe", b"\xfe\xff")
        text = content.decode(encoding or ("utf-16" if marked else "utf-8-sig"))
    except FileNotFoundError:
        raise InputError(f"{path}: no such file; expected a table as CSV.") from None
    except (OSError, LookupError) as error:
        raise InputError(f"{path}: not readable ({error}).") from None
    except UnicodeDecodeError as error:
        raise InputError(
            f"{path}: not {error.encoding} at byte {error.start}. Name the encoding; Excel on Windows writes cp1252 "
            "(--encoding cp1252)."
        ) from None
    head = text.partition("\n")[0]
    separator = separator or max(SEPARATORS, key=lambda one: (head.count(one), one == ","))
    names = next(csv.reader([head], delimiter=separator), [])
    if twice := [name for name in names if names.count(name) > 1]:
        places = " and ".join(str(place) for place, name in enumerate(names, start=1) if name == twice[0])
        raise InputError(f"{path}: column {twice[0]!r} stands twice in the header, at {places}. Rename one of them.")
    options = {"sep": separator, "dtype": str, "keep_default_na": False, "na_values": [""], "skipinitialspace": True}
    table = read_csv(io.BytesIO(text.encode()), str(path), **options)
    table.attrs["decimal"] = decimal  # for `numbers`, which knows what is one
    return table


def read_candidates(
    table: Path | pd.DataFrame | Results,
    columns: Columns | None = None,
    factors: Factors | None = None,
    where: Mapping[str, object] | None = None,
) -> Candidates:
    """Read a tidy table.

    Args:
        table: a CSV file (``.gz`` too), a data frame, a recorded study or its directory. Of a study, by patient, only
            those are kept on whom all trainings were scored.
        columns: which column holds what.
        factors: from energy to carbon; by default the world's average grid and data centre.
        where: keep only rows with these values, by column.

    Raises:
        InputError: the file cannot be read, a column is missing or holds what cannot be, a candidate has several rows
            of one replicate, or no row is left.

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
        texts = labels(frame, (name,), "choice of rows", origin)
        frame = frame[texts == str(value)].reset_index(drop=True)
        if frame.empty:
            found = listed(list(texts.dropna().unique()), 8)
            raise InputError(f"{origin}: no row with {name} = {value}; found {found}.")
    tidy, attributes = _tidy(frame, columns, origin)
    names, arrays = _arrays(_complete(tidy, columns, origin, notes), columns, origin)
    if columns.training and (np.isfinite(arrays["performance"][:, 0]).sum(axis=1) < 2).any():
        notes.append("Candidates with a single training: what another seed would change is left out for them.")
    read = Candidates(names, **arrays, **attributes, performance_name=columns.performance, notes=tuple(notes))
    if factors is None and read.energy_kwh is None:
        return read
    return read.recosted(factors or Factors.of())


def read_use_kwh(
    source: str, candidates: Candidates, table: Path, columns: Columns, where: Mapping[str, str]
) -> np.ndarray:
    """Energy of one use of each candidate, shape (n,), NaN where there is none.

    The source is a column of the table that the candidates were read from, in the unit of its cost, whose mean counts;
    or the directory of a record of uses, whose largest batches count. `InputError` where it is neither, or candidates
    are to be found by width and have none.
    """
    if not Path(source).is_dir():
        read = read_candidates(table, replace(columns, cost=source, unit=columns.unit or "kWh"), where=where)
        known = dict(zip(read.names, np.nanmean(read.required_energy_kwh, axis=(1, 2)), strict=True))
        return np.array([known.get(name, np.nan) for name in candidates.names])
    record, origin = read_csv(Path(source) / USES), f"{source}/{USES}"
    if "filters" not in columns.candidate or column(record, "device", "device", origin).nunique() > 1:
        raise InputError(
            f"{origin}: uses by width (filters), of one device; expected candidates that are named by it, found "
            f"{', '.join(columns.candidate)}, and one device. Name a column of the table instead."
        )
    largest = record[record["batch_size"] == record["batch_size"].max()].reset_index(drop=True)
    widths = labels(largest, ("filters",), "width", origin)
    known = dict(zip(widths, numbers(largest, "energy_kwh", "energy of a use", origin), strict=True))
    place, parts = columns.candidate.index("filters"), len(columns.candidate)
    return np.array([known.get(name.split(" / ", parts - 1)[place], np.nan) for name in candidates.names])


def _rows(
    table: Path | pd.DataFrame | Results, columns: Columns, notes: list[str]
) -> tuple[pd.DataFrame, str, Columns]:
    """The rows, where they come from, and the columns with the defaults filled in.

    Of a recorded study they are runs, or runs and patients where it has slices of the part that is asked for.
    """
    by_seed = replace(columns, replicate=columns.replicate or "seed", performance=columns.performance or "val_dice")
    if isinstance(table, pd.DataFrame):
        return table.reset_index(drop=True), "table", by_seed
    if isinstance(table, Path) and not table.is_dir():
        return read_table(table, columns.separator, columns.decimal, columns.encoding), str(table), by_seed
    results = read_results(table) if isinstance(table, Path) else table
    if columns.separator or columns.decimal or columns.encoding:
        raise InputError(f"separator, decimal, encoding: of a CSV file, and {results.where} is a recorded study.")
    performance = columns.performance or VALIDATION_DICE
    if columns.replicate not in ("", PATIENT) or performance not in (VALIDATION_DICE, TEST_DICE):
        return results.runs, results.where, by_seed
    part = "test" if is_test(performance) else "validation"
    slices = results.slices_of(part)
    if not slices.empty:
        dice = slices.groupby([RUN, PATIENT], sort=False)["dice"].mean().rename(performance).reset_index()
        runs = results.runs.drop(columns=[performance, PATIENT], errors="ignore")
        training = columns.training or RUN
        columns = replace(columns, replicate=PATIENT, training=training, performance=performance)
        return dice.merge(runs, on=RUN, how="right"), results.where, columns  # a run without slices has no patient
    missing = f"{results.where}/{SLICES}: no {part} slices. Run the study anew, which records them"
    if columns.replicate:
        raise InputError(f"{missing}, or choose by seed (--replicate seed).")
    notes.append(
        f"By seed, on {by_seed.performance} of runs.csv, and not by patient, so what other patients would change is "
        f"left out. {missing}."
    )
    return results.runs, results.where, by_seed


def _tidy(frame: pd.DataFrame, columns: Columns, origin: str) -> tuple[pd.DataFrame, dict[str, Any]]:
    """One row a row of the table, under our names; and what the cost is, as attributes of the candidates.

    A cost that is energy is in kWh, in both ``cost`` and ``energy_kwh``.
    """
    tidy = pd.DataFrame({"candidate": labels(frame, columns.candidate, "candidate", origin)})
    if columns.replicate == "none":
        tidy["patient"] = [f"row {number}" for number in range(len(frame))]
    else:
        tidy["patient"] = labels(frame, (columns.replicate,), "replicate", origin)
    tidy["training"] = labels(frame, (columns.training,), "training", origin) if columns.training else ""
    performance = numbers(frame, columns.performance, "performance", origin)
    highest, most = np.nanmax(performance, initial=-np.inf), 100 if columns.percent else 1
    if highest > most or (columns.percent and 0 <= highest <= 1):
        raise InputError(
            f"{origin}: performance up to {highest:g}; expected 0 to {most}, as Dice or accuracy. Scale it; what is in "
            "percent, and nothing else, is read with --percent."
        )
    if columns.percent and (fractions := performance[(performance > 0) & (performance <= 1)]).size:
        raise InputError(
            f"{origin}: performance of {fractions[0]:g} beside {highest:g}; expected percent in all rows (--percent). "
            "Scale those that are fractions."
        )
    tidy["performance"] = performance / most
    default_unit = "kWh" if columns.cost == Columns.cost else ""
    unit = default_unit if columns.unit is None else columns.unit
    known = KWH_PER_UNIT | GRAMS_PER_UNIT
    if unit not in known and unit.lower() in [name.lower() for name in known]:
        raise InputError(f"unit: found {unit!r}; expected one of {', '.join(known)}, or that of another resource.")
    tidy["cost"] = numbers(frame, columns.cost, "cost", origin) * known.get(unit, 1.0)
    if unit in GRAMS_PER_UNIT:
        _check_grams(tidy["cost"], frame, columns.cost, unit, origin)
    if unit in KWH_PER_UNIT:
        tidy["energy_kwh"] = tidy["cost"]
        if DURATION in frame:
            tidy[DURATION] = numbers(frame, DURATION, "duration", origin)
    if unit in KWH_PER_UNIT:
        return tidy, {"spread": spread_of(frame)}
    return tidy, {} if unit in known else {"cost_name": columns.cost, "unit": unit}


def _check_grams(cost_g: "pd.Series[float]", frame: pd.DataFrame, name: str, unit: str, origin: str) -> None:
    """Refuse carbon that no computer could have kept to, where the table says how long it ran."""
    seconds = next((column for column in (DURATION, "duration") if column in frame), None)
    if seconds is None:
        return
    per_hour = cost_g / numbers(frame, seconds, "duration", origin) * 3600
    if (low := (per_hour > 0) & (per_hour < LEAST_G_PER_H)).any():
        row = int(low.to_numpy().argmax())
        raise InputError(
            f"{origin}: column {name!r} holds {frame[name].iloc[row]} in data row {row + 1}; in {unit}, that is "
            f"{per_hour.iloc[row]:.2g} g in an hour, less than any computer emits. Is it another unit, as codecarbon's "
            "kilograms (--unit kg)?"
        )


def _complete(tidy: pd.DataFrame, columns: Columns, origin: str, notes: list[str]) -> pd.DataFrame:
    """The rows that lack nothing, of replicates that every candidate has in all its trainings where they are shared."""
    roles = {"candidate": "candidate", "patient": "replicate", "training": "training", "performance": "performance"}
    missing = {role: int(tidy[name].isna().sum()) for name, role in (roles | {"cost": "cost"}).items()}
    rows = tidy.dropna(subset=[*roles, "cost"])
    if left_out := len(tidy) - len(rows):
        lacking = ", ".join(f"{role} in {count}" for role, count in missing.items() if count)
        notes.append(f"{left_out} of {len(tidy)} rows left out: no {lacking}.")
    if rows.empty:
        raise InputError(f"{origin}: no row has a candidate, a replicate, a performance and a cost.")
    if gone := [name for name in tidy["candidate"].dropna().unique() if name not in set(rows["candidate"])]:
        notes.append(f"Candidates without any complete row: {', '.join(gone)}.")
    if (repeated := rows.duplicated(["candidate", "training", "patient"])).any():
        first = rows[repeated].iloc[0]
        raise InputError(
            f"{origin}: several rows of candidate {first['candidate']}, {columns.replicate} {first['patient']}. Keep "
            "some of them (--where), or name a further column of the candidate (--candidate "
            f"{','.join(np.atleast_1d(columns.candidate))},OTHER) or the replicate's (--replicate)."
        )
    if not (columns.training or columns.paired or columns.replicate.lower().startswith("patient")):
        return rows.assign(training=rows["patient"], patient="")  # each replicate is a training of its own
    what = "training" if columns.training else "candidate"
    trained = len(rows[["candidate", "training"]].drop_duplicates())
    kept = rows[rows.groupby("patient")["patient"].transform("size") == trained]
    if kept.empty:
        raise InputError(
            f"{origin}: no {columns.replicate} is shared by all {trained} {what}s, so they cannot be paired. Leave out "
            "those that lack most."
        )
    if len(kept) < len(rows):
        notes.append(f"{len(rows) - len(kept)} rows left out: not every {what} has that {columns.replicate}.")
    return kept


def _arrays(tidy: pd.DataFrame, columns: Columns, origin: str) -> tuple[tuple[str, ...], dict[str, Any]]:
    """The candidates' names, and rows as arrays (candidates, patients, trainings), each axis in the order of names."""
    names = list(dict.fromkeys(tidy["candidate"]))
    with suppress(ValueError):  # as they first appear where they are no numbers
        values = {name: float(name) for name in names}
        if all(map(math.isfinite, values.values())):
            names.sort(key=values.__getitem__)
    training = tidy.groupby("candidate")["training"].transform(lambda one: pd.factorize(one, sort=True)[0])
    tidy = tidy.assign(candidate=tidy["candidate"].map(names.index), training=training)
    cells = tidy.pivot(index=["candidate", "patient"], columns="training")
    arrays = {}
    for name in tidy.columns.drop(["candidate", "patient", "training"]):
        array = cells[name].to_numpy().reshape(len(names), -1, cells[name].shape[1])
        if columns.training and name != "performance":  # one number a training
            differs = (array != array[:, :1]) & np.isfinite(array)
            if differs.any():
                raise InputError(
                    f"{origin}: a training of candidate {names[np.argwhere(differs)[0, 0]]} has another {name} on "
                    "another patient; expected that of the whole training on each of its rows."
                )
            array = array[:, :1]
        arrays[name] = array
    return tuple(names), arrays


def is_test(name: str) -> bool:
    """Whether a column is called a test score, as ``test_dice``, ``Test AUC`` or ``best_test`` are."""
    return re.search(r"(?<![a-z])test", name, re.IGNORECASE) is not None


def column(table: pd.DataFrame, name: str, role: str, origin: str) -> "pd.Series[Any]":
    """The column that gives the ``role``; an `InputError` names a near one, or all, where there is none."""
    if name not in table.columns:
        hint = suggestion(name, [str(column) for column in table.columns])
        raise InputError(f"{origin}: no column {name!r} for the {role}; {hint}")
    return table[name]


def numbers(table: pd.DataFrame, name: str, role: str, origin: str) -> np.ndarray:
    """The column as floats, NaN where a cell is empty; an `InputError` where one is no finite number of 0 or more."""
    where = f"{origin}: column {name!r} ({role})"
    cells = _with_points(column(table, name, role, origin), table.attrs.get("decimal"), where)
    values = pd.to_numeric(cells, errors="coerce").to_numpy(dtype=float, na_value=np.nan)
    wrong = cells.notna().to_numpy() & ~(np.isfinite(values) & (values >= 0))
    if wrong.any():
        row = int(np.argmax(wrong))
        raise InputError(
            f"{where} holds '{cells.iloc[row]}' in data row {row + 1}; expected a finite number that is not negative. "
            "Leave the cell empty where there is none."
        )
    return values


def _with_points(cells: "pd.Series[Any]", decimal: str | None, where: str) -> "pd.Series[Any]":
    """Cells with points for decimals; the mark is recognised where it is not said."""
    if pd.api.types.is_numeric_dtype(cells):
        return cells
    texts = cells.astype("string").str.strip()
    texts = texts.mask(texts.str.lower().isin(_NO_NUMBER))
    if (percent := texts.str.endswith("%").fillna(False)).any():
        first = texts[percent].iloc[0]
        raise InputError(f"{where} holds {first!r}; expected a number. Leave out the sign, and say --percent.")
    with_comma = texts[texts.str.contains(",", na=False)]
    if with_comma.empty:
        return texts
    ambiguous = decimal is None and with_comma.str.fullmatch(_THOUSANDS).all()
    if decimal == "." or ambiguous or not with_comma.str.fullmatch(_DECIMAL_COMMA).all():
        raise InputError(
            f"{where} holds {with_comma.iloc[0]!r}, where the comma may part decimals or thousands. For decimals, say "
            "--decimal ','; marks of thousands have to go."
        )
    return texts.str.replace(",", ".")


def labels(table: pd.DataFrame, names: Sequence[str], role: str, origin: str) -> "pd.Series[str]":
    """The columns as text, joined by " / "; missing where one of them is. A text is the name of one column."""
    names = (names,) if isinstance(names, str) else names

    def text(value: object) -> str:
        # In a data frame, a column of whole numbers with a gap in it holds floats.
        return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)

    joined, *rest = (column(table, name, role, origin).map(text, na_action="ignore") for name in names)
    for part in rest:
        joined = (joined + " / " + part).where(joined.notna() & part.notna())
    return joined
