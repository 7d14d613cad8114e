"""CT series of real LIDC-IDRI scans in DICOM, with invented pixels that differ from slice to slice."""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import UID, CTImageStorage, ExplicitVRLittleEndian, generate_uid

from carbon_midl.lidc.annotations import Scan

SIDE = 512
Change = Callable[[FileDataset, int], None]


def hu_of(scan: Scan, index: int, side: int = SIDE) -> NDArray[np.int16]:
    """The pixels of one slice, HU: a ramp with the slice's own level, and noise."""
    rng = np.random.default_rng([scan.id, index])
    y, x = np.mgrid[:side, :side]
    return (x // 2 - y + 3 * index - 700 + rng.integers(-20, 20, (side, side))).clip(-1024, 3000).astype(np.int16)


def slice_dataset(scan: Scan, index: int, hu: NDArray[np.int16] | None = None, signed: bool = True) -> FileDataset:
    """One slice as its scanner would have written it; unsigned pixels have an intercept of -1024."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = CTImageStorage
    meta.MediaStorageSOPInstanceUID = UID(generate_uid(entropy_srcs=[scan.series_uid, str(index)]))
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    dataset.SOPClassUID = CTImageStorage
    dataset.SOPInstanceUID = meta.MediaStorageSOPInstanceUID
    dataset.Modality = "CT"
    dataset.PatientID = scan.patient_id
    dataset.StudyInstanceUID = scan.study_uid
    dataset.SeriesInstanceUID = scan.series_uid
    dataset.InstanceNumber = len(scan.slice_z_mm) - index
    dataset.ImagePositionPatient = ["-170.0", "-180.5", f"{scan.slice_z_mm[index]:.9g}"]
    dataset.ImageOrientationPatient = ["1", "0", "0", "0", "1", "0"]
    dataset.PixelSpacing = [f"{scan.pixel_spacing_mm:.9g}"] * 2
    dataset.SamplesPerPixel = 1
    dataset.PhotometricInterpretation = "MONOCHROME2"
    dataset.BitsAllocated = dataset.BitsStored = 16
    dataset.HighBit = 15
    dataset.PixelRepresentation = int(signed)
    dataset.RescaleSlope = "1"
    dataset.RescaleIntercept = "0" if signed else "-1024"
    pixels = hu_of(scan, index) if hu is None else hu
    set_pixels(dataset, pixels if signed else (pixels + 1024).astype(np.uint16))
    return dataset


def set_pixels(dataset: FileDataset, stored: NDArray[Any]) -> None:
    """Put stored values into a dataset."""
    dataset.Rows, dataset.Columns = stored.shape
    dataset.PixelData = stored.astype(np.uint16, casting="unsafe").tobytes()
    dataset["PixelData"].VR = "OW"


def touched_slices(scan: Scan) -> list[int]:
    """The slices that a nodule touches."""
    return sorted({index for nodule in scan.nodules for index in nodule.slice_indices()})


def write_series(
    folder: Path, scan: Scan, indices: Iterable[int] | None = None, change: Change | None = None, suffix: str = ".dcm"
) -> dict[int, Path]:
    """Write slices (by default those that nodules touch) in a mixed-up order and return their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = {}
    chosen = touched_slices(scan) if indices is None else list(indices)
    for number, index in zip(np.random.default_rng(scan.id).permutation(len(chosen)), chosen, strict=True):
        dataset = slice_dataset(scan, index)
        if change is not None:
            change(dataset, index)
        paths[index] = folder / f"1-{number:03d}{suffix}"
        dataset.save_as(paths[index], enforce_file_format=True)
    return paths
