"""Make the runs of a study: papermill executes each run's notebook, several at a time where asked.

A run is done when its ``result.json`` has the fingerprint that its options, the crops and the code have now. The
notebook writes that file last and whole, so a run that is killed after it has its numbers and all its energy, and lacks
the printed output of one cell. To execute it again would spend energy on numbers that are there.

Two locks keep processes apart. A runner holds one beside the run's directory, so that of two runners one makes the run.
The notebook's kernel holds one in the directory as long as it lives: where a runner is killed, papermill and kernel go
on, and the next runner waits for them.
"""

import hashlib
import itertools
import os
import sys
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from queue import SimpleQueue
from time import monotonic
from typing import Any

import psutil
import yaml
from tqdm import tqdm

from carbon_midl.errors import InputError
from carbon_midl.files import is_locked, locked, read_json, write_bytes, write_text
from carbon_midl.footprint import FootprintRecord
from carbon_midl.footprint.sensors import is_estimate
from carbon_midl.lidc.crops import CropArchive
from carbon_midl.study.collect import SUPERSEDED, collect_results
from carbon_midl.study.devices import Slot, reserved
from carbon_midl.study.run import (
    FAILED_NOTEBOOK,
    LOCK,
    LOG,
    NOTEBOOK,
    PARAMETERS,
    PARTIAL_NOTEBOOK,
    code_fingerprint,
    commit,
    fingerprint,
    is_finished,
    read_result,
    resumable,
    training_fingerprint,
)
from carbon_midl.study.spec import PlannedRun, Study
from carbon_midl.study.status import last_line, validation_dice
from carbon_midl.training.checkpoint import RESULT
from carbon_midl.training.options import BUILT_IN, check_crop_size

_POLL_S = 0.5
# Long enough to end a batch of a wide network on a slow processor and to save.
_SAVING_S = 60


def run_study(
    study: Study, slots: Sequence[Slot] = (Slot(""),), only: str | None = None, share_meter: bool = False
) -> Path:
    """Make the runs that are not done yet, collect all into tables and return their directory.

    A run that was interrupted goes on from its checkpoint; one that is out of date is moved aside, not deleted. A
    failing run does not stop the others. A run that another process is making is left to it and waited for.

    Args:
        study: to make.
        slots: a place for each run at the same time, from :func:`carbon_midl.study.devices.slots`.
        only: make just this run, collect nothing and return its directory; for schedulers that start every run.
        share_meter: do not keep other runners from the same metered devices.

    Raises:
        InputError: the crops cannot be opened or are too small, there is no run ``only``, a device is in use, or a run
            failed; the message says where to look.
    """
    runs = [run for run in study.runs if only in (None, run.name)]
    if not runs:
        raise InputError(f"{study.path}: no run {only!r}; 'carbon-midl study list {study.path}' names them.")
    archive, notebook = prepare(study)
    with reserved(slots, share_meter):
        count = f"{len(runs)} run{'' if len(runs) == 1 else 's'}"
        kind = "phantom" if archive.is_phantom else archive.source["kind"]
        _say(f"{study.title}: {count} on {len(archive):,} {kind} crops of {len(archive.patients)} patients")
        if (commit() or "").endswith("-dirty"):
            _say("The working tree has changes that are in no commit: these runs cannot be packed or merged.")
        failed = _make_all(study, runs, archive, notebook, slots)
    if only is None:
        collect(study, archive)
    if failed:
        look = _where_to_look(study.directory / failed[0])
        raise InputError(
            f"{study.path}: {len(failed)} of {len(study.runs)} runs failed, first {failed[0]}; see {look}."
        )
    return study.results if only is None else study.directory / only


def prepare(study: Study) -> tuple[CropArchive, Path]:
    """Make ready what all runs of a study share, and return it: the crops, rendered where need be, and the notebook.

    Raises:
        InputError: the crops cannot be opened or are too small, or there is no notebook with parameters.
    """
    archive = open_crops(study)
    for depth in {run.options.depth for run in study.runs if run.options.model == BUILT_IN}:
        check_crop_size((archive.size, archive.size), depth)
    study.directory.mkdir(parents=True, exist_ok=True)
    return archive, notebook_copy(study)


def open_crops(study: Study) -> CropArchive:
    """Open the study's crops, rendering its phantom where that has not been done.

    Raises:
        InputError: there is no such archive.
    """
    phantom = study.crops.phantom
    if phantom is None:
        return CropArchive.open(study.root / str(study.crops.archive))
    from carbon_midl.lidc.phantom import open_phantom

    return open_phantom(study.root, phantom.patients, phantom.seed, phantom.size)


