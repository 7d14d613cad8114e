"""From DICOM and annotations to a crop archive (choose scans, cut them in parallel, write), and to smaller crops."""

import csv
import io
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import closing, contextmanager
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from signal import SIG_IGN, SIGINT, signal
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from carbon_midl.errors import InputError
from carbon_midl.lidc import AIR_HU, LUNG_HU, READERS
from carbon_midl.lidc.annotations import CITATION, Scan, check_patients, read_scans, series_with_nodules
from carbon_midl.lidc.crops import CropArchive, CropWriter, Intensity, packed_width
from carbon_midl.lidc.dicom import DicomFolder, SliceFile, read_slice
from carbon_midl.lidc.masks import Crop, Window, reader_masks, window_around
from carbon_midl.lidc.png_slices import check_owner, image_digest

VERSION = 1  # another number whenever the same files and settings give other crops


class LeftOut(NamedTuple):
    """A line of the report: a file or scan that could not be used, why, and what the archive lacks for it.

    nodule, slice: as in the archive. file: relative to the folder. What is not known or not meant is empty.
    """

    series_uid: str
    patient_id: str
    nodule: int | str
    slice: int | str
    file: str
    reason: str
    left_out: str


Cut = tuple[list[Crop], list[LeftOut], dict[int, str]]
"""What became of a scan: its crops, what was left out, and the `image_digest` of each slice that was read."""


class Chosen(NamedTuple):
    """What will be cut: scans in the archive's order, and the patients asked for of whom the folder has none."""

    scans: list[Scan]
    missing: list[str]

    @property
    def crops(self) -> int:
        """How many crops."""
        return sum(map(_crops_of, self.scans))

    def size_gb(self, size: int) -> float:
        """What the archive takes on disk with crops of ``size`` px: images, and four packed masks each."""
        return self.crops * (2 * size**2 + READERS * size * packed_width(size)) / 1e9


def choose_scans(folder: DicomFolder, patients: Sequence[str] | None = None) -> Chosen:
    """Choose the scans to cut: those with nodules that the folder has, of some patients or of all.

    Raises:
        InputError: an unknown patient, or no series of LIDC-IDRI that is wanted.
    """
    if patients is not None:
        check_patients(patients)
    collection = series_with_nodules()
    found = {uid: patient for uid, patient in collection.items() if uid in folder.series}
    if not found:
        kinds = ", ".join(f"{count:,} {kind}" for kind, count in folder.kinds.most_common())
        raise InputError(
            f"{folder.root}: none of LIDC-IDRI's {len(collection):,} series with nodules; found "
            f"{folder.kinds.total():,} files: {kinds}, in {len(folder.series):,} series of CT. "
            "Name the directory that holds LIDC-IDRI's CT."
        )
    there = set(found.values())
    wanted = there if patients is None else set(patients)
    scans = [scan for scan in read_scans(wanted & there) if scan.series_uid in found]
    if not scans:
        raise InputError(f"{folder.root}: {len(found):,} series of LIDC-IDRI, but none of the patients asked for.")
    return Chosen(scans, sorted(wanted - there))


def build_archive(
    folder: DicomFolder, scans: Sequence[Scan], out: Path, size: int, jobs: int = 1
) -> tuple[dict[str, int], list[LeftOut]]:
    """Cut scans, as from `choose_scans`, in ``jobs`` processes and write the archive, whole at the end or not at all.

    Scans and files that cannot be used are left out and listed in the archive's ``report.csv``; a scan that ends its
    process is one of them. Returned are the numbers of series, patients, nodules and crops, and the report.
    `InputError` where ``out`` holds something, no scan could be used, or two patients have a slice of the same pixels.
    """
    left_out = [LeftOut("", "", "", "", *fault, "the file") for fault in folder.unreadable]
    places: list[dict[str, Any]] = []
    owners: dict[str, tuple[str, str]] = {}
    series = 0
    with (
        CropWriter(out, size, Intensity("HU", *LUNG_HU), {}) as writer,
        closing(_cut_all(folder, scans, size, jobs)) as cut,
    ):
        progress = tqdm(cut, total=len(scans), unit="scan", disable=None)
        for scan, (crops, lines, digests) in zip(scans, progress, strict=True):
            left_out += lines
            for index, digest in digests.items():
                check_owner(owners, digest, scan.patient_id, f"{scan.patient_id}, z = {scan.slice_z_mm[index]:g} mm")
            series += bool(crops)
            for image, masks, place in crops:
                writer.add(image, masks, **place)
                places.append(place)
        if not places:
            first = "\n".join(f"  {line.file or line.series_uid}: {line.reason}" for line in left_out[:5])
            raise InputError(
                f"{folder.root}: none of {len(scans):,} series could be used, so there is no archive. First:\n{first}"
            )
        counts = {
            "series": series,
            "series_left_out": len(scans) - series,
            "patients": len({place["patient_id"] for place in places}),
            "nodules": len({(place["patient_id"], place["nodule"]) for place in places}),
            "crops": len(places),
            "crops_left_out": sum(map(_crops_of, scans)) - len(places),
            "lines_in_report": len(left_out),
        }
        writer.source = {
            "kind": "lidc",
            "name": "LIDC-IDRI CT around nodules",
            "licence": "CC BY 3.0",
            "citation": CITATION,
            "version": VERSION,
            "spacing": "native",
            "counts": counts,
        }
        report = io.StringIO()
        csv.writer(report, lineterminator="\n").writerows([LeftOut._fields, *left_out])
        # File names need not be UTF-8.
        writer.attach("report.csv", report.getvalue().encode("utf-8", "backslashreplace").decode())
    return counts, left_out


