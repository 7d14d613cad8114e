"""The tables of a study's results: one row a width, one row a nodule size, the tracker beside our record."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import pandas as pd

from carbon_midl.csv_tables import table_of
from carbon_midl.errors import InputError
from carbon_midl.files import read_json
from carbon_midl.measures import PatientBootstrap, patient_dice
from carbon_midl.study.format import check_format

RUN_COLUMNS = [
    "run",
    "filters",
    "seed",
    "recipe",
    "parameters",
    "macs",
    "epochs",
    "epochs_trained",
    "best_epoch",
    "val_dice",
    "test_dice",
    "test_dice_patients",
    "test_slices",
    "test_patients",
    "duration_s",
    "energy_kwh",
    "energy_to_best_kwh",
    "energy_whole_run_kwh",
    "energy_method",
    "pue",
    "intensity_g_per_kwh",
    "intensity_source",
    "carbon_g",
    "carbon_to_best_g",
    "carbon_whole_run_g",
    "carbontracker_energy_before_pue_kwh",
]
EPOCH_COLUMNS = ["run", "filters", "seed", "epoch", "train_loss", "val_dice", "energy_kwh"]
SLICE_COLUMNS = ["run", "filters", "seed", "patient_id", "target_px", "dice", "readers_dice"]


@dataclass(frozen=True)
class Results:
    """A recorded study as read from its directory."""

    runs: pd.DataFrame
    epochs: pd.DataFrame
    slices: pd.DataFrame
    manifest: dict[str, Any]

    @classmethod
    def read(cls, directory: Path) -> "Results":
        """Read ``runs.csv``, ``epochs.csv``, ``slices.csv.gz`` and ``manifest.json``.

        Raises:
            InputError: a file or a column is missing, a table has no rows, the format is of another version, or runs
                of several recipes or other options are mixed.
        """
        runs = _read_table(directory / "runs.csv", RUN_COLUMNS)
        recipes = sorted(runs["recipe"].astype(str).unique())
        if len(recipes) > 1:
            raise InputError(
                f"{directory / 'runs.csv'}: recipes {', '.join(recipes)}; expected one. Compare widths within a recipe."
            )
        if runs.duplicated(["filters", "seed"]).any():
            raise InputError(
                f"{directory / 'runs.csv'}: several runs of one width and seed; the book compares widths, so its study "
                "may have no other axes than filters and seed."
            )
        manifest = read_json(directory / "manifest.json")
        check_format(manifest, str(directory / "manifest.json"))
        return cls(
            runs=runs.sort_values(["filters", "seed"], ignore_index=True),
            epochs=_read_table(directory / "epochs.csv", EPOCH_COLUMNS),
            slices=read_slices(directory),
            manifest=manifest,
        )

    def bootstrap(self) -> PatientBootstrap:
        """The bootstrap over test patients that every interval of the study comes from."""
        return PatientBootstrap.draw(patient_dice(self.slices))


def read_slices(directory: Path, part: str = "test") -> pd.DataFrame:
    """Read the scores of the slices of one part of the split, a row a run and slice.

    Args:
        directory: of a recorded study.
        part: "test", or "validation" where it was recorded.
    """
    table = _read_table(directory / "slices.csv.gz", SLICE_COLUMNS)
    if "part" not in table.columns:  # recorded before validation slices were
        table["part"] = "test"
    return table[table["part"] == part].reset_index(drop=True)


def _read_table(path: Path, columns: list[str]) -> pd.DataFrame:
    try:
        table = table_of(path)
    except FileNotFoundError:
        raise InputError(
            f"{path}: no such file. Run the study first: carbon-midl study run studies/demo.toml"
        ) from None
    except (pd.errors.EmptyDataError, pd.errors.ParserError, UnicodeDecodeError, EOFError, OSError) as error:
        raise InputError(f"{path}: not a readable table ({error}). Collect the study again.") from None
    missing = [name for name in columns if name not in table.columns]
    if missing:
        raise InputError(f"{path}: no column {', '.join(missing)}. Collect the study again with this version.")
    if table.empty:
        raise InputError(f"{path}: no rows. Run the study first: carbon-midl study run studies/demo.toml")
    return table


def named_rows(table: pd.DataFrame) -> Iterator[Any]:
    """Rows with the columns as attributes and ``Index``; untyped, as a column's type is not known to a type checker."""
    return table.itertuples()


