"""The one reader of recorded tables: a study's results, read and checked in the same way for every use."""

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
from pydantic import BaseModel, NonNegativeFloat, ValidationError

from carbon_midl.errors import InputError
from carbon_midl.footprint import CarbonIntensity, ComponentEnergy, FootprintRecord, Window, read_footprint
from carbon_midl.footprint.grid import DEFAULT_PUE, WORLD
from carbon_midl.footprint.record import FOOTPRINT, RESULT
from carbon_midl.footprint.report import Compute, compute_of_run, machine_text
from carbon_midl.footprint.uncertainty import CarbonSpread, carbon_spread
from carbon_midl.training.options import explain
from carbon_midl.units import listed

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
        "a number or nothing": "train_loss val_loss",
    },
    SLICES: {
        "text": "run patient_id",
        "a whole number": "filters seed nodule slice target_px predicted_px overlap_px",
        "a number": "dice",
        "a number or nothing": "readers_dice",
    },
}
"""The columns of each table, by what their cells hold. A table may have more."""
PART = "part"
"""In ``slices.csv.gz``, the part of the split that a slice is in; in a merged ``runs.csv``, where a run was made."""
_AGAIN = "Restore the file, or collect the study again."
COLLECTION = Path("results/lidc-collection")
"""LIDC-IDRI in numbers, what is in it and how far its readers agree, as ``studies/collection.py`` recorded it."""
ALL_SIZES = "all"
"""In its tables, nodules of every size."""
Statistics = dict[str, pd.DataFrame]
"""Its small tidy tables by name, such as "slice dice".

Intervals are 95 % by bootstrap over patients, in the columns ``low`` and ``high``; ``n`` counts values.
"""


@dataclass(frozen=True)
class Results:
    """A study's results."""

    where: str  #: the directory or packed file, for messages.
    files: dict[str, bytes]  #: the bytes of the three tables and the manifest, by name.
    runs: pd.DataFrame  #: one row per run.
    epochs: pd.DataFrame  #: one row per run and epoch.
    slices: pd.DataFrame  #: one row per run and slice; the column ``part`` is "validation" or "test".
    manifest: dict[str, Any]  #: crops, options, machines, versions, and what was used in vain.

    @classmethod
    def of_files(cls, where: str, files: dict[str, bytes]) -> "Results":
        """Read results from the content of their files, checked to the last cell; `InputError` for what cannot be."""
        if missing := [name for name in FILES if name not in files]:
            raise InputError(
                f"{where}: no {', '.join(missing)}; expected {', '.join(FILES)}. Name a directory such as "
                "runs/demo/results, or make it: carbon-midl study run studies/demo.toml"
            )
        manifest = _manifest(f"{where}/{MANIFEST}", files[MANIFEST])
        runs, epochs, slices = (_table(f"{where}/{name}", name, files[name]) for name in TABLES)
        if PART not in slices:  # recorded when only test slices were
            slices[PART] = "test"
        return cls(where, {name: files[name] for name in FILES}, runs, epochs, slices, manifest)

    @property
    def tables(self) -> dict[str, pd.DataFrame]:
        """The tables by their files' names."""
        return {RUNS: self.runs, EPOCHS: self.epochs, SLICES: self.slices}

    def slices_of(self, part: str) -> pd.DataFrame:
        """The slices of one part of the split, "validation" or "test"; no rows where they were not recorded."""
        return self.slices[self.slices[PART] == part].reset_index(drop=True)

    def footprint(self, name: str) -> FootprintRecord:
        """What the tables tell of a run's footprint; `InputError` where it is missing, or of several machines."""
        run = next((row for row in self.runs.to_dict("records") if row["run"] == name), None)
        if run is None:
            raise InputError(f"{self.where}: found no run {name!r}, expected one of {listed(list(self.runs['run']))}")
        hardware, *others = distinct(one["hardware"] for one in self.manifest["environments"])
        if others:
            raise InputError(f"{self.where}: made on several machines; name the directory of the run {name} itself")
        methods = [method.strip() for method in run["energy_method"].split(";")]
        parts = [
            ComponentEnergy(part, run[f"energy_{part}_kwh"], next((m for m in methods if sign in m), methods[0]))
            for part, sign in (("cpu", ""), ("gpu", "NVML"), ("memory", "GB"))
            if not pd.isna(run[f"energy_{part}_kwh"])
        ]
        gpus = {f"gpu {number}": gpu for number, gpu in enumerate(hardware["gpu"]) if run["energy_gpu_kwh"] > 0}
        return FootprintRecord(
            (Window("training", self.manifest["dates"]["first"], run["duration_s"], tuple(parts)),), run["epochs"],
            pue=run["pue"], pue_source="; ".join(self.manifest["pue_sources"]),
            intensity=CarbonIntensity(run["intensity_g_per_kwh"], "given", run["intensity_source"], None),
            hardware={"cpu": hardware["cpu"]} | gpus, notes=tuple(self.manifest["footprint_notes"]),
        )  # fmt: skip


