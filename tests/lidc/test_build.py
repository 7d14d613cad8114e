"""From a folder of DICOM to a crop archive: what is in it, what is not, and what happens when it is stopped."""

import json
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from subprocess import PIPE
from typing import Any

import numpy as np
import pandas as pd
import psutil
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import center_of_mass

from carbon_midl.cli import main
from carbon_midl.errors import InputError
from carbon_midl.lidc import build as module
from carbon_midl.lidc.annotations import Contour, Nodule, Ratings, Reading, Scan, read_scans
from carbon_midl.lidc.build import Built, CropSettings, Sampling, build_archive, plan_build
from carbon_midl.lidc.crops import CropArchive
from carbon_midl.lidc.dicom import SliceFile, read_folder
from carbon_midl.lidc.masks import Window, reader_masks, window_around
from tests.lidc.dicom_series import hu_of, touched_slices, write_series

NATIVE = CropSettings()
# One patient with a single nodule, one with several, one with two scans.
PATIENTS = ["LIDC-IDRI-0001", "LIDC-IDRI-0078", "LIDC-IDRI-0132"]


@pytest.fixture(scope="module")
def scans() -> list[Scan]:
    return read_scans(PATIENTS)


@pytest.fixture(scope="module")
def dicom(tmp_path_factory: pytest.TempPathFactory, scans: list[Scan]) -> Path:
    root = tmp_path_factory.mktemp("dicom")
    for number, scan in enumerate(scans):
        write_series(root / str(number), scan, touched_slices(scan, around=1))
    return root


@pytest.fixture
def small(tmp_path: Path, scans: list[Scan]) -> Path:
    """The first two patients, to be damaged."""
    for scan in scans[:2]:
        write_series(tmp_path / "dicom" / scan.patient_id, scan)
    return tmp_path / "dicom"


def file_of(root: Path, scan: Scan, number: int) -> Path:
    """The file of the slice of that number among those that nodules touch."""
    z_mm = scan.slice_z_mm[touched_slices(scan)[number]]
    return root / next(file.path for file in read_folder(root).series[scan.series_uid] if file.z_mm == z_mm)


def build(root: Path, out: Path, cut: CropSettings = NATIVE, jobs: int = 1, **options: Any) -> Built:
    folder = read_folder(root)
    return build_archive(folder, plan_build(folder, cut, **options), out, jobs)


def report_of(out: Path) -> pd.DataFrame:
    return pd.read_csv(out / "report.csv", dtype=str, keep_default_na=False)


def padded(hu: np.ndarray, window: Window) -> np.ndarray:
    wide = np.pad(hu, 256, constant_values=-1024)
    top, left = window.row + 256, window.column + 256
    return wide[top : top + window.size, left : left + window.size]


def test_an_archive_has_every_slice_of_every_nodule_in_order(tmp_path: Path, dicom: Path, scans: list[Scan]) -> None:
    built = build(dicom, tmp_path / "out", jobs=2)
    archive = CropArchive.open(tmp_path / "out")
    archive.verify()
    rows, images, masks = [], [], []
    for scan in scans:
        for nodule in scan.nodules:
            window = window_around(nodule, 128)
            masks += list(reader_masks(nodule, window))
            for number, index in enumerate(nodule.slice_indices()):
                rows.append((scan.patient_id, nodule.number, number))
                images.append(padded(hu_of(scan, index), window))
    assert list(archive.index[["patient_id", "nodule", "slice"]].itertuples(index=False, name=None)) == rows
    np.testing.assert_array_equal(archive.images, images)
    np.testing.assert_array_equal(archive.reader_masks(range(len(rows))), masks)
    assert archive.intensity == ("HU", -1000, 400)
    assert built == Built(4, 3, sum(len(scan.nodules) for scan in scans), len(rows), [])
    assert (archive.source["kind"], archive.source["licence"]) == ("lidc", "CC BY 3.0")
    assert (archive.source["counts"]["crops"], archive.source["counts"]["series_found"]) == (len(rows), 4)
    assert len(report_of(tmp_path / "out")) == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out"], "nothing is left beside it"