def by_width(results: Results, bootstrap: PatientBootstrap) -> pd.DataFrame:
    """One row a width: means over seeds, Dice with its interval over patients and its range over seeds.

    ``dice`` is the mean over patients of each patient's mean; energies are in kWh before PUE, carbon in gCO2eq.
    """
    grouped = results.runs.groupby("filters")
    mean = [
        "parameters", "macs", "epochs_trained", "best_epoch", "duration_s", "energy_kwh", "carbon_g",
        "carbon_to_best_g", "carbon_whole_run_g", "carbontracker_energy_before_pue_kwh",
    ]  # fmt: skip
    table = grouped[mean].mean()
    table.insert(0, "runs", grouped.size())
    table["carbon_min_g"] = grouped["carbon_g"].min()
    table["carbon_max_g"] = grouped["carbon_g"].max()
    table["seed_dice_min"] = grouped["test_dice_patients"].min()
    table["seed_dice_max"] = grouped["test_dice_patients"].max()
    intervals = pd.DataFrame(
        {width: bootstrap.dice(width) for width in bootstrap.widths}, index=["dice", "dice_low", "dice_high"]
    ).T
    table = table.join(intervals, how="left").reset_index()
    if table["dice"].isna().any():
        raise InputError(
            f"slices: no Dice for width {table.loc[table['dice'].isna(), 'filters'].tolist()}. Collect the study again."
        )
    return table


def carbon_by_width(table: pd.DataFrame) -> dict[int, float]:
    """Grams of CO2eq of a training by width, from :func:`by_width`."""
    return {int(width): float(carbon) for width, carbon in zip(table["filters"], table["carbon_g"], strict=True)}


def by_size(results: Results, bins: int = 3) -> pd.DataFrame:
    """Dice by area of the target, in equally filled bins of test slices, with intervals over the bin's patients.

    Returns:
        Rows (bin, width) with ``size`` (a label in pixels), ``slices``, ``patients``, ``filters``, ``dice``,
        ``dice_low``, ``dice_high`` and ``readers_dice``, the mean Dice of pairs of readers who outlined the same slice.
    """
    slices = results.slices
    edges = slices["target_px"].quantile([i / bins for i in range(bins + 1)]).round().drop_duplicates().tolist()
    if len(edges) < 2:
        edges = [edges[0] - 1, edges[0]]
    edges[0] -= 1
    labels = [f"{low + 1:.0f} to {high:.0f} px" for low, high in pairwise(edges)]
    size = pd.cut(slices["target_px"], edges, labels=labels)
    rows = []
    for label in labels:
        chosen = slices[size == label]
        if chosen.empty:
            continue
        bootstrap = PatientBootstrap.draw(patient_dice(chosen))
        # Over slices, then over patients, as for the networks.
        readers = chosen.groupby("patient_id")["readers_dice"].mean().mean()
        count = len(chosen[["patient_id", "nodule", "slice"]].drop_duplicates())
        for width in bootstrap.widths:
            dice = bootstrap.dice(width)
            rows.append((label, count, bootstrap.patients, width, *dice, readers))
    return pd.DataFrame(
        rows, columns=["size", "slices", "patients", "filters", "dice", "dice_low", "dice_high", "readers_dice"]
    )


def learning(results: Results) -> pd.DataFrame:
    """Best validation Dice so far against training carbon spent so far: one row a run and epoch."""
    factors = results.runs.set_index("run")[["pue", "intensity_g_per_kwh"]].prod(axis=1)
    table = results.epochs.sort_values(["filters", "seed", "epoch"], ignore_index=True)
    energy_kwh = table.groupby("run")["energy_kwh"].cumsum()
    best = table.groupby("run")["val_dice"].cummax()
    return table[["run", "filters", "seed", "epoch"]].assign(
        carbon_g=energy_kwh * table["run"].map(factors), best_val_dice=best
    )
