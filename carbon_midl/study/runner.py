"""Make the runs of a study: papermill executes each run's notebook, several at the same time on request.

A run is done when its ``result.json`` has the fingerprint of its options, the crops and the code as they are now. The
notebook writes that file last and whole. A run that is killed after it has all its numbers and its energy and only
lacks the printed output of one cell, so it is not made again.

Two locks keep processes apart. The runner's lock, beside the run's directory, lets only one of several runners make the
run. The kernel's lock, in the directory, is held as long as the notebook's kernel lives: if a runner is killed,
papermill and the kernel continue, and the next runner waits for them.
"""

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
from tempfile import TemporaryDirectory
from time import monotonic
from typing import Any

import psutil
import yaml
from tqdm import tqdm

from carbon_midl.errors import InputError
from carbon_midl.files import check_locks, in_words, is_locked, locked, write_text
from carbon_midl.footprint import FootprintRecord
from carbon_midl.footprint.sensors import how_known
from carbon_midl.lidc.crops import CropArchive
from carbon_midl.study.collect import SUPERSEDED, collect_results
from carbon_midl.study.devices import Slot, reserved
from carbon_midl.study.run import (
    FAILED_NOTEBOOK,
    LOCK,
    LOG,
    NOTEBOOK,
    PARAMETERS,
    commit,
    fingerprint,
    is_finished,
    read_result,
    training_fingerprint,
)
from carbon_midl.study.spec import PlannedRun, Study, open_crops
from carbon_midl.study.status import last_line, validation_dice
from carbon_midl.training.checkpoint import CHECKPOINT, RESULT, checkpointed_run
from carbon_midl.training.options import BUILT_IN, check_crop_size
from carbon_midl.units import carbon, energy, plural

NOTEBOOK_OF_A_RUN = Path("notebooks/train_unet.ipynb")
_POLL_S = 0.5
# Enough to finish a batch of a wide network on a slow processor, and to save.
_SAVING_S = 60


def run_study(study: Study, slots: Sequence[Slot] = (Slot(""),), only: str | None = None) -> Path:
    """Make the runs that are not done yet, collect all into tables and return the tables' directory.

    An interrupted run resumes from its checkpoint; one that is out of date is moved aside, not deleted. If a run fails,
    the others are still made. A run that another process is making is waited for.

    Args:
        study: the study.
        slots: a place for each run at the same time, from :func:`carbon_midl.study.devices.slots`.
        only: make just this run, collect nothing and return its directory; for schedulers that start every run.

    Raises:
        InputError: the crops cannot be opened or are too small, there is no run ``only``, a device is in use, or a run
            failed; the message says where to look.
    """
    runs = [run for run in study.runs if only in (None, run.name)]
    if not runs:
        raise InputError(f"{study.path}: no run {only!r}; 'carbon-midl study list {study.path}' names them.")
    archive = prepare(study)
    all_done = all(_is_done(study, run, archive) for run in runs)
    if not all_done:  # otherwise a read-only disk will do
        check_locks(lock_of(study, "results"))
    with reserved(() if all_done else slots):
        kind = "phantom" if archive.is_phantom else archive.source["kind"]
        crops = f"{len(archive):,} {kind} crops of {len(archive.patients)} patients"
        _say(f"{study.title}: {plural(len(runs), 'run')} on {crops}")
        if (commit() or "").endswith("-dirty"):
            _say("The working tree has changes that are in no commit: these runs cannot be packed or merged.")
        failed = _make_all(study, runs, archive, slots)
    if only is None:
        try:
            collect(study, archive)
        except (InputError, OSError) as error:
            if not all_done or not (words := in_words(error)):
                raise
            _say(f"The tables are left as they are: {words}")
    if failed:
        look = _where_to_look(study.directory / failed[0])
        raise InputError(
            f"{study.path}: {len(failed)} of {len(study.runs)} runs failed, first {failed[0]}; see {look}."
        )
    return study.results if only is None else study.directory / only