def cut_scan(root: Path, size: int, scan: Scan, files: Sequence[SliceFile]) -> Cut:
    """Cut every slice of every nodule of a scan that can be had from the files of its series, relative to ``root``."""
    touched = {index for nodule in scan.nodules for index in nodule.slice_indices()}
    slices = {index: read_slice(root, scan, index, files) for index in touched}
    crops, left_out = [], []
    for nodule in scan.nodules:
        window = window_around(nodule, size)
        masks = reader_masks(nodule, window)
        for number, index in enumerate(nodule.slice_indices()):
            hu, faults = slices[index]
            lacks = "the slice" if hu is None else "the file; a copy stands in"
            names = (scan.series_uid, scan.patient_id, nodule.number, number)
            left_out += [LeftOut(*names, *fault, lacks) for fault in faults]
            if hu is not None:
                place = {"patient_id": scan.patient_id, "nodule": nodule.number, "slice": number}
                crops.append((cut_image(hu, window), masks[number], place))
    return crops, left_out, {index: image_digest(hu) for index, (hu, _) in slices.items() if hu is not None}


def cut_image(hu: NDArray[np.int16], window: Window) -> NDArray[np.int16]:
    """Cut a window from a slice ``(rows, columns)``, HU; beyond its edges is air."""
    row, column, size = window
    pixels = np.full((size, size), AIR_HU, dtype=np.int16)
    inside = hu[max(row, 0) : max(row + size, 0), max(column, 0) : max(column + size, 0)]
    pixels[max(-row, 0) :, max(-column, 0) :][: inside.shape[0], : inside.shape[1]] = inside
    return pixels


def centre_crops(archive: CropArchive, out: Path, size: int) -> tuple[int, int]:
    """Write the central ``size`` × ``size`` px of every crop as an archive of its own, at the same resolution.

    A network trains on it four times as fast for half the size. Whatever a reader outlined outside the centre is lost:
    returned are the mask pixels of all readers in ``archive``, and how many of them lie there. `InputError` where
    ``size`` is not smaller than the crops, or ``out`` holds something.
    """
    if not 0 < size < archive.size:
        raise InputError(f"size: {size} px; expected 1 to {archive.size - 1}, since {archive.path} has {archive.size}.")
    start = (archive.size - size) // 2
    centre = slice(start, start + size)
    source = archive.source | {"centre_of": archive.fingerprint, "centre_of_size": archive.size}
    marked = kept = 0
    with CropWriter(out, size, archive.intensity, source) as writer:
        crops = archive.index.itertuples(index=False)
        for row, (patient, nodule, number, _) in enumerate(tqdm(crops, total=len(archive), unit="crop", disable=None)):
            masks = archive.reader_masks([row])[0]
            central = masks[:, centre, centre]
            marked += int(masks.sum())
            kept += int(central.sum())
            writer.add(archive.images[row][centre, centre], central, patient_id=patient, nodule=nodule, slice=number)
    return marked, marked - kept


@contextmanager
def _processes(jobs: int) -> Iterator[ProcessPoolExecutor]:
    """Processes that leave Ctrl-C to the parent, and begin nothing more once the block is left."""
    pool = ProcessPoolExecutor(jobs, get_context("spawn"), initializer=signal, initargs=(SIGINT, SIG_IGN))
    try:
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)


def _cut_all(folder: DicomFolder, scans: Sequence[Scan], size: int, jobs: int) -> Generator[Cut, None, None]:
    """Yield what became of each scan, in order."""
    cut = partial(cut_scan, folder.root, size)
    files = [folder.series[scan.series_uid] for scan in scans]
    done = 0
    while done < len(scans):
        try:
            with _processes(min(jobs, len(scans))) as pool:
                for result in pool.map(cut, scans[done:], files[done:]):
                    yield result
                    done += 1
        except BrokenProcessPool:
            # A process that dies takes all of them with it; whether it died of the next scan shows when that is alone.
            scan = scans[done]
            try:
                with _processes(1) as pool:
                    yield pool.submit(cut, scan, files[done]).result()
            except BrokenProcessPool:
                reason = "its process ended without a word: a damaged file, or out of memory"
                left_out = f"the series ({_crops_of(scan):,} crops)"
                yield [], [LeftOut(scan.series_uid, scan.patient_id, "", "", "", reason, left_out)], {}
            done += 1


def _crops_of(scan: Scan) -> int:
    return sum(len(nodule.slice_indices()) for nodule in scan.nodules)
