"""LIDC-IDRI in numbers: what is in it, and how far its readers agree, as ``studies/collection.py`` recorded it."""

from pathlib import Path

import pandas as pd

from carbon_midl.errors import InputError

Statistics = dict[str, pd.DataFrame]
"""Small tidy tables by name, such as "slice dice".

Intervals are 95 % by bootstrap over patients, in the columns ``low`` and ``high``; ``n`` counts values.
"""
COLLECTION = Path("results/lidc-collection")
ALL_SIZES = "all"


def read_statistics(directory: Path = COLLECTION) -> Statistics:
    """Read recorded tables, a CSV file each.

    Raises:
        InputError: there are none.
    """
    tables = {path.stem.replace("-", " "): pd.read_csv(path) for path in sorted(directory.glob("*.csv"))}
    if not tables:
        raise InputError(f"{directory}: no tables of the collection. Record them with: python -m studies.collection")
    return tables
