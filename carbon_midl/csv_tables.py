"""Tables from CSV, with rows that fit their header."""

import warnings
from pathlib import Path
from typing import IO, Any

import pandas as pd


def table_of(source: Path | IO[bytes], **options: Any) -> pd.DataFrame:
    """As ``pandas.read_csv``, but rows with more cells than the header has names are an error wherever they stand.

    Where the first row has more, pandas would take first cells for labels, and every value for its neighbour's.

    Raises:
        pandas.errors.ParserError: rows that do not fit the header.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("error", pd.errors.ParserWarning)
        try:
            return pd.read_csv(source, index_col=False, **options)
        except pd.errors.ParserWarning:
            raise pd.errors.ParserError("rows have more cells than the header has names") from None
