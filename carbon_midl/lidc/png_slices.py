"""Crops from the layout in which LIDC-IDRI slices circulate publicly.

``ROOT/LIDC-IDRI-0001/nodule-0/images/slice-0.png`` and ``.../nodule-0/mask-{0,1,2,3}/slice-0.png``, 8-bit greyscale
PNGs with masks of 0 and 255. Each image was scaled to 0–255 on its own, so absolute HU are lost.
"""

import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
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
# Decoding PNGs releases the interpreter lock, so a few threads hide the waiting for the disk.
_THREADS = 4
_AHEAD = 256


class Slice(NamedTuple):
    """One image of the layout, and where its masks should be."""

    patient_id: str
    nodule: int
    slice: int
    image: Path

    @property
    def layers(self) -> list[Path]:
        """The paths of the image and of the masks of readers 0 to 3."""
        nodule = self.image.parent.parent
        return [self.image, *(nodule / f"mask-{reader}" / self.image.name for reader in range(READERS))]


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
    for nodule in sorted(root.glob("LIDC-IDRI-*/nodule-*")):
        number = _number(nodule, "nodule")
        images = {path.name: path for path in (nodule / "images").glob("slice-*.png")}
        for mask in nodule.glob("mask-*/slice-*.png"):
            if mask.name not in images:
                raise InputError(
                    f"{mask}: mask without image; expected {nodule / 'images' / mask.name}. "
                    "Restore the image or remove the mask."
                )
        slices += [Slice(nodule.parent.name, number, _number(path, "slice"), path) for path in images.values()]
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
        for crop, layers in zip(
            slices, tqdm(_layers(slices), total=len(slices), unit="slice", disable=None), strict=True
        ):
            for path, pixels in zip(crop.layers, layers, strict=True):
                if pixels.shape != (size, size):
                    raise InputError(
                        f"{path}: {' × '.join(map(str, pixels.shape))} px, expected {size} × {size} px like "
                        f"{slices[0].image}. Cut all crops to one square size."
                    )
            image, *masks = layers
            crops.add(image, np.stack(masks) > 0, patient_id=crop.patient_id, nodule=crop.nodule, slice=crop.slice)
    return len(slices)


def _layers(slices: list[Slice]) -> Iterator[list[NDArray[np.uint8]]]:
    """Read each slice's image and masks, in order, some slices ahead of whoever takes them."""
    with ThreadPoolExecutor(_THREADS) as pool:
        for first in range(0, len(slices), _AHEAD):
            yield from pool.map(lambda crop: [_read(path) for path in crop.layers], slices[first : first + _AHEAD])


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
