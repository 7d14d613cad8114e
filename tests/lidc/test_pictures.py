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
    with CropWriter(tmp_path / "p", 16, Intensity("HU", -1000, 400), {"kind": "phantom"}) as crops:
        mask = np.zeros((4, 16, 16), bool)
        mask[:, 5:9, 5:9] = True
        crops.add(np.zeros((16, 16), np.int16), mask, patient_id="LIDC-IDRI-0001", nodule=0, slice=0)
    return CropArchive.open(tmp_path / "p")


def test_every_picture_of_a_phantom_says_so(phantom: CropArchive, discs: CropArchive) -> None:
    predicted = np.zeros((1, 16, 16), bool)
    for figure in (contact_sheet(phantom, [0]), segmentations(phantom, [0], predicted, pd.Series([0.0]))):
        assert texts(figure).count("phantom") == 1
        assert "Phantom" in figure.get_suptitle()
    assert not any("hantom" in text for text in texts(contact_sheet(discs, [0, 1])))


def test_outlines_run_around_the_masks(phantom: CropArchive) -> None:
    axis = contact_sheet(phantom, [0]).axes[0]
    assert len(axis.lines) == 4
    x, y = axis.lines[0].get_data()
    assert (np.min(x), np.max(x), np.min(y), np.max(y)) == (4.5, 8.5, 4.5, 8.5)


def test_a_mask_at_the_border_is_closed(tmp_path: Path) -> None:
    with CropWriter(tmp_path / "b", 8, Intensity("t", 0, 1), {"kind": "t"}) as crops:
        crops.add(np.zeros((8, 8), np.uint8), np.ones((4, 8, 8), bool), patient_id="p", nodule=0, slice=0)
    line = contact_sheet(CropArchive.open(tmp_path / "b"), [0]).axes[0].lines[0]
    assert np.array_equal(line.get_xydata()[0], line.get_xydata()[-1])  # type: ignore[index]


def test_examples_go_from_worst_to_best() -> None:
    scores = pd.Series(np.random.default_rng(0).permutation(100) / 100)
    chosen = scores.iloc[spread(scores, 5)].tolist()
    assert chosen == sorted(chosen)
    assert (chosen[0], chosen[-1]) == (0.0, 0.99)
    assert len(spread(scores.iloc[:3], 5)) == 3
