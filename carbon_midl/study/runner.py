"""Execute a study: each run's notebook with papermill, several at a time where asked, skipping those that are done."""

import hashlib
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from queue import SimpleQueue

from carbon_midl.environment import commit
from carbon_midl.errors import InputError
from carbon_midl.files import read_json, write_bytes
from carbon_midl.lidc.crops import CropArchive
from carbon_midl.locks import next_holder
from carbon_midl.options import BUILT_IN
from carbon_midl.run import code_fingerprint, fingerprint, read_result
from carbon_midl.study.collect import collect_results
from carbon_midl.study.devices import Slot, reserved
from carbon_midl.study.display import Display
from carbon_midl.study.execution import FAILED
from carbon_midl.study.making import Outcome, is_done, make_run, open_crops
from carbon_midl.study.run_locks import held_runs
from carbon_midl.study.spec import PlannedRun, Study
from carbon_midl.study.starter import Starter
from carbon_midl.unet_size import check_crop_size

_ONE = (Slot(""),)


def run_study(
    study: Study, display: Display, places: Sequence[Slot] = _ONE, only: str | None = None, share_meter: bool = False
) -> Path:
    """Make the runs that are not done yet, collect all into tables and return their directory.

    A run is done when its executed notebook is there and its ``result.json`` has the fingerprint that its parameters,
    the crops and the code have now. One that was interrupted goes on from its checkpoint; one that is out of date is
    moved aside, not deleted. A failing run does not stop the others. A run that another process is making is left to
    it and waited for.

    Args:
        study: to make.
        display: told of everything.
        places: of runs at the same time, from :func:`carbon_midl.study.devices.slots`.
        only: make just this run, and collect nothing; for schedulers that start every run themselves.
        share_meter: do not keep other runners from the same metered devices.

    Returns:
        The directory of the tables; with ``only``, that of the run.

    Raises:
        InputError: the crops cannot be opened or are too small, there is no run ``only``, a device is in use, or a run
            failed; the message says where to look.
    """
    chosen = [run for run in study.runs if only in (None, run.name)]
    if not chosen:
        raise InputError(f"{study.path}: no run {only!r}; 'carbon-midl study list {study.path}' names them.")
    archive, notebook = prepare(study, display)
    with reserved(places, share_meter):
        display.start(study, archive, len(chosen), len(places))
        if (commit() or "").endswith("-dirty"):
            display.note("The working tree has changes that are in no commit: these runs cannot be packed or merged.")
        try:
            failed = _make_all(study, chosen, archive, notebook, places, display)
        finally:
            display.end()
    if only is None:
        collect(study, archive, display)
    if failed:
        name, path = next(iter(failed.items()))
        raise InputError(f"{study.path}: {len(failed)} of {len(study.runs)} runs failed, first {name}; see {path}.")
    return study.results if only is None else study.directory / only


def prepare(study: Study, display: Display) -> tuple[CropArchive, Path]:
    """Make ready what all runs of a study share, and return it: the crops, rendered where need be, and the notebook.

    Raises:
        InputError: the crops cannot be opened or are too small, or there is no notebook.
    """
    archive = open_crops(study, display.wrap)
    for depth in {run.options.depth for run in study.runs if run.options.model == BUILT_IN}:
        check_crop_size((archive.size, archive.size), depth)
    study.directory.mkdir(parents=True, exist_ok=True)
    return archive, notebook_copy(study)


def collect(study: Study, archive: CropArchive, display: Display) -> Path | None:
    """Put all runs that are done into tables; returns their directory, or None where no run is done."""
    done: list[str] = []
    left: list[str] = []
    code = code_fingerprint()
    for run in study.runs:
        wanted = fingerprint(run.options, archive, code)
        (done if is_done(study.directory / run.name, wanted) else left).append(run.name)
    if not done:
        return None
    locks = study.directory / ".locks"
    locks.mkdir(parents=True, exist_ok=True)
    with next_holder(locks / "results"):
        results = collect_results(study, done, left_out=sorted(left))
    display.collected(results)
    return results


def _make_all(
    study: Study,
    runs: Sequence[PlannedRun],
    archive: CropArchive,
    notebook: Path,
    places: Sequence[Slot],
    display: Display,
) -> dict[str, Path]:
    """Make the runs, and return where to look for each that failed."""
    free: SimpleQueue[Starter] = SimpleQueue()
    stopping = threading.Event()
    failed: dict[str, Path] = {}

    def make(run: PlannedRun) -> None:
        if stopping.is_set():
            return
        starter, directory = free.get(), study.directory / run.name

        def poll() -> None:
            if stopping.is_set():
                raise _Stopped
            display.saw(run, directory)

        try:
            outcome = make_run(
                study, run, archive, notebook, starter, poll, lambda: display.began(run, starter.slot.name)
            )
            if outcome is Outcome.DONE_BEFORE:
                display.skipped(run, read_result(directory))
            elif outcome is Outcome.MADE:
                display.finished(run, read_result(directory))
            else:
                failed[run.name] = directory / FAILED
                display.failed(run, failed[run.name])
        except (InputError, OSError) as error:
            failed[run.name] = directory / FAILED
            display.failed(run, failed[run.name], str(error))
        except _Stopped:
            pass
        finally:
            free.put(starter)

    # What another process is making comes last: it may be done by then.
    held = held_runs(study)
    ordered = sorted(runs, key=lambda run: run.name in held)
    with ExitStack() as starters:
        for place in places:
            free.put(starters.enter_context(Starter(study.root, place)))
        _in_threads(make, ordered, len(places), stopping)
    return {run.name: failed[run.name] for run in study.runs if run.name in failed}


class _Stopped(Exception):
    """The study is to end; the run saves its training first."""


def _in_threads(
    make: Callable[[PlannedRun], None], runs: Sequence[PlannedRun], count: int, stopping: threading.Event
) -> None:
    with ThreadPoolExecutor(count) as pool:
        futures: list[Future[None]] = [pool.submit(make, run) for run in runs]
        try:
            for future in futures:
                future.result()
        except BaseException:
            # Ctrl-C arrives here, in the main thread; an error of the runner itself, too.
            stopping.set()
            for future in futures:
                future.cancel()
            raise


def check_parameters_cell(notebook: Path) -> None:
    """Refuse a notebook that papermill could not give parameters to.

    Raises:
        InputError: it is no notebook, or has no cell with the tag "parameters".
    """
    content = read_json(notebook)
    cells = content.get("cells", []) if isinstance(content, dict) else []
    if not any("parameters" in cell.get("metadata", {}).get("tags", []) for cell in cells):
        raise InputError(
            f"{notebook}: no cell with the tag 'parameters', behind which papermill puts those of a run. Tag the cell "
            "with the defaults, or restore the notebook."
        )


def notebook_copy(study: Study) -> Path:
    """A copy of the notebook, so that a study goes on with what it began with if the notebook is edited meanwhile."""
    notebook = study.root / "notebooks" / "train_unet.ipynb"
    if not notebook.is_file():
        raise InputError(f"{notebook}: no such notebook; a study file lies in studies/ beside notebooks/.")
    content = notebook.read_bytes()
    check_parameters_cell(notebook)
    copy = study.directory / f".notebook-{hashlib.sha256(content).hexdigest()[:12]}.ipynb"
    if not copy.exists():
        write_bytes(copy, content)
    return copy