def prepare(study: Study) -> CropArchive:
    """Prepare what all runs of a study share: return its crops, rendered if necessary.

    Raises:
        InputError: the crops cannot be opened or are too small, or the notebook is not there.
    """
    if not (notebook := study.root / NOTEBOOK_OF_A_RUN).is_file():
        raise InputError(
            f"{study.path}: found no {notebook}; a study lies in studies/ beside notebooks/. Move it there."
        )
    archive = open_crops(study)
    for depth in {run.options.depth for run in study.runs if run.options.model == BUILT_IN}:
        check_crop_size((archive.size, archive.size), depth)
    return archive


def collect(study: Study, archive: CropArchive) -> Path | None:
    """Collect all runs that are done into tables and return their directory, or None if no run is done."""
    done = [run.name for run in study.runs if _is_done(study, run, archive)]
    if not done:
        return None
    with locked(lock_of(study, "results")):
        results = collect_results(study, done, left_out=sorted({run.name for run in study.runs} - set(done)))
    _say(f"Tables: {results}")
    return results


def _is_done(study: Study, run: PlannedRun, archive: CropArchive) -> bool:
    return is_finished(study.directory / run.name, fingerprint(run.options, archive))


def lock_of(study: Study, name: str) -> Path:
    """The lock for making a run, or collecting the results; beside the run's directory, which may be moved."""
    return study.directory / ".locks" / name


def _make_run(study: Study, run: PlannedRun, archive: CropArchive, slot: Slot, poll: Callable[[], None]) -> bool:
    """Make or resume a run unless it is done, and return whether it was made.

    ``poll`` is called twice a second; an exception from it stops the run, which first saves its training.

    Raises:
        InputError: the run failed; the message is the notebook's.
    """
    if _is_done(study, run, archive):
        return False
    directory = study.directory / run.name
    result, failed = directory / RESULT, directory / FAILED_NOTEBOOK
    with locked(lock_of(study, run.name), poll):
        if (directory / LOCK).exists():
            with locked(directory / LOCK, poll):
                pass  # the kernel of a killed runner has ended by now
        if made := not _is_done(study, run, archive):
            training = training_fingerprint(run.options, archive)
            if directory.exists() and checkpointed_run(directory / CHECKPOINT) != training:
                stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S%f")
                directory.rename(directory.with_name(f"{directory.name}{SUPERSEDED}{stamp}"))
            directory.mkdir(parents=True, exist_ok=True)
            # A finished run whose budget was raised resumes; its result is that of a shorter training.
            result.unlink(missing_ok=True)
            failed.unlink(missing_ok=True)
            crops = archive.path.absolute()
            parameters = {
                **run.options.model_dump(),
                "crops": str(crops.relative_to(study.root) if crops.is_relative_to(study.root) else crops),
                "output": str(directory.relative_to(study.root)),
                **study.footprint.model_dump(),
                "metered_alone": slot.metered_alone,
            }
            _execute(study.root, directory, parameters, slot, poll)
        if not result.is_file():
            with suppress(FileNotFoundError):  # papermill failed before it wrote one
                (directory / NOTEBOOK).rename(failed)
            raise InputError(last_line(directory))
        if not (directory / NOTEBOOK).is_file():
            _say(f"{directory / NOTEBOOK}: not written. {last_line(directory)}")
    return made


def _execute(root: Path, directory: Path, parameters: dict[str, Any], slot: Slot, poll: Callable[[], None]) -> None:
    """Let papermill execute the notebook, with ``root`` as working directory, into a run's directory."""
    write_text(directory / PARAMETERS, yaml.safe_dump(parameters, sort_keys=False))
    # Papermill writes these paths into the notebook; relative ones say nothing about this machine.
    executed, given = (str((directory / name).relative_to(root)) for name in (NOTEBOOK, PARAMETERS))
    with (directory / LOG).open("wb") as log:
        papermill = psutil.Popen(
            [sys.executable, "-m", "carbon_midl.study.runner", str(NOTEBOOK_OF_A_RUN), executed, given],
            cwd=root,
            env={**os.environ, **slot.environment},
            stdout=log,
            stderr=log,
            start_new_session=True,  # so that Ctrl-C reaches only this process, which then stops papermill
        )
    try:
        while papermill.poll() is None:
            poll()
            with suppress(psutil.TimeoutExpired):
                papermill.wait(_POLL_S)
    except BaseException:
        # The kernel saves its training and ends, and papermill with it; otherwise papermill is killed, and the kernel.
        with suppress(psutil.NoSuchProcess, psutil.TimeoutExpired):
            for kernel in papermill.children():
                kernel.terminate()
                papermill.wait(_SAVING_S)
        with suppress(psutil.NoSuchProcess):
            papermill.kill()
            papermill.wait()
        raise


