"""A trained network on other crops: its masks of whole archives, and how good it is, with intervals over patients."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.lib.format import open_memmap
from numpy.typing import NDArray

from carbon_midl.errors import InputError
from carbon_midl.files import new_directory, read_json, write_json, write_text
from carbon_midl.lidc.crops import CropArchive
from carbon_midl.measures import Estimate, mean_over_patients
from carbon_midl.training.checkpoint import RESULT, ModelCard, load_model, model_path
from carbon_midl.training.options import BUILT_IN, check_crop_size

if TYPE_CHECKING:
    import pandas as pd
    from torch import nn

MASKS = "masks.npy"
PROBABILITIES = "probabilities.npy"
INDEX = "index.csv"
META = "meta.json"
_LESION = 0.5

SIZE_BANDS_PX = (0, 30, 100, 300, np.inf)
SIZE_LABELS = ("under 30 px", "30–99 px", "100–299 px", "300 px and more")


def open_for(model: Path, crops: Path) -> tuple["nn.Module", ModelCard, CropArchive]:
    """Open a network and the crops it is to see, on the device.

    Raises:
        InputError: either cannot be opened, or the crops are on another intensity scale or too small.
    """
    from carbon_midl.training.recipes import Efficient, device

    archive = CropArchive.open(crops)
    network, card = load_model(model)
    card.check_crops(archive, model)
    if card.model == BUILT_IN:
        check_crop_size((archive.size, archive.size), card.depth)
    return Efficient(device()).place(network), card, archive


def unseen_rows(model: Path, archive: CropArchive) -> tuple[NDArray[np.int64], str]:
    """Return the rows of patients that the network was not trained or chosen on, and a sentence about them.

    Patients are told apart by their identifiers, so the sentence holds for another archive of the same collection, too.
    """
    result = model_path(model).parent / RESULT
    everyone = np.arange(len(archive))
    if not result.is_file():
        return everyone, f"all {len(archive.patients):,} patients; which of them it was trained on is not known"
    split = read_json(result)["split"]
    seen = {*split["train"], *split["validation"]}
    unseen = [patient for patient in archive.patients if patient not in seen]
    if not unseen:
        raise InputError(f"{archive.path}: the network was trained or chosen on every patient there. Use others.")
    said = f"{len(unseen):,} of {len(archive.patients):,} patients, whom it has not seen"
    return archive.rows_of(unseen), said


def write_predictions(
    model: Path,
    crops: Path,
    out: Path,
    with_probabilities: bool = False,
    progress: Callable[[Iterable[Any]], Iterable[Any]] = iter,
) -> Path:
    """Segment every crop of an archive; the directory ``out`` appears whole or not at all.

    ``masks.npy``: ``(n, H, W)`` bool, true where the probability exceeds one half; ``index.csv``: a row a crop, with
    the pixels found; ``probabilities.npy``: ``(n, H, W)`` float16, on request; ``meta.json``: network and crops.

    Raises:
        InputError: model or crops cannot be used, or ``out`` holds something.
    """
    from carbon_midl.training.scoring import probabilities

    network, card, archive = open_for(model, crops)
    with new_directory(out) as directory:
        shape = archive.images.shape
        masks = open_memmap(directory / MASKS, "w+", np.dtype(bool), shape)
        soft = open_memmap(directory / PROBABILITIES, "w+", np.dtype(np.float16), shape) if with_probabilities else None
        found = np.zeros(len(archive), np.int64)
        for values, rows in progress(probabilities(network, archive, np.arange(len(archive)))):
            masks[rows] = values > _LESION
            found[rows] = masks[rows].sum(axis=(1, 2))
            if soft is not None:
                soft[rows] = values
        masks.flush()
        if soft is not None:
            soft.flush()
        write_text(directory / INDEX, archive.index.assign(predicted_px=found).to_csv(index=False))
        write_json(
            directory / META,
            {
                "model": {**vars(card), "intensity": card.intensity._asdict()},
                "crops": archive.fingerprint,
                "source": archive.source,
            },
        )
    return out


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
