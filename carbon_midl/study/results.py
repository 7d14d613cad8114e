"""The reader of recorded tables: what a study's results are, read and checked the same way by everyone."""

import io
import json
import warnings
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
import pandas as pd
from pydantic import BaseModel, NonNegativeFloat, NonNegativeInt, ValidationError

from carbon_midl.errors import InputError
from carbon_midl.footprint.record import FOOTPRINT, RESULT
from carbon_midl.footprint.report import Compute, compute_of_run, machine_text
from carbon_midl.training.options import explain

FORMAT, VERSION = "carbon-midl results", 1
RUNS, EPOCHS, SLICES, MANIFEST = "runs.csv", "epochs.csv", "slices.csv.gz", "manifest.json"
TABLES = (RUNS, EPOCHS, SLICES)
FILES = (*TABLES, MANIFEST)
COLUMNS = {
    RUNS: {
        "text": "study run recipe energy_method intensity_source fingerprint",
        "a whole number": "filters seed parameters macs epochs epochs_trained best_epoch test_slices test_patients",
        "a number": "val_dice test_dice test_dice_patients duration_s energy_kwh energy_to_best_kwh "
        "energy_whole_run_kwh pue intensity_g_per_kwh carbon_g carbon_to_best_g carbon_whole_run_g",
        "a number or nothing": "energy_cpu_kwh energy_gpu_kwh energy_memory_kwh carbontracker_energy_before_pue_kwh",
    },
    EPOCHS: {
        "text": "run",
        "a whole number": "filters seed epoch",
        "a number": "val_dice duration_s energy_kwh",
        "a number or nothing": "train_loss",
    },
    SLICES: {
        "text": "run patient_id",
        "a whole number": "filters seed nodule slice target_px predicted_px overlap_px",
        "a number": "dice",
        "a number or nothing": "readers_dice",
    },
}
"""The columns that each table has, by what their cells hold; it may have more."""
KEYS = {RUNS: ["run"], EPOCHS: ["run", "epoch"], SLICES: ["run", "patient_id", "nodule", "slice"]}
"""What names a row of each table."""
PART = "part"
"""The column that names the part of the split that a slice is in, and in a merged ``runs.csv`` where a run is from."""
_MORE_TEXT = [PART, "commit", "started", "precision"]
_AGAIN = "Restore the file, or collect the study again."


@dataclass(frozen=True)
class Results:
    """A study's results.

    Attributes:
        where: the directory or packed file that they come from, for messages.
        files: the bytes of the three tables and the manifest, by name.
        runs: a row a run.
        epochs: a row a run and epoch.
        slices: a row a run and slice; the column ``part`` says "validation" or "test".
        manifest: where the results come from.
    """

    where: str
    files: dict[str, bytes]
    runs: pd.DataFrame
    epochs: pd.DataFrame
    slices: pd.DataFrame
    manifest: dict[str, Any]

    @classmethod
    def of_files(cls, where: str, files: dict[str, bytes]) -> "Results":
        """Results whose files have these bytes.

        Raises:
            InputError: a file is missing or damaged, a table lacks a column or has no rows, a cell cannot be, or the
                format is of another version.
        """
        if missing := [name for name in FILES if name not in files]:
            raise InputError(
                f"{where}: no {', '.join(missing)}; expected {', '.join(FILES)}. Name a directory such as "
                "runs/demo/results, or make it: carbon-midl study run studies/demo.toml"
            )
        manifest = _manifest(f"{where}/{MANIFEST}", files[MANIFEST])
        runs, epochs, slices = (_table(f"{where}/{name}", name, files[name]) for name in TABLES)
        if PART not in slices:  # recorded before validation slices were
            slices[PART] = "test"
        return cls(where, {name: files[name] for name in FILES}, runs, epochs, slices, manifest)

    @property
    def tables(self) -> dict[str, pd.DataFrame]:
        """The tables by their files' names."""
        return {RUNS: self.runs, EPOCHS: self.epochs, SLICES: self.slices}

    def slices_of(self, part: str) -> pd.DataFrame:
        """The slices of one part of the split, "validation" or "test"; none where they were not recorded."""
        return self.slices[self.slices[PART] == part].reset_index(drop=True)


