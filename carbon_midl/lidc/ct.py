"""One slice of CT from one DICOM file: what its header says, and its pixels in HU.

A file is read into memory before it is parsed, so that a length field that lies cannot ask for more than it holds.
Whatever pydicom raises for a damaged file becomes a `SliceFault`, which names file and reason.
"""

import math
import warnings
from functools import cache
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from carbon_midl.errors import InputError

if TYPE_CHECKING:
    from pydicom.dataset import FileDataset

PHANTOM_MANUFACTURER = "carbon-midl phantom"
"""The Manufacturer of synthetic series; their ManufacturerModelName gives version and seed."""

AIR_HU = -1024
"""What lies outside the scanner's field of view, and the lowest HU that is kept."""

POSITION_TOLERANCE_MM = 0.05
"""Positions that differ by less are one: a tenth of the thinnest spacing of LIDC-IDRI, 0.45 mm."""

HEADER_BYTES = 1 << 14
"""What is read of a file for its header, which for nearly every CT slice is enough."""

_MOST_BYTES = 1 << 26  # a slice has half a megabyte; what is much larger is none
_LAST_TAG = 0x00281FFF  # beyond it come overlays, sequences of other modalities, and pixels
_KEYWORDS = [
    "ImagePositionPatient",  # first, for it is what the slices of a series differ in
    "SpecificCharacterSet",
    "Modality",
    "Manufacturer",
    "ManufacturerModelName",
    "PatientID",
    "StudyInstanceUID",
    "SeriesInstanceUID",
    "ImageOrientationPatient",
    "SamplesPerPixel",
    "NumberOfFrames",
    "Rows",
    "Columns",
    "PixelSpacing",
    "BitsAllocated",
    "BitsStored",
    "PixelRepresentation",
    "RescaleIntercept",
    "RescaleSlope",
]


class SliceFault(InputError):
    """A file that cannot be read as what it should be; `path` and `reason` say which and why."""

    def __init__(self, path: Path | str, reason: str) -> None:
        super().__init__(path, reason)
        self.path = path
        self.reason = reason

    def __str__(self) -> str:
        return f"{self.path}: {self.reason}"


class Form(NamedTuple):
    """What the slices of one series have in common; for other modalities, all after `series_uid` is empty.

    spacing_mm: between rows and between columns. orientation: the direction cosines of a row and of a column.
    """

    modality: str
    manufacturer: str
    model: str
    patient_id: str
    study_uid: str
    series_uid: str
    rows: int = 0
    columns: int = 0
    spacing_mm: tuple[float, ...] = ()
    orientation: tuple[float, ...] = ()
    slope: float = 1.0
    intercept: float = 0.0
    signed: bool = False
    bits_stored: int = 16

    def is_axial(self) -> bool:
        """Whether rows run along x and columns along y, either way."""
        along_x, along_y = abs(self.orientation[0]), abs(self.orientation[4])
        return min(along_x, along_y) > 0.999


class Header(NamedTuple):
    """The form of a slice, and where it lies: z of ImagePositionPatient, mm (0 for other modalities)."""

    form: Form
    z_mm: float


def read_header(path: Path) -> Header | None:
    """Read what a file says about itself, without its pixels.

    Returns:
        None where the file is not DICOM.

    Raises:
        SliceFault: the header is damaged, or a CT slice lacks what it must say.
    """
    try:
        with path.open("rb", buffering=0) as file:
            start = _fill(file, HEADER_BYTES)
            if start[128:132] != b"DICM":
                return None
            header = _parse_header(start) if len(start) == HEADER_BYTES else None
            if header is None:
                header = _parse_header(start + _fill(file, _MOST_BYTES), whole=True)
    except OSError as error:
        raise SliceFault(path, f"cannot be read ({error.strerror})") from None
    except _Damaged as error:
        raise SliceFault(path, str(error)) from None
    return header


