"""A study's results as they are stored: the bytes of the files, and their cells as text, so that nothing is rounded."""

import gzip
import hashlib
import io
import math
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from carbon_midl.csv_tables import table_of
from carbon_midl.errors import InputError
from carbon_midl.sharing.archive import read_archive
from carbon_midl.sharing.manifest import read_manifest
from carbon_midl.study.tables import EPOCH_COLUMNS, RUN_COLUMNS, SLICE_COLUMNS

RUNS, EPOCHS, SLICES, MANIFEST = "runs.csv", "epochs.csv", "slices.csv.gz", "manifest.json"
TABLES = (RUNS, EPOCHS, SLICES)
RESULTS_FILES = (*TABLES, MANIFEST)
PART = "part"
"""The column of a merged ``runs.csv`` that says which part a run comes from."""
SPLIT_PART = "part"
"""The column of ``slices.csv.gz`` that says which part of the split a slice is in, "validation" or "test"."""
MOST_TABLE_BYTES = 1 << 30
"""Of the decompressed ``slices.csv.gz``: far more than any study has, and less than fills a memory."""
KEYS = {RUNS: ["run"], EPOCHS: ["run", "epoch"], SLICES: ["run", "patient_id", "nodule", "slice"]}
"""What names a row of each table; no two rows have the same."""
_COLUMNS = {
    RUNS: [*RUN_COLUMNS, "study", "energy_cpu_kwh", "energy_gpu_kwh", "energy_memory_kwh", "fingerprint"],
    EPOCHS: [*EPOCH_COLUMNS, "duration_s"],
    SLICES: [*SLICE_COLUMNS, "nodule", "slice", "predicted_px", "overlap_px"],
}


@dataclass(frozen=True)
class StoredResults:
    """Results as they were stored, from a directory or a packed file.

    Attributes:
        where: the directory or file, for messages.
        files: content of the four files, by name.
        runs: one row a run; every cell is text, an empty one where there is no value.
        epochs: one row a run and epoch.
        slices: one row a run and validation or test slice.
        manifest: where the results come from.
    """

    where: str
    files: dict[str, bytes]
    runs: pd.DataFrame
    epochs: pd.DataFrame
    slices: pd.DataFrame
    manifest: dict[str, Any]

    @classmethod
    def of_files(cls, where: str, files: dict[str, bytes]) -> "StoredResults":
        """Results whose files have this content.

        Raises:
            InputError: a file is missing, damaged, empty, or of a newer version.
        """
        missing = [name for name in RESULTS_FILES if name not in files]
        if missing:
            raise InputError(
                f"{where}: no {', '.join(missing)}; expected {', '.join(RESULTS_FILES)}. Name a directory such as "
                "runs/demo/results, or collect the study again: carbon-midl study collect studies/NAME.toml"
            )
        return cls(
            where,
            {name: files[name] for name in RESULTS_FILES},
            manifest=read_manifest(f"{where}/{MANIFEST}", files[MANIFEST]),
            runs=_table(where, RUNS, files[RUNS]),
            epochs=_table(where, EPOCHS, files[EPOCHS]),
            slices=_table(where, SLICES, _decompressed(f"{where}/{SLICES}", files[SLICES])),
        )

    @property
    def names(self) -> list[str]:
        """The names of the runs, as ``runs.csv`` has them."""
        return list(self.runs["run"])

    @property
    def tables(self) -> dict[str, pd.DataFrame]:
        """The three tables by their files' names."""
        return {RUNS: self.runs, EPOCHS: self.epochs, SLICES: self.slices}

    @property
    def digest(self) -> str:
        """SHA-256 over the four files, in hexadecimal."""
        content = "".join(f"{name} {sha256(self.files[name])}\n" for name in RESULTS_FILES)
        return sha256(content.encode())

    def numbers(self, file: str, column: str, optional: bool = False) -> "pd.Series[float]":
        """A column of a table as floats, exactly as written; NaN where a cell is empty, if that may be.

        Raises:
            InputError: a cell is not a finite number.
        """
        return pd.Series(self._parsed(file, column, float, "a number", optional), dtype=float)

    def counts(self, file: str, column: str) -> list[int]:
        """A column of a table as whole numbers.

        Raises:
            InputError: a cell is not a whole number.
        """
        return [int(value) for value in self._parsed(file, column, int, "a whole number")]

    def _parsed(
        self, file: str, column: str, kind: Callable[[str], float], expected: str, optional: bool = False
    ) -> list[float]:
        values = []
        for position, cell in enumerate(self.tables[file][column]):
            try:
                values.append(math.nan if optional and cell == "" else kind(cell))
                if cell and not math.isfinite(values[-1]):
                    raise ValueError
            except ValueError:
                run = self.tables[file]["run"].iloc[position]
                raise InputError(
                    f"{self.where}/{file}: row {position + 1}, {run}, {column}: found {cell!r}, expected {expected}. "
                    "Restore the file, or collect the study again."
                ) from None
        return values


def read_stored(path: Path) -> StoredResults:
    """Read results from their directory, from the directory of a study's runs, or from a packed file.

    Raises:
        InputError: there are none, or they are damaged or of a newer version.
    """
    path = Path(path)
    if path.is_file():
        return StoredResults.of_files(str(path), read_archive(path))
    if not path.exists():
        raise InputError(f"{path}: no such directory or file; expected a study's results or a packed file.")
    if not (path / MANIFEST).exists() and (path / "results").is_dir():
        path = path / "results"
    try:
        files = {name: (path / name).read_bytes() for name in RESULTS_FILES if (path / name).exists()}
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}).") from None
    return StoredResults.of_files(str(path), files)


def sha256(content: bytes) -> str:
    """SHA-256 of ``content``, in hexadecimal."""
    return hashlib.sha256(content).hexdigest()


def _table(where: str, file: str, content: bytes) -> pd.DataFrame:
    try:
        table = table_of(io.BytesIO(content), dtype=str, keep_default_na=False)
    except (pd.errors.EmptyDataError, pd.errors.ParserError, UnicodeDecodeError) as error:
        raise InputError(f"{where}/{file}: not a readable table ({error}). Collect the study again.") from None
    missing = [name for name in _COLUMNS[file] if name not in table.columns]
    if missing:
        raise InputError(f"{where}/{file}: no column {', '.join(missing)}. Collect the study again with this version.")
    if table.empty:
        raise InputError(f"{where}/{file}: no rows; there is nothing to share. Run the study first.")
    # Tables that were recorded before validation slices were have test slices alone.
    return table.assign(**{SPLIT_PART: "test"}) if file == SLICES and SPLIT_PART not in table else table


def _decompressed(where: str, content: bytes) -> bytes:
    try:
        with gzip.open(io.BytesIO(content)) as file:
            table = file.read(MOST_TABLE_BYTES + 1)
    except (EOFError, OSError, zlib.error) as error:
        raise InputError(f"{where}: damaged ({error}). Restore it, or collect the study again.") from None
    if len(table) > MOST_TABLE_BYTES:
        raise InputError(
            f"{where}: more than {MOST_TABLE_BYTES:,} bytes when decompressed; no study has so many slices."
        )
    return table
