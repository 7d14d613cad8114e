"""How good a network is on a set of slices: Dice, sensitivity and precision, with intervals over patients."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from carbon_midl.errors import InputError
from carbon_midl.measures import Estimate, mean_over_patients

if TYPE_CHECKING:
    import pandas as pd

SIZE_BANDS_PX = (0, 30, 100, 300, np.inf)
SIZE_LABELS = ("under 30 px", "30–99 px", "100–299 px", "300 px and more")


@dataclass(frozen=True)
class Evaluation:
    """What a table of slice scores says. Every mean has a 95 % interval by bootstrap over patients.

    Attributes:
        dice: mean over slices.
        dice_patients: mean over patients of each one's mean over slices.
        sensitivity: share of the target's pixels that were found, mean over slices.
        precision: share of the found pixels that are the target's, mean over the slices on which anything was found.
        nothing_found: slices on which nothing was.
        by_size: Dice over slices by the target's area, only for the bands that have slices.
    """

    dice: Estimate
    dice_patients: Estimate
    sensitivity: Estimate
    precision: Estimate | None
    nothing_found: int
    by_size: dict[str, Estimate]

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "dice": self.dice._asdict(),
            "dice_patients": self.dice_patients._asdict(),
            "sensitivity": self.sensitivity._asdict(),
            "precision": self.precision._asdict() if self.precision else None,
            "nothing_found": self.nothing_found,
            "dice_by_size": {label: estimate._asdict() for label, estimate in self.by_size.items()},
        }

    def describe(self) -> str:
        """A table for the terminal."""
        rows = {
            "Dice, mean over slices": self.dice,
            "Dice, mean over patients": self.dice_patients,
            "sensitivity": self.sensitivity,
            "precision": self.precision,
            **{f"Dice, {label}": estimate for label, estimate in self.by_size.items()},
        }
        lines = [f"{'':<28}{'mean':>7}   {'95 % interval':<15}{'slices':>8}{'patients':>10}"]
        for name, found in rows.items():
            if found is None:
                lines.append(f"{name:<28}{'–':>7}   no slice on which anything was found")
                continue
            # With one patient there is nobody to draw again.
            interval = f"{found.low:.3f} – {found.high:.3f}" if found.patients > 1 else "one patient"
            slices = "" if name == "Dice, mean over patients" else f"{found.n:,}"
            lines.append(f"{name:<28}{found.estimate:>7.3f}   {interval:<15}{slices:>8}{found.patients:>10,}")
        if self.nothing_found:
            lines.append(f"nothing found on {self.nothing_found:,} of {self.dice.n:,} slices, whose Dice is 0")
        return "\n".join(lines)


def size_bands(target_px: "pd.Series[int]") -> "pd.Series[Any]":
    """Sort slices into bands by the target's area in px."""
    import pandas as pd

    return pd.cut(target_px, SIZE_BANDS_PX, right=False, labels=SIZE_LABELS)


def evaluate(scores: "pd.DataFrame") -> Evaluation:
    """Evaluate a table of ``scoring.score``, whose targets are not empty.

    Raises:
        InputError: no slices.
    """
    if not len(scores):
        raise InputError("evaluate: no slices with a target. Choose other patients or another archive.")
    patients = scores["patient_id"]
    by_patient = scores.groupby("patient_id")["dice"].mean()
    found = scores[scores["predicted_px"] > 0]
    return Evaluation(
        dice=mean_over_patients(scores["dice"], patients),
        dice_patients=mean_over_patients(by_patient, by_patient.index),
        sensitivity=mean_over_patients(scores["overlap_px"] / scores["target_px"], patients),
        precision=mean_over_patients(found["overlap_px"] / found["predicted_px"], found["patient_id"])
        if len(found)
        else None,
        nothing_found=len(scores) - len(found),
        by_size={
            str(label): mean_over_patients(band["dice"], band["patient_id"])
            for label, band in scores.groupby(size_bands(scores["target_px"]), observed=True)
        },
    )
