import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from carbon_midl.cli import main
from carbon_midl.errors import InputError
from carbon_midl.lidc.build import centre_crops
from carbon_midl.lidc.crops import CropArchive, CropWriter, Intensity


@settings(max_examples=25)
@given(size=st.integers(1, 20), data=st.data())
def test_what_is_written_is_read(tmp_path_factory: pytest.TempPathFactory, size: int, data: st.DataObject) -> None:
    out = tmp_path_factory.mktemp("archive") / "crops"
    images = data.draw(arrays(np.int16, (3, size, size)))
    masks = data.draw(arrays(np.bool_, (3, 4, size, size)))
    with CropWriter(out, size, Intensity("HU", -1000, 400), {"kind": "test"}) as crops:
        for number in range(3):
            crops.add(images[number], masks[number], patient_id="LIDC-IDRI-0001", nodule=2, slice=number)
    archive = CropArchive.open(out)
    assert isinstance(archive.images, np.memmap)
    assert np.array_equal(archive.images, images)
    assert np.array_equal(archive.reader_masks([0, 1, 2]), masks)
    assert archive.index["readers_with_mask"].tolist() == masks.any(axis=(2, 3)).sum(axis=1).tolist()
    archive.verify()


def test_inputs_are_scaled_and_clipped() -> None:
    scaled = Intensity("HU", -1000, 400).to_unit_range(np.array([-2000, -1000, -300, 400, 3000], dtype=np.int16))
    assert scaled.tolist() == [0, 0, 0.5, 1, 1]


def test_rows_of_patients(discs: CropArchive) -> None:
    rows = discs.rows_of(["LIDC-IDRI-0003", "LIDC-IDRI-0001"])
    assert sorted(set(discs.index["patient_id"].iloc[rows])) == ["LIDC-IDRI-0001", "LIDC-IDRI-0003"]
    assert len(rows) == 12
    with pytest.raises(InputError, match="LIDC-IDRI-0999"):
        discs.rows_of(["LIDC-IDRI-0999"])


@pytest.mark.parametrize(
    ("image", "masks", "message"),
    [
        (np.zeros((8, 9), np.uint8), np.zeros((4, 8, 8), bool), r"a nodule 0 slice 0: image of shape \(8, 9\)"),
        (np.zeros((8, 8), np.uint8), np.zeros((3, 8, 8), bool), r"masks of shape \(3, 8, 8\), expected \(4, 8, 8\)"),
        (None, None, "no crops"),
    ],
)
def test_what_is_no_archive_is_refused_and_nothing_is_left(
    tmp_path: Path, image: np.ndarray | None, masks: np.ndarray, message: str
) -> None:
    with (
        pytest.raises(InputError, match=message),
        CropWriter(tmp_path / "c", 8, Intensity("t", 0, 1), {"kind": "t"}) as crops,
    ):
        if image is not None:
            crops.add(image, masks, patient_id="a", nodule=0, slice=0)
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def copy(discs: CropArchive, tmp_path: Path) -> Path:
    return Path(shutil.copytree(discs.path, tmp_path / "copy"))


def _meta(path: Path, **changes: object) -> None:
    meta = json.loads((path / "meta.json").read_text())
    (path / "meta.json").write_text(json.dumps(meta | changes))


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda p: os.truncate(p / "images.npy", 1000), r"images\.npy: missing, truncated"),
        (lambda p: os.truncate(p / "masks.npy", 1000), r"masks\.npy: missing, truncated"),
        (lambda p: np.save(p / "masks.npy", np.zeros((60, 4, 32, 5), np.uint8)), r"masks\.npy: array of shape"),
        (lambda p: np.save(p / "masks.npy", np.zeros((60, 4, 32, 4), np.int16)), r"masks\.npy: masks of type int16"),
        (lambda p: (p / "index.csv").write_text("patient_id\nx\n"), r"index\.csv: 1 rows with columns patient_id"),
        (lambda p: (p / "meta.json").write_text("{"), r"meta\.json: not valid JSON"),
        (lambda p: _meta(p, version=99), r"version 99; this carbon-midl reads 1"),
        (lambda p: _meta(p, format="zarr"), "not the description of a crop archive"),
        (lambda p: _meta(p, intensity={"unit": "HU"}), "incomplete or malformed"),
        (lambda p: (p / "meta.json").unlink(), "not a crop archive"),
    ],
)
def test_a_damaged_archive_is_named(copy: Path, damage: object, message: str) -> None:
    damage(copy)  # type: ignore[operator]
    with pytest.raises(InputError, match=message):
        CropArchive.open(copy)


def test_verify_sees_one_changed_byte(copy: Path) -> None:
    content = bytearray((copy / "images.npy").read_bytes())
    content[-1] ^= 1
    (copy / "images.npy").write_bytes(content)
    with pytest.raises(InputError, match="changed or damaged"):
        CropArchive.open(copy).verify()


def test_the_centre_of_every_crop(discs: CropArchive, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["crops", "centre", str(discs.path), str(tmp_path / "centre"), "--size", "12"]) == 0
    small, rows = CropArchive.open(tmp_path / "centre"), np.arange(len(discs))
    start = (discs.size - 12) // 2
    window = np.s_[..., start : start + 12, start : start + 12]
    assert np.array_equal(small.images, discs.images[window])
    masks = discs.reader_masks(rows)
    assert np.array_equal(small.reader_masks(rows), masks[window])
    assert small.index[["patient_id", "nodule", "slice"]].equals(discs.index[["patient_id", "nodule", "slice"]])
    assert small.source["centre_of"] == discs.fingerprint
    lost = masks.sum() - masks[window].sum()
    with pytest.raises(InputError, match=r"size: 32 px; expected 1 to 31"):
        centre_crops(discs, tmp_path / "larger", 32)
    assert f"Of {masks.sum():,} mask pixels {lost:,} lie outside ({lost / masks.sum():.2%})" in capsys.readouterr().out
