"""Crops from the layout in which LIDC-IDRI slices circulate publicly.

``ROOT/LIDC-IDRI-0001/nodule-0/images/slice-0.png`` and ``.../nodule-0/mask-{0,1,2,3}/slice-0.png``, 8-bit greyscale
PNGs with masks of 0 and 255. Each image was scaled to 0–255 on its own, so absolute HU are lost.
"""

import re
from pathlib import Path
from typing import NamedTuple

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


class Slice(NamedTuple):
    """One image of the layout."""

    patient_id: str
    nodule: int
    slice: int
    image: Path


def find_slices(root: Path) -> list[Slice]:
    """List the slices under ``root``, ordered by patient, nodule and slice number.

    Args:
        root: the directory that holds the patients, or its parent.

    Raises:
        InputError: no such directory, no slices, or a mask without image.
    """
    root = Path(root)
    if not root.is_dir():
        raise InputError(f"{root}: no such directory. Name the one that holds LIDC-IDRI-0001 and so on.")
    if (root / "LIDC-IDRI-slices").is_dir():
        root = root / "LIDC-IDRI-slices"
    slices = []
    for nodule in root.glob("LIDC-IDRI-*/nodule-*"):
        for mask in nodule.glob("mask-*/slice-*.png"):
            if not (image := nodule / "images" / mask.name).exists():
                raise InputError(f"{mask}: mask without image; expected {image}. Restore the image or remove the mask.")
        number = _number(nodule, "nodule")
        images = (nodule / "images").glob("slice-*.png")
        slices += [Slice(nodule.parent.name, number, _number(path, "slice"), path) for path in images]
    if not slices:
        raise InputError(f"{root}: no slices; expected files like LIDC-IDRI-0001/nodule-0/images/slice-0.png.")
    return sorted(slices)


def import_slices(root: Path, out: Path) -> int:
    """Write the slices under ``root`` as a crop archive at ``out`` and return their number.

    Args:
        root: the directory that holds the patients, or its parent.
        out: the archive to be; must not exist, or be empty.

    Raises:
        InputError: what ``find_slices`` raises; a file that is no greyscale PNG; a crop that is not square or of
            another size than the first; a missing mask. Nothing is written then.
    """
    slices = find_slices(root)
    size = len(_read(slices[0].image))
    with CropWriter(out, size, Intensity("per-crop min–max", 0, 255), SOURCE) as crops:
        for patient, nodule, number, path in tqdm(slices, unit="slice", disable=None):
            layers = []
            for folder in ("images", *(f"mask-{reader}" for reader in range(READERS))):
                layer = path.parents[1] / folder / path.name
                layers.append(_read(layer))
                if layers[-1].shape != (size, size):
                    raise InputError(
                        f"{layer}: {' × '.join(map(str, layers[-1].shape))} px, expected {size} × {size} px like "
                        f"{slices[0].image}. Cut all crops to one square size."
                    )
            image, *masks = layers
            crops.add(image, np.stack(masks) > 0, patient_id=patient, nodule=nodule, slice=number)
    return len(slices)


def _read(path: Path) -> NDArray[np.uint8]:
    try:
        with Image.open(path, formats=["PNG"]) as image:
            if image.mode not in ("L", "1"):
                raise InputError(f"{path}: PNG of mode {image.mode}, expected 8-bit greyscale.")
            return np.asarray(image.convert("L"))
    except FileNotFoundError:
        raise InputError(
            f"{path}: no such file; every image needs masks of four readers, all black where a reader marked nothing."
        ) from None
    except (OSError, SyntaxError) as error:
        raise InputError(f"{path}: not a readable PNG ({error}). Restore it or leave its slice out.") from None


def _number(path: Path, kind: str) -> int:
    match = re.fullmatch(rf"{kind}-(\d+)", path.stem)
    if match is None:
        raise InputError(f"{path}: expected a name like {kind}-0.")
    return int(match[1])
