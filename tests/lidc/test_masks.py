"""Windows, holes, and masks against those that others made with pylidc; test_annotations compares with pylidc."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from carbon_midl.lidc.annotations import Contour, Nodule, Ratings, Reading, read_scans
from carbon_midl.lidc.masks import Window, reader_masks

Published = tuple[pd.DataFrame, NDArray[np.uint8], NDArray[np.bool_]]
Points = list[tuple[int, int]]
SQUARE = [(10, 10), (10, 16), (16, 16), (16, 10)]
HOLE = [(12, 12), (12, 14), (14, 14), (14, 12)]


def drawn(contours: list[tuple[Points, bool]], window: Window) -> NDArray[np.bool_]:
    """The mask of one reader on one slice; a contour is its points and whether it includes."""
    outlines = tuple(Contour(0, includes, np.array(points)) for points, includes in contours)
    return reader_masks(Nodule(0, (Reading(0, Ratings(*[1] * 9), outlines),)), window)[0, 0]


def test_outline_points_lie_outside_and_holes_are_cut_whatever_the_order() -> None:
    window = Window(0, 0, 32)
    mask = drawn([(HOLE, False), (SQUARE, True)], window)
    np.testing.assert_array_equal(mask, drawn([(SQUARE, True), (HOLE, False)], window))
    assert not mask[tuple(np.transpose(SQUARE + HOLE))].any()
    assert mask[11, 11]
    assert not mask[13, 13]
    np.testing.assert_array_equal(drawn([(SQUARE, True)], window), drawn([([*SQUARE, SQUARE[0]], True)], window))


polygons = st.lists(st.tuples(st.integers(0, 20), st.integers(0, 20)), min_size=1, max_size=12)


@settings(max_examples=60, deadline=None)
@given(points=polygons, row=st.integers(-30, 30), column=st.integers(-30, 30), size=st.integers(4, 40))
def test_a_window_shows_its_part_of_the_whole(points: Points, row: int, column: int, size: int) -> None:
    whole = drawn([(points, True)], Window(-64, -64, 192))
    part = drawn([(points, True)], Window(row, column, size))
    np.testing.assert_array_equal(part, whole[row + 64 : row + 64 + size, column + 64 : column + 64 + size])


def in_its_box(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return mask[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1] if len(rows) else mask[:0, :0]


@pytest.mark.shared
@pytest.mark.slow
def test_masks_are_those_of_the_published_crops_wherever_the_numbers_of_slices_agree(published: Published) -> None:
    """How those crops were placed is not documented, so that each mask is compared in its own bounding box."""
    index, _, masks = published
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
            theirs = masks[crops.sort_values("slice").index]
            for reader in range(ours.shape[1]):
                if not theirs[:, reader].any():
                    continue  # in some nodules a reader was left out there
                for our, their in zip(ours[:, reader], theirs[:, reader], strict=True):
                    assert np.array_equal(in_its_box(our), in_its_box(their)), f"{patient}, nodule {number}"
                    compared += bool(their.any())
    assert compared > 8_000
    assert other_slices < 0.1 * index.groupby(["patient_id", "nodule"]).ngroups
