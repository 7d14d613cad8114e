"""A trained network in use: its masks of other crops, its scores with intervals over patients, and what a use takes."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.lib.format import open_memmap
from numpy.typing import NDArray
from tqdm import tqdm

from carbon_midl.errors import InputError
from carbon_midl.files import new_directory, read_json, write_json, write_text
from carbon_midl.footprint import Tracker, Window
from carbon_midl.lidc.crops import CropArchive
from carbon_midl.measures import Interval, mean_of_repeats, mean_over_patients
from carbon_midl.training.checkpoint import RESULT, ModelCard, load_model, model_path
from carbon_midl.training.options import BUILT_IN, check_crop_size

if TYPE_CHECKING:
    import pandas as pd
    from torch import Tensor, nn

MASKS = "masks.npy"
SIZE_BANDS_PX = (0, 30, 100, 300, np.inf)
SIZE_LABELS = ("under 30 px", "30–99 px", "100–299 px", "300 px and more")
WINDOW_S = 1.0
"""A repeat lasts at least so long, since counters tick some ten times a second."""


def open_for(model: Path, crops: Path) -> tuple["nn.Module", ModelCard, CropArchive]:
    """Open a network, on the device, and the crops to segment.

    `InputError` where these are too small or have another intensity scale than those that it was trained on.
    """
    from carbon_midl.training.recipes import Efficient, device

    archive = CropArchive.open(crops)
    network, card = load_model(model)
    if archive.intensity != card.intensity:
        scales = (archive.intensity, card.intensity)
        theirs, ours = (f"{scale.unit} {scale.low:g} … {scale.high:g}" for scale in scales)
        raise InputError(
            f"{archive.path}: crops on the intensity scale {theirs}, but {model} was trained on {ours}; its masks "
            "would mean nothing. Use crops made as those were, or train a network on these."
        )
    if card.model == BUILT_IN:
        check_crop_size((archive.size, archive.size), card.depth)
    return Efficient(device()).place(network), card, archive


def unseen_rows(model: Path, archive: CropArchive) -> tuple[NDArray[np.int64], str]:
    """Return the rows of patients that the network was not trained or chosen on, and in words how many these are."""
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


def write_predictions(model: Path, crops: Path, out: Path, soft: bool = False) -> Path:
    """Segment every crop of an archive; the directory ``out`` appears whole or not at all.

    ``masks.npy``: ``(n, H, W)`` bool, true where the probability exceeds one half; ``index.csv``: one row per crop,
    with the number of pixels in its mask; ``probabilities.npy``: ``(n, H, W)`` float16, on request; ``meta.json``:
    network and crops.
    """
    from carbon_midl.training.scoring import probabilities

    network, card, archive = open_for(model, crops)
    with new_directory(out) as directory:
        shape = archive.images.shape
        masks = open_memmap(directory / MASKS, "w+", np.dtype(bool), shape)
        shares = open_memmap(directory / "probabilities.npy", "w+", np.dtype(np.float16), shape) if soft else None
        for path in directory.iterdir() if hasattr(os, "posix_fallocate") else ():  # macOS has no such call
            with path.open("r+b") as file:  # a full disk is an error here, and would end the process below
                os.posix_fallocate(file.fileno(), 0, path.stat().st_size)
        predicted_px = np.zeros(len(archive), np.int64)
        batches = probabilities(network, archive, np.arange(len(archive)))
        for values, rows in tqdm(batches, unit="batch", disable=None):
            masks[rows] = values > 0.5
            predicted_px[rows] = masks[rows].sum(axis=(1, 2))
            if shares is not None:
                shares[rows] = values
        write_text(directory / "index.csv", archive.index.assign(predicted_px=predicted_px).to_csv(index=False))
        about = {**vars(card), "intensity": card.intensity._asdict()}
        write_json(directory / "meta.json", {"model": about, "crops": archive.fingerprint, "source": archive.source})
    return out


def size_bands(target_px: "pd.Series[int]") -> "pd.Series[Any]":
    """Sort slices into bands by the target's area in px."""
    import pandas as pd

    return pd.cut(target_px, SIZE_BANDS_PX, right=False, labels=SIZE_LABELS)