def read_hu(path: Path, expected: Header) -> NDArray[np.int16]:
    """Read the pixels of one CT slice in HU.

    Padding (PixelPaddingValue, and anything below) becomes air, -1024 HU. Bits of uncompressed pixels that were
    flipped cannot be seen: DICOM has no checksum.

    Args:
        path: the file.
        expected: what its header said when the tree was indexed.

    Returns:
        int16 ``(rows, columns)``.

    Raises:
        SliceFault: the file is unreadable, truncated, damaged, or says something else than `expected`.
    """
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise _Damaged(f"larger than any CT slice ({path.stat().st_size / 1e6:.0f} MB)")
        content = path.read_bytes()
        header = _parse_header(content, whole=True)
        if header != expected:
            raise _Damaged("says something else than when the tree was indexed; run again")
        return _pixels_hu(content, expected)
    except OSError as error:
        raise SliceFault(path, f"cannot be read ({error.strerror})") from None
    except _Damaged as error:
        raise SliceFault(path, str(error)) from None


class _Damaged(Exception):
    """Why a file cannot be used."""


def _fill(file: Any, most: int) -> bytes:
    """Read up to `most` bytes; an unbuffered read may give fewer than there are."""
    parts = []
    while most > 0 and (part := file.read(min(most, 1 << 20))):
        parts.append(part)
        most -= len(part)
    return b"".join(parts)


def _parse_header(content: bytes, whole: bool = False) -> Header | None:
    """Parse the start of a file; None where more of it is needed and `whole` does not say that there is none."""
    from pydicom.filereader import read_partial

    reached_the_end_of_the_header = False

    def stop_when(tag: Any, representation: str | None, length: int) -> bool:
        nonlocal reached_the_end_of_the_header
        reached_the_end_of_the_header = tag > _LAST_TAG
        return reached_the_end_of_the_header

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            dataset = read_partial(BytesIO(content), stop_when=stop_when, specific_tags=_tags())
            if reached_the_end_of_the_header or whole:
                return _header_of(dataset)
    except _Damaged:
        if whole or reached_the_end_of_the_header:
            raise
    except Exception as error:  # damaged bytes make pydicom raise nearly anything
        if whole:
            raise _Damaged(f"damaged header ({_one_line(error)})") from None
    return None


@cache
def _tags() -> list[Any]:
    from pydicom.tag import Tag

    return [Tag(keyword) for keyword in _KEYWORDS]


_FORMS: dict[tuple[Any, ...], Form] = {}
_MOST_FORMS = 256  # series that may be read in turns


def _header_of(dataset: "FileDataset") -> Header:
    """The header; its form is known where a file before had the same bytes, as most of a series have.

    Converting bytes to values is most of what reading a header costs.
    """
    same = tuple(_as_read(dataset.get_item(tag)) for tag in _tags()[1:])
    form = _FORMS.get(same)
    if form is None:
        form = _form_of(dataset)
        if len(_FORMS) >= _MOST_FORMS:
            _FORMS.clear()
        _FORMS[same] = form
    if form.modality != "CT":
        return Header(form, 0.0)
    return Header(form, _numbers(dataset, "ImagePositionPatient", 3)[2])


def _as_read(element: Any) -> tuple[Any, ...] | None:
    """What an element's value depends on, for comparison."""
    if element is None:
        return None
    if element.is_raw:
        return element.VR, element.value, element.is_implicit_VR, element.is_little_endian
    return element.VR, repr(element.value)


def _form_of(dataset: "FileDataset") -> Form:
    modality = _text(dataset, "Modality")
    form = Form(
        modality=modality,
        manufacturer=_text(dataset, "Manufacturer"),
        model=_text(dataset, "ManufacturerModelName"),
        patient_id=_text(dataset, "PatientID"),
        study_uid=_text(dataset, "StudyInstanceUID"),
        series_uid=_text(dataset, "SeriesInstanceUID"),
    )
    if modality != "CT":
        return form
    if not form.series_uid:
        raise _Damaged("CT without SeriesInstanceUID")
    for keyword, needed in (("SamplesPerPixel", 1), ("NumberOfFrames", 1), ("BitsAllocated", 16)):
        found = _numbers(dataset, keyword, 1) if keyword in dataset or keyword == "BitsAllocated" else (needed,)
        if found != (needed,):
            raise _Damaged(f"{keyword} is {found[0]:g}, expected {needed}")
    (rows,), (columns,) = _numbers(dataset, "Rows", 1), _numbers(dataset, "Columns", 1)
    spacing_mm = _numbers(dataset, "PixelSpacing", 2)
    if min(rows, columns) < 1 or min(spacing_mm) <= 0:
        raise _Damaged(f"{rows:g} × {columns:g} px of {spacing_mm[0]:g} × {spacing_mm[1]:g} mm")
    (slope,) = _numbers(dataset, "RescaleSlope", 1)
    if slope <= 0:
        raise _Damaged(f"RescaleSlope is {slope:g}")
    (signed,) = _numbers(dataset, "PixelRepresentation", 1)
    if signed not in (0, 1):
        raise _Damaged(f"PixelRepresentation is {signed:g}, expected 0 or 1")
    (bits_stored,) = _numbers(dataset, "BitsStored", 1)
    return form._replace(
        rows=int(rows),
        columns=int(columns),
        # Rounded, so that slices of one series that differ in a last digit have one form.
        spacing_mm=tuple(round(mm, 6) for mm in spacing_mm),
        orientation=tuple(round(cosine, 4) for cosine in _numbers(dataset, "ImageOrientationPatient", 6)),
        slope=slope,
        intercept=_numbers(dataset, "RescaleIntercept", 1)[0],
        signed=bool(signed),
        bits_stored=int(bits_stored),
    )


