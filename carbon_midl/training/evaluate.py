"""A trained network on other crops: its masks of whole archives, and its scores with intervals over patients."""

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
    """Open a network, on the device, and the crops to segment.

    Raises:
        InputError: either cannot be opened, or the crops have another intensity scale or are too small.
    """
    from carbon_midl.training.recipes import Efficient, device

    archive = CropArchive.open(crops)
    network, card = load_model(model)
    card.check_crops(archive, model)
    if card.model == BUILT_IN:
        check_crop_size((archive.size, archive.size), card.depth)
    return Efficient(device()).place(network), card, archive


def unseen_rows(model: Path, archive: CropArchive) -> tuple[NDArray[np.int64], str]:
    """Return the rows of patients that the network was not trained or chosen on, and how many patients these are.

    Patients are compared by their identifiers, so this also works for another archive of the same collection.

    Raises:
        InputError: the network was trained or chosen on every patient of the archive.
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
    return archive.rows_of(unseen), f"{len(unseen):,} of {len(archive.patients):,} patients, whom it has not seen"


def write_predictions(
    model: Path,
    crops: Path,
    out: Path,
    with_probabilities: bool = False,
    progress: Callable[[Iterable[Any]], Iterable[Any]] = iter,
) -> Path:
    """Segment every crop of an archive; the directory ``out`` appears whole or not at all.

    ``masks.npy``: ``(n, H, W)`` bool, true where the probability exceeds one half; ``index.csv``: one row per crop,
    with the number of pixels in its mask; ``probabilities.npy``: ``(n, H, W)`` float16, on request; ``meta.json``:
    network and crops.

    Raises:
        InputError: model or crops cannot be used, or ``out`` is not empty.
    """
    from carbon_midl.training.scoring import probabilities

    network, card, archive = open_for(model, crops)
    with new_directory(out) as directory:
        shape = archive.images.shape
        masks = open_memmap(directory / MASKS, "w+", np.dtype(bool), shape)
        soft = open_memmap(directory / PROBABILITIES, "w+", np.dtype(np.float16), shape) if with_probabilities else None
        predicted_px = np.zeros(len(archive), np.int64)
        for values, rows in progress(probabilities(network, archive, np.arange(len(archive)))):
            masks[rows] = values > _LESION
            predicted_px[rows] = masks[rows].sum(axis=(1, 2))
            if soft is not None:
                soft[rows] = values
        masks.flush()
        if soft is not None:
            soft.flush()
        write_text(directory / INDEX, archive.index.assign(predicted_px=predicted_px).to_csv(index=False))
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
    """A summary of slice scores. Every mean has a 95 % interval by bootstrap over patients.

    Attributes:
        dice: mean over slices.
        dice_patients: mean over patients of each patient's mean over slices.
        sensitivity: share of the target's pixels in the mask, mean over slices.
        precision: share of the mask's pixels in the target, mean over the slices whose mask is not empty.
        nothing_found: number of slices whose mask is empty.
        by_size: Dice over slices by the target's area, for the bands that have slices.
    """

    dice: Estimate
    dice_patients: Estimate
    sensitivity: Estimate
    precision: Estimate | None
    nothing_found: int
    by_size: dict[str, Estimate]

    def to_dict(self) -> dict[str, Any]:
        """Return the summary as JSON holds it."""
        means = {name: getattr(self, name) for name in ("dice", "dice_patients", "sensitivity", "precision")}
        return {
            **{name: mean and mean._asdict() for name, mean in means.items()},
            "nothing_found": self.nothing_found,
            "dice_by_size": {label: estimate._asdict() for label, estimate in self.by_size.items()},
        }

    def describe(self) -> str:
        """Return the summary as a table for the terminal."""
        rows = {
            "Dice, mean over slices": self.dice,
            "Dice, mean over patients": self.dice_patients,
            "sensitivity": self.sensitivity,
            "precision": self.precision,
            **{f"Dice, {label}": estimate for label, estimate in self.by_size.items()},
        }
        lines = [f"{'':<28}{'mean':>7}   {'95 % interval':<15}{'slices':>8}{'patients':>10}"]
        for name, mean in rows.items():
            if mean is None:
                lines.append(f"{name:<28}{'–':>7}   no slice on which anything was found")
                continue
            # The bootstrap draws patients, so that one patient gives no interval.
            interval = f"{mean.low:.3f} – {mean.high:.3f}" if mean.patients > 1 else "one patient"
            slices = "" if name == "Dice, mean over patients" else f"{mean.n:,}"
            lines.append(f"{name:<28}{mean.estimate:>7.3f}   {interval:<15}{slices:>8}{mean.patients:>10,}")
        if self.nothing_found:
            lines.append(f"nothing found on {self.nothing_found:,} of {self.dice.n:,} slices, whose Dice is 0")
        return "\n".join(lines)


def size_bands(target_px: "pd.Series[int]") -> "pd.Series[Any]":
    """Sort slices into bands by the target's area in px."""
    import pandas as pd

    return pd.cut(target_px, SIZE_BANDS_PX, right=False, labels=SIZE_LABELS)


def evaluate(scores: "pd.DataFrame") -> Evaluation:
    """Summarise a table of ``scoring.score`` whose targets are not empty.

    Raises:
        InputError: the table has no slices.
    """
    if not len(scores):
        raise InputError("evaluate: no slices with a target. Choose other patients or another archive.")
    patients = scores["patient_id"]
    by_patient = scores.groupby("patient_id")["dice"].mean()
    segmented = scores[scores["predicted_px"] > 0]
    return Evaluation(
        dice=mean_over_patients(scores["dice"], patients),
        dice_patients=mean_over_patients(by_patient, by_patient.index),
        sensitivity=mean_over_patients(scores["overlap_px"] / scores["target_px"], patients),
        precision=mean_over_patients(segmented["overlap_px"] / segmented["predicted_px"], segmented["patient_id"])
        if len(segmented)
        else None,
        nothing_found=len(scores) - len(segmented),
        by_size={
            str(label): mean_over_patients(band["dice"], band["patient_id"])
            for label, band in scores.groupby(size_bands(scores["target_px"]), observed=True)
        },
    )
