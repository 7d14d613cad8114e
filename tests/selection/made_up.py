"""Candidates, and results of a study, for tests."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from carbon_midl.files import write_json
from carbon_midl.selection.candidates import Candidates
from carbon_midl.selection.criteria import Best, Budget, Knee, Marginal, NonInferior, Pepr, Weighted
from carbon_midl.study.results import COLUMNS, FORMAT, MANIFEST, TABLES, VERSION

EVERY = [Best(), Budget(200.0), NonInferior(0.02), Weighted(0.6), Pepr(), Knee(), Marginal(5.0)]
by_criterion = pytest.mark.parametrize("criterion", EVERY, ids=lambda one: one.name)


def candidates(
    performance: Sequence[float | Sequence[float]], cost: Sequence[float | Sequence[float]], paired: bool = True
) -> Candidates:
    """Named a, b, c …; one replicate where a number is given in place of several."""

    def padded(rows: Sequence[float | Sequence[float]]) -> np.ndarray:
        lists = [[row] if isinstance(row, int | float) else list(row) for row in rows]
        most = max(map(len, lists))
        return np.array([row + [np.nan] * (most - len(row)) for row in lists], dtype=float)

    names = tuple(chr(ord("a") + place) for place in range(len(performance)))
    # Shared replicates are patients of a single training, others are trainings on a single patient.
    axis = 2 if paired else 1
    return Candidates(names, np.expand_dims(padded(performance), axis), np.expand_dims(padded(cost), axis))


def random_candidates(seed: int, count: int = 6, replicates: int = 4, paired: bool = True) -> Candidates:
    """Dearer ones tend to perform better; replicates differ, and so do the costs."""
    generator = np.random.default_rng(seed)
    cost = np.sort(generator.uniform(1, 100, count))
    common = generator.normal(0, 0.02, replicates)
    noise = generator.normal(0, 0.01, (count, replicates))
    performance = (0.6 + 0.04 * np.log(cost)[:, None] + common + noise).clip(0, 1)
    costs = cost[:, None] * generator.uniform(0.9, 1.1, (count, replicates))
    return candidates(performance.tolist(), costs.tolist(), paired)


def write_results(
    directory: Path, runs: pd.DataFrame, slices: pd.DataFrame, epochs: pd.DataFrame | None = None, /, **manifest: Any
) -> None:
    """Write results as a study has them; columns and fields of the manifest that are not given are filled in."""
    anything: dict[str, Any] = {"text": "made up", "a whole number": 1, "a number": 0.5, "a number or nothing": None}
    directory.mkdir(parents=True, exist_ok=True)
    epochs = runs[["run", "filters", "seed"]] if epochs is None else epochs
    for file, table in zip(TABLES, (runs, epochs, slices), strict=True):
        columns = {name: anything[kind] for kind, names in COLUMNS[file].items() for name in names.split()}
        missing = {name: value for name, value in columns.items() if name not in table}
        table.assign(**missing).to_csv(directory / file, index=False)
    lists = ("widths", "seeds", "runs_left_out", "environments", "sensors", "pue_sources", "footprint_notes")
    about = {
        "format": FORMAT, "version": VERSION, "study": "made-up", "title": "Made up", "runs_done": len(runs),
        "abandoned": {"attempts": 0, "energy_kwh": 0, "carbon_g": 0}, "dates": {"first": "2026", "last": "2026"},
        "crops": {"fingerprint": "", "size": 64}, "options": {}, "split": {}, "split_patients": {}, "slices": {},
    }  # fmt: skip
    write_json(directory / MANIFEST, {name: [] for name in lists} | about | manifest)