def evaluate(scores: "pd.DataFrame") -> "pd.DataFrame":
    """Summarise a table of ``scoring.score`` whose targets are not empty.

    Each row is a mean with its 95 % interval by bootstrap over patients, which one patient does not give: ``dice`` over
    slices; ``dice_patients`` over patients of each one's mean over slices; ``sensitivity``, the share of the target's
    pixels in the mask; ``precision``, the share of the mask's pixels in the target, over slices whose mask is not
    empty; ``dice`` by the target's area. Columns: ``estimate``, ``low``, ``high``, ``n`` (slices) and ``patients``.
    """
    import pandas as pd

    if not len(scores):
        raise InputError("evaluate: no slices with a target. Choose other patients or another archive.")
    by_patient = scores.groupby("patient_id", as_index=False)["dice"].mean()
    segmented = scores[scores["predicted_px"] > 0]
    bands = scores.groupby(size_bands(scores["target_px"]), observed=True)
    figures: dict[str, tuple[Any, Any]] = {
        "dice": (scores, scores["dice"]),
        "dice_patients": (by_patient, by_patient["dice"]),
        "sensitivity": (scores, scores["overlap_px"] / scores["target_px"]),
        "precision": (segmented, segmented["overlap_px"] / segmented["predicted_px"]),
        **{f"dice, {label}": (band, band["dice"]) for label, band in bands},
    }
    means = {name: mean_over_patients(of, table["patient_id"]) for name, (table, of) in figures.items() if len(table)}
    found = pd.DataFrame(means.values(), index=list(means))
    found.loc[found["patients"] < 2, ["low", "high"]] = np.nan
    return found


@dataclass(frozen=True)
class Use:
    """What it takes to segment a crop that is in the device's memory, in steady state; no scoring is in it."""

    batch_size: int  #: crops at a time.
    repeats: int  #: how often that was measured.
    energy_kwh: Interval  #: of a crop, before PUE.
    duration_s: Interval  #: of a crop.
    method: str  #: how the energy was obtained.
    precision: str  #: the number format.

    @property
    def spread(self) -> float:
        """Half the width of the 95 % interval as a share of the mean, of energy or time, whichever is wider."""
        return max((one.high - one.low) / 2 / one.estimate for one in (self.energy_kwh, self.duration_s))


def measure_use(network: "nn.Module", images: "Tensor", limit: float, most: int, tracker: Tracker | None = None) -> Use:
    """Segment a batch again and again, as the efficient recipe computes, until energy and time are known.

    The energy does not depend on the weights, so an untrained network will do. After a warm-up, windows of `WINDOW_S`
    or more are repeated, at least five, until the ``spread`` is at most ``limit`` or ``most`` of them are measured.
    ``images`` are float32 ``(N, 1, H, W)`` in [0, 1]; the tracker is by default one with the sensors of this machine.
    """
    from carbon_midl.training.recipes import Efficient, device, evaluating

    recipe = Efficient(device())
    network, images = recipe.place(network), images.to(device())
    tracker = tracker or Tracker(".", 1, carbontracker=False, idle_s=0)

    def window(name: str, batches: int) -> Window:
        with tracker.window(name):
            for _ in range(batches):
                _ = network(images) > 0
        return tracker.record.windows[-1]

    with tracker, evaluating(network), recipe.computing():
        window("first batches", 3)  # in which libraries choose kernels
        batches = 1
        while window("warm-up", batches).duration_s < WINDOW_S:
            batches *= 2
        windows: list[Window] = []
        while True:
            windows.append(window("use", batches))
            if len(windows) >= 5:  # fewer do not tell their spread
                values = np.array([[one.energy_kwh, one.duration_s] for one in windows]) / (batches * len(images))
                energy, time = map(mean_of_repeats, values.T)
                use = Use(len(images), len(windows), energy, time, windows[-1].method, recipe.precision)
                if use.spread <= limit or len(windows) >= most:
                    return use