def read_results(path: Path | str) -> Results:
    """Read results from their directory, from the directory of the study's runs, or from a packed file.

    >>> results = read_results("results/recipes")
    >>> len(results.runs), results.manifest["widths"]
    (12, [4, 16])

    Raises:
        InputError: there are no results, a file is missing, damaged or of another version, a table lacks a column or
            has no rows, or a cell holds something else than its column should.
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


def recorded(name: str) -> Path:
    """Find a study among those recorded with this project, such as "lidc", wherever this runs.

    They lie in a folder ``results``: in the working directory or one above it, or else in the checkout that this
    package is installed from.

    >>> recorded("recipes").name
    'recipes'

    Raises:
        InputError: it is in none of them.
    """
    here, package = Path.cwd(), Path(__file__).parents[2]
    for folder in (here, *here.parents, package):
        if (folder / "results" / name / MANIFEST).is_file():
            return folder / "results" / name
    raise InputError(
        f"results/{name}: not in {here}, in no folder above it, and not in {package}. Copy the project's folder "
        f"'results' into {here}, beside the notebook."
    )


def read_csv(source: Path | IO[bytes], where: str = "", **options: Any) -> pd.DataFrame:
    """Read a CSV file as ``pandas.read_csv`` does, with its options; `InputError` where it is missing or no CSV.

    Rows longer than the header are refused: pandas would take their first cells as labels, and every value would move
    into the next column. Messages call the source ``where``; by default by its name.
    """
    where = where or str(source)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", pd.errors.ParserWarning)
            return pd.read_csv(source, index_col=False, **options)
    except FileNotFoundError:
        raise InputError(f"{where}: no such file; expected a table as CSV.") from None
    except pd.errors.EmptyDataError:
        raise InputError(f"{where}: empty; expected a header, and rows below it.") from None
    except (pd.errors.ParserWarning, pd.errors.ParserError, UnicodeDecodeError, EOFError, OSError, zlib.error) as error:
        raise InputError(f"{where}: not readable as CSV ({error}).") from None


def named_rows(table: pd.DataFrame) -> Iterator[Any]:
    """Iterate over rows whose attributes are the columns and ``Index``, which type checkers do not know."""
    return table.itertuples()


def _table(where: str, name: str, content: bytes) -> pd.DataFrame:
    kinds = {column: kind for kind, columns in COLUMNS[name].items() for column in columns.split()}
    # Only an empty cell is no value: "nan" or "n/a" is a word, and refused where a number should be. Text that looks
    # like a number, such as a patient 0001 or a commit 123456789012, stays text.
    text = [*(column for column, kind in kinds.items() if kind == "text"), PART, "commit", "started", "precision"]
    table = read_csv(
        io.BytesIO(content), where, keep_default_na=False, na_values=[""], dtype=dict.fromkeys(text, "str"),
        compression="gzip" if name == SLICES else None,
    )  # fmt: skip
    if missing := [column for column in kinds if column not in table]:
        raise InputError(f"{where}: no column {', '.join(missing)}. Collect the study again with this version.")
    if table.empty:
        raise InputError(f"{where}: no rows. Run the study first.")
    for column, kind in kinds.items():
        empty = table[column].isna().to_numpy()
        values = pd.to_numeric(table[column], errors="coerce").to_numpy(dtype=float, na_value=np.nan)
        wrong = {
            "text": empty,
            "a whole number": ~np.isfinite(values) | (values != np.trunc(values)),
            "a number": ~np.isfinite(values),
            "a number or nothing": ~np.isfinite(values) & ~empty,
        }[kind]
        if wrong.any():
            row = int(wrong.argmax())
            place, found = f"{table['run'][row]}, {column}", "" if empty[row] else str(table[column][row])
            raise InputError(f"{where}: row {row + 1}, {place}: found {found!r}, expected {kind}. {_AGAIN}")
    return table


class _Manifest(BaseModel):
    """The fields that readers of results rely on. A manifest may have more."""

    study: str
    title: str
    widths: list[int]
    seeds: list[int]
    runs_done: int
    runs_left_out: list[str]
    abandoned: dict[str, NonNegativeFloat]
    crops: dict[str, Any]
    options: dict[str, Any]
    split: dict[str, int]
    split_patients: dict[str, list[str]]
    slices: dict[str, int]
    dates: dict[str, str]
    environments: list[dict[str, Any]]
    sensors: list[str]
    pue_sources: list[str]
    footprint_notes: list[str]
    sha256: dict[str, str] = {}
    parts: list[dict[str, Any]] = []


def _manifest(where: str, content: bytes) -> dict[str, Any]:
    try:
        manifest = json.loads(content)
        kind = [manifest.get("format"), manifest.get("version")] if isinstance(manifest, dict) else "something else"
        if kind != [FORMAT, VERSION]:
            raise InputError(
                f"{where}: not the manifest of a study's results that this carbon-midl reads: found {kind}, expected "
                f"{[FORMAT, VERSION]}. Update carbon-midl if they are newer, or collect the study again."
            )
        _Manifest(**manifest)
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{where}: not valid JSON ({error}). {_AGAIN}") from None
    except ValidationError as error:
        raise InputError(f"{where}: {explain(error, [])} {_AGAIN}") from None
    return manifest


def read_compute(path: Path | str) -> Compute:
    """Sum up what a run used, also an unfinished one, or all runs of a study, by the directory of either's results.

    Raises:
        InputError: there is neither, or it is damaged.
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


