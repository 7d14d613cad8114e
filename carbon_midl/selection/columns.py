"""Columns of other people's tables: found by name, a near name suggested, their content checked."""

import difflib
import re

import numpy as np
import pandas as pd

from carbon_midl.errors import InputError

_TEST = re.compile(r"(?<![a-z])test", re.IGNORECASE)


def is_test(name: str) -> bool:
    """Whether a column is called a test score, as ``test_dice``, ``Test AUC`` or ``best_test`` are."""
    return _TEST.search(name) is not None


def require(table: pd.DataFrame, name: str, role: str, origin: str) -> None:
    """Refuse a table without the column ``name``, which was to give the ``role``.

    Raises:
        InputError: there is no such column; a near one is named, or all of them.
    """
    known = [str(column) for column in table.columns]
    if name in known:
        return
    lower = {column.lower(): column for column in reversed(known)}
    near = difflib.get_close_matches(name.lower(), lower, n=1)
    hint = f"did you mean {lower[near[0]]!r}?" if near else f"found {', '.join(known)}."
    raise InputError(f"{origin}: no column {name!r} for the {role}; {hint}")


def numbers(table: pd.DataFrame, name: str, role: str, origin: str) -> np.ndarray:
    """The column as floats, NaN where a cell is empty.

    Raises:
        InputError: there is no such column, or a cell holds something that is no finite number.
    """
    require(table, name, role, origin)
    cells = table[name]
    values = pd.to_numeric(cells, errors="coerce").to_numpy(dtype=float, na_value=np.nan)
    wrong = (np.isnan(values) & cells.notna().to_numpy()) | np.isinf(values)
    if wrong.any():
        row = int(np.flatnonzero(wrong)[0])
        raise InputError(
            f"{origin}: column {name!r} ({role}) holds '{cells.iloc[row]}' in data row {row + 1}; expected a finite "
            "number. Leave the cell empty where there is none."
        )
    return values


def labels(table: pd.DataFrame, names: tuple[str, ...], role: str, origin: str) -> "pd.Series[str]":
    """The columns as text, joined by " / "; missing where one of them is.

    Raises:
        InputError: there is no such column.
    """
    for name in names:
        require(table, name, role, origin)
    parts = [table[name].map(_text, na_action="ignore") for name in names]
    joined = parts[0]
    for part in parts[1:]:
        joined = (joined + " / " + part).where(joined.notna() & part.notna())
    return joined


def kept(table: pd.DataFrame, name: str, value: str, origin: str) -> pd.DataFrame:
    """The rows whose column ``name`` reads ``value``.

    Raises:
        InputError: there is no such column or row.
    """
    found = labels(table, (name,), "choice of rows", origin)
    rows = table[found == value]
    if rows.empty:
        known = list(found.dropna().unique())
        shown = ", ".join(known[:8]) + (", …" if len(known) > 8 else "")
        raise InputError(f"{origin}: no row with {name} = {value}; found {shown}.")
    return rows.reset_index(drop=True)


def _text(value: object) -> str:
    # A column of whole numbers with a gap in it is read as floats.
    return f"{value:g}" if isinstance(value, float) and value.is_integer() else str(value)
