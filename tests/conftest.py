"""A small archive of bright discs, which any test can train on in seconds."""

import os

# One thread for torch, here and in whatever is started: pytest-xdist has a process on each core. Read at the import.
os.environ.setdefault("OMP_NUM_THREADS", "1")

from collections.abc import Iterator
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pytest
from hypothesis import settings

from carbon_midl.lidc.crops import CropArchive, CropWriter, Intensity
from carbon_midl.training.data import Split, select_rows, split_patients
from carbon_midl.training.options import RunOptions

# How long an example takes says more about the machine than about the code.
settings.register_profile("here", deadline=None)
settings.load_profile("here")

# Not a module of tests: it takes calls away from the Python that loads it.
collect_ignore = ["no_linux"]
SIZE = 32
# Fixtures that take long to make. Tests that use one are slow, and a group that one of pytest-xdist's processes runs.
GROUPS = {"prepared": "book", "again": "book", "finished": "study"}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        for fixture in GROUPS.keys() & set(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.slow)
            item.add_marker(pytest.mark.xdist_group(GROUPS[fixture]))


def write_discs(out: Path, patients: int = 10, slices: int = 6, size: int = SIZE, seed: int = 0) -> CropArchive:
    """Write crops of noisy discs; the four readers draw circles of slightly different radius."""
    generator = np.random.default_rng(seed)
    y, x = np.mgrid[:size, :size] - size / 2
    with CropWriter(out, size, Intensity("test", 0, 255), {"kind": "discs", "licence": "none"}) as crops:
        for patient in range(patients):
            for number in range(slices):
                radius = generator.uniform(4, size / 3)
                distance = np.hypot(y - generator.uniform(-3, 3), x - generator.uniform(-3, 3))
                image = np.where(distance < radius, 160, 80) + generator.normal(0, 20, (size, size))
                masks = np.stack([distance < radius + offset for offset in (-0.5, 0, 0.5, 1)])
                crops.add(
                    image.clip(0, 255).astype(np.uint8),
                    masks,
                    patient_id=f"LIDC-IDRI-{patient + 1:04d}",
                    nodule=0,
                    slice=number,
                )
    return CropArchive.open(out)


def train_a_little(crops: CropArchive, directory: Path) -> tuple[RunOptions, Split]:
    """Train a small network on discs: enough to find most of them, in either number format."""
    from carbon_midl.training.fit import begin, fit  # torch is for those who train

    options = RunOptions(filters=4, depth=3, epochs=12, batch_size=8, learning_rate=1e-2)
    split = split_patients(crops.patients, 0)
    fit(begin(options), crops, select_rows(crops, split, options.readers), options, directory)
    return options, split


@pytest.fixture(scope="session")
def discs(tmp_path_factory: pytest.TempPathFactory) -> CropArchive:
    return write_discs(tmp_path_factory.mktemp("discs") / "crops")


@pytest.fixture(autouse=True)
def _figures_without_a_screen() -> Iterator[None]:
    mpl.use("Agg")
    yield
    from matplotlib import pyplot as plt

    plt.close("all")
