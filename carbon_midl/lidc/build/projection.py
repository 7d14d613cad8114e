"""What building from all of LIDC-IDRI would take, estimated from a few series of a tree."""

from collections.abc import Callable, Iterable, Sequence
from contextlib import closing, suppress
from pathlib import Path
from time import perf_counter
from typing import Any, NamedTuple

from carbon_midl.lidc.annotations import Scan, patients_with_nodules, read_scans, series_of_collection
from carbon_midl.lidc.build.cutting import cut_series
from carbon_midl.lidc.build.plan import Plan, scans_of
from carbon_midl.lidc.build.pool import in_processes
from carbon_midl.lidc.build.settings import Settings
from carbon_midl.lidc.ct import HEADER_BYTES, SliceFault, read_header
from carbon_midl.lidc.tree import DicomTree, SeriesFiles

_SERIES = 3
_HEADERS = 100


class Projection(NamedTuple):
    """What all scans of LIDC-IDRI come to.

    nodules, crops, slices (read with pixels), files (of which headers are read) and written_gb (the archive) are exact,
    from the annotations; hours and read_gb are estimates from `calibrated_on` series.
    """

    nodules: int
    crops: int
    slices: int
    files: int
    written_gb: float
    hours: float
    read_gb: float
    calibrated_on: int


def project(
    tree: DicomTree,
    plan: Plan,
    settings: Settings,
    jobs: int,
    progress: Callable[[Sequence[Any]], Iterable[Any]] = iter,
) -> Projection:
    """Cut a few series, without writing, and scale to all of LIDC-IDRI.

    The estimate takes it that `jobs` processes share no bottleneck, such as one disk.

    Args:
        tree: the DICOM files.
        plan: what of them can be cut.
        settings: how to cut.
        jobs: processes that a build would have.
        progress: wraps batches of LIDC-IDRI's patients while their outlines are read.
    """
    slice_s, slice_bytes, calibrated_on = _calibrate(tree, plan, settings)
    nodules = crops = slices = 0
    for scan in scans_of(patients_with_nodules(), progress):
        chosen = settings.nodules(scan)
        touched = [nodule.slice_indices() for nodule in chosen]
        nodules += len(chosen)
        crops += sum(map(len, touched))
        slices += len(set().union(*touched))
    files = sum(series.slices for series in series_of_collection().values())
    return Projection(
        nodules=nodules,
        crops=crops,
        slices=slices,
        files=files,
        written_gb=crops * settings.crop_bytes / 1e9,
        hours=(slices * slice_s + files * _header_s(tree, plan)) / jobs / 3600,
        read_gb=(slices * slice_bytes + files * HEADER_BYTES) / 1e9,
        calibrated_on=calibrated_on,
    )


def _calibrate(tree: DicomTree, plan: Plan, settings: Settings) -> tuple[float, float, int]:
    """Seconds and bytes a slice, and of how many series: a few from all over the plan are cut."""
    step = max(len(plan.series) // _SERIES, 1)
    chosen = plan.series[::step][:_SERIES]
    scans = {scan.id: scan for scan in read_scans({series.patient_id for series in chosen})}
    tasks = [_Task(tree.root, scans[series.scan_id], tree.series(series.series_uid), settings) for series in chosen]
    slices, duration_s, read_bytes, calibrated_on = 0, 0.0, 0, 0
    # In a process of its own, as in a build: the first series loads what decoding takes, and a decoder may crash.
    with closing(in_processes(_timed, [tasks[0], *tasks], 1)) as results:
        next(results)
        for series, (_, timed) in zip(chosen, results, strict=True):
            if timed is not None:
                slices += series.slices
                duration_s += timed[0]
                read_bytes += timed[1]
                calibrated_on += 1
    return duration_s / max(slices, 1), read_bytes / max(slices, 1), calibrated_on


class _Task(NamedTuple):
    root: Path
    scan: Scan
    found: SeriesFiles
    settings: Settings


def _timed(task: _Task) -> tuple[float, int]:
    """Seconds and bytes that cutting a series takes."""
    start = perf_counter()
    read_bytes = cut_series(*task).read_bytes
    return perf_counter() - start, read_bytes


def _header_s(tree: DicomTree, plan: Plan) -> float:
    """Seconds that reading one header takes."""
    files = [file for series in plan.series[:_SERIES] for file in tree.series(series.series_uid).files][:_HEADERS]
    start = perf_counter()
    for file in files:
        with suppress(SliceFault):
            read_header(tree.root / file.path)
    return (perf_counter() - start) / max(len(files), 1)
