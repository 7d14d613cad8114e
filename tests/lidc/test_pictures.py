from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from carbon_midl.lidc.crops import CropArchive, CropWriter, Intensity
from carbon_midl.lidc.pictures import contact_sheet, segmentations, spread


def texts(figure: Figure) -> list[str]:
    found = [text.get_text() for axis in figure.axes for text in [*axis.texts, axis.title]]
    return found + [text.get_text() for text in figure.texts] + [figure.get_suptitle()]


@pytest.fixture
def phantom(tmp_path: Path) -> CropArchive:
    """Of two crops, with masks in the middle and all over."""
    with CropWriter(tmp_path / "p", 16, Intensity("HU", -1000, 400), {"kind": "phantom"}) as crops:
        for number, extent in enumerate((slice(5, 9), slice(0, 16))):
            masks = np.zeros((4, 16, 16), bool)
            masks[:, extent, extent] = True
            crops.add(np.zeros((16, 16), np.int16), masks, patient_id="LIDC-IDRI-0001", nodule=0, slice=number)
    return CropArchive.open(tmp_path / "p")


def test_every_picture_of_a_phantom_says_so(phantom: CropArchive, discs: CropArchive) -> None:
    predicted = np.zeros((1, 16, 16), bool)
    for figure in (contact_sheet(phantom, [0]), segmentations(phantom, [0], predicted, pd.Series([0.0]))):
        assert texts(figure).count("phantom") == 1
        assert "Phantom" in figure.get_suptitle()
    assert not any("hantom" in text for text in texts(contact_sheet(discs, [0, 1])))


@pytest.mark.parametrize(("row", "first", "last"), [(0, 4.5, 8.5), (1, -0.5, 15.5)])
def test_outlines_run_around_the_masks(phantom: CropArchive, row: int, first: float, last: float) -> None:
    axis = contact_sheet(phantom, [row]).axes[0]
    assert len(axis.lines) == 4
    x, y = np.asarray(axis.lines[0].get_data())
    assert (x.min(), x.max(), y.min(), y.max()) == (first, last, first, last)
    assert (x[0], y[0]) == (x[-1], y[-1]), "it is closed"


def test_examples_go_from_worst_to_best() -> None:
    scores = pd.Series(np.random.default_rng(0).permutation(100) / 100)
    chosen = scores.iloc[spread(scores, 5)].tolist()
    assert chosen == sorted(chosen)
    assert (chosen[0], chosen[-1]) == (0.0, 0.99)
    assert len(spread(scores.iloc[:3], 5)) == 3
