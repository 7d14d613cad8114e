"""Make one run of a study: hold its lock, see whether it is done or can be gone on with, and execute its notebook."""

from collections.abc import Callable
from datetime import UTC, datetime
from enum import Enum
from pathlib import Path
from typing import Any

from carbon_midl.errors import InputError
from carbon_midl.files import read_json
from carbon_midl.lidc.crops import CropArchive
from carbon_midl.locks import next_holder
from carbon_midl.run import Fingerprint, fingerprint, is_finished, resumable, training_fingerprint
from carbon_midl.run_files import RESULT
from carbon_midl.study.collect import SUPERSEDED
from carbon_midl.study.execution import NOTEBOOK, PARTIAL, execute
from carbon_midl.study.finished import remember_finished
from carbon_midl.study.phantom_crops import phantom_crops
from carbon_midl.study.run_locks import lock_of
from carbon_midl.study.spec import PlannedRun, Study
from carbon_midl.study.starter import Starter


class Outcome(Enum):
    """What became of a run that was to be made."""

    DONE_BEFORE = "done before"
    MADE = "made"
    FAILED = "failed"


def make_run(
    study: Study,
    run: PlannedRun,
    archive: CropArchive,
    notebook: Path,
    starter: Starter,
    poll: Callable[[], None],
    on_start: Callable[[], None] = lambda: None,
) -> Outcome:
    """Make a run that is not done, going on from its checkpoint where it has one.

    Where another process is making it, that is waited for.

    Args:
        study: it belongs to.
        run: which.
        archive: the study's crops.
        notebook: to execute.
        starter: of its process, at the place where it is made.
        poll: called twice a second; what it raises stops the run.
        on_start: called when there is something to do.
    """
    directory = study.directory / run.name
    with next_holder(lock_of(study, run), poll) as lock:
        wanted = fingerprint(run.options, archive)
        _adopt(directory, wanted)
        if is_done(directory, wanted):
            return Outcome.DONE_BEFORE
        on_start()
        if resumable(directory, training_fingerprint(run.options, archive)) is None:
            set_aside(directory)
        elif is_finished(directory, wanted):
            # Killed between its result and the end of its notebook: it is tested once more, from its last checkpoint.
            (directory / RESULT).unlink()
        parameters = run_parameters(study, run, archive) | {"metered_alone": starter.slot.metered_alone}
        if not execute(notebook, directory, parameters, poll, starter, lock):
            return Outcome.FAILED
        remember_finished(directory)
        return Outcome.MADE


def is_done(directory: Path, wanted: Fingerprint) -> bool:
    """Whether ``directory`` holds a finished run with the fingerprint ``wanted``, and its notebook."""
    return (directory / NOTEBOOK).is_file() and is_finished(directory, wanted)


def open_crops(study: Study, progress: Callable[..., Any] = iter) -> CropArchive:
    """Open the study's crops, rendering its phantom where that has not been done.

    Raises:
        InputError: there is no such archive.
    """
    if study.crops.phantom is not None:
        phantom = study.crops.phantom
        return phantom_crops(study.root, phantom.patients, phantom.seed, phantom.size, progress)
    assert study.crops.archive is not None, "read_study accepts exactly one source of crops"
    return CropArchive.open(study.root / study.crops.archive)


def run_parameters(study: Study, run: PlannedRun, archive: CropArchive) -> dict[str, Any]:
    """What the notebook's parameters cell gets."""
    crops = archive.path.absolute()
    footprint = study.footprint
    return {
        **run.options.model_dump(),
        "crops": str(crops.relative_to(study.root) if crops.is_relative_to(study.root) else crops),
        "output": str((study.directory / run.name).relative_to(study.root)),
        "pue": footprint.pue,
        "intensity": footprint.intensity,
        "carbontracker": footprint.carbontracker,
    }


def set_aside(directory: Path) -> None:
    """Move a run that cannot be gone on with out of the way; what it holds is kept."""
    if directory.exists() and any(directory.iterdir()):
        stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S%f")
        directory.rename(directory.with_name(f"{directory.name}{SUPERSEDED}{stamp}"))


def _adopt(directory: Path, wanted: Fingerprint) -> None:
    """Give its name to the notebook of a run that ended well after its runner was killed."""
    partial = directory / PARTIAL
    if (directory / NOTEBOOK).exists() or not partial.is_file() or not is_finished(directory, wanted):
        return
    try:
        told = read_json(partial)["metadata"]["papermill"]
    except (InputError, KeyError, TypeError):
        return
    if told.get("end_time") and not told.get("exception"):
        partial.rename(directory / NOTEBOOK)
