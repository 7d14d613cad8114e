"""Scans with what is seldom in outlines, and the crops that circulate publicly."""

import runpy
from pathlib import Path
from types import ModuleType

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from carbon_midl.lidc.annotations import Scan, read_scans
from studies.collection import Outlines, outlines_of
from tests.lidc.pylidc_repair import import_pylidc

SHARED = Path(__file__).parents[3] / "shared" / "lidc"


@pytest.fixture(scope="session")
def patients() -> list[str]:
    """With one nodule, with several, with holes in outlines, with two scans, with nodules that pylidc fuses."""
    return ["LIDC-IDRI-0001", "LIDC-IDRI-0078", "LIDC-IDRI-0098", "LIDC-IDRI-0132", "LIDC-IDRI-0252"]


@pytest.fixture(scope="session")
def scans(patients: list[str]) -> list[Scan]:
    return read_scans(patients)


@pytest.fixture(scope="session")
def scan(scans: list[Scan]) -> Scan:
    """That of LIDC-IDRI-0078, with several nodules."""
    return scans[1]


@pytest.fixture(scope="session")
def outlines(scans: list[Scan]) -> list[Outlines]:
    return outlines_of(scans)


@pytest.fixture(scope="session")
def pylidc() -> ModuleType:
    return import_pylidc()


@pytest.fixture(scope="session")
def published() -> tuple[pd.DataFrame, NDArray[np.uint8], NDArray[np.bool_]]:
    """Index, images and masks ``(n, 4, 128, 128)`` of a third of the public crops, which others made with pylidc."""
    if not SHARED.is_dir():
        pytest.skip("the real crops are not beside the repository")
    rows, images, masks = runpy.run_path(str(SHARED / "unpack.py"))["read_shard"](SHARED / "crops-0.tar.xz")
    return pd.DataFrame(rows).astype({"nodule": int, "slice": int, "readers_with_mask": int}), images, masks
