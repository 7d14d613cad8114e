"""From a folder of DICOM to a crop archive: what is in it, what is not, and what happens when it is stopped."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from subprocess import PIPE
from typing import Any

import numpy as np
import pandas as pd
import psutil
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from carbon_midl.cli import main
from carbon_midl.errors import InputError
from carbon_midl.lidc import build as module
from carbon_midl.lidc.annotations import Scan, read_scans
from carbon_midl.lidc.build import LeftOut, build_archive, choose_scans, cut_image
from carbon_midl.lidc.crops import CropArchive
from carbon_midl.lidc.dicom import SliceFile, read_folder
from carbon_midl.lidc.masks import Window, reader_masks, window_around
from tests.lidc.dicom_series import hu_of, slice_dataset, touched_slices, write_series

Capture = pytest.CaptureFixture[str]
# One patient with a single nodule, one with several, one with two scans.
PATIENTS = ["LIDC-IDRI-0001", "LIDC-IDRI-0078", "LIDC-IDRI-0132"]


@pytest.fixture(scope="module")
def scans() -> list[Scan]:
    return read_scans(PATIENTS)


@pytest.fixture(scope="module")
def dicom(tmp_path_factory: pytest.TempPathFactory, scans: list[Scan]) -> Path:
    root = tmp_path_factory.mktemp("dicom")
    for number, scan in enumerate(scans):
        write_series(root / str(number), scan)
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


def build(root: Path, out: Path, jobs: int = 1) -> tuple[dict[str, int], list[LeftOut]]:
    folder = read_folder(root)
    return build_archive(folder, choose_scans(folder, None).scans, out, 128, jobs)


def report_of(out: Path) -> pd.DataFrame:
    return pd.read_csv(out / "report.csv", dtype=str, keep_default_na=False)


def padded(hu: np.ndarray, window: Window) -> np.ndarray:
    wide = np.pad(hu, 256, constant_values=-1024)
    top, left = window.row + 256, window.column + 256
    return wide[top : top + window.size, left : left + window.size]


@pytest.mark.slow
def test_an_archive_has_every_slice_of_every_nodule_in_order(tmp_path: Path, dicom: Path, scans: list[Scan]) -> None:
    counts, left_out = build(dicom, tmp_path / "out", jobs=2)
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
    nodules = sum(len(scan.nodules) for scan in scans)
    assert counts == {
        "series": 4, "series_left_out": 0, "patients": 3, "nodules": nodules, "crops": len(rows), "crops_left_out": 0,
        "lines_in_report": 0,
    }  # fmt: skip
    assert archive.source["counts"] == counts
    assert (archive.source["kind"], archive.source["licence"]) == ("lidc", "CC BY 3.0")
    assert len(left_out) == len(report_of(tmp_path / "out")) == 0
    assert [path.name for path in tmp_path.iterdir()] == ["out"], "nothing is left beside it"


@settings(max_examples=40)
@given(row=st.integers(-150, 530), column=st.integers(-150, 530), size=st.sampled_from([32, 64, 128]))
def test_what_lies_beyond_the_image_is_air(row: int, column: int, size: int) -> None:
    hu = np.random.default_rng(0).integers(-1000, 1000, (512, 512)).astype(np.int16)
    window = Window(row, column, size)
    np.testing.assert_array_equal(cut_image(hu, window), padded(hu, window))


@pytest.mark.slow
def test_what_cannot_be_read_is_reported_and_the_rest_goes_on(tmp_path: Path, small: Path, scans: list[Scan]) -> None:
    path = file_of(small, scans[0], 1)
    whole = path.read_bytes()
    path.write_bytes(whole[:-5000])
    (small / "cut.dcm").write_bytes(whole[:560])
    counts, _ = build(small, tmp_path / "out")
    names = {"series_uid": scans[0].series_uid, "patient_id": scans[0].patient_id, "nodule": "0", "slice": "1"}
    no_names = dict.fromkeys(names, "")
    assert report_of(tmp_path / "out").drop(columns="reason").to_dict("records") == [
        {**no_names, "file": "cut.dcm", "left_out": "the file"},
        {**names, "file": str(path.relative_to(small)), "left_out": "the slice"},
    ]
    assert "519,288 bytes of pixels, expected 524,288" in report_of(tmp_path / "out")["reason"][1]
    archive = CropArchive.open(tmp_path / "out")
    slices = archive.index.query("patient_id == @scans[0].patient_id and nodule == 0")["slice"].tolist()
    assert slices == [0, *range(2, len(scans[0].nodules[0].slice_indices()))], "the other slices keep their numbers"
    assert (counts["series"], counts["patients"], counts["crops_left_out"]) == (2, 2, 1)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("keyword", "value", "message"),
    [
        ("PatientID", "Anonymous", r"none of 1 series could be used(.|\n)*PatientID is 'Anonymous'"),
        ("SeriesInstanceUID", "1.2.3", "none of LIDC-IDRI's 883 series .* 6 files: 5 CT, 1 not DICOM, in 1 series"),
    ],
)
def test_where_no_series_can_be_used_there_is_no_archive(
    tmp_path: Path, scans: list[Scan], keyword: str, value: str, message: str
) -> None:
    five = touched_slices(scans[0])[:5]
    write_series(tmp_path / "dicom", scans[0], five, lambda dataset, _: setattr(dataset, keyword, value))
    (tmp_path / "dicom" / "notes.txt").write_text("text")
    with pytest.raises(InputError, match=message):
        build(tmp_path / "dicom", tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["dicom"]


def test_one_slice_under_two_patients_is_refused(
    tmp_path: Path, small: Path, scans: list[Scan], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_processes", ThreadPoolExecutor)  # which start at once
    path, other = file_of(small, scans[1], 0), touched_slices(scans[0])[0]
    slice_dataset(scans[1], touched_slices(scans[1])[0], hu=hu_of(scans[0], other)).save_as(path)
    with pytest.raises(InputError, match=f"{PATIENTS[1]}, z = .* mm: the same image as {PATIENTS[0]}, z = "):
        build(small, tmp_path / "out")
    assert not (tmp_path / "out").exists()


CUT = module.cut_scan


def cut_but_die_of_some(root: Path, size: int, scan: Scan, files: Sequence[SliceFile]) -> Any:
    if scan.patient_id == PATIENTS[1]:
        os._exit(3)
    return CUT(root, size, scan, files)


@pytest.mark.slow
def test_a_scan_that_kills_its_process_is_reported_and_the_others_go_on(
    tmp_path: Path, dicom: Path, scans: list[Scan], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "cut_scan", cut_but_die_of_some)
    counts, _ = build(dicom, tmp_path / "out", jobs=2)
    assert (counts["series"], counts["series_left_out"]) == (3, 1)
    assert CropArchive.open(tmp_path / "out").patients == [PATIENTS[0], PATIENTS[2]]
    (line,) = report_of(tmp_path / "out").to_dict("records")
    crops = sum(len(nodule.slice_indices()) for nodule in scans[1].nodules)
    assert (line["patient_id"], line["left_out"]) == (PATIENTS[1], f"the series ({crops:,} crops)")
    assert "its process ended" in line["reason"]


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_it_ends_processes_and_leaves_nothing(tmp_path: Path, dicom: Path, number: signal.Signals) -> None:
    # Where tests run in the background, Ctrl-C is ignored by what they start. Scans take their time.
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


@pytest.mark.slow
def test_the_command_tells_what_it_will_cut_and_what_is_missing(
    tmp_path: Path, small: Path, scans: list[Scan], capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)  # as on macOS
    file_of(small, scans[1], 0).unlink()
    (tmp_path / "patients.txt").write_text("\n".join([*PATIENTS, ""]))
    arguments = ["crops", "build", str(tmp_path / "out"), "--dicom", str(small), "--size", "64"]
    arguments += ["--patients", str(tmp_path / "patients.txt")]
    assert main([*arguments, "--dry-run"]) == 0
    plan = capsys.readouterr().out
    crops = sum(len(nodule.slice_indices()) for scan in scans[:2] for nodule in scan.nodules)
    images, masks = 2 * 64**2, 4 * 64**2 / 8
    assert f"{crops} crops from 2 series" in plan
    assert f"{crops * (images + masks) / 1e9:.3f} GB, twice that while it is built" in plan
    assert "not there    1 patients: LIDC-IDRI-0132" in plan
    assert not (tmp_path / "out").exists()
    assert main(arguments) == 0
    printed = capsys.readouterr().out
    assert printed.startswith(plan)
    assert "Left out: 1 crops, 0 series" in printed
    assert "no file at z = " in printed
    archive = CropArchive.open(tmp_path / "out")
    assert (archive.size, len(archive)) == (64, crops - 1)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--patients", "LIDC-IDRI-9999"], "patients: 'LIDC-IDRI-9999' not in LIDC-IDRI"),
        (["--patients", "LIDC-IDRI-0003,LIDC-IDRI-0005"], "none of the patients asked for"),
        (["--patients", "empty.txt"], "patients: no identifiers in empty.txt"),
        (["--size", "63"], "size: 63 px"),
    ],
)
def test_wrong_arguments_are_named(
    tmp_path: Path, dicom: Path, arguments: list[str], message: str, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("empty.txt").touch()
    assert main(["crops", "build", "out", "--dicom", str(dicom), *arguments]) == 2
    assert message in capsys.readouterr().err
    assert not Path("out").exists()
