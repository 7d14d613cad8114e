"""A recorded study by patient, so that widths are compared on the same patients."""

from pathlib import Path

import pandas as pd

from carbon_midl.errors import InputError
from carbon_midl.study.results import SLICES, read_results

PATIENT = "patient_id"
"""The column of a study's ``slices.csv.gz`` that names the patient."""
RUN = "run"
"""The column of all its tables that names the run, which is a training."""
VALIDATION_DICE, TEST_DICE = "val_dice_patients", "test_dice_patients"
"""Means over the patients of either part, each patient's over their slices."""


def by_patient(directory: Path, performance: str, part: str = "validation") -> pd.DataFrame:
    """One row a run and patient of one part, with all that ``runs.csv`` says of the run.

    Args:
        directory: of a recorded study.
        performance: column for the patient's mean Dice, in place of what the run had there.
        part: "validation" or "test".

    Raises:
        InputError: the results cannot be read, or no slice of this part was recorded.
    """
    results = read_results(directory)
    slices = results.slices_of(part)
    if slices.empty:
        raise InputError(
            f"{results.where}/{SLICES}: no {part} slices. Run the study anew, which records them, or choose by seed "
            "(--replicate seed)."
        )
    return joined_by_patient(results.runs, slices, performance)


def joined_by_patient(runs: pd.DataFrame, slices: pd.DataFrame, performance: str) -> pd.DataFrame:
    """As `by_patient`, from tables at hand; a run without slices has no patient."""
    dice = slices.groupby([RUN, PATIENT], sort=False)["dice"].mean().rename(performance).reset_index()
    return dice.merge(runs.drop(columns=[performance, PATIENT], errors="ignore"), on=RUN, how="right")
