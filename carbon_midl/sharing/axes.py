"""Which options vary within a study, as far as its results tell."""

from typing import Any

import pandas as pd

ALWAYS = {"filters", "seed", "recipe", "epochs"}
"""Options that every ``runs.csv`` has a column of."""


def axes(manifest: dict[str, Any], runs: pd.DataFrame) -> set[str]:
    """The options that vary, besides width and seed: those that runs are named by, or that have a column."""
    columns = set(runs.columns) - ALWAYS
    return {
        option
        for option in manifest["options"]
        if option in columns or any(f"-{option.replace('_', '-')}-" in f"-{name}" for name in runs["run"])
    }


def options_of(manifest: dict[str, Any], cells: dict[Any, str]) -> dict[str, Any]:
    """All options of a run: those of the study, with what its row says."""
    options = {"filters": 0, "seed": 0, **manifest["options"]}
    return {name: _as(value, cells[name]) if name in cells else value for name, value in options.items()}


def _as(example: Any, cell: str) -> Any:
    return cell == "True" if isinstance(example, bool) else type(example)(cell)