def _text(dataset: "FileDataset", keyword: str) -> str:
    """The value as one line of text; empty where there is none."""
    return " ".join(str(dataset.get(keyword) or "").replace("\0", " ").split())


def _numbers(dataset: "FileDataset", keyword: str, count: int) -> tuple[float, ...]:
    if keyword not in dataset:
        raise _Damaged(f"no {keyword}")
    value = dataset[keyword].value
    try:
        numbers = tuple(float(part) for part in (value if count > 1 else [value]))
    except (TypeError, ValueError):
        numbers = ()
    if len(numbers) != count or not all(map(math.isfinite, numbers)):
        raise _Damaged(f"{keyword} is {_one_line(value)}, expected {count} finite number{'s' * (count > 1)}")
    return numbers


def _pixels_hu(content: bytes, header: Header) -> NDArray[np.int16]:
    from pydicom import dcmread

    form = header.form

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            dataset = dcmread(BytesIO(content))
            if _header_of(dataset) != header:  # an attribute given twice, the second time among the pixels' tags
                raise _Damaged("says two different things about itself")
            _check_length(dataset, form)
            stored = dataset.pixel_array
            padding = _padding(dataset, form.signed)
    except _Damaged:
        raise
    except Exception as error:  # damaged bytes make pydicom and its decoders raise nearly anything
        raise _Damaged(f"pixels cannot be decoded ({_one_line(error)})") from None
    if stored.shape != (form.rows, form.columns):
        raise _Damaged(f"pixels of shape {stored.shape}, expected {(form.rows, form.columns)}")
    hu = np.rint(stored * form.slope + form.intercept).clip(AIR_HU, np.iinfo(np.int16).max).astype(np.int16)
    if padding is not None:
        hu[(stored >= padding[0]) & (stored <= padding[1])] = AIR_HU
    return hu


def _check_length(dataset: "FileDataset", form: Form) -> None:
    """Refuse uncompressed pixels that are fewer or more than rows times columns: pydicom lets more pass."""
    if "PixelData" not in dataset:
        raise _Damaged("truncated, or without pixels")
    found, needed = len(dataset.PixelData), 2 * form.rows * form.columns
    if not dataset.file_meta.TransferSyntaxUID.is_compressed and found != needed:
        raise _Damaged(f"{'truncated: ' * (found < needed)}{found} bytes of pixels, expected {needed}")
    if needed > _MOST_BYTES:
        raise _Damaged(f"{form.rows} × {form.columns} px, more than any CT slice")


def _padding(dataset: "FileDataset", signed: bool) -> tuple[int, int] | None:
    """The lowest and highest stored value that means padding."""
    first = dataset.get("PixelPaddingValue")
    if first is None:
        return None
    last = dataset.get("PixelPaddingRangeLimit")
    # Some scanners write -2000 into unsigned pixels, or 63536 into signed ones; the 16 bits are the same.
    sixteen_bits = np.int16 if signed else np.uint16
    ends = sorted(
        int(np.array(int(end) % 65536).astype(sixteen_bits)) for end in (first, first if last is None else last)
    )
    return ends[0], ends[1]


def _one_line(value: object) -> str:
    """A value or error as short text without line breaks."""
    text = " ".join(str(value).split()) or type(value).__name__
    return text if len(text) <= 160 else f"{text[:157]}…"
