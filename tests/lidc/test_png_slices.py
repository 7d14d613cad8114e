import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray
from PIL import Image

from carbon_midl.cli import main
from carbon_midl.errors import InputError
from carbon_midl.lidc.crops import CropArchive
from carbon_midl.lidc.png_slices import import_slices
from tests.lidc.conftest import SHARED


def write_layout(root: Path, size: int = 16) -> dict[tuple[str, int, int], tuple[np.ndarray, np.ndarray]]:
    """Write two patients; return image and masks by (patient, nodule, slice)."""
    generator = np.random.default_rng(0)
    written = {}
    for patient, nodule, count in (("LIDC-IDRI-0002", 0, 2), ("LIDC-IDRI-0010", 0, 1), ("LIDC-IDRI-0010", 3, 12)):
        for number in range(count):
            image = generator.integers(0, 256, (size, size)).astype(np.uint8)
            masks = generator.random((4, size, size)) < 0.3
            masks[number % 4] = False
            masks[:, [0, 0, -1, -1], [0, -1, 0, -1]] = False
            folder = root / patient / f"nodule-{nodule}"
            layers = {f"mask-{reader}": mask.astype(np.uint8) * 255 for reader, mask in enumerate(masks)}
            for name, pixels in {"images": image, **layers}.items():
                (folder / name).mkdir(parents=True, exist_ok=True)
                Image.fromarray(pixels).save(folder / name / f"slice-{number}.png")
            written[patient, nodule, number] = image, masks
    return written


def test_pixels_come_back_in_numeric_order(tmp_path: Path) -> None:
    written = write_layout(tmp_path / "download" / "LIDC-IDRI-slices")
    assert main(["crops", "import-slices", str(tmp_path / "download"), str(tmp_path / "crops")]) == 0
    archive = CropArchive.open(tmp_path / "crops")
    keys = list(archive.index[["patient_id", "nodule", "slice"]].itertuples(index=False, name=None))
    assert keys == sorted(written)  # slice 10 comes after slice 9, not after slice 1
    for row, key in enumerate(keys):
        assert np.array_equal(archive.images[row], written[key][0])
        assert np.array_equal(archive.reader_masks([row])[0], written[key][1])
    assert not archive.is_phantom
    assert "CC BY 3.0" in archive.source["licence"]


NODULE = Path("slices/LIDC-IDRI-0010/nodule-3")
IMAGE = NODULE / "images/slice-4.png"


def paint(value: int) -> Path:
    mask = NODULE / "mask-0/slice-4.png"
    Image.new("L", (16, 16), value).save(mask)
    return mask


def test_letter_case_and_leading_zeros_do_not_matter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_layout(Path("slices"))
    IMAGE.rename(IMAGE.with_name("Slice-004.PNG"))
    assert import_slices(Path("slices"), Path("crops")) == 15


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda: IMAGE.write_text("not a picture"), r"images/slice-4\.png: not a readable PNG"),
        (lambda: os.truncate(IMAGE, 80), r"images/slice-4\.png: not a readable PNG"),
        (IMAGE.unlink, r"slice-4\.png: mask without image"),
        ((NODULE / "mask-2/slice-4.png").unlink, r"mask-2/slice-4\.png: no such file; every image needs"),
        (lambda: Image.new("L", (8, 16)).save(NODULE / "mask-1/slice-0.png"), r"0\.png: 16 × 8 px, expected 16 × 16"),
        (lambda: Image.new("L", (8, 8)).save(NODULE / "images/slice-3.png"), r"3\.png: 8 × 8 px, expected 16 × 16 px"),
        (lambda: Image.new("RGB", (16, 16)).save(IMAGE), "PNG of mode RGB"),
        (lambda: NODULE.rename(NODULE.with_name("nodule-x")), "nodule-x: expected a name like nodule-0"),
        (lambda: shutil.rmtree("slices"), "slices: no such directory"),
        (lambda: NODULE.parent.rename("slices/0010"), "not called as a patient"),
        (lambda: [path.rename(path.name) for path in Path("slices").iterdir()], "no slices; expected"),
        (lambda: shutil.copytree(NODULE.parent, f"{NODULE.parent} - Copy"), "- Copy: has nodules, and is not called"),
        (lambda: shutil.copytree(NODULE.parent, "slices/LIDC-IDRI-0999"), r"the same image as .*, of another patient"),
        (lambda: shutil.copy(IMAGE, IMAGE.with_name("slice-04.png")), r"slice-4\.png: has the number of slice-04"),
        (lambda: paint(128), "has pixels of 128; expected 0 and 255 alone"),
        (lambda: paint(255), "white in all four corners, so it looks inverted"),
    ],
)
def test_bad_files_are_named_and_nothing_is_written(
    tmp_path: Path, damage: Callable[[], object], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_layout(Path("slices"))
    damage()
    with pytest.raises(InputError, match=message):
        import_slices(Path("slices"), Path("out/crops"))
    assert not any(Path("out").glob("*"))


@pytest.mark.shared
@pytest.mark.slow
def test_real_crops_equal_the_shards(
    published: tuple[pd.DataFrame, NDArray[np.uint8], NDArray[np.bool_]], tmp_path: Path
) -> None:
    unpack = [sys.executable, str(SHARED / "unpack.py"), str(tmp_path), "--shards", "0", "--patients", "5"]
    subprocess.run(unpack, check=True, capture_output=True)
    import_slices(tmp_path, tmp_path / "crops")
    archive, (index, images, masks) = CropArchive.open(tmp_path / "crops"), published
    index = index[index["patient_id"].isin(archive.patients)].sort_values(["patient_id", "nodule", "slice"])
    pd.testing.assert_frame_equal(archive.index, index[list(archive.index)].reset_index(drop=True), check_dtype=False)
    assert np.array_equal(archive.images, images[index.index])
    assert np.array_equal(archive.reader_masks(range(len(archive))), masks[index.index])