def read_run_footprint(path: Path) -> FootprintRecord:
    """Read a run's record, as `read_footprint` does, or that of its name below a study's results, from their tables."""
    recorded = (path.parent / MANIFEST).is_file() and not path.exists()
    return read_results(path.parent).footprint(path.name) if recorded else read_footprint(path)


def _compute_of_study(results: Results) -> Compute:
    runs, manifest, abandoned = results.runs, results.manifest, results.manifest["abandoned"]
    widths = ", ".join(map(str, runs["filters"].unique()))
    methods = distinct(method.strip() for methods in runs["energy_method"] for method in methods.split(";"))
    grids = zip(runs["intensity_g_per_kwh"], runs["intensity_source"], strict=True)
    machines = distinct(machine_text(one["hardware"]) for one in manifest["environments"])
    planned = len(runs) + len(manifest["runs_left_out"])
    return Compute(
        subject=f"{len(runs)} networks of {planned} planned ({widths} initial filters)",
        runs=len(runs),
        abandoned=abandoned["attempts"],
        duration_s=runs["duration_s"].sum(),
        energy_kwh=runs["energy_whole_run_kwh"].sum() + abandoned["energy_kwh"],
        abandoned_kwh=abandoned["energy_kwh"],
        methods=tuple(methods),
        carbon_g=runs["carbon_whole_run_g"].sum() + abandoned["carbon_g"],
        limits=spread_of(runs, runs["pue"].iloc[0], runs["intensity_source"].iloc[0]).limits(len(runs)),
        pue=f"a PUE of {' and '.join(map(str, runs['pue'].unique()))} ({'; '.join(manifest['pue_sources'])})",
        intensity=" and ".join(distinct(f"{g_per_kwh:.4g} g/kWh ({source})" for g_per_kwh, source in grids)),
        hardware="; ".join(machines),
        versions=manifest.get("versions", {}),
        dates=tuple(manifest["dates"].values()),
    )


def read_statistics(directory: Path = COLLECTION) -> Statistics:
    """Read the tables of the collection.

    Raises:
        InputError: there are none.
    """
    tables = {path.stem.replace("-", " "): read_csv(path) for path in sorted(directory.glob("*.csv"))}
    if not tables:
        raise InputError(f"{directory}: no tables of the collection. Record them with: python -m studies.collection")
    return tables


def spread_of(runs: pd.DataFrame, pue: float = DEFAULT_PUE, intensity_source: str = WORLD.source) -> CarbonSpread:
    """How far the grams of runs may be off, by the columns of their table that say how its energy was obtained."""
    columns = runs.filter(regex="^energy_(cpu|gpu|memory)_kwh$").apply(pd.to_numeric, errors="coerce")
    methods = runs["energy_method"] if "energy_method" in runs else [""] * len(runs)
    sums = columns.groupby(methods).sum().to_dict()
    energies_kwh = {(name.split("_")[1], one): kwh for name, column in sums.items() for one, kwh in column.items()}
    return carbon_spread(energies_kwh, pue, intensity_source)


def distinct(items: Iterable[Any]) -> list[Any]:
    """Each item once, in the order of their first occurrence; items need not be hashable."""
    return list({json.dumps(item, sort_keys=True): item for item in items}.values())