def notebook_copy(study: Study) -> Path:
    """Copy the notebook, so that a study goes on with what it began with if the notebook is edited meanwhile.

    Raises:
        InputError: there is none, or it has no cell behind which papermill could put parameters.
    """
    notebook = study.root / "notebooks" / "train_unet.ipynb"
    if not notebook.is_file():
        raise InputError(f"{notebook}: no such notebook; a study file lies in studies/ beside notebooks/.")
    content = read_json(notebook)
    cells = content.get("cells", []) if isinstance(content, dict) else []
    if not any("parameters" in cell.get("metadata", {}).get("tags", []) for cell in cells):
        raise InputError(
            f"{notebook}: no cell with the tag 'parameters', behind which papermill puts those of a run. Tag the cell "
            "with the defaults, or restore the notebook."
        )
    source = notebook.read_bytes()
    copy = study.directory / f".notebook-{hashlib.sha256(source).hexdigest()[:12]}.ipynb"
    write_bytes(copy, source)
    return copy


def collect(study: Study, archive: CropArchive) -> Path | None:
    """Put all runs that are done into tables; returns their directory, or None where no run is done."""
    code = code_fingerprint()
    wanted = {run.name: fingerprint(run.options, archive, code) for run in study.runs}
    done = [name for name in wanted if is_finished(study.directory / name, wanted[name])]
    if not done:
        return None
    with locked(lock_of(study, "results")):
        results = collect_results(study, done, left_out=sorted(wanted.keys() - done))
    _say(f"Tables: {results}")
    return results


def make_run(
    study: Study, run: PlannedRun, archive: CropArchive, notebook: Path, slot: Slot, poll: Callable[[], None]
) -> bool:
    """Make a run that is not done, going on from its checkpoint where it has one; returns whether it was not.

    Args:
        study: that the run belongs to.
        run: to make.
        archive: the study's crops.
        notebook: to execute.
        slot: where to make it.
        poll: called twice a second; what it raises stops the run, which saves its training first.

    Raises:
        InputError: the run failed; the message is the notebook's.
    """
    directory = study.directory / run.name
    with locked(lock_of(study, run.name), poll):
        wait_for_kernel(directory, poll)
        if is_finished(directory, fingerprint(run.options, archive)):
            _name_notebook(directory)
            return False
        if resumable(directory, training_fingerprint(run.options, archive)) is None:
            set_aside(directory)
        # Where a budget was raised, a finished run goes on; its result is that of a shorter training.
        (directory / RESULT).unlink(missing_ok=True)
        if not execute(study, notebook, directory, run_parameters(study, run, archive, slot), slot, poll):
            raise InputError(last_line(directory))
    return True


def run_parameters(study: Study, run: PlannedRun, archive: CropArchive, slot: Slot) -> dict[str, Any]:
    """What the notebook's parameters cell gets; paths count from the study's root."""
    crops = archive.path.absolute()
    return {
        **run.options.model_dump(),
        "crops": str(crops.relative_to(study.root) if crops.is_relative_to(study.root) else crops),
        "output": str((study.directory / run.name).relative_to(study.root)),
        "pue": study.footprint.pue,
        "intensity": study.footprint.intensity,
        "carbontracker": study.footprint.carbontracker,
        "metered_alone": slot.metered_alone,
    }


def lock_of(study: Study, name: str) -> Path:
    """The lock of whoever makes a run, or collects the results; beside the run's directory, which may be moved."""
    locks = study.directory / ".locks"
    locks.mkdir(parents=True, exist_ok=True)
    return locks / name


def wait_for_kernel(directory: Path, poll: Callable[[], None]) -> None:
    """Wait until no kernel writes to a run's directory any more."""
    if (directory / LOCK).exists():
        with locked(directory / LOCK, poll):
            pass


def set_aside(directory: Path) -> None:
    """Move a run that cannot be gone on with out of the way; what it holds is kept."""
    if directory.exists():
        stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S%f")
        directory.rename(directory.with_name(f"{directory.name}{SUPERSEDED}{stamp}"))


