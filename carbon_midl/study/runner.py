"""Execute a study: each run's notebook with papermill, one after the other, skipping those that are done."""

import os
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from carbon_midl.errors import InputError
from carbon_midl.lidc.crops import CropArchive
from carbon_midl.locks import sole_holder
from carbon_midl.run import Fingerprint, fingerprint, is_finished, read_result, resumable, training_fingerprint
from carbon_midl.study.display import Display
from carbon_midl.study.execution import NOTEBOOK, execute
from carbon_midl.study.phantom_crops import phantom_crops
from carbon_midl.study.results import collect_results
from carbon_midl.study.spec import PlannedRun, Study
from carbon_midl.unet_size import check_crop_size


def run_study(study: Study, display: Display) -> Path:
    """Make the runs that are not done yet, collect all into tables and return their directory.

    A run is done when its executed notebook is there and its ``result.json`` has the fingerprint that its parameters,
    the crops and the code have now. One that was interrupted goes on from its checkpoint; one that is out of date is
    moved aside, not deleted. A failing run does not stop the others.

    Raises:
        InputError: the crops cannot be opened or are too small, or a run failed; the message says where to look.
    """
    archive = open_crops(study, display.wrap)
    notebook = study.root / "notebooks" / "train_unet.ipynb"
    if not notebook.is_file():
        raise InputError(f"{notebook}: no such notebook; a study file lies in studies/ beside notebooks/.")
    study.directory.mkdir(parents=True, exist_ok=True)
    # Papermill inherits the lock: where only the runner was killed, its run goes on, and a second runner would write
    # into the same directory.
    with sole_holder(study.directory / ".lock", "running this study, or is a papermill of it") as lock:
        os.set_inheritable(lock, True)
        return _run_all(study, archive, notebook, display)


def _run_all(study: Study, archive: CropArchive, notebook: Path, display: Display) -> Path:
    for depth in {run.options.depth for run in study.runs}:
        check_crop_size((archive.size, archive.size), depth)
    failed: dict[str, Path] = {}
    display.start(study, archive)
    for run in study.runs:
        directory = study.directory / run.name
        wanted = fingerprint(run.options, archive)
        if is_done(directory, wanted):
            display.skipped(run)
            continue
        if resumable(directory, training_fingerprint(run.options, archive)) is None:
            _set_aside(directory)
        display.began(run)
        if execute(notebook, directory, _parameters(study, run, archive), partial(display.saw, directory)):
            display.finished(run, read_result(directory))
        else:
            failed[run.name] = directory / f"failed-{NOTEBOOK}"
            display.failed(run, failed[run.name])
    done = [run.name for run in study.runs if run.name not in failed]
    if done:
        display.collected(study, collect_results(study, done, left_out=sorted(failed)))
    if failed:
        name, path = next(iter(failed.items()))
        raise InputError(f"{study.path}: {len(failed)} of {len(study.runs)} runs failed, first {name}; see {path}.")
    return study.results


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


def is_done(directory: Path, wanted: Fingerprint) -> bool:
    """Whether ``directory`` holds a finished run with the fingerprint ``wanted``, and its notebook."""
    return (directory / NOTEBOOK).is_file() and is_finished(directory, wanted)


def _parameters(study: Study, run: PlannedRun, archive: CropArchive) -> dict[str, Any]:
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


def _set_aside(directory: Path) -> None:
    """Move a run that cannot be gone on with out of the way; what it holds is kept."""
    if directory.exists() and any(directory.iterdir()):
        stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S%f")
        directory.rename(directory.with_name(f"{directory.name}.superseded-{stamp}"))