class _Stopped(Exception):
    """The study is being stopped; each run saves its training first."""


def _make_all(study: Study, runs: Sequence[PlannedRun], archive: CropArchive, slots: Sequence[Slot]) -> list[str]:
    """Make the runs, at most one in each slot at a time, and return the names of those that failed."""
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
            made = _make_run(study, run, archive, slot, poll)
            outcome = f"{_scores(directory)}   {monotonic() - began:.0f} s" if made else "done before"
        except (InputError, OSError) as error:
            failed.add(run.name)
            outcome = f"failed: {in_words(error) or error}\n        see {_where_to_look(directory)}"
        except _Stopped:
            return
        finally:
            free.put(slot)
        _say(f"[{next(ended):>{len(str(len(runs)))}}/{len(runs)}] {run.name:<24} {outcome}")
        bar.update()

    # Runs that another process is making come last; they may be done by then.
    ordered = sorted(runs, key=lambda run: is_locked(lock_of(study, run.name)))
    with ThreadPoolExecutor(len(slots)) as pool:
        making = [pool.submit(make, run) for run in ordered]
        try:
            for one in making:
                one.result()
        finally:
            # Ctrl-C, which arrives in this thread, or an error of the runner stops the other runs, too.
            stopping.set()
            bar.close()
    return [run.name for run in runs if run.name in failed]


def execute(notebook: Path, executed: Path, parameters: Path) -> None:
    """Execute a run's notebook by papermill, in this process.

    Jupyter may know another environment's kernel by the notebook's name for it; the kernel here is this Python's,
    reached through files of its own, not over TCP. What was executed is written last, so that a full disk costs no
    result.
    """
    import papermill
    from jupyter_client.kernelspec import KernelSpecManager
    from jupyter_client.manager import AsyncKernelManager

    class OwnKernel(AsyncKernelManager):
        def __init__(self, **options: Any) -> None:
            # The path of a socket may have some hundred characters.
            options |= {"transport": "ipc" if len(folder) < 70 else "tcp", "connection_file": f"{folder}/kernel.json"}
            # Where no kernel is looked for, that of the ipykernel beside this Python is left.
            super().__init__(kernel_spec_manager=KernelSpecManager(kernel_dirs=[]), **options)

    given = yaml.safe_load(parameters.read_text(encoding="utf-8"))
    with TemporaryDirectory(prefix="kernel-") as folder:
        own = {"request_save_on_cell_execute": False, "kernel_manager_class": OwnKernel}
        papermill.execute_notebook(notebook, executed, given, progress_bar=False, **own)


def _scores(directory: Path) -> str:
    result = read_result(directory)
    record = FootprintRecord.from_dict(result["footprint"])
    training = record.window("training")
    used = f"{energy(training.energy_kwh)} ({how_known(training.method)})"
    return f"test Dice {result['test']['dice']:.3f}   {used}   {carbon(record.carbon_g())}"


def _where_to_look(directory: Path) -> Path:
    notebook = directory / FAILED_NOTEBOOK
    return notebook if notebook.exists() else directory / LOG


def _say(text: str) -> None:
    """Print a line on standard error, above a progress bar."""
    tqdm.write(text, file=sys.stderr)


if __name__ == "__main__":
    execute(*map(Path, sys.argv[1:]))
