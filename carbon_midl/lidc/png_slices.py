"""Crops from the layout in which LIDC-IDRI slices circulate publicly.

``ROOT/LIDC-IDRI-0001/nodule-0/images/slice-0.png`` and ``.../nodule-0/mask-{0,1,2,3}/slice-0.png``, 8-bit greyscale
PNGs with masks of 0 and 255. Each image was scaled to 0–255 on its own, so absolute HU are lost.
"""

import hashlib
import re
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from tqdm import tqdm

from carbon_midl.errors import InputError
from carbon_midl.lidc import READERS
from carbon_midl.lidc.crops import CropWriter, Intensity

SOURCE = {
    "kind": "lidc",
    "name": "LIDC-IDRI slices in the public slice layout",
    "licence": "CC BY 3.0",
    "citation": "Armato et al., Data From LIDC-IDRI, The Cancer Imaging Archive, doi:10.7937/K9/TCIA.2015.LO9QL9SX",
    "note": "each crop was min–max scaled to 0–255 on its own; absolute HU are lost",
}
_LAYERS = ("images", *(f"mask-{reader}" for reader in range(READERS)))


class Slice(NamedTuple):
    """One slice of the layout, its image before its masks."""

    patient_id: str
    nodule: int
    slice: int
    layers: tuple[Path, ...]


def find_slices(root: Path) -> list[Slice]:
    """List the slices by patient, nodule and number; ``root`` is the directory of the patients, or its parent.

    Letter case and leading zeros of names do not matter. `InputError` names what the layout does not have.
    """
    if not root.is_dir():
        raise InputError(f"{root}: no such directory. Name the one that holds LIDC-IDRI-0001 and so on.")
    if (root / "LIDC-IDRI-slices").is_dir():
        root = root / "LIDC-IDRI-slices"
    slices = []
    for patient in sorted({nodule.parent for nodule in root.glob("*/[nN]odule-*")}):
        if not re.fullmatch(r"LIDC-IDRI-\d{4}", patient.name):
            raise InputError(
                f"{patient}: has nodules, and is not called as a patient is, such as LIDC-IDRI-0001. A patient under "
                "two names would be in training and in test. Rename or move the folder."
            )
        for nodule, folder in _numbered(patient, "nodule", "").items():
            layers = [_numbered(folder / layer, "slice", ".png") for layer in _LAYERS]
            for layer, found in zip(_LAYERS, layers, strict=True):
                if lacking := sorted(set(layers[0]) - set(found)):
                    raise InputError(
                        f"{folder / layer / layers[0][lacking[0]].name}: no such file; every image needs masks of four "
                        "readers, all black where a reader marked nothing."
                    )
                if alone := sorted(set(found) - set(layers[0])):
                    raise InputError(f"{found[alone[0]]}: mask without image. Restore the image or remove the mask.")
            slices += [
                Slice(patient.name, nodule, number, tuple(layer[number] for layer in layers)) for number in layers[0]
            ]
    if not slices:
        raise InputError(f"{root}: no slices; expected files like LIDC-IDRI-0001/nodule-0/images/slice-0.png.")
    return sorted(slices)


def _numbered(folder: Path, kind: str, suffix: str) -> dict[int, Path]:
    """What is called ``kind``-NUMBER in a folder, by number."""
    found: dict[int, Path] = {}
    for path in sorted(folder.glob("*")):
        name = path.name.lower()
        if not name.startswith(f"{kind}-") or (suffix and not name.endswith(suffix)):
            continue
        if not (match := re.fullmatch(rf"{kind}-(\d+){re.escape(suffix)}", name)):
            raise InputError(f"{path}: expected a name like {kind}-0{suffix}.")
        if (number := int(match[1])) in found:
            raise InputError(f"{path}: has the number of {found[number].name}, too. Remove or rename one of them.")
        found[number] = path
    return found


def import_slices(root: Path, out: Path) -> int:
    """Write the slices under ``root``, see `find_slices`, as a crop archive at ``out`` and return their number.

    Raises:
        InputError: a file that is no greyscale PNG; a crop that is not square or of another size than the first; a mask
            that is not black and white, or is inverted; one image under two patients. Nothing is written then.
    """
    slices = find_slices(root)
    size = len(_read(slices[0].layers[0]))
    owners: dict[str, tuple[str, str]] = {}
    with CropWriter(out, size, Intensity("per-crop min–max", 0, 255), SOURCE) as crops:
        for found in tqdm(slices, unit="slice", disable=None):
            layers = [_read(path) for path in found.layers]
            for path, layer in zip(found.layers, layers, strict=True):
                if layer.shape != (size, size):
                    raise InputError(
                        f"{path}: {' × '.join(map(str, layer.shape))} px, expected {size} × {size} px like "
                        f"{slices[0].layers[0]}. Cut all crops to one square size."
                    )
                if path is not found.layers[0]:
                    _check_mask(layer, path)
            image, *masks = layers
            check_owner(owners, image_digest(image), found.patient_id, str(found.layers[0]))
            crops.add(image, np.stack(masks) > 0, patient_id=found.patient_id, nodule=found.nodule, slice=found.slice)
    return len(slices)


def image_digest(image: NDArray[Any]) -> str:
    """A hash of an image's pixels; "" where all are alike, as they may be in any patient."""
    return hashlib.sha256(image.tobytes()).hexdigest() if np.ptp(image) else ""


def check_owner(owners: dict[str, tuple[str, str]], digest: str, patient_id: str, where: str) -> None:
    """Note in ``owners`` whose an image is, and ``where``; `InputError` where another patient has the same."""
    first_id, first_where = owners.setdefault(digest, (patient_id, where))
    if digest and first_id != patient_id:
        raise InputError(
            f"{where}: the same image as {first_where}, of another patient, who would be in training and in test. "
            "Remove the copy."
        )


def _check_mask(mask: NDArray[np.uint8], path: Path) -> None:
    values = np.unique(mask)
    if set(values.tolist()) - {0, values.max()} or values.max() not in (0, 1, 255):
        grey = values[(values > 0) & (values < 255)][0]
        raise InputError(
            f"{path}: has pixels of {grey}; expected 0 and 255 alone. A mask that was resized with interpolation is "
            "grey at its border: resize it by nearest neighbour."
        )
    if mask[[0, 0, -1, -1], [0, -1, 0, -1]].all():
        raise InputError(
            f"{path}: white in all four corners, so it looks inverted; expected the nodule white on black."
        )


def _read(path: Path) -> NDArray[np.uint8]:
    try:
        with Image.open(path, formats=["PNG"]) as image:
            if image.mode not in ("L", "1"):
                raise InputError(f"{path}: PNG of mode {image.mode}, expected 8-bit greyscale.")
            return np.asarray(image.convert("L"))
    except (OSError, SyntaxError) as error:
        raise InputError(f"{path}: not a readable PNG ({error}). Restore it or leave its slice out.") from None
