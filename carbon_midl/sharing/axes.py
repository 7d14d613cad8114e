"""Which options vary within a study, as far as its results tell."""

from typing import Any

COLUMNS: dict[str, type[int] | type[str]] = {"filters": int, "seed": int, "recipe": str, "epochs": int}
"""Options that ``runs.csv`` has a column of."""


def axes(manifest: dict[str, Any], names: list[str]) -> set[str]:
    """The options that vary, besides width and seed: those that the runs are named by."""
    return {
        option for option in manifest["options"] if any(f"-{option.replace('_', '-')}-" in f"-{name}" for name in names)
    }


def options_of(manifest: dict[str, Any], cells: dict[Any, str]) -> dict[str, Any]:
    """All options of a run: those of the study, with what its row says."""
    return {**manifest["options"], **{name: kind(cells[name]) for name, kind in COLUMNS.items()}}