def read_results(path: Path) -> Results:
    """Read results from their directory, from that of the study's runs, or from a packed file.

    Nothing of a packed file but the tables and the manifest is read, by these names, and nothing is unpacked.

    Raises:
        InputError: there are none, or they cannot be read; see `Results.of_files`.
    """
    path = Path(path)
    if not path.exists():
        raise InputError(f"{path}: no such directory or file; expected a study's results or a packed file.")
    if path.is_dir() and not (path / MANIFEST).exists() and (path / "results").is_dir():
        path = path / "results"
    try:
        if path.is_dir():
            files = {name: (path / name).read_bytes() for name in FILES if (path / name).exists()}
        else:
            with zipfile.ZipFile(path) as packed:
                files = {name: packed.read(name) for name in set(FILES) & set(packed.namelist())}
    except (OSError, zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        raise InputError(f"{path}: cannot be read, or is damaged ({error}). Get it again from its source.") from None
    return Results.of_files(str(path), files)


def read_csv(source: Path | IO[bytes], where: str = "", **options: Any) -> pd.DataFrame:
    """Read any CSV as ``pandas.read_csv`` does, but only where its rows fit its header.

    Where rows have more cells, pandas would take first cells for labels, and every value for its neighbour's.

    Args:
        source: a file, compressed or not, or its content.
        where: it comes from, for messages; a file by default.
        options: of ``pandas.read_csv``.

    Raises:
        InputError: there is no such file, or it is not CSV.
    """
    where = where or str(source)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", pd.errors.ParserWarning)
            return pd.read_csv(source, index_col=False, **options)
    except FileNotFoundError:
        raise InputError(f"{where}: no such file; expected a table as CSV.") from None
    except pd.errors.ParserWarning:
        raise InputError(f"{where}: not readable as CSV (rows have more cells than the header has names).") from None
    except pd.errors.EmptyDataError:
        raise InputError(f"{where}: empty; expected a header, and rows below it.") from None
    except (pd.errors.ParserError, UnicodeDecodeError, EOFError, OSError, zlib.error) as error:
        raise InputError(f"{where}: not readable as CSV ({error}).") from None


def named_rows(table: pd.DataFrame) -> Iterator[Any]:
    """Rows with the columns as attributes and ``Index``; untyped, as a column's type is not known to a type checker."""
    return table.itertuples()


def _table(where: str, name: str, content: bytes) -> pd.DataFrame:
    kinds = {kind: names.split() for kind, names in COLUMNS[name].items()}
    # Only an empty cell is no value: "nan" or "n/a" is a word, and refused where a number should be. Text that looks
    # like a number, such as a patient 0001 or a commit 123456789012, stays text.
    table = read_csv(
        io.BytesIO(content), where, keep_default_na=False, na_values=[""],
        dtype=dict.fromkeys([*kinds["text"], *_MORE_TEXT], "str"), compression="gzip" if name == SLICES else None,
    )  # fmt: skip
    if missing := [column for columns in kinds.values() for column in columns if column not in table]:
        raise InputError(f"{where}: no column {', '.join(missing)}. Collect the study again with this version.")
    if table.empty:
        raise InputError(f"{where}: no rows. Run the study first.")
    for kind, columns in kinds.items():
        for column in columns:
            _check_cells(where, table, column, kind)
    return table


def _check_cells(where: str, table: pd.DataFrame, column: str, kind: str) -> None:
    cells = table[column]
    if kind == "text":
        wrong = cells.isna().to_numpy()
    else:
        values = pd.to_numeric(cells, errors="coerce").to_numpy(dtype=float, na_value=np.nan)
        wrong = ~np.isfinite(values)
        if kind == "a number or nothing":
            wrong &= cells.notna().to_numpy()
        if kind == "a whole number":
            wrong |= values % 1 != 0
    if wrong.any():
        row = int(np.argmax(wrong))
        found = "" if pd.isna(cells[row]) else str(cells[row])
        raise InputError(
            f"{where}: row {row + 1}, {table['run'][row]}, {column}: found {found!r}, expected {kind}. {_AGAIN}"
        )


class _Abandoned(BaseModel):
    attempts: NonNegativeInt
    energy_kwh: NonNegativeFloat
    carbon_g: NonNegativeFloat


class _Dates(BaseModel):
    first: str
    last: str


class _Crops(BaseModel):
    fingerprint: str
    size: int


class _Part(BaseModel):
    part: str
    runs: NonNegativeInt
    abandoned: _Abandoned


class _Manifest(BaseModel):
    """What whoever reads results relies on; a manifest may say more."""

    study: str
    title: str
    widths: list[int]
    seeds: list[int]
    runs_done: int
    runs_left_out: list[str]
    abandoned: _Abandoned
    crops: _Crops
    options: dict[str, Any]
    split: dict[str, int]
    split_patients: dict[str, list[str]]
    slices: dict[str, int]
    dates: _Dates
    environments: list[dict[str, Any]]
    sensors: list[str]
    pue_sources: list[str]
    footprint_notes: list[str]
    sha256: dict[str, str] = {}
    parts: list[_Part] = []


def _manifest(where: str, content: bytes) -> dict[str, Any]:
    try:
        manifest = json.loads(content)
    except ValueError as error:
        raise InputError(f"{where}: not valid JSON ({error}). {_AGAIN}") from None
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
        raise InputError(f"{where}: not the manifest of a study's results. Collect the study again.")
    if (version := manifest.get("version")) != VERSION:
        newer = isinstance(version, int) and version > VERSION
        way_out = "Update carbon-midl to read it." if newer else "Collect the study again with this version."
        raise InputError(f"{where}: version {version!r} of the format; this carbon-midl has {VERSION}. {way_out}")
    try:
        _Manifest(**manifest)
    except ValidationError as error:
        raise InputError(f"{where}: {explain(error, [])} {_AGAIN}") from None
    return manifest


def read_compute(path: Path | str) -> Compute:
    """What a run used, or all runs of a study.

    Args:
        path: directory of a run (``result.json``, or ``footprint.json`` of one that is unfinished), a study's directory
            of results (``runs.csv``, ``manifest.json``), or a study's directory, with ``results/`` in it.

    Raises:
        InputError: it is none of these, or damaged.
    """
    directory = Path(path)
    if any((results / MANIFEST).is_file() for results in (directory, directory / "results")):
        return _compute_of_study(read_results(directory))
    if any((directory / name).is_file() for name in (RESULT, FOOTPRINT)):
        return compute_of_run(directory)
    raise InputError(
        f"{directory}: neither a run ({RESULT} or {FOOTPRINT}) nor a study's results ({RUNS} and {MANIFEST}); "
        "expected a directory such as runs/demo/filters-4-seed-0 or runs/demo/results"
    )


def _compute_of_study(results: Results) -> Compute:
    runs, manifest = results.runs, results.manifest
    abandoned = manifest["abandoned"]
    widths = ", ".join(map(str, runs["filters"].unique()))
    planned = len(runs) + len(manifest["runs_left_out"])
    grids = [
        f"{g_per_kwh:.4g} g/kWh ({source})"
        for g_per_kwh, source in zip(runs["intensity_g_per_kwh"], runs["intensity_source"], strict=True)
    ]
    return Compute(
        subject=f"{len(runs)} networks of {planned} planned ({widths} initial filters)",
        runs=len(runs),
        abandoned=abandoned["attempts"],
        duration_s=runs["duration_s"].sum(),
        energy_kwh=runs["energy_whole_run_kwh"].sum() + abandoned["energy_kwh"],
        abandoned_kwh=abandoned["energy_kwh"],
        methods=_distinct(method.strip() for methods in runs["energy_method"] for method in methods.split(";")),
        carbon_g=runs["carbon_whole_run_g"].sum() + abandoned["carbon_g"],
        embodied_g=None,
        pue=f"a PUE of {' and '.join(_distinct(map(str, runs['pue'])))} ({'; '.join(manifest['pue_sources'])})",
        intensity=" and ".join(_distinct(grids)),
        hardware="; ".join(
            _distinct(
                machine_text(one["hardware"]) if "hardware" in one else "hardware not recorded"
                for one in manifest["environments"]
            )
        ),
        versions=manifest.get("versions", {}),
        dates=tuple(manifest["dates"].values()),
    )


def _distinct(items: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(items))
