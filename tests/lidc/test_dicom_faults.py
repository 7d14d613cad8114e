"""Thousands of damaged files: each is either refused by name or read as what it says, and nothing crashes or hangs.

What nobody can see is a bit that was flipped inside uncompressed pixels: DICOM has no checksum. Such pixels are
compared with what pydicom decodes from the same bytes. All other damage must leave a slice's pixels as they were, or be
refused.
"""

import struct
import tracemalloc
from collections.abc import Callable
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pydicom
import pytest
from numpy.random import Generator
from pydicom.dataset import FileDataset
from pydicom.uid import ImplicitVRLittleEndian, RLELossless

from carbon_midl.lidc.annotations import Contour, Nodule, Scan, read_scans
from carbon_midl.lidc.build.cutting import SeriesCrops, cut_series
from carbon_midl.lidc.build.settings import Settings
from carbon_midl.lidc.ct import SliceFault, read_header
from carbon_midl.lidc.tree import fits, read_tree
from tests.lidc.dicom_series import hu_of, slice_dataset

SIDE = 48
SLICES = 5
NODULE = range(1, 4)
CUT = Settings(size=64)
Mutation = Callable[[bytes, Generator], bytes]


@pytest.fixture(scope="module")
def scan() -> Scan:
    """A scan of five slices of 48 px, with a nodule on the middle three."""
    real = read_scans(["LIDC-IDRI-0078"])[0]
    points = np.array([(10, 10), (10, 30), (30, 30), (30, 10)])
    reading = replace(real.nodules[0].readings[0], contours=tuple(Contour(index, True, points) for index in NODULE))
    return replace(real, slice_z_mm=real.slice_z_mm[:SLICES], nodules=(Nodule(0, (reading,)),))


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


# Mutations


class Element(NamedTuple):
    """Where an element of the dataset begins, where its value begins, and where it ends, in bytes."""

    start: int
    value: int
    stop: int


def elements(content: bytes) -> list[Element]:
    """The elements of an explicit little endian file, up to its pixels."""
    found = []
    start = 132
    while content[start : start + 4] != b"\xe0\x7f\x10\x00":
        is_long = content[start + 4 : start + 6] in (b"OB", b"OW", b"SQ", b"UN", b"UT")
        length = struct.unpack_from("<I" if is_long else "<H", content, start + (8 if is_long else 6))[0]
        value = start + (12 if is_long else 8)
        found.append(Element(start, value, value + length))
        start = value + length
    return found


def pixels_at(content: bytes) -> int:
    return content.index(b"\xe0\x7f\x10\x00")


def truncate(content: bytes, rng: Generator) -> bytes:
    return content[: rng.integers(len(content))]


def truncate_header(content: bytes, rng: Generator) -> bytes:
    return content[: rng.integers(pixels_at(content))]


def flip(content: bytes, start: int, stop: int, rng: Generator, count: int) -> bytes:
    damaged = bytearray(content)
    for place in rng.integers(start, stop, count):
        damaged[place] ^= 1 << rng.integers(8)
    return bytes(damaged)


def flip_header(content: bytes, rng: Generator) -> bytes:
    return flip(content, 0, pixels_at(content) + 12, rng, int(rng.integers(1, 9)))


def flip_pixels(content: bytes, rng: Generator) -> bytes:
    return flip(content, pixels_at(content) + 12, len(content), rng, int(rng.integers(1, 30)))


def overwrite(content: bytes, rng: Generator) -> bytes:
    start = rng.integers(pixels_at(content))
    run = rng.bytes(int(rng.integers(1, 65)))
    return content[:start] + run + content[start + len(run) :]


def zero_value(content: bytes, rng: Generator) -> bytes:
    chosen = rng.choice(elements(content))
    return content[: chosen[1]] + bytes(chosen[2] - chosen[1]) + content[chosen[2] :]


def swap_elements(content: bytes, rng: Generator) -> bytes:
    one, two = sorted(rng.choice(elements(content), 2, replace=False).tolist())
    return b"".join(
        [
            content[: one[0]],
            content[two[0] : two[2]],
            content[one[2] : two[0]],
            content[one[0] : one[2]],
            content[two[2] :],
        ]
    )


