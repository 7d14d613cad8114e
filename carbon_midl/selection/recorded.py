"""Tables as files, and a recorded study by patient, so that widths are compared on the same patients."""

from pathlib import Path

import pandas as pd

from carbon_midl.csv_tables import table_of
from carbon_midl.errors import InputError
from carbon_midl.selection.columns import require

PATIENT = "patient_id"
"""The column of a study's ``slices.csv.gz`` that names the patient."""
RUN = "run"
"""The column of all its tables that names the run, which is a training."""
VALIDATION_DICE, TEST_DICE = "val_dice_patients", "test_dice_patients"
"""Means over the patients of either part, each patient's over their slices."""


def by_patient(directory: Path, performance: str, part: str = "validation") -> pd.DataFrame:
    """One row a run and patient of one part, with all that ``runs.csv`` says of the run.

    Args:
        directory: of a recorded study, with ``runs.csv`` and ``slices.csv.gz``.
        performance: column for the patient's mean Dice, in place of what the run had there.
        part: "validation" or "test"; a table of slices without the column ``part`` is all test.

    Raises:
        InputError: a table or a column is missing, or no slice of this part was recorded.
    """
    runs, slices = read_csv(directory / "runs.csv"), read_csv(directory / "slices.csv.gz")
    require(runs, RUN, "run", str(directory / "runs.csv"))
    for name, role in ((RUN, "run"), (PATIENT, "patient"), ("dice", "Dice of a slice")):
        require(slices, name, role, str(directory / "slices.csv.gz"))
    slices = slices[slices.get("part", pd.Series("test", slices.index)) == part]
    if slices.empty:
        raise InputError(
            f"{directory / 'slices.csv.gz'}: no {part} slices. Run the study anew, which records them, or choose by "
            "seed (--replicate seed)."
        )
    return joined_by_patient(runs, slices, performance)


def joined_by_patient(runs: pd.DataFrame, slices: pd.DataFrame, performance: str) -> pd.DataFrame:
    """As `by_patient`, from tables that are known to be those of a study; a run without slices has no patient."""
    dice = slices.groupby([RUN, PATIENT], sort=False)["dice"].mean().rename(performance).reset_index()
    return dice.merge(runs.drop(columns=[performance, PATIENT], errors="ignore"), on=RUN, how="right")


def read_csv(path: Path) -> pd.DataFrame:
    """Read a CSV file, compressed or not.

    Raises:
        InputError: there is no such file, or it is not CSV.
    """
    try:
        return table_of(path)
    except FileNotFoundError:
        raise InputError(f"{path}: no such file; expected a table of candidates as CSV.") from None
    except pd.errors.EmptyDataError:
        raise InputError(f"{path}: empty; expected a header and a row a candidate and replicate.") from None
    except (pd.errors.ParserError, UnicodeDecodeError, EOFError, OSError) as error:
        raise InputError(f"{path}: not readable as CSV ({error}).") from None