def test_crops_depend_neither_on_other_patients_nor_on_other_nodules(
    tmp_path: Path, dicom: Path, scans: list[Scan]
) -> None:
    build(dicom, tmp_path / "all", CropSettings(size=64), jobs=2)
    build(dicom, tmp_path / "some", CropSettings(size=64, min_readers=3), patients=PATIENTS[1:])
    whole, some = CropArchive.open(tmp_path / "all"), CropArchive.open(tmp_path / "some")
    expected = {
        (scan.patient_id, nodule.number) for scan in scans[1:] for nodule in scan.nodules if len(nodule.readings) >= 3
    }
    pairs = whole.index[["patient_id", "nodule"]].itertuples(index=False, name=None)
    rows = [row for row, pair in enumerate(pairs) if pair in expected]
    assert 0 < len(rows) < len(whole)
    np.testing.assert_array_equal(whole.images[rows], some.images)
    np.testing.assert_array_equal(whole.packed_masks[rows], some.packed_masks)
    assert some.source["min_readers"] == 3


def test_a_size_takes_whole_patients(dicom: Path) -> None:
    cut, folder = CropSettings(size=64), read_folder(dicom)
    limit_gb = plan_build(folder, cut, PATIENTS[:2]).crops * cut.crop_bytes / 1e9
    limited = plan_build(folder, cut, max_gb=limit_gb * 1.0001)
    assert (limited.patients, limited.beyond) == (PATIENTS[:2], (PATIENTS[2],))
    assert plan_build(folder, cut, max_gb=limit_gb * 0.999).patients == PATIENTS[:1]


# Resampling


