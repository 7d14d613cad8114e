"""Masks against those of the crops that circulate publicly, made by others with pylidc."""

import io
import tarfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from carbon_midl.lidc.annotations import read_scans
from carbon_midl.lidc.masks import Window, reader_masks

SHARED = Path(__file__).parents[3] / "shared" / "lidc"

pytestmark = [
    pytest.mark.shared,
    pytest.mark.slow,
    pytest.mark.skipif(not SHARED.is_dir(), reason="the real crops are not beside the repository"),
]


def read_shard(path: Path) -> tuple[pd.DataFrame, NDArray[np.bool_]]:
    """Index and masks ``(n, 4, 128, 128)``."""
    members = {}
    with tarfile.open(path) as shard:
        for member in shard:
            name = Path(member.name).name
            if name in ("index.csv", "masks_packed.npy") and (file := shard.extractfile(member)) is not None:
                members[name] = io.BytesIO(file.read())
    masks = np.unpackbits(np.load(members["masks_packed.npy"]), axis=-1).view(np.bool_)
    return pd.read_csv(members["index.csv"]), masks


def in_its_box(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return mask[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1] if len(rows) else mask[:0, :0]


def test_masks_are_identical_wherever_the_numbers_of_slices_agree() -> None:
    """How those crops were placed is not documented, so that each mask is compared in its own bounding box."""
    index, published = read_shard(SHARED / "crops-0.tar.xz")
    compared = other_slices = 0
    for patient, of_patient in index.groupby("patient_id"):
        scans = read_scans([str(patient)])
        if len(scans) > 1:
            continue  # whose nodules came first there is not known
        for number, crops in of_patient.groupby("nodule"):
            nodule = scans[0].nodules[int(str(number))]
            (top, bottom), (left, right), _ = nodule.bounding_box().tolist()
            ours = reader_masks(nodule, Window(top, left, max(bottom - top, right - left) + 1))
            if len(ours) != len(crops):
                other_slices += 1
                continue
            theirs = published[crops.sort_values("slice").index]
            for reader in range(ours.shape[1]):
                if not theirs[:, reader].any():
                    continue  # in some nodules a reader was left out there
                for our, their in zip(ours[:, reader], theirs[:, reader], strict=True):
                    assert np.array_equal(in_its_box(our), in_its_box(their)), f"{patient}, nodule {number}"
                    compared += bool(their.any())
    assert compared > 8_000
    assert other_slices < 0.1 * index.groupby(["patient_id", "nodule"]).ngroups
