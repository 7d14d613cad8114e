"""Training is paid once, a use each time: from how many uses on which candidate is the cheaper one.

Energies are before PUE. A factor that is common to all of them, as PUE, carbon intensity or the watts of an estimate,
changes no number of uses here.
"""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from carbon_midl.errors import InputError
from carbon_midl.selection.candidates import Candidates, Columns, column, labels, numbers, read_candidates
from carbon_midl.study.results import read_csv

USES = "uses.csv"
"""The table of a record of uses, which ``studies/use.py`` writes: a row a width and batch size."""


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


def use_counts(training_kwh: np.ndarray, use_kwh: np.ndarray, selection_kwh: float) -> pd.DataFrame:
    """From how many uses on a candidate's uses take as much as was spent before them, a row a candidate.

    ``until_training``: as much as its training; ``until_repaid``: they have saved the energy of the whole selection
    against the candidate that takes most for a use. Infinite where a use takes, or saves, nothing.
    """
    with np.errstate(divide="ignore"):
        until = {"until_training": training_kwh / use_kwh, "until_repaid": selection_kwh / (use_kwh.max() - use_kwh)}
    return pd.DataFrame({"training_kwh": training_kwh, "use_kwh": use_kwh, **until})


def crossings(training_kwh: np.ndarray, use_kwh: np.ndarray) -> pd.DataFrame:
    """Pairs of candidates of which one takes less to train and the other less to use.

    A row has the places of both (``trained``, ``used``), the number of ``uses`` by which both take as much, and that
    energy.
    """
    trained, used = np.nonzero((training_kwh[:, None] < training_kwh) & (use_kwh[:, None] > use_kwh))
    uses = (training_kwh[used] - training_kwh[trained]) / (use_kwh[trained] - use_kwh[used])
    energy_kwh = training_kwh[used] + uses * use_kwh[used]
    return pd.DataFrame({"trained": trained, "used": used, "uses": uses, "energy_kwh": energy_kwh})
