"""How good the phantom is: what networks trained on it reach on real crops, beside those trained on real crops.

``studies/transfer.py`` trains and records; this reads the record: ``scores.csv``, a row a seed, side of training,
side of testing and test patient with the mean Dice over that patient's slices, and ``manifest.json``.
"""

from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from carbon_midl.errors import InputError
from carbon_midl.files import read_json
from carbon_midl.measures import patient_draws

RECORDED = Path("results/phantom-transfer")
SIDES = ("real", "phantom")
COLUMNS = ("seed", "trained_on", "tested_on", "patient_id", "slices", "dice")


class Transfer(NamedTuple):
    """Dice on one side after training on one side; `share` is that of training on the tested side's own crops.

    Means over slices and seeds, with 95 % percentile intervals over patients.
    """

    trained_on: str
    tested_on: str
    dice: float
    dice_low: float
    dice_high: float
    share: float
    share_low: float
    share_high: float
    seeds: int
    patients: int
    slices: int


def read_transfer(directory: Path) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Read the recorded scores and their manifest.

    Raises:
        InputError: a file is missing or lacks a column.
    """
    path = Path(directory) / "scores.csv"
    manifest = read_json(Path(directory) / "manifest.json")
    try:
        scores = pd.read_csv(path)
    except FileNotFoundError:
        raise InputError(f"{path}: no such file. Record it with: python studies/transfer.py data/lidc") from None
    if missing := [name for name in COLUMNS if name not in scores.columns]:
        raise InputError(f"{path}: no column {', '.join(missing)}. Record it again with studies/transfer.py.")
    return scores, manifest


def transfers(scores: pd.DataFrame) -> list[Transfer]:
    """Summarise recorded scores: each side of training on each side of testing."""
    found = []
    for tested_on, trained_on in product(SIDES, SIDES):
        chosen, own = _sums(scores, trained_on, tested_on), _sums(scores, tested_on, tested_on)
        weights = patient_draws(len(chosen))
        dice, own_dice = (part["dice"].sum() / part["slices"].sum() for part in (chosen, own))
        draws, own_draws = (
            (weights @ part["dice"].to_numpy()) / (weights @ part["slices"].to_numpy()) for part in (chosen, own)
        )
        (dice_low, dice_high), (share_low, share_high) = (
            np.quantile(values, [0.025, 0.975]).tolist() for values in (draws, draws / own_draws)
        )
        seeds = int(scores["seed"].nunique())
        found.append(
            Transfer(
                trained_on=trained_on,
                tested_on=tested_on,
                dice=float(dice),
                dice_low=dice_low,
                dice_high=dice_high,
                share=float(dice / own_dice),
                share_low=share_low,
                share_high=share_high,
                seeds=seeds,
                patients=len(chosen),
                slices=int(chosen["slices"].sum()) // seeds,
            )
        )
    return found


def _sums(scores: pd.DataFrame, trained_on: str, tested_on: str) -> pd.DataFrame:
    """Sum of Dice and number of slices by patient, over seeds."""
    chosen = scores[(scores["trained_on"] == trained_on) & (scores["tested_on"] == tested_on)]
    if chosen.empty:
        raise InputError(f"scores: nothing trained on {trained_on} and tested on {tested_on}. Record them again.")
    summed = chosen.assign(dice=chosen["dice"] * chosen["slices"])
    return summed.groupby("patient_id")[["dice", "slices"]].sum()
