"""Readers against the others, and a threshold, on the test patients."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from carbon_midl.lidc.crops import CropArchive
from carbon_midl.metrics import dice
from carbon_midl.training.data import split_patients
from studies.yardsticks import COLUMNS, against_the_others, record_yardsticks, thresholded


def test_a_reader_is_held_against_the_majority_of_the_others() -> None:
    masks = np.random.default_rng(0).random((20, 4, 6, 6)) < 0.5
    masks[0, 2] = False  # not outlined by all
    found = against_the_others(masks, masks)
    assert np.isnan(found[0])
    for crop in range(1, 20):
        each = []
        for reader in range(4):
            others = np.delete(masks[crop], reader, axis=0).sum(axis=0) >= 2
            each.append(float(dice(masks[crop, reader][None], others[None])[0]))
        assert found[crop] == pytest.approx(np.mean(each))


def test_the_bright_piece_nearest_to_the_middle_is_kept() -> None:
    image = np.zeros((1, 9, 9), np.float32)
    image[0, 4, 5:7] = 0.9  # near the middle
    image[0, 0:3, 0:3] = 1.0  # brighter and larger, in a corner
    kept = thresholded(image, 0.8)
    assert kept.sum() == 2
    assert kept[0, 4, 5]
    assert not thresholded(image, 1.1).any()


def test_the_record_holds_the_slices_that_a_study_scores(discs: CropArchive, tmp_path: Path) -> None:
    manifest = record_yardsticks(discs, tmp_path / "out", split_seed=3)
    assert json.loads((tmp_path / "out" / "manifest.json").read_text()) == manifest
    table = pd.read_csv(tmp_path / "out" / "slices.csv.gz")
    assert set(table["patient_id"]) <= set(split_patients(discs.patients, 3).test)
    assert tuple(table.columns) == COLUMNS
    assert table["threshold_dice"].mean() > 0.5  # bright discs on a dark ground
    assert manifest["threshold"]["validation_dice"] == pytest.approx(table["threshold_dice"].mean(), abs=0.3)