def duplicate_element(content: bytes, rng: Generator) -> bytes:
    """An element twice, the second time with another value, in any place or at the end."""
    start, value, stop = rng.choice(elements(content)).tolist()
    other = flip(content[start:stop], value - start, stop - start, rng, 2) if stop > value else content[start:stop]
    place = rng.choice([*(element.start for element in elements(content)), len(content)])
    return content[:place] + other + content[place:]


def another_value_later(content: bytes, rng: Generator) -> bytes:
    """An element again among the pixels' tags, with another value of the same length."""
    start, value, stop = rng.choice(elements(content)).tolist()
    other = content[start:value] + bytes(reversed(content[value:stop]))
    place = rng.choice([pixels_at(content), len(content)])
    return content[:place] + other + content[place:]


def remove_element(content: bytes, rng: Generator) -> bytes:
    start, _, stop = rng.choice(elements(content)).tolist()
    return content[:start] + content[stop:]


def lying_length(content: bytes, rng: Generator) -> bytes:
    damaged = bytearray(content)
    start, value, _ = rng.choice([*elements(content), (pixels_at(content), pixels_at(content) + 12, 0)]).tolist()
    if value - start == 12:
        struct.pack_into("<I", damaged, value - 4, rng.choice([0, 1, 0x7FFFFFFF, 0xFFFFFFFE, 0xFFFFFFFF]))
    else:
        struct.pack_into("<H", damaged, value - 2, rng.choice([0, 1, 0x7FFF, 0xFFFE, 0xFFFF]))
    return bytes(damaged)


def with_attribute(keyword: str, *values: object) -> Mutation:
    def mutate(content: bytes, rng: Generator) -> bytes:
        dataset = pydicom.dcmread(BytesIO(content))
        setattr(dataset, keyword, values[rng.integers(len(values))])
        return encoded(dataset)

    mutate.__name__ = f"wrong_{keyword}"
    return mutate


def empty(content: bytes, rng: Generator) -> bytes:
    return b""


def text(content: bytes, rng: Generator) -> bytes:
    return b"This is no DICOM file.\n" * rng.integers(1, 100)


def random_bytes(content: bytes, rng: Generator) -> bytes:
    return content[: 132 * rng.integers(2)] + rng.bytes(int(rng.integers(1, 2000)))


ANY_ENCODING: list[Mutation] = [truncate, truncate_header, flip_header, overwrite, flip_pixels, empty, text]
EXPLICIT_ONLY: list[Mutation] = [
    zero_value,
    swap_elements,
    duplicate_element,
    another_value_later,
    remove_element,
    lying_length,
    random_bytes,
    with_attribute("SeriesInstanceUID", "1.2.3", "1.3.6.1.4.1.14519.5.2.1.6279.6001.131939324905446238286154504249"),
    with_attribute("PatientID", "LIDC-IDRI-0001", ""),
    with_attribute("ImagePositionPatient", ["0", "0", "0"], ["-170", "-180.5", "1409.5"], ["-170", "-180.5", "1415.5"]),
    with_attribute("Rows", 0, 1, 24, 47, 49, 65535),
    with_attribute("Columns", 0, 1, 24, 47, 49, 65535),
    with_attribute("Modality", "DX", "", "SEG"),
    with_attribute("BitsStored", 0, 8, 12, 17, 65535),
    with_attribute("RescaleSlope", "2", "0", "-1", "1e300"),
    with_attribute("RescaleIntercept", "-1024", "1e300"),
    with_attribute("NumberOfFrames", "2", "0", "2147483647"),
    with_attribute("PixelRepresentation", 0, 2),
]
# What stays as it was wherever it is accepted; the pixels of the others are compared with pydicom's.
SPOILS_PIXELS = {flip_pixels}