def nodule_at(row: int, column: int, radius: int) -> Nodule:
    """A nodule on two slices that two readers drew: a disc, and a smaller one."""
    angle = np.linspace(0, 2 * np.pi, 80, endpoint=False)

    def reading(radius: int) -> Reading:
        points = np.rint([row, column] + radius * np.column_stack((np.sin(angle), np.cos(angle)))).astype(np.int64)
        return Reading(0, Ratings(*[1] * 9), tuple(Contour(index, True, points) for index in (3, 4)))

    return Nodule(0, (reading(radius), reading(radius // 2)))


@settings(max_examples=40)
@given(row=st.integers(-20, 540), column=st.integers(-20, 540), size=st.sampled_from([32, 64, 128]))
def test_what_lies_beyond_the_image_is_air(row: int, column: int, size: int) -> None:
    hu = np.random.default_rng(0).integers(-1000, 1000, (512, 512)).astype(np.int16)
    nodule = nodule_at(row, column, 8)
    np.testing.assert_array_equal(Sampling.around(nodule, size).image(hu), padded(hu, window_around(nodule, size)))


@settings(max_examples=40, deadline=None)
@given(
    scan_mm=st.floats(0.45, 0.98), crop_mm=st.floats(0.3, 2), row=st.integers(200, 300), column=st.integers(200, 300)
)
def test_resampled_pixels_lie_where_they_should(scan_mm: float, crop_mm: float, row: int, column: int) -> None:
    size = 48
    nodule = nodule_at(row, column, 8)
    native = window_around(nodule, size)
    middle_mm = (np.array([native.row, native.column]) + size / 2) * scan_mm
    y, x = np.indices((512, 512))
    ramp = 3 * y - 2 * x - 100
    crop = Sampling.around(nodule, size, crop_mm / scan_mm).image(ramp.astype(np.int16))
    i, j = np.indices((size, size))
    y_px = (middle_mm[0] + (i + 0.5 - size / 2) * crop_mm) / scan_mm - 0.5
    x_px = (middle_mm[1] + (j + 0.5 - size / 2) * crop_mm) / scan_mm - 0.5
    np.testing.assert_allclose(crop, 3 * y_px - 2 * x_px - 100, atol=0.51)


@settings(max_examples=30, deadline=None)
@given(step_px=st.floats(0.4, 2.5))
def test_resampled_masks_keep_area_and_place(step_px: float) -> None:
    nodule = nodule_at(250, 260, 20)
    native = reader_masks(nodule, window_around(nodule, 128))
    sampling = Sampling.around(nodule, 2 * int(64 / step_px), step_px)
    masks = sampling.masks(nodule)
    assert masks.shape == (2, 4, sampling.size, sampling.size)
    assert not masks[:, 2:].any()
    for reader in (0, 1):
        area_px = masks[0, reader].sum() * step_px**2
        assert area_px == pytest.approx(native[0, reader].sum(), rel=0.06 if reader == 0 else 0.12)
        offset_px = np.array(center_of_mass(native[0, reader])) + 0.5 - 64
        found_px = (np.array(center_of_mass(masks[0, reader])) + 0.5 - sampling.size / 2) * step_px
        np.testing.assert_allclose(found_px, offset_px, atol=0.2 * step_px)


@pytest.mark.parametrize("factor", [2, 3])
def test_a_coarser_pixel_is_in_a_mask_if_half_its_area_is_and_stripes_do_not_alias(factor: int) -> None:
    nodule = nodule_at(250, 250, 13)
    fine = reader_masks(nodule, window_around(nodule, 16 * factor))
    share = fine.reshape(2, 4, 16, factor, 16, factor).mean(axis=(3, 5))
    coarse = Sampling.around(nodule, 16, factor)
    np.testing.assert_array_equal(coarse.masks(nodule), share >= 0.5)
    stripes = np.where((np.indices((512, 512))[0] // 2) % 2 == 0, 400, -400).astype(np.int16)
    assert np.abs(Sampling.around(nodule, 64, 4.0).image(stripes)).max() < 20


def test_a_resampled_archive_says_so(tmp_path: Path, small: Path) -> None:
    build(small, tmp_path / "out", CropSettings(size=64, spacing_mm=0.5))
    archive = CropArchive.open(tmp_path / "out")
    assert (archive.source["spacing"], archive.size) == ("0.5 mm", 64)


# Faults


def test_what_cannot_be_read_is_reported_and_the_rest_goes_on(tmp_path: Path, small: Path, scans: list[Scan]) -> None:
    path = file_of(small, scans[0], 1)
    whole = path.read_bytes()
    path.write_bytes(whole[:-5000])
    (small / "cut.dcm").write_bytes(whole[:700])
    built = build(small, tmp_path / "out")
    names = {"series_uid": scans[0].series_uid, "patient_id": scans[0].patient_id, "nodule": "0", "slice": "1"}
    no_names = dict.fromkeys(names, "")
    assert report_of(tmp_path / "out").drop(columns="reason").to_dict("records") == [
        {**no_names, "file": "cut.dcm", "left_out": "the file"},
        {**names, "file": str(path.relative_to(small)), "left_out": "the slice"},
    ]
    assert "519,288 bytes of pixels, expected 524,288" in report_of(tmp_path / "out")["reason"][1]
    archive = CropArchive.open(tmp_path / "out")
    assert archive.source["counts"]["crops_left_out"] == 1
    slices = archive.index.query("patient_id == @scans[0].patient_id and nodule == 0")["slice"].tolist()
    assert slices == [0, *range(2, len(scans[0].nodules[0].slice_indices()))], "the other slices keep their numbers"
    assert (built.series, built.patients) == (2, 2)


def test_where_no_series_can_be_used_there_is_no_archive(tmp_path: Path, scans: list[Scan]) -> None:
    write_series(tmp_path / "dicom", scans[0], change=lambda dataset, _: setattr(dataset, "PatientID", "Anonymous"))
    with pytest.raises(InputError, match=r"none of 1 series could be used(.|\n)*PatientID is 'Anonymous'"):
        build(tmp_path / "dicom", tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["dicom"]


def test_a_folder_without_lidc_says_what_it_has(tmp_path: Path, scans: list[Scan]) -> None:
    write_series(
        tmp_path / "dicom", scans[0], range(5), lambda dataset, _: setattr(dataset, "SeriesInstanceUID", "1.2.3")
    )
    (tmp_path / "dicom" / "notes.txt").write_text("text")
    with pytest.raises(
        InputError, match="none of LIDC-IDRI's 1,018 series; found 6 files: 5 CT, 1 not DICOM, in 1 series"
    ):
        build(tmp_path / "dicom", tmp_path / "out")


def cut_but_die_of_some(root: Path, cut: CropSettings, scan: Scan, files: Sequence[SliceFile]) -> Any:
    if scan.patient_id == PATIENTS[1]:
        os._exit(3)
    return CUT(root, cut, scan, files)


CUT = module.cut_scan


def test_a_scan_that_kills_its_process_is_reported_and_the_others_go_on(
    tmp_path: Path, dicom: Path, scans: list[Scan], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "cut_scan", cut_but_die_of_some)
    built = build(dicom, tmp_path / "out", jobs=2)
    assert built.series == 3
    assert CropArchive.open(tmp_path / "out").patients == [PATIENTS[0], PATIENTS[2]]
    (line,) = report_of(tmp_path / "out").to_dict("records")
    crops = sum(len(nodule.slice_indices()) for nodule in scans[1].nodules)
    assert (line["patient_id"], line["left_out"]) == (PATIENTS[1], f"the series ({crops:,} crops)")
    assert "its process ended" in line["reason"]


def test_places_that_cannot_be_written_are_named_and_nothing_is_left(tmp_path: Path, small: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "occupied").mkdir()
    (tmp_path / "occupied" / "file").touch()
    for out, message in (("file/out", "cannot be written"), ("occupied", "not an empty directory")):
        with pytest.raises(InputError, match=message):
            build(small, tmp_path / out)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
    try:
        with pytest.raises(InputError, match=r"out: cannot be written \(File too large"):
            build(small, tmp_path / "out")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["dicom", "file", "occupied"]


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_it_ends_with_its_processes_and_leaves_nothing(
    tmp_path: Path, dicom: Path, number: signal.Signals
) -> None:
    # Where the tests run in the background, Ctrl-C is ignored by what they start, too; hence the first line. Scans take
    # their time, so that there is a middle.
    code = """
import signal, sys, time; signal.signal(signal.SIGINT, signal.default_int_handler)
from carbon_midl.cli import main
from carbon_midl.lidc import build
if __name__ == "__main__":
    build.tqdm = lambda scans, **_: (time.sleep(3) or scan for scan in scans)
    sys.exit(main(sys.argv[1:]))
"""
    arguments = ["crops", "build", str(tmp_path / "out"), "--jobs", "2", "--dicom", str(dicom)]
    running = subprocess.Popen([sys.executable, "-c", code, *arguments], stdout=PIPE, stderr=PIPE, text=True)
    workers: list[psutil.Process] = []
    while running.poll() is None and len(workers) < 2:
        time.sleep(0.1)
        workers = psutil.Process(running.pid).children(recursive=True)
    time.sleep(2)
    running.send_signal(number)
    _, errors = running.communicate(timeout=120)
    message = "carbon-midl: interrupted; what was finished is kept, and the same command goes on from there.\n"
    assert (running.returncode, errors) == (130, message)
    assert psutil.wait_procs(workers, timeout=60)[1] == []
    assert list(tmp_path.iterdir()) == []


# The command


def test_a_dry_run_cuts_nothing_and_tells_all(
    tmp_path: Path, dicom: Path, scans: list[Scan], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["crops", "build", str(tmp_path / "out"), "--dicom", str(dicom), "--dry-run"]) == 0
    nodules = [nodule for scan in scans for nodule in scan.nodules]
    crops = sum(len(nodule.slice_indices()) for nodule in nodules)
    printed = capsys.readouterr().out
    assert "4 of 1,018 series of LIDC-IDRI found" in printed
    assert f"{crops} crops of {len(nodules)} nodules, 3 patients, 4 series" in printed
    assert f"{crops * NATIVE.crop_bytes / 1e9:.3f} GB, twice that while it is built" in printed
    assert list(tmp_path.iterdir()) == []


def test_the_command_builds_and_says_what_is_missing_where_cores_are_not_told(
    tmp_path: Path,
    small: Path,
    scans: list[Scan],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)  # as on macOS
    file_of(small, scans[1], 0).unlink()
    (tmp_path / "patients.txt").write_text("\n".join([*PATIENTS[1:], ""]))
    arguments = ["crops", "build", str(tmp_path / "out"), "--dicom", str(small), "--size", "64"]
    assert main([*arguments, "--patients", PATIENTS[0], str(tmp_path / "patients.txt")]) == 0
    printed = capsys.readouterr().out
    assert "2 of 1,018 series of LIDC-IDRI found" in printed
    assert "not there    1 patients: LIDC-IDRI-0132" in printed
    assert "Left out: 1 of" in printed
    assert "no file at z = " in printed
    meta = json.loads((tmp_path / "out" / "meta.json").read_text())
    assert meta["source"]["counts"]["crops_left_out"] == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--patients", "LIDC-IDRI-9999"], "patients: LIDC-IDRI-9999 not in LIDC-IDRI"),
        (["--patients", "LIDC-IDRI-0003"], "none of the patients asked for"),
        (["--patients", os.devnull], "LIDC-IDRI"),
        (["--size", "63"], "size: 63 px"),
        (["--spacing", "0"], "spacing: 0 mm"),
        (["--min-readers", "5"], "min-readers: 5, expected 1 to 4"),
        (["--max-gb", "0"], "too little for one patient"),
        (["--max-gb", "nan"], "max-gb"),
    ],
)
def test_wrong_arguments_are_named(
    tmp_path: Path, small: Path, arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["crops", "build", str(tmp_path / "out"), "--dicom", str(small), "--jobs", "1", *arguments]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
