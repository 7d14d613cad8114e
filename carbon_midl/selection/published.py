"""The record made from the published curves of 131 models: policies, criteria and cost to convergence.

``benchmarks/published_curves.py`` makes it; the chapter on selection and the tests read it.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from carbon_midl.errors import InputError
from carbon_midl.files import read_json
from carbon_midl.selection.choice import choose
from carbon_midl.selection.reading import Columns, read_candidates
from carbon_midl.selection.side_by_side import all_criteria

RECORDED = Path("results/published-curves")
TABLES = ("policies", "tuned", "choices", "convergence")
MARGIN = 0.005


class Record(NamedTuple):
    """The tables and what is known about how they were made."""

    policies: pd.DataFrame
    tuned: pd.DataFrame
    choices: pd.DataFrame
    convergence: pd.DataFrame
    manifest: dict[str, Any]


def read_published(directory: Path) -> Record:
    """Read the record.

    Raises:
        InputError: a file is missing.
    """
    try:
        tables = {name: pd.read_csv(directory / f"{name}.csv") for name in TABLES}
    except FileNotFoundError as error:
        raise InputError(
            f"{error.filename}: no such file. Record it with: python -m benchmarks.published_curves TABLE"
        ) from None
    return Record(**tables, manifest=read_json(directory / "manifest.json"))


def choices(sets: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """What each criterion chooses from the published tables, by energy.

    Args:
        sets: by a name of each, with columns ``model``, ``best_test`` (accuracy, 0–1) and ``energy`` (kWh).

    Returns:
        A row a set and criterion: ``criterion`` with its options, ``chosen``, its ``performance`` and ``cost`` (kWh),
        its ``rank`` by performance among ``models``, and its energy as ``share_of_best``, of the best model's.
    """
    columns = Columns(candidate=("model",), replicate="none", performance="best_test", resource="energy")
    rows = []
    for name, table in sets.items():
        candidates = read_candidates(table, columns)
        for criterion in all_criteria(candidates, MARGIN):
            choice = choose(candidates, criterion)
            place = candidates.names.index(choice.chosen)
            performance, cost = candidates.mean_performance, candidates.mean_cost
            rows.append(
                {
                    "dataset": name,
                    "criterion": choice.criterion,
                    "name": criterion.name,
                    "chosen": choice.chosen,
                    "performance": float(performance[place]),
                    "cost": float(cost[place]),
                    "rank": int((performance > performance[place]).sum()) + 1,
                    "models": len(candidates),
                    "share_of_best": float(cost[place] / cost[int(np.argmax(performance))]),
                }
            )
    return pd.DataFrame(rows)