def fuzz(folder: Path, scan: Scan, encode: str, mutations: list[Mutation], count: int) -> tuple[int, int]:
    """Damage one file of a series, count times, and return how often its slice was read and how often refused."""
    folder.mkdir()
    good = {index: content_of(scan, index, encode) for index in range(SLICES)}
    expected = {index: hu_of(scan, index, SIDE) for index in NODULE}
    for index, content in good.items():
        (folder / f"{index}.dcm").write_bytes(content)
    rng = np.random.default_rng(0)
    read = refused = 0
    for number in range(count):
        mutate = mutations[number % len(mutations)]
        victim = int(rng.choice(NODULE))
        damaged = mutate(good[victim], rng)
        path = folder / f"{victim}.dcm"
        path.write_bytes(damaged)
        crops = cut_series(folder, scan, read_tree(folder).series(scan.series_uid), CUT)
        slices = (crops.slices + NODULE.start).tolist()
        for index, image in zip(slices, crops.images, strict=True):
            hu = image[12 : 12 + SIDE, 12 : 12 + SIDE]  # the nodule's middle, (20, 20), is the crop's, (32, 32)
            if index == victim:
                assert_says_what_it_shows(damaged, scan, index, hu)
            if index != victim or mutate not in SPOILS_PIXELS:
                np.testing.assert_array_equal(hu, expected[index], f"{mutate.__name__} {number}")
        assert_all_accounted_for(crops, slices, path, damaged != good[victim])
        read += victim in slices
        refused += victim not in slices
        path.write_bytes(good[victim])
    return read, refused


def assert_says_what_it_shows(content: bytes, scan: Scan, index: int, hu: np.ndarray) -> None:
    """An accepted slice is what its bytes say to pydicom."""
    dataset = pydicom.dcmread(BytesIO(content))
    assert (dataset.SeriesInstanceUID, dataset.PatientID) == (scan.series_uid, scan.patient_id)
    assert fits(float(dataset.ImagePositionPatient[2]), float(scan.slice_z_mm[index]))
    theirs = dataset.pixel_array * float(dataset.RescaleSlope) + float(dataset.RescaleIntercept)
    np.testing.assert_array_equal(hu, theirs.clip(-1024, 32767))


def assert_all_accounted_for(crops: SeriesCrops, slices: list[int], path: Path, changed: bool) -> None:
    """Each slice is there or in the report, which names files of this folder or none."""
    missing = {index - NODULE.start for index in NODULE} - {index - NODULE.start for index in slices}
    assert {line.slice for line in crops.left_out if line.left_out == "the slice"} == missing
    for line in crops.left_out:
        assert line.reason
        assert line.file == "" or (path.parent / line.file).exists()
    assert changed or not missing


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.filterwarnings("ignore::UserWarning")  # pydicom warns of values, here in the oracle
@pytest.mark.parametrize(("encode", "count"), [("explicit", 1600), ("implicit", 300), ("rle", 300)])
def test_damaged_files_are_refused_or_read_as_what_they_say(
    tmp_path: Path, scan: Scan, encode: str, count: int
) -> None:
    mutations = ANY_ENCODING + (EXPLICIT_ONLY if encode == "explicit" else [])
    read, refused = fuzz(tmp_path / "series", scan, encode, mutations, count)
    assert read + refused == count
    assert min(read, refused) > count / 20, "damage of both kinds was tried"


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_a_few_damaged_files_are_refused_or_read_as_what_they_say(tmp_path: Path, scan: Scan) -> None:
    read, refused = fuzz(tmp_path / "series", scan, "explicit", ANY_ENCODING + EXPLICIT_ONLY, 50)
    assert read > 0
    assert refused > 0


def test_lying_lengths_ask_for_no_more_than_the_file_holds(tmp_path: Path, scan: Scan) -> None:
    content = content_of(scan, 1, "explicit")
    path = tmp_path / "a.dcm"
    path.write_bytes(content)
    read_header(path)  # what pydicom allocates on first use is not the file's
    rng = np.random.default_rng(1)
    refused = 0
    tracemalloc.start()
    try:
        for _ in range(100):
            path.write_bytes(lying_length(content, rng))
            try:
                read_header(path)
            except SliceFault:
                refused += 1
        assert tracemalloc.get_traced_memory()[1] < 20_000_000
    finally:
        tracemalloc.stop()
    assert refused > 20
