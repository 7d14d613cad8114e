"""Thousands of damaged files: each is either refused by name or read as what it says, and none ends the build.

DICOM has no checksum, so what nobody can see is a bit that was flipped inside the pixels or in the numbers that turn
them into HU. Whatever is read is what pydicom decodes from the same bytes.
"""

from dataclasses import replace
from io import BytesIO
from pathlib import Path

import numpy as np
import pydicom
import pytest
from numpy.random import Generator
from pydicom.dataset import FileDataset
from pydicom.uid import ImplicitVRLittleEndian, RLELossless

from carbon_midl.lidc.annotations import Contour, Nodule, Scan
from carbon_midl.lidc.build import cut_scan
from carbon_midl.lidc.dicom import read_folder
from tests.lidc.dicom_series import hu_of, slice_dataset

pytestmark = [pytest.mark.exhaustive, pytest.mark.slow]
SIDE, SLICES = 48, 5
NODULE = range(1, 4)


@pytest.fixture
def short(scan: Scan) -> Scan:
    """A scan of five slices of 48 px, with a nodule on the middle three."""
    points = np.array([(10, 10), (10, 30), (30, 30), (30, 10)])
    reading = replace(scan.nodules[0].readings[0], contours=tuple(Contour(index, True, points) for index in NODULE))
    return replace(scan, slice_z_mm=scan.slice_z_mm[:SLICES], nodules=(Nodule(0, (reading,)),))


def content_of(scan: Scan, index: int, encode: str) -> bytes:
    dataset = slice_dataset(scan, index, hu=hu_of(scan, index, SIDE))
    dataset.add_new("PatientComments", "LT", "text " * 20)
    if encode == "rle":
        dataset.compress(RLELossless, generate_instance_uid=False)
    elif encode == "implicit":
        dataset.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian
    return encoded(dataset)


def encoded(dataset: FileDataset) -> bytes:
    out = BytesIO()
    dataset.save_as(out, enforce_file_format=True)
    return out.getvalue()


def pixels_at(content: bytes) -> int:
    return content.index(b"\xe0\x7f\x10\x00") + 12


def truncate(content: bytes, rng: Generator) -> bytes:
    return content[: rng.integers(len(content) if rng.random() < 0.5 else pixels_at(content))]


def flip_bits(content: bytes, rng: Generator) -> bytes:
    """In the header or in the pixels."""
    start, stop = (0, pixels_at(content)) if rng.random() < 0.6 else (pixels_at(content), len(content))
    damaged = bytearray(content)
    for place in rng.integers(start, stop, rng.integers(1, 30)):
        damaged[place] ^= 1 << rng.integers(8)
    return bytes(damaged)


def replace_whole(content: bytes, rng: Generator) -> bytes:
    return [b"", b"This is no DICOM file.\n" * 20, content[:132] + rng.bytes(1000), rng.bytes(1000)][rng.integers(4)]


ATTRIBUTES: dict[str, list[object]] = {
    "SeriesInstanceUID": ["1.2.3", "1.3.6.1.4.1.14519.5.2.1.6279.6001.131939324905446238286154504249"],
    "PatientID": ["LIDC-IDRI-0001", ""],
    "ImagePositionPatient": [["0", "0", "0"], ["-170", "-180.5", "1409.5"], ["-170", "-180.5", "1415.5"]],
    **{side: [0, 1, 24, 47, 49, 65535] for side in ("Rows", "Columns")},
    "Modality": ["DX", "", "SEG"],
    "BitsStored": [0, 8, 12, 17, 65535],
    "RescaleSlope": ["2", "0", "-1", "1e300"],
    "RescaleIntercept": ["-1024", "1e300"],
    "NumberOfFrames": ["2", "0", "2147483647"],
    "PixelRepresentation": [0, 2],
}


def wrong_attribute(content: bytes, rng: Generator) -> bytes:
    dataset = pydicom.dcmread(BytesIO(content))
    keyword = rng.choice(list(ATTRIBUTES))
    setattr(dataset, keyword, ATTRIBUTES[keyword][rng.integers(len(ATTRIBUTES[keyword]))])
    return encoded(dataset)


MUTATIONS = [truncate, flip_bits, flip_bits, replace_whole, *[wrong_attribute] * 4]


def check(folder: Path, scan: Scan, victim: int) -> bool:
    """Cut the scan from a folder with one damaged file; whether its slice was read."""
    crops, left_out, _ = cut_scan(folder, 64, scan, read_folder(folder).series[scan.series_uid])
    images = {place["slice"] + NODULE.start: image[12 : 12 + SIDE, 12 : 12 + SIDE] for image, _, place in crops}
    for index, hu in images.items():
        if index != victim:
            np.testing.assert_array_equal(hu, hu_of(scan, index, SIDE))
    if victim in images:  # an accepted slice is what its bytes say to pydicom
        dataset = pydicom.dcmread(folder / f"{victim}.dcm")
        assert (dataset.SeriesInstanceUID, dataset.PatientID) == (scan.series_uid, scan.patient_id)
        assert float(dataset.ImagePositionPatient[2]) == pytest.approx(scan.slice_z_mm[victim], abs=0.05)
        theirs = dataset.pixel_array * float(dataset.RescaleSlope) + float(dataset.RescaleIntercept)
        np.testing.assert_array_equal(images[victim], theirs.clip(-1024, 32767))
    # Each slice is there or in the report, which gives reasons and names files of this folder or none.
    assert {line.slice for line in left_out} == {index - NODULE.start for index in NODULE if index not in images}
    assert all(line.reason and (line.file == "" or (folder / line.file).exists()) for line in left_out)
    return victim in images


@pytest.mark.filterwarnings("ignore::UserWarning")  # pydicom warns of values, here in the oracle
@pytest.mark.parametrize(("encode", "count"), [("explicit", 1600), ("implicit", 200), ("rle", 200)])
def test_damaged_files_are_refused_or_read_as_they_are(tmp_path: Path, short: Scan, encode: str, count: int) -> None:
    good = {index: content_of(short, index, encode) for index in range(SLICES)}
    for index, content in good.items():
        (tmp_path / f"{index}.dcm").write_bytes(content)
    assert check(tmp_path, short, 2)
    rng = np.random.default_rng(0)
    # pydicom makes something of run lengths for pictures of another size.
    mutations = [one for one in MUTATIONS if encode != "rle" or one is not wrong_attribute]
    read = 0
    for number in range(count):
        mutate = mutations[number % len(mutations)]
        victim = int(rng.choice(NODULE))
        (tmp_path / f"{victim}.dcm").write_bytes(mutate(good[victim], rng))
        read += check(tmp_path, short, victim)
        (tmp_path / f"{victim}.dcm").write_bytes(good[victim])
    assert count / 20 < read < count * 19 / 20, "damage of both kinds was tried"