def execute(
    study: Study, notebook: Path, directory: Path, parameters: dict[str, Any], slot: Slot, poll: Callable[[], None]
) -> bool:
    """Let papermill execute a notebook into a run's directory, and return whether there is a result.

    Args:
        study: in whose root papermill works.
        notebook: to execute.
        directory: of the run; gets ``parameters.yaml`` and ``papermill.log``, too.
        parameters: for the notebook's parameters cell.
        slot: whose environment papermill gets.
        poll: called twice a second; what it raises stops papermill, after the kernel has saved its training.
    """
    directory.mkdir(parents=True, exist_ok=True)
    (directory / FAILED_NOTEBOOK).unlink(missing_ok=True)
    write_text(directory / PARAMETERS, yaml.safe_dump(parameters, sort_keys=False))
    # Papermill writes these paths into the notebook; relative ones tell nothing of this machine.
    paths = (notebook, directory / PARTIAL_NOTEBOOK, directory / PARAMETERS)
    given, executed, asked = (str(path.relative_to(study.root)) for path in paths)
    with (directory / LOG).open("wb") as log:
        papermill = psutil.Popen(
            [sys.executable, "-m", "papermill", given, executed, "-f", asked, "--no-progress-bar"],
            cwd=study.root,
            env={**os.environ, **slot.environment},
            stdout=log,
            stderr=log,
            start_new_session=True,  # Ctrl-C reaches this process alone, which stops papermill in its own way
        )
    try:
        while papermill.poll() is None:
            poll()
            with suppress(psutil.TimeoutExpired):
                papermill.wait(_POLL_S)
    except BaseException:
        _stop(papermill)
        raise
    return _name_notebook(directory)


def _name_notebook(directory: Path) -> bool:
    """Give the executed notebook of a run its name, by whether there is a result; returns that."""
    done, executed = (directory / RESULT).is_file(), directory / PARTIAL_NOTEBOOK
    if executed.exists():
        executed.rename(directory / (NOTEBOOK if done else FAILED_NOTEBOOK))
    return done


def _stop(papermill: psutil.Popen) -> None:
    """Let the kernel save its training, whereupon papermill ends; or end papermill, and with it the kernel."""
    with suppress(psutil.NoSuchProcess, psutil.TimeoutExpired):
        for kernel in papermill.children():
            kernel.terminate()
            papermill.wait(_SAVING_S)
    with suppress(psutil.NoSuchProcess):
        papermill.kill()
        papermill.wait()


class _Stopped(Exception):
    """The study is to end; each run saves its training first."""


def _make_all(
    study: Study, runs: Sequence[PlannedRun], archive: CropArchive, notebook: Path, slots: Sequence[Slot]
) -> list[str]:
    """Make the runs, as many at the same time as there are slots, and return the names of those that failed."""
    free: SimpleQueue[Slot] = SimpleQueue()
    for slot in slots:
        free.put(slot)
    stopping, failed, ended = threading.Event(), set(), itertools.count(1)
    bar = tqdm(total=len(runs), unit="run", leave=False, disable=None)

    def make(run: PlannedRun) -> None:
        slot, directory, began = free.get(), study.directory / run.name, monotonic()

        def poll() -> None:
            if stopping.is_set():
                raise _Stopped
            if not bar.disable:
                bar.set_postfix_str(f"{run.name}: epoch {len(validation_dice(directory))}/{run.options.epochs}")

        try:
            poll()
            made = make_run(study, run, archive, notebook, slot, poll)
            outcome = f"{_scores(directory)}   {monotonic() - began:.0f} s" if made else "done before"
        except (InputError, OSError) as error:
            failed.add(run.name)
            outcome = f"failed: {error}\n        see {_where_to_look(directory)}"
        except _Stopped:
            return
        finally:
            free.put(slot)
        _say(f"[{next(ended):>{len(str(len(runs)))}}/{len(runs)}] {run.name:<24} {outcome}")
        bar.update()

    # What another process is making comes last: it may be done by then.
    ordered = sorted(runs, key=lambda run: is_locked(lock_of(study, run.name)))
    with ThreadPoolExecutor(len(slots)) as pool:
        making = [pool.submit(make, run) for run in ordered]
        try:
            for one in making:
                one.result()
        finally:
            # Ctrl-C arrives here, in the main thread; an error of the runner itself, too.
            stopping.set()
            bar.close()
    return [run.name for run in runs if run.name in failed]


def _scores(directory: Path) -> str:
    result = read_result(directory)
    record = FootprintRecord.from_dict(result["footprint"])
    training = record.window("training")
    estimated = [is_estimate(part.method) for part in training.components]
    how = "" if not any(estimated) else " (estimated)" if all(estimated) else " (partly estimated)"
    energy = f"{training.energy_kwh * 1000:.3g} Wh{how}   {record.carbon_g():.3g} gCO2eq"
    return f"test Dice {result['test']['dice']:.3f}   {energy}"


def _where_to_look(directory: Path) -> Path:
    notebook = directory / FAILED_NOTEBOOK
    return notebook if notebook.exists() else directory / LOG


def _say(text: str) -> None:
    """Print a line on standard error, above a progress bar."""
    tqdm.write(text, file=sys.stderr)
