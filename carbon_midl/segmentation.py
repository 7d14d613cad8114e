"""A trained network's masks of whole archives, in files."""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.lib.format import open_memmap
from numpy.typing import NDArray

from carbon_midl.errors import InputError
from carbon_midl.files import new_directory, read_json, write_json, write_text
from carbon_midl.lidc.crops import CropArchive
from carbon_midl.model_file import load_model, model_path
from carbon_midl.options import BUILT_IN
from carbon_midl.run_files import RESULT

if TYPE_CHECKING:
    from torch import nn

    from carbon_midl.model_file import ModelCard


MASKS = "masks.npy"
PROBABILITIES = "probabilities.npy"
INDEX = "index.csv"
META = "meta.json"
_LESION = 0.5


def open_for(model: Path, crops: Path) -> tuple["nn.Module", "ModelCard", CropArchive]:
    """Open a network and the crops it is to see, on the device.

    Raises:
        InputError: either cannot be opened, or the crops are on another intensity scale or too small.
    """
    from carbon_midl.recipes import Efficient, device
    from carbon_midl.unet_size import check_crop_size

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
    from carbon_midl.scoring import probabilities

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
