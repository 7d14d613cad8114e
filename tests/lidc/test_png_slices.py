import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable
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
            folder = root / patient / f"nodule-{nodule}"
            layers = {f"mask-{reader}": mask.astype(np.uint8) * 255 for reader, mask in enumerate(masks)}
            for name, pixels in {"images": image, **layers}.items():
                (folder / name).mkdir(parents=True, exist_ok=True)
                Image.fromarray(pixels).save(folder / name / f"slice-{number}.png")
            written[patient, nodule, number] = image, masks
    return written


def test_pixels_come_back_in_numeric_order(tmp_path: Path) -> None:
    written = write_layout(tmp_path / "slices")
    assert import_slices(tmp_path / "slices", tmp_path / "crops") == 15
    archive = CropArchive.open(tmp_path / "crops")
    keys = list(archive.index[["patient_id", "nodule", "slice"]].itertuples(index=False, name=None))
    assert keys == sorted(written)  # slice 10 comes after slice 9, not after slice 1
    for row, key in enumerate(keys):
        assert np.array_equal(archive.images[row], written[key][0])
        assert np.array_equal(archive.reader_masks([row])[0], written[key][1])
    assert not archive.is_phantom
    assert "CC BY 3.0" in archive.source["licence"]


def test_the_parent_directory_does_as_well(tmp_path: Path) -> None:
    write_layout(tmp_path / "download" / "LIDC-IDRI-slices")
    assert import_slices(tmp_path / "download", tmp_path / "crops") == 15


def save_all(image: Image.Image, paths: Iterable[Path]) -> None:
    for path in paths:
        image.save(path)


def empty(directory: Path) -> None:
    shutil.rmtree(directory)
    directory.mkdir()


NODULE = Path("slices/LIDC-IDRI-0010/nodule-3")


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (
            lambda p: (p / NODULE / "images/slice-4.png").write_text("not a picture"),
            r"images/slice-4\.png: not a readable PNG",
        ),
        (
            lambda p: (p / NODULE / "images/slice-4.png").write_bytes(
                (p / NODULE / "images/slice-4.png").read_bytes()[:80]
            ),
            r"images/slice-4\.png: not a readable PNG",
        ),
        (lambda p: (p / NODULE / "images/slice-4.png").unlink(), r"slice-4\.png: mask without image"),
        (
            lambda p: (p / NODULE / "mask-2/slice-4.png").unlink(),
            r"mask-2/slice-4\.png: no such file; every image needs",
        ),
        (
            lambda p: Image.new("L", (8, 16)).save(p / NODULE / "mask-1/slice-0.png"),
            r"mask-1/slice-0\.png: 16 × 8 px, expected 16 × 16 px",
        ),
        (lambda p: Image.new("RGB", (16, 16)).save(p / NODULE / "images/slice-0.png"), "PNG of mode RGB"),
        (
            lambda p: save_all(Image.new("L", (8, 8)), (p / NODULE).glob("*/slice-3.png")),
            r"slice-3\.png: 8 × 8 px, expected 16 × 16 px",
        ),
        (
            lambda p: (p / NODULE / "images/slice-4.png").rename(p / NODULE / "images/slice-x.png"),
            "mask without image|slice-x",
        ),
        (lambda p: shutil.rmtree(p / "slices"), "slices: no such directory"),
        (lambda p: empty(p / "slices"), "no slices; expected files like"),
    ],
)
def test_bad_files_are_named_and_nothing_is_written(
    tmp_path: Path, damage: Callable[[Path], object], message: str
) -> None:
    write_layout(tmp_path / "slices")
    damage(tmp_path)
    with pytest.raises(InputError, match=message):
        import_slices(tmp_path / "slices", tmp_path / "out" / "crops")
    assert not (tmp_path / "out").exists() or list((tmp_path / "out").iterdir()) == []


def test_the_command_refuses_an_occupied_place(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_layout(tmp_path / "slices")
    (tmp_path / "crops").mkdir()
    (tmp_path / "crops" / "thesis.txt").write_text("years of work")
    assert main(["crops", "import-slices", str(tmp_path / "slices"), str(tmp_path / "crops")]) == 2
    assert "already exists" in capsys.readouterr().err
    assert [path.name for path in (tmp_path / "crops").iterdir()] == ["thesis.txt"]


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
